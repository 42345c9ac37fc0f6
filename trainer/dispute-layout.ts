// Owns what a disputed step is made of: the dispute list (every tensor without a committed home) and the records of the program
// tree (every way to judge an instruction). Rules G and P of docs/protocol/challenges.md. Running a step is dispute-run.ts.

import { concat, u32be } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { STATE_LEAF_BYTES, leafHash, leafHashes, merkleRoot } from '../base/merkle.ts';
import type { Instruction } from '../engine/instruction.ts';
import { type TensorProgram, elementCount } from '../engine/program.ts';
import { updateInput } from '../engine/repeat.ts';
import { bindShapes } from '../engine/shapes.ts';
import { type InstructionDispute, type TensorRef, leafBytesOf, sameRef } from './referee-frame.ts';
import { disputeOf } from './referee-templates.ts';
import { GRADIENT_PREFIX, INPUTS, OUTPUTS } from './train-program.ts';

/** Tensors and instructions of a training program at one capacity; offsets are those of the state and of the gradients. */
export type DisputeProgram = Readonly<{
  tensors: TensorProgram['tensors'];
  instructions: readonly Instruction[];
}>;

/** Where a tensor's root is found. Offsets are bytes in a tree of parameter layout. */
export type TensorHome =
  | Readonly<{ kind: 'list'; entry: number }>
  | Readonly<{ kind: 'before' | 'after' | 'gradient'; offset: number }>
  | Readonly<{ kind: 'loss' }>
  | Readonly<{ kind: 'constant'; root: Uint8Array }>
  | Readonly<{ kind: 'seed' }>
  | Readonly<{ kind: 'hyper'; update: number }>;

export type RecordOperand = Readonly<{ home: TensorHome; length: number; leafBytes: number }>;

/** One way to judge one instruction; `instruction` is -1 for a gap between tensors, which must be zero. */
export type DisputeRecord = Readonly<{
  instruction: number;
  template: number;
  part: number;
  /** What each operand is to its instruction; null for a gap. */
  refs: readonly (TensorRef | null)[];
  operands: readonly RecordOperand[];
  fixed: readonly number[];
}>;

export type DisputeEntry = Readonly<{
  /** -1 for the tokens and targets: entries 2u and 2u + 1 for update u. */
  instruction: number;
  ref: TensorRef;
  leafBytes: number;
}>;

export type DisputeLayout = Readonly<{
  entries: readonly DisputeEntry[];
  records: readonly DisputeRecord[];
  /** For each instruction what the table of the referee says, its first record, and the homes of its tensors in `tensors` order. */
  instructions: readonly Readonly<{ dispute: InstructionDispute; firstRecord: number; homes: readonly TensorHome[] }>[];
}>;

/** Part that says all elements are +0. */
const ZERO_PART = 19;

/** Constant inputs of a step. */
export type StepConstants = Readonly<{ positions: Int32Array; ropeTable: Float32Array }>;

type Words = Int32Array | Float32Array;
const rootOf = (words: Words, leafBytes: number): Uint8Array =>
  merkleRoot(leafHashes(new Uint8Array(words.buffer, words.byteOffset, words.byteLength), leafBytes));

