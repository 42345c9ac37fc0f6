// Owns tensor programs: building, checking, canonical bytes and hash. Operand rules are shapes.ts, memory is memory-plan.ts,
// the instruction table is instruction.ts.

import { u32be, utf8 } from '../base/bytes.ts';
import { type Fault, type Result, fault, success, unwrap } from '../base/fault.ts';
import { taggedHash } from '../base/hash.ts';
import { type Dims, type Instruction, OPS, type Op } from './instruction.ts';
import { MAX_DIM, MAX_ELEMENTS, MAX_INSTRUCTIONS, MAX_NAME_LENGTH, MAX_RANK, MAX_TENSORS } from './limits.ts';
import { planMemory } from './memory-plan.ts';
import { decodeParts, encodeParts } from './program-codec.ts';
import { bindShapes } from './shapes.ts';

export type DType = 'f32' | 'i32';

/** State tensors lie contiguous (each 64-byte aligned), in declared order, at the start of the arena. */
export type Role = 'state' | 'input' | 'output' | 'temp';

/** `offset` is bytes in the arena, a multiple of 64. Names are unique within a program. */
export type Tensor = Readonly<{
  id: number;
  name: string;
  dtype: DType;
  shape: readonly number[];
  role: Role;
  offset: number;
}>;

/** A checked program; frozen by construction, so a backend trusts every index in it. */
export type TensorProgram = Readonly<{
  name: string;
  tensors: readonly Tensor[];
  instructions: readonly Instruction[];
  /** Bytes of all state tensors, alignment gaps included (gaps are always zero). */
  stateBytes: number;
  /** Bytes of everything: state, inputs, outputs, temps, scratch. */
  arenaBytes: number;
  /** Where the scratch of quantization and reductions begins; it reaches to the end of the arena. */
  scratchOffset: number;
}>;

/** A program before memory is planned: what canonical bytes carry. */
export type ProgramParts = Readonly<{
  name: string;
  tensors: readonly Omit<Tensor, 'offset'>[];
  instructions: readonly Instruction[];
}>;

/**
 * Collects tensors and instructions. Instructions run in the order emitted. Every refusal is thrown as a FaultError whose
 * message names the tensor or instruction and the rule.
 */
export class ProgramBuilder {
  readonly #tensors: Omit<Tensor, 'offset'>[] = [];
  readonly #instructions: Instruction[] = [];

