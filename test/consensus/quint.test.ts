// Owns holding the core to the published specification: its traces replayed at all three layers, every state compared.
// QUINT_TRACES_DIR names the folder of traces; QUINT_ALL=1 takes all of them instead of a seeded sample of the random ones.

import test from 'ava';
import { prng } from '../../base/prng.ts';
import { sharedData } from '../shared-data.ts';
import { replay } from './quint-replay.ts';
import { readTrace, traceFiles } from './quint-trace.ts';

const directory = process.env.QUINT_TRACES_DIR ?? sharedData('quint-traces');
const isWhole = process.env.QUINT_ALL === '1';
const SAMPLE_SEED = 'quint-sample-1';
const SAMPLE_SHARE = 6;

function chosen(folder: string): string[] {
  const files = traceFiles(folder);
  const random = prng(SAMPLE_SEED);
  return files.filter((name) => name.startsWith('tests') || random.below(SAMPLE_SHARE) === 0 || isWhole);
}

test('every state of the specification’s traces is reached with equal outputs at the rules, vote and driver layers', (t) => {
  if (directory === null) {
    t.log('skipped: no traces (set QUINT_TRACES_DIR)');
    t.pass();
    return;
  }
  const totals: Record<string, { traces: number; steps: number; states: number }> = {};
  for (const name of chosen(directory)) {
    const trace = readTrace(directory, name);
    const { steps, states } = replay(trace);
    const total = totals[trace.kind] ?? { traces: 0, steps: 0, states: 0 };
    totals[trace.kind] = total;
    total.traces += 1;
    total.steps += steps;
    total.states += states;
  }
  for (const kind of ['consensus', 'votekeeper', 'driver']) {
    const total = totals[kind];
    t.true(total !== undefined && total.steps > 0, `${kind} traces were replayed`);
    t.log(`${kind}: ${total?.traces} traces, ${total?.steps} steps, ${total?.states} states equal`);
  }
});
