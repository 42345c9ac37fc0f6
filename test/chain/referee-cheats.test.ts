// Owns the test that a claim which is false and consistent with itself is caught: every tensor of the dispute follows from a
// wrong operand, ledgers and outputs alike, and the first word that differs in the order of the dispute leads to the piece.

import test from 'ava';
import { present } from '../../base/check.ts';
import { prng } from '../../base/prng.ts';
import type { TensorRef } from '../../trainer/referee-frame.ts';
import { locatePiece } from '../../trainer/referee-locate.ts';
import { type Case, caseOf } from '../engine/cases.ts';
import { JUDGED_OPS, type Judged, judgedRun, presentPiece } from './referee-pieces.ts';
import { openRefereeWorld } from './referee-world.ts';

const random = prng('cheats');

/** The case with one element of one of its f32 operands another number. */
function withWrongOperand(one: Case): Case {
  const names = Object.keys(one.data).filter((name) => one.data[name] instanceof Float32Array);
  if (names.length === 0) return one;
  const name = present(names[random.below(names.length)], 'name');
  const values = present(one.data[name], name).slice();
  values[random.below(values.length)] = random.below(3) === 0 ? 0 : (1 + random.below(1_000)) / 64;
  return { ...one, data: { ...one.data, [name]: values } };
}

/** The first word of the dispute in which two runs differ. */
function firstDifference(own: Judged, claimed: Judged): readonly [TensorRef, number] | null {
  for (const { ref } of own.dispute.tensors) {
    const [a, b] = [own.of(ref).words, claimed.of(ref).words];
    const element = a.findIndex((word, i) => word !== b[i]);
    if (element >= 0) return [ref, element];
  }
  return null;
}

test('work done right on a wrong operand is caught at the first word that differs', async (t) => {
  const world = await openRefereeWorld();
  const caught: Record<string, number> = {};
  for (const op of JUDGED_OPS) {
    for (let i = 0; i < 5; i++) {
      const one = caseOf(op, `cheat ${i}`);
      const [own, claimed] = [judgedRun(one), judgedRun(withWrongOperand(one))];
      const found = own === null || claimed === null ? null : firstDifference(own, claimed);
      if (own === null || claimed === null || found === null) continue;
      const [ref, element] = found;
      const word = (judged: Judged) => judged.of(ref).words[element] ?? 0;
      const { template, selected } = locatePiece(own.dispute, ref, element, word(own), word(claimed));
      const chosen = present(own.dispute.templates[template], 'template');
      const given = (other: TensorRef) => (other.kind === 'input' ? own : claimed).of(other);
      const { piece, witness } = presentPiece(chosen, selected, given);
      const { holds } = await world.judge(piece, witness);
      t.is(holds, false, `${op} ${i}: ${chosen.name} ${selected.join(' ')}`);
      caught[op] = (caught[op] ?? 0) + 1;
    }
  }
  for (const op of JUDGED_OPS) t.true(op === 'zero' || (caught[op] ?? 0) > 0, op);
  t.log(JSON.stringify(caught));
});
