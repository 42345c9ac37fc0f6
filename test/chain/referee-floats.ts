// Owns the cross-check of the contract's soft-float against the engine's own arithmetic: inputs, references, differences.
// As a command (`node build/test/chain/referee-floats.js [PAIRS] [SEED]`) it takes 100,000 pairs for each operation.

import { fileURLToPath } from 'node:url';
import { prng } from '../../base/prng.ts';
import * as scalar from '../../engine/scalar-math.ts';
import { openRefereeWorld, type RefereeWorld } from './referee-world.ts';

const WORD = new DataView(new ArrayBuffer(4));

export function bitsOf(x: number): number {
  WORD.setFloat32(0, x);
  return WORD.getUint32(0);
}

export function floatOf(bits: number): number {
  WORD.setUint32(0, bits);
  return WORD.getFloat32(0);
}

const CANONICAL_NAN = 0x7fc0_0000;
const resultBits = (x: number): number => (Number.isNaN(x) ? CANONICAL_NAN : bitsOf(x));

/** Nearest whole number, ties to even, by the trick of adding 1.5 * 2^52 in doubles. */
const nearest = (x: number): number => x + 6_755_399_441_055_744 - 6_755_399_441_055_744;
const bounded = (x: number): boolean => Math.abs(x) < 2 ** 31;

type Operation = Readonly<{ name: string; code: number; of: (a: number, b: number) => number | null }>;

/** Reference bits, or null where the contract's function is not defined. */
export const OPERATIONS: readonly Operation[] = [
  { name: 'add', code: 0, of: (a, b) => resultBits(scalar.add(floatOf(a), floatOf(b))) },
  { name: 'sub', code: 1, of: (a, b) => resultBits(scalar.sub(floatOf(a), floatOf(b))) },
  { name: 'mul', code: 2, of: (a, b) => resultBits(scalar.mul(floatOf(a), floatOf(b))) },
  { name: 'div', code: 3, of: (a, b) => resultBits(scalar.div(floatOf(a), floatOf(b))) },
  { name: 'sqrt', code: 4, of: (a) => resultBits(scalar.sqrt(floatOf(a))) },
  { name: 'compare', code: 5, of: (a, b) => onFinite(a, b, (x, y) => (x < y ? -1 : x === y ? 0 : 1) >>> 0) },
  { name: 'fromInt', code: 6, of: (a) => bitsOf(Math.fround(a | 0)) },
  { name: 'toNearest', code: 7, of: (a) => (bounded(floatOf(a)) ? nearest(floatOf(a)) >>> 0 : null) },
  { name: 'toFloor', code: 8, of: (a) => (bounded(floatOf(a)) ? Math.floor(floatOf(a)) >>> 0 : null) },
  { name: 'bf16', code: 9, of: (a) => (Math.abs(floatOf(a)) <= 2 ** 60 ? bitsOf(scalar.bf16(floatOf(a))) : null) },
  { name: 'exp', code: 10, of: (a) => onFinite(a, 0, (x) => bitsOf(scalar.expFixed(x))) },
  { name: 'log', code: 11, of: (a) => (isPositiveNormal(a) ? bitsOf(scalar.logFixed(floatOf(a))) : null) },
];

const isPositiveNormal = (bits: number): boolean => bits >= 0x0080_0000 && bits < 0x7f80_0000;

function onFinite(a: number, b: number, of: (x: number, y: number) => number): number | null {
  const [x, y] = [floatOf(a), floatOf(b)];
  return Number.isFinite(x) && Number.isFinite(y) ? of(x, y) : null;
}

const EDGES = [
  0x0000_0000, 0x0000_0001, 0x0000_0002, 0x007f_ffff, 0x0080_0000, 0x0080_0001, 0x00ff_ffff, 0x3400_0000, 0x3380_0000,
  0x3380_0001, 0x3eff_ffff, 0x3f00_0000, 0x3f00_0001, 0x3f7f_ffff, 0x3f80_0000, 0x3f80_0001, 0x4000_0000, 0x4b00_0000,
  0x4b7f_ffff, 0x4b80_0000, 0x4b80_0001, 0x7e80_0000, 0x7f00_0000, 0x7f7f_fffe, 0x7f7f_ffff, 0x7f80_0000, 0x7f80_0001,
  0x7fc0_0000, 0x7fff_ffff, 0x42b0_0000, 0x42ae_0000, 0x4effffff, 0x4f00_0000, 0x2180_0000, 0x217f_ffff, 0x5d80_0000,
].flatMap((bits) => [bits, (bits | 0x8000_0000) >>> 0]);

/** Every pair of edges, then random ones: any bits; near in exponent; half-way sums; small whole numbers and halves. */
export function pairs(count: number, seed: string): Readonly<{ a: Uint32Array; b: Uint32Array }> {
  const random = prng(seed);
  const a = new Uint32Array(count);
  const b = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const kind = i < EDGES.length * EDGES.length ? 0 : 1 + (i % 4);
    const [x, y] = [random.u32(), random.u32()];
    if (kind === 0) [a[i], b[i]] = [EDGES[i % EDGES.length] ?? 0, EDGES[Math.floor(i / EDGES.length)] ?? 0];
    else if (kind === 1) [a[i], b[i]] = [x, y];
    else if (kind === 2)
      [a[i], b[i]] = [x, ((x & 0x7f80_0000) + (((y >>> 23) % 64) - 32) * 0x80_0000 + (y & 0x807f_ffff)) >>> 0];
    else if (kind === 3) [a[i], b[i]] = [(x & 0x80ff_ffff) >>> 0, (y & 0x807f_ff00) >>> 0];
    else [a[i], b[i]] = [bitsOf(((x % 4_001) - 2_000) / 8), bitsOf(((y % 2_001) - 1_000) / 4)];
  }
  return { a, b };
}

export type Difference = Readonly<{ operation: string; a: number; b: number; engine: number; contract: number }>;

/** Compares every operation on `count` pairs; gas is the mean of one operation with the loop around it. */
export async function compareFloats(world: RefereeWorld, count: number, seed: string) {
  const { a, b } = pairs(count, seed);
  const differences: Difference[] = [];
  const gas: Record<string, number> = {};
  let compared = 0;
  for (const { name, code, of } of OPERATIONS) {
    const wanted = Array.from(a, (x, i) => of(x, b[i] ?? 0));
    const kept = wanted.flatMap((bits, i) => (bits === null ? [] : [i]));
    const [x, y] = [kept.map((i) => a[i] ?? 0), kept.map((i) => b[i] ?? 0)];
    const got = await world.batch(code, x, y);
    for (const [k, i] of kept.entries()) {
      const engine = wanted[i] ?? 0;
      const contract = got.words[k] ?? 0;
      compared += 1;
      if (engine !== contract) differences.push({ operation: name, a: a[i] ?? 0, b: b[i] ?? 0, engine, contract });
    }
    gas[name] = Math.round(got.gas / kept.length);
  }
  return { compared, differences, gas };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [count, seed] = [Number(process.argv[2] ?? 100_000), process.argv[3] ?? 'soft-float'];
  const { compared, differences, gas } = await compareFloats(await openRefereeWorld(), count, seed);
  const lines = differences.slice(0, 20).map((difference) => JSON.stringify(difference));
  process.stdout.write(
    `${[...lines, JSON.stringify({ seed, compared, differences: differences.length, gas })].join('\n')}\n`,
  );
  process.exitCode = differences.length === 0 ? 0 : 1;
}
