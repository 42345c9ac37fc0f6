// Owns the committed blocks on disk: the rows of a block, and reads of headers, bodies, receipts, look-ups and history.

import { concat, fromHex, toBigInt, toHex, u32be, u64be } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { type Result, fault, success, unwrap } from '../base/fault.ts';
import type {
  Address,
  BlockRecord,
  Hash,
  Header,
  HistoryEntry,
  HistoryPage,
  HistoryRequest,
  RawLog,
  Receipt,
  TransactionRecord,
} from './api.ts';
import type { ChainLimits } from './limits.ts';
import { decodeBlock } from './block-codec.ts';
import { headerFromItems } from './header.ts';
import { keccak256 } from './keccak.ts';
import { type Outcome, packOutcomes, receiptViews, TRANSFER_TOPIC, unpackOutcomes } from './receipt.ts';
import { bodyKey, EMPTY, headerKey, key, lookupKey, metaKey, numberKey, PREFIX, receiptsKey } from './records.ts';
import { decodeRlp, encodeRlp, firstList, type Item, ListReader, minimal } from './rlp.ts';
import type { Row, Store } from './store.ts';

/** Running sums since genesis, kept in the head's record. */
export type Totals = Readonly<{ transactions: number; withdrawals: bigint; minted: bigint; burned: bigint }>;
export const NO_TOTALS: Totals = { transactions: 0, withdrawals: 0n, minted: 0n, burned: 0n };

export type HeadMark = Readonly<{ number: number; hash: Hash; oldestState: number; totals: Totals }>;

const HEAD = metaKey('head');

const ROLES = ['from', 'to', 'created', 'log', 'withdrawal'] as const;
/** address, height, index. */
const HISTORY_PREFIX_BYTES = 1 + 20;

export function headRow(mark: HeadMark): Row {
  const { totals } = mark;
  const value = encodeRlp([
    minimal(mark.number),
    fromHex(mark.hash),
    minimal(mark.oldestState),
    minimal(totals.transactions),
    minimal(totals.withdrawals),
    minimal(totals.minted),
    minimal(totals.burned),
  ]);
  return [HEAD, value];
}

export function readHead(store: Store): HeadMark | null {
  const value = store.get(HEAD);
  if (value === null) return null;
  const read = new ListReader(decodeRlp(value) as Item[]);
  const mark: HeadMark = {
    number: read.number('number'),
    hash: toHex(read.bytes('hash', 32)),
    oldestState: read.number('oldestState'),
    totals: {
      transactions: read.number('transactions'),
      withdrawals: read.integer('withdrawals'),
      minted: read.integer('minted'),
      burned: read.integer('burned'),
    },
  };
  check(read.bad === null, `head record: ${read.bad}`);
  return mark;
}

/** Everything a block adds, but for its state and the head's record. */
export function blockRows(
  block: BlockRecord,
  wire: Uint8Array,
  certificate: Uint8Array,
  outcomes: readonly Outcome[],
  systemLogs: readonly RawLog[],
): Row[] {
  const { number } = block.header;
  const header = present(firstList(wire), 'header of the wire bytes');
  const rows: Row[] = [
    [headerKey(number), concat(u32be(header.length), header, certificate)],
    [numberKey(block.hash), minimal(number)],
    [bodyKey(number), encodeRlp([wire, concat(...block.transactions.map((tx) => fromHex(tx.from)))])],
    [receiptsKey(number), packOutcomes(outcomes, systemLogs)],
  ];
  block.transactions.forEach((tx, index) => {
    rows.push([lookupKey(tx.hash), concat(u64be(number), u32be(index))]);
  });
  for (const row of historyRows(block, outcomes)) rows.push(row);
  return rows;
}

