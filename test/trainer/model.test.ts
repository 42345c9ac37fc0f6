// Checks the model against TensorFlow.js' own CPU backend: each op, the loss, every gradient, and a training run.

import test from 'ava';
import { present } from '../../base/check.ts';
import { prng } from '../../base/prng.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { programHash } from '../../engine/program.ts';
import * as ops from '../../engine/trace/ops.ts';
import { type TfTensor, type TfTensor1D, type TfTensor2D, tfjs } from '../../engine/trace/tfjs.ts';
import { traceProgram } from '../../engine/trace/tracer.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import { checkModelConfig, parameterCount, parameters } from '../../trainer/model.ts';
import { PRESET_NAMES, preset, presetFor } from '../../trainer/presets.ts';
import {
  buildLossProgram,
  buildTrainProgram,
  fillConstants,
  gradientBytes,
  gradientNames,
  parameterBytes,
  parameterPlaces,
} from '../../trainer/train-program.ts';
import { createFloatAdam, floatLossAndGradients, useFloatBackend } from './float-oracle.ts';
import { SHAPE, TINY, distance, feed, seedOf, textBatch } from './tiny-model.ts';

let executor: Executor;
const hashBefore = Buffer.from(programHash(buildTrainProgram(TINY, SHAPE))).toString('hex');

test.before(async () => {
  executor = await createExecutor({ backend: 'wasm', threads: 1 });
  await useFloatBackend();
});
test.after.always(() => executor?.close());

type OpCase = Readonly<{
  name: string;
  shapes: Readonly<Record<string, readonly number[]>>;
  /** Logits-like result of the named f32 tensors. */
  apply: (tensors: Readonly<Record<string, TfTensor>>, ids: TfTensor1D) => TfTensor2D;
  /** Bound on the relative L2 error of loss and gradients. */
  bound: number;
}>;

const ROWS = 12;
const as2 = (tensor: TfTensor | undefined): TfTensor2D => present(tensor, 'operand') as TfTensor2D;

const OP_CASES: readonly OpCase[] = [
  { name: 'crossEntropy', shapes: { x: [ROWS, 24] }, apply: ({ x }) => as2(x), bound: 1e-5 },
  { name: 'embed', shapes: { table: [ROWS, 24] }, apply: ({ table }, ids) => ops.embed(as2(table), ids), bound: 1e-5 },
  {
    name: 'rmsNorm',
    shapes: { x: [ROWS, 24], gain: [24] },
    apply: ({ x, gain }) => ops.rmsNorm(as2(x), present(gain, 'gain') as TfTensor1D, 1e-5),
    bound: 1e-5,
  },
  {
    name: 'swiglu',
    shapes: { g: [ROWS, 24], u: [ROWS, 24] },
    apply: ({ g, u }) => ops.swiglu(as2(g), as2(u)),
    bound: 1e-5,
  },
  {
    name: 'rope',
    shapes: { x: [ROWS, 24], table: [ROWS, 8] },
    apply: ({ x, table }, ids) => ops.rope(as2(x), as2(table), ids, 3),
    bound: 1e-5,
  },
  {
    name: 'attention (operands in bf16)',
    shapes: { q: [ROWS, 24], k: [ROWS, 12], v: [ROWS, 12] },
    apply: ({ q, k, v }) => ops.attention(as2(q), as2(k), as2(v), { batch: 2, seq: 6, heads: 4, kvHeads: 2 }),
    bound: 1e-2,
  },
  {
    name: 'linear (operands in int8)',
    shapes: { x: [ROWS, 40], w: [40, 24] },
    apply: ({ x, w }) => ops.linear(as2(x), as2(w)),
    bound: 4e-2,
  },
];

