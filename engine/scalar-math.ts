// Owns the arithmetic of the scalar oracle: one rounding to f32 after every operation, in the order of kernel-spec.md.
// Written apart from the kernels on purpose; nothing here is fast.

const f = Math.fround;
const WORD = new DataView(new ArrayBuffer(4));

function floatBits(x: number): number {
  WORD.setFloat32(0, x);
  return WORD.getInt32(0);
}

function bitsFloat(bits: number): number {
  WORD.setInt32(0, bits);
  return WORD.getFloat32(0);
}

export const add = (a: number, b: number): number => f(a + b);
export const sub = (a: number, b: number): number => f(a - b);
export const mul = (a: number, b: number): number => f(a * b);
export const div = (a: number, b: number): number => f(a / b);
export const sqrt = (a: number): number => f(Math.sqrt(a));

/** Nearest whole number, ties to even, of |x| below 2^22; NaN stays NaN. */
function nearestEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return rest > 0.5 ? floor + 1 : floor;
}

const EXP = [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1].map(f);

/** Rule E1. */
export function expFixed(x: number): number {
  const clamped = Math.max(-87, Math.min(88, x));
  // Adding and taking away 1.5 * 2^23 rounds the f32 product to a whole number.
  const shifted = add(mul(clamped, f(1.4426950216)), 12582912);
  const n = sub(shifted, 12582912);
  const r = sub(sub(clamped, mul(n, f(0.693359375))), mul(n, f(-2.1219444e-4)));
  let p = EXP[0] ?? 0;
  for (const coefficient of EXP.slice(1)) p = add(mul(p, r), coefficient);
  p = add(add(mul(p, mul(r, r)), r), 1);
  return Number.isNaN(n) ? Number.NaN : mul(p, 2 ** n);
}

const LOG = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(f);

/** Rule E2, for positive normal numbers. */
export function logFixed(x: number): number {
  let exponent = (floatBits(x) >> 23) - 126;
  let m = bitsFloat((floatBits(x) & 0x007f_ffff) | 0x3f00_0000);
  if (m < bitsFloat(0x3f35_04f3)) {
    exponent -= 1;
    m = add(m, m);
  }
  m = sub(m, 1);
  const z = mul(m, m);
  let p = LOG[0] ?? 0;
  for (const coefficient of LOG.slice(1)) p = add(mul(p, m), coefficient);
  let y = mul(mul(m, z), p);
  y = add(y, mul(exponent, f(-2.1219444e-4)));
  y = sub(y, mul(0.5, z));
  return add(add(m, y), mul(exponent, f(0.693359375)));
}

export const sigmoid = (x: number): number => div(1, add(1, expFixed(-x)));

/** Rule R1: lane i mod 16 sums ascending from +0, then lanes fold in halves. */
export function sumLanes(terms: readonly number[]): number {
  const lanes = new Array<number>(16).fill(0);
  for (const [i, term] of terms.entries()) lanes[i % 16] = add(lanes[i % 16] ?? 0, term);
  for (let width = 8; width >= 1; width /= 2) {
    for (let i = 0; i < width; i++) lanes[i] = add(lanes[i] ?? 0, lanes[i + width] ?? 0);
  }
  return lanes[0] ?? 0;
}

/** Rule R2: chunks of 4096 by R1, added ascending. */
export function sumChunks(terms: readonly number[]): number {
  let total = 0;
  for (let i = 0; i < terms.length; i += 4096) total = add(total, sumLanes(terms.slice(i, i + 4096)));
  return total;
}

/** Rule R3: sums in given order from +0, or from `start`. */
export function sumAscending(terms: Iterable<number>, start = 0): number {
  let total = start;
  for (const term of terms) total = add(total, term);
  return total;
}

const BF16_LEAST = 2 ** -60;
export const BF16_MOST = 2 ** 60;

/** Rule B1 for a number within range: nearest-even to 8 significant bits, small ones to a zero of the same sign. */
export function bf16(x: number): number {
  if (Math.abs(x) < BF16_LEAST) return x < 0 || Object.is(x, -0) ? -0 : 0;
  const bits = floatBits(x) >>> 0;
  const low = bits & 0xffff;
  const high = bits - low;
  const up = low > 0x8000 || (low === 0x8000 && (high & 0x1_0000) !== 0);
  return bitsFloat((up ? high + 0x1_0000 : high) | 0);
}

/** Rule Q4: a 32-bit finaliser. */
function mix32(word: number): number {
  let x = word >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb_352d);
  x = Math.imul(x ^ (x >>> 15), 0x846c_a68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Rule Q4: noise in [0, 1) for the value at (row, column) of a gradient with so many columns. */
export function noise(key: number, columns: number, row: number, column: number): number {
  const counter = (row * 16 * Math.ceil(columns / 32) + 16 * Math.floor(column / 32) + (column % 16)) >>> 0;
  const hash = mix32((counter ^ key) >>> 0);
  return ((column >>> 4) % 2 === 0 ? hash & 0xffff : hash >>> 16) / 65_536;
}

export function noiseKey(seed: ArrayLike<number>, tensorId: number, salt: number): number {
  let key = mix32(((seed[0] ?? 0) + 0x9e37_79b9) >>> 0);
  for (const word of [seed[1] ?? 0, tensorId, salt]) key = mix32(key ^ word);
  return key;
}

const clamp127 = (q: number): number => Math.max(-127, Math.min(127, q));

/** Rules Q1 to Q3: one line of values with its scale. `noiseAt` absent means round to nearest. */
export function quantizeLine(
  line: readonly number[],
  noiseAt?: (i: number) => number,
): Readonly<{ scale: number; values: readonly number[] }> {
  let amax = 0;
  for (const value of line) amax = Math.max(amax, Math.abs(value));
  if (amax < 2 ** -100) return { scale: 0, values: line.map(() => 0) };
  const inverse = div(127, amax);
  const values = line.map((value, i) => {
    const scaled = mul(value, inverse);
    return clamp127(noiseAt === undefined ? nearestEven(scaled) : Math.floor(add(scaled, noiseAt(i))));
  });
  return { scale: div(amax, 127), values };
}
