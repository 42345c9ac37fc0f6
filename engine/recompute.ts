// Owns gradient checkpointing: a program that drops values of the forward pass and computes them again before the backward
// pass reads them. Same values, same bits (program-meaning.ts), less memory, more work.

import { present } from '../base/check.ts';
import type { Instruction } from './instruction.ts';
import { ProgramBuilder, type TensorProgram, elementCount } from './program.ts';

/** One forward pass: its instructions (positions in the program, ascending), up to the one that begins its backward pass. */
type Forward = Readonly<{ members: readonly number[]; turn: number }>;

const TURN = 'crossEntropyGrad';

/** Producers by tensor, of tensors written once. State written in place is no value to compute again. */
function producers(program: TensorProgram): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  for (const [at, { outputs }] of program.instructions.entries())
    for (const id of outputs) if (program.tensors[id]?.role !== 'state') found.set(id, at);
  return found;
}

function forwards(program: TensorProgram, producer: ReadonlyMap<number, number>): readonly Forward[] {
  return program.instructions.flatMap(({ op }, turn) => {
    if (op !== TURN) return [];
    const members = new Set<number>();
    const open = [turn];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      for (const id of present(program.instructions[at], 'instruction').inputs) {
        const from = producer.get(id);
        if (from === undefined || members.has(from)) continue;
        members.add(from);
        open.push(from);
      }
    }
    return [{ members: [...members].sort((a, b) => a - b), turn }];
  });
}

/** Places between two members where the least has to be kept for the rest of the forward pass: the layers' ends. */
function narrowPlaces(program: TensorProgram, { members }: Forward): readonly number[] {
  const lastUse = new Map<number, number>();
  for (const [k, at] of members.entries())
    for (const id of present(program.instructions[at], 'member').inputs) lastUse.set(id, k);
  const crossing = new Array<number>(members.length).fill(0);
  for (const [k, at] of members.entries()) {
    for (const id of present(program.instructions[at], 'member').outputs) {
      const elements = elementCount(present(program.tensors[id], 'tensor').shape);
      for (let cut = k + 1; cut <= (lastUse.get(id) ?? 0); cut++) crossing[cut] = (crossing[cut] ?? 0) + elements;
    }
  }
  const inner = crossing.slice(1);
  const least = Math.min(...inner);
  return inner.flatMap((elements, i) => (elements === least ? [i + 1] : []));
}

/** Segments of a forward pass as lists of positions; the last one stays as it is. */
function segmentsOf(program: TensorProgram, forward: Forward, count: number): readonly (readonly number[])[] {
  const places = narrowPlaces(program, forward);
  const wanted = Math.min(count, places.length + 1);
  const cuts = Array.from({ length: wanted - 1 }, (_, i) =>
    present(places[Math.floor(((i + 1) * places.length) / wanted)], 'cut'),
  );
  const bounds = [0, ...new Set(cuts), forward.members.length];
  return bounds.slice(1).map((end, i) => forward.members.slice(bounds[i], end));
}

/** Most segments that the forward passes of a program can be cut into; 1 where there is no backward pass. */
export function mostSegments(program: TensorProgram): number {
  const list = forwards(program, producers(program));
  return Math.min(
    ...list.map((forward) => narrowPlaces(program, forward).length + 1),
    list.length === 0 ? 1 : Infinity,
  );
}

/** What is inserted before an instruction: members computed again, in order. */
type Again = Readonly<{ members: readonly number[]; dropped: ReadonlySet<number>; turn: number }>;

function againOf(program: TensorProgram, forward: Forward, segment: readonly number[]): Again {
  const { instructions, tensors } = program;
  const inside = new Set(segment);
  const inForward = new Set(forward.members);
  const made = new Set(segment.flatMap((at) => present(instructions[at], 'member').outputs));
  const [kept, readLater] = [new Set<number>(), new Set<number>()];
  for (const [at, { inputs }] of instructions.entries()) {
    for (const id of inputs) {
      if (!made.has(id) || inside.has(at)) continue;
      // Read by a later segment, or before the turn: it stays. Read by the backward pass only: it is made again.
      if (inForward.has(at) || at <= forward.turn) kept.add(id);
      else readLater.add(id);
    }
  }
  const dropped = new Set([...readLater].filter((id) => !kept.has(id) && tensors[id]?.role === 'temp'));
  const wanted = new Set(dropped);
  const members: number[] = [];
  for (const at of [...segment].reverse()) {
    const { inputs, outputs } = present(instructions[at], 'member');
    if (!outputs.some((id) => wanted.has(id))) continue;
    members.push(at);
    for (const id of inputs) if (made.has(id) && !kept.has(id)) wanted.add(id);
  }
  return { members: members.reverse(), dropped, turn: forward.turn };
}

/**
 * The same program with every forward pass cut into `segments` pieces, of which all but the last are computed a second time
 * in the backward pass. The program itself for one segment.
 */
export function recompute(program: TensorProgram, segments: number): TensorProgram {
  if (segments <= 1) return program;
  const list = forwards(program, producers(program));
  const pieces = list.flatMap((forward) =>
    segmentsOf(program, forward, segments)
      .slice(0, -1)
      .map((segment) => againOf(program, forward, segment)),
  );
  const builder = new ProgramBuilder();
  for (const { name, dtype, shape, role } of program.tensors) builder.tensor(name, dtype, shape, role);
  const renamed = new Map<number, number>();
  const emit = ({ op, inputs, outputs, attrs }: Instruction) =>
    builder.emit(
      op,
      inputs.map((id) => renamed.get(id) ?? id),
      outputs,
      attrs,
    );
  const open = new Set(pieces);
  for (const [at, instruction] of program.instructions.entries()) {
    for (const piece of open) {
      if (at <= piece.turn || !instruction.inputs.some((id) => piece.dropped.has(id))) continue;
      open.delete(piece);
      for (const member of piece.members)
        repeat(program, builder, present(program.instructions[member], 'member'), renamed);
    }
    emit(instruction);
  }
  return builder.finish(program.name);
}

/** Emits an instruction again with results of other names, which later readers take. */
function repeat(
  program: TensorProgram,
  builder: ProgramBuilder,
  { op, inputs, outputs, attrs }: Instruction,
  renamed: Map<number, number>,
): void {
  const from = inputs.map((id) => renamed.get(id) ?? id);
  const made = outputs.map((id) => {
    const { name, dtype, shape } = present(program.tensors[id], 'tensor');
    return builder.tensor(`${name}.again`, dtype, shape, 'temp');
  });
  builder.emit(op, from, made, attrs);
  for (const [i, id] of outputs.entries()) renamed.set(id, present(made[i], 'result'));
}