/** The layout of a program's steps, of so many updates each. */
export function disputeLayout(program: DisputeProgram, constants: StepConstants, updates: number): DisputeLayout {
  const { tensors, instructions } = program;
  const entries: DisputeEntry[] = [];
  const records: DisputeRecord[] = [];
  const out: DisputeLayout['instructions'][number][] = [];
  const current = initialHomes(program, constants, updates, entries);
  const lastWrites = lastWritesOf(instructions);
  const firstGradient = gradientStart(program);
  const shapes = (ids: readonly number[]) => ids.map((id) => present(tensors[id], 'tensor').shape);

  function homeOf(at: number, ref: TensorRef, leafBytes: number): TensorHome {
    const { outputs } = present(instructions[at], 'instruction');
    if (ref.kind === 'output') {
      const tensor = present(tensors[outputs[ref.index] ?? -1], 'output');
      const last = lastWrites.get(tensor.id) === at;
      if (last && tensor.role === 'state') return { kind: 'after', offset: tensor.offset };
      if (last && tensor.name.startsWith(GRADIENT_PREFIX) && tensor.role === 'output')
        return { kind: 'gradient', offset: tensor.offset - firstGradient };
      if (last && tensor.name === OUTPUTS.loss && tensor.role === 'output') return { kind: 'loss' };
    }
    entries.push({ instruction: at, ref, leafBytes });
    return { kind: 'list', entry: entries.length - 1 };
  }

  for (const [at, instruction] of instructions.entries()) {
    const inputs = instruction.inputs.map((id) => present(current.get(id), 'home of an input'));
    const dispute = disputeOf(instruction, shapes(instruction.inputs), shapes(instruction.outputs));
    const homes = dispute.tensors.map(({ ref, leafBytes }) => homeOf(at, ref, leafBytes));
    const firstRecord = records.length;
    for (const [template, { part, operands, fixed }] of dispute.templates.entries()) {
      records.push({
        instruction: at,
        template,
        part,
        refs: operands,
        operands: operands.map((ref) => operandOf(ref, instruction, program, inputs, dispute, homes)),
        fixed,
      });
    }
    out.push({ dispute, firstRecord, homes });
    for (const [place, { ref }] of dispute.tensors.entries()) {
      if (ref.kind === 'output')
        current.set(present(instruction.outputs[ref.index], 'output'), present(homes[place], 'home'));
    }
  }
  records.push(...gapRecords(program, firstGradient));
  return { entries, records, instructions: out };
}

/** The tensors a step starts from: state, inputs of the step, constants. Tokens and targets open the list. */
function initialHomes(
  { tensors }: DisputeProgram,
  constants: StepConstants,
  updates: number,
  entries: DisputeEntry[],
): Map<number, TensorHome> {
  const homes = new Map<number, TensorHome>();
  for (const { id, name, role, shape, offset } of tensors) {
    if (role === 'state') homes.set(id, { kind: 'before', offset });
    if (role !== 'input') continue;
    if (name === INPUTS.seed) homes.set(id, { kind: 'seed' });
    if (name === INPUTS.positions || name === INPUTS.ropeTable)
      homes.set(id, { kind: 'constant', root: rootOf(constants[name], leafBytesOf(shape)) });
  }
  const named = (name: string) =>
    present(
      tensors.find((each) => each.name === name),
      name,
    );
  for (let update = 0; update < updates; update++) {
    homes.set(named(updateInput(INPUTS.hyper, update, updates)).id, { kind: 'hyper', update });
    for (const [index, name] of [INPUTS.tokens, INPUTS.targets].entries()) {
      const { id, shape } = named(updateInput(name, update, updates));
      homes.set(id, { kind: 'list', entry: entries.length });
      entries.push({ instruction: -1, ref: { kind: 'input', index }, leafBytes: leafBytesOf(shape) });
    }
  }
  return homes;
}

function lastWritesOf(instructions: readonly Instruction[]): Map<number, number> {
  const last = new Map<number, number>();
  for (const [at, { outputs }] of instructions.entries()) for (const id of outputs) last.set(id, at);
  return last;
}

function gradientStart({ tensors }: DisputeProgram): number {
  const offsets = tensors
    .filter(({ name, role }) => role === 'output' && name.startsWith(GRADIENT_PREFIX))
    .map(({ offset }) => offset);
  return Math.min(...offsets);
}

function operandOf(
  ref: TensorRef,
  instruction: Instruction,
  { tensors }: DisputeProgram,
  inputs: readonly TensorHome[],
  dispute: InstructionDispute,
  homes: readonly TensorHome[],
): RecordOperand {
  if (ref.kind === 'input') {
    const home = present(inputs[ref.index], 'input');
    const { shape } = present(tensors[instruction.inputs[ref.index] ?? -1], 'input tensor');
    return { home, length: elementCount(shape), leafBytes: leafBytesAt(home, leafBytesOf(shape)) };
  }
  const place = dispute.tensors.findIndex((tensor) => sameRef(tensor.ref, ref));
  const { shape, leafBytes } = present(dispute.tensors[place], 'tensor of the instruction');
  const home = present(homes[place], 'home');
  return { home, length: elementCount(shape), leafBytes: leafBytesAt(home, leafBytes) };
}