for (const { name, shapes, apply, bound } of OP_CASES) {
  test.serial(`${name}: value and gradients agree with TensorFlow.js within ${bound}`, (t) => {
    const tf = tfjs();
    const names = Object.keys(shapes).filter((key) => !(name === 'rope' && key === 'table'));
    const random = prng(name);
    const values = Object.entries(shapes).map(([key, shape]) => {
      const size = shape.reduce((product, length) => product * length, 1);
      return [key, Float32Array.from({ length: size }, () => random.below(4001) / 1000 - 2)] as const;
    });
    const ids = Array.from({ length: ROWS }, () => random.below(ROWS));
    const targets = Array.from({ length: ROWS }, (_, row) => (row === 3 ? -1 : random.below(24)));

    type Loss = (tensors: Readonly<Record<string, TfTensor>>, i: TfTensor1D, y: TfTensor1D) => TfTensor;
    const lossOf: Loss = (tensors, i, y) => ops.crossEntropy(apply(tensors, i), y);
    type Make = (key: string, shape: readonly number[]) => TfTensor;
    const gradientsOf = (make: Make, i: TfTensor1D, y: TfTensor1D) => {
      const all = Object.fromEntries(Object.entries(shapes).map(([key, shape]) => [key, make(key, shape)]));
      const vary = (...varied: TfTensor[]) =>
        lossOf({ ...all, ...Object.fromEntries(names.map((key, k) => [key, varied[k] as TfTensor])) }, i, y);
      return tf.valueAndGrads(vary as Parameters<typeof tf.valueAndGrads>[0])(names.map((key) => all[key] as TfTensor));
    };

    const program = traceProgram('op', (tracer) => {
      const i = tracer.input<TfTensor1D>('ids', [ROWS], 'i32');
      const y = tracer.input<TfTensor1D>('targets', [ROWS], 'i32');
      const { value, grads } = gradientsOf((key, shape) => tracer.input(key, shape, 'f32'), i, y);
      tracer.output('loss', value);
      grads.forEach((grad, k) => {
        tracer.output(`grad.${names[k]}`, grad);
      });
    });
    const loaded = executor.load(program);
    for (const [key, data] of values) loaded.view(key).set(data);
    loaded.view('ids').set(ids);
    loaded.view('targets').set(targets);
    t.deepEqual(loaded.run(), { ok: true });

    const data = new Map(values);
    const reference = tf.tidy(() => {
      const make: Make = (key, shape) => tf.tensor(present(data.get(key), key), [...shape]);
      const result = gradientsOf(make, tf.tensor1d(ids, 'int32'), tf.tensor1d(targets, 'int32'));
      return [result.value, ...result.grads].map((tensor) => tensor.dataSync() as Float32Array);
    });
    for (const [k, output] of ['loss', ...names.map((key) => `grad.${key}`)].entries()) {
      const { error, cosine } = distance(loaded.view(output), present(reference[k], output));
      t.log(`${output}: relative error ${error.toExponential(2)}, cosine ${cosine.toFixed(7)}`);
      t.true(error <= bound, output);
    }
    loaded.close();
  });
}

test.serial('the program does not depend on whether the full TensorFlow.js package is loaded', (t) => {
  t.is(Buffer.from(programHash(buildTrainProgram(TINY, SHAPE))).toString('hex'), hashBefore);
});

test.serial('loss and every gradient of the model agree with TensorFlow.js up to the noise of int8', (t) => {
  const program = buildTrainProgram(TINY, SHAPE);
  const loaded = executor.load(program);
  const params = initialWeights(TINY, seedOf('weights'));
  const batch = textBatch('gradients', SHAPE);
  loaded.stateBytes().set(params);
  fillConstants(loaded, TINY, SHAPE);
  feed(loaded, batch);
  loaded.view('seed').set([1, 2]);
  loaded.view('hyper').set([0, 0.9, 0.95, 1e-8, 0, 0.1, 0.05, 1]);
  t.deepEqual(loaded.run(), { ok: true });
  const reference = floatLossAndGradients(TINY, SHAPE, params, batch);
  const loss = present(loaded.view('loss')[0], 'loss');
  t.log(`loss ${loss} against ${reference.loss}`);
  t.true(Math.abs(loss - reference.loss) < 0.002);
  for (const [i, name] of gradientNames(TINY).entries()) {
    const { error, cosine } = distance(loaded.view(name), present(reference.gradients[i], name));
    t.log(`${name}: relative error ${error.toFixed(4)}, cosine ${cosine.toFixed(5)}`);
    t.true(error < 0.1 && cosine > 0.995, name);
  }
  t.is(gradientBytes(program, loaded, TINY).length, parameterBytes(TINY));
  loaded.close();
});

const HYPER = { lr: 3e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, clip: 1 };

test.serial('sixty steps lower the loss as the float model does', (t) => {
  const params = initialWeights(TINY, seedOf('weights'));
  const floatParams = params.slice();
  const adam = createFloatAdam(TINY, floatParams, HYPER);
  const loaded = executor.load(buildTrainProgram(TINY, SHAPE));
  loaded.stateBytes().set(params);
  fillConstants(loaded, TINY, SHAPE);
  const { lr, beta1, beta2, eps, decay, clip } = HYPER;
  let [beta1Power, beta2Power] = [1, 1];
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let step = 0; step < 60; step++) {
    beta1Power *= beta1;
    beta2Power *= beta2;
    const batch = textBatch(`step ${step}`, SHAPE);
    feed(loaded, batch);
    loaded.view('seed').set([7, step]);
    loaded.view('hyper').set([lr, beta1, beta2, eps, decay, 1 - beta1Power, 1 - beta2Power, clip]);
    t.deepEqual(loaded.run(), { ok: true });
    ours.push(present(loaded.view('loss')[0], 'loss'));
    const reference = floatLossAndGradients(TINY, SHAPE, floatParams, batch);
    adam(reference.gradients);
    theirs.push(reference.loss);
  }
  const mean = (losses: number[], from: number): number =>
    losses.slice(from, from + 10).reduce((sum, loss) => sum + loss, 0) / 10;
  for (const from of [0, 10, 20, 30, 40, 50]) {
    t.log(
      `steps ${from}-${from + 9}: ${mean(ours, from).toFixed(4)} against ${mean(theirs, from).toFixed(4)} in float`,
    );
    t.true(Math.abs(mean(ours, from) - mean(theirs, from)) < 0.05, `steps from ${from}`);
  }
  t.true(mean(ours, 50) < mean(ours, 0) - 1);
  loaded.close();
});

