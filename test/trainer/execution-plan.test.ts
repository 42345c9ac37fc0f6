// Execution plans: micro-batches in any number at once and values computed twice leave every bit as the canonical program
// does, on every backend; what they save; what is refused before anything is allocated.

import { constants } from 'node:buffer';
import test from 'ava';
import { toHex, utf8 } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { sha256 } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { ProgramBuilder, type TensorProgram, programHash } from '../../engine/program.ts';
import { meaningDifference } from '../../engine/program-meaning.ts';
import { mostSegments, recompute } from '../../engine/recompute.ts';
import { type ExecutionPlan, chooseMicroBatch, choosePlan, planOf } from '../../trainer/execution-plan.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import type { MemoryHost } from '../../trainer/memory.ts';
import type { BatchShape, ModelConfig } from '../../trainer/model.ts';
import { preset } from '../../trainer/presets.ts';
import { DEFAULT_OPTIMIZER, hyperParameters, roundingSeed } from '../../trainer/schedule.ts';
import { createStepRunner, floats, startFromBase } from '../../trainer/step-runner.ts';
import { buildTrainProgram, fillConstants, parameterPlaces } from '../../trainer/train-program.ts';
import { fastBackends } from '../engine/backends.ts';

const CONFIG: ModelConfig = {
  vocab: 48,
  dim: 32,
  layers: 3,
  heads: 4,
  kvHeads: 2,
  ffn: 48,
  context: 17,
  ropeTheta: 10_000,
};
const SHAPE: BatchShape = { batch: 6, seq: 17, microBatch: 2 };
const SCHEDULE = { learningRateNano: 3_000_000, warmupSteps: 2, decaySteps: 0, floorBps: 1000 };
const KEY = sha256(utf8('execution plan'));

const scalar = await createExecutor({ backend: 'scalar' });
const backends = await fastBackends();
test.after.always(async () => {
  for (const backend of backends) await backend.close();
});

function sequencesOf(step: number, { batch, seq }: BatchShape): Uint16Array[] {
  const random = prng(`sequences ${step}`);
  return Array.from({ length: batch }, () => Uint16Array.from({ length: seq + 1 }, () => random.below(CONFIG.vocab)));
}

/** Root of the whole state, root of the gradients and the loss, after each step. */
function train(executor: Executor, shape: BatchShape, steps: number, plan: ExecutionPlan): string[] {
  const runner = createStepRunner(executor, CONFIG, shape, plan);
  startFromBase(runner, initialWeights(CONFIG, KEY));
  const roots: string[] = [];
  for (let step = 0; step < steps; step++) {
    const hyper = hyperParameters(SCHEDULE, DEFAULT_OPTIMIZER, 0, step);
    const outcome = runner.step({ sequences: sequencesOf(step, shape), seed: roundingSeed(KEY, 0, step), hyper });
    if (!outcome.ok) throw new Error(`${executor.description}: ${outcome.op} ${outcome.reason}`);
    roots.push(`${toHex(stateRoot(runner.state))} ${toHex(stateRoot(runner.gradients))} ${runner.loss()}`);
  }
  runner.close();
  return roots;
}

/** Root of the state after one step of the scalar oracle, which keeps every tensor apart. */
function oracleRoot(plan: ExecutionPlan): string {
  const loaded = scalar.load(plan.canonical);
  loaded.stateBytes().set(initialWeights(CONFIG, KEY));
  fillConstants(loaded, CONFIG, SHAPE);
  const sequences = sequencesOf(0, SHAPE);
  for (const [row, sequence] of sequences.entries()) {
    const at = 17 * (row % 2);
    loaded.view(`tokens.${row >> 1}`).set(sequence.subarray(0, 17), at);
    loaded.view(`targets.${row >> 1}`).set(sequence.subarray(1), at);
  }
  loaded.view('seed').set(roundingSeed(KEY, 0, 0));
  loaded.view('hyper').set(hyperParameters(SCHEDULE, DEFAULT_OPTIMIZER, 0, 0));
  check(loaded.run().ok, 'the oracle runs the step');
  return toHex(stateRoot(loaded.stateBytes()));
}

const CHOICES = [
  { atOnce: 1, segments: 1 },
  { atOnce: 3, segments: 1 },
  { atOnce: 2, segments: 2 },
  { atOnce: 1, segments: 3 },
  { atOnce: 3, segments: 99 },
];

