// Owns exponential and logarithm in f64 from + - * / and floor only, which IEEE 754 fixes to the last bit: equal on every
// machine, unlike the functions of Math. The f32 exponential of the engine is in its kernel specification.

import { check } from '../base/check.ts';

const LOG2_E = Math.LOG2E;
/** ln 2 in two parts: n * LN2_HIGH is exact for whole n of up to 20 bits (fdlibm's split). */
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
/** exp(-700) is 1e-304: weights below it never matter beside the largest, which is 1. */
const LOWEST = -700;
const HIGHEST = 700;

/** Taylor coefficients 1/k!, highest first; on |r| <= ln(2)/2 the rest is under 2^-55. */
const EXP_TERMS = ((): readonly number[] => {
  const terms = [1];
  for (let k = 1, factorial = 1; k <= 13; k++) {
    factorial *= k;
    terms.unshift(1 / factorial);
  }
  return terms;
})();

/** e^x within 2 units in the last place; 0 below -700. `x` is at most 700. */
export function fixedExp(x: number): number {
  check(x <= HIGHEST, 'fixedExp: argument is at most 700');
  if (x < LOWEST) return 0;
  const n = Math.floor(x * LOG2_E + 0.5);
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  let sum = 0;
  for (const term of EXP_TERMS) sum = sum * r + term;
  return sum * powerOfTwo(n);
}

/** 2^n for |n| up to 1022, exactly, by repeated squaring. */
function powerOfTwo(n: number): number {
  let result = 1;
  let square = n < 0 ? 0.5 : 2;
  for (let bits = n < 0 ? -n : n; bits > 0; bits >>= 1) {
    if (bits & 1) result *= square;
    if (bits > 1) square *= square;
  }
  return result;
}

/** Natural logarithm of a finite number above 0, absolute error under 1e-15 near 1. */
export function fixedLog(y: number): number {
  check(y > 0 && y < Number.POSITIVE_INFINITY, 'fixedLog: argument is above 0 and finite');
  let mantissa = y;
  let exponent = 0;
  for (; mantissa > 1.42; exponent++) mantissa /= 2;
  for (; mantissa < 0.71; exponent--) mantissa *= 2;
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum = 0;
  for (let k = 23; k >= 1; k -= 2) sum = sum * square + 1 / k;
  return exponent * LN2_HIGH + (2 * s * sum + exponent * LN2_LOW);
}
