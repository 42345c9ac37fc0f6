// Owns RLP (yellow paper, appendix B): encoding, and decoding that accepts canonical bytes only.

/** An RLP item as decoded: bytes or a list. */
export type Item = Uint8Array | Item[];

/** Lists inside lists that are read; a block nests six deep. */
const MAX_DEPTH = 32;
/** Longest string or list whose length stands in its first byte. */
const SHORT = 55;

export function encodeRlp(item: Item): Uint8Array {
  const out = new Uint8Array(encodedLength(item));
  writeItem(item, out, 0);
  return out;
}

/** Bytes of the item's encoding. */
export function encodedLength(item: Item): number {
  if (item instanceof Uint8Array) {
    if (item.length === 1 && (item[0] as number) < 0x80) return 1;
    return prefixLength(item.length) + item.length;
  }
  const payload = payloadLength(item);
  return prefixLength(payload) + payload;
}

function payloadLength(items: readonly Item[]): number {
  let sum = 0;
  for (const item of items) sum += encodedLength(item);
  return sum;
}

function prefixLength(length: number): number {
  return length <= SHORT ? 1 : 1 + lengthDigits(length);
}

function lengthDigits(length: number): number {
  if (length < 0x100) return 1;
  if (length < 0x1_0000) return 2;
  return length < 0x100_0000 ? 3 : 4;
}

/** Writes a prefix; `base` is 0x80 for strings, 0xc0 for lists. Returns the place after it. */
function writePrefix(base: number, length: number, out: Uint8Array, at: number): number {
  if (length <= SHORT) {
    out[at] = base + length;
    return at + 1;
  }
  const digits = lengthDigits(length);
  out[at] = base + SHORT + digits;
  for (let i = 0; i < digits; i++) out[at + 1 + i] = length >>> (8 * (digits - 1 - i));
  return at + 1 + digits;
}

function writeItem(item: Item, out: Uint8Array, at: number): number {
  if (item instanceof Uint8Array) {
    if (item.length === 1 && (item[0] as number) < 0x80) {
      out[at] = item[0] as number;
      return at + 1;
    }
    const start = writePrefix(0x80, item.length, out, at);
    out.set(item, start);
    return start + item.length;
  }
  let next = writePrefix(0xc0, payloadLength(item), out, at);
  for (const one of item) next = writeItem(one, out, next);
  return next;
}

type Read = Readonly<{ item: Item; end: number }>;

/** The item, or null for anything but one canonical item: trailing bytes and long-form lengths are refused. */
export function decodeRlp(given: Uint8Array): Item | null {
  // Items are views of the input; a Buffer would make them Buffers, whose slice() does not copy.
  const bytes = new Uint8Array(given.buffer, given.byteOffset, given.length);
  const read = readItem(bytes, 0, bytes.length, 0);
  return read !== null && read.end === bytes.length ? read.item : null;
}

/** Ends of the payload that begins after the prefix at `at`, or null when the prefix is not the shortest or runs over. */
function payload(bytes: Uint8Array, at: number, limit: number, base: number): readonly [number, number] | null {
  const short = (bytes[at] as number) - base;
  if (short <= SHORT) return at + 1 + short <= limit ? [at + 1, at + 1 + short] : null;
  const digits = short - SHORT;
  const start = at + 1 + digits;
  // Four digits name more than any row or message here may hold.
  if (digits > 4 || start > limit || bytes[at + 1] === 0) return null;
  let length = 0;
  for (let i = at + 1; i < start; i++) length = length * 256 + (bytes[i] as number);
  return length > SHORT && start + length <= limit ? [start, start + length] : null;
}

function readItem(bytes: Uint8Array, at: number, limit: number, depth: number): Read | null {
  const first = bytes[at];
  if (first === undefined || at >= limit) return null;
  if (first < 0x80) return { item: bytes.subarray(at, at + 1), end: at + 1 };
  const isList = first >= 0xc0;
  const ends = payload(bytes, at, limit, isList ? 0xc0 : 0x80);
  if (ends === null) return null;
  const [start, end] = ends;
  if (!isList) {
    if (end - start === 1 && (bytes[start] as number) < 0x80) return null;
    return { item: bytes.subarray(start, end), end };
  }
  if (depth >= MAX_DEPTH) return null;
  const items: Item[] = [];
  for (let next = start; next < end; ) {
    const read = readItem(bytes, next, end, depth + 1);
    if (read === null) return null;
    items.push(read.item);
    next = read.end;
  }
  return { item: items, end };
}

/** Encoding of the list that stands first in a list, as a view; null where there is none. Looks no deeper. */
export function firstList(bytes: Uint8Array): Uint8Array | null {
  const outer = listPayload(bytes, 0, bytes.length);
  if (outer === null) return null;
  const inner = listPayload(bytes, outer[0], outer[1]);
  return inner === null ? null : bytes.subarray(outer[0], inner[1]);
}

function listPayload(bytes: Uint8Array, at: number, limit: number): readonly [number, number] | null {
  return at < limit && (bytes[at] as number) >= 0xc0 ? payload(bytes, at, limit, 0xc0) : null;
}

/** Length prefix of a list whose items are already encoded. */
export function listHeader(length: number): Uint8Array {
  const out = new Uint8Array(prefixLength(length));
  writePrefix(0xc0, length, out, 0);
  return out;
}

const NOTHING = new Uint8Array(0);

/** Big-endian bytes without leading zeros; 0 is the empty string. */
export function minimal(value: bigint | number): Uint8Array {
  if (value === 0 || value === 0n) return NOTHING;
  if (value > 0 && value <= 0xffff_ffff) {
    const small = Number(value);
    const out = new Uint8Array(lengthDigits(small));
    for (let i = out.length - 1, left = small; i >= 0; i--, left = Math.floor(left / 256)) out[i] = left & 0xff;
    return out;
  }
  const text = value.toString(16);
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
