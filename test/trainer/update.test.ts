// Shows that updates decode to what was encoded within half a step, and that sums of them do not depend on order.

import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { type Prng, prng } from '../../base/prng.ts';
import { DEFAULT_OUTER_STEP, aggregate, cappedWeights, updateNorm } from '../../trainer/aggregate.ts';
import { CHUNK } from '../../trainer/update-scale.ts';
import { decodeUpdate, encodeUpdate as tryEncode, updateSize, updateValues } from '../../trainer/update.ts';

const encodeUpdate = (base: Float32Array, final: Float32Array) => present(tryEncode(base, final), 'update');

function randomParams(random: Prng, length: number, size: number): Float32Array {
  return Float32Array.from({ length }, () => ((random.u32() - 2 ** 31) / 2 ** 31) * size);
}

test('decoding is exact: each value is the nearest multiple of the least fitting power of two', (t) => {
  const random = prng('update');
  for (const length of [1, 5, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7]) {
    const base = randomParams(random, length, 0.1);
    const moves = Float32Array.from({ length }, (_, i) => {
      const size = 2 ** -(4 + (Math.floor(i / CHUNK) % 5) * 5);
      return ((random.u32() - 2 ** 31) / 2 ** 31) * size;
    });
    const final = base.map((value, i) => value - (moves[i] as number));
    const bytes = encodeUpdate(base, final);
    t.is(bytes.length, updateSize(length));
    const update = unwrap(decodeUpdate(bytes, length));
    const values = updateValues(update);
    for (let i = 0; i < length; i++) {
      const unit = 2 ** ((update.shifts[Math.floor(i / CHUNK)] as number) - 30);
      const delta = Math.fround((base[i] as number) - (final[i] as number));
      t.true(Math.abs((values[i] as number) - delta) <= unit / 2);
      t.is((values[i] as number) / unit, update.values[i] as number);
    }
    const largest = Math.max(...update.values.subarray(0, CHUNK).map(Math.abs));
    t.true(largest >= 63, `scale is the least: ${largest}`);
  }
});

test('ties round to even, greater moves saturate, no move is zero', (t) => {
  const unit = 2 ** -10;
  const base = Float32Array.of(127 * unit, 0.5 * unit, 1.5 * unit, 2.5 * unit, -0.5 * unit, -1.5 * unit);
  const update = unwrap(decodeUpdate(encodeUpdate(base, new Float32Array(6)), 6));
  t.deepEqual([...update.values], [127, 0, 2, 2, 0, -2]);
  const far = unwrap(decodeUpdate(encodeUpdate(Float32Array.of(3e38, -1e20, 1), new Float32Array(3)), 3));
  t.deepEqual([...updateValues(far)], [127 / 64, -127 / 64, 1]);
  const none = unwrap(decodeUpdate(encodeUpdate(base, base), 6));
  t.deepEqual([...none.shifts, ...none.values], [0, 0, 0, 0, 0, 0, 0]);
  t.is(tryEncode(Float32Array.of(Number.NaN), Float32Array.of(0)), null);
  t.is(tryEncode(Float32Array.of(3e38), Float32Array.of(-3e38)), null);
});

test('malformed updates are refused before anything is read', (t) => {
  const bytes = encodeUpdate(Float32Array.of(1, 2, 3), Float32Array.of(1, 2.5, 3));
  const refusals: [Uint8Array, number, RegExp][] = [
    [new Uint8Array(0), 3, /shorter/],
    [Uint8Array.of(3, ...bytes.subarray(1)), 3, /codec 3/],
    [bytes, 4, /for 3 parameters/],
    [bytes.subarray(0, -1), 3, /8 bytes, not 9/],
    [Uint8Array.of(...bytes.subarray(0, 5), 25, ...bytes.subarray(6)), 3, /scale of chunk 0/],
    [Uint8Array.of(...bytes.subarray(0, 8), 0x80), 3, /value 2 is -128/],
  ];
  for (const [input, parameters, message] of refusals) {
    const result = decodeUpdate(input, parameters);
    t.false(result.ok);
    if (!result.ok) t.regex(result.message, message);
  }
  const random = prng('update fuzz');
  for (let i = 0; i < 2_000; i++) {
    const result = decodeUpdate(random.bytes(random.below(40)), random.below(40));
    if (result.ok) t.is(result.value.values.length, result.value.parameters);
  }
});

test('aggregation gives the same bits in every order of 64 updates of extreme scales', (t) => {
  const random = prng('aggregate');
  const length = CHUNK + 100;
  const base = randomParams(random, length, 0.2);
  const accepted = Array.from({ length: 64 }, (_, i) => {
    const final = base.map((value) => value - ((random.u32() - 2 ** 31) / 2 ** 31) * 2 ** -(i % 28));
    return { update: unwrap(decodeUpdate(encodeUpdate(base, final), length)), capacity: 1 + random.below(64) };
  });
  const expected = toHex(aggregate(base, accepted, DEFAULT_OUTER_STEP).modelRoot);
  for (let round = 0; round < 10; round++) {
    const shuffled = accepted
      .map((entry) => ({ entry, key: random.u32() }))
      .toSorted((a, b) => a.key - b.key)
      .map(({ entry }) => entry);
    t.is(toHex(aggregate(base, shuffled, DEFAULT_OUTER_STEP).modelRoot), expected);
  }
});

