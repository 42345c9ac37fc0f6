// Owns `npm run test:crash -- --crashes 10000 --full 500 --rot 500 --seed 1`: simulated authorities on the real sign state and
// log, until so many power cuts, worlds with a full disk and worlds with rotten bits are behind them. The last line is JSON.

import { parseArgs } from 'node:util';
import { check } from '../../base/check.ts';
import { type Campaign, type CampaignResult, runCampaign } from './campaigns.ts';

/** Seeds of one run of the command are far from those of the next. */
const SEED_STRIDE = 1_000_000;
const SAID_EVERY = 250;

type Tally = { worlds: number; heights: number; restarts: number; reached: number; short: number; refused: number };

const failures: string[] = [];

/** Worlds of one kind until `count` says that there were enough. */
function until(
  campaign: Campaign,
  first: number,
  wanted: number,
  count: (result: CampaignResult, campaign: Campaign) => number,
): Tally {
  const tally: Tally = { worlds: 0, heights: 0, restarts: 0, reached: 0, short: 0, refused: 0 };
  for (let seed = first; tally.reached < wanted; seed++) {
    const result = runCampaign(campaign, seed, 1);
    tally.worlds++;
    tally.heights += result.heights;
    tally.restarts += result.restarts;
    tally.reached += count(result, campaign);
    tally.short += result.short;
    tally.refused += result.refused;
    for (const { violation } of result.failures) {
      failures.push(violation);
      console.log(`${campaign} seed ${seed}: ${violation}; npm run bench -- simulator replay ${campaign} ${seed}`);
    }
    check(tally.worlds < SEED_STRIDE, `${campaign}: the faults that were asked for happen`);
    if (tally.worlds % SAID_EVERY === 0) console.log(`${campaign}: ${tally.reached} of ${wanted}`);
  }
  return tally;
}

function wholeNumber(text: string, name: string): number {
  const value = Number(text);
  check(Number.isSafeInteger(value) && value >= 0, `--${name} is a whole number`);
  return value;
}

const { values } = parseArgs({
  options: {
    crashes: { type: 'string', default: '10000' },
    full: { type: 'string', default: '500' },
    rot: { type: 'string', default: '500' },
    seed: { type: 'string', default: '1' },
  },
});
const seed = wholeNumber(values.seed, 'seed');
const first = seed * SEED_STRIDE;
console.log(`crash campaign: ${values.crashes} crashes, ${values.full} full disks, ${values.rot} rotten, seed ${seed}`);
const crashes = wholeNumber(values.crashes, 'crashes');
// One in ten of the crashes is aimed: each of the first effects of a life in turn.
const sweep = until('sweep', first, Math.floor(crashes / 10), ({ restarts }) => restarts);
const crash = until('crash', first, crashes - sweep.reached, ({ restarts }) => restarts);
const full = until('full', first, wholeNumber(values.full, 'full'), (result) => Math.min(1, result.full));
const rot = until('rot', first, wholeNumber(values.rot, 'rot'), (result) => Math.min(1, result.rotten));
const all = [sweep, crash, full, rot];
const sum = (what: (tally: Tally) => number): number => all.reduce((total, tally) => total + what(tally), 0);
console.log(
  JSON.stringify({
    crashes: sweep.reached + crash.reached,
    full: full.reached,
    rot: rot.reached,
    restarts: sum((tally) => tally.restarts),
    worlds: sum((tally) => tally.worlds),
    heights: sum((tally) => tally.heights),
    doubleSigns: failures.filter((text) => text.startsWith('I5')).length,
    lostBlocks: failures.filter((text) => /^I[123]\b/.test(text)).length,
    silentGaps: failures.filter((text) => text.startsWith('I12')).length,
    violations: failures.length,
    shortLogsHeldBack: sum((tally) => tally.short),
    refusedSignStates: sum((tally) => tally.refused),
    seed,
  }),
);
process.exitCode = failures.length === 0 ? 0 : 1;
