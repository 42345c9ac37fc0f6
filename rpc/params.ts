// Owns the checks of JSON-RPC arguments: each function turns one unknown value into a typed one or refuses it, naming it.
// Encodings are those of the Ethereum JSON-RPC specification: QUANTITY without leading zeros, DATA with two digits a byte.

import { type Hex, fromHex, isHex } from '../base/bytes.ts';
import type { AccessListItem, Address, Hash } from '../chain/api.ts';
import { invalidParams } from './errors.ts';
import { type JsonObject, isObject } from './json.ts';

const QUANTITY = /^0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})$/;
const LOOSE_QUANTITY = /^0x[0-9a-fA-F]{1,64}$/;

/** Name of the argument at `index`, as geth words it. */
export function argument(index: number): string {
  return `argument ${index}`;
}

function bad(where: string, reason: string): Error {
  return invalidParams(`invalid ${where}: ${reason}`, { parameter: where });
}

/** Refuses calls with more arguments than the method takes. */
export function atMost(params: readonly unknown[], count: number): void {
  if (params.length > count) throw invalidParams(`too many arguments, want at most ${count}`);
}

/** The argument at `index`, refused when it is left out. */
export function required(params: readonly unknown[], index: number): unknown {
  const value = params[index];
  if (value === undefined) throw invalidParams(`missing value for required argument ${index}`);
  return value;
}

/** True when an optional argument was left out; null counts as left out, as in geth. */
export function absent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

function text(value: unknown, where: string): string {
  if (typeof value !== 'string') throw bad(where, 'expected a string');
  if (!value.startsWith('0x')) throw bad(where, 'hex string without 0x prefix');
  return value;
}

/** QUANTITY up to 256 bits, or fewer where asked for. */
export function quantity(value: unknown, where: string, bits = 256): bigint {
  const hex = text(value, where);
  if (hex === '0x') throw bad(where, 'hex string "0x"');
  if (!LOOSE_QUANTITY.test(hex)) throw bad(where, 'not a hex number of at most 256 bits');
  if (!QUANTITY.test(hex)) throw bad(where, 'hex number with leading zero digits');
  const big = BigInt(hex);
  if (big >> BigInt(bits) > 0n) throw bad(where, `hex number of more than ${bits} bits`);
  return big;
}

/** QUANTITY that fits a safe integer. */
export function small(value: unknown, where: string): number {
  const big = quantity(value, where);
  if (big > BigInt(Number.MAX_SAFE_INTEGER)) throw bad(where, 'number exceeds 2^53 - 1');
  return Number(big);
}

/** A count that clients send as QUANTITY, as a plain JSON number or as one in a string (eth_feeHistory, as go-ethereum). */
export function count(value: unknown, where: string): number {
  if (typeof value === 'string' && /^[0-9]{1,15}$/.test(value)) return Number(value);
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) throw bad(where, 'expected a whole number from 0');
    return value;
  }
  return small(value, where);
}

export function data(value: unknown, where: string): Uint8Array {
  const hex = text(value, where);
  if (hex.length % 2 === 1) throw bad(where, 'hex string of odd length');
  if (!isHex(hex)) throw bad(where, 'invalid hex string');
  return fromHex(hex);
}

function fixed(value: unknown, length: number, where: string): Hex {
  const hex = text(value, where);
  if (!isHex(hex, length)) throw bad(where, `expected ${length} bytes of hex, got ${hex.length - 2} digits`);
  return hex.toLowerCase() as Hex;
}

export function address(value: unknown, where: string): Address {
  return fixed(value, 20, where);
}

export function hash(value: unknown, where: string): Hash {
  return fixed(value, 32, where);
}

/** A storage key: up to 32 bytes of hex, leading zeros optional (as geth reads eth_getStorageAt). */
export function slot(value: unknown, where: string): Hash {
  if (typeof value !== 'string') throw bad(where, 'expected a string');
  const digits = value.startsWith('0x') ? value.slice(2) : value;
  if (!/^[0-9a-fA-F]*$/.test(digits))
    throw bad(where, `invalid hex in storage key: ${JSON.stringify(value.slice(0, 80))}`);
  if (digits.length > 64)
    throw bad(where, `storage key too long (want at most 32 bytes): ${JSON.stringify(value.slice(0, 80))}`);
  return `0x${digits.toLowerCase().padStart(64, '0')}`;
}

export function flag(value: unknown, where: string): boolean {
  if (absent(value)) return false;
  if (typeof value !== 'boolean') throw bad(where, 'expected true or false');
  return value;
}

export function object(value: unknown, where: string): JsonObject {
  if (!isObject(value)) throw bad(where, 'expected an object');
  return value;
}

export function list(value: unknown, where: string, limit: number): readonly unknown[] {
  if (!Array.isArray(value)) throw bad(where, 'expected a list');
  if (value.length > limit) throw bad(where, `${value.length} entries, want at most ${limit}`);
  return value;
}

export function accessList(value: unknown, where: string, limit: number): readonly AccessListItem[] {
  return list(value, where, limit).map((item, i) => {
    const entry = object(item, `${where}[${i}]`);
    const keys = absent(entry.storageKeys) ? [] : list(entry.storageKeys, `${where}[${i}].storageKeys`, limit);
    return {
      address: address(entry.address, `${where}[${i}].address`),
      storageKeys: keys.map((key, j) => hash(key, `${where}[${i}].storageKeys[${j}]`)),
    };
  });
}
