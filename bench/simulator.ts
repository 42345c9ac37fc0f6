// Owns the figures of the consensus simulator: heights a second, seeds without a violation, mutants found and how soon, crashes
// and disks survived. SIMULATOR_SEEDS, _TWINS, _WORLDS, _LARGE, _FIRST_SEED, _MUTANT_MS set the length; the last line is JSON.
// `-- simulator replay CAMPAIGN SEED [MUTANT]` runs one seed, and shrinks it where it fails; `-- simulator campaign` is the long
// run (simulator-campaign.ts).

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { check, present } from '../base/check.ts';
import {
  CAMPAIGNS,
  CORE,
  type Campaign,
  type CampaignResult,
  faultsOf,
  isInMemory,
  runCampaign,
} from '../test/simulator/campaigns.ts';
import { calm, hunted } from '../test/simulator/faults.ts';
import { MUTANTS, loadMutant } from '../test/simulator/mutants.ts';
import { shrink } from '../test/simulator/shrink.ts';
import { GOOD_HABITS } from '../test/simulator/world-parts.ts';
import { World } from '../test/simulator/world.ts';
import { simulatorCampaign } from './simulator-campaign.ts';
import { type Piece, failureLine, runPieces } from './simulator-pool.ts';

const built = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const THREADS = 2;
const PIECES = 20;

function setting(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  return Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
}

/** Heights a second of processor time, after a warm-up: other programs on the machine do not count. */
function speed(count: number, virtualMs: number): number {
  new World(2, calm(count, virtualMs), CORE).run();
  const before = process.cpuUsage();
  const { heights, violation } = new World(1, calm(count, virtualMs), CORE).run();
  const used = process.cpuUsage(before);
  check(violation === null, `the calm world holds: ${violation}`);
  return Math.round(heights / ((used.user + used.system) / 1_000_000));
}

type Shared = Readonly<{ results: readonly CampaignResult[]; wallMs: number; cpuMs: number }>;

/** Runs a campaign on two threads, in pieces: the one that is done early takes the next. */
async function campaign(name: Campaign, first: number, seeds: number): Promise<Shared> {
  const start = performance.now();
  const before = process.cpuUsage();
  const size = Math.max(1, Math.ceil(seeds / PIECES));
  const pieces: Piece[] = [];
  for (let from = 0; from < seeds; from += size) {
    pieces.push({ campaign: name, first: first + from, count: Math.min(size, seeds - from) });
  }
  const results: CampaignResult[] = [];
  await runPieces(pieces, THREADS, (_, result) => results.push(result));
  for (const { failures } of results) {
    for (const { seed, violation } of failures) console.log(failureLine(name, seed, violation));
  }
  const used = process.cpuUsage(before);
  return { results, wallMs: performance.now() - start, cpuMs: (used.user + used.system) / 1_000 };
}

function total(shared: Shared, what: (result: CampaignResult) => number): number {
  return shared.results.reduce((sum, result) => sum + what(result), 0);
}

async function withMutants<T>(run: (folder: string) => Promise<T>): Promise<T> {
  mkdirSync(join(built, 'mutants'), { recursive: true });
  const folder = mkdtempSync(join(built, 'mutants', 'bench-'));
  try {
    return await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function hunt(folder: string, limitMs: number): Promise<number> {
  let found = 0;
  for (const mutant of MUTANTS) {
    const wrong = await loadMutant(mutant, built, folder);
    const start = performance.now();
    let seed = 0;
    let violation: string | null = null;
    for (; violation === null && performance.now() - start < limitMs; seed++) {
      violation = new World(seed, hunted(seed), wrong, { habits: mutant.habits }).run().violation;
    }
    if (violation !== null) found++;
    const said = violation === null ? `not found in ${seed} seeds` : `seed ${seed - 1}, ${violation}`;
    console.log(`mutant ${mutant.name}: ${said} (${Math.round(performance.now() - start)} ms)`);
  }
  return found;
}

/** One seed again; where it fails, the least of it. */
async function replayOne(name: string, seed: number, mutantName: string | undefined): Promise<void> {
  const known = present(
    CAMPAIGNS.find((one) => one === name),
    `a campaign: ${CAMPAIGNS.join(', ')}`,
  );
  check(Number.isSafeInteger(seed), 'a whole seed');
  if (!isInMemory(known)) return console.log(JSON.stringify(runCampaign(known, seed, 1)));
  await withMutants(async (folder) => {
    const mutant = MUTANTS.find((one) => one.name === mutantName);
    const core = mutant === undefined ? CORE : await loadMutant(mutant, built, folder);
    const faults = mutant === undefined ? faultsOf(known, seed) : hunted(seed);
    console.log(JSON.stringify(shrink(seed, faults, core, mutant?.habits ?? GOOD_HABITS) ?? { seed, violation: null }));
  });
}

export async function main(words: readonly string[] = []): Promise<void> {
  if (words[0] === 'campaign') return simulatorCampaign(words.slice(1));
  if (words[0] === 'replay') return replayOne(words[1] ?? '', Number(words[2]), words[3]);
  const seeds = setting('SIMULATOR_SEEDS', 2_000);
  const first = setting('SIMULATOR_FIRST_SEED', 0);
  const worlds = setting('SIMULATOR_WORLDS', 300);
  const heightsPerSecond = speed(4, 8_000_000);
  const bySize = { n7: speed(7, 400_000), n31: speed(31, 20_000), n100: speed(100, 3_000) };
  console.log(`heights a second of processor time: n4 ${heightsPerSecond} ${JSON.stringify(bySize)}`);
  const mix = await campaign('mixed', first, seeds);
  const twins = await campaign('twins', first, setting('SIMULATOR_TWINS', 10_000));
  const disks = [];
  for (const name of ['sweep', 'crash', 'full', 'rot'] as const) disks.push(await campaign(name, first, worlds));
  const large = await campaign('large', first, setting('SIMULATOR_LARGE', 12));
  const mutantsFound = await withMutants((folder) => hunt(folder, setting('SIMULATOR_MUTANT_MS', 60_000)));
  const all = [mix, twins, large, ...disks];
  const sum = (what: (result: CampaignResult) => number): number =>
    all.reduce((n, shared) => n + total(shared, what), 0);
  console.log(
    JSON.stringify({
      heightsPerSecond,
      twinsPerSecond: Math.round((total(twins, ({ worlds: n }) => n) / twins.wallMs) * 1_000),
      twinsPerCoreSecond: Math.round((total(twins, ({ worlds: n }) => n) / twins.cpuMs) * 1_000),
      mutantsFound,
      mutants: MUTANTS.length,
      violations: sum(({ failures }) => failures.length),
      seeds: sum(({ worlds: n }) => n),
      simulatedPerReal: Math.round(total(mix, ({ virtualMs }) => virtualMs) / mix.wallMs),
      restarts: sum(({ restarts }) => restarts),
      fullDisks: sum(({ full }) => full),
      rottenBits: sum(({ rotten }) => rotten),
      refusedSignStates: sum(({ refused }) => refused),
    }),
  );
}
