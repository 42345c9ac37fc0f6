// Owns candidates: building a block on the head, and judging one field by field by executing it again.

import { equal, toHex } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { ONE_GWEI } from '../base/units.ts';
import type {
  Address,
  BlockCheck,
  BlockRecord,
  BuildRequest,
  Candidate,
  Hash,
  Header,
  SystemHooks,
  Transaction,
  Withdrawal,
} from './api.ts';
import type { ChainLimits } from './limits.ts';
import { blockRecord, certificateRoot, decodeBlock, encodeBlock, withdrawalRlp } from './block-codec.ts';
import type { Machine } from './evm.ts';
import { type Contents, type Execution, execute, type Room } from './execute.ts';
import type { HeadState } from './head-state.ts';
import { EMPTY_OMMERS, EMPTY_REQUESTS, nextBaseFee, ZERO_BLOOM, ZERO_HASH, ZERO_NONCE } from './header.ts';
import type { Totals } from './ledger.ts';
import { logsBloom, orBlooms, type Outcome, receiptRlp, receiptViews } from './receipt.ts';
import { sealState, type SealedState } from './state-root.ts';
import type { Store } from './store.ts';
import { listRoot } from './trie.ts';

/** The block a candidate stands on. */
export type Parent = Readonly<{ block: BlockRecord; totals: Totals }>;

/** What a candidate keeps for its commit. */
export type Prepared = Readonly<{
  parentHash: Hash;
  sealed: SealedState;
  outcomes: readonly Outcome[];
  totals: Totals;
}>;

export type Workshop = Readonly<{
  machine: Machine;
  state: HeadState;
  store: Store;
  limits: ChainLimits;
  system: SystemHooks;
  /** Storage of the parent's state. */
  read: Parameters<SystemHooks['rewards']>[0];
  /** A transaction of the pool, already decoded. */
  pooled(hash: Hash): Transaction | null;
  /** A candidate of this height that already ran. */
  candidate(hash: Hash): Candidate | null;
  pace: Pace;
}>;

/** Milliseconds that roots, rows and bytes took for each transaction of the blocks built lately: a budget must leave them. */
export type Pace = { sealMs: number };
export const FIRST_PACE: Pace = { sealMs: 0.05 };
/** Blocks of fewer transactions say little about one. */
const PACE_SAMPLE = 50;

function keepPace(pace: Pace, transactions: number, ms: number): void {
  if (transactions >= PACE_SAMPLE) pace.sealMs = (3 * pace.sealMs + ms / transactions) / 4;
}

/** Bytes of a block that are not transactions: header, withdrawals, certificate, proof, with room to spare. */
const BLOCK_OVERHEAD = 4_096;

/** Withdrawals the next block must carry: the first unpaid rewards of the head's state. */
async function dueWithdrawals(shop: Workshop, parent: Parent): Promise<Withdrawal[]> {
  const limit = shop.limits.withdrawalsPerBlock;
  const rewards = await shop.system.rewards(shop.read, limit);
  check(rewards.length <= limit, 'rewards: more than asked for');
  return rewards.map((reward, i) => ({
    index: parent.totals.withdrawals + BigInt(i),
    validatorIndex: 0n,
    address: reward.address,
    amount: reward.amountGwei,
  }));
}

/** Header whose roots are still to be filled. */
function draftHeader(parent: Parent, request: Omit<BuildRequest, 'transactions' | 'budget'>): Header {
  const { header, hash } = parent.block;
  return {
    parentHash: hash,
    ommersHash: EMPTY_OMMERS,
    coinbase: request.author,
    stateRoot: ZERO_HASH,
    transactionsRoot: ZERO_HASH,
    receiptsRoot: ZERO_HASH,
    logsBloom: ZERO_BLOOM,
    difficulty: 0n,
    number: header.number + 1,
    gasLimit: header.gasLimit,
    gasUsed: 0n,
    timestamp: request.timestamp,
    extraData: request.nextSetHash,
    mixHash: request.mix,
    nonce: ZERO_NONCE,
    baseFeePerGas: nextBaseFee(header),
    withdrawalsRoot: ZERO_HASH,
    blobGasUsed: 0n,
    excessBlobGas: 0n,
    parentBeaconBlockRoot: certificateRoot(request.parentCertificate),
    requestsHash: EMPTY_REQUESTS,
  };
}