test.serial('the same step gives the same bits again, and another seed gives others', (t) => {
  const run = (seed: number): Buffer => {
    const loaded = executor.load(buildTrainProgram(TINY, SHAPE));
    loaded.stateBytes().set(initialWeights(TINY, seedOf('weights')));
    fillConstants(loaded, TINY, SHAPE);
    feed(loaded, textBatch('again', SHAPE));
    loaded.view('seed').set([seed, 0]);
    loaded.view('hyper').set([1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 1]);
    t.deepEqual(loaded.run(), { ok: true });
    const bytes = Buffer.from(loaded.stateBytes().slice());
    loaded.close();
    return bytes;
  };
  t.deepEqual(run(1), run(1));
  t.notDeepEqual(run(1), run(2));
});

test('a loss program reads the parameters of a training program as they lie', (t) => {
  const program = buildTrainProgram(TINY, SHAPE);
  const loss = buildLossProgram(TINY, SHAPE);
  t.is(loss.stateBytes, parameterBytes(TINY));
  t.is(program.stateBytes, 3 * parameterBytes(TINY));
  for (const { name, offset } of parameterPlaces(TINY)) {
    for (const { tensors } of [program, loss]) t.is(tensors.find((tensor) => tensor.name === name)?.offset, offset);
  }
});

test('initial weights depend on the seed, on nothing else, and have the spread asked for', (t) => {
  const bytes = initialWeights(TINY, seedOf('a'));
  t.deepEqual(initialWeights(TINY, seedOf('a')), bytes);
  t.notDeepEqual(initialWeights(TINY, seedOf('b')), bytes);
  const config = preset('1m', 1024);
  const params = initialWeights(config, seedOf('a'));
  for (const { name, shape, offset, elements } of parameterPlaces(config)) {
    const values = new Float32Array(params.buffer, offset, elements);
    const kind = parameters(config).find((parameter) => parameter.name === name)?.kind;
    if (kind === 'gain') {
      t.true(values.every((value) => value === 1));
      continue;
    }
    const mean = values.reduce((sum, value) => sum + value, 0) / elements;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / elements);
    const fan = 1 / Math.sqrt(present(shape[0], 'rows in'));
    const wanted = kind === 'embedding' ? 0.1 : kind === 'residual' ? fan / Math.sqrt(2 * config.layers) : fan;
    t.true(Math.abs(mean) < 0.03 * wanted && Math.abs(spread / wanted - 1) < 0.05, name);
  }
});

test('presets have the sizes of their names, and the nearest is chosen aloud', (t) => {
  const sizes: Readonly<Record<string, number>> = { '0.3m': 3.3e5, '3.4m': 3.43e6, '124m': 1.24e8, '1b': 1e9 };
  for (const name of PRESET_NAMES) {
    const config = preset(name, 1024);
    t.true(checkModelConfig(config).ok, name);
    const wanted = sizes[name];
    const count = parameterCount(config);
    t.log(`${name}: ${count} parameters`);
    if (wanted !== undefined) t.true(Math.abs(count / wanted - 1) < 0.05, `${name}: ${count}`);
  }
  t.is(parameterCount(preset('3.4m', 1024)), 3_426_560);
  const choice = presetFor(1_000_000_000, 1024);
  t.is(choice.name, '1b');
  t.regex(choice.note, /model_size 1000000000: taking preset 1b with \d+ parameters/);
  t.is(presetFor(1, 1024).name, '0.3m');
  t.is(presetFor(25_000_000, 1024).name, '30m');
});

test('configurations that do not fit together are refused by the field', (t) => {
  const wrong = [
    { vocab: 1 },
    { dim: 33 },
    { heads: 3 },
    { kvHeads: 3 },
    { layers: 0 },
    { context: 1e9 },
    { ffn: 1.5 },
  ];
  for (const change of wrong) {
    const result = checkModelConfig({ ...TINY, ...change });
    t.false(result.ok, JSON.stringify(change));
  }
});
