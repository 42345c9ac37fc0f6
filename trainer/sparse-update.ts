// Owns codec 2 in bytes: of each 4,096 parameters the few that moved most, as short odd multiples of a power of two. Rules U-5
// to U-9 of docs/protocol/learning-round.md. What is left out goes into the residual (residual.ts).

import { u32be } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { MAX_PARAMETERS } from './limits.ts';
import { CHUNK, LEAST_EXPONENT, MOST_EXPONENT, powerOfTwo } from './update-scale.ts';

export const SPARSE = 2;
const HEADER_BYTES = 5;

/** How many parameters of a full chunk travel, and the bits of each value: one sign, the rest its level. */
export type SparseShape = Readonly<{ entries: number; valueBits: number }>;

/** The shape of codec 2 on every chain; others exist only to be measured (docs/decisions/007-compressed-updates.md). */
export const SPARSE_SHAPE: SparseShape = { entries: 336, valueBits: 2 };

/** Entries of chunk c are those from starts[c] to starts[c + 1]; `places` count from the start of the chunk. */
export type SparseUpdate = Readonly<{
  codec: typeof SPARSE;
  parameters: number;
  shifts: Uint8Array;
  starts: Uint32Array;
  places: Uint16Array;
  values: Int8Array;
}>;

/** Bits of one chunk's record after its scale byte, in the order they are written. */
type Layout = Readonly<{
  length: number;
  /** Most entries of this chunk. */
  entries: number;
  /** Low bits of a place, written as they are; the rest is written as steps of a staircase. */
  lowBits: number;
  highBits: number;
  lowAt: number;
  valuesAt: number;
  bytes: number;
}>;

function layoutOf(length: number, { entries: full, valueBits }: SparseShape): Layout {
  const entries = Math.ceil((full * length) / CHUNK);
  // Elias 1974, Fano 1971: with places spread evenly, about two bits an entry for the staircase of the high parts.
  let lowBits = 0;
  while (full << (lowBits + 1) <= CHUNK) lowBits++;
  const highBits = entries + Math.ceil(length / (1 << lowBits)) - 1;
  const valuesAt = highBits + entries * lowBits;
  const bytes = Math.ceil((valuesAt + entries * valueBits) / 8);
  return { length, entries, lowBits, highBits, lowAt: highBits, valuesAt, bytes };
}

function layouts(parameters: number, shape: SparseShape): Readonly<{ chunks: number; full: Layout; last: Layout }> {
  const chunks = Math.ceil(parameters / CHUNK);
  return { chunks, full: layoutOf(CHUNK, shape), last: layoutOf(parameters - (chunks - 1) * CHUNK, shape) };
}

/** Bytes of an update of codec 2, the same for every update of a model. */
export function sparseSize(parameters: number, shape: SparseShape = SPARSE_SHAPE): number {
  const { chunks, full, last } = layouts(parameters, shape);
  return HEADER_BYTES + (chunks - 1) * (1 + full.bytes) + 1 + last.bytes;
}

/** Codec 2 of numbers that are all finite. */
export function encodeSparse(wanted: Float32Array, shape: SparseShape = SPARSE_SHAPE): Uint8Array {
  const parameters = wanted.length;
  check(parameters > 0 && parameters <= MAX_PARAMETERS, 'encodeSparse: size out of range');
  const { chunks, full, last } = layouts(parameters, shape);
  const bytes = new Uint8Array(sparseSize(parameters, shape));
  bytes[0] = SPARSE;
  bytes.set(u32be(parameters), 1);
  for (let chunk = 0, at = HEADER_BYTES; chunk < chunks; chunk++) {
    const layout = chunk === chunks - 1 ? last : full;
    const part = wanted.subarray(chunk * CHUNK, chunk * CHUNK + layout.length);
    const places = greatest(part, layout.entries);
    const shift = bestShift(part, places, shape.valueBits);
    bytes[at] = shift;
    writeChunk(bytes.subarray(at + 1, at + 1 + layout.bytes), part, places, shift, layout, shape.valueBits);
    at += 1 + layout.bytes;
  }
  return bytes;
}

