// Owns the campaigns that the suite runs short and the benchmark long: seeds of one kind from a first one on, each world with
// all invariants. A failure is a seed and what broke.

import { futureBuffer } from '../../consensus/future-buffer.ts';
import { leadsTo, resume } from '../../consensus/replay.ts';
import { heightState, isKnown, step } from '../../consensus/step.ts';
import { type DiskTally, type DiskTrouble, diskStore } from './disk-store.ts';
import { type Faults, aimed, calm, crashing, large, mixed, twinsScenario } from './faults.ts';
import type { Core, WorldOptions } from './world-parts.ts';
import { World } from './world.ts';

export const CORE: Core = { heightState, step, isKnown, resume, leadsTo, futureBuffer };

export const CAMPAIGNS = ['mixed', 'twins', 'aimed', 'crash', 'full', 'rot', 'sweep', 'large'] as const;
export type Campaign = (typeof CAMPAIGNS)[number];

export type CampaignResult = Readonly<{
  worlds: number;
  heights: number;
  virtualMs: number;
  restarts: number;
  full: number;
  rotten: number;
  refused: number;
  short: number;
  failures: readonly Readonly<{ seed: number; violation: string; faults: Faults }>[];
}>;

/** Effects of a node's life that the sweep crashes at, one a seed. */
const SWEEP_EFFECTS = 250;

/** Faults of a seed: the sweep crashes node (seed / 250) mod 4 at exactly effect seed mod 250. */
export function faultsOf(campaign: Campaign, seed: number): Faults {
  switch (campaign) {
    case 'mixed':
      return mixed(seed);
    case 'twins':
      return twinsScenario(seed);
    case 'aimed':
      return aimed(seed);
    case 'large':
      return large(seed);
    case 'sweep': {
      const crashAt = { node: Math.floor(seed / SWEEP_EFFECTS) % 4, effect: 1 + (seed % SWEEP_EFFECTS) };
      return { ...calm(4, 20_000), lossPercent: 10, delayMs: 400, crashAt };
    }
    default:
      return crashing(seed);
  }
}

/** True for worlds whose authorities keep their log and signatures in memory; the others have the real files on a failing disk. */
export function isInMemory(campaign: Campaign): campaign is 'mixed' | 'twins' | 'aimed' | 'large' {
  return campaign === 'mixed' || campaign === 'twins' || campaign === 'aimed' || campaign === 'large';
}

/** Full and rotten disks are given to one authority, so that a quorum remains and has to make progress. */
function optionsOf(campaign: Campaign, seed: number, tally: DiskTally): WorldOptions {
  if (isInMemory(campaign)) return {};
  const trouble: DiskTrouble = campaign === 'sweep' ? 'crash' : campaign;
  return {
    store: (name) => diskStore(seed * 128 + Number(name.slice(1)), name === 'v003' ? trouble : 'crash', tally),
  };
}

/** Runs `count` worlds from seed `first` on. */
export function runCampaign(campaign: Campaign, first: number, count: number, core: Core = CORE): CampaignResult {
  const tally: DiskTally = { full: 0, rotten: 0, refused: 0, short: 0 };
  const failures: { seed: number; violation: string; faults: Faults }[] = [];
  let heights = 0;
  let virtualMs = 0;
  let restarts = 0;
  for (let seed = first; seed < first + count; seed++) {
    const faults = faultsOf(campaign, seed);
    const outcome = new World(seed, faults, core, optionsOf(campaign, seed, tally)).run();
    heights += outcome.heights;
    virtualMs += outcome.virtualMs;
    restarts += outcome.restarts;
    if (outcome.violation !== null) failures.push({ seed, violation: outcome.violation, faults });
  }
  return { worlds: count, heights, virtualMs, restarts, ...tally, failures };
}
