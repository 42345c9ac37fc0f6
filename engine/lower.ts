// Owns the lowering of a checked program to the command words that kernels/run.c walks. Operand order per instruction is
// the kernels' and no part of the protocol.

import { check, present } from '../base/check.ts';
import { type Instruction, OPS, type Op } from './instruction.ts';
import { ALIGNMENT, packedBytes, roundedBytes } from './memory-plan.ts';
import type { Tensor, TensorProgram } from './program.ts';

const STATE_BIT = 0x8000_0000 | 0;
const FLOAT = new Float32Array(1);
const FLOAT_BITS = new Int32Array(FLOAT.buffer);

function floatBits(value: number): number {
  FLOAT[0] = value;
  return present(FLOAT_BITS[0], 'bits');
}

/** What the packed left operand in scratch holds: a tensor, packed along its rows or columns. */
type Packed = Readonly<{ tensor: number; along: 'rows' | 'columns'; as: 'i8' | 'bf16' }> | null;

/** Weights that stay packed: places behind the state by tensor id, and whether they are packed already. */
export type Kept = Readonly<{ places: ReadonlyMap<number, number>; ready: boolean }>;

/** Command words: count, then per instruction code, index, operand count, operands. Addresses count 64-byte units. */
export function lowerProgram(program: TensorProgram, kept: Kept): Int32Array<ArrayBuffer> {
  const words: number[] = [0];
  let commands = 0;
  let packed: Packed = null;
  let right: PackedRight = null;
  const finite = new Set<number>();
  const emit = (code: number, at: number, operands: readonly number[]) => {
    words.push(code, at, operands.length, ...operands);
    commands++;
  };
  for (const [at, instruction] of program.instructions.entries()) {
    const rule = OPS[instruction.op];
    for (const id of instruction.inputs) {
      const tensor = present(program.tensors[id], 'operand');
      if (tensor.dtype !== 'f32' || finite.has(id)) continue;
      if (!rule.seesNonFinite) emit(0, at, [reference(program, tensor), size(tensor)]);
    }
    const wanted = leftOperand(instruction);
    const cached =
      wanted !== null && packed?.tensor === wanted.tensor && packed.along === wanted.along && packed.as === wanted.as;
    const wantedRight = rightOperand(program, instruction, kept);
    const again = wantedRight !== null && right !== null && samePlace(right, wantedRight);
    emit(rule.code, at, operandsOf(program, instruction, { left: cached, right: again }, kept));
    packed = nextPacked(packed, wanted, instruction);
    right = nextRight(right, wantedRight, instruction);
    for (const id of instruction.outputs) finite.add(id);
  }
  words[0] = commands;
  return Int32Array.from(words);
}

function leftOperand({ op, inputs }: Instruction): Packed {
  const tensor = inputs[0] ?? -1;
  switch (op) {
    case 'linear':
      return { tensor, along: 'rows', as: 'i8' };
    case 'linearGradW':
      return { tensor, along: 'columns', as: 'i8' };
    case 'linearBf16':
      return { tensor, along: 'rows', as: 'bf16' };
    case 'linearBf16GradW':
      return { tensor, along: 'columns', as: 'bf16' };
    default:
      return null;
  }
}

/** What the packed right operand in scratch holds, and how much left operand lies before it. */
type PackedRight = Readonly<{ tensor: number; before: number }> | null;

function rightOperand(program: TensorProgram, { op, inputs }: Instruction, kept: Kept): PackedRight {
  const tensor = inputs[1] ?? -1;
  if (op !== 'linear' || kept.places.has(tensor)) return null;
  const [rows = 0, depth = 0] = program.tensors[inputs[0] ?? -1]?.shape ?? [];
  return { tensor, before: packedBytes(rows, depth) };
}

const samePlace = (a: NonNullable<PackedRight>, b: NonNullable<PackedRight>): boolean =>
  a.tensor === b.tensor && a.before === b.before;

function nextRight(right: PackedRight, wanted: PackedRight, { op, outputs }: Instruction): PackedRight {
  const held = wanted ?? (USES_SCRATCH.has(op) ? null : right);
  return held !== null && outputs.includes(held.tensor) ? null : held;
}

const USES_SCRATCH: ReadonlySet<Op> = new Set<Op>([
  'rmsNormGradGain',
  'linear',
  'linearGradX',
  'linearGradW',
  'linearBf16',
  'linearBf16GradX',
  'linearBf16GradW',
  'attention',
  'attentionGrad',
  'attentionDecode',
  'gradNorm',
]);

function nextPacked(packed: Packed, wanted: Packed, { op, outputs }: Instruction): Packed {
  const held = wanted ?? (USES_SCRATCH.has(op) ? null : packed);
  return held !== null && outputs.includes(held.tensor) ? null : held;
}

const size = (tensor: Tensor): number => tensor.shape.reduce((a, b) => a * b, 1);

function units(bytes: number, state: boolean): number {
  check(bytes % ALIGNMENT === 0, 'lower: offset is not aligned');
  return (bytes / ALIGNMENT) | (state ? STATE_BIT : 0);
}

