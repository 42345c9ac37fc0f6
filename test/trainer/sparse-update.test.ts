// Shows that codec 2 takes the greatest moves by the stated rules, has one encoding for each set of values and refuses all
// others, and that its sums do not depend on order.

import test from 'ava';
import { equal, toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { type Prng, prng } from '../../base/prng.ts';
import { DEFAULT_OUTER_STEP, aggregate, updateNorm } from '../../trainer/aggregate.ts';
import { SPARSE_SHAPE, decodeSparse, encodeSparse, sparseSize } from '../../trainer/sparse-update.ts';
import { CHUNK } from '../../trainer/update-scale.ts';
import { decodeUpdate, encodeUpdate, updateSize, updateValues } from '../../trainer/update.ts';

const LEVELS = 1 << (SPARSE_SHAPE.valueBits - 1);

/** Moves of many sizes, with a heavy tail, ties and zeros. */
function moves(random: Prng, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => {
    const draw = random.below(8);
    const sign = random.below(2) === 0 ? 1 : -1;
    if (draw === 0) return 0;
    if (draw === 1) return sign * 2 ** -9;
    return (sign * (random.u32() / 2 ** 32) ** 3) / 2 ** (4 + (Math.floor(i / CHUNK) % 4) * 6);
  });
}

/** The rules written plainly: sort, cut, try scales. */
function byTheRules(part: Float32Array, entries: number): { shift: number; moved: Map<number, number> } {
  const taken = [...part.keys()]
    .filter((i) => part[i] !== 0)
    .sort((a, b) => Math.abs(part[b] as number) - Math.abs(part[a] as number) || a - b)
    .slice(0, entries)
    .sort((a, b) => a - b);
  if (taken.length === 0) return { shift: 0, moved: new Map() };
  const most = Math.max(...taken.map((i) => Math.abs(part[i] as number)));
  let top = 0;
  while (top < 24 && most >= 2 * LEVELS * 2 ** (top - 30)) top++;
  let best = { shift: top, error: Number.POSITIVE_INFINITY, moved: new Map<number, number>() };
  for (let shift = top; shift >= Math.max(0, top - 3); shift--) {
    const unit = 2 ** (shift - 30);
    const moved = new Map<number, number>();
    let error = 0;
    for (const i of taken) {
      const value = part[i] as number;
      const odd = 2 * Math.min(LEVELS - 1, Math.floor(Math.abs(value) / (2 * unit))) + 1;
      error += (Math.abs(value) - odd * unit) ** 2;
      moved.set(i, Math.sign(value) * odd * unit);
    }
    if (error < best.error) best = { shift, error, moved };
  }
  return best;
}

test('each chunk moves its greatest parameters, by the rules written plainly', (t) => {
  const random = prng('sparse');
  for (const length of [1, 2, 17, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 777]) {
    const wanted = moves(random, length);
    const bytes = encodeSparse(wanted);
    t.is(bytes.length, sparseSize(length));
    t.is(bytes.length, updateSize(length, 2));
    const update = unwrap(decodeUpdate(bytes, length));
    const expected = new Float32Array(length);
    for (let start = 0; start < length; start += CHUNK) {
      const part = wanted.subarray(start, start + CHUNK);
      const rule = byTheRules(part, Math.ceil((SPARSE_SHAPE.entries * part.length) / CHUNK));
      t.is(update.shifts[start / CHUNK], rule.shift);
      for (const [i, value] of rule.moved) expected[start + i] = value;
    }
    t.deepEqual(updateValues(update), expected);
  }
});

test('an update is more than 50 times smaller than the parameters in f32', (t) => {
  for (const parameters of [328_000, 1_000_000, 3_400_000, 124_000_000]) {
    t.true(4 * parameters > 50 * sparseSize(parameters), String(parameters));
  }
});

test('of equal moves the lower places travel, and what does not move never does', (t) => {
  const wanted = new Float32Array(CHUNK).fill(-0.25);
  wanted[0] = 0;
  wanted[1] = -0;
  wanted[CHUNK - 1] = 0.5;
  const update = unwrap(decodeSparse(encodeSparse(wanted), CHUNK));
  const lower = Array.from({ length: SPARSE_SHAPE.entries - 1 }, (_, i) => i + 2);
  t.deepEqual([...update.places], [...lower, CHUNK - 1]);
  const none = encodeSparse(new Float32Array(5_000));
  t.true(none.subarray(5).every((byte) => byte === 0));
  t.is(unwrap(decodeSparse(none, 5_000)).places.length, 0);
});

test('moves beyond every scale saturate, moves below the grid become one step of it', (t) => {
  const length = 64;
  const wanted = new Float32Array(length);
  [wanted[0], wanted[1]] = [3e38, -1e20];
  const far = updateValues(unwrap(decodeSparse(encodeSparse(wanted), length)));
  t.deepEqual([far[0], far[1]], [(2 * LEVELS - 1) / 64, -(2 * LEVELS - 1) / 64]);
  [wanted[0], wanted[1]] = [1e-40, -1e-45];
  const near = updateValues(unwrap(decodeSparse(encodeSparse(wanted), length)));
  t.deepEqual([near[0], near[1]], [2 ** -30, -(2 ** -30)]);
});

