// Checks generation: the same bits as training at every position however rows are batched, and the life of requests.

import test from 'ava';
import { present } from '../../base/check.ts';
import { FaultError } from '../../base/fault.ts';
import { prng } from '../../base/prng.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { SLOT_INPUT, buildDecodeProgram, fillDecodeConstants } from '../../trainer/decode-program.ts';
import {
  type GenerationEvent,
  type GenerationRequest,
  type Generator,
  createGenerator,
} from '../../trainer/generate.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import { buildLossProgram, fillConstants, parameterPlaces } from '../../trainer/train-program.ts';
import { TINY, seedOf } from './tiny-model.ts';

let executor: Executor;
test.before(async () => {
  executor = await createExecutor({ backend: 'wasm', threads: 1 });
});
test.after.always(() => executor?.close());

/** Weights large enough that the untrained model has opinions. */
function weights(name: string): Uint8Array {
  const bytes = initialWeights(TINY, seedOf(name));
  for (const { shape, offset, elements } of parameterPlaces(TINY)) {
    const values = new Float32Array(bytes.buffer, offset, elements);
    if (shape.length === 2) values.set(values.map((value) => value * 2));
  }
  return bytes;
}

const PARAMS = weights('generation');
const SEQUENCES = 3;
const LENGTH = 20;

function sequences(): number[][] {
  const random = prng('sequences');
  return Array.from({ length: SEQUENCES }, () => Array.from({ length: LENGTH }, () => random.below(TINY.vocab)));
}

/** Logits of every position as the training graph computes them. */
function trainingLogits(all: readonly number[][]): Float32Array {
  const shape = { batch: SEQUENCES, seq: LENGTH };
  const loaded = executor.load(buildLossProgram(TINY, shape, true));
  loaded.stateBytes().set(PARAMS);
  fillConstants(loaded, TINY, shape);
  loaded.view('tokens').set(all.flat());
  const outcome = loaded.run();
  const logits = (loaded.view('logits') as Float32Array).slice();
  loaded.close();
  if (!outcome.ok) throw new Error(outcome.reason);
  return logits;
}

type Row = readonly [sequence: number, position: number];

/** Runs decode programs over `batches` of rows and compares each row with the training graph, bit for bit. */
function compareBatches(
  batches: readonly (readonly Row[])[],
  expected: Float32Array,
  all: readonly number[][],
): number {
  const rows = Math.max(...batches.map((batch) => batch.length));
  const loaded = executor.load(buildDecodeProgram(TINY, { rows, slots: SEQUENCES }));
  loaded.stateBytes().set(PARAMS);
  fillDecodeConstants(loaded, TINY);
  let different = 0;
  for (const batch of batches) {
    for (let i = 0; i < rows; i++) {
      const [sequence, position] = batch[i] ?? [SEQUENCES, i];
      loaded.view('tokens')[i] = all[sequence]?.[position] ?? 0;
      loaded.view('positions')[i] = position;
      loaded.view(SLOT_INPUT)[i] = sequence;
    }
    if (!loaded.run().ok) throw new Error('decode failed');
    const logits = new Uint32Array(loaded.view('logits').slice().buffer);
    const bits = new Uint32Array(expected.buffer);
    for (const [i, [sequence, position]] of batch.entries()) {
      const row = sequence * LENGTH + position;
      for (let k = 0; k < TINY.vocab; k++) if (logits[i * TINY.vocab + k] !== bits[row * TINY.vocab + k]) different++;
    }
  }
  loaded.close();
  return different;
}

