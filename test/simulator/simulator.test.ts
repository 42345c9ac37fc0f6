// Owns the short run of the simulator in the suite: seeded worlds with all invariants on, and mutants that must be found.
// The long campaign with its figures is bench/simulator.ts.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { present } from '../../base/check.ts';
import { CORE as core, runCampaign } from './campaigns.ts';
import { calm, hunted, mixed } from './faults.ts';
import { MUTANTS, loadMutant } from './mutants.ts';
import { replay, shrink } from './shrink.ts';
import { World } from './world.ts';

const built = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Mutants that the first few hundred seeds find; the long campaign takes all of them. */
const QUICK = [
  'no lock',
  'quorum less one',
  'valid value not kept',
  'nil counted for the value',
  'log not synced before signing',
  'value rebuilt after a restart',
  'decide in the current round only',
  'unbounded future buffer',
  'round in the hash',
  'wrong set after a change',
  'evidence with local time',
  'certificates of peers not checked',
  'polkas not published',
];
const MUTANT_SEEDS = 400;

test('no invariant breaks under loss, phase-shaped partitions, crashes, twins and lies, and all make progress after', (t) => {
  let heights = 0;
  for (const seed of Array(80).keys()) {
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

test('31 and 100 authorities, some of them faulty and then silent, decide within 2(f+1) rounds once links hold', (t) => {
  for (const seed of [0, 1, 2, 3]) t.deepEqual(runCampaign('large', seed, 1).failures, [], `seed ${seed}`);
});

test('each wrong version is still a version of what is there', async (t) => {
  mkdirSync(join(built, 'mutants'), { recursive: true });
  const folder = mkdtempSync(join(built, 'mutants', 'texts-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const mutant of MUTANTS) await t.notThrowsAsync(loadMutant(mutant, built, folder), mutant.name);
});

test('wrong versions of the core and of its shell are found', async (t) => {
  mkdirSync(join(built, 'mutants'), { recursive: true });
  const folder = mkdtempSync(join(built, 'mutants', 'suite-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const mutant of MUTANTS.filter(({ name }) => QUICK.includes(name))) {
    const wrong = await loadMutant(mutant, built, folder);
    let found: string | null = null;
    for (let seed = 0; seed < MUTANT_SEEDS && found === null; seed++) {
      const { violation } = new World(seed, hunted(seed), wrong, { habits: mutant.habits }).run();
      if (violation !== null) found = `seed ${seed}: ${violation}`;
    }
    t.not(found, null, mutant.name);
    t.log(`${mutant.name}: ${found}`);
  }
});

test('a lock whose quorum the others heard too late is resolved when its holder proposes', (t) => {
  // One of six locks in round 0; the quorum reaches the others after that round. Its next turn is round 6.
  t.deepEqual(runCampaign('mixed', 5_000_787, 1).failures, []);
});

test('twins scenarios, power cuts at any effect, full disks and rotten bits break nothing on the real sign state and log', (t) => {
  for (const [campaign, worlds] of [
    ['twins', 150],
    ['sweep', 40],
    ['crash', 15],
    ['full', 15],
    ['rot', 30],
  ] as const) {
    const result = runCampaign(campaign, campaign === 'sweep' ? 60 : 0, worlds);
    t.deepEqual(result.failures, [], campaign);
    t.true(campaign === 'twins' || result.restarts > 0, campaign);
    t.true(campaign !== 'full' || result.full > 0, 'disks were full');
    t.true(campaign !== 'rot' || result.rotten > 0, 'bits were flipped');
    t.true(campaign !== 'rot' || result.short > 0, 'logs lost their end');
  }
});

test('an authority that trusts a log without its end is found', (t) => {
  const { failures } = runCampaign('rot', 0, 60, { ...core, leadsTo: () => true });
  t.true(failures.some(({ violation }) => violation.startsWith('I12')));
});

test('a failing world shrinks to a short list of faults that still breaks it, none of which can be spared', async (t) => {
  mkdirSync(join(built, 'mutants'), { recursive: true });
  const folder = mkdtempSync(join(built, 'mutants', 'shrink-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const mutant = present(
    MUTANTS.find(({ name }) => name === 'no lock'),
    'mutant',
  );
  const wrong = await loadMutant(mutant, built, folder);
  const minimal = present(shrink(5, mixed(5), wrong, mutant.habits, 2_000), 'the seed fails');
  t.log(`${minimal.violation}; ${minimal.only.length} faults after ${minimal.runs} runs: ${minimal.only.join(' ')}`);
  t.true(minimal.only.length <= 12);
  t.is(replay(5, minimal.faults, wrong, mutant.habits, minimal.only), minimal.violation);
  for (const fault of minimal.only) {
    const rest = minimal.only.filter((other) => other !== fault);
    t.is(replay(5, minimal.faults, wrong, mutant.habits, rest), null, `without ${fault}`);
  }
});
