// Owns byte strings: hex, concatenation, comparison, big-endian integers. Every other folder writes bytes through here.

import { check } from './check.ts';

export type Hex = `0x${string}`;

const HEX = /^0x(?:[0-9a-fA-F]{2})*$/;

/** What Buffer's own toString calls; on plain bytes it spares making a Buffer of them first, which is half of the time. */
const { hexSlice } = Buffer.prototype as unknown as { hexSlice(this: Uint8Array, start: number, end: number): string };

export function toHex(bytes: Uint8Array): Hex {
  return `0x${hexSlice.call(bytes, 0, bytes.length)}`;
}

/** True for 0x-prefixed even-length hex, of exactly `length` bytes when given. */
export function isHex(text: unknown, length?: number): text is Hex {
  return typeof text === 'string' && (length === undefined || text.length === 2 + 2 * length) && HEX.test(text);
}

/** No hexadecimal digit: a bit that no sum of digits has, wherever it is shifted. */
const NO_DIGIT = 0x100;
/** Value of each character that is a hexadecimal digit, by its code. */
const DIGITS = Uint16Array.from({ length: 128 }, (_, code) => {
  const value = '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase());
  return value === -1 ? NO_DIGIT : value;
});
/** Characters up to which a loop is faster than the call into native code and the copy out of it: 32 bytes, and 0x. */
const SHORT_HEX = 66;

/** Bytes of a 0x-prefixed hex string that the caller has already checked; throws on anything else. */
export function fromHex(text: string): Uint8Array {
  if (text.length <= SHORT_HEX) return fromShortHex(text);
  // Decoding ends at the first character that is no digit, so the length tells what a pattern would.
  const bytes = Buffer.from(text.slice(2), 'hex');
  check(text.startsWith('0x') && text.length === 2 + 2 * bytes.length, 'fromHex: not 0x-prefixed hex of even length');
  return new Uint8Array(bytes);
}

function fromShortHex(text: string): Uint8Array {
  const out = new Uint8Array(Math.max(0, (text.length - 2) >> 1));
  let wrong = (text.length & 1) | (text.startsWith('0x') ? 0 : 1);
  for (let i = 0, at = 2; i < out.length; i++, at += 2) {
    const high = DIGITS[text.charCodeAt(at)] ?? NO_DIGIT;
    const low = DIGITS[text.charCodeAt(at + 1)] ?? NO_DIGIT;
    wrong |= (high | low) & NO_DIGIT;
    out[i] = (high << 4) | low;
  }
  check(wrong === 0, 'fromHex: not 0x-prefixed hex of even length');
  return out;
}

export function utf8(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'utf8'));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return compare(a, b) === 0;
}

/** Lexicographic order: negative, zero or positive. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export function u32be(value: number): Uint8Array {
  check(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, 'u32be: out of range');
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value);
  return out;
}

export function u64be(value: number | bigint): Uint8Array {
  const out = new Uint8Array(8);
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) {
    let left = value;
    for (let i = 7; left > 0; i--, left = Math.floor(left / 256)) out[i] = left % 256;
    return out;
  }
  const big = BigInt(value);
  check(big >= 0n && big < 1n << 64n, 'u64be: out of range');
  new DataView(out.buffer).setBigUint64(0, big);
  return out;
}

const WORD = 32;
const LIMB = 64n;
const LIMB_BYTES = 8;

/** Writes a word below 2^256 big-endian from byte 0 of a view on. What is above is cut off. */
export function putU256be(view: DataView, word: bigint): void {
  let left = word;
  for (let at = WORD - LIMB_BYTES; at >= 0; at -= LIMB_BYTES) {
    view.setBigUint64(at, left); // its lowest 64 bits
    left >>= LIMB;
  }
}

export function u256be(value: bigint): Uint8Array {
  check(value >= 0n && value < 1n << 256n, 'u256be: out of range');
  const bytes = new Uint8Array(WORD);
  putU256be(new DataView(bytes.buffer), value);
  return bytes;
}

/** Big-endian unsigned integer of any length; the empty string is 0. Words of 32 bytes go without text. */
export function toBigInt(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  if (bytes.length !== WORD) return BigInt(toHex(bytes));
  const view = new DataView(bytes.buffer, bytes.byteOffset, WORD);
  let word = view.getBigUint64(0);
  for (let at = LIMB_BYTES; at < WORD; at += LIMB_BYTES) word = (word << LIMB) | view.getBigUint64(at);
  return word;
}
