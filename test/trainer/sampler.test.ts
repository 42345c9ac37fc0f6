// Checks fixed arithmetic against the exact values, and the sampler's settings one by one.

import test from 'ava';
import { sha256 } from '../../base/hash.ts';
import { toHex, utf8 } from '../../base/bytes.ts';
import { prng } from '../../base/prng.ts';
import { fixedExp, fixedLog } from '../../trainer/fixed-math.ts';
import { DEFAULT_SAMPLING, type Sampling, sampleToken, samplingOf } from '../../trainer/sampler.ts';

const NO_COUNTS: ReadonlyMap<number, number> = new Map();

function logitsOf(seed: string, size = 64): Float32Array {
  const random = prng(seed);
  return Float32Array.from({ length: size }, () => random.below(8000) / 1000 - 4);
}

function sampling(given: Partial<Sampling>): Sampling {
  return { ...DEFAULT_SAMPLING, ...given };
}

test('exponential and logarithm are right to a few parts in 1e15', (t) => {
  t.is(fixedExp(0), 1);
  t.is(fixedLog(1), 0);
  t.is(fixedExp(-1000), 0);
  const close = (value: number, exact: number) => Math.abs(value - exact) <= 4e-16 * Math.abs(exact);
  t.true(close(fixedExp(1), Math.E));
  t.true(close(fixedExp(-20), 2.061153622438558e-9));
  t.true(close(fixedLog(2), Math.LN2));
  t.true(close(fixedLog(1024), 6.931471805599453));
  const random = prng('exp');
  for (let i = 0; i < 1000; i++) {
    const x = random.below(1_200_000) / 1000 - 600;
    t.true(Math.abs(fixedLog(fixedExp(x)) - x) <= 1e-12, `log(exp(${x}))`);
  }
});

test('temperature 0 takes the largest logit, the lower token of a tie', (t) => {
  t.is(sampleToken(Float32Array.of(1, 5, 5, 2), sampling({ temperature: 0 }), NO_COUNTS, 0).token, 1);
});

test('draws follow the distribution', (t) => {
  const logits = Float32Array.of(0, Math.LN2, 2 * Math.LN2);
  const counts = [0, 0, 0];
  for (let i = 0; i < 7000; i++) {
    const { token } = sampleToken(logits, sampling({ seed: 9n }), NO_COUNTS, i);
    counts[token] = (counts[token] ?? 0) + 1;
  }
  t.log(`expected 1000, 2000, 4000: ${counts}`);
  t.true([1000, 2000, 4000].every((wanted, token) => Math.abs((counts[token] ?? 0) - wanted) < 150));
});

test('log probabilities sum to one and belong to the model, not to temperature or penalties', (t) => {
  const logits = logitsOf('probabilities', 20);
  const hot = sampleToken(
    logits,
    sampling({ temperature: 2, topLogprobs: 20, presencePenalty: 2 }),
    new Map([[3, 5]]),
    0,
  );
  const sum = hot.top.reduce((total, { logprob }) => total + fixedExp(logprob), 0);
  t.true(Math.abs(sum - 1) < 1e-12);
  t.deepEqual(hot.top, sampleToken(logits, sampling({ temperature: 0, topLogprobs: 20 }), NO_COUNTS, 0).top);
  t.is(hot.top.find(({ token }) => token === hot.token)?.logprob, hot.logprob);
});

test('top_k and top_p leave only the likely tokens', (t) => {
  const logits = logitsOf('narrow');
  const best = new Set(sampleToken(logits, sampling({ topLogprobs: 3 }), NO_COUNTS, 0).top.map(({ token }) => token));
  for (let i = 0; i < 300; i++) {
    t.true(best.has(sampleToken(logits, sampling({ topK: 3, temperature: 2 }), NO_COUNTS, i).token));
  }
  const sharp = Float32Array.of(0, 10, 9, 0);
  for (let i = 0; i < 300; i++) t.is(sampleToken(sharp, sampling({ topP: 0.5 }), NO_COUNTS, i).token, 1);
  t.is(sampleToken(sharp, sampling({ topP: 0 }), NO_COUNTS, 0).token, 1);
});

test('biases and penalties move the choice', (t) => {
  const logits = Float32Array.of(1, 2, 3);
  const greedy = { temperature: 0 };
  t.is(sampleToken(logits, sampling({ ...greedy, logitBias: new Map([[0, 10]]) }), NO_COUNTS, 0).token, 0);
  t.is(sampleToken(logits, sampling({ ...greedy, logitBias: new Map([[2, -100]]) }), NO_COUNTS, 0).token, 1);
  t.is(sampleToken(logits, sampling({ ...greedy, presencePenalty: 1.5 }), new Map([[2, 1]]), 0).token, 1);
  t.is(sampleToken(logits, sampling({ ...greedy, frequencyPenalty: 0.5 }), new Map([[2, 3]]), 0).token, 1);
});

test('equal seeds give equal tokens for ever: a change of any bit of the sampler shows here', (t) => {
  const drawn: number[] = [];
  for (let i = 0; i < 500; i++) {
    drawn.push(sampleToken(logitsOf(`vector ${i % 10}`), sampling({ seed: 42n, topP: 0.95 }), NO_COUNTS, i).token);
  }
  t.is(toHex(sha256(utf8(drawn.join()))), '0x523a324ba44a64c6f77943bc0d8db2fbabf0387607bbc00cb2f0dfb18dce60a0');
});

test('settings out of range are refused by the name the API gives them', (t) => {
  const wrong: readonly (readonly [Partial<Sampling>, string])[] = [
    [{ temperature: 2.1 }, 'temperature'],
    [{ temperature: Number.NaN }, 'temperature'],
    [{ topP: -0.1 }, 'top_p'],
    [{ topK: 1.5 }, 'top_k'],
    [{ presencePenalty: 3 }, 'presence_penalty'],
    [{ frequencyPenalty: -3 }, 'frequency_penalty'],
    [{ topLogprobs: 21 }, 'top_logprobs'],
    [{ seed: -1n }, 'seed'],
    [{ logitBias: new Map([[1, 101]]) }, 'logit_bias'],
    [{ logitBias: new Map(Array.from({ length: 1025 }, (_, i) => [i, 0])) }, 'logit_bias'],
  ];
  for (const [given, field] of wrong) {
    const result = samplingOf(given);
    t.false(result.ok, field);
    if (!result.ok) t.is(result.fields.field, field);
  }
  t.deepEqual(samplingOf({ temperature: 0.5 }), { ok: true, value: sampling({ temperature: 0.5 }) });
});
