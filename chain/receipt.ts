// Owns receipts: blooms, their consensus RLP, their form on disk, and the views rpc serves.

import { fromHex, toHex } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import type { Address, BlockRecord, Hash, Log, RawLog, Receipt } from './api.ts';
import { keccak256 } from './keccak.ts';
import { decodeRlp, encodeRlp, type Item, ListReader, minimal } from './rlp.ts';
import { effectiveGasPrice } from './transaction.ts';
import type { Hex } from '../base/bytes.ts';

/** What execution yields for one transaction; the rest of a receipt follows from the block. */
export type Outcome = Readonly<{
  status: 0 | 1;
  gasUsed: bigint;
  contractAddress: Address | null;
  logs: readonly RawLog[];
  /** As in Receipt: only of imported chains. */
  stateRoot?: Hash;
  blobGas?: Receipt['blobGas'];
}>;

/** keccak256("Transfer(address,address,uint256)"): ERC-20 and ERC-721 alike. */
export const TRANSFER_TOPIC: Hash = toHex(keccak256(Buffer.from('Transfer(address,address,uint256)')));

const BLOOM_BYTES = 256;

/** Sets the three bits of an entry (yellow paper, section 4.3.1). */
function addToBloom(bloom: Uint8Array, entry: Uint8Array): void {
  const hash = keccak256(entry);
  for (let i = 0; i < 6; i += 2) {
    const bit = (((hash[i] as number) << 8) | (hash[i + 1] as number)) & 2047;
    const at = BLOOM_BYTES - 1 - (bit >> 3);
    bloom[at] = (bloom[at] as number) | (1 << (bit & 7));
  }
}

/** Of most receipts. Never written to. */
const NO_BLOOM = new Uint8Array(BLOOM_BYTES);
const NO_BLOOM_HEX = toHex(NO_BLOOM);

export function logsBloom(logs: readonly RawLog[]): Uint8Array {
  if (logs.length === 0) return NO_BLOOM;
  const bloom = new Uint8Array(BLOOM_BYTES);
  for (const log of logs) {
    addToBloom(bloom, fromHex(log.address));
    for (const topic of log.topics) addToBloom(bloom, fromHex(topic));
  }
  return bloom;
}

/** False when no log of a block with this bloom can carry the entry. */
export function bloomMayHold(bloom: Hex, entry: Hex): boolean {
  const bytes = fromHex(bloom);
  const wanted = new Uint8Array(BLOOM_BYTES);
  addToBloom(wanted, fromHex(entry));
  return wanted.every((byte, i) => ((bytes[i] as number) & byte) === byte);
}

export function orBlooms(blooms: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(BLOOM_BYTES);
  for (const bloom of blooms) {
    if (bloom === NO_BLOOM) continue;
    for (let i = 0; i < BLOOM_BYTES; i++) out[i] = (out[i] as number) | (bloom[i] as number);
  }
  return out;
}

function logItems(logs: readonly RawLog[]): Item[] {
  return logs.map((log) => [fromHex(log.address), log.topics.map(fromHex), log.data]);
}

/** Bytes in the receipts trie: [status, cumulative gas, bloom, logs], after the type byte of typed transactions. A state
 * root stands in place of the status before Byzantium. */
export function receiptRlp(
  type: number,
  status: 0 | 1 | Hash,
  cumulative: bigint,
  bloom: Uint8Array,
  logs: readonly RawLog[],
): Uint8Array {
  const outcome = typeof status === 'string' ? fromHex(status) : minimal(status);
  const body = encodeRlp([outcome, minimal(cumulative), bloom, logItems(logs)]);
  if (type === 0) return body;
  const out = new Uint8Array(1 + body.length);
  out[0] = type;
  out.set(body, 1);
  return out;
}

/** Receipts of a block in full, from its outcomes. */
export function receiptViews(block: BlockRecord, outcomes: readonly Outcome[]): Receipt[] {
  check(outcomes.length === block.transactions.length, 'receipts: one for each transaction');
  let cumulative = 0n;
  let logIndex = 0;
  return block.transactions.map((tx, index) => {
    const outcome = present(outcomes[index], 'outcome');
    cumulative += outcome.gasUsed;
    const logs: Log[] = outcome.logs.map((log) => ({
      ...log,
      blockNumber: block.header.number,
      blockHash: block.hash,
      blockTimestamp: block.header.timestamp,
      transactionHash: tx.hash,
      transactionIndex: index,
      logIndex: logIndex++,
    }));
    return {
      transactionHash: tx.hash,
      transactionIndex: index,
      blockHash: block.hash,
      blockNumber: block.header.number,
      from: tx.from,
      to: tx.to,
      type: tx.type,
      status: outcome.status,
      cumulativeGasUsed: cumulative,
      gasUsed: outcome.gasUsed,
      effectiveGasPrice: effectiveGasPrice(tx, block.header.baseFeePerGas),
      contractAddress: outcome.contractAddress,
      logs,
      logsBloom: outcome.logs.length === 0 ? NO_BLOOM_HEX : toHex(logsBloom(outcome.logs)),
      ...(outcome.blobGas === undefined ? {} : { blobGas: outcome.blobGas }),
      ...(outcome.stateRoot === undefined ? {} : { stateRoot: outcome.stateRoot }),
    };
  });
}

/** Disk form of a block's outcomes and of its system logs. */
export function packOutcomes(outcomes: readonly Outcome[], systemLogs: readonly RawLog[]): Uint8Array {
  const none = new Uint8Array(0);
  return encodeRlp([
    outcomes.map((one) => [
      minimal(one.status),
      minimal(one.gasUsed),
      one.contractAddress === null ? none : fromHex(one.contractAddress),
      logItems(one.logs),
    ]),
    logItems(systemLogs),
  ]);
}

export function unpackOutcomes(bytes: Uint8Array): Readonly<{ outcomes: Outcome[]; systemLogs: RawLog[] }> {
  const items = decodeRlp(bytes);
  check(Array.isArray(items), 'receipts record: not a list');
  const read = new ListReader(items);
  const outcomes = read.list('outcomes').map((item): Outcome => {
    const one = new ListReader(item as Item[]);
    const status = one.number('status') === 1 ? 1 : 0;
    const gasUsed = one.integer('gasUsed');
    const created = one.bytes('contractAddress');
    return {
      status,
      gasUsed,
      contractAddress: created.length === 0 ? null : toHex(created),
      logs: unpackLogs(one.list('logs')),
    };
  });
  const systemLogs = unpackLogs(read.list('systemLogs'));
  check(read.bad === null, `receipts record: ${read.bad}`);
  return { outcomes, systemLogs };
}

function unpackLogs(items: readonly Item[]): RawLog[] {
  return items.map((item) => {
    const log = new ListReader(item as Item[]);
    const address = toHex(log.bytes('address'));
    const topics = log.list('topics').map((topic) => toHex(topic as Uint8Array));
    return { address, topics, data: log.bytes('data') };
  });
}
