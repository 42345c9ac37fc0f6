// Owns making a failing world small: first whole kinds of faults are taken away, then single ones by bisection, as long as
// some invariant still breaks. What is left is the list a replay is given.

import { recordingGate } from './fault-gate.ts';
import type { Faults } from './faults.ts';
import type { Core, Habits } from './world-parts.ts';
import { World } from './world.ts';

export type Minimal = Readonly<{ faults: Faults; only: readonly string[]; violation: string; runs: number }>;

const SIMPLER: readonly Partial<Faults>[] = [
  { crashPerMillion: 0 },
  { skewMs: 0 },
  { floodPercent: 0 },
  { churn: false },
  { lossPercent: 0 },
  { delayMs: 20 },
  { cutPercent: 0 },
  { liePercent: 0 },
  { twins: 0 },
  { twinsStop: false },
];

/** What breaks with only these single faults allowed, or null. */
export function replay(
  seed: number,
  faults: Faults,
  core: Core,
  habits: Habits,
  only: Iterable<string>,
): string | null {
  return new World(seed, faults, core, { habits, gate: recordingGate(new Set(only), new Set()) }).run().violation;
}

/** The least of a failing world that `maxRuns` runs find; null where the world does not fail. */
export function shrink(seed: number, given: Faults, core: Core, habits: Habits, maxRuns = 600): Minimal | null {
  let runs = 0;
  const fails = (faults: Faults): string | null => {
    runs++;
    return new World(seed, faults, core, { habits }).run().violation;
  };
  let faults = given;
  if (fails(faults) === null) return null;
  for (const change of SIMPLER) {
    const simpler = { ...faults, ...change };
    if (fails(simpler) !== null) faults = simpler;
  }
  for (let chaosMs = faults.chaosMs / 2; chaosMs >= 500; chaosMs /= 2) {
    const shorter = { ...faults, chaosMs: Math.ceil(chaosMs) };
    if (fails(shorter) === null) break;
    faults = shorter;
  }
  const taken = new Set<string>();
  let violation = new World(seed, faults, core, { habits, gate: recordingGate(null, taken) }).run().violation ?? '';
  let only = [...taken];
  for (let size = Math.ceil(only.length / 2); size >= 1 && runs < maxRuns; ) {
    let isSmaller = false;
    for (let from = 0; from < only.length && runs < maxRuns; ) {
      const rest = [...only.slice(0, from), ...only.slice(from + size)];
      runs++;
      const found = replay(seed, faults, core, habits, rest);
      if (found === null) from += size;
      else {
        only = rest;
        violation = found;
        isSmaller = true;
      }
    }
    if (size === 1 && !isSmaller) break;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return { faults, only, violation, runs };
}
