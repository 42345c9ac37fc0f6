// Owns the table of rotary positions (rope): cosines and sines by + - * / alone, so that every machine makes equal bits.

import { check } from '../base/check.ts';

const LN2_TERMS = 60;
const SERIES_TERMS = 24;
/** 2 pi as a double; angles up to 2^24 lose no more than 2^-28 to the reduction. */
const TWO_PI = 6.283185307179586;

/** ln x of a positive double: halving into [1, 2), then 2 artanh((x - 1) / (x + 1)) by its series. */
function logarithm(x: number): number {
  let halvings = 0;
  let m = x;
  for (; m >= 2; halvings++) m /= 2;
  return halvings * (artanh(1 / 3) * 2) + 2 * artanh((m - 1) / (m + 1));
}

function artanh(z: number): number {
  let power = z;
  let sum = 0;
  for (let k = 0; k < LN2_TERMS; k++) {
    sum += power / (2 * k + 1);
    power *= z * z;
  }
  return sum;
}

/** e^x of a double in [-64, 0]: the series at x / 64, squared six times. */
function exponential(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; k < SERIES_TERMS; k++) {
    term = (term * (x / 64)) / k;
    sum += term;
  }
  for (let i = 0; i < 6; i++) sum *= sum;
  return sum;
}

/** Cosine and sine by Taylor series after reduction to [-pi, pi]. */
function cosineSine(angle: number): readonly [number, number] {
  const turns = Math.floor(angle / TWO_PI + 0.5);
  const x = angle - turns * TWO_PI;
  let [cosine, sine, term] = [1, 0, 1];
  for (let k = 1; k < SERIES_TERMS * 2; k++) {
    term = (term * x) / k;
    const sign = k % 4 < 2 ? 1 : -1;
    if (k % 2 === 0) cosine += k % 4 === 0 ? term : -term;
    else sine += sign * term;
  }
  return [cosine, sine];
}

/**
 * Table f32[positions, width] for the rope instruction: row p holds cos(p * base^(-2i/width)) for i below width / 2, then
 * the sines (RoFormer, arXiv 2104.09864, in the half-rotated layout). `base` is at least 1.
 */
export function ropeTable(positions: number, width: number, base = 10_000): Float32Array {
  check(width > 0 && width % 2 === 0, 'ropeTable: width must be even');
  check(base >= 1 && Number.isFinite(base), 'ropeTable: base must be at least 1');
  const half = width / 2;
  const table = new Float32Array(positions * width);
  const step = logarithm(base);
  for (let i = 0; i < half; i++) {
    const frequency = exponential(-(step * 2 * i) / width);
    for (let p = 0; p < positions; p++) {
      const [cosine, sine] = cosineSine(p * frequency);
      table[p * width + i] = cosine;
      table[p * width + half + i] = sine;
    }
  }
  return table;
}
