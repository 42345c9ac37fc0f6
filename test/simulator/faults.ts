// Owns what may go wrong in a simulated world, drawn from the seed: every world has its own mix.

import { draw } from './event-queue.ts';

export type Faults = Readonly<{
  count: number;
  /** Authorities that run twice with one key; at most floor((count - 1) / 3) for safety to be owed. */
  twins: number;
  /** Twins fall silent once chaos ends: the others have to do without them. */
  twinsStop: boolean;
  /** Messages of twins that say something else to one of their receivers. */
  liePercent: number;
  lossPercent: number;
  /** Longest delay of a message while chaos lasts. */
  delayMs: number;
  /** Links cut by (height, round, phase, source, destination), in rounds below `cutRounds`. */
  cutPercent: number;
  cutRounds: number;
  /** Chance of a crash at each effect of an honest authority. */
  crashPerMillion: number;
  chaosMs: number;
  healMs: number;
  healHeights: number;
}>;

const HEAL = { healMs: 90_000, healHeights: 2 } as const;

/** A calm network: what the speed is measured on. */
export function calm(count: number, chaosMs: number): Faults {
  return {
    count,
    twins: 0,
    twinsStop: false,
    liePercent: 0,
    lossPercent: 0,
    delayMs: 20,
    cutPercent: 0,
    cutRounds: 0,
    crashPerMillion: 0,
    chaosMs,
    ...HEAL,
  };
}

/** The mix of a seed. */
export function mixed(seed: number): Faults {
  const pick = (what: number, ...choices: readonly number[]): number =>
    choices[draw(seed, 99, what) % choices.length] as number;
  const count = pick(1, 4, 4, 4, 4, 5, 6, 7, 7);
  return {
    count,
    twins: Math.min(Math.floor((count - 1) / 3), pick(2, 0, 1, 1, 2)),
    twinsStop: pick(9, 0, 1) === 1,
    liePercent: pick(8, 0, 10, 30, 60),
    lossPercent: pick(3, 0, 0, 5, 20, 40),
    delayMs: pick(4, 20, 200, 1_500, 5_000),
    cutPercent: pick(5, 0, 20, 35, 35, 50),
    cutRounds: pick(6, 1, 3, 3, 6),
    crashPerMillion: pick(7, 0, 0, 2_000, 10_000),
    chaosMs: 20_000,
    ...HEAL,
  };
}
