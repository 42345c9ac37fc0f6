// Owns the figures of the consensus simulator: heights a second, seeds without a violation, mutants found and how soon.
// SIMULATOR_SEEDS, SIMULATOR_FIRST_SEED and SIMULATOR_MUTANT_MS set the length; the last line is JSON.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { resume } from '../consensus/replay.ts';
import { heightState, isKnown, step } from '../consensus/step.ts';
import { calm, mixed } from '../test/simulator/faults.ts';
import { MUTANTS, loadMutant } from '../test/simulator/mutants.ts';
import { type Core, World } from '../test/simulator/world.ts';

const built = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const core: Core = { heightState, step, isKnown, resume };

function setting(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  return Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
}

function speed(count: number, virtualMs: number): number {
  const start = performance.now();
  const { heights } = new World(1, calm(count, virtualMs), core).run();
  return Math.round((heights / (performance.now() - start)) * 1_000);
}

function campaign(
  first: number,
  seeds: number,
): Readonly<{ violations: number; twinsPerSecond: number; simulatedPerReal: number }> {
  const start = performance.now();
  let violations = 0;
  let twins = 0;
  let virtualMs = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    const faults = mixed(seed);
    const outcome = new World(seed, faults, core).run();
    virtualMs += outcome.virtualMs;
    if (faults.twins > 0) twins++;
    if (outcome.violation === null) continue;
    violations++;
    console.log(`seed ${seed}: ${outcome.violation} ${JSON.stringify(faults)}`);
  }
  const ms = performance.now() - start;
  return { violations, twinsPerSecond: Math.round((twins / ms) * 1_000), simulatedPerReal: Math.round(virtualMs / ms) };
}

async function hunt(limitMs: number): Promise<number> {
  mkdirSync(join(built, 'mutants'), { recursive: true });
  const folder = mkdtempSync(join(built, 'mutants', 'bench-'));
  let found = 0;
  try {
    for (const mutant of MUTANTS) {
      const wrong = await loadMutant(mutant, built, folder);
      const start = performance.now();
      let seed = 0;
      let violation: string | null = null;
      for (; violation === null && performance.now() - start < limitMs; seed++) {
        violation = new World(seed, mixed(seed), wrong, mutant.habits).run().violation;
      }
      if (violation !== null) found++;
      const said = violation === null ? `not found in ${seed} seeds` : `seed ${seed - 1}, ${violation}`;
      console.log(`mutant ${mutant.name}: ${said} (${Math.round(performance.now() - start)} ms)`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return found;
}

export async function main(): Promise<void> {
  const seeds = setting('SIMULATOR_SEEDS', 2_000);
  const first = setting('SIMULATOR_FIRST_SEED', 0);
  const heightsPerSecond = speed(4, 2_000_000);
  const bySize = { n7: speed(7, 300_000), n31: speed(31, 20_000), n100: speed(100, 3_000) };
  console.log(`heights a second by authorities: n4 ${heightsPerSecond} ${JSON.stringify(bySize)}`);
  const run = campaign(first, seeds);
  const mutantsFound = await hunt(setting('SIMULATOR_MUTANT_MS', 60_000));
  console.log(JSON.stringify({ heightsPerSecond, ...run, mutantsFound, mutants: MUTANTS.length, seeds }));
}
