// Owns the check of one LevelDB table file: every block against its CRC-32C, and that blocks and footer leave no byte over.
// LevelDB itself reads without checking. Layout and Snappy form as in LevelDB's and Snappy's format descriptions.

import { crc32c, unmask } from './crc32c.ts';

type Handle = Readonly<{ offset: number; size: number }>;
type Varint = Readonly<{ value: number; next: number }>;

const FOOTER_BYTES = 48;
const MAGIC_AT = 40;
const MAGIC = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
/** Compression type and checksum behind each block. */
const TRAILER_BYTES = 5;
const MAX_BLOCK_BYTES = 64 * 1024 * 1024;

class BadTable extends Error {}

/** A LevelDB number: seven bits a byte, lowest first. Throws BadTable where there is none. */
export function varint(bytes: Uint8Array, at: number): Varint {
  let value = 0;
  for (let i = 0; i < 8; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, next: at + i + 1 };
  }
  throw new BadTable(`no length at byte ${at}`);
}

function handle(bytes: Uint8Array, at: number): Readonly<{ handle: Handle; next: number }> {
  const offset = varint(bytes, at);
  const size = varint(bytes, offset.next);
  return { handle: { offset: offset.value, size: size.value }, next: size.next };
}

function end({ offset, size }: Handle): number {
  return offset + size + TRAILER_BYTES;
}

/** Checks a block's sum; returns its bytes as stored and its compression type. */
function block(file: Uint8Array, at: Handle, what: string): Readonly<{ stored: Uint8Array; type: number }> {
  if (end(at) > file.length - FOOTER_BYTES) throw new BadTable(`${what} reaches beyond the end`);
  const summed = file.subarray(at.offset, at.offset + at.size + 1);
  const view = new DataView(file.buffer, file.byteOffset);
  if (crc32c(summed) !== unmask(view.getUint32(at.offset + at.size + 1, true)))
    throw new BadTable(`${what} at byte ${at.offset} does not match its checksum`);
  return { stored: summed.subarray(0, at.size), type: summed[at.size] as number };
}

function contents(file: Uint8Array, at: Handle, what: string): Uint8Array {
  const { stored, type } = block(file, at, what);
  if (type === 0) return stored;
  if (type !== 1) throw new BadTable(`${what}: unknown compression ${type}`);
  return uncompress(stored);
}

/** Raw Snappy: a length, then literals and copies of what came before. */
function uncompress(from: Uint8Array): Uint8Array {
  const length = varint(from, 0);
  if (length.value > MAX_BLOCK_BYTES) throw new BadTable(`a block of ${length.value} bytes`);
  const out = new Uint8Array(length.value);
  let at = length.next;
  let to = 0;
  const number = (bytes: number): number => {
    let value = 0;
    for (let i = 0; i < bytes; i++) value += (from[at++] ?? 0) * 2 ** (8 * i);
    return value;
  };
  while (at < from.length) {
    const tag = from[at++] as number;
    const upper = tag >> 2;
    if ((tag & 3) === 0) {
      const count = 1 + (upper < 60 ? upper : number(upper - 59));
      if (to + count > out.length || at + count > from.length) throw new BadTable('a compressed block runs over');
      out.set(from.subarray(at, at + count), to);
      at += count;
      to += count;
      continue;
    }
    const count = (tag & 3) === 1 ? 4 + (upper & 7) : 1 + upper;
    const back = (tag & 3) === 1 ? (upper >> 3) * 256 + number(1) : number((tag & 3) === 2 ? 2 : 4);
    if (back === 0 || back > to || to + count > out.length) throw new BadTable('a compressed block runs over');
    for (let i = 0; i < count; i++, to++) out[to] = out[to - back] as number;
  }
  if (to !== out.length) throw new BadTable('a compressed block ends early');
  return out;
}

/** The values of a block's entries, as handles. Keys do not matter here. */
function handlesOf(bytes: Uint8Array): Handle[] {
  const restarts = new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4, true);
  const stop = bytes.length - 4 - 4 * restarts;
  const found: Handle[] = [];
  for (let at = 0; at < stop; ) {
    const shared = varint(bytes, at);
    const rest = varint(bytes, shared.next);
    const length = varint(bytes, rest.next);
    const from = length.next + rest.value;
    found.push(handle(bytes, from).handle);
    at = from + length.value;
  }
  return found;
}

function checkAll(file: Uint8Array): void {
  const footerAt = file.length - FOOTER_BYTES;
  if (footerAt < 0) throw new BadTable('shorter than a footer');
  const footer = file.subarray(footerAt);
  if (MAGIC.some((byte, i) => footer[MAGIC_AT + i] !== byte)) throw new BadTable('the footer has no magic number');
  const meta = handle(footer, 0);
  const index = handle(footer, meta.next);
  if (footer.subarray(index.next, MAGIC_AT).some((byte) => byte !== 0)) throw new BadTable('the footer is not padded');
  const inner = [
    ...handlesOf(contents(file, index.handle, 'the index')),
    ...handlesOf(contents(file, meta.handle, 'the index of filters')),
  ];
  for (const each of inner) block(file, each, 'the block');
  let at = 0;
  for (const each of [...inner, meta.handle, index.handle]) {
    if (each.offset !== at) throw new BadTable(`no block begins at byte ${at}`);
    at = end(each);
  }
  if (at !== footerAt) throw new BadTable(`bytes ${at} to ${footerAt} belong to no block`);
}

/** What is wrong with the bytes of a table file, or null. */
export function wrongTable(file: Uint8Array): string | null {
  try {
    checkAll(file);
    return null;
  } catch (error) {
    if (error instanceof BadTable || error instanceof RangeError) return error.message;
    throw error;
  }
}
