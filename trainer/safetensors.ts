// Owns the safetensors container: 8-byte little-endian header length, JSON header, tensor bytes without gaps.
// Which tensors a checkpoint holds is checkpoint.ts.

import { check } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { concat, utf8 } from '../base/bytes.ts';
import {
  MAX_SAFETENSORS_HEADER,
  MAX_SAFETENSORS_NAME,
  MAX_SAFETENSORS_RANK,
  MAX_SAFETENSORS_TENSORS,
} from './model-limits.ts';

const ELEMENT_BYTES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};
type SafeDType = keyof typeof ELEMENT_BYTES;

/** `bytes` are little-endian elements in row-major order. */
export type SafeTensor = Readonly<{ name: string; dtype: SafeDType; shape: readonly number[]; bytes: Uint8Array }>;

export type SafetensorsFile = Readonly<{
  tensors: ReadonlyMap<string, SafeTensor>;
  metadata: ReadonlyMap<string, string>;
}>;

const METADATA = '__metadata__';
/** Tensor bytes begin at a multiple of this, so that a mapped file can be read as f32 in place. */
const ALIGNMENT = 64;

/** File of `tensors` in the order given, with `metadata` as provenance. The same input gives the same bytes. */
export function encodeSafetensors(
  tensors: readonly SafeTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries: [string, unknown][] = [[METADATA, metadata]];
  const names = new Set<string>([METADATA]);
  let offset = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    check(!names.has(name), `safetensors: tensor name ${name} is given twice or reserved`);
    check(bytes.length === sizeOf(dtype, shape), `safetensors: tensor ${name} has ${bytes.length} bytes for its shape`);
    names.add(name);
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + bytes.length] }]);
    offset += bytes.length;
  }
  // Built by hand: a tensor named __proto__ or 7 keeps its place, which it would not as a property of an object.
  const json = `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(',')}}`;
  const text = utf8(json);
  const header = new Uint8Array(Math.ceil((8 + text.length) / ALIGNMENT) * ALIGNMENT - 8).fill(0x20);
  header.set(text);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  return concat(length, header, ...tensors.map(({ bytes }) => bytes));
}

/** Contents of a file from outside; tensors are views on `bytes`. Every refusal names the tensor and the rule. */
export function decodeSafetensors(bytes: Uint8Array): Result<SafetensorsFile> {
  const header = readHeader(bytes);
  if (!header.ok) return header;
  const { entries, data } = header.value;
  if (entries.length > MAX_SAFETENSORS_TENSORS) {
    return refuse(`header lists ${entries.length} tensors, more than ${MAX_SAFETENSORS_TENSORS}`);
  }
  let metadata: ReadonlyMap<string, string> = new Map();
  const tensors: Placed[] = [];
  for (const [name, entry] of entries) {
    if (name === METADATA) {
      const read = readMetadata(entry);
      if (!read.ok) return read;
      metadata = read.value;
    } else {
      const read = readTensor(name, entry, data);
      if (!read.ok) return read;
      tensors.push(read.value);
    }
  }
  const gap = findGap(tensors, data.length);
  if (gap !== null) return gap;
  return success({ tensors: new Map(tensors.map(({ tensor }) => [tensor.name, tensor])), metadata });
}

const refuse = (message: string): Fault => fault('safetensors', `safetensors: ${message}`);

type Header = Readonly<{ entries: readonly [string, unknown][]; data: Uint8Array }>;

function readHeader(bytes: Uint8Array): Result<Header> {
  if (bytes.length < 8) return refuse(`file of ${bytes.length} bytes has no header length`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(MAX_SAFETENSORS_HEADER))
    return refuse(`header length ${length} is over ${MAX_SAFETENSORS_HEADER}`);
  const end = 8 + Number(length);
  if (end > bytes.length) return refuse(`header length ${length} is over the file of ${bytes.length} bytes`);
  if (bytes[8] !== 0x7b) return refuse('header does not begin with {');
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, end)));
  } catch {
    return refuse('header is not JSON in UTF-8');
  }
  if (!isRecord(json)) return refuse('header is not an object');
  return success({ entries: Object.entries(json), data: bytes.subarray(end) });
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An own field only: a header must not reach what objects inherit. */
const own = (record: Readonly<Record<string, unknown>>, field: string): unknown =>
  Object.hasOwn(record, field) ? record[field] : undefined;

function readMetadata(entry: unknown): Result<ReadonlyMap<string, string>> {
  if (!isRecord(entry)) return refuse(`${METADATA} is not an object`);
  const metadata = new Map<string, string>();
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== 'string') return refuse(`${METADATA} values must be strings`);
    metadata.set(key, value);
  }
  return success(metadata);
}

type Placed = Readonly<{ tensor: SafeTensor; begin: number; end: number }>;

function readTensor(name: string, entry: unknown, data: Uint8Array): Result<Placed> {
  if (name.length > MAX_SAFETENSORS_NAME) return refuse(`a tensor name is longer than ${MAX_SAFETENSORS_NAME}`);
  if (!isRecord(entry)) return refuse(`tensor ${name} is not an object`);
  const dtype = own(entry, 'dtype');
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BYTES, dtype))
    return refuse(`tensor ${name} dtype is unknown`);
  const shape = own(entry, 'shape');
  if (!isSizes(shape) || shape.length > MAX_SAFETENSORS_RANK) {
    return refuse(`tensor ${name} shape must be up to ${MAX_SAFETENSORS_RANK} whole numbers`);
  }
  const offsets = own(entry, 'data_offsets');
  if (!isSizes(offsets) || offsets.length !== 2) return refuse(`tensor ${name} data_offsets must be two whole numbers`);
  const [begin = 0, end = 0] = offsets;
  if (begin > end || end > data.length) return refuse(`tensor ${name} data_offsets reach outside of the file`);
  const size = sizeOf(dtype as SafeDType, shape);
  if (size !== end - begin) return refuse(`tensor ${name} has ${end - begin} bytes, its shape needs ${size}`);
  const tensor = { name, dtype: dtype as SafeDType, shape, bytes: data.subarray(begin, end) };
  return success({ tensor, begin, end });
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Products of hostile sizes may leave the exact range; they then differ from any real byte count, which is all we need. */
function sizeOf(dtype: SafeDType, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype]);
}

/** Tensors cover the data exactly once: no hidden bytes, no two tensors over the same bytes. */
function findGap(tensors: readonly Placed[], length: number): Fault | null {
  let at = 0;
  for (const { tensor, begin, end } of tensors.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at) return refuse(`tensor ${tensor.name} begins at ${begin}, expected ${at}`);
    at = end;
  }
  return at === length ? null : refuse(`${length - at} bytes after the last tensor`);
}