/** One row for each address that took part in a transaction, with the foremost of its roles, and one for a withdrawal. */
function historyRows(block: BlockRecord, outcomes: readonly Outcome[]): Row[] {
  const rows: Row[] = [];
  const at = u64be(block.header.number);
  block.transactions.forEach((tx, index) => {
    const outcome = present(outcomes[index], 'outcome');
    const roles = new Map<Address, number>([[tx.from, 0]]);
    const add = (address: Address | null, role: number) => {
      if (address !== null && !roles.has(address)) roles.set(address, role);
    };
    add(tx.to, 1);
    add(outcome.contractAddress, 2);
    for (const log of outcome.logs) for (const address of logParties(log)) add(address, 3);
    const hash = fromHex(tx.hash);
    for (const [address, role] of roles) {
      rows.push([key(PREFIX.history, fromHex(address), at, u32be(index), Uint8Array.of(role)), hash]);
    }
  });
  block.withdrawals.forEach((withdrawal, index) => {
    rows.push([key(PREFIX.history, fromHex(withdrawal.address), at, u32be(index), Uint8Array.of(4)), EMPTY]);
  });
  return rows;
}

/** The emitter, and the two sides of a token transfer. */
function logParties(log: RawLog): Address[] {
  const out: Address[] = [log.address];
  if (log.topics[0] !== TRANSFER_TOPIC) return out;
  for (const topic of log.topics.slice(1, 3)) {
    if (topic.startsWith('0x000000000000000000000000')) out.push(`0x${topic.slice(26)}`);
  }
  return out;
}

/** Splits a header row without decoding it. */
export function splitHeaderRow(value: Uint8Array): Readonly<{ header: Uint8Array; certificate: Uint8Array }> {
  const length = new DataView(value.buffer, value.byteOffset).getUint32(0);
  return { header: value.subarray(4, 4 + length), certificate: value.subarray(4 + length) };
}

function cacheInto<V>(cache: Map<number, V>, size: number, number: number, value: V): V {
  cache.set(number, value);
  if (cache.size > size) {
    for (const oldest of cache.keys()) {
      cache.delete(oldest);
      break;
    }
  }
  return value;
}

/** Blocks kept decoded, with their transactions. */
const BLOCK_CACHE = 64;

/** Reads of committed blocks. `top` is the head's height: rows above it are not there yet. */
export class Ledger {
  readonly #store: Store;
  readonly #limits: ChainLimits;
  readonly #top: () => number;
  readonly #headers = new Map<number, Header>();
  readonly #blocks = new Map<number, BlockRecord>();
  readonly #receipts = new Map<number, readonly Receipt[]>();

  constructor(store: Store, limits: ChainLimits, top: () => number) {
    this.#store = store;
    this.#limits = limits;
    this.#top = top;
  }