const magnitudes = new Uint32Array(CHUNK);
const histogram = new Uint32Array(2_048);

/** Places of the `count` greatest magnitudes other than zero, the lower place first of equals; ascending. */
function greatest(part: Float32Array, count: number): Uint16Array {
  const bits = new Uint32Array(part.buffer, part.byteOffset, part.length);
  histogram.fill(0);
  let present = 0;
  for (let i = 0; i < part.length; i++) {
    // Without their sign, finite f32 numbers are ordered as their bits are.
    const magnitude = (bits[i] as number) & 0x7fff_ffff;
    magnitudes[i] = magnitude;
    if (magnitude === 0) continue;
    present++;
    histogram[magnitude >>> 20] = (histogram[magnitude >>> 20] as number) + 1;
  }
  let wanted = Math.min(count, present);
  const places = new Uint16Array(wanted);
  if (wanted === 0) return places;
  let bin = histogram.length - 1;
  for (; (histogram[bin] as number) < wanted; bin--) wanted -= histogram[bin] as number;
  // `wanted` are now still to be taken from this bin: keys order it by magnitude, then by lower place.
  const keys = new Float64Array(histogram[bin] as number);
  for (let i = 0, found = 0; i < part.length; i++) {
    const magnitude = magnitudes[i] as number;
    if (magnitude >>> 20 === bin && magnitude !== 0) keys[found++] = magnitude * CHUNK + (CHUNK - 1 - i);
  }
  const least = keys.sort()[keys.length - wanted] as number;
  for (let i = 0, taken = 0; taken < places.length; i++) {
    if ((magnitudes[i] as number) * CHUNK + (CHUNK - 1 - i) >= least) places[taken++] = i;
  }
  return places;
}

/** Level of a magnitude: the interval of width 2 units it lies in; the last one has no end. Its value is 2 level + 1 units. */
function levelOf(magnitude: number, unit: number, levels: number): number {
  return Math.min(levels - 1, Math.floor(magnitude / (2 * unit)));
}

/** Scales below the least that does not saturate which are tried. */
const FINER_SCALES = 3;

/** The scale with the least sum of squared errors, summed in f64 by ascending place; the greater scale of equals. */
function bestShift(part: Float32Array, places: Uint16Array, valueBits: number): number {
  if (places.length === 0) return 0;
  const levels = 1 << (valueBits - 1);
  let most = 0;
  for (const place of places) most = Math.max(most, Math.abs(part[place] as number));
  let reaching = LEAST_EXPONENT;
  while (reaching < MOST_EXPONENT && most >= 2 * levels * powerOfTwo(reaching)) reaching++;
  let best = reaching;
  let least = Number.POSITIVE_INFINITY;
  for (let exponent = reaching; exponent >= Math.max(LEAST_EXPONENT, reaching - FINER_SCALES); exponent--) {
    const unit = powerOfTwo(exponent);
    let error = 0;
    for (const place of places) {
      const magnitude = Math.abs(part[place] as number);
      const off = magnitude - (2 * levelOf(magnitude, unit, levels) + 1) * unit;
      error += off * off;
    }
    if (error < least) [best, least] = [exponent, error];
  }
  return best - LEAST_EXPONENT;
}

function writeChunk(
  out: Uint8Array,
  part: Float32Array,
  places: Uint16Array,
  shift: number,
  layout: Layout,
  valueBits: number,
): void {
  const { lowBits, lowAt, valuesAt } = layout;
  const unit = powerOfTwo(shift + LEAST_EXPONENT);
  const levels = 1 << (valueBits - 1);
  for (const [entry, place] of places.entries()) {
    const value = part[place] as number;
    const code = levelOf(Math.abs(value), unit, levels) * 2 + (value < 0 ? 1 : 0);
    writeBits(out, (place >> lowBits) + entry, 1, 1);
    writeBits(out, lowAt + entry * lowBits, lowBits, place & ((1 << lowBits) - 1));
    writeBits(out, valuesAt + entry * valueBits, valueBits, code);
  }
}