/** Trees of parameter layout have the leaves of a state; everything else its own. */
function leafBytesAt({ kind }: TensorHome, own: number): number {
  return kind === 'before' || kind === 'after' || kind === 'gradient' ? STATE_LEAF_BYTES : own;
}

/** Bytes between tensors of the state after the step and of the gradients: zero, or provably not. */
function gapRecords({ tensors }: DisputeProgram, firstGradient: number): DisputeRecord[] {
  const trees = [
    { kind: 'after', list: tensors.filter(({ role }) => role === 'state'), start: 0 },
    { kind: 'gradient', list: tensors.filter(({ name }) => name.startsWith(GRADIENT_PREFIX)), start: firstGradient },
  ] as const;
  const records: DisputeRecord[] = [];
  for (const { kind, list, start } of trees) {
    for (const { shape, offset } of list) {
      const end = offset - start + 4 * elementCount(shape);
      const length = (Math.ceil(end / 64) * 64 - end) / 4;
      if (length === 0) continue;
      const operand = { home: { kind, offset: end }, length, leafBytes: STATE_LEAF_BYTES } as const;
      records.push({
        instruction: -1,
        template: 0,
        part: ZERO_PART,
        refs: [null],
        operands: [operand],
        fixed: [],
      });
    }
  }
  return records;
}

const HOME_CODES = { list: 0, before: 1, after: 2, gradient: 3, loss: 4, constant: 5, seed: 6, hyper: 7 } as const;
const OPERAND_BYTES = 45;

/** A record's bytes: part u16, operands u8, fixed u8; each operand kind u8, place, length, leaf u32, root; fixed u32. */
export function encodeRecord({ part, operands, fixed }: DisputeRecord): Uint8Array {
  check(operands.length < 256 && fixed.length < 256, 'encodeRecord: counts fit a byte');
  const bytes = new Uint8Array(4 + OPERAND_BYTES * operands.length + 4 * fixed.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, part);
  bytes.set([operands.length, fixed.length], 2);
  for (const [i, { home, length, leafBytes }] of operands.entries()) {
    const at = 4 + OPERAND_BYTES * i;
    bytes[at] = HOME_CODES[home.kind];
    view.setUint32(at + 1, placeOf(home));
    view.setUint32(at + 5, length);
    view.setUint32(at + 9, leafBytes);
    if (home.kind === 'constant') bytes.set(home.root, at + 13);
  }
  for (const [i, value] of fixed.entries()) view.setUint32(4 + OPERAND_BYTES * operands.length + 4 * i, value >>> 0);
  return bytes;
}

/** The second field of an operand: which entry, update or byte of its tree. */
function placeOf(home: TensorHome): number {
  if (home.kind === 'list') return home.entry;
  if (home.kind === 'hyper') return home.update;
  return 'offset' in home ? home.offset : 0;
}

export function recordHashes(layout: DisputeLayout): Uint8Array[] {
  return layout.records.map((record) => leafHash(encodeRecord(record)));
}

/** The program at another capacity: every length that grows with the batch grows in proportion. */
export function programAtCapacity(one: DisputeProgram, two: DisputeProgram, capacity: number): DisputeProgram | null {
  check(one.instructions.length === two.instructions.length, 'programAtCapacity: programs of one model');
  const grown = (a: number, b: number): number => a + (capacity - 1) * (b - a);
  const tensors = one.tensors.map((tensor, id) => {
    const other = present(two.tensors[id], 'tensor');
    return { ...tensor, shape: tensor.shape.map((length, axis) => grown(length, other.shape[axis] ?? 0)) };
  });
  const instructions = one.instructions.map((instruction, at) => {
    const other = present(two.instructions[at], 'instruction').attrs;
    const attrs = Object.entries(instruction.attrs).map(([name, value]) => [name, grown(value, other[name] ?? 0)]);
    return { ...instruction, attrs: Object.fromEntries(attrs) };
  });
  // Beyond a limit of the engine nobody can train at this capacity, so there is nothing to dispute.
  const fits = instructions.every((instruction, at) => bindShapes(instruction, at, tensors).ok);
  return fits ? { tensors, instructions } : null;
}

/** Leaf of the program root for one capacity: records root, number of records, number of entries. */
export function programLeaf(records: Uint8Array, recordCount: number, entries: number): Uint8Array {
  return leafHash(concat(records, u32be(recordCount), u32be(entries)));
}
