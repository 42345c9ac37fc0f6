// Owns signed transactions: strict decoding of types 0 to 4, their hash, and sender recovery.

import { concat, fromHex, type Hex, toHex, u256be } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { secp256k1 } from '../base/keys.ts';
import type { AccessListItem, Address, Authorization, Transaction } from './api.ts';
import { keccak256 } from './keccak.ts';
import { decodeRlp, encodeRlp, type Item, ListReader, minimal } from './rlp.ts';

/** Half the group order of secp256k1 (EIP-2). */
const HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
/** EIP-4844: readable in imported chains, refused by pool and blocks, for nobody would carry the sidecars. */
export const BLOB_TYPE = 3;
const MAX_NONCE = 2n ** 53n - 1n;

type Fields = Omit<Transaction, 'from' | 'hash' | 'raw'>;
/** What a transaction says before it is signed, and by whom it is meant to be. */
export type Unsigned = Omit<Transaction, 'hash' | 'raw' | 'v' | 'r' | 's'>;

/** The transaction with its sender, or a Fault naming the field. What is known of it is not computed again. */
export function decodeTransaction(
  given: Uint8Array,
  known: Readonly<{ from?: Address | undefined; hash?: Hex }> = {},
): Result<Transaction> {
  const raw = new Uint8Array(given.buffer, given.byteOffset, given.length);
  const first = raw[0];
  if (first === undefined) return fault('badTransaction', 'transaction: empty');
  const decoded = first >= 0xc0 ? decodeLegacy(raw) : decodeTyped(first, raw);
  if (!decoded.ok) return decoded;
  const { fields, digest } = decoded.value;
  const parity = fields.type === 0 ? legacyParity(fields) : Number(fields.v);
  if (parity !== 0 && parity !== 1) return malformed('v');
  if (fields.r === 0n || fields.s === 0n || fields.s > HALF_ORDER)
    return fault('badSignature', 'invalid transaction v, r, s values');
  const sender = known.from ?? recover(digest, fields.r, fields.s, parity);
  if (sender === null) return fault('badSignature', 'invalid sender');
  return success({ ...fields, from: sender, hash: known.hash ?? toHex(keccak256(raw)), raw });
}

type Decoded = Readonly<{ fields: Fields; digest: Uint8Array }>;

function malformed(field: string): Fault {
  return fault('badTransaction', `transaction.${field}: malformed`, { field });
}

function decodeLegacy(raw: Uint8Array): Result<Decoded> {
  const items = decodeRlp(raw);
  if (!Array.isArray(items) || items.length !== 9) return malformed('fields');
  const read = new ListReader(items);
  const common = { nonce: nonceOf(read), gasPrice: read.integer('gasPrice') };
  const gas = read.integer('gas', 8);
  const to = recipient(read);
  const value = read.integer('value');
  const input = read.bytes('input');
  const signature = { v: read.integer('v', 8), r: read.integer('r'), s: read.integer('s') };
  if (read.bad !== null) return malformed(read.bad);
  const protectedChain = signature.v >= 35n ? (signature.v - 35n) / 2n : null;
  const signed = items.slice(0, 6);
  if (protectedChain !== null) signed.push(minimal(protectedChain), new Uint8Array(0), new Uint8Array(0));
  const digest = keccak256(encodeRlp(signed));
  return success({
    fields: {
      type: 0,
      chainId: protectedChain,
      ...common,
      gas,
      to,
      value,
      input,
      ...signature,
      maxFeePerGas: null,
      maxPriorityFeePerGas: null,
      accessList: null,
      authorizationList: null,
    },
    digest,
  });
}

const FIELD_COUNT: Readonly<Record<number, number>> = { 1: 11, 2: 12, 3: 14, 4: 13 };

function decodeTyped(type: number, raw: Uint8Array): Result<Decoded> {
  const count = FIELD_COUNT[type];
  if (count === undefined || (type !== 1 && type !== 2 && type !== 3 && type !== 4)) {
    return fault('unsupportedType', 'transaction type not supported', { type });
  }
  const items = decodeRlp(raw.subarray(1));
  if (!Array.isArray(items) || items.length !== count) return malformed('fields');
  const read = new ListReader(items);
  const chainId = read.integer('chainId', 8);
  const nonce = nonceOf(read);
  const first = type === 1 ? null : read.integer('maxPriorityFeePerGas');
  const second = read.integer(type === 1 ? 'gasPrice' : 'maxFeePerGas');
  const gas = read.integer('gas', 8);
  const to = recipient(read);
  const value = read.integer('value');
  const input = read.bytes('input');
  const accessList = accessListOf(read.list('accessList'), read);
  const authorizationList = type === 4 ? authorizationsOf(read.list('authorizationList'), read) : null;
  const blobs = type === 3 ? blobFields(read) : {};
  const signature = { v: read.integer('yParity', 1), r: read.integer('r'), s: read.integer('s') };
  if ((type === 3 || type === 4) && to === null) read.fail('to');
  if (authorizationList?.length === 0) read.fail('authorizationList');
  if (read.bad !== null) return malformed(read.bad);
  if (first !== null && first > second) {
    return fault('feeOrder', 'max priority fee per gas higher than max fee per gas', {
      maxPriorityFeePerGas: first,
      maxFeePerGas: second,
    });
  }
  const digest = keccak256(concat(Uint8Array.of(type), encodeRlp(items.slice(0, count - 3))));
  return success({
    fields: {
      type,
      chainId,
      nonce,
      gas,
      to,
      value,
      input,
      accessList,
      authorizationList,
      ...blobs,
      ...signature,
      gasPrice: type === 1 ? second : null,
      maxFeePerGas: type === 1 ? null : second,
      maxPriorityFeePerGas: first,
    },
    digest,
  });
}

