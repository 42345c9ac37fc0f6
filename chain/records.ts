// Owns the rows of the database: key prefixes, key layout, and the checksum every value carries.

import { crc32 } from 'node:zlib';
import { fromHex, u64be } from '../base/bytes.ts';
import type { Address, Hash } from './api.ts';

/** One byte each. Heights are 8 bytes big-endian, so ranges scan in block order. */
export const PREFIX = {
  meta: 0x6d, // m + name
  header: 0x68, // h + n: header RLP and certificate
  number: 0x48, // H + block hash: n
  body: 0x62, // b + n: wire bytes, senders
  receipts: 0x72, // r + n: outcomes and system logs
  lookup: 0x6c, // l + transaction hash: n, index
  history: 0x61, // a + address + n + index + role
  accountNode: 0x41, // A + path: trie node
  storageNode: 0x4f, // O + address + path: trie node
  account: 0x73, // s + address: flat account
  slot: 0x6f, // o + address + slot: flat value
  code: 0x63, // c + code hash
  accountBefore: 0x78, // x + address + n: account before block n
  slotBefore: 0x79, // y + address + slot + n: value before block n
  changed: 0x64, // d + n: the x and y keys block n made, for pruning
} as const;

export const EMPTY = new Uint8Array(0);

export function key(prefix: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 1;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  out[0] = prefix;
  let at = 1;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const metaKey = (name: string): Uint8Array => key(PREFIX.meta, Buffer.from(name));
export const headerKey = (n: number): Uint8Array => key(PREFIX.header, u64be(n));
export const numberKey = (hash: Hash): Uint8Array => key(PREFIX.number, fromHex(hash));
export const bodyKey = (n: number): Uint8Array => key(PREFIX.body, u64be(n));
export const receiptsKey = (n: number): Uint8Array => key(PREFIX.receipts, u64be(n));
export const lookupKey = (hash: Hash): Uint8Array => key(PREFIX.lookup, fromHex(hash));
export const codeKey = (codeHash: Uint8Array): Uint8Array => key(PREFIX.code, codeHash);
export const accountKey = (address: Address): Uint8Array => key(PREFIX.account, fromHex(address));
export const slotKey = (address: Address, slot: Hash): Uint8Array => key(PREFIX.slot, fromHex(address), fromHex(slot));
export const changedKey = (n: number): Uint8Array => key(PREFIX.changed, u64be(n));
export const accountNodeKey = (path: Uint8Array): Uint8Array => key(PREFIX.accountNode, path);
export const storageNodeKey = (address: Address, path: Uint8Array): Uint8Array =>
  key(PREFIX.storageNode, fromHex(address), path);
export const accountBeforeKey = (address: Address, n: number): Uint8Array =>
  key(PREFIX.accountBefore, fromHex(address), u64be(n));

const CHECKSUM_BYTES = 4;

/** Value with a CRC-32 over key and value: LevelDB reads damaged log blocks without a word, this does not. */
export function protect(rowKey: Uint8Array, value: Uint8Array): Uint8Array {
  const out = new Uint8Array(value.length + CHECKSUM_BYTES);
  out.set(value);
  const sum = crc32(value, crc32(rowKey));
  for (let i = 0; i < CHECKSUM_BYTES; i++) out[value.length + i] = sum >>> (24 - 8 * i);
  return out;
}

/** The value, or null when its checksum does not match. */
export function unprotect(rowKey: Uint8Array, stored: Uint8Array): Uint8Array | null {
  if (stored.length < CHECKSUM_BYTES) return null;
  // Not a Buffer from here on: its slice() does not copy.
  const value = new Uint8Array(stored.buffer, stored.byteOffset, stored.length - CHECKSUM_BYTES);
  const sum = new DataView(stored.buffer, stored.byteOffset + value.length, CHECKSUM_BYTES).getUint32(0);
  return sum === crc32(value, crc32(rowKey)) ? value : null;
}
