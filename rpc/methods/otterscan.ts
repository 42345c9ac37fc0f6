// Owns ots_: what the Otterscan explorer asks of a node beside eth_ (its API level 8). Histories come from the address index,
// inner calls from re-execution, so the latter reach back as far as the state window.

import { toHex } from '../../base/bytes.ts';
import { FaultError, fault, unwrap } from '../../base/fault.ts';
import type { Address, BlockRecord, CallOutcome, HistoryEntry, Hash, TraceListener } from '../../chain/api.ts';
import { type BlockId, blockId, findBlock, resolveNumber } from '../block-id.ts';
import { invalidParams, refused } from '../errors.ts';
import { blockJson, headerJson, minedJson, placed, quantityOf, receiptJson } from '../format.ts';
import { address, argument, count, hash, required } from '../params.ts';
import type { MethodContext, MethodTable } from './method.ts';

const API_LEVEL = 8;
/** ots_getInternalOperations: kinds by number; 1, self-destruction, is no call and so not seen. */
const OPERATIONS: Readonly<Record<string, number>> = { CALL: 0, CREATE: 2, CREATE2: 3 };
/** Bytes of a call's input that a list shows: the selector. */
const SELECTOR_BYTES = 4;

type Json = Readonly<Record<string, unknown>>;
type Frame = Parameters<NonNullable<TraceListener['enter']>>[0];
type Ran = { frame: Frame; output: string; failed: boolean; createdAddress: Address | null };

/** Re-executes a transaction and lists its frames in the order they were entered. */
async function frames(context: MethodContext, wanted: Hash): Promise<{ frames: readonly Ran[]; outcome: CallOutcome }> {
  const { chain, limits } = context;
  const all: Ran[] = [];
  const open: (Ran | null)[] = [];
  let entered = 0;
  const outcome = await chain.traceTransaction(wanted, {
    enter(frame) {
      const ran = ++entered > limits.traceCalls ? null : { frame, output: '0x', failed: false, createdAddress: null };
      if (ran !== null) all.push(ran);
      open.push(ran);
    },
    exit(result) {
      const ran = open.pop();
      if (ran == null) return;
      ran.output = toHex(result.output);
      ran.failed = result.error !== null;
      ran.createdAddress = result.createdAddress;
    },
  });
  if (!outcome.ok) throw new FaultError(fault(outcome.code, outcome.message));
  if (entered > limits.traceCalls) throw refused(`the trace has more than ${limits.traceCalls} calls`);
  return { frames: all, outcome: outcome.value };
}

/** A frame counts only when it and every frame around it succeeded. */
function effective(all: readonly Ran[]): readonly Ran[] {
  const kept: Ran[] = [];
  let deadFrom = Number.POSITIVE_INFINITY;
  for (const ran of all) {
    const { depth } = ran.frame;
    if (depth > deadFrom) continue;
    deadFrom = ran.failed ? depth : Number.POSITIVE_INFINITY;
    if (!ran.failed) kept.push(ran);
  }
  return kept;
}

/** A block as explorers name it: also by a plain JSON number. */
function shownBlock(params: readonly unknown[], index: number): BlockId {
  const value = index === 0 ? required(params, 0) : params[index];
  return blockId(typeof value === 'number' ? quantityOf(count(value, argument(index))) : value, argument(index));
}

function operation({ frame, createdAddress }: Ran): Json | null {
  const type = OPERATIONS[frame.type];
  const inner = frame.depth > 0;
  if (type === undefined || !inner || (type === 0 && frame.value === 0n)) return null;
  return { type, from: frame.from, to: frame.to ?? createdAddress, value: quantityOf(frame.value) };
}

/** Fees the senders of a block paid, burned part included, in wei. */
async function totalFees({ chain }: MethodContext, number: number): Promise<bigint> {
  const receipts = (await chain.receipts(number)) ?? [];
  return receipts.reduce((sum, receipt) => sum + receipt.gasUsed * receipt.effectiveGasPrice, 0n);
}

async function blockDetails(context: MethodContext, block: BlockRecord | null): Promise<Json | null> {
  if (block === null) return null;
  const { transactions: _, ...shown } = blockJson(block, false);
  return {
    block: { ...shown, logsBloom: null, transactionCount: block.transactions.length },
    // Blocks carry no subsidy: coins come into being as the withdrawals that are listed in the block.
    issuance: { blockReward: '0x0', uncleReward: '0x0', issuance: '0x0' },
    totalFees: quantityOf(await totalFees(context, block.header.number)),
  };
}