/** Runs the contents and fills the roots. */
async function runContents(
  shop: Workshop,
  header: Header,
  withdrawals: readonly Withdrawal[],
  transactions: readonly Transaction[],
  room: Room | null,
  executed: () => void = () => {},
): Promise<Result<Readonly<{ execution: Execution; sealed: SealedState; filled: Header }>>> {
  const contents: Contents = { header, calls: shop.system.calls(header.number, withdrawals.length), withdrawals };
  const ran = await execute(shop.machine, shop.state.at(header.number - 1), contents, transactions, room);
  if (!ran.ok) return ran;
  executed();
  const execution = ran.value;
  const sealed = await sealState(shop.state, shop.store, execution.changes, header.number);
  const blooms = execution.outcomes.map((outcome) => logsBloom(outcome.logs));
  let cumulative = 0n;
  const receipts = execution.outcomes.map((outcome, i) => {
    cumulative += outcome.gasUsed;
    const type = present(execution.transactions[i], 'transaction').type;
    return receiptRlp(type, outcome.status, cumulative, present(blooms[i], 'bloom'), outcome.logs);
  });
  const filled: Header = {
    ...header,
    stateRoot: toHex(sealed.advance.root),
    transactionsRoot: toHex(listRoot(execution.transactions.map((tx) => tx.raw))),
    receiptsRoot: toHex(listRoot(receipts)),
    withdrawalsRoot: toHex(listRoot(withdrawals.map(withdrawalRlp))),
    logsBloom: toHex(orBlooms(blooms)),
    gasUsed: execution.gasUsed,
  };
  return success({ execution, sealed, filled });
}

function candidateOf(
  parent: Parent,
  block: BlockRecord,
  wire: Uint8Array,
  execution: Execution,
  sealed: SealedState,
): Candidate {
  const { totals } = parent;
  const minted = block.withdrawals.reduce((sum, one) => sum + one.amount * ONE_GWEI, 0n);
  const prepared: Prepared = {
    parentHash: parent.block.hash,
    sealed,
    outcomes: execution.outcomes,
    totals: {
      transactions: totals.transactions + block.transactions.length,
      withdrawals: totals.withdrawals + BigInt(block.withdrawals.length),
      minted: totals.minted + minted,
      burned: totals.burned + block.header.gasUsed * block.header.baseFeePerGas,
    },
  };
  return {
    hash: block.hash,
    block,
    wire,
    receipts: receiptViews(block, execution.outcomes),
    systemLogs: execution.systemLogs,
    left: execution.left,
    changes: prepared,
  };
}

export async function build(shop: Workshop, parent: Parent, request: BuildRequest): Promise<Result<Candidate>> {
  if (!Number.isSafeInteger(request.timestamp) || request.timestamp <= parent.block.header.timestamp) {
    return fault(
      'badTimestamp',
      `timestamp: ${request.timestamp} does not exceed the parent's ${parent.block.header.timestamp}`,
    );
  }
  const header = draftHeader(parent, request);
  const withdrawals = await dueWithdrawals(shop, parent);
  const { budget } = request;
  const now = budget?.now ?? (() => 0);
  const end = now() + (budget?.budgetMs ?? 1);
  const room: Room = {
    bytes: shop.limits.blockBytes - BLOCK_OVERHEAD - request.parentCertificate.length,
    expired: (included) => now() + (budget === undefined ? 0 : included * shop.pace.sealMs) >= end,
  };
  let executedMs = 0;
  const ran = await runContents(shop, header, withdrawals, request.transactions, room, () => {
    executedMs = now();
  });
  if (!ran.ok) return ran;
  const { execution, sealed, filled } = ran.value;
  const parts = {
    header: filled,
    transactions: execution.transactions,
    withdrawals,
    parentCertificate: request.parentCertificate,
    vrfProof: request.vrfProof,
  };
  const candidate = candidateOf(parent, blockRecord(parts), encodeBlock(parts), execution, sealed);
  if (budget !== undefined) keepPace(shop.pace, execution.transactions.length, now() - executedMs);
  return success(candidate);
}