/** Bit i of a record is bit (i mod 8) of byte floor(i / 8), the lowest being bit 0; numbers go lowest bit first. */
function writeBits(out: Uint8Array, at: number, count: number, value: number): void {
  for (let i = 0; i < count; i++) {
    const index = (at + i) >> 3;
    if ((value >> i) & 1) out[index] = (out[index] as number) | (1 << ((at + i) & 7));
  }
}

function readBits(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value |= (((bytes[(at + i) >> 3] as number) >> ((at + i) & 7)) & 1) << i;
  return value;
}

function onesOf(bytes: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at++) count += readBits(bytes, at, 1);
  return count;
}

/** Reads codec 2. Fault 'update' names what does not fit; each value set has one encoding, all else is refused. */
export function decodeSparse(
  bytes: Uint8Array,
  parameters: number,
  shape: SparseShape = SPARSE_SHAPE,
): Result<SparseUpdate> {
  const refuse = (why: string) => fault('update', `update: ${why}`, { length: bytes.length, parameters });
  if (bytes.length < HEADER_BYTES) return refuse(`shorter than its header of ${HEADER_BYTES} bytes`);
  if (bytes[0] !== SPARSE) return refuse(`codec ${bytes[0]} is not ${SPARSE}`);
  const stated = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (stated !== parameters) return refuse(`for ${stated} parameters, the model has ${parameters}`);
  const size = sparseSize(parameters, shape);
  if (bytes.length !== size) return refuse(`${bytes.length} bytes, not ${size}`);
  const { chunks, full, last } = layouts(parameters, shape);
  const shifts = new Uint8Array(chunks);
  const starts = new Uint32Array(chunks + 1);
  const records: Uint8Array[] = [];
  for (let chunk = 0, at = HEADER_BYTES; chunk < chunks; chunk++) {
    const layout = chunk === chunks - 1 ? last : full;
    const record = bytes.subarray(at + 1, at + 1 + layout.bytes);
    const count = onesOf(record, 0, layout.highBits);
    if (count > layout.entries) return refuse(`chunk ${chunk} has ${count} entries, not up to ${layout.entries}`);
    const shift = bytes[at] as number;
    if (shift > (count === 0 ? 0 : MOST_EXPONENT - LEAST_EXPONENT))
      return refuse(`scale of chunk ${chunk} is ${shift}`);
    shifts[chunk] = shift;
    starts[chunk + 1] = (starts[chunk] as number) + count;
    records.push(record);
    at += 1 + layout.bytes;
  }
  const total = starts[chunks] as number;
  const update = {
    codec: SPARSE,
    parameters,
    shifts,
    starts,
    places: new Uint16Array(total),
    values: new Int8Array(total),
  } as const;
  for (const [chunk, record] of records.entries()) {
    const why = readChunk(record, chunk === chunks - 1 ? last : full, shape.valueBits, update, chunk);
    if (why !== null) return refuse(`chunk ${chunk}: ${why}`);
  }
  return success(update);
}

/** Fills a chunk's entries; what is wrong with them, or null. */
function readChunk(
  record: Uint8Array,
  { length, entries, lowBits, lowAt, valuesAt, highBits }: Layout,
  valueBits: number,
  { starts, places, values }: SparseUpdate,
  chunk: number,
): string | null {
  const first = starts[chunk] as number;
  const count = (starts[chunk + 1] as number) - first;
  for (let at = 0, entry = 0, before = -1; at < highBits; at++) {
    if (readBits(record, at, 1) === 0) continue;
    const place = ((at - entry) << lowBits) | readBits(record, lowAt + entry * lowBits, lowBits);
    if (place <= before) return `place ${place} after ${before}`;
    if (place >= length) return `place ${place} of ${length}`;
    const code = readBits(record, valuesAt + entry * valueBits, valueBits);
    places[first + entry] = place;
    values[first + entry] = (code & ~1) + 1;
    if (code & 1) values[first + entry] = -((code & ~1) + 1);
    before = place;
    entry++;
  }
  const unused =
    onesOf(record, lowAt + count * lowBits, valuesAt) +
    onesOf(record, valuesAt + count * valueBits, valuesAt + entries * valueBits) +
    onesOf(record, valuesAt + entries * valueBits, 8 * record.length);
  return unused === 0 ? null : 'a bit behind the last entry is set';
}
