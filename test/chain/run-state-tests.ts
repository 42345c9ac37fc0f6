// Owns the command that replays every state test of a folder (STATE_TESTS_DIR, else shared/data/state-tests) and names failures;
// an argument takes those whose names it is part of.

import { sharedData } from '../shared-data.ts';
import { bundles, runBundle, type Tally } from './state-test-runner.ts';

const directory = process.env['STATE_TESTS_DIR'] ?? sharedData('state-tests');
const only = process.argv[2];
if (directory === null) {
  process.stdout.write('no state tests found: set STATE_TESTS_DIR\n');
} else {
  const tally: Tally = { passed: 0, alone: 0, skipped: [], failed: [] };
  for (const bundle of bundles(directory)) {
    if (only !== undefined && !bundle.includes(only)) continue;
    const before = tally.passed;
    await runBundle(directory, bundle, tally);
    process.stdout.write(`${bundle}: ${tally.passed - before} passed\n`);
  }
  for (const line of tally.skipped) process.stdout.write(`skipped ${line}\n`);
  for (const line of tally.failed) process.stdout.write(`FAILED ${line}\n`);
  process.stdout.write(
    `state tests: ${tally.passed} passed (${tally.alone} without the library's frame), ${tally.failed.length} failed, ${tally.skipped.length} skipped\n`,
  );
  process.exitCode = tally.failed.length === 0 ? 0 : 1;
}
