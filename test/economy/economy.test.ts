// Owns a short run of the economy simulation: detection against its formula, cheats against honesty, and what is known not to be
// found. The whole of it is `npm run bench -- economy`.

import test from 'ava';
import {
  lifeShare,
  measureDetection,
  oneOff,
  tallyAuditors,
  tallyTrainers,
  verificationShare,
} from '../../bench/economy.ts';
import { challengerLife, CHEATS, HONEST, RARE, trainerLife } from '../../bench/economy-agents.ts';
import { detectionFormula } from '../../bench/economy-rules.ts';

test('measured detection lies within the interval of the formula', (t) => {
  const cells = measureDetection(200, 'suite');
  t.deepEqual(
    cells.filter(({ inside }) => !inside),
    [],
  );
  t.true(Math.abs(detectionFormula(1, 2, 4) - (1 - (30 / 32) ** 4)) < 1e-12);
});

test('no trainer that cheats in every round ends ahead of an honest one, whoever is on its side', (t) => {
  t.true(trainerLife(HONEST, 'any').gain > 0);
  for (const { name, ahead } of tallyTrainers(CHEATS, 20)) t.is(ahead, 0, name);
});

test('no authority and no challenger ends ahead by a lie', (t) => {
  for (const { name, ahead, meanHonest } of tallyAuditors(10)) {
    t.is(ahead, 0, name);
    t.true(meanHonest > 0, 'auditing pays for itself');
  }
  t.true(challengerLife().griefer < 0);
});

test('a single false step is mostly not seen, as the formula says, and a bad bet', (t) => {
  const [once] = tallyTrainers(RARE, 40);
  t.true((once?.ahead ?? 0) > 20);
  const { saves, detection, loses } = oneOff(1);
  t.true(detection <= lifeShare(20).all, 'no more is found of one step than is executed');
  t.true(loses > 50 * saves);
});

test('verification costs at most a tenth of training', (t) => {
  t.is(verificationShare(2, 4), 0.25);
  t.true(lifeShare().all <= 0.1);
});