async function blockTransactions(context: MethodContext, params: readonly unknown[]): Promise<Json | null> {
  const { chain } = context;
  const block = await findBlock(chain, shownBlock(params, 0));
  if (block === null) return null;
  const page = count(required(params, 1), argument(1));
  const size = pageSize(context, params, 2);
  // Pages count from the newest transaction of the block.
  const end = Math.max(0, block.transactions.length - page * size);
  const start = Math.max(0, end - size);
  const receipts = ((await chain.receipts(block.header.number)) ?? []).slice(start, end);
  return {
    fullblock: {
      ...headerJson(block.header, block.hash),
      size: quantityOf(block.size),
      logsBloom: null,
      transactionCount: block.transactions.length,
      transactions: block.transactions.slice(start, end).map((transaction, i) => ({
        ...minedJson(placed(transaction, block, start + i)),
        input: toHex(transaction.input.subarray(0, SELECTOR_BYTES)),
      })),
    },
    receipts: receipts.map((receipt) => ({ ...receiptJson(receipt), logs: null, logsBloom: null })),
  };
}

function pageSize({ limits }: MethodContext, params: readonly unknown[], index: number): number {
  const size = count(required(params, index), argument(index));
  if (size < 1 || size > limits.searchPage)
    throw invalidParams(`invalid ${argument(index)}: page size ${size}, allowed are 1 to ${limits.searchPage}`);
  return size;
}

/** At least `size` transactions of an address' history, and then the rest of the last block, so that pages join at blocks. */
async function search(context: MethodContext, params: readonly unknown[], order: 'newest' | 'oldest'): Promise<Json> {
  const { chain, limits } = context;
  const who = address(required(params, 0), argument(0));
  const block = count(required(params, 1), argument(1));
  const size = pageSize(context, params, 2);
  // Block 0 asks for the end of the list: the newest or the oldest.
  const from = block === 0 ? {} : { block };
  const hashes: Hash[] = [];
  let last: number | null = null;
  let cursor: string | undefined;
  let more = true;
  const take = ({ hash: found, blockNumber }: HistoryEntry): boolean => {
    if (found === null || hashes.at(-1) === found) return true;
    if (hashes.length >= size && blockNumber !== last) return false;
    last = blockNumber;
    hashes.push(found);
    return true;
  };
  while (more && hashes.length <= limits.searchResults) {
    const page: { limit: number; order: typeof order; cursor?: string; block?: number } = {
      limit: size,
      order,
      ...from,
    };
    if (cursor !== undefined) page.cursor = cursor;
    const { entries, next } = unwrap(await chain.addressHistory(who, page));
    if (!entries.every(take)) break;
    more = next !== null;
    cursor = next ?? undefined;
  }
  if (hashes.length > limits.searchResults) throw refused(`more than ${limits.searchResults} transactions in a page`);
  const end = !more;
  const listed = await Promise.all(hashes.map((found) => searched(context, found)));
  if (order === 'oldest') listed.reverse();
  return {
    txs: listed.map(({ tx }) => tx),
    receipts: listed.map(({ receipt }) => receipt),
    firstPage: order === 'newest' ? block === 0 : end,
    lastPage: order === 'newest' ? end : block === 0,
  };
}

async function searched({ chain }: MethodContext, wanted: Hash): Promise<{ tx: unknown; receipt: unknown }> {
  const [record, receipt] = await Promise.all([chain.transaction(wanted), chain.receipt(wanted)]);
  if (record === null || receipt === null) throw refused(`transaction ${wanted} not found`);
  return { tx: minedJson(record), receipt: { ...receiptJson(receipt), timestamp: record.blockTimestamp } };
}

/** Walks an address' history, oldest or newest first, until `found` answers. Bounded by limits.searchScan. */
async function findInHistory<T>(
  { chain, limits }: MethodContext,
  who: Address,
  order: 'newest' | 'oldest',
  found: (entry: HistoryEntry) => Promise<T | null>,
): Promise<T | null> {
  let cursor: string | null = '';
  for (let seen = 0; cursor !== null && seen < limits.searchScan; ) {
    const at: { cursor?: string } = cursor === '' ? {} : { cursor };
    const page = unwrap(await chain.addressHistory(who, { limit: 100, order, ...at }));
    for (const entry of page.entries) {
      const answer = await found(entry);
      if (answer !== null) return answer;
    }
    seen += page.entries.length;
    cursor = page.next;
  }
  if (cursor !== null) throw refused(`more than ${limits.searchScan} entries of the address were looked through`);
  return null;
}

