// Owns proving what is false in an answered step: the questions that lead to one leaf of the first tensor that differs, and
// the piece that shows the falsehood. Rules M-3 and Q-2 of docs/protocol/challenges.md.

import { type Hex, equal, fromHex, toHex } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { STATE_LEAF_BYTES, merkleRoot, open } from '../base/merkle.ts';
import type {
  EntryProof,
  FixedAnswer,
  InputProof,
  PieceProof,
  ProgramProof,
  Question,
  RecordProof,
  ScheduleProof,
} from '../chain/system/challenges.ts';
import type { RefereeOpening } from '../chain/system/referee.ts';
import {
  type Answered,
  type Difference,
  type DisputedStep,
  type Found,
  type Seen,
  littleWords,
  tensorBytes,
  walkEntries,
} from './dispute-find.ts';
import {
  type DisputeLayout,
  type DisputeRecord,
  type RecordOperand,
  type TensorHome,
  encodeRecord,
  recordHashes,
} from './dispute-layout.ts';
import { type HeldTree, type OtherTree, holdTree, leafOf, levelBelow, otherTree, siblingsAt } from './dispute-tree.ts';
import type { TensorRef } from './referee-frame.ts';
import { locatePiece, readsOf } from './referee-locate.ts';

/** A proof under way: questions until the leaf is known, then the proof. */
export type OpenDispute = Readonly<{
  /** The next question, or null when the proof can be made. */
  question(): Question | null;
  /** Takes what the trainer disclosed to the last question. */
  disclosed(level: number, index: number, nodes: readonly Hex[], leaf: Hex): void;
  proof(): Readonly<{ kind: 'piece'; proof: PieceProof } | { kind: 'input'; proof: InputProof }>;
  /** One line for people: what is false. */
  describe(): string;
}>;

export type DisputeProofs = Readonly<{
  /** Words of the schedule for an update of the step. */
  scheduleOf(update: number): ScheduleProof;
  /** The sequence that stands behind a row of the step, with its opening in the training root. */
  sequenceOf(row: number): Readonly<{ bytes: Uint8Array; siblings: readonly Uint8Array[] }>;
  sequenceLength: number;
}>;

/** What later moves repeat of an answer. */
export function fixedAnswer(answered: Answered, program: ProgramProof): FixedAnswer {
  const { leaf, stateBefore, roots } = answered;
  return {
    stateBefore,
    stateAfter: leaf.stateRoot,
    gradRoot: leaf.gradRoot,
    lossBits: leaf.lossBits,
    list: toHex(merkleRoot(roots.map((root) => fromHex(root)))),
    records: program.records,
    recordCount: program.recordCount,
    entries: program.entries,
  };
}

