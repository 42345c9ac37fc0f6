// Owns the opening of a database: writing genesis into a new one, and the checks an old one must pass before use.

import { equal, fromHex, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { EMPTY_CODE_HASH, EMPTY_TRIE_ROOT } from './account.ts';
import type { Address, BlockRecord, Genesis, GenesisAccount, Hash, SystemHooks } from './api.ts';
import type { ChainLimits } from './limits.ts';
import { blockRecord, encodeBlock } from './block-codec.ts';
import { genesisHeader } from './genesis.ts';
import { HeadState } from './head-state.ts';
import { keccak256 } from './keccak.ts';
import { type HeadMark, headRow, Ledger, blockRows, NO_TOTALS, readHead, splitHeaderRow } from './ledger.ts';
import { OPEN_CHECK_BLOCKS } from './limits.ts';
import { predeploys } from './predeploys.ts';
import { receiptRlp } from './receipt.ts';
import { accountNodeKey, bodyKey, EMPTY, headerKey, key, metaKey, PREFIX, receiptsKey } from './records.ts';
import type { StateChanges } from './state-journal.ts';
import { sealState, type SealedState } from './state-root.ts';
import type { Store } from './store.ts';
import { listRoot } from './trie.ts';

const SCHEMA = metaKey('schema');
const GENESIS = metaKey('genesis');
const SCHEMA_VERSION = Uint8Array.of(1);

/** Accounts of genesis: the file's, the protocol's, the predeploys. The protocol's own win. */
function genesisChanges(genesis: Genesis, system: SystemHooks): StateChanges {
  const accounts = new Map();
  const slots = new Map<Address, Map<Hash, Uint8Array>>();
  const codes = new Map<Hash, Uint8Array>();
  const all: Record<Address, GenesisAccount> = { ...predeploys(), ...genesis.alloc, ...system.alloc };
  for (const [address, account] of Object.entries(all) as [Address, GenesisAccount][]) {
    const code = account.code === undefined ? EMPTY : fromHex(account.code);
    const codeHash = code.length === 0 ? EMPTY_CODE_HASH : keccak256(code);
    if (code.length > 0) codes.set(toHex(codeHash), code);
    const nonce = BigInt(account.nonce ?? 0);
    accounts.set(address, { nonce, balance: account.balance, storageRoot: EMPTY_TRIE_ROOT, codeHash });
    const words = new Map<Hash, Uint8Array>();
    for (const [slot, word] of Object.entries(account.storage ?? {}) as [Hash, Hash][]) {
      const value = BigInt(word);
      if (value > 0n) words.set(slot, fromHex(evenHex(value)));
    }
    if (words.size > 0) slots.set(address, words);
  }
  return { accounts, slots, cleared: new Set(), codes };
}

function evenHex(value: bigint): string {
  const text = value.toString(16);
  return `0x${text.length % 2 === 0 ? text : `0${text}`}`;
}

async function genesisState(store: Store, genesis: Genesis, system: SystemHooks): Promise<SealedState> {
  const empty = new HeadState(store, -1, EMPTY_TRIE_ROOT, { stateCache: 1 });
  return sealState(empty, store, genesisChanges(genesis, system), 0);
}

function genesisBlock(genesis: Genesis, stateRoot: Uint8Array, firstSetHash?: Hash): BlockRecord {
  const header = genesisHeader(genesis, toHex(stateRoot), firstSetHash);
  return blockRecord({ header, transactions: [], withdrawals: [], parentCertificate: EMPTY, vrfProof: EMPTY });
}

/** Hash of block 0 without a database, for tools that only need the network's name. */
export async function genesisHashOf(genesis: Genesis, system: SystemHooks, firstSetHash?: Hash): Promise<Hash> {
  const nothing = { get: () => null } as unknown as Store;
  const sealed = await genesisState(nothing, genesis, system);
  return genesisBlock(genesis, sealed.advance.root, firstSetHash).hash;
}

export type Opened = Readonly<{ mark: HeadMark; genesisHash: Hash }>;

/** Writes block 0 into an empty store, or checks what is there. */
export async function openLedger(
  store: Store,
  genesis: Genesis,
  system: SystemHooks,
  limits: ChainLimits,
  firstSetHash?: Hash,
): Promise<Result<Opened>> {
  const schema = store.get(SCHEMA);
  if (schema === null) {
    const row = await store.first({ gte: key(PREFIX.header) });
    if (row !== null) return damaged('the genesis marker is missing');
    return success(await writeGenesis(store, genesis, system, firstSetHash));
  }
  if (!equal(schema, SCHEMA_VERSION)) {
    return fault(
      'databaseSchema',
      `database: schema ${schema[0]}, this program reads ${SCHEMA_VERSION[0]}; delete it and sync again`,
    );
  }
  const marker = store.get(GENESIS);
  if (marker === null) return damaged('the genesis marker is missing');
  const genesisHash = toHex(marker);
  const expected = await genesisHashOf(genesis, system, firstSetHash);
  if (genesisHash !== expected) {
    return fault('wrongGenesis', `database: belongs to the network ${genesisHash}, the genesis file is ${expected}`, {
      genesisHash,
      expected,
    });
  }
  const mark = readHead(store);
  if (mark === null) return damaged('the head record is missing');
  return checkLedger(store, mark, genesisHash, limits);
}

function damaged(what: string) {
  return fault('databaseCorrupt', `database: ${what}; delete it and sync again (keys and votes are kept elsewhere)`);
}

async function writeGenesis(store: Store, genesis: Genesis, system: SystemHooks, firstSetHash?: Hash): Promise<Opened> {
  const sealed = await genesisState(store, genesis, system);
  const block = genesisBlock(genesis, sealed.advance.root, firstSetHash);
  const mark: HeadMark = { number: 0, hash: block.hash, oldestState: 0, totals: NO_TOTALS };
  await store.write([
    ...sealed.rows,
    ...blockRows(block, encodeBlock(block), EMPTY, [], []),
    [GENESIS, fromHex(block.hash)],
    [SCHEMA, SCHEMA_VERSION],
    headRow(mark),
  ]);
  return { mark, genesisHash: block.hash };
}

/** The whole header chain, then the newest blocks and the head's state root: a damaged log loses batches in the middle
 * while newer rows survive, so only the links between rows tell. */
async function checkLedger(
  store: Store,
  mark: HeadMark,
  genesisHash: Hash,
  limits: ChainLimits,
): Promise<Result<Opened>> {
  let expected = 0;
  let last: Uint8Array = new Uint8Array(32);
  for await (const [rowKey, value] of store.scan({ gte: key(PREFIX.header), lt: key(PREFIX.header + 1) })) {
    if (!equal(rowKey, headerKey(expected))) return damaged(`block ${expected} is missing`);
    const { header } = splitHeaderRow(value);
    // rlp(header) opens with three bytes of list length and one of string length; then comes parentHash.
    if (!equal(header.subarray(4, 36), last)) return damaged(`block ${expected} does not follow block ${expected - 1}`);
    last = keccak256(header);
    if (expected === 0 && toHex(last) !== genesisHash) return damaged('block 0 is not the genesis block');
    expected++;
  }
  if (expected - 1 !== mark.number || toHex(last) !== mark.hash) {
    return damaged(`the newest block is ${expected - 1}, the head record says ${mark.number}`);
  }
  const ledger = new Ledger(store, limits, () => mark.number);
  for (let number = Math.max(0, mark.number - OPEN_CHECK_BLOCKS); number <= mark.number; number++) {
    const wrong = wrongBlock(store, ledger, number);
    if (wrong !== null) return damaged(`block ${number}: ${wrong}`);
  }
  const root = store.get(accountNodeKey(EMPTY));
  const header = present(ledger.header(mark.number), 'head header');
  if (toHex(root === null ? EMPTY_TRIE_ROOT : keccak256(root)) !== header.stateRoot)
    return damaged('the state is not that of the head');
  return success({ mark, genesisHash });
}

function wrongBlock(store: Store, ledger: Ledger, number: number): string | null {
  if (store.get(bodyKey(number)) === null) return 'its body is missing';
  if (store.get(receiptsKey(number)) === null) return 'its receipts are missing';
  const block = present(ledger.block(number), 'block');
  const receipts = present(ledger.receipts(number), 'receipts');
  if (block.hash !== ledger.hash(number)) return 'its body belongs to another header';
  if (toHex(listRoot(block.transactions.map((tx) => tx.raw))) !== block.header.transactionsRoot)
    return 'its transactions do not match';
  const encoded = receipts.map((one) =>
    receiptRlp(one.type, one.status, one.cumulativeGasUsed, fromHex(one.logsBloom), one.logs),
  );
  return toHex(listRoot(encoded)) === block.header.receiptsRoot ? null : 'its receipts do not match';
}