  #has(number: number): boolean {
    return Number.isSafeInteger(number) && number >= 0 && number <= this.#top();
  }

  #headerRow(number: number): Readonly<{ header: Uint8Array; certificate: Uint8Array }> {
    return splitHeaderRow(present(this.#store.get(headerKey(number)), `header row ${number}`));
  }

  header(number: number): Header | null {
    if (!this.#has(number)) return null;
    const known = this.#headers.get(number);
    if (known !== undefined) return known;
    const items = decodeRlp(this.#headerRow(number).header) as Item[];
    return cacheInto(this.#headers, this.#limits.headerCache, number, unwrap(headerFromItems(items)));
  }

  hash(number: number): Hash | null {
    return this.#has(number) ? toHex(keccak256(this.#headerRow(number).header)) : null;
  }

  certificate(number: number): Uint8Array | null {
    return this.#has(number) ? this.#headerRow(number).certificate.slice() : null;
  }

  numberOf(hash: Hash): number | null {
    const value = this.#store.get(numberKey(hash));
    if (value === null) return null;
    const number = Number(toBigInt(value));
    return this.#has(number) ? number : null;
  }

  #body(number: number): readonly [wire: Uint8Array, senders: Uint8Array] {
    return decodeRlp(present(this.#store.get(bodyKey(number)), `body row ${number}`)) as [Uint8Array, Uint8Array];
  }

  wire(number: number): Uint8Array | null {
    return this.#has(number) ? this.#body(number)[0] : null;
  }

  block(number: number): BlockRecord | null {
    if (!this.#has(number)) return null;
    const known = this.#blocks.get(number);
    if (known !== undefined) return known;
    const [wire, bytes] = this.#body(number);
    const senders: Address[] = [];
    for (let at = 0; at < bytes.length; at += 20) senders.push(toHex(bytes.subarray(at, at + 20)));
    return cacheInto(this.#blocks, BLOCK_CACHE, number, unwrap(decodeBlock(wire, this.#limits, { senders })));
  }

  #outcomes(number: number): Readonly<{ outcomes: Outcome[]; systemLogs: RawLog[] }> {
    return unpackOutcomes(present(this.#store.get(receiptsKey(number)), `receipts row ${number}`));
  }

  receipts(number: number): readonly Receipt[] | null {
    const known = this.#receipts.get(number);
    if (known !== undefined) return known;
    const block = this.block(number);
    if (block === null) return null;
    return cacheInto(this.#receipts, BLOCK_CACHE, number, receiptViews(block, this.#outcomes(number).outcomes));
  }

  systemLogs(number: number): readonly RawLog[] | null {
    return this.#has(number) ? this.#outcomes(number).systemLogs : null;
  }

  /** Keeps a block just written, so that the first readers need no disk. */
  remember(block: BlockRecord, receipts: readonly Receipt[]): void {
    cacheInto(this.#headers, this.#limits.headerCache, block.header.number, block.header);
    cacheInto(this.#blocks, BLOCK_CACHE, block.header.number, block);
    cacheInto(this.#receipts, BLOCK_CACHE, block.header.number, receipts);
  }

  #locate(hash: Hash): readonly [number: number, index: number] | null {
    const value = this.#store.get(lookupKey(hash));
    if (value === null) return null;
    const number = Number(toBigInt(value.subarray(0, 8)));
    return this.#has(number) ? [number, Number(toBigInt(value.subarray(8)))] : null;
  }

  transaction(hash: Hash): TransactionRecord | null {
    const place = this.#locate(hash);
    if (place === null) return null;
    const [number, index] = place;
    const block = present(this.block(number), 'block');
    return {
      transaction: present(block.transactions[index], 'transaction'),
      blockHash: block.hash,
      blockNumber: number,
      blockTimestamp: block.header.timestamp,
      index,
      baseFeePerGas: block.header.baseFeePerGas,
    };
  }

  receipt(hash: Hash): Receipt | null {
    const place = this.#locate(hash);
    if (place === null) return null;
    return present(present(this.receipts(place[0]), 'receipts')[place[1]], 'receipt');
  }

  async history(address: Address, page: HistoryRequest): Promise<Result<HistoryPage>> {
    if (page.cursor !== undefined && !/^[0-9a-f]{26}$/.test(page.cursor))
      return fault('badCursor', 'cursor: 26 hex digits');
    const limit = Math.max(1, Math.min(Math.floor(page.limit) || 1, this.#limits.historyPage));
    const prefix = key(PREFIX.history, fromHex(address));
    const entries: HistoryEntry[] = [];
    let next: string | null = null;
    let last = '';
    for await (const [rowKey, value] of this.#store.scan({ ...historyRange(prefix, page), limit: limit + 1 })) {
      if (entries.length === limit) {
        next = last;
        break;
      }
      const tail = rowKey.subarray(HISTORY_PREFIX_BYTES);
      last = toHex(tail).slice(2);
      const blockNumber = Number(toBigInt(tail.subarray(0, 8)));
      if (!this.#has(blockNumber)) continue;
      entries.push({
        blockNumber,
        index: Number(toBigInt(tail.subarray(8, 12))),
        role: present(ROLES[tail[12] as number], 'role'),
        hash: value.length === 0 ? null : toHex(value),
      });
    }
    return success({ entries, next });
  }
}

/** Keys of an address' history that a request asks for, in its order. */
function historyRange(prefix: Uint8Array, { order, cursor, block }: HistoryRequest) {
  const newest = order !== 'oldest';
  const at =
    cursor !== undefined ? fromHex(`0x${cursor}`) : block === undefined ? null : u64be(newest ? block : block + 1);
  const last = concat(prefix, new Uint8Array(14).fill(0xff));
  if (newest) return { gte: prefix, lt: at === null ? last : concat(prefix, at), reverse: true };
  // One byte more than the row the page before ended with is the least key above it.
  const first =
    cursor === undefined ? concat(prefix, at ?? new Uint8Array(0)) : concat(prefix, at ?? last, Uint8Array.of(0));
  return { gte: first, lt: last, reverse: false };
}