/** Where a tensor lies: 64-byte units from the start of its region, the sign bit set for the state. */
export function reference(program: TensorProgram, tensor: Tensor): number {
  const state = tensor.role === 'state';
  return units(state ? tensor.offset : tensor.offset - program.stateBytes, state);
}

/** Where byte `bytes` of a program's scratch lies. */
export function scratchReference(program: TensorProgram, bytes = 0): number {
  return units(program.scratchOffset - program.stateBytes + bytes, false);
}

function operandsOf(
  program: TensorProgram,
  instruction: Instruction,
  packed: Readonly<{ left: boolean; right: boolean }>,
  kept: Kept,
): readonly number[] {
  const { op, inputs, outputs, attrs } = instruction;
  const tensorOf = (id: number | undefined) => present(program.tensors[id ?? -1], 'operand');
  const ref = (id: number | undefined) => reference(program, tensorOf(id));
  const ins = inputs.map(ref);
  const outs = outputs.map(ref);
  const dim = (id: number | undefined, axis: number) => present(tensorOf(id).shape[axis], 'dimension');
  const count = (id: number | undefined) => size(tensorOf(id));
  const scratch = (bytes = 0) => scratchReference(program, bytes);
  const [a, b] = inputs;
  const { batch = 0, seq = 0, heads = 1, kvHeads = 0, tensorId = 0 } = attrs;
  switch (op) {
    case 'embed':
      return [...ins, ...outs, dim(a, 0), dim(a, 1), count(b)];
    case 'embedGrad':
      return [...ins, ...outs, dim(outputs[0], 0), dim(a, 1), count(b)];
    case 'rmsNorm':
      return [...ins, ...outs, dim(a, 0), dim(a, 1), floatBits(attrs.eps ?? 0)];
    case 'rmsNormGradX':
      return [...ins, ...outs, dim(a, 0), dim(a, 1)];
    case 'rmsNormGradGain':
      return [...ins, ...outs, dim(a, 0), dim(a, 1), scratch()];
    case 'linear': {
      const [t, k, n] = [dim(a, 0), dim(a, 1), dim(b, 1)];
      const place = kept.places.get(b ?? -1);
      const right = place === undefined ? scratch(packedBytes(t, k)) : units(place, true);
      const ready = place === undefined ? packed.right : kept.ready;
      return [...ins, ...outs, t, k, n, scratch(), right, Number(packed.left), Number(ready)];
    }
    case 'linearGradX': {
      const [t, n, k] = [dim(a, 0), dim(a, 1), dim(b, 0)];
      return [...ins, ...outs, t, k, n, tensorId, scratch(), scratch(packedBytes(t, n))];
    }
    case 'linearGradW': {
      const [t, k, n] = [dim(a, 0), dim(a, 1), dim(b, 1)];
      return [...ins, ...outs, t, k, n, tensorId, scratch(), scratch(packedBytes(k, t)), Number(packed.left)];
    }
    case 'linearBf16': {
      const [t, k, n] = [dim(a, 0), dim(a, 1), dim(b, 1)];
      return [...ins, ...outs, t, k, n, scratch(), scratch(roundedBytes(t, k)), Number(packed.left)];
    }
    case 'linearBf16GradX': {
      const [t, n, k] = [dim(a, 0), dim(a, 1), dim(b, 0)];
      return [...ins, ...outs, t, k, n, scratch(), scratch(roundedBytes(t, n))];
    }
    case 'linearBf16GradW': {
      const [t, k, n] = [dim(a, 0), dim(a, 1), dim(b, 1)];
      return [...ins, ...outs, t, k, n, scratch(), scratch(roundedBytes(k, t)), Number(packed.left)];
    }
    case 'rope':
      return [...ins, ...outs, dim(a, 0), dim(b, 0), heads, dim(b, 1), attrs.inverse ?? 0];
    case 'attention':
      return [...ins, ...outs, batch, seq, heads, kvHeads, dim(a, 1) / heads, scratch()];
    case 'attentionGrad':
      return [...ins, ...outs, batch, seq, heads, kvHeads, dim(b, 1) / heads, scratch()];
    case 'swiglu':
    case 'swigluGrad':
    case 'add':
    case 'copy':
    case 'zero':
      return [...ins, ...outs, count(outputs[0])];
    case 'scale':
      return [...ins, ...outs, count(a), floatBits(attrs.factor ?? 0)];
    case 'crossEntropy':
    case 'crossEntropyGrad':
      return [...ins, ...outs, dim(a, 0), dim(a, 1)];
    case 'gradNorm':
      return [scratch(), ...outs, inputs.length, ...inputs.flatMap((id) => [ref(id), count(id)])];
    case 'adamW':
      return [...ins, count(a), attrs.decay ?? 0];
    case 'cacheWrite':
      return [...ins, dim(a, 0), dim(a, 1), dim(inputs[3], 0), dim(inputs[3], 1)];
    case 'attentionDecode': {
      const width = dim(a, 1) / heads;
      return [...ins, ...outs, dim(a, 0), heads, kvHeads, width, dim(b, 0), dim(b, 1), scratch()];
    }
  }
}
