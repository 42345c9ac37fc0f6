// Shows that the data order uses every sequence once per epoch and that every use can be named.

import test from 'ava';
import { sha256 } from '../../base/hash.ts';
import { utf8 } from '../../base/bytes.ts';
import { prng } from '../../base/prng.ts';
import {
  type RoundShare,
  createDataOrder,
  positionsOfRound,
  stepPositions,
  stepSequences,
  useAt,
  useOf,
} from '../../trainer/data-order.ts';

const root = sha256(utf8('dataset'));

test('each epoch is a permutation, and positionOf undoes sequenceAt', (t) => {
  for (const sequences of [1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 255, 1_000]) {
    const order = createDataOrder(root, sequences);
    for (const epoch of [0, 1, 7]) {
      const seen = new Set<number>();
      for (let i = 0; i < sequences; i++) {
        const position = epoch * sequences + i;
        const sequence = order.sequenceAt(position);
        t.true(sequence >= 0 && sequence < sequences);
        t.is(order.positionOf(epoch, sequence), position);
        seen.add(sequence);
      }
      t.is(seen.size, sequences);
    }
  }
});

test('epochs and datasets are ordered differently', (t) => {
  const order = createDataOrder(root, 1_000);
  const other = createDataOrder(sha256(utf8('another')), 1_000);
  const first = Array.from({ length: 1_000 }, (_, i) => order.sequenceAt(i));
  const same = (next: (i: number) => number) => first.filter((sequence, i) => sequence === next(i)).length;
  // Two random permutations agree in one place on average.
  t.true(same((i) => order.sequenceAt(1_000 + i)) < 10);
  t.true(same((i) => other.sequenceAt(i)) < 10);
  t.true(same((i) => i) < 10);
});

test('slots are disjoint, a round is covered without gaps, and each use is named', (t) => {
  const random = prng('data order');
  const order = createDataOrder(root, 777);
  const rounds: RoundShare[] = [];
  let dataStart = 0;
  for (let round = 0; dataStart < 2 * 777; round++) {
    const capacities = Array.from({ length: 1 + random.below(5) }, () => 1 + random.below(4));
    const share = { round, dataStart, capacities, steps: 1 + random.below(6), batch: 1 + random.below(5) };
    rounds.push(share);
    dataStart += positionsOfRound(share);
  }
  const used = new Map<number, number>();
  for (const share of rounds) {
    const seen = new Set<number>();
    for (const [slot, capacity] of share.capacities.entries()) {
      for (let step = 0; step < share.steps; step++) {
        const positions = stepPositions(share, slot, step);
        t.is(positions.length, capacity * share.batch);
        const sequences = stepSequences(order, share, slot, step);
        positions.forEach((position, row) => {
          t.false(seen.has(position));
          seen.add(position);
          t.deepEqual(useAt(share, position), { round: share.round, slot, step, row });
          const epoch = Math.floor(position / 777);
          t.deepEqual(useOf(order, rounds, epoch, sequences[row] as number), { round: share.round, slot, step, row });
          used.set(position, 1);
        });
      }
    }
    t.is(seen.size, positionsOfRound(share));
    t.is(useAt(share, share.dataStart - 1), null);
    t.is(useAt(share, share.dataStart + seen.size), null);
  }
  t.is(used.size, dataStart);
  t.is(useOf(order, rounds, 1_000, 0), null);
});