test.serial('prefill, one token at a time and any mixture give the bits of the training graph', (t) => {
  const all = sequences();
  const expected = trainingLogits(all);
  const every = Array.from({ length: SEQUENCES * LENGTH }, (_, i): Row => [Math.floor(i / LENGTH), i % LENGTH]);
  const whole = [0, 1, 2].map((s) => every.filter(([sequence]) => sequence === s));
  t.is(compareBatches(whole, expected, all), 0, 'prefill of whole sequences');
  t.is(
    compareBatches(
      every.map((row) => [row]),
      expected,
      all,
    ),
    0,
    'one token at a time',
  );
  const random = prng('mixture');
  const next = [0, 0, 0];
  const mixed: Row[][] = [];
  while (next.some((position) => position < LENGTH)) {
    const batch: Row[] = [];
    for (let s = 0; s < SEQUENCES; s++) {
      for (let n = random.below(4); n > 0 && (next[s] ?? 0) < LENGTH; n--) {
        batch.push([s, next[s] ?? 0]);
        next[s] = (next[s] ?? 0) + 1;
      }
    }
    if (batch.length > 0) mixed.push(batch);
  }
  t.is(compareBatches(mixed, expected, all), 0, 'mixed batches');
});

function makeGenerator(options: Readonly<{ slots?: number; rowSizes?: readonly number[] }> = {}): Generator {
  return createGenerator({ executor, config: TINY, params: PARAMS, slots: 4, rowSizes: [1, 4, 8], ...options });
}

async function collect(generator: Generator, request: GenerationRequest): Promise<GenerationEvent[]> {
  const started = generator.generate(request);
  if (!started.ok) throw new FaultError(started);
  const events: GenerationEvent[] = [];
  for await (const event of started.value) events.push(event);
  return events;
}

const tokensOf = (events: readonly GenerationEvent[]): number[] =>
  events.flatMap((event) => (event.kind === 'token' ? [event.token] : []));
const endOf = (events: readonly GenerationEvent[]) => events.find((event) => event.kind === 'end');

const GREEDY = { temperature: 0 };
const PROMPTS = Array.from({ length: 9 }, (_, i) => prng(`prompt ${i}`)).map((random) =>
  Array.from({ length: 1 + random.below(12) }, () => random.below(TINY.vocab)),
);

test.serial('a reply is the same alone and among others, with any number of slots and rows', async (t) => {
  const request = (i: number): GenerationRequest => ({
    prompt: present(PROMPTS[i], 'prompt'),
    maxTokens: 4 + i,
    sampling: { temperature: 1, seed: BigInt(i), topP: 0.9 },
  });
  const alone = makeGenerator({ slots: 1, rowSizes: [1] });
  const together = makeGenerator();
  const expected: GenerationEvent[][] = [];
  for (const i of PROMPTS.keys()) expected.push(await collect(alone, request(i)));
  const got = await Promise.all([...PROMPTS.keys()].map((i) => collect(together, request(i))));
  t.deepEqual(got, expected);
  t.true(new Set(expected.map((events) => tokensOf(events).join())).size > 5, 'replies differ between requests');
  alone.close();
  together.close();
});

test.serial('greedy replies follow the largest logit of the training graph', async (t) => {
  const generator = makeGenerator();
  const prompt = (sequences()[0] ?? []).slice(0, 5);
  const tokens = tokensOf(await collect(generator, { prompt, sampling: GREEDY, maxTokens: 3 }));
  const padded = [...prompt, ...tokens, ...Array<number>(LENGTH).fill(0)].slice(0, LENGTH);
  const logits = trainingLogits([padded, padded, padded]);
  for (const [i, token] of tokens.entries()) {
    const row = logits.subarray((prompt.length - 1 + i) * TINY.vocab, (prompt.length + i) * TINY.vocab);
    t.is(token, row.indexOf(Math.max(...row)));
  }
  generator.close();
});

test.serial('a reply ends at its limit, at the context, or before a stop token', async (t) => {
  const generator = makeGenerator();
  const prompt = present(PROMPTS[0], 'prompt');
  const full = await collect(generator, { prompt, sampling: GREEDY });
  t.deepEqual(endOf(full), {
    kind: 'end',
    reason: 'length',
    promptTokens: prompt.length,
    completionTokens: TINY.context - prompt.length,
    generation: 0,
  });
  const two = await collect(generator, { prompt, sampling: GREEDY, maxTokens: 2 });
  t.deepEqual(tokensOf(two), tokensOf(full).slice(0, 2));
  const stop = present(tokensOf(full)[4], 'fifth token');
  const stopped = await collect(generator, { prompt, sampling: GREEDY, stopTokens: [stop] });
  t.deepEqual(tokensOf(stopped), tokensOf(full).slice(0, tokensOf(full).indexOf(stop)));
  t.like(endOf(stopped), { reason: 'stop' });
  generator.close();
});

