// Owns the canonical bytes of a tensor program. Meaning of shapes and order is checked by program.ts after decoding.
//
// 'PNTP' 01 | name | u32 count of tensors | each: name, dtype u8, role u8, rank u8, dims u32 each
//   | u32 count of instructions | each: code u8, u16 inputs, ids u32, u16 outputs, ids u32, attributes f64 in table order.
// A name is a u8 length and that many ASCII bytes; whole numbers are big-endian.

import { concat, utf8 } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { type Instruction, OPS, OP_NAMES, type Op } from './instruction.ts';
import { MAX_INSTRUCTIONS, MAX_OPERANDS, MAX_PROGRAM_BYTES, MAX_RANK, MAX_TENSORS } from './limits.ts';
import type { DType, ProgramParts, Role } from './program.ts';

const MAGIC = utf8('PNTP\u0001');
const DTYPES: readonly DType[] = ['f32', 'i32'];
const ROLES: readonly Role[] = ['state', 'input', 'output', 'temp'];
const OP_BY_CODE: ReadonlyMap<number, Op> = new Map(OP_NAMES.map((op) => [OPS[op].code, op]));

export function encodeParts({ name, tensors, instructions }: ProgramParts): Uint8Array {
  const parts: Uint8Array[] = [MAGIC, nameBytes(name), words('u32', [tensors.length])];
  for (const { name: tensorName, dtype, role, shape } of tensors) {
    parts.push(nameBytes(tensorName), Uint8Array.of(DTYPES.indexOf(dtype), ROLES.indexOf(role), shape.length));
    parts.push(words('u32', shape));
  }
  parts.push(words('u32', [instructions.length]));
  for (const { op, inputs, outputs, attrs } of instructions) {
    const rule = OPS[op];
    parts.push(Uint8Array.of(rule.code), words('u16', [inputs.length]), words('u32', inputs));
    parts.push(words('u16', [outputs.length]), words('u32', outputs));
    parts.push(
      words(
        'f64',
        Object.keys(rule.attrs).map((attr) => present(attrs[attr], attr)),
      ),
    );
  }
  return concat(...parts);
}

function nameBytes(name: string): Uint8Array {
  const bytes = utf8(name);
  return concat(Uint8Array.of(bytes.length), bytes);
}

function words(kind: 'u16' | 'u32' | 'f64', values: readonly number[]): Uint8Array {
  const width = kind === 'u16' ? 2 : kind === 'u32' ? 4 : 8;
  const view = new DataView(new ArrayBuffer(values.length * width));
  for (const [i, value] of values.entries()) {
    if (kind === 'u16') view.setUint16(i * 2, value);
    else if (kind === 'u32') view.setUint32(i * 4, value);
    else view.setFloat64(i * 8, value);
  }
  return new Uint8Array(view.buffer);
}

/** Reads past the end answer 0 and mark the reader as overrun; the caller checks the mark before trusting a value. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;
  overrun = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(length: number): number | null {
    if (this.at + length > this.#bytes.length) {
      this.overrun = true;
      return null;
    }
    this.at += length;
    return this.at - length;
  }

  u8(): number {
    const at = this.#take(1);
    return at === null ? 0 : this.#view.getUint8(at);
  }
  u16(): number {
    const at = this.#take(2);
    return at === null ? 0 : this.#view.getUint16(at);
  }
  u32(): number {
    const at = this.#take(4);
    return at === null ? 0 : this.#view.getUint32(at);
  }
  f64(): number {
    const at = this.#take(8);
    return at === null ? 0 : this.#view.getFloat64(at);
  }
  name(): string {
    const length = this.u8();
    const at = this.#take(length);
    return at === null ? '' : Buffer.from(this.#bytes.subarray(at, at + length)).toString('latin1');
  }
  get done(): boolean {
    return this.at === this.#bytes.length && !this.overrun;
  }
}

const refuse = (why: string, at: number): Fault =>
  fault('program/encoding', `program bytes: ${why} at byte ${at}`, { at });

export function decodeParts(bytes: Uint8Array): Result<ProgramParts> {
  if (bytes.length > MAX_PROGRAM_BYTES) return refuse(`longer than ${MAX_PROGRAM_BYTES}`, MAX_PROGRAM_BYTES);
  const reader = new Reader(bytes);
  for (const byte of MAGIC) if (reader.u8() !== byte) return refuse('not a version 1 program', reader.at);
  const name = reader.name();
  const tensors = decodeTensors(reader);
  if (!tensors.ok) return tensors;
  const instructions = decodeInstructions(reader);
  if (!instructions.ok) return instructions;
  if (!reader.done) return refuse(reader.overrun ? 'ends early' : 'bytes left over', reader.at);
  return success({ name, tensors: tensors.value, instructions: instructions.value });
}

function decodeTensors(reader: Reader): Result<ProgramParts['tensors']> {
  const count = reader.u32();
  if (count > MAX_TENSORS) return refuse(`${count} tensors, more than ${MAX_TENSORS}`, reader.at);
  const tensors: ProgramParts['tensors'][number][] = [];
  for (let id = 0; id < count && !reader.overrun; id++) {
    const name = reader.name();
    const dtype = DTYPES[reader.u8()];
    const role = ROLES[reader.u8()];
    const rank = reader.u8();
    if (dtype === undefined || role === undefined)
      return refuse(`tensor ${id} has an unknown dtype or role`, reader.at);
    if (rank > MAX_RANK) return refuse(`tensor ${id} has ${rank} dimensions, more than ${MAX_RANK}`, reader.at);
    tensors.push({ id, name, dtype, role, shape: Array.from({ length: rank }, () => reader.u32()) });
  }
  return reader.overrun ? refuse('ends early', reader.at) : success(tensors);
}

function decodeInstructions(reader: Reader): Result<readonly Instruction[]> {
  const count = reader.u32();
  if (count > MAX_INSTRUCTIONS) return refuse(`${count} instructions, more than ${MAX_INSTRUCTIONS}`, reader.at);
  const instructions: Instruction[] = [];
  for (let i = 0; i < count && !reader.overrun; i++) {
    const op = OP_BY_CODE.get(reader.u8());
    if (op === undefined) return refuse(`instruction ${i} has an unknown code`, reader.at);
    const inputs = decodeIds(reader);
    const outputs = decodeIds(reader);
    if (inputs === null || outputs === null)
      return refuse(`instruction ${i} has over ${MAX_OPERANDS} operands`, reader.at);
    const attrs = Object.fromEntries(Object.keys(OPS[op].attrs).map((attr) => [attr, reader.f64()]));
    instructions.push({ op, inputs, outputs, attrs });
  }
  return reader.overrun ? refuse('ends early', reader.at) : success(instructions);
}

function decodeIds(reader: Reader): readonly number[] | null {
  const count = reader.u16();
  if (count > MAX_OPERANDS || reader.overrun) return null;
  return Array.from({ length: count }, () => reader.u32());
}
