// Owns the import of execution-apis' test chain through our own state, tries and EVM, and its Chain face for the RPC server.
// Headers are taken as they are; what execution yields must match their roots.

import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { createBlock } from '@ethereumjs/block';
import { type Common, Hardfork } from '@ethereumjs/common';
import { fromHex, toHex } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { fault, type Result, success } from '../../base/fault.ts';
import { EMPTY_ACCOUNT, EMPTY_CODE_HASH, EMPTY_TRIE_ROOT } from '../../chain/account.ts';
import type { Address, BlockRecord, Chain, Hash, Header, Receipt, TransactionRecord } from '../../chain/api.ts';
import { createCalls, replay } from '../../chain/calls.ts';
import {
  createCommon,
  createMachine,
  evmAddress,
  type Machine,
  runTransaction,
  typedTransaction,
} from '../../chain/evm.ts';
import { payWithdrawals, settle, SYSTEM_CALLER, writeBeaconRoot, writeParentHash } from '../../chain/execute.ts';
import { HeadState } from '../../chain/head-state.ts';
import { nextBaseFee } from '../../chain/header.ts';
import { keccak256 } from '../../chain/keccak.ts';
import { DEFAULT_LIMITS } from '../../chain/limits.ts';
import { queryLogs } from '../../chain/log-query.ts';
import type { Place } from '../../chain/message.ts';
import { createPool } from '../../chain/pool.ts';
import { proofAt } from '../../chain/proof.ts';
import { createLender } from '../../chain/queue.ts';
import { type Outcome, receiptRlp, receiptViews } from '../../chain/receipt.ts';
import { rawLogs } from '../../chain/evm.ts';
import { simulate } from '../../chain/simulation.ts';
import type { StateChanges } from '../../chain/state-journal.ts';
import { sealState } from '../../chain/state-root.ts';
import { stateView } from '../../chain/state-view.ts';
import { createdAddress } from '../../chain/transaction.ts';
import { listRoot } from '../../chain/trie.ts';
import { memoryStore } from './memory-store.ts';
import {
  forkOf,
  genesisBlockOf,
  type GenesisFile,
  type ImportedBlock,
  readBlocks,
  readGenesis,
} from './rpc-compat-blocks.ts';

/** What go-ethereum gives a call and a whole simulation; the cases were recorded with it. */
const LIMITS = { ...DEFAULT_LIMITS, callGas: 50_000_000n, stateWindow: Infinity };
const SYSTEM_GAS = 30_000_000n;
const REQUEST_CONTRACTS: readonly Address[] = [
  '0x00000961ef480eb55e80d19ad83579a64c007002',
  '0x0000bbddc7ce488642fb579f8b00f3a590007251',
];
const ETHER = 10n ** 18n;

type World = Readonly<{
  file: GenesisFile;
  store: ReturnType<typeof memoryStore>;
  state: HeadState;
  blocks: BlockRecord[];
  receipts: (readonly Receipt[])[];
  machineOf(fork: Hardfork): Promise<Machine>;
}>;

function commonOf(file: GenesisFile, fork: Hardfork): Common {
  return createCommon(present(file.config['chainId'], 'chainId'), fork);
}

function worldOf(file: GenesisFile): World {
  const store = memoryStore();
  const blocks: BlockRecord[] = [];
  const machines = new Map<Hardfork, Promise<Machine>>();
  return {
    file,
    store,
    state: new HeadState(store, -1, EMPTY_TRIE_ROOT, { stateCache: 10_000 }),
    blocks,
    receipts: [],
    machineOf(fork) {
      const made = machines.get(fork) ?? createMachine(commonOf(file, fork), (number) => blocks[number]?.hash ?? null);
      machines.set(fork, made);
      return made;
    },
  };
}

function genesisChanges(file: GenesisFile): StateChanges {
  const accounts = new Map();
  const slots = new Map<Address, Map<Hash, Uint8Array>>();
  const codes = new Map<Hash, Uint8Array>();
  for (const [name, account] of Object.entries(file.alloc)) {
    const address: Address = `0x${name.replace(/^0x/, '').toLowerCase()}`;
    const code = fromHex(account.code ?? '0x');
    const codeHash = code.length === 0 ? EMPTY_CODE_HASH : keccak256(code);
    codes.set(toHex(codeHash), code);
    const nonce = BigInt(account.nonce ?? 0);
    accounts.set(address, { nonce, balance: BigInt(account.balance ?? 0), storageRoot: EMPTY_TRIE_ROOT, codeHash });
    const words = new Map<Hash, Uint8Array>();
    for (const [slot, word] of Object.entries(account.storage ?? {})) {
      const digits = BigInt(word).toString(16);
      words.set(slot as Hash, fromHex(`0x${digits.length % 2 === 0 ? digits : `0${digits}`}`));
    }
    if (words.size > 0) slots.set(address, words);
  }
  return { accounts, slots, cleared: new Set(), codes };
}