test('other bytes of the same values are refused: scales, order, ranges, counts and unused bits', (t) => {
  const random = prng('sparse refusals');
  const length = CHUNK + 300;
  const wanted = moves(random, length);
  wanted.fill(0, CHUNK, CHUNK + 290);
  const bytes = encodeSparse(wanted);
  const last = bytes.length - sparseSize(300) + 5;
  const altered = (at: number, value: number) => {
    const copy = bytes.slice();
    copy[at] = value;
    return copy;
  };
  const refusals: [Uint8Array, number, RegExp][] = [
    [new Uint8Array(4), length, /shorter/],
    [altered(0, 3), length, /codec 3/],
    [bytes, length + 1, new RegExp(`for ${length} parameters`)],
    [bytes.subarray(0, -1), length, /bytes, not/],
    [altered(5, 25), length, /scale of chunk 0/],
    [altered(6, 0xff), length, /chunk 0/],
    [altered(bytes.length - 1, 0xff), length, /chunk 1: a bit behind/],
    [bytes.map((byte, at) => (at > 5 && at < 100 ? 0xff : byte)), length, /entries, not up to/],
  ];
  const empty = encodeSparse(new Float32Array(length));
  empty[last] = 1;
  refusals.push([empty, length, /scale of chunk 1/]);
  for (const [input, parameters, message] of refusals) {
    const result = decodeUpdate(input, parameters);
    if (input[0] === 2) t.deepEqual(decodeSparse(input, parameters), result);
    t.false(result.ok, String(message));
    if (!result.ok) t.regex(result.message, message);
  }
});

test('no damage gives a second encoding of the same values', (t) => {
  const random = prng('sparse damage');
  let read = 0;
  for (let i = 0; i < 400; i++) {
    const length = 1 + random.below(i % 8 === 0 ? CHUNK + 500 : 90);
    const bytes = encodeSparse(moves(random, length));
    const values = updateValues(unwrap(decodeSparse(bytes, length)));
    const at = 40 + random.below(8 * bytes.length - 40);
    bytes[at >> 3] = (bytes[at >> 3] as number) ^ (1 << (at & 7));
    const result = decodeSparse(bytes, length);
    if (!result.ok) continue;
    read++;
    t.notDeepEqual(updateValues(result.value), values);
    t.true(result.value.values.every((value) => Math.abs(value) % 2 === 1 && Math.abs(value) < 2 * LEVELS));
  }
  t.true(read >= 50, String(read));
});

test('random bytes are refused or read within the model', (t) => {
  const random = prng('sparse fuzz');
  for (let i = 0; i < 2_000; i++) {
    const length = 1 + random.below(200);
    const bytes = random.bytes(random.below(2) === 0 ? sparseSize(length) : random.below(60));
    bytes[0] = 2;
    if (bytes.length >= 5) bytes.set([0, 0, 0, length], 1);
    const result = decodeSparse(bytes, length);
    if (result.ok && !result.value.places.every((place) => place < length)) t.fail('a place outside the model');
  }
  t.pass();
});

test('sums of both codecs give the same bits in every order', (t) => {
  const random = prng('sparse sums');
  const length = CHUNK + 100;
  const base = moves(random, length);
  const accepted = Array.from({ length: 64 }, (_, i) => {
    const wanted = moves(random, length).map((value) => value * 2 ** -(i % 20));
    const final = base.map((value, at) => value - (wanted[at] as number));
    const bytes = i % 4 === 0 ? encodeUpdate(base, final) : encodeSparse(wanted);
    return { update: unwrap(decodeUpdate(bytes ?? new Uint8Array(0), length)), capacity: 1 + random.below(64) };
  });
  const expected = aggregate(base, accepted, DEFAULT_OUTER_STEP);
  for (let round = 0; round < 5; round++) {
    const shuffled = accepted
      .map((entry) => ({ entry, key: random.u32() }))
      .toSorted((a, b) => a.key - b.key)
      .map(({ entry }) => entry);
    t.is(toHex(aggregate(base, shuffled, DEFAULT_OUTER_STEP).modelRoot), toHex(expected.modelRoot));
  }
});

test('one update at eta 1 moves the base by exactly its values, and its norm is that of the values', (t) => {
  const random = prng('one sparse update');
  const base = Float32Array.from({ length: 5_000 }, () => (random.u32() / 2 ** 32 - 0.5) * 0.1);
  const update = unwrap(decodeUpdate(encodeSparse(moves(random, 5_000)), 5_000));
  const values = updateValues(update);
  const { params } = aggregate(base, [{ update, capacity: 3 }], DEFAULT_OUTER_STEP);
  t.deepEqual(
    params,
    base.map((value, i) => value - (values[i] as number)),
  );
  let square = 0;
  for (const value of values) square += value * value;
  t.true(Math.abs(Number(updateNorm(update)) / 2 ** 30 / Math.sqrt(square) - 1) < 1e-6);
  t.true(equal(encodeSparse(values), encodeSparse(values.slice())));
});