export async function validate(
  shop: Workshop,
  parent: Parent,
  wire: Uint8Array,
  judge?: BlockCheck,
  senders?: readonly Address[],
): Promise<Result<Candidate>> {
  const known = senders === undefined ? {} : { senders };
  const decoded = decodeBlock(wire, shop.limits, { transaction: shop.pooled, ...known });
  if (!decoded.ok) return decoded;
  const block = decoded.value;
  const wrong = wrongHeader(block, parent) ?? (await judge?.(block, parent.block.header)) ?? null;
  if (wrong !== null) return wrong;
  const ready = shop.candidate(block.hash);
  if (ready !== null && equal(ready.wire, wire)) return success(ready);
  const due = await dueWithdrawals(shop, parent);
  const unpaid = wrongWithdrawals(block, due);
  if (unpaid !== null) return unpaid;
  const ran = await runContents(shop, block.header, block.withdrawals, block.transactions, null);
  if (!ran.ok) return ran;
  const { execution, sealed, filled } = ran.value;
  const roots = ['gasUsed', 'transactionsRoot', 'withdrawalsRoot', 'logsBloom', 'receiptsRoot', 'stateRoot'] as const;
  for (const field of roots) {
    if (block.header[field] !== filled[field]) return differs(field, filled[field], block.header[field]);
  }
  return success(candidateOf(parent, block, wire, execution, sealed));
}

function differs(field: string, expected: unknown, got: unknown): Fault {
  const short = (value: unknown) => String(value).slice(0, 66);
  return fault('badBlock', `header.${field}: expected ${short(expected)}, got ${short(got)}`, { field });
}

/** Every field the parent and the body fix, before anything runs. */
function wrongHeader(block: BlockRecord, parent: Parent): Fault | null {
  const { header } = block;
  const before = parent.block.header;
  if (header.timestamp <= before.timestamp) {
    return fault('badBlock', `header.timestamp: ${header.timestamp} does not exceed the parent's ${before.timestamp}`, {
      field: 'timestamp',
    });
  }
  const expected = draftHeader(parent, {
    timestamp: header.timestamp,
    author: header.coinbase,
    mix: header.mixHash,
    vrfProof: block.vrfProof,
    parentCertificate: block.parentCertificate,
    nextSetHash: header.extraData,
  });
  const fixed = [
    'parentHash',
    'number',
    'ommersHash',
    'difficulty',
    'nonce',
    'gasLimit',
    'baseFeePerGas',
    'blobGasUsed',
    'excessBlobGas',
    'parentBeaconBlockRoot',
    'requestsHash',
  ] as const;
  for (const field of fixed) {
    if (header[field] !== expected[field]) return differs(field, expected[field], header[field]);
  }
  if (header.number === 1 && block.parentCertificate.length > 0) {
    return fault('badBlock', 'block.parentCertificate: block 1 carries none', { field: 'parentCertificate' });
  }
  if (header.gasUsed > header.gasLimit) return differs('gasUsed', `at most ${header.gasLimit}`, header.gasUsed);
  return null;
}

function wrongWithdrawals(block: BlockRecord, due: readonly Withdrawal[]): Fault | null {
  const same =
    due.length === block.withdrawals.length &&
    due.every((one, i) => equal(withdrawalRlp(one), withdrawalRlp(present(block.withdrawals[i], 'withdrawal'))));
  if (same) return null;
  return fault('badBlock', `block.withdrawals: not the ${due.length} due rewards of the parent's state`, {
    field: 'withdrawals',
  });
}