function placeOf(machine: Machine, header: Header) {
  const { common } = machine;
  const fields = {
    parentHash: fromHex(header.parentHash),
    coinbase: evmAddress(header.coinbase),
    number: header.number,
    gasLimit: header.gasLimit,
    timestamp: header.timestamp,
    ...(common.gteHardfork(Hardfork.Paris) ? { mixHash: fromHex(header.mixHash) } : { difficulty: header.difficulty }),
    ...(common.gteHardfork(Hardfork.London) ? { baseFeePerGas: header.baseFeePerGas } : {}),
    ...(common.gteHardfork(Hardfork.Cancun) ? { excessBlobGas: header.excessBlobGas } : {}),
  };
  const block = createBlock({ header: fields }, { common, freeze: false, skipConsensusFormatValidation: true });
  return { header: block.header, whole: () => block };
}

/** What precedes the transactions. */
async function prepare(world: World, header: Header): Promise<Machine> {
  const machine = await world.machineOf(forkOf(world.file, header.number, header.timestamp));
  const { journal, common } = machine;
  journal.reset(world.state.at(header.number - 1));
  if (common.gteHardfork(Hardfork.Cancun)) {
    await writeBeaconRoot(journal, header.timestamp, fromHex(header.parentBeaconBlockRoot));
  }
  if (common.gteHardfork(Hardfork.Prague)) await writeParentHash(journal, header.number, fromHex(header.parentHash));
  return machine;
}

/** Receipts before Byzantium hold the state root after each transaction. */
function rootsWithinBlocks(world: World, machine: Machine, number: number): void {
  const { journal } = machine;
  journal.getStateRoot = async () => {
    await journal.commit();
    const { advance } = await sealState(world.state, world.store, journal.changes(), number);
    await journal.checkpoint();
    return advance.root;
  };
}

/** EIP-7002 and EIP-7251: the queues are emptied after the transactions. */
async function takeRequests(machine: Machine, header: Header): Promise<void> {
  const { journal, evm } = machine;
  for (const to of REQUEST_CONTRACTS) {
    const caller = await journal.account(SYSTEM_CALLER);
    await evm.runCall({
      caller: evmAddress(SYSTEM_CALLER),
      to: evmAddress(to),
      gasLimit: SYSTEM_GAS,
      block: placeOf(machine, header),
      skipNonceIncrement: true,
    });
    journal.setAccount(SYSTEM_CALLER, caller);
    await settle(machine);
  }
}

/** Yellow paper, section 11.3: the author earns a 32nd more for each uncle, an uncle an eighth less for each generation. */
async function reward(machine: Machine, header: Header, uncles: readonly Header[]): Promise<void> {
  const { common, journal } = machine;
  if (common.gteHardfork(Hardfork.Paris)) return;
  const ethers = common.gteHardfork(Hardfork.Constantinople) ? 2n : common.gteHardfork(Hardfork.Byzantium) ? 3n : 5n;
  const whole = ethers * ETHER;
  const pay = async (to: Address, amount: bigint): Promise<void> => {
    const account = (await journal.account(to)) ?? EMPTY_ACCOUNT;
    journal.setAccount(to, { ...account, balance: account.balance + amount });
  };
  for (const uncle of uncles) await pay(uncle.coinbase, (whole * BigInt(8 - (header.number - uncle.number))) / 8n);
  await pay(header.coinbase, whole + (whole / 32n) * BigInt(uncles.length));
}

async function runBlock(world: World, { block, uncles }: ImportedBlock): Promise<void> {
  const { header } = block;
  const machine = await prepare(world, header);
  const place = placeOf(machine, header);
  if (!machine.common.gteHardfork(Hardfork.Byzantium)) rootsWithinBlocks(world, machine, header.number);
  const outcomes: Outcome[] = [];
  let gasUsed = 0n;
  for (const tx of block.transactions) {
    const result = await runTransaction(machine, place, typedTransaction(machine.common, tx), gasUsed);
    gasUsed += result.totalGasSpent;
    const { receipt } = result;
    outcomes.push({
      status: result.execResult.exceptionError === undefined ? 1 : 0,
      gasUsed: result.totalGasSpent,
      contractAddress: tx.to === null ? createdAddress(fromHex(tx.from), tx.nonce) : null,
      logs: rawLogs(result.execResult.logs),
      ...('stateRoot' in receipt ? { stateRoot: toHex(receipt.stateRoot) } : {}),
      ...(tx.type === 3
        ? {
            blobGas: {
              used: 131_072n * BigInt(tx.blobVersionedHashes?.length ?? 0),
              price: place.header.getBlobGasPrice(),
            },
          }
        : {}),
    });
  }
  await payWithdrawals(machine.journal, block.withdrawals);
  await reward(machine, header, uncles);
  if (machine.common.gteHardfork(Hardfork.Prague)) await takeRequests(machine, header);
  const sealed = await sealState(world.state, world.store, machine.journal.changes(), header.number);
  const receipts = receiptViews(block, outcomes);
  const encoded = receipts.map((one) =>
    receiptRlp(one.type, one.stateRoot ?? one.status, one.cumulativeGasUsed, fromHex(one.logsBloom), one.logs),
  );
  check(gasUsed === header.gasUsed, `block ${header.number}: gas used`);
  check(toHex(listRoot(encoded)) === header.receiptsRoot, `block ${header.number}: receipts root`);
  check(toHex(sealed.advance.root) === header.stateRoot, `block ${header.number}: state root`);
  await world.state.advance(() => world.store.write(sealed.rows), sealed.advance);
  world.blocks.push(block);
  world.receipts.push(receipts);
}

