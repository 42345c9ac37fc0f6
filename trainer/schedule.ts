// Owns the numbers that change on the way: learning rate and bias corrections of an update, stochastic-rounding seeds of a step. Only + - * / on
// doubles and one rounding to f32 at the end, so every machine has the same bits (docs/protocol/learning-round.md, section H).

import { u32be } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { taggedHash } from '../base/hash.ts';

/** Optimizer updates count from genesis: the base model's version x updates per round, plus the update's place in its round. */
export type Schedule = Readonly<{
  /** Peak learning rate in 1e-9. */
  learningRateNano: number;
  /** Linear rise over these first updates. */
  warmupSteps: number;
  /** Half a cosine from peak to floor over these updates after the rise; 0 keeps the peak. */
  decaySteps: number;
  /** Floor in 1/10,000 of the peak. */
  floorBps: number;
}>;

/** AdamW's constants in 1e-9, as whole numbers so that they can be hashed. */
export type Optimizer = Readonly<{
  beta1Nano: number;
  beta2Nano: number;
  epsNano: number;
  weightDecayNano: number;
  /** Global gradient norm above which gradients are scaled down; 0 never. */
  clipNormNano: number;
}>;

export const DEFAULT_OPTIMIZER: Optimizer = {
  beta1Nano: 900_000_000,
  beta2Nano: 950_000_000,
  epsNano: 10,
  weightDecayNano: 100_000_000,
  clipNormNano: 1_000_000_000,
};

/** f32 nearest to a number of 1e-9 units. */
function nano(value: number): number {
  check(Number.isSafeInteger(value) && value >= 0, 'nano: not a whole number from 0');
  return Math.fround(value / 1e9);
}

/** Learning rate of an update counted from genesis, an f32. */
export function learningRate(schedule: Schedule, update: number): number {
  const peak = schedule.learningRateNano / 1e9;
  if (update < schedule.warmupSteps) return Math.fround((peak * (update + 1)) / schedule.warmupSteps);
  if (schedule.decaySteps === 0) return Math.fround(peak);
  const done = update - schedule.warmupSteps;
  const floor = (peak * schedule.floorBps) / 10_000;
  if (done >= schedule.decaySteps) return Math.fround(floor);
  return Math.fround(floor + (peak - floor) * fallingHalfCosine(done / schedule.decaySteps));
}

/** (1 + cos(pi t)) / 2 for 0 <= t <= 1, by the Taylor polynomial of the sine around the middle; within 1e-9. */
export function fallingHalfCosine(t: number): number {
  const x = Math.PI * (t - 0.5);
  const square = x * x;
  // sin(x) / x, Horner from the term of x^14.
  let sum = 1 - square / 210;
  sum = 1 - (square / 156) * sum;
  sum = 1 - (square / 110) * sum;
  sum = 1 - (square / 72) * sum;
  sum = 1 - (square / 42) * sum;
  sum = 1 - (square / 20) * sum;
  sum = 1 - (square / 6) * sum;
  return (1 - x * sum) / 2;
}

/**
 * The eight numbers an AdamW instruction reads: [lr, beta1, beta2, eps, weightDecay, 1-beta1^t, 1-beta2^t, clipNorm].
 * `first` updates lie before the round, `update` is its place in it; `seen` is how many the moments saw before the round.
 */
export function hyperParameters(
  schedule: Schedule,
  optimizer: Optimizer,
  first: number,
  update: number,
  seen = 0,
): Float32Array {
  const beta1 = nano(optimizer.beta1Nano);
  const beta2 = nano(optimizer.beta2Nano);
  return Float32Array.of(
    learningRate(schedule, first + update),
    beta1,
    beta2,
    nano(optimizer.epsNano),
    nano(optimizer.weightDecayNano),
    biasCorrection(beta1, seen + update + 1),
    biasCorrection(beta2, seen + update + 1),
    nano(optimizer.clipNormNano),
  );
}

/** 1 - beta^t in f32, the power by t - 1 multiplications each rounded to f32. */
export function biasCorrection(beta: number, t: number): number {
  let power = beta;
  // Powers only fall, so what does not change any more, or is lost beside 1, stays so.
  for (let i = 1; i < t && !isSettled(beta, power); i++) power = Math.fround(power * beta);
  return Math.fround(1 - power);
}

function isSettled(beta: number, power: number): boolean {
  return Math.fround(1 - power) === 1 || Math.fround(power * beta) === power;
}

/** Both bias corrections for t = 1, 2, ... until neither changes any more, but at most `most`: later steps have the last. */
export function biasTable({ beta1Nano, beta2Nano }: Optimizer, most: number): (readonly [number, number])[] {
  const betas = [nano(beta1Nano), nano(beta2Nano)] as const;
  const table: (readonly [number, number])[] = [];
  let powers: readonly [number, number] = betas;
  while (table.length < most) {
    const [first, second] = powers;
    table.push([Math.fround(1 - first), Math.fround(1 - second)]);
    if (isSettled(betas[0], first) && isSettled(betas[1], second)) break;
    powers = [Math.fround(first * betas[0]), Math.fround(second * betas[1])];
  }
  return table;
}

/** The two seed words of a step's stochastic rounding. */
export function roundingSeed(roundSeed: Uint8Array, slot: number, step: number): Int32Array {
  const hash = taggedHash('stochastic-rounding', roundSeed, u32be(slot), u32be(step));
  const view = new DataView(hash.buffer, hash.byteOffset);
  return Int32Array.of(view.getInt32(0), view.getInt32(4));
}
