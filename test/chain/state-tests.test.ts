// Owns the sample of ethereum/tests in the suite; run-state-tests.ts replays all of them.

import test from 'ava';
import { sharedData } from '../shared-data.ts';
import { bundles, runBundle, type Tally } from './state-test-runner.ts';

/** Every n-th post state of a bundle. */
const SAMPLE = 17;
/** Minutes each in an interpreter that awaits at every opcode. */
const SLOW = /vmPerformance|QuadraticComplexity|AttackTest|ZeroKnowledge|RandomTest/;

test('a sample of the ethereum state tests ends in the published roots and logs', async (t) => {
  const directory = process.env['STATE_TESTS_DIR'] ?? sharedData('state-tests');
  if (directory === null) {
    t.log('skipped: shared/data/state-tests is not there');
    t.pass();
    return;
  }
  const tally: Tally = { passed: 0, alone: 0, skipped: [], failed: [] };
  for (const bundle of bundles(directory)) {
    if (!SLOW.test(bundle)) await runBundle(directory, bundle, tally, (index) => index % SAMPLE === 0);
  }
  t.deepEqual(tally.failed, []);
  t.true(tally.passed > 150, `${tally.passed} passed`);
  t.log(`${tally.passed} post states, ${tally.skipped.length} skipped`);
});