/** Opens the dispute over a difference that was found. Throws when there is none, or it is one that no piece shows. */
export function openDispute(step: DisputedStep, answered: Answered, found: Found, proofs: DisputeProofs): OpenDispute {
  const { layout } = step;
  const { difference } = found;
  check(difference.kind !== 'none' && difference.kind !== 'failed', 'openDispute: a difference that a piece can show');
  const roots = answered.roots.map((root) => fromHex(root));
  const records = recordHashes(layout);
  const disputed = disputedTree(step, found, answered);
  const other = disputed === null ? null : otherTree(disputed.own, disputed.root);
  const path = { level: other === null ? 0 : other.levels - 1, index: 0, done: other === null };

  const entryProof = (entry: number): EntryProof => ({
    root: present(answered.roots[entry], 'root'),
    siblings: open(roots, entry).siblings.map((hash) => toHex(hash)),
  });
  const recordProof = (index: number): RecordProof => ({
    record: toHex(encodeRecord(present(layout.records[index], 'record'))),
    index,
    siblings: open(records, index).siblings.map((hash) => toHex(hash)),
  });

  function question(): Question | null {
    if (path.done) return null;
    const [index, operand] = present(findOperand(layout, difference), 'record over the disputed tree');
    const listed = difference.kind === 'entry' ? [entryProof(difference.entry)] : [];
    return { proof: recordProof(index), operand, entries: listed, level: path.level, index: path.index };
  }

  function disclosed(level: number, index: number, nodes: readonly Hex[], leaf: Hex): void {
    const tree = present(other, 'disputed tree');
    check(level === path.level && index === path.index, 'disclosed: the answer to the last question');
    if (level === 0) {
      tree.noteLeaf(index, fromHex(leaf));
      path.done = true;
      return;
    }
    const below = levelBelow(level);
    const first = index * 2 ** (level - below);
    tree.note(
      below,
      first,
      nodes.map((node) => fromHex(node)),
    );
    path.index = firstDiffering(present(disputed, 'disputed').own, tree, below, first, nodes.length, difference.kind);
    path.level = below;
  }

  function place(): Place {
    return placeOf(step, difference, found, disputed, other, path.index, answered.leaf.lossBits);
  }

  return {
    question,
    disclosed,
    describe: () => describe(step, place()),
    proof() {
      const target = place();
      if (target.kind === 'input') {
        const tree = present(other, 'disputed tree');
        const sequence = proofs.sequenceOf(Math.floor(target.element / proofs.sequenceLength));
        const proof: InputProof = {
          targets: target.targets,
          element: target.element,
          entry: entryProof(target.entry),
          leaf: toHex(present(tree.leaf(path.index), 'leaf')),
          siblings: tree.siblings(path.index).map((hash) => toHex(hash)),
          sequence: toHex(sequence.bytes),
          sequenceSiblings: sequence.siblings.map((hash) => toHex(hash)),
        };
        return { kind: 'input', proof };
      }
      const record = present(layout.records[target.record], 'record');
      const operands = record.operands.map((operand, k) =>
        heldOperand(step, answered, found, target.seen, record, operand, k, disputed, other, difference),
      );
      const numbers = [...record.fixed, ...target.selected];
      const word = (k: number, element: number): number => wordOf(present(operands[k], 'operand'), element);
      const length = (k: number): number => present(record.operands[k], 'operand').length;
      const reads = readsOf(record.part, numbers, { word, length });
      const witness = reads.flatMap((elements, k) => openings(k, present(operands[k], 'operand'), elements));
      const listed = record.operands.flatMap(({ home }) => (home.kind === 'list' ? [entryProof(home.entry)] : []));
      const proof = { proof: recordProof(target.record), selected: target.selected, entries: listed };
      const update = record.operands.find(({ home }) => home.kind === 'hyper')?.home;
      const schedule = proofs.scheduleOf(update?.kind === 'hyper' ? update.update : 0);
      return { kind: 'piece', proof: { ...proof, schedule, witness } };
    },
  };
}

type DisputedTree = Readonly<{ own: HeldTree; root: Uint8Array }>;

/** The tree that must be gone down; none for the loss, whose bits the leaf states. */
function disputedTree(step: DisputedStep, found: Found, { leaf, roots }: Answered): DisputedTree | null {
  const { difference, result, entryBytes } = found;
  switch (difference.kind) {
    case 'entry': {
      const { leafBytes } = present(step.layout.entries[difference.entry], 'entry');
      const own = holdTree(present(entryBytes, 'entry').slice(), leafBytes);
      return { own, root: fromHex(present(roots[difference.entry], 'root')) };
    }
    case 'gradient':
      return { own: holdTree(present(result, 'result').gradients, STATE_LEAF_BYTES), root: fromHex(leaf.gradRoot) };
    case 'after':
      return { own: holdTree(present(result, 'result').stateAfter, STATE_LEAF_BYTES), root: fromHex(leaf.stateRoot) };
    default:
      return null;
  }
}

/** A record that has the disputed tree among its operands, and which operand it is. */
function findOperand(layout: DisputeLayout, difference: Difference): readonly [number, number] | null {
  for (const [index, { operands }] of layout.records.entries()) {
    const operand = operands.findIndex(({ home }) =>
      difference.kind === 'entry'
        ? home.kind === 'list' && home.entry === difference.entry
        : home.kind === difference.kind,
    );
    if (operand >= 0) return [index, operand];
  }
  return null;
}

/**
 * Which differing node to go down. In the state first moments come before second moments before parameters, since a piece of
 * the parameters reads both; nodes wholly in one of them come before nodes on a border, and the border of the parameters
 * before the rest of them: a leaf on a border holds words of both.
 */