/** Genesis and all blocks, executed; throws at the first root that differs. */
export async function importChain(directory: string): Promise<Chain> {
  const world = worldOf(readGenesis(directory));
  const genesis = await sealState(world.state, world.store, genesisChanges(world.file), 0);
  await world.state.advance(() => world.store.write(genesis.rows), genesis.advance);
  world.blocks.push(genesisBlockOf(world.file, toHex(genesis.advance.root)));
  world.receipts.push([]);
  for (const block of readBlocks(directory)) await runBlock(world, block);
  const head = present(world.blocks.at(-1), 'head');
  const expected = JSON.parse(readFileSync(join(directory, 'headfcu.json'), 'utf8')) as {
    params: readonly { headBlockHash: Hash }[];
  };
  check(head.hash === expected.params[0]?.headBlockHash, 'the head is not the recorded one');
  return chainOf(world, head);
}

function chainOf(world: World, head: BlockRecord): Chain {
  const { state, blocks, receipts, store } = world;
  const chainId = BigInt(present(world.file.config['chainId'], 'chainId'));
  const place = (number: number): Result<Place> => {
    const block = blocks[number];
    return block === undefined
      ? fault('unknownBlock', `block ${number} is not known`)
      : success({ header: block.header, source: state.at(number) });
  };
  const machines = createLender(4, () =>
    createMachine(
      commonOf(world.file, forkOf(world.file, head.header.number, head.header.timestamp)),
      (number) => blocks[number]?.hash ?? null,
    ),
  );
  const numberOf = (hash: Hash): number | null => {
    const number = blocks.findIndex((block) => block.hash === hash);
    return number < 0 ? null : number;
  };
  const found = (hash: Hash): Readonly<{ block: BlockRecord; index: number }> | null => {
    for (const block of blocks) {
      const index = block.transactions.findIndex((tx) => tx.hash === hash);
      if (index >= 0) return { block, index };
    }
    return null;
  };
  const reads = {
    header: async (number: number) => blocks[number]?.header ?? null,
    numberOf: async (hash: Hash) => numberOf(hash),
    blockByNumber: async (number: number) => blocks[number] ?? null,
    blockByHash: async (hash: Hash) => blocks[numberOf(hash) ?? -1] ?? null,
    receipts: async (number: number) => receipts[number] ?? null,
    async receipt(hash: Hash) {
      const at = found(hash);
      return at === null ? null : (receipts[at.block.header.number]?.[at.index] ?? null);
    },
    async transaction(hash: Hash): Promise<TransactionRecord | null> {
      const at = found(hash);
      if (at === null) return null;
      const { header } = at.block;
      return {
        transaction: present(at.block.transactions[at.index], 'transaction'),
        blockHash: at.block.hash,
        blockNumber: header.number,
        blockTimestamp: header.timestamp,
        index: at.index,
        baseFeePerGas: header.baseFeePerGas ?? 0n,
      };
    },
  };
  const chain: Partial<Chain> = {
    chainId,
    genesisHash: present(blocks[0], 'genesis').hash,
    limits: LIMITS,
    pool: createPool(
      chainId,
      {
        account: (address) => state.account(address),
        code: (hash) => state.code(hash),
        gasLimit: () => head.header.gasLimit,
      },
      LIMITS,
    ),
    head: () => head,
    ...reads,
    logs: (filter) =>
      queryLogs(
        { header: (n) => blocks[n]?.header ?? null, receipts: (n) => receipts[n] ?? null },
        head.header.number,
        filter,
        LIMITS,
      ),
    state(number) {
      const at = place(number);
      return at.ok ? success(stateView(number, at.value.source, () => number === head.header.number)) : at;
    },
    proof: async (address, slots) => success(proofAt(state, address, slots)),
    ...createCalls({ machines, limits: LIMITS, place }),
    async simulate(simulation, number) {
      const at = place(number);
      if (!at.ok) return at;
      return machines.lend((machine) =>
        simulate(machine, at.value, simulation, {
          chainId,
          gas: LIMITS.callGas,
          root: async (changes, height) =>
            number === head.header.number ? (await sealState(state, store, changes, height)).advance.root : null,
          conclude: takeRequests,
        }),
      );
    },
    async traceTransaction(hash, trace) {
      const at = found(hash);
      if (at === null) return fault('unknownTransaction', 'transaction not found');
      const machine = await prepare(world, at.block.header);
      return replay(machine, placeOf(machine, at.block.header), at.block, at.index, trace);
    },
    nextBaseFee: () => nextBaseFee(head.header),
    onHead: () => () => {},
    failure: () => null,
  };
  return chain as Chain;
}