function nonceOf(read: ListReader): number {
  const nonce = read.integer('nonce', 8);
  if (nonce > MAX_NONCE) read.fail('nonce');
  return Number(nonce);
}

function recipient(read: ListReader): Address | null {
  const bytes = read.bytes('to');
  if (bytes.length !== 0 && bytes.length !== 20) read.fail('to');
  return bytes.length === 0 ? null : toHex(bytes);
}

function accessListOf(items: readonly Item[], read: ListReader): AccessListItem[] {
  const out: AccessListItem[] = [];
  for (const item of items) {
    if (!Array.isArray(item) || item.length !== 2) {
      read.fail('accessList');
      return out;
    }
    const entry = new ListReader(item);
    const address = toHex(entry.bytes('address', 20));
    const storageKeys: Hex[] = [];
    for (const key of entry.list('storageKeys')) {
      if (!(key instanceof Uint8Array) || key.length !== 32) entry.fail('storageKeys');
      else storageKeys.push(toHex(key));
    }
    if (entry.bad !== null) read.fail('accessList');
    out.push({ address, storageKeys });
  }
  return out;
}

/** EIP-4844. */
function blobFields(read: ListReader): Pick<Transaction, 'maxFeePerBlobGas' | 'blobVersionedHashes'> {
  const maxFeePerBlobGas = read.integer('maxFeePerBlobGas');
  const blobVersionedHashes: Hex[] = [];
  for (const hash of read.list('blobVersionedHashes')) {
    if (!(hash instanceof Uint8Array) || hash.length !== 32) read.fail('blobVersionedHashes');
    else blobVersionedHashes.push(toHex(hash));
  }
  if (blobVersionedHashes.length === 0) read.fail('blobVersionedHashes');
  return { maxFeePerBlobGas, blobVersionedHashes };
}

function authorizationsOf(items: readonly Item[], read: ListReader): Authorization[] {
  const out: Authorization[] = [];
  for (const item of items) {
    if (!Array.isArray(item) || item.length !== 6) {
      read.fail('authorizationList');
      return out;
    }
    const entry = new ListReader(item);
    out.push({
      chainId: entry.integer('chainId'),
      address: toHex(entry.bytes('address', 20)),
      nonce: entry.integer('nonce', 8),
      yParity: Number(entry.integer('yParity', 1)),
      r: entry.integer('r'),
      s: entry.integer('s'),
    });
    if (entry.bad !== null) read.fail('authorizationList');
  }
  return out;
}

function legacyParity(fields: Fields): number {
  return Number(fields.chainId === null ? fields.v - 27n : fields.v - 35n - 2n * fields.chainId);
}

function recover(digest: Uint8Array, r: bigint, s: bigint, parity: number): Address | null {
  const key = secp256k1.recover(digest, concat(u256be(r), u256be(s)), parity);
  return key === null ? null : toHex(keccak256(key.subarray(1)).subarray(12));
}

/** A transaction without a signature, as simulated blocks hold them: v, r and s are 0. Types 0, 2 and 3. */
export function unsignedTransaction(fields: Unsigned): Transaction {
  const { type, to, input } = fields;
  const nothing = new Uint8Array(0);
  const core: Item[] = [minimal(fields.gas), to === null ? nothing : fromHex(to), minimal(fields.value), input];
  const list = (fields.accessList ?? []).map((item): Item => [fromHex(item.address), item.storageKeys.map(fromHex)]);
  const blobs =
    type === 3 ? [minimal(fields.maxFeePerBlobGas ?? 0n), (fields.blobVersionedHashes ?? []).map(fromHex)] : [];
  const items: Item[] =
    type === 0
      ? [minimal(fields.nonce), minimal(fields.gasPrice ?? 0n), ...core]
      : [
          minimal(fields.chainId ?? 0n),
          minimal(fields.nonce),
          minimal(fields.maxPriorityFeePerGas ?? 0n),
          minimal(fields.maxFeePerGas ?? 0n),
          ...core,
          list,
          ...blobs,
        ];
  const body = encodeRlp([...items, nothing, nothing, nothing]);
  const raw = type === 0 ? body : concat(Uint8Array.of(type), body);
  return { ...fields, v: 0n, r: 0n, s: 0n, raw, hash: toHex(keccak256(raw)) };
}

/** What one gas costs the sender at this base fee; the sender can pay at least the base fee. */
export function effectiveGasPrice(tx: Transaction, baseFee: bigint): bigint {
  if (tx.gasPrice !== null) return tx.gasPrice;
  const ceiling = tx.maxFeePerGas ?? 0n;
  const wanted = baseFee + (tx.maxPriorityFeePerGas ?? 0n);
  return wanted < ceiling ? wanted : ceiling;
}

/** What one gas pays the author; negative when the transaction cannot pay the base fee. */
export function effectiveTip(tx: Transaction, baseFee: bigint): bigint {
  return effectiveGasPrice(tx, baseFee) - baseFee;
}

/** The most the sender can be charged, value included. */
export function maximumCost(tx: Transaction): bigint {
  return tx.value + tx.gas * (tx.gasPrice ?? tx.maxFeePerGas ?? 0n);
}

/** Address a creation by `from` with `nonce` gets: the last 20 bytes of keccak256(rlp([from, nonce])). */
export function createdAddress(from: Uint8Array, nonce: number): Address {
  return toHex(keccak256(encodeRlp([from, minimal(nonce)])).subarray(12));
}