test.serial('an aborted request ends, leaves its slot and disturbs nobody', async (t) => {
  const generator = makeGenerator({ slots: 1, rowSizes: [4] });
  const prompt = present(PROMPTS[1], 'prompt');
  const expected = tokensOf(await collect(generator, { prompt, sampling: GREEDY }));
  const abort = new AbortController();
  const started = generator.generate({ prompt, sampling: GREEDY, signal: abort.signal });
  if (!started.ok) return t.fail(started.message);
  const next = collect(generator, { prompt, sampling: GREEDY });
  const events: GenerationEvent[] = [];
  for await (const event of started.value) {
    events.push(event);
    if (events.length === 3) abort.abort();
  }
  t.like(endOf(events), { reason: 'aborted' });
  t.true(tokensOf(events).length < expected.length);
  t.deepEqual(tokensOf(await next), expected);
  t.deepEqual(generator.load(), { running: 0, waiting: 0, slots: 1 });
  generator.close();
  return undefined;
});

test.serial('a consumer that stops iterating frees its slot', async (t) => {
  const generator = makeGenerator({ slots: 1, rowSizes: [1] });
  const prompt = present(PROMPTS[2], 'prompt');
  const started = generator.generate({ prompt, sampling: GREEDY });
  if (!started.ok) return t.fail(started.message);
  for await (const event of started.value) if (event.kind === 'token') break;
  t.true(tokensOf(await collect(generator, { prompt, sampling: GREEDY, maxTokens: 2 })).length === 2);
  generator.close();
  return undefined;
});

test.serial('a new model waits for running replies and answers later ones', async (t) => {
  const generator = makeGenerator();
  const prompt = present(PROMPTS[3], 'prompt');
  const before = collect(generator, { prompt, sampling: GREEDY });
  await new Promise((resolve) => setImmediate(resolve));
  const swapped = generator.setParams(weights('another'));
  const after = collect(generator, { prompt, sampling: GREEDY });
  await swapped;
  const fresh = createGenerator({ executor, config: TINY, params: weights('another') });
  t.deepEqual(tokensOf(await after), tokensOf(await collect(fresh, { prompt, sampling: GREEDY })));
  t.notDeepEqual(tokensOf(await after), tokensOf(await before));
  t.like(endOf(await before), { generation: 0 });
  t.like(endOf(await after), { generation: 1 });
  generator.close();
  fresh.close();
});

test.serial('what cannot be answered is refused by name', (t) => {
  const generator = makeGenerator();
  const refusals: readonly (readonly [GenerationRequest, string, string | undefined])[] = [
    [{ prompt: [] }, 'generation/request', 'prompt'],
    [{ prompt: [TINY.vocab] }, 'generation/request', 'prompt'],
    [{ prompt: [-1] }, 'generation/request', 'prompt'],
    [{ prompt: Array<number>(TINY.context).fill(1) }, 'context_length_exceeded', undefined],
    [{ prompt: [1], maxTokens: 0 }, 'generation/request', 'max_tokens'],
    [{ prompt: [1], stopTokens: Array<number>(65).fill(1) }, 'generation/request', 'stop'],
    [{ prompt: [1], sampling: { temperature: 3 } }, 'sampling', 'temperature'],
  ];
  for (const [request, code, field] of refusals) {
    const result = generator.generate(request);
    t.false(result.ok);
    if (!result.ok) t.deepEqual([result.code, result.fields.field], [code, field]);
  }
  generator.close();
  t.false(generator.generate({ prompt: [1] }).ok);
});

test.serial('a model without finite numbers fails its requests and says where', async (t) => {
  const broken = PARAMS.slice();
  new Float32Array(broken.buffer)[0] = Number.NaN;
  const generator = createGenerator({ executor, config: TINY, params: broken });
  await t.throwsAsync(collect(generator, { prompt: [0] }), { message: /instruction 0 \(embed\)/ });
  t.is(generator.load().running, 0);
  generator.close();
});