export const otterscanMethods: MethodTable = {
  ots_getApiLevel: {
    params: '',
    summary: 'Level of the Otterscan interface served here.',
    run: () => API_LEVEL,
  },
  ots_hasCode: {
    params: 'address, block?',
    summary: 'True when the account has code at a block.',
    async run({ chain }, params) {
      const number = await resolveNumber(chain, shownBlock(params, 1));
      return (await unwrap(chain.state(number)).code(address(required(params, 0), argument(0)))).length > 0;
    },
  },
  ots_getInternalOperations: {
    params: 'hash',
    summary: 'Transfers and creations inside a transaction that took effect.',
    cost: 50,
    async run(context, params) {
      const { frames: all } = await frames(context, hash(required(params, 0), argument(0)));
      return effective(all).flatMap((ran) => operation(ran) ?? []);
    },
  },
  ots_getTransactionError: {
    params: 'hash',
    summary: 'Bytes a failed transaction returned; 0x when it succeeded.',
    cost: 50,
    async run(context, params) {
      const { outcome } = await frames(context, hash(required(params, 0), argument(0)));
      return outcome.failure === null ? '0x' : toHex(outcome.returned);
    },
  },
  ots_traceTransaction: {
    params: 'hash',
    summary: 'All calls of a transaction as one flat list with depths.',
    cost: 50,
    async run(context, params) {
      const { frames: all } = await frames(context, hash(required(params, 0), argument(0)));
      return all.map(({ frame, output, createdAddress }) => ({
        type: frame.type,
        depth: frame.depth,
        from: frame.from,
        to: frame.to ?? createdAddress,
        value: ['DELEGATECALL', 'STATICCALL'].includes(frame.type) ? null : quantityOf(frame.value),
        input: toHex(frame.input),
        output,
      }));
    },
  },
  ots_getBlockDetails: {
    params: 'block',
    summary: 'Block without its transactions, with their number, issuance and the sum of fees; null when unknown.',
    cost: 5,
    run: async (context, params) => blockDetails(context, await findBlock(context.chain, shownBlock(params, 0))),
  },
  ots_getBlockDetailsByHash: {
    params: 'hash',
    summary: 'As ots_getBlockDetails, by hash.',
    cost: 5,
    run: async (context, params) =>
      blockDetails(context, await context.chain.blockByHash(hash(required(params, 0), argument(0)))),
  },
  ots_getBlockTransactions: {
    params: 'block, page, pageSize',
    summary: 'A page of a block, newest transactions on page 0: inputs cut to the selector, receipts without logs.',
    cost: 5,
    run: blockTransactions,
  },
  ots_searchTransactionsBefore: {
    params: 'address, block, pageSize',
    summary: 'Transactions that touched an address below a block (0: the newest), newest first.',
    cost: 10,
    run: (context, params) => search(context, params, 'newest'),
  },
  ots_searchTransactionsAfter: {
    params: 'address, block, pageSize',
    summary: 'Transactions that touched an address above a block (0: the oldest), newest first.',
    cost: 10,
    run: (context, params) => search(context, params, 'oldest'),
  },
  ots_getTransactionBySenderAndNonce: {
    params: 'address, nonce',
    summary: 'Hash of the transaction an account sent with a nonce; null when there is none.',
    cost: 10,
    async run(context, params) {
      const who = address(required(params, 0), argument(0));
      const nonce = count(required(params, 1), argument(1));
      if (nonce >= (await unwrap(context.chain.state(context.chain.head().header.number)).nonce(who))) return null;
      return findInHistory(context, who, 'newest', async ({ role, hash: sent }) => {
        if (role !== 'from' || sent === null) return null;
        const record = await context.chain.transaction(sent);
        return record?.transaction.nonce === nonce ? sent : null;
      });
    },
  },
  ots_getContractCreator: {
    params: 'address',
    summary: 'Transaction and account that created a contract by a creation of their own; null for other accounts.',
    cost: 10,
    run: (context, params) =>
      findInHistory(context, address(required(params, 0), argument(0)), 'oldest', async ({ role, hash: made }) => {
        if (role !== 'created' || made === null) return null;
        const record = await context.chain.transaction(made);
        return record === null ? null : { hash: made, creator: record.transaction.from };
      }),
  },
};
