// Owns the wire form of blocks: rlp([header, transactions, withdrawals, parentCertificate, vrfProof]), canonical or refused.

import { concat, equal, fromHex, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type { Address, BlockRecord, Hash, Header, Transaction, Withdrawal } from './api.ts';
import type { ChainLimits } from './limits.ts';
import { headerFromItems, headerHash, headerItems } from './header.ts';
import { keccakHex } from './keccak.ts';
import { decodeRlp, encodedLength, encodeRlp, firstList, type Item, ListReader, listHeader, minimal } from './rlp.ts';
import { BLOB_TYPE, decodeTransaction } from './transaction.ts';

export type BlockBounds = Pick<
  ChainLimits,
  'blockBytes' | 'transactionBytes' | 'certificateBytes' | 'vrfProofBytes' | 'withdrawalsPerBlock'
>;

/** A typed transaction travels as a byte string, a legacy one as the list it is (EIP-2718). */
function transactionItem(transaction: Transaction): Uint8Array {
  return transaction.type === 0 ? transaction.raw : encodeRlp(transaction.raw);
}

function list(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  return concat(listHeader(length), ...parts);
}

export function withdrawalRlp(withdrawal: Withdrawal): Uint8Array {
  return encodeRlp([
    minimal(withdrawal.index),
    minimal(withdrawal.validatorIndex),
    fromHex(withdrawal.address),
    minimal(withdrawal.amount),
  ]);
}

type Body = Pick<BlockRecord, 'header' | 'transactions' | 'withdrawals'>;

function coreParts(block: Body): Uint8Array[] {
  return [
    encodeRlp(headerItems(block.header)),
    list(block.transactions.map(transactionItem)),
    list(block.withdrawals.map(withdrawalRlp)),
  ];
}

/** rlp([header, transactions, [], withdrawals]): the block as Ethereum clients write it. */
export function executionBlockRlp(block: Body): Uint8Array {
  const [header, transactions, withdrawals] = coreParts(block) as [Uint8Array, Uint8Array, Uint8Array];
  // Only an imported block from before Shanghai has no withdrawals at all.
  const tail = block.header.withdrawalsRoot === undefined ? [] : [withdrawals];
  return list([header, transactions, Uint8Array.of(0xc0), ...tail]);
}

export function encodeBlock(block: Omit<BlockRecord, 'hash' | 'size'>): Uint8Array {
  return list([...coreParts(block), encodeRlp(block.parentCertificate), encodeRlp(block.vrfProof)]);
}

/** Completes a block with its hash and size. */
export function blockRecord(parts: Omit<BlockRecord, 'hash' | 'size'>): BlockRecord {
  return { ...parts, hash: headerHash(parts.header), size: executionBlockRlp(parts).length };
}

/** Header and hash of wire bytes, without looking at the transactions. Faults name the field. */
export function decodeHeader(
  wire: Uint8Array,
  bounds: Pick<BlockBounds, 'blockBytes'>,
): Result<Readonly<{ hash: Hash; header: Header }>> {
  if (wire.length > bounds.blockBytes) {
    return fault('blockTooLarge', `block: ${wire.length} bytes, limit ${bounds.blockBytes}`, { bytes: wire.length });
  }
  const items = decodeRlp(wire);
  if (!Array.isArray(items) || items.length !== 5) return fault('badBlock', 'block: not one canonical RLP list of 5');
  const item = items[0];
  if (!Array.isArray(item)) return fault('badBlock', 'block.header: not a list');
  return headerOf(wire, item);
}

type Named = Readonly<{ hash: Hash; header: Header }>;

/** The last header that was read, by its bytes: a block is identified first, judged next, and both read it. */
let lastRead: Readonly<{ bytes: Uint8Array; named: Named }> | null = null;

/** Header and hash of canonical wire bytes, whose first item is `items`. */
function headerOf(wire: Uint8Array, items: readonly Item[]): Result<Named> {
  const bytes = present(firstList(wire), 'header of the wire bytes');
  if (lastRead !== null && equal(lastRead.bytes, bytes)) return success(lastRead.named);
  const header = headerFromItems(items);
  if (!header.ok) return header;
  const named = { hash: keccakHex(bytes), header: header.value };
  lastRead = { bytes: bytes.slice(), named };
  return success(named);
}

/** What spares decoding or signature recovery: senders by index, or transactions by hash (the pool's). */
export type Known = Readonly<{ senders?: readonly Address[]; transaction?: (hash: Hash) => Transaction | null }>;

/** Decodes wire bytes; Faults name the field. */
export function decodeBlock(wire: Uint8Array, bounds: BlockBounds, known: Known = {}): Result<BlockRecord> {
  if (wire.length > bounds.blockBytes) {
    return fault('blockTooLarge', `block: ${wire.length} bytes, limit ${bounds.blockBytes}`, { bytes: wire.length });
  }
  const items = decodeRlp(wire);
  if (!Array.isArray(items)) return fault('badBlock', 'block: not one canonical RLP list');
  if (items.length !== 5) return fault('badBlock', `block: ${items.length} fields, expected 5`);
  const [headerItem, transactionItems, withdrawalItems, certificate, proof] = items;
  if (!Array.isArray(headerItem)) return fault('badBlock', 'block.header: not a list');
  const named = headerOf(wire, headerItem);
  if (!named.ok) return named;
  if (!Array.isArray(transactionItems)) return fault('badBlock', 'block.transactions: not a list');
  const transactions = decodeTransactions(transactionItems, bounds, known);
  if (!transactions.ok) return transactions;
  if (!Array.isArray(withdrawalItems)) return fault('badBlock', 'block.withdrawals: not a list');
  const withdrawals = decodeWithdrawals(withdrawalItems, bounds);
  if (!withdrawals.ok) return withdrawals;
  if (!(certificate instanceof Uint8Array) || certificate.length > bounds.certificateBytes) {
    return fault('badBlock', `block.parentCertificate: not bytes of at most ${bounds.certificateBytes}`);
  }
  if (!(proof instanceof Uint8Array) || proof.length > bounds.vrfProofBytes) {
    return fault('badBlock', `block.vrfProof: not bytes of at most ${bounds.vrfProofBytes}`);
  }
  return success({
    header: named.value.header,
    transactions: transactions.value,
    withdrawals: withdrawals.value,
    parentCertificate: certificate,
    vrfProof: proof,
    // The form is canonical: what was read is what encoding the parts again would give.
    hash: named.value.hash,
    size: encodedLength([headerItem, transactionItems, [], withdrawalItems]),
  });
}

function decodeTransactions(items: readonly Item[], bounds: BlockBounds, known: Known): Result<Transaction[]> {
  const out: Transaction[] = [];
  for (const [index, item] of items.entries()) {
    // A list is a legacy transaction, a byte string a typed one; typed bytes inside a list would decode as legacy.
    const raw = item instanceof Uint8Array ? item : encodeRlp(item);
    if (item instanceof Uint8Array && (item[0] ?? 0xff) >= 0xc0) {
      return fault('badTransaction', `block.transactions[${index}]: a legacy transaction is a list`, { index });
    }
    if (raw.length > bounds.transactionBytes) {
      return fault(
        'badTransaction',
        `block.transactions[${index}]: ${raw.length} bytes, limit ${bounds.transactionBytes}`,
        { index },
      );
    }
    if (raw[0] === BLOB_TYPE) {
      return fault('unsupportedType', `block.transactions[${index}]: transaction type not supported`, { index });
    }
    const hash = keccakHex(raw);
    const pooled = known.transaction?.(hash) ?? null;
    if (pooled !== null) {
      out.push(pooled);
      continue;
    }
    const decoded = decodeTransaction(raw, { from: known.senders?.[index], hash });
    if (!decoded.ok)
      return fault(decoded.code, `block.transactions[${index}]: ${decoded.message}`, { ...decoded.fields, index });
    out.push(decoded.value);
  }
  return success(out);
}

function decodeWithdrawals(items: readonly Item[], bounds: BlockBounds): Result<Withdrawal[]> {
  if (items.length > bounds.withdrawalsPerBlock) {
    return fault('badBlock', `block.withdrawals: ${items.length}, limit ${bounds.withdrawalsPerBlock}`);
  }
  const out: Withdrawal[] = [];
  for (const [index, item] of items.entries()) {
    if (!Array.isArray(item) || item.length !== 4)
      return fault('badBlock', `block.withdrawals[${index}]: not 4 fields`);
    const read = new ListReader(item);
    out.push({
      index: read.integer('index', 8),
      validatorIndex: read.integer('validatorIndex', 8),
      address: toHex(read.bytes('address', 20)),
      amount: read.integer('amount', 8),
    });
    if (read.bad !== null) return fault('badBlock', `block.withdrawals[${index}].${read.bad}: malformed`);
  }
  return success(out);
}

/** parentBeaconBlockRoot of a block that carries this certificate; zero when it carries none. */
export function certificateRoot(parentCertificate: Uint8Array): Hash {
  return parentCertificate.length === 0 ? `0x${'00'.repeat(32)}` : keccakHex(parentCertificate);
}
