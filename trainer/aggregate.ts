// Owns the outer step: accepted updates and the base model give the next model, the same bits in any order on any machine.
// Rules of docs/protocol/learning-round.md.

import { check, present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { stateRoot } from '../base/merkle.ts';
import { MAX_CAPACITY, MAX_SLOTS } from './limits.ts';
import { CHUNK, LEAST_EXPONENT, powerOfTwo } from './update-scale.ts';
import { type Update, eachMove } from './update.ts';

export type OuterStep = Readonly<{
  /** eta = numerator / 2^shift. */
  outerEtaNumerator: number;
  outerEtaShift: number;
  /** Most weight of one update, in 1/10,000 of the total. */
  weightCapBps: number;
  /** Norm above which an update is scaled down, in 1/10,000 of the median norm. */
  clipBps: number;
}>;

export const DEFAULT_OUTER_STEP: OuterStep = {
  outerEtaNumerator: 1,
  outerEtaShift: 0,
  weightCapBps: 5_000,
  clipBps: 20_000,
};

/** Sixteenths are fine enough to choose by, and most that is any use. */
const FINEST_SHIFT = 4;
const MOST_TIMES = 64;

/** eta as genesis has it, from how many times over the mean update is to be applied. */
export function outerEtaOf(times: number): Result<Pick<OuterStep, 'outerEtaNumerator' | 'outerEtaShift'>> {
  for (let outerEtaShift = 0; outerEtaShift <= FINEST_SHIFT; outerEtaShift++) {
    const outerEtaNumerator = times * 2 ** outerEtaShift;
    if (Number.isInteger(outerEtaNumerator) && times > 0 && times <= MOST_TIMES)
      return success({ outerEtaNumerator, outerEtaShift });
  }
  return fault('outer-step', `outer_step: must be a multiple of 1/16 above 0, up to ${MOST_TIMES}, not ${times}`);
}

/** Heavy ball (Polyak 1964) from the last two models, so that it is no state of its own. */
export type OuterMomentum = Readonly<{
  /** The model before the base; the base itself when there is none. */
  before: Float32Array;
  /** Share of the last move that is made again, in 1/256: exact in f64. */
  share: number;
}>;
const MOMENTUM_UNIT = 256;

export type Accepted = Readonly<{ update: Update; capacity: number }>;

/** Weight 1.0 of an update of capacity 1; weights reach 64 x 1024 = 2^16. */
const WEIGHT_UNIT = 1_024;
/** Clip factors are whole multiples of 1 / 4096. */
const CLIP_UNIT = 4_096n;

/** How each update entered, in the order given: its norm in units of 2^-30, its weight, and the weight after clipping. */
type Share = Readonly<{ norm: bigint; weight: number; clipped: number }>;
export type Aggregation = Readonly<{ params: Float32Array; modelRoot: Uint8Array; shares: readonly Share[] }>;

/** The next model. Without updates it is the base, whatever the momentum. */
export function aggregate(
  base: Float32Array,
  accepted: readonly Accepted[],
  outer: OuterStep,
  momentum: OuterMomentum | null = null,
): Aggregation {
  if (momentum !== null) {
    const { before, share } = momentum;
    check(before.length === base.length, 'aggregate: model before is of another size');
    check(Number.isInteger(share) && share >= 0 && share < MOMENTUM_UNIT, 'aggregate: momentum out of range');
  }
  check(accepted.length <= MAX_SLOTS, 'aggregate: more updates than slots');
  for (const { update, capacity } of accepted) {
    check(update.parameters === base.length, 'aggregate: update of another model');
    check(Number.isInteger(capacity) && capacity >= 1 && capacity <= MAX_CAPACITY, 'aggregate: capacity out of range');
  }
  const shares = sharesOf(accepted, outer);
  const params = outerStep(base, accepted, shares, outer, momentum);
  return { params, modelRoot: modelRoot(params), shares };
}

/** Root of a model: the state root of its parameter bytes. */
function modelRoot(params: Float32Array): Uint8Array {
  return stateRoot(new Uint8Array(params.buffer, params.byteOffset, params.byteLength));
}

/**
 * Each sum is of whole numbers below 2^53 (64 updates x 127 x 2^16 x 2^24), so it is exact and order-free; then one
 * division, one product with a power-of-two multiple, one subtraction; with momentum a difference, a product and an addition
 * before the one rounding to f32, in this order.
 */
function outerStep(
  base: Float32Array,
  accepted: readonly Accepted[],
  shares: readonly Share[],
  outer: OuterStep,
  momentum: OuterMomentum | null,
): Float32Array {
  const total = shares.reduce((sum, share) => sum + share.weight, 0);
  const params = base.slice();
  if (total === 0) return params;
  const eta = outer.outerEtaNumerator * powerOfTwo(LEAST_EXPONENT - outer.outerEtaShift);
  const share = (momentum?.share ?? 0) / MOMENTUM_UNIT;
  const before = momentum?.before ?? base;
  const sum = new Float64Array(CHUNK);
  for (let start = 0, chunk = 0; start < params.length; start += CHUNK, chunk++) {
    const length = Math.min(CHUNK, params.length - start);
    sum.fill(0);
    for (const [index, { update }] of accepted.entries()) {
      const factor = present(shares[index], 'share').clipped * powerOfTwo(update.shifts[chunk] as number);
      eachMove(update, chunk, (at, value) => {
        sum[at - start] = (sum[at - start] as number) + value * factor;
      });
    }
    for (let i = 0; i < length; i++) {
      const from = params[start + i] as number;
      const next = from - ((sum[i] as number) / total) * eta;
      // The store into f32 is the rounding.
      params[start + i] = share === 0 ? next : next + (from - (before[start + i] as number)) * share;
    }
  }
  return params;
}

function sharesOf(accepted: readonly Accepted[], outer: OuterStep): Share[] {
  const norms = accepted.map(({ update }) => updateNorm(update));
  const weights = cappedWeights(
    accepted.map(({ capacity }) => capacity * WEIGHT_UNIT),
    outer.weightCapBps,
  );
  const sorted = norms.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const median = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0n;
  const limit = (median * BigInt(outer.clipBps)) / 10_000n;
  return norms.map((norm, index) => {
    const weight = present(weights[index], 'weight');
    // Only what was clipped is lost: the divisor stays the unclipped total, so clipping shortens the step.
    const factor = norm > limit ? (limit * CLIP_UNIT) / norm : CLIP_UNIT;
    return { norm, weight, clipped: Number((BigInt(weight) * factor) / CLIP_UNIT) };
  });
}

/** Floor of the L2 norm in units of 2^-30. */
export function updateNorm(update: Update): bigint {
  let square = 0n;
  for (const [chunk, shift] of update.shifts.entries()) {
    let part = 0;
    eachMove(update, chunk, (_, value) => {
      part += value ** 2;
    });
    square += BigInt(part) << BigInt(2 * shift);
  }
  return squareRoot(square);
}

function squareRoot(value: bigint): bigint {
  if (value < 2n) return value;
  let root = 1n << BigInt(Math.ceil(value.toString(2).length / 2));
  for (;;) {
    const next = (root + value / root) / 2n;
    if (next >= root) return root;
    root = next;
  }
}

/**
 * Weights lowered so that none exceeds its share of the sum: the k heaviest are set to the level that is then exactly the
 * share, for the least k that suffices. Where n equal weights exceed the share anyway (n x cap <= 1), all become equal.
 */
export function cappedWeights(weights: readonly number[], capBps: number): number[] {
  const sorted = weights.toSorted((a, b) => b - a);
  let rest = weights.reduce((sum, weight) => sum + weight, 0);
  for (let k = 0; k < sorted.length; k++) {
    const left = 10_000 - k * capBps;
    const level = left > 0 ? Math.floor((rest * capBps) / left) : 0;
    if (left > 0 && (sorted[k] as number) <= level) return weights.map((weight) => Math.min(weight, level));
    rest -= sorted[k] as number;
  }
  const least = sorted.at(-1) ?? 0;
  return weights.map(() => least);
}
