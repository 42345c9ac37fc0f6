// Owns a short run of the economy simulation: detection against its formula, cheating trainers against honest ones, and what
// is known not to be answered. The whole of it is `npm run bench -- economy`.

import test from 'ava';
import { measureDetection, tallyAuditors, tallyTrainers, lifeShare, verificationShare } from '../../bench/economy.ts';
import { CHEATS, HONEST, trainerLife, UNDEFENDED } from '../../bench/economy-agents.ts';
import { detectionFormula } from '../../bench/economy-rules.ts';

test('measured detection lies within the interval of the formula', (t) => {
  const cells = measureDetection(200, 'suite');
  t.deepEqual(
    cells.filter(({ inside }) => !inside),
    [],
  );
  t.true(Math.abs(detectionFormula(1, 2, 4) - (1 - (30 / 32) ** 4)) < 1e-12);
});

test('no trainer that cheats all the time ends ahead of an honest one', (t) => {
  t.true(trainerLife(HONEST, 'any').gain > 0);
  for (const { name, ahead } of tallyTrainers(CHEATS, 20)) t.is(ahead, 0, name);
});

test('what the rules do not answer yet shows in the figures', (t) => {
  const [once] = tallyTrainers(UNDEFENDED, 40);
  t.true((once?.ahead ?? 0) > 20, 'a single false step in the last round mostly goes unseen');
  const byName = Object.fromEntries(tallyAuditors(10).map(({ name, ahead }) => [name, ahead]));
  for (const name of ['lazy', 'echoing', 'passing', 'slandering']) t.is(byName[`${name} authority`], 0, name);
  t.is(byName['griefing authority'], 0);
  t.is(verificationShare(2, 4), 0.25);
  t.true(lifeShare() <= 0.1);
});
