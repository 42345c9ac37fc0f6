// Owns the short run of the simulator in the suite: seeded worlds with all invariants on, and mutants that must be found.
// The long campaign with its figures is bench/simulator.ts.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { resume } from '../../consensus/replay.ts';
import { heightState, isKnown, step } from '../../consensus/step.ts';
import { calm, mixed } from './faults.ts';
import { MUTANTS, loadMutant } from './mutants.ts';
import { type Core, World } from './world.ts';

const built = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const core: Core = { heightState, step, isKnown, resume };

/** Seeds at which earlier versions of the core broke an invariant. */
const REGRESSIONS = [36, 141, 241, 457, 744];
/** Mutants that the first few hundred seeds find; the long campaign takes all of them. */
const QUICK = [
  'no lock',
  'quorum less one',
  'valid value not kept',
  'nil counted for the value',
  'log not synced before signing',
  'value rebuilt after a restart',
  'polkas not published',
];
const MUTANT_SEEDS = 400;

test('no invariant breaks under loss, phase-shaped partitions, crashes, twins and lies, and all make progress after', (t) => {
  let heights = 0;
  for (const seed of [...Array(80).keys(), ...REGRESSIONS]) {
    const outcome = new World(seed, mixed(seed), core).run();
    t.is(outcome.violation, null, `seed ${seed}: new World(${seed}, mixed(${seed}), core).run()`);
    heights += outcome.heights;
  }
  t.true(heights > 100);
});

test('a world is its seed: the same events in the same order', (t) => {
  for (const seed of [3, 54, 1_613]) {
    t.deepEqual(new World(seed, mixed(seed), core).run(), new World(seed, mixed(seed), core).run());
  }
});

test('a calm network decides every height in round 0, with 4, 7, 31 and 100 authorities', (t) => {
  for (const [count, seconds] of [
    [4, 60],
    [7, 30],
    [31, 5],
    [100, 2],
  ] as const) {
    const outcome = new World(1, calm(count, seconds * 1_000), core).run();
    t.is(outcome.violation, null);
    t.is(outcome.maxRound, 0);
    t.true(outcome.heights >= seconds);
  }
});

test('wrong versions of the core and of its shell are found', async (t) => {
  mkdirSync(join(built, 'mutants'), { recursive: true });
  const folder = mkdtempSync(join(built, 'mutants', 'suite-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const mutant of MUTANTS.filter(({ name }) => QUICK.includes(name))) {
    const wrong = await loadMutant(mutant, built, folder);
    let found: string | null = null;
    for (let seed = 0; seed < MUTANT_SEEDS && found === null; seed++) {
      const { violation } = new World(seed, mixed(seed), wrong, mutant.habits).run();
      if (violation !== null) found = `seed ${seed}: ${violation}`;
    }
    t.not(found, null, mutant.name);
    t.log(`${mutant.name}: ${found}`);
  }
});