  /** Declares a tensor and returns its id. `name` is printable ASCII, unique in the program. */
  tensor(name: string, dtype: DType, shape: readonly number[], role: Role): number {
    const tensor = { id: this.#tensors.length, name, dtype, shape: [...shape], role };
    const refusal = checkTensor(tensor);
    if (refusal !== null) unwrap(refusal);
    this.#tensors.push(tensor);
    return tensor.id;
  }

  /** Appends an instruction; f32 attributes are rounded to f32. */
  emit(
    op: Op,
    inputs: readonly number[],
    outputs: readonly number[],
    attrs: Readonly<Record<string, number>> = {},
  ): void {
    const kinds = OPS[op].attrs;
    const rounded = Object.entries(attrs).map(([name, value]) => [
      name,
      kinds[name] === 'f32' ? Math.fround(value) + 0 : value,
    ]);
    const instruction = { op, inputs: [...inputs], outputs: [...outputs], attrs: Object.fromEntries(rounded) };
    const bound = bindShapes(instruction, this.#instructions.length, this.#tensors);
    if (!bound.ok) unwrap(bound);
    this.#instructions.push(instruction);
  }

  /** Checks the order of use, plans memory and returns the program. */
  finish(name: string): TensorProgram {
    return unwrap(assemble({ name, tensors: this.#tensors, instructions: this.#instructions }));
  }
}

/** Canonical bytes: equal programs, and only they, have equal bytes. */
export function encodeProgram(program: TensorProgram): Uint8Array {
  return encodeParts(program);
}

/** Program of canonical bytes. Refuses anything malformed, over a limit, or not canonical; never reads out of bounds. */
export function decodeProgram(bytes: Uint8Array): Result<TensorProgram> {
  const parts = decodeParts(bytes);
  return parts.ok ? assemble(parts.value) : parts;
}

/** 32 bytes that name a program on chain. */
export function programHash(program: TensorProgram): Uint8Array {
  const bytes = encodeProgram(program);
  return taggedHash('program', u32be(bytes.length), bytes);
}

/** The tensor named so, or undefined. */
export function findTensor(program: TensorProgram, name: string): Tensor | undefined {
  return program.tensors.find((tensor) => tensor.name === name);
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

const NAME = /^[\x21-\x7e]+$/;

function checkName(name: string, what: string): Fault | null {
  if (utf8(name).length > MAX_NAME_LENGTH)
    return fault('program/name', `${what} name is longer than ${MAX_NAME_LENGTH}`);
  return NAME.test(name) ? null : fault('program/name', `${what} name must be printable ASCII without spaces`);
}

function checkTensor({ name, shape }: Omit<Tensor, 'offset'>): Fault | null {
  const named = checkName(name, 'tensor');
  if (named !== null) return named;
  if (shape.length < 1 || shape.length > MAX_RANK) {
    return fault('program/shape', `tensor ${name} has ${shape.length} dimensions, allowed are 1 to ${MAX_RANK}`);
  }
  for (const length of shape) {
    if (!Number.isInteger(length) || length < 1 || length > MAX_DIM) {
      return fault('program/shape', `tensor ${name} has a dimension of ${length}, allowed are 1 to ${MAX_DIM}`);
    }
  }
  const elements = elementCount(shape);
  if (elements > MAX_ELEMENTS) {
    return fault('program/shape', `tensor ${name} has ${elements} elements, more than ${MAX_ELEMENTS}`);
  }
  return null;
}

function assemble(parts: ProgramParts): Result<TensorProgram> {
  const { name, tensors, instructions } = parts;
  const named = checkName(name, 'program');
  if (named !== null) return named;
  if (tensors.length > MAX_TENSORS)
    return fault('program/limit', `${tensors.length} tensors, more than ${MAX_TENSORS}`);
  if (instructions.length > MAX_INSTRUCTIONS) {
    return fault('program/limit', `${instructions.length} instructions, more than ${MAX_INSTRUCTIONS}`);
  }
  const names = new Set<string>();
  for (const tensor of tensors) {
    const refusal = checkTensor(tensor);
    if (refusal !== null) return refusal;
    if (names.has(tensor.name)) return fault('program/name', `two tensors are named ${tensor.name}`);
    names.add(tensor.name);
  }
  const dims: Dims[] = [];
  for (const [at, instruction] of instructions.entries()) {
    const bound = bindShapes(instruction, at, tensors);
    if (!bound.ok) return bound;
    dims.push(bound.dims);
  }
  return checkOrder(parts) ?? planned(parts, dims);
}

/** Temps and outputs are written before they are read; inputs are never written. */
function checkOrder({ tensors, instructions }: ProgramParts): Fault | null {
  const written = new Set<number>();
  for (const [at, { op, inputs, outputs }] of instructions.entries()) {
    const refuse = (why: string) => fault('program/order', `instruction ${at} (${op}) ${why}`, { instruction: at });
    for (const id of inputs) {
      const tensor = tensors[id];
      const needsWrite = tensor?.role === 'temp' || tensor?.role === 'output';
      if (needsWrite && !written.has(id)) return refuse(`reads ${tensor.name} before it is written`);
    }
    for (const id of outputs) {
      if (tensors[id]?.role === 'input') return refuse(`writes input ${tensors[id]?.name}`);
      written.add(id);
    }
  }
  return null;
}

function planned(parts: ProgramParts, dims: readonly Dims[]): Result<TensorProgram> {
  const plan = planMemory(parts, dims);
  if (!plan.ok) return plan;
  const { offsets, stateBytes, scratchOffset, arenaBytes } = plan.value;
  const tensors = parts.tensors.map((tensor, i) => ({ ...tensor, offset: offsets[i] ?? 0 }));
  return success({
    name: parts.name,
    tensors,
    instructions: parts.instructions,
    stateBytes,
    scratchOffset,
    arenaBytes,
  });
}