function firstDiffering(
  own: HeldTree,
  tree: OtherTree,
  level: number,
  first: number,
  count: number,
  kind: Difference['kind'],
): number {
  const differing: number[] = [];
  for (let index = first; index < first + count; index++)
    if (!equal(tree.node(level, index), present(own.levels[level]?.[index], 'own node'))) differing.push(index);
  const fallback = present(differing[0], 'a differing node below a differing node');
  if (kind !== 'after') return fallback;
  const span = own.leafBytes * 2 ** level;
  const third = own.bytes.length / 3;
  const regions = [
    (from: number, to: number) => from >= third && to <= 2 * third,
    (from: number, _to: number) => from >= 2 * third,
    (from: number, to: number) => from < 2 * third && to > 2 * third,
    (from: number, to: number) => from < third && to > third,
  ];
  for (const inside of regions) {
    const hit = differing.find((index) => inside(index * span, (index + 1) * span));
    if (hit !== undefined) return hit;
  }
  return fallback;
}

type Place =
  /** `element` counts over the whole step. */
  | Readonly<{ kind: 'input'; targets: boolean; element: number; entry: number }>
  | Readonly<{ kind: 'piece'; record: number; selected: readonly number[]; seen: Seen | null; element: number }>;

/** Byte of the first word in which a disclosed leaf differs from one's own; of a state in the order m, v, p. */
function differingByte(own: HeldTree, tree: OtherTree, index: number, kind: Difference['kind']): number {
  const theirs = present(tree.leaf(index), 'disclosed leaf');
  const ours = leafOf(own, index);
  const third = own.bytes.length / 3;
  const start = index * own.leafBytes;
  let best = -1;
  for (let at = 0; at < ours.length; at += 4) {
    if (equal(ours.subarray(at, at + 4), theirs.subarray(at, at + 4))) continue;
    if (kind !== 'after' || start + at >= third) return start + at;
    if (best < 0) best = start + at;
  }
  check(best >= 0, 'differingByte: the leaf differs');
  return best;
}

function placeOf(
  step: DisputedStep,
  difference: Difference,
  found: Found,
  disputed: DisputedTree | null,
  other: OtherTree | null,
  leaf: number,
  lossBits: number,
): Place {
  const { layout } = step;
  if (difference.kind === 'loss') {
    const at = layout.instructions.findIndex(({ homes }) => homes.some(({ kind }) => kind === 'loss'));
    const { dispute, homes } = present(layout.instructions[at], 'instruction');
    const { ref } = present(dispute.tensors[homes.findIndex(({ kind }) => kind === 'loss')], 'loss');
    return pieceAt(step, see(step, at), ref, 0, lossBits);
  }
  const { own } = present(disputed, 'disputed tree');
  const tree = present(other, 'disputed tree');
  const byte = differingByte(own, tree, leaf, difference.kind);
  const claimed = wordAt(present(tree.leaf(leaf), 'disclosed leaf'), byte - leaf * own.leafBytes);
  if (difference.kind === 'entry') {
    const { ref, instruction } = present(layout.entries[difference.entry], 'entry');
    if (instruction < 0) return inputAt(step, difference.entry, byte / 4);
    return pieceAt(step, present(found.seen, 'instruction'), ref, byte / 4, claimed);
  }
  for (const [at, { dispute, homes }] of layout.instructions.entries()) {
    for (const [place, { ref, shape }] of dispute.tensors.entries()) {
      const home = present(homes[place], 'home');
      if (home.kind !== difference.kind || !('offset' in home)) continue;
      const element = (byte - home.offset) / 4;
      if (element >= 0 && element < shape.reduce((a, b) => a * b, 1))
        return pieceAt(step, see(step, at), ref, element, claimed);
    }
  }
  const record = layout.records.findIndex(({ instruction, operands }) => {
    const [operand] = operands;
    if (instruction >= 0 || operand === undefined || operand.home.kind !== difference.kind) return false;
    const from = (operand.home as Extract<TensorHome, { offset: number }>).offset;
    return byte >= from && byte < from + 4 * operand.length;
  });
  const { operands } = present(layout.records[record], 'gap');
  const from = (present(operands[0], 'gap').home as Extract<TensorHome, { offset: number }>).offset;
  return { kind: 'piece', record, selected: [(byte - from) / 4, 1], seen: null, element: (byte - from) / 4 };
}

/** A token or target, by its entry and the element there. */
function inputAt({ given }: DisputedStep, entry: number, element: number): Place {
  const each = given.tokens.length / given.updates;
  return { kind: 'input', targets: entry % 2 === 1, element: Math.floor(entry / 2) * each + element, entry };
}

