// Owns what may go wrong in a simulated world, drawn from the seed: every world has its own mix.

import { draw } from './event-queue.ts';

export type Faults = Readonly<{
  count: number;
  /** Authorities that run twice with one key; at most a third less one of the smallest set, for safety to be owed. */
  twins: number;
  /** Twins fall silent once chaos ends: the others have to do without them. */
  twinsStop: boolean;
  /** Everybody hears both of a pair of twins; else each hears one of them a height. */
  shared: boolean;
  /** Messages of twins that say something else to one of their receivers, and their answers to who catches up. */
  liePercent: number;
  /** Messages of twins that come with hundreds of made-up votes. */
  floodPercent: number;
  lossPercent: number;
  /** Longest delay of a message while chaos lasts. */
  delayMs: number;
  /** Links cut by (height, round, phase, source, destination), in rounds below `cutRounds`. */
  cutPercent: number;
  cutRounds: number;
  /** Chance of a crash at each effect of an honest authority. */
  crashPerMillion: number;
  /** One crash of one node at exactly this effect of its life, or null. */
  crashAt: Readonly<{ node: number; effect: number }> | null;
  /** Clocks are off by up to this much, either way, until chaos ends. */
  skewMs: number;
  /** Decided blocks change the set of authorities two heights on. */
  churn: boolean;
  chaosMs: number;
  healMs: number;
  healHeights: number;
}>;

/** Nothing goes wrong: what the speed is measured on. */
export function calm(count: number, chaosMs: number): Faults {
  return {
    count,
    twins: 0,
    twinsStop: false,
    shared: false,
    liePercent: 0,
    floodPercent: 0,
    lossPercent: 0,
    delayMs: 20,
    cutPercent: 0,
    cutRounds: 0,
    crashPerMillion: 0,
    crashAt: null,
    skewMs: 0,
    churn: false,
    chaosMs,
    healMs: 90_000,
    healHeights: 2,
  };
}

type Pick = (what: number, ...choices: readonly number[]) => number;

function picker(seed: number): Pick {
  return (what, ...choices) => choices[draw(seed, 99, what) % choices.length] as number;
}

/** The mix of a seed. */
export function mixed(seed: number): Faults {
  const pick = picker(seed);
  const count = pick(1, 4, 4, 4, 4, 5, 6, 7, 7);
  const churn = count > 4 && pick(11, 0, 1) === 1;
  const smallest = churn ? count - 1 : count;
  return {
    ...calm(count, 20_000),
    twins: Math.min(Math.floor((smallest - 1) / 3), pick(2, 0, 1, 1, 2)),
    twinsStop: pick(9, 0, 1) === 1,
    liePercent: pick(8, 0, 10, 30, 60),
    floodPercent: pick(12, 0, 0, 0, 3),
    lossPercent: pick(3, 0, 0, 5, 20, 40),
    delayMs: pick(4, 20, 200, 1_500, 5_000),
    cutPercent: pick(5, 0, 20, 35, 35, 50),
    cutRounds: pick(6, 1, 3, 3, 6),
    crashPerMillion: pick(7, 0, 0, 2_000, 10_000),
    skewMs: pick(10, 0, 0, 0, 700, 10_000),
    churn,
  };
}

/** A short scenario in the manner of Twins (Bano et al., arXiv 2004.10617): one twin pair, links cut by round and phase. */
export function twinsScenario(seed: number): Faults {
  const pick = picker(seed);
  return {
    ...calm(4, 3_500),
    twins: 1,
    twinsStop: pick(9, 0, 1) === 1,
    liePercent: pick(8, 0, 10, 30, 60),
    delayMs: pick(4, 20, 200),
    cutPercent: pick(5, 20, 35, 50),
    cutRounds: 3,
    healMs: 60_000,
    healHeights: 1,
  };
}

/** One faulty authority that all can hear, lying often, while links break by round and phase: what locks are lost to. */
export function aimed(seed: number): Faults {
  const pick = picker(seed);
  return {
    ...twinsScenario(seed),
    shared: true,
    twinsStop: false,
    liePercent: pick(8, 20, 40),
    delayMs: pick(4, 20, 60),
    cutPercent: pick(5, 35, 50),
    chaosMs: 7_000,
  };
}

/** What mutants are hunted with. */
export function hunted(seed: number): Faults {
  return seed % 4 === 3 ? aimed(seed) : mixed(seed);
}

/** Many authorities, up to a third of them silent in the end, a tenth of messages lost before: what must stay live. */
export function large(seed: number): Faults {
  const pick = picker(seed);
  const count = seed % 4 === 3 ? 100 : 31;
  return {
    ...calm(count, 2_500),
    twins: count === 100 ? pick(2, 1, 2, 3) : pick(2, 2, 4, 6),
    twinsStop: true,
    shared: true,
    liePercent: pick(8, 0, 10),
    lossPercent: pick(3, 0, 5, 10),
    delayMs: pick(4, 20, 200),
    healMs: 300_000,
    healHeights: 2,
  };
}

/** Crashes only, often: for disks that fail. */
export function crashing(seed: number): Faults {
  const pick = picker(seed);
  return {
    ...calm(4, 20_000),
    crashPerMillion: pick(7, 10_000, 30_000, 60_000),
    lossPercent: pick(3, 0, 5),
    delayMs: 200,
  };
}
