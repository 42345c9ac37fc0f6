// Owns the table of rotary angles, made with + - * / only so that every machine makes the same bits.
// How a row is applied is the rope instruction (kernel-spec.md).

import { check } from '../base/check.ts';

/**
 * Cosines and sines f32[positions, headWidth]: row p holds cos(p * f_i) for i below headWidth / 2, then sin(p * f_i), with
 * f_i = theta^(-2i / headWidth) (Su et al. 2021). Computed in f64: rows by repeated rotation, one rounding to f32 at the end.
 */
export function ropeTable(positions: number, headWidth: number, theta: number): Float32Array {
  check(Number.isInteger(positions) && positions >= 1, 'ropeTable: positions is a whole number from 1');
  check(Number.isInteger(headWidth) && headWidth >= 2 && headWidth % 2 === 0, 'ropeTable: headWidth is even');
  check(theta >= 1 && theta <= 1e9, 'ropeTable: theta is from 1 to 1e9');
  const half = headWidth / 2;
  const ratio = rootOf(1 / theta, half);
  const table = new Float32Array(positions * headWidth);
  let frequency = 1;
  for (let i = 0; i < half; i++) {
    fillColumn(table, positions, headWidth, i, frequency);
    frequency *= ratio;
  }
  return table;
}

function fillColumn(table: Float32Array, positions: number, headWidth: number, i: number, angle: number): void {
  const [stepCos, stepSin] = [cosine(angle), sine(angle)];
  let [cos, sin] = [1, 0];
  for (let p = 0; p < positions; p++) {
    table[p * headWidth + i] = cos;
    table[p * headWidth + headWidth / 2 + i] = sin;
    [cos, sin] = [cos * stepCos - sin * stepSin, sin * stepCos + cos * stepSin];
  }
}

/** The n-th root of a number in (0, 1], by Newton's method from above until it stops falling. */
function rootOf(value: number, n: number): number {
  let root = 1;
  for (let i = 0; i < 2000; i++) {
    let power = 1;
    for (let k = 1; k < n; k++) power *= root;
    const next = root - (power * root - value) / (n * power);
    if (next >= root) return root;
    root = next;
  }
  return root;
}

/** Taylor series on 0..1; the terms left out are below 2^-60. */
function cosine(x: number): number {
  let sum = 0;
  for (let k = 20; k >= 2; k -= 2) sum = ((sum - 1) * x * x) / (k * (k - 1)) * -1 * -1;
  return 1 + sum;
}

function sine(x: number): number {
  let sum = 0;
  for (let k = 21; k >= 3; k -= 2) sum = ((sum - 1) * x * x) / (k * (k - 1));
  return x * (1 + sum);
}
