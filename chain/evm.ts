// Owns the EVM library: its one configuration (Prague, fast crypto), its block object, its instances over a journal.

import { type Block, createBlock, paramsBlock } from '@ethereumjs/block';
import { type Common, createCustomCommon, Hardfork, Mainnet } from '@ethereumjs/common';
import { createEVM, type EVM, paramsEVM } from '@ethereumjs/evm';
import { createTxFromRLP, paramsTx, type TypedTransaction } from '@ethereumjs/tx';
import { Address as EvmAddress } from '@ethereumjs/util';
import { createVM, paramsVM, type RunTxResult, runTx, type VM } from '@ethereumjs/vm';
import { concat, fromHex, toHex } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { secp256k1 } from '../base/keys.ts';
import { sha256 } from '../base/hash.ts';
import type { Address, Hash, Header, RawLog, Transaction } from './api.ts';
import { replaceLoop } from './interpreter.ts';
import { keccak256 } from './keccak.ts';
import { KZG, prepareKzg } from './kzg.ts';
import { StateJournal, type StateSource } from './state-journal.ts';
import { CALL_TURNS, takeTurnsAtJumps, type Turns } from './turns.ts';
import { takeWordsDirectly } from './words.ts';

/** Hash of an ancestor block for BLOCKHASH, or null when it is not known. */
export type BlockHashOf = (number: number) => Hash | null;

export type Machine = Readonly<{
  vm: VM;
  evm: EVM;
  journal: StateJournal;
  common: Common;
  /** Hashes of blocks that exist for this run only (simulated ones); BLOCKHASH looks here first. */
  ancestors: Map<number, Hash>;
  /** A broken store under the journal: what the library threw was not the transaction's doing. */
  failure?: () => Error | null;
  chainId: bigint;
  /** The rules of apply.ts hold: those of Prague, and of Cancun, which the published state tests are for. */
  appliesAlone: boolean;
  /** EIP-7623. */
  hasFloor: boolean;
}>;

function recoverPublicKey(digest: Uint8Array, recovery: number, r: Uint8Array, s: Uint8Array): Uint8Array {
  const compact = new Uint8Array(64);
  compact.set(r, 32 - r.length);
  compact.set(s, 64 - s.length);
  const key = recovery === 0 || recovery === 1 ? secp256k1.recover(digest, compact, recovery) : null;
  // The library takes a throw here as an invalid signature.
  if (key === null) throw new Error('invalid signature');
  return key.subarray(1);
}

/** y parity of a v of 27/28, of 0/1, or of EIP-155. */
function parityOf(v: bigint, chainId: bigint | undefined): number {
  if (v === 0n || v === 1n) return Number(v);
  return Number(chainId === undefined || v === 27n || v === 28n ? v - 27n : v - 35n - 2n * chainId);
}

/** Above every number of an EIP the library knows. */
const HIGHEST_EIP = 20_000;

export function createCommon(chainId: number, hardfork: Hardfork = Hardfork.Prague): Common {
  const common = createCustomCommon({ chainId, name: 'pol' }, Mainnet, {
    hardfork,
    customCrypto: {
      keccak256,
      sha256: (bytes) => sha256(bytes),
      ecrecover: (digest, v, r, s, id) => recoverPublicKey(digest, parityOf(v, id), r, s),
      kzg: KZG,
    },
  });
  for (const params of [paramsTx, paramsBlock, paramsEVM, paramsVM]) common.updateParams(params);
  // The library copies and merges all of this again for each transaction and header, a tenth of a block's time. Here one
  // configuration serves for good: its hardfork never changes.
  common.copy = () => common;
  common.updateParams = () => {};
  // Both are asked several times an opcode; the library searches a list and converts a value each time.
  const active = new Set(common.eips());
  for (let eip = 1; eip < HIGHEST_EIP; eip++) if (common.isActivatedEIP(eip)) active.add(eip);
  common.isActivatedEIP = (eip) => active.has(eip);
  const values = new Map<string, bigint>();
  const read = common.param.bind(common);
  common.param = (name) => {
    const known = values.get(name);
    if (known !== undefined) return known;
    const value = read(name);
    values.set(name, value);
    return value;
  };
  return common;
}

const NO_STATE: StateSource = { account: () => null, storage: () => new Uint8Array(0), code: () => new Uint8Array(0) };

