// Owns the vocabulary of what the referee can judge: tensors of an instruction, templates of pieces, leaf sizes. Which
// templates an instruction has is referee-templates.ts and referee-attention.ts.

import { check, present } from '../base/check.ts';
import { LANE_BLOCK, REFEREE_PARTS, type RefereePart } from '../chain/system/referee.ts';
import type { Instruction, Op } from '../engine/instruction.ts';

export type Shape = readonly number[];

/** A tensor as an instruction sees it: inputs before it ran, outputs after, ledgers by name. */
export type TensorRef =
  | Readonly<{ kind: 'input'; index: number }>
  | Readonly<{ kind: 'output'; index: number }>
  | Readonly<{ kind: 'ledger'; name: string }>;

/** A tensor to commit, its shape in 32-bit words. */
export type DisputeTensor = Readonly<{ ref: TensorRef; shape: Shape; leafBytes: number }>;

/**
 * One kind of piece of an instruction. A piece's numbers are `fixed`, then those selected. `select` gives the selected
 * numbers that prove word `element` of `proves` false when the true word is `own`, or null where another template does.
 */
export type PieceTemplate = Readonly<{
  part: number;
  name: RefereePart;
  operands: readonly TensorRef[];
  fixed: readonly number[];
  proves: TensorRef;
  select(element: number, own: number, claimed: number): readonly number[] | null;
}>;

/** `tensors` depend only on inputs and on those before them; every word of each is proved by a template. */
export type InstructionDispute = Readonly<{
  tensors: readonly DisputeTensor[];
  templates: readonly PieceTemplate[];
}>;

export const input = (index: number): TensorRef => ({ kind: 'input', index });
export const output = (index: number): TensorRef => ({ kind: 'output', index });
export const ledger = (name: string): TensorRef => ({ kind: 'ledger', name });

export const sameRef = (a: TensorRef, b: TensorRef): boolean =>
  a.kind === 'ledger' ? b.kind === 'ledger' && a.name === b.name : a.kind === b.kind && a.index === b.index;

/** Bytes of a leaf of a tensor that has no committed home: a row, within 512 and 4,096 bytes. */
export function leafBytesOf(shape: Shape): number {
  return Math.min(4_096, Math.max(512, 4 * (shape.at(-1) ?? 1)));
}

export function tensorOf(ref: TensorRef, shape: Shape): DisputeTensor {
  return { ref, shape, leafBytes: leafBytesOf(shape) };
}

export function template(
  name: RefereePart,
  operands: readonly TensorRef[],
  fixed: readonly number[],
  proves: TensorRef,
  select: PieceTemplate['select'],
): PieceTemplate {
  return { part: REFEREE_PARTS[name], name, operands, fixed: fixed.map((x) => x >>> 0), proves, select };
}

/** Selects row and column of a table of this width. */
export const cell =
  (width: number) =>
  (element: number): readonly number[] => [Math.floor(element / width), element % width];

/** An instruction with the shapes of its operands. */
export type Shaped = Readonly<{
  op: Op;
  attrs: Instruction['attrs'];
  inputs: readonly Shape[];
  outputs: readonly Shape[];
}>;
export const size = (shape: Shape | undefined): number => present(shape, 'shape').reduce((n, length) => n * length, 1);
export const dimension = (shape: Shape | undefined, axis: number): number => present(shape?.[axis], 'dimension');

/** Words of a row of a ledger of lanes over so many terms. */
export const laneWords = (terms: number): number => 16 * Math.ceil(terms / LANE_BLOCK);
/** Words of a line of a ledger of codes: place of the peak, its magnitude, four codes a word. */
export const lineWords = (depth: number): number => 2 + Math.ceil(depth / 4);

const bits = new DataView(new ArrayBuffer(4));
export function wordOfFloat(x: number): number {
  bits.setFloat32(0, x);
  return bits.getUint32(0);
}

/** How the lines of a contraction lie in a tensor: line l, place k is element l * lineStep + k * step. */
export type LineLayout = Readonly<{
  lines: number;
  depth: number;
  lineStep: number;
  step: number;
  noise?: Readonly<{ columns: number; salt: number }>;
}>;

/** Left and right lines of a linear instruction, with the inputs they are of. */
export function lineLayouts({ op, inputs }: Shaped): readonly [LineLayout, LineLayout] {
  const [[a = 0, b = 0], [c = 0, d = 0]] = [present(inputs[0], 'left'), present(inputs[1], 'right')];
  const rows = (lines: number, depth: number): LineLayout => ({ lines, depth, lineStep: depth, step: 1 });
  const columns = (depth: number, lines: number): LineLayout => ({ lines, depth, lineStep: 1, step: lines });
  if (op === 'linear') return [rows(a, b), columns(c, d)];
  if (op === 'linearGradX') return [{ ...rows(a, b), noise: { columns: b, salt: 1 } }, rows(c, d)];
  check(op === 'linearGradW', `lineLayouts: ${op} is no linear instruction`);
  return [columns(a, b), { ...columns(c, d), noise: { columns: d, salt: 2 } }];
}
