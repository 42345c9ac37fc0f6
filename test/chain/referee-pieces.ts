// Owns random pieces for the referee: instructions run by the scalar oracle, all tensors of their dispute committed, one word
// of one of them located, opened and judged as it is and with one bit flipped. As a command
// (`node build/test/chain/referee-pieces.js [PIECES] [SEED]`) it judges thousands.

import { fileURLToPath } from 'node:url';
import { present } from '../../base/check.ts';
import { STATE_LEAF_BYTES } from '../../base/merkle.ts';
import { type Prng, prng } from '../../base/prng.ts';
import {
  type CommittedBytes,
  commitBytes,
  openElements,
  operandOf,
  type RefereeOpening,
  type RefereePart,
  type RefereePiece,
} from '../../chain/system/referee.ts';
import { OP_NAMES, type Op } from '../../engine/instruction.ts';
import { createScalarExecutor } from '../../engine/scalar-executor.ts';
import type { Value } from '../../engine/scalar-ops.ts';
import {
  type InstructionDispute,
  leafBytesOf,
  type PieceTemplate,
  sameRef,
  type TensorRef,
} from '../../trainer/referee-frame.ts';
import { auxiliaryTensors } from '../../trainer/referee-ledgers.ts';
import { locatePiece, readsOf } from '../../trainer/referee-locate.ts';
import { disputeOf } from '../../trainer/referee-templates.ts';
import { type Case, caseOf, runCase } from '../engine/cases.ts';
import { openRefereeWorld, type RefereeWorld } from './referee-world.ts';

/** A tensor as committed: its words, what stands before it in its tree, the size of a leaf. */
export type Committed = Readonly<{ words: Uint32Array; before: number; leafBytes: number }>;

/** One instruction that ran: its dispute and the words of every operand and ledger. */
export type Judged = Readonly<{
  op: Op;
  dispute: InstructionDispute;
  of(ref: TensorRef): Committed;
}>;

/** A piece and what it is opened with. */
export type Presented = Readonly<{ name: RefereePart; piece: RefereePiece; witness: RefereeOpening[] }>;

/** Instructions the referee judges (referee rule 2.14 names the others). */
export const JUDGED_OPS: readonly Op[] = OP_NAMES.filter(
  (op) => op !== 'attentionDecode' && !op.startsWith('linearBf16'),
);

const wordsOf = ({ buffer, byteOffset, length }: Value['data'] | Uint8Array, elements = length): Uint32Array =>
  new Uint32Array(buffer.slice(byteOffset, byteOffset + 4 * elements));

/** What a run of an instruction commits. `place` says where a tensor lies; the layout of a dispute when left out. */
export function judgedOf(
  instruction: Parameters<typeof auxiliaryTensors>[0],
  inputs: readonly Value[],
  outputs: readonly Value[],
  place: (ref: TensorRef) => Readonly<{ before: number; leafBytes: number }> | null = () => null,
): Judged {
  const shapes = (values: readonly Value[]) => values.map(({ shape }) => shape);
  const dispute = disputeOf(instruction, shapes(inputs), shapes(outputs));
  const ledgers = auxiliaryTensors(instruction, inputs, outputs);
  const words = (ref: TensorRef): Readonly<{ shape: readonly number[]; words: Uint32Array }> => {
    if (ref.kind === 'ledger')
      return present(
        ledgers.find(({ name }) => name === ref.name),
        ref.name,
      );
    const value = present((ref.kind === 'input' ? inputs : outputs)[ref.index], 'operand');
    return { shape: value.shape, words: wordsOf(value.data) };
  };
  const known = new Map<string, Committed>();
  const commit = (ref: TensorRef): Committed => {
    const found = words(ref);
    return { words: found.words, before: 0, leafBytes: leafBytesOf(found.shape), ...place(ref) };
  };
  return {
    op: instruction.op,
    dispute,
    of(ref) {
      const key = JSON.stringify(ref);
      const committed = known.get(key) ?? commit(ref);
      known.set(key, committed);
      return committed;
    },
  };
}

const trees = new WeakMap<Committed, CommittedBytes>();

function treeOf(committed: Committed): CommittedBytes {
  const tree = trees.get(committed) ?? plant(committed);
  trees.set(committed, tree);
  return tree;
}

function plant({ words, before, leafBytes }: Committed): CommittedBytes {
  const bytes = new Uint8Array(before + 4 * words.length).fill(0xa5);
  bytes.set(new Uint8Array(words.buffer), before);
  return commitBytes(bytes, leafBytes);
}

/** The piece of a template with these numbers selected, over these operands, with all it reads (or all there is) opened. */
export function presentPiece(
  { name, part, operands, fixed }: PieceTemplate,
  selected: readonly number[],
  of: (ref: TensorRef) => Committed,
  everything = false,
): Presented {
  const numbers = [...fixed, ...selected];
  const given = operands.map(of);
  const trees = given.map(treeOf);
  const reads = everything
    ? given.map(({ words }) => words.keys())
    : readsOf(part, numbers, {
        word: (k, element) => given[k]?.words[element] ?? 0,
        length: (k) => given[k]?.words.length ?? 0,
      });
  return {
    name,
    piece: {
      part,
      operands: given.map(({ before, words }, k) => operandOf(present(trees[k], 'tree'), before, words.length)),
      numbers,
    },
    witness: given.flatMap(({ before }, k) => openElements(k, present(trees[k], 'tree'), before, reads[k] ?? [])),
  };
}