test('the sum is exact: equal to big-integer arithmetic at the bounds', (t) => {
  const length = 3;
  const values = Int8Array.of(127, -127, 126);
  const update = { codec: 1, parameters: length, shifts: Uint8Array.of(24), values } as const;
  const accepted = Array.from({ length: 64 }, () => ({ update, capacity: 64 }));
  const base = Float32Array.of(5, 5, 5);
  const { params, shares } = aggregate(base, accepted, {
    ...DEFAULT_OUTER_STEP,
    outerEtaNumerator: 3,
    outerEtaShift: 2,
  });
  t.deepEqual([shares[0]?.weight, shares[0]?.clipped], [65_536, 65_536]);
  t.deepEqual([...params], [5 - (127 / 64) * 0.75, 5 + (127 / 64) * 0.75, 5 - (126 / 64) * 0.75]);
});

test('one update at eta 1 moves the base by exactly its decoded values', (t) => {
  const random = prng('one update');
  const base = randomParams(random, 5_000, 0.1);
  const final = base.map((value) => value - ((random.u32() - 2 ** 31) / 2 ** 31) * 2 ** -8);
  const update = unwrap(decodeUpdate(encodeUpdate(base, final), base.length));
  const values = updateValues(update);
  const { params } = aggregate(base, [{ update, capacity: 3 }], DEFAULT_OUTER_STEP);
  t.deepEqual(
    params,
    base.map((value, i) => value - (values[i] as number)),
  );
  t.deepEqual(aggregate(base, [], DEFAULT_OUTER_STEP).params, base);
});

test('momentum from the last two models is the heavy ball of a velocity that nobody keeps', (t) => {
  const outer = { ...DEFAULT_OUTER_STEP, outerEtaNumerator: 3, outerEtaShift: 1 };
  const random = prng('heavy ball');
  const share = 192;
  let before: Float32Array = new Float32Array(40);
  let base = before;
  const velocity = new Float64Array(40);
  for (let round = 0; round < 6; round++) {
    // Whole multiples of 2^-8, so that no step of the oracle rounds.
    const final = base.map((value) => value - (random.below(63) - 31) / 256);
    const update = unwrap(decodeUpdate(encodeUpdate(base, final), 40));
    const next = aggregate(base, [{ update, capacity: 2 }], outer, { before, share }).params;
    for (const [i, move] of updateValues(update).entries()) {
      velocity[i] = (velocity[i] as number) * 0.75 + move * 1.5;
      t.is(next[i], (base[i] as number) - (velocity[i] as number));
    }
    [before, base] = [base, next];
  }
});

test('a momentum step rounds once, is the plain step at share 0, and without updates moves nothing', (t) => {
  const random = prng('momentum');
  const base = randomParams(random, 5_000, 0.1);
  const before = randomParams(random, 5_000, 0.1);
  const final = base.map((value) => value - ((random.u32() - 2 ** 31) / 2 ** 31) * 2 ** -8);
  const update = unwrap(decodeUpdate(encodeUpdate(base, final), base.length));
  const values = updateValues(update);
  const accepted = [{ update, capacity: 3 }];
  const { params } = aggregate(base, accepted, DEFAULT_OUTER_STEP, { before, share: 179 });
  t.deepEqual(
    params,
    base.map((value, i) => value - (values[i] as number) + (value - (before[i] as number)) * (179 / 256)),
  );
  const plain = aggregate(base, accepted, DEFAULT_OUTER_STEP).params;
  t.deepEqual(aggregate(base, accepted, DEFAULT_OUTER_STEP, { before, share: 0 }).params, plain);
  t.deepEqual(aggregate(base, accepted, DEFAULT_OUTER_STEP, { before: base, share: 179 }).params, plain);
  t.deepEqual(aggregate(base, [], DEFAULT_OUTER_STEP, { before, share: 179 }).params, base);
  t.throws(() => aggregate(base, accepted, DEFAULT_OUTER_STEP, { before, share: 256 }), { message: /momentum/ });
  t.throws(() => aggregate(base, accepted, DEFAULT_OUTER_STEP, { before: before.subarray(1), share: 1 }), {
    message: /another size/,
  });
});

test('an update many times the median norm is scaled to the limit', (t) => {
  const base = new Float32Array(100);
  const of = (size: number) => {
    const update = unwrap(decodeUpdate(encodeUpdate(base, new Float32Array(100).fill(-size)), 100));
    return { update, capacity: 1 };
  };
  const accepted = [of(2 ** -10), of(2 ** -10), of(2 ** -3)];
  t.is(updateNorm((accepted[0] as ReturnType<typeof of>).update), 10n * 2n ** 20n);
  const { params, shares } = aggregate(base, accepted, DEFAULT_OUTER_STEP);
  t.deepEqual(
    shares.map((share) => share.clipped / share.weight),
    [1, 1, 2 / 128],
  );
  t.is(params[0], Math.fround(-(2 ** -10 * (1 + 1 + 2)) / 3));
});

test('weights are capped at their share of the capped total', (t) => {
  t.deepEqual(cappedWeights([100, 100, 200], 5_000), [100, 100, 200]);
  t.deepEqual(cappedWeights([100, 100, 300], 5_000), [100, 100, 200]);
  t.deepEqual(cappedWeights([1_000, 10], 5_000), [10, 10]);
  t.deepEqual(cappedWeights([7], 5_000), [7]);
  t.deepEqual(cappedWeights([4, 9, 6], 1_000), [4, 4, 4]);
  t.deepEqual(cappedWeights([], 1_000), []);
  const random = prng('caps');
  for (let i = 0; i < 500; i++) {
    const capBps = 1_000 + random.below(4_001);
    const weights = Array.from({ length: 1 + random.below(30) }, () => 1_024 * (1 + random.below(64)));
    const capped = cappedWeights(weights, capBps);
    const total = capped.reduce((sum, weight) => sum + weight, 0);
    const most = Math.max(...capped);
    t.true(most * 10_000 <= total * capBps || most === Math.min(...capped));
    t.true(capped.every((weight, at) => weight > 0 && weight <= (weights[at] as number)));
  }
});
