// Owns RLP (yellow paper, appendix B): encoding, and decoding that accepts canonical bytes only.

import { RLP } from '@ethereumjs/rlp';
import { compare } from '../base/bytes.ts';

/** An RLP item as decoded: bytes or a list. */
export type Item = Uint8Array | Item[];

export function encodeRlp(item: Item): Uint8Array {
  return RLP.encode(item);
}

/** The item, or null for anything but one canonical item: trailing bytes and long-form lengths are refused. */
export function decodeRlp(given: Uint8Array): Item | null {
  // Items are views of the input; a Buffer would make them Buffers, whose slice() does not copy.
  const bytes = new Uint8Array(given.buffer, given.byteOffset, given.length);
  let item: Item;
  try {
    item = RLP.decode(bytes) as Item;
  } catch {
    return null;
  }
  // The library accepts some non-canonical lengths; only one encoding of an item exists, so encoding again tells.
  return compare(RLP.encode(item), bytes) === 0 ? item : null;
}

/** Length prefix of a list whose items are already encoded. */
export function listHeader(payload: number): Uint8Array {
  if (payload < 56) return Uint8Array.of(0xc0 + payload);
  const digits = minimal(BigInt(payload));
  const out = new Uint8Array(1 + digits.length);
  out[0] = 0xf7 + digits.length;
  out.set(digits, 1);
  return out;
}

/** Big-endian bytes without leading zeros; 0 is the empty string. */
export function minimal(value: bigint | number): Uint8Array {
  const big = BigInt(value);
  if (big === 0n) return new Uint8Array(0);
  const text = big.toString(16);
  return new Uint8Array(Buffer.from(text.length % 2 === 0 ? text : `0${text}`, 'hex'));
}

/** Reads canonical fields out of a decoded list; the first bad one is kept by name. */
export class ListReader {
  #at = 0;
  #bad: string | null = null;
  readonly #items: readonly Item[];

  constructor(items: readonly Item[]) {
    this.#items = items;
  }

  /** Name of the first field that did not fit, or null. */
  get bad(): string | null {
    return this.#bad;
  }

  fail(name: string): void {
    this.#bad ??= name;
  }

  bytes(name: string, length?: number): Uint8Array {
    const item = this.#items[this.#at++];
    if (item instanceof Uint8Array && (length === undefined || item.length === length)) return item;
    this.fail(name);
    return new Uint8Array(length ?? 0);
  }

  list(name: string): Item[] {
    const item = this.#items[this.#at++];
    if (Array.isArray(item)) return item;
    this.fail(name);
    return [];
  }

  /** Unsigned integer without leading zeros, of at most `width` bytes. */
  integer(name: string, width = 32): bigint {
    const bytes = this.bytes(name);
    if (bytes.length > width || bytes[0] === 0) {
      this.fail(name);
      return 0n;
    }
    return bytes.length === 0 ? 0n : BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
  }

  /** Unsigned integer up to 2^53 - 1. */
  number(name: string): number {
    const value = this.integer(name, 8);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      this.fail(name);
      return 0;
    }
    return Number(value);
  }
}
