// Owns the published list of bad inputs against a live network of four authorities: each case by its number, and after all of
// them the chain goes on. `npm run test:bad-input` runs them in a loop for minutes.

import test from 'ava';
import { prng } from '../../base/prng.ts';
import type { Field } from './fault-field.ts';
import { logTails, openStage } from './harness.ts';
import type { Target } from './hostile-cases.ts';
import { HOSTILE_CASES, openTarget } from './hostile-target.ts';

const stage = openStage('hostile');
let field: Field;
let target: Target;

test.before(async () => {
  ({ field, target } = await openTarget(stage, prng('hostile cases')));
});
test.after.always(async (t) => {
  try {
    if (field !== undefined) await field.agree(await field.grows(2));
  } catch (error) {
    t.log(logTails(stage));
    throw error;
  } finally {
    await stage.close();
  }
});

// All at once: the list is long, and an attacker does not wait either.
for (const { number, what, run } of HOSTILE_CASES) {
  test(`case ${number}: ${what}`, async (t) => {
    await run(target);
    t.pass();
  });
}