/** Runs the step again up to an instruction. */
function see(step: DisputedStep, wanted: number): Seen {
  let seen: Seen | null = null;
  walkEntries(
    step,
    () => undefined,
    (each) => {
      if (each.at !== wanted) return undefined;
      seen = each;
      return 'stop';
    },
  );
  return present(seen as Seen | null, 'instruction reached');
}

function pieceAt(step: DisputedStep, seen: Seen, ref: TensorRef, element: number, claimed: number): Place {
  const own = wordAt(tensorBytes(seen, ref), 4 * element);
  const { dispute, firstRecord } = present(step.layout.instructions[seen.at], 'instruction');
  const { template, selected } = locatePiece(dispute, ref, element, own, claimed);
  return { kind: 'piece', record: firstRecord + template, selected, seen, element };
}

function wordAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);
}

function describe({ layout }: DisputedStep, place: Place): string {
  if (place.kind === 'input') return `${place.targets ? 'target' : 'token'} ${place.element} is not the data order's`;
  const { instruction, part, template } = present(layout.records[place.record], 'record');
  if (instruction < 0) return 'a gap between tensors is not zero';
  const { proves } = present(layout.instructions[instruction]?.dispute.templates[template], 'template');
  const tensor = proves.kind === 'ledger' ? `ledger ${proves.name}` : `output ${proves.index}`;
  return `instruction ${instruction} (${place.seen?.instruction.op}), ${tensor}, element ${place.element}, part ${part}`;
}

/** An operand whose leaves can be opened: one's own tree, or the disputed one as far as disclosed. */
type HeldOperand = Readonly<{ offset: number; tree: HeldTree; other: OtherTree | null }>;

function heldOperand(
  step: DisputedStep,
  answered: Answered,
  found: Found,
  seen: Seen | null,
  record: DisputeRecord,
  operand: RecordOperand,
  k: number,
  disputed: DisputedTree | null,
  other: OtherTree | null,
  difference: Difference,
): HeldOperand {
  const { home, leafBytes } = operand;
  const isDisputed =
    difference.kind === 'entry'
      ? home.kind === 'list' && home.entry === difference.entry
      : home.kind === difference.kind;
  const offset = 'offset' in home ? home.offset : 0;
  if (isDisputed && disputed !== null) return { offset, tree: disputed.own, other };
  const state = step.given.state;
  const third = state.length / 3;
  const held = (bytes: Uint8Array, at = offset): HeldOperand => ({
    offset: at,
    tree: holdTree(bytes, leafBytes),
    other: null,
  });
  switch (home.kind) {
    case 'before':
      if (step.step > 0) return held(state);
      if (offset < third) return held(state.subarray(0, third));
      return step.carriedState === null ? held(new Uint8Array(third), offset % third) : held(step.carriedState);
    case 'after':
      return held(present(found.result, 'result').stateAfter);
    case 'gradient':
      return held(present(found.result, 'result').gradients);
    case 'loss':
      return held(littleWords([answered.leaf.lossBits]));
    default: {
      const ref = present(record.refs[k], 'operand');
      return held(tensorBytes(present(seen, 'instruction'), ref));
    }
  }
}

/** The word the trainer claims. */
function wordOf({ offset, tree, other }: HeldOperand, element: number): number {
  const at = offset + 4 * element;
  const index = Math.floor(at / tree.leafBytes);
  const leaf = other === null ? leafOf(tree, index) : present(other.leaf(index), 'a leaf that is agreed or disclosed');
  return wordAt(leaf, at - index * tree.leafBytes);
}

function openings(k: number, { offset, tree, other }: HeldOperand, elements: readonly number[]): RefereeOpening[] {
  const indices = [...new Set(elements.map((element) => Math.floor((offset + 4 * element) / tree.leafBytes)))];
  return indices
    .sort((a, b) => a - b)
    .map((index) => {
      const leaf =
        other === null ? leafOf(tree, index) : present(other.leaf(index), 'a leaf that is agreed or disclosed');
      const siblings = other === null ? siblingsAt(tree.levels, 0, index) : other.siblings(index);
      return { operand: k, index, leaf: toHex(leaf), siblings: siblings.map((hash) => toHex(hash)) };
    });
}