test('whole training runs end in one state, whatever the plan, the backend, the level and the number of threads', (t) => {
  const plain = planOf(CONFIG, SHAPE, present(CHOICES[0], 'plain'));
  const wanted = train(present(backends[0], 'backend'), SHAPE, 2, plain);
  t.is(new Set(wanted).size, 2);
  t.is(wanted[0]?.split(' ')[0], oracleRoot(plain), 'the oracle, one step of the canonical program');
  for (const [turn, choice] of CHOICES.entries()) {
    const plan = planOf(CONFIG, SHAPE, choice);
    for (const backend of backends.filter((_, i) => (i + turn) % 2 === 0))
      t.deepEqual(train(backend, SHAPE, 2, plan), wanted, `${plan.note} on ${backend.description}`);
  }
});

test('20 steps by the most different plans end in one state, in both profiles', (t) => {
  const backend = present(backends.at(-1), 'backend');
  for (const shape of [SHAPE, { ...SHAPE, profile: 'bf16x' as const }]) {
    const [plain, last] = [CHOICES[0], CHOICES.at(-1)].map((c) => planOf(CONFIG, shape, present(c, 'choice')));
    t.deepEqual(train(backend, shape, 20, present(last, 'plan')), train(backend, shape, 20, present(plain, 'plan')));
  }
});

test('values computed twice leave the step without micro-batches as it was', (t) => {
  const shape = { batch: 2, seq: 17 };
  const backend = present(backends[0], 'backend');
  const wanted = train(backend, shape, 3, planOf(CONFIG, shape, { atOnce: 1, segments: 1 }));
  for (let segments = 2; segments <= mostSegments(buildTrainProgram(CONFIG, shape)); segments++)
    t.deepEqual(train(backend, shape, 3, planOf(CONFIG, shape, { atOnce: 1, segments })), wanted, `${segments}`);
});

test('a step without micro-batches is the program it always was', (t) => {
  const [plain, whole] = [
    { batch: 2, seq: 17 },
    { batch: 2, seq: 17, microBatch: 2 },
  ].map((shape) => toHex(programHash(buildTrainProgram(CONFIG, shape))));
  t.is(plain, whole);
  t.not(plain, toHex(programHash(buildTrainProgram(CONFIG, { batch: 2, seq: 17, microBatch: 1 }))));
});

test('accumulated gradients are the mean of the micro-batches taken alone, added from the first on', (t) => {
  const executor = present(backends[0], 'backend');
  const whole = createStepRunner(executor, CONFIG, SHAPE);
  startFromBase(whole, initialWeights(CONFIG, KEY));
  const sequences = sequencesOf(0, SHAPE);
  const hyper = hyperParameters(SCHEDULE, DEFAULT_OPTIMIZER, 0, 0);
  const seed = roundingSeed(KEY, 0, 0);
  t.deepEqual(whole.step({ sequences, seed, hyper }), { ok: true });
  const alone: Float32Array[] = [];
  const losses: number[] = [];
  for (let part = 0; part < 3; part++) {
    const program = aloneProgram(part);
    const loaded = executor.load(program);
    loaded.stateBytes().set(initialWeights(CONFIG, KEY));
    fillConstants(loaded, CONFIG, SHAPE);
    sequences.slice(2 * part, 2 * part + 2).forEach((sequence, row) => {
      loaded.view('tokens').set(sequence.subarray(0, 17), 17 * row);
      loaded.view('targets').set(sequence.subarray(1), 17 * row);
    });
    loaded.view('seed').set(seed);
    loaded.view('hyper').set(hyper);
    t.deepEqual(loaded.run(), { ok: true });
    const gradients = program.tensors.filter(({ name }) => name.startsWith('grad.'));
    alone.push(Float32Array.from(gradients.flatMap(({ name }) => [...loaded.view(name)])));
    losses.push(present(loaded.view('loss')[0], 'loss'));
    loaded.close();
  }
  const mean = (values: readonly number[]): number =>
    Math.fround(values.reduce((sum, x) => Math.fround(sum + x)) * Math.fround(1 / 3));
  t.is(whole.loss(), mean(losses));
  const got = gradientValues(whole.gradients);
  t.is(got.length, present(alone[0], 'gradients').length);
  t.true(got.every((x, i) => Object.is(x + 0, mean(alone.map((values) => values[i] ?? Number.NaN)) + 0)));
  t.false(got.every((x, i) => x === alone[0]?.[i]));
  whole.close();
});

/** The program of one micro-batch with the rounding keys it has as part `part` of a step. */
function aloneProgram(part: number): TensorProgram {
  const micro = buildTrainProgram(CONFIG, { batch: SHAPE.microBatch ?? SHAPE.batch, seq: SHAPE.seq });
  const builder = new ProgramBuilder();
  for (const { name, dtype, shape, role } of micro.tensors) builder.tensor(name, dtype, shape, role);
  const keys = 1 + Math.max(...micro.instructions.map(({ attrs }) => attrs.tensorId ?? 0));
  for (const { op, inputs, outputs, attrs } of micro.instructions) {
    const { tensorId } = attrs;
    builder.emit(op, inputs, outputs, tensorId === undefined ? attrs : { ...attrs, tensorId: tensorId + part * keys });
  }
  return builder.finish('alone');
}