/** The two pieces of one word: as it is, and with one bit flipped. */
export function bothPieces(
  judged: Judged,
  ref: TensorRef,
  element: number,
  bit: number,
): readonly [Presented, Presented] {
  const right = judged.of(ref);
  const own = right.words[element] ?? 0;
  const claimed = (own ^ (1 << bit)) >>> 0;
  const { template, selected } = locatePiece(judged.dispute, ref, element, own, claimed);
  const chosen = present(judged.dispute.templates[template], 'template');
  const words = right.words.slice();
  words[element] = claimed;
  const forged = (other: TensorRef) => (sameRef(other, ref) ? { ...right, words } : judged.of(other));
  return [presentPiece(chosen, selected, judged.of), presentPiece(chosen, selected, forged)];
}

/** A random word of a random tensor of the dispute. */
export function drawWord(judged: Judged, random: Prng): readonly [TensorRef, number, number] {
  const { ref } = present(judged.dispute.tensors[random.below(judged.dispute.tensors.length)], 'tensor');
  return [ref, random.below(judged.of(ref).words.length), random.below(32)];
}

/** A case run by the scalar oracle; null when the run is refused. */
export function judgedRun({ op, program, data }: Case): Judged | null {
  const { outcome, outputs } = runCase(createScalarExecutor(), { op, program, data });
  if (!outcome.ok) return null;
  const instruction = present(program.instructions[0], 'instruction');
  const value = (id: number, after: boolean): Value => {
    const { name, shape, dtype } = present(program.tensors[id], 'tensor');
    const ran = after ? outputs[name] : undefined;
    if (ran === undefined) return { shape, data: present(data[name], name) };
    const words = wordsOf(ran, ran.length / 4);
    return { shape, data: dtype === 'f32' ? new Float32Array(words.buffer) : new Int32Array(words.buffer) };
  };
  // One tensor in three lies somewhere in a tree of 16 KiB leaves, as parameters and gradients do.
  const random = prng(`places ${op} ${program.arenaBytes}`);
  const place = (ref: TensorRef) =>
    ref.kind !== 'ledger' && random.below(3) === 0
      ? { before: 64 * random.below(600), leafBytes: STATE_LEAF_BYTES }
      : null;
  return judgedOf(
    instruction,
    instruction.inputs.map((id) => value(id, false)),
    instruction.outputs.map((id) => value(id, true)),
    place,
  );
}

/** One random run of an instruction by the scalar oracle; null when the run is refused. */
export function judgedCase(op: Op, seed: string): Judged | null {
  return judgedRun(caseOf(op, seed));
}

/** Judges both pieces; says what went wrong, or null. */
export async function judgeBoth(world: RefereeWorld, [right, forged]: readonly [Presented, Presented]) {
  const fair = await world.judge(right.piece, right.witness);
  const caught = await world.judge(forged.piece, forged.witness);
  const fine = fair.holds === true && caught.holds === false;
  return { wrong: fine ? null : { part: right.name, numbers: right.piece.numbers, fair, caught }, gas: fair.gas };
}

/** Judges `runs` cases of every instruction, `each` words of a case. */
export async function judgeMany(world: RefereeWorld, runs: number, each: number, seed: string) {
  const random = prng(`flips ${seed}`);
  const most: Record<string, number> = {};
  const counts: Record<string, number> = {};
  const wrong: unknown[] = [];
  for (const op of JUDGED_OPS) {
    for (let i = 0; i < runs; i++) {
      const judged = judgedCase(op, `${seed} ${i}`);
      for (let k = 0; judged !== null && k < each; k++) {
        const pieces = bothPieces(judged, ...drawWord(judged, random));
        const result = await judgeBoth(world, pieces);
        if (result.wrong !== null) wrong.push({ op, ...result.wrong });
        const { name } = pieces[0];
        most[name] = Math.max(most[name] ?? 0, result.gas);
        counts[name] = (counts[name] ?? 0) + 1;
      }
    }
  }
  return { judged: Object.values(counts).reduce((a, b) => a + b, 0), wrong, most, counts };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [pieces, seed] = [Number(process.argv[2] ?? 10_000), process.argv[3] ?? 'pieces'];
  const each = 8;
  const runs = Math.ceil(pieces / JUDGED_OPS.length / each);
  const { judged, wrong, most, counts } = await judgeMany(await openRefereeWorld(), runs, each, seed);
  const lines = wrong.slice(0, 5).map((one) => JSON.stringify(one));
  process.stdout.write(
    `${[...lines, JSON.stringify({ seed, judged, wrong: wrong.length, counts, mostGas: most })].join('\n')}\n`,
  );
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
