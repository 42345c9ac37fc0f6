// Owns finding what is false in an answered step: the entries of its dispute list in order, and the first thing that differs
// from one's own execution. How it is proven is dispute-proof.ts. Rule Q-1 of docs/protocol/challenges.md.

import { type Hex, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { STATE_LEAF_BYTES, leafHashes, merkleRoot } from '../base/merkle.ts';
import type { TraceLeaf } from '../chain/system/challenges.ts';
import type { Executor } from '../engine/executor.ts';
import type { Instruction } from '../engine/instruction.ts';
import type { TensorProgram } from '../engine/program.ts';
import type { Value } from '../engine/scalar-ops.ts';
import type { DisputeLayout, StepConstants } from './dispute-layout.ts';
import { type StepGiven, bytesOf, ofUpdate, walkStep } from './dispute-run.ts';
import { type HeldTree, holdTree, rootOfTree } from './dispute-tree.ts';
import type { TensorRef } from './referee-frame.ts';
import { type Ledger, auxiliaryTensors } from './referee-ledgers.ts';

/** A step with everything to run and to judge it. */
export type DisputedStep = Readonly<{
  executor: Executor;
  program: TensorProgram;
  layout: DisputeLayout;
  constants: StepConstants;
  given: StepGiven;
  step: number;
  /** The final state that the moments of step 0 are from; null when they are zero, and at later steps. */
  carriedState: Uint8Array | null;
  /** Changes the outputs of an instruction as they are made; only for trying attacks in tests. */
  alter?: (at: number, outputs: readonly Value[]) => void;
}>;

/** What the trainer answered. */
export type Answered = Readonly<{ leaf: TraceLeaf; stateBefore: Hex; roots: readonly Hex[] }>;

/** The first thing that differs, in an order in which everything before it is agreed. */
export type Difference =
  | Readonly<{ kind: 'none' }>
  | Readonly<{ kind: 'entry'; entry: number }>
  | Readonly<{ kind: 'loss' }>
  | Readonly<{ kind: 'gradient' }>
  | Readonly<{ kind: 'after' }>
  /** The step has no result (rule L-5): its instruction leaves the range. */
  | Readonly<{ kind: 'failed'; instruction: number; reason: string }>;

/** An instruction with all its tensors. */
export type Seen = Readonly<{
  at: number;
  instruction: Instruction;
  inputs: readonly Value[];
  outputs: readonly Value[];
  ledgers: readonly Ledger[];
}>;

export const littleWords = (words: ArrayLike<number>): Uint8Array => {
  const bytes = new Uint8Array(4 * words.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < words.length; i++) view.setUint32(4 * i, (words[i] ?? 0) >>> 0, true);
  return bytes;
};

export function tensorBytes(seen: Seen, ref: TensorRef): Uint8Array {
  if (ref.kind === 'ledger') {
    const { words } = present(
      seen.ledgers.find(({ name }) => name === ref.name),
      `ledger ${ref.name}`,
    );
    return littleWords(words);
  }
  return bytesOf(present((ref.kind === 'input' ? seen.inputs : seen.outputs)[ref.index], 'tensor'));
}

/** Calls `found` with the bytes of every list entry in order; it may end the walk. */
export function walkEntries(
  step: DisputedStep,
  found: (entry: number, bytes: Uint8Array, seen: Seen | null) => 'stop' | undefined,
  each: (seen: Seen) => 'stop' | undefined = () => undefined,
): ReturnType<typeof walkStep> {
  const { layout, given } = step;
  for (let update = 0; update < given.updates; update++)
    for (const [index, name] of (['tokens', 'targets'] as const).entries()) {
      const bytes = bytesOf({ shape: [], data: ofUpdate(given, name, update) });
      if (found(2 * update + index, bytes, null) === 'stop') return { ok: false, stopped: true };
    }
  return walkStep(step.executor, step.program, given, step.constants, (at, instruction, inputs, outputs) => {
    const { dispute, homes } = present(layout.instructions[at], 'instruction');
    step.alter?.(at, outputs);
    const ledgers = dispute.tensors.some(({ ref }) => ref.kind === 'ledger')
      ? auxiliaryTensors(instruction, inputs, outputs)
      : [];
    const seen: Seen = { at, instruction, inputs, outputs, ledgers };
    if (each(seen) === 'stop') return 'stop';
    for (const [place, { ref }] of dispute.tensors.entries()) {
      const home = present(homes[place], 'home');
      if (home.kind === 'list' && found(home.entry, tensorBytes(seen, ref), seen) === 'stop') return 'stop';
    }
    return undefined;
  });
}

/** The roots of the dispute list, and the step's result; null when the step has none. */
export function disputeList(
  step: DisputedStep,
): Readonly<{ roots: readonly Uint8Array[]; stateAfter: Uint8Array; gradients: Uint8Array; lossBits: number }> | null {
  const roots: Uint8Array[] = [];
  const done = walkEntries(step, (entry, bytes) => {
    roots[entry] = merkleRoot(leafHashes(bytes, present(step.layout.entries[entry], 'entry').leafBytes));
    return undefined;
  });
  return done.ok ? { roots, ...done } : null;
}

export type Found = Readonly<{
  difference: Difference;
  seen: Seen | null;
  result: Result | null;
  entryBytes: Uint8Array | null;
}>;
type Result = Readonly<{ stateAfter: Uint8Array; gradients: Uint8Array }>;

/** Compares an answer with one's own execution. */
export function findDifference(step: DisputedStep, answered: Answered): Found {
  const { layout } = step;
  let hit: Readonly<{ entry: number; bytes: Uint8Array; seen: Seen | null }> | null = null;
  const done = walkEntries(step, (entry, bytes, seen) => {
    if (hit !== null) return undefined;
    const { leafBytes } = present(layout.entries[entry], 'entry');
    const root = toHex(merkleRoot(leafHashes(bytes, leafBytes)));
    if (root === answered.roots[entry]) return undefined;
    hit = { entry, bytes, seen };
    // Later instructions may leave their range without fault of ours only when nothing was false before.
    return seen === null || !readsGradient(layout, seen.at) ? 'stop' : undefined;
  });
  const found = hit as Readonly<{ entry: number; bytes: Uint8Array; seen: Seen | null }> | null;
  const asEntry = (): Found =>
    found === null
      ? { difference: { kind: 'none' }, seen: null, result: null, entryBytes: null }
      : { difference: { kind: 'entry', entry: found.entry }, seen: found.seen, result: null, entryBytes: found.bytes };
  if (!done.ok) {
    if (done.stopped || found !== null) return asEntry();
    const { instruction, reason } = done.outcome;
    return { ...asEntry(), difference: { kind: 'failed', instruction, reason } };
  }
  const result = { stateAfter: done.stateAfter, gradients: done.gradients };
  const differs = (own: Uint8Array, root: Hex): boolean => toHex(merkleRoot(leafHashes(own))) !== root;
  const of = (kind: 'loss' | 'gradient' | 'after'): Found => ({
    difference: { kind },
    seen: null,
    result,
    entryBytes: null,
  });
  if (differs(done.gradients, answered.leaf.gradRoot)) return of('gradient');
  if (found !== null) return { ...asEntry(), result };
  if (done.lossBits !== answered.leaf.lossBits) return of('loss');
  if (differs(done.stateAfter, answered.leaf.stateRoot)) return of('after');
  return asEntry();
}

/** True when an instruction reads the gradients from their tree: they have to be agreed before its own tensors are. */
function readsGradient(layout: DisputeLayout, at: number): boolean {
  return layout.records.some(
    ({ instruction, operands, refs }) =>
      instruction === at && operands.some(({ home }, k) => home.kind === 'gradient' && refs[k]?.kind === 'input'),
  );
}

/** The tree of a root that a question names, among what the step made: for whoever has to disclose it. */
export function treeOfRoot(
  step: DisputedStep,
  root: Hex,
  result: Readonly<{ roots: readonly Uint8Array[]; stateAfter: Uint8Array; gradients: Uint8Array }>,
): HeldTree | null {
  for (const bytes of [result.stateAfter, result.gradients]) {
    const tree = holdTree(bytes, STATE_LEAF_BYTES);
    if (toHex(rootOfTree(tree)) === root) return tree;
  }
  const wanted = result.roots.findIndex((each) => toHex(each) === root);
  if (wanted < 0) return null;
  let tree: HeldTree | null = null;
  walkEntries(step, (entry, bytes) => {
    if (entry !== wanted) return undefined;
    tree = holdTree(bytes.slice(), present(step.layout.entries[entry], 'entry').leafBytes);
    return 'stop';
  });
  return tree;
}