/** Values of gradients without the gaps between tensors. */
function gradientValues(bytes: Uint8Array): number[] {
  const all = floats(bytes.slice());
  return parameterPlaces(CONFIG).flatMap(({ offset, elements }) => [
    ...all.subarray(offset / 4, offset / 4 + elements),
  ]);
}

test('a plan with another order of a sum, another key, another factor or another read is told apart', (t) => {
  const canonical = buildTrainProgram(CONFIG, SHAPE);
  const swapped = canonical.instructions.findIndex(({ op }) => op === 'add');
  const changes: readonly [string, (at: number) => Partial<TensorProgram['instructions'][number]> | null][] = [
    ['order', (at) => (at === swapped ? { inputs: canonical.instructions[at]?.inputs.toReversed() ?? [] } : null)],
    ['key', (at) => (canonical.instructions[at]?.op === 'linearGradW' ? { attrs: { tensorId: 0 } } : null)],
    ['factor', (at) => (canonical.instructions[at]?.op === 'scale' ? { attrs: { factor: 0.5 } } : null)],
  ];
  for (const [name, change] of changes) {
    const instructions = canonical.instructions.map((instruction, at) => ({ ...instruction, ...change(at) }));
    t.not(meaningDifference(canonical, { ...canonical, instructions }), null, name);
  }
  const fewer = { ...canonical, instructions: canonical.instructions.slice(0, -1) };
  t.regex(meaningDifference(canonical, fewer) ?? '', /^state .* has another value/);
  t.is(meaningDifference(canonical, canonical), null);
});

test('computing values twice takes less memory, and the plan is the first that fits the limit', (t) => {
  const config = preset('3.4m', 1024);
  const shape = { batch: 8, seq: 128 };
  const host = (limitBytes: number): MemoryHost => ({ limitBytes, limitSource: 'test', threads: 1, wasm: false });
  const roomy = choosePlan(config, shape, host(2 ** 40));
  t.true(roomy.ok && roomy.value.choice.segments === 1);
  if (!roomy.ok) return;
  const { need, canonical } = roomy.value;
  const tight = choosePlan(config, shape, host(need.total - 1));
  t.true(tight.ok && tight.value.choice.segments > 1 && tight.value.need.work < need.work);
  const smallest = recompute(canonical, mostSegments(canonical));
  t.true(smallest.arenaBytes - smallest.stateBytes < 0.75 * (canonical.arenaBytes - canonical.stateBytes));
  const refused = choosePlan(config, shape, host(64 << 20));
  t.false(refused.ok);
  if (!refused.ok)
    t.regex(
      refused.message,
      /^training 8 sequences of 128 tokens a step needs \d+ MiB of memory \(state .*\), limit 64 MiB \(test\)$/,
    );
});

test('the micro-batch of a new network is the greatest divisor of the batch that fits', (t) => {
  const config = preset('0.3m', 512);
  const host = (limitBytes: number): MemoryHost => ({ limitBytes, limitSource: 'test', threads: 1, wasm: false });
  t.deepEqual(chooseMicroBatch(config, { batch: 12, seq: 128 }, host(2 ** 40)), { ok: true, value: 12 });
  const one = planOf(config, { batch: 12, seq: 128, microBatch: 4 }, { atOnce: 1, segments: 99 });
  const chosen = chooseMicroBatch(config, { batch: 12, seq: 128 }, host(one.need.total));
  t.true(chosen.ok && chosen.value < 12 && chosen.value >= 4);
  const none = chooseMicroBatch(config, { batch: 12, seq: 128 }, host(1 << 20));
  t.true(!none.ok && none.code === 'engine/memory');
});

test('a plan that WebAssembly cannot address is refused by name', (t) => {
  const config = preset('350m', 1024);
  const refused = choosePlan(
    config,
    { batch: 1, seq: 2048 },
    { limitBytes: 2 ** 50, limitSource: 'test', threads: 1, wasm: true },
  );
  t.true(!refused.ok && /of WebAssembly memory, which ends at 4096 MiB/.test(refused.message));
});

test('a state longer than one piece of memory may be is refused by name, where this Node has such a bound', (t) => {
  const host = { limitBytes: 2 ** 50, limitSource: 'test', threads: 1, wasm: false };
  const plan = choosePlan(preset('1b', 1024), { batch: 1, seq: 128 }, host);
  if (constants.MAX_LENGTH > 2 ** 34) t.true(plan.ok);
  else
    t.true(!plan.ok && /needs \d+ MiB in one piece, which ends at \d+ MiB in this version of Node/.test(plan.message));
});