/** A machine of its own state: never two runs at once on one (the library is not re-entrant). */
export async function createMachine(
  common: Common,
  hashOf: BlockHashOf,
  failure: () => Error | null = () => null,
  turns: Turns = CALL_TURNS,
): Promise<Machine> {
  const journal = new StateJournal(NO_STATE, turns.frames);
  const ancestors = new Map<number, Hash>();
  const blockchain = {
    async getBlock(number: number) {
      const hash = ancestors.get(Number(number)) ?? hashOf(Number(number));
      check(hash !== null, `BLOCKHASH: block ${number} is not known`);
      return { hash: () => fromHex(hash) };
    },
    async putBlock() {},
    shallowCopy() {
      return blockchain;
    },
  };
  await prepareKzg();
  const evm = await createEVM({ common, stateManager: journal, blockchain });
  takeTurnsAtJumps(evm, turns.jumps);
  takeWordsDirectly(evm);
  const vm = await createVM({ common, stateManager: journal, blockchain, evm });
  await replaceLoop(evm);
  const appliesAlone = common.hardfork() === Hardfork.Prague || common.hardfork() === Hardfork.Cancun;
  const rules = { chainId: common.chainId(), appliesAlone, hasFloor: common.isActivatedEIP(7_623) };
  return { vm, evm, journal, common, ancestors, failure, ...rules };
}

/** The header fields execution reads. */
export type ExecutionHeader = Pick<
  Header,
  'parentHash' | 'coinbase' | 'number' | 'gasLimit' | 'timestamp' | 'mixHash' | 'baseFeePerGas' | 'excessBlobGas'
>;

export function executionBlock(common: Common, header: ExecutionHeader): Block {
  return createBlock(
    {
      header: {
        parentHash: fromHex(header.parentHash),
        coinbase: evmAddress(header.coinbase),
        number: header.number,
        gasLimit: header.gasLimit,
        timestamp: header.timestamp,
        mixHash: fromHex(header.mixHash),
        baseFeePerGas: header.baseFeePerGas,
        excessBlobGas: header.excessBlobGas,
      },
    },
    { common, freeze: false, skipConsensusFormatValidation: true },
  );
}

type EvmBlock = NonNullable<Parameters<EVM['runCall']>[0]['block']>;

/** What code sees of the block it runs in. The library's whole block object costs more than an empty block's execution, so it
 * is made when the library's frame of a transaction asks for it. */
export type ExecutionPlace = EvmBlock & Readonly<{ whole(): Block }>;

export function executionPlace(common: Common, header: ExecutionHeader): ExecutionPlace {
  let block: Block | null = null;
  const whole = (): Block => {
    block ??= executionBlock(common, header);
    return block;
  };
  return {
    header: {
      number: BigInt(header.number),
      coinbase: evmAddress(header.coinbase),
      timestamp: BigInt(header.timestamp),
      difficulty: 0n,
      prevRandao: fromHex(header.mixHash),
      gasLimit: header.gasLimit,
      baseFeePerGas: header.baseFeePerGas,
      getBlobGasPrice: () => whole().header.getBlobGasPrice(),
    },
    whole,
  };
}

export function evmAddress(address: Address): EvmAddress {
  return new EvmAddress(fromHex(address));
}

const typedForms = new WeakMap<Transaction, Readonly<{ common: Common; typed: TypedTransaction }>>();

/** The library's form of a transaction, with the sender it would otherwise recover a second time. Made once: the pool's
 * transactions are decoded when they come, not while a block is being built. */
export function typedTransaction(common: Common, transaction: Transaction): TypedTransaction {
  const known = typedForms.get(transaction);
  if (known?.common === common) return known.typed;
  const typed = createTxFromRLP(transaction.raw, { common, freeze: false });
  const sender = evmAddress(transaction.from);
  typed.getSenderAddress = () => sender;
  typedForms.set(transaction, { common, typed });
  return typed;
}

/** Runs one transaction. Throws when it is not valid in this place; state is then as before. */
export function runTransaction(
  machine: Machine,
  place: ExecutionPlace,
  tx: TypedTransaction,
  blockGasUsed: bigint,
): Promise<RunTxResult> {
  return runTx(machine.vm, { block: place.whole(), tx, blockGasUsed, skipHardForkValidation: true });
}

type LibraryLog = readonly [address: Uint8Array, topics: readonly Uint8Array[], data: Uint8Array];

export function rawLogs(logs: readonly LibraryLog[] | undefined): RawLog[] {
  return (logs ?? []).map(([address, topics, data]) => ({
    address: toHex(address),
    topics: topics.map(toHex),
    data: concat(data),
  }));
}
