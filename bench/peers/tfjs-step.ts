// The TensorFlow.js peer of bench/engine.ts: the same model in f32 on the wasm backend with Adam, one thread (its threads
// do not start in Node). Requests and answers as in torch-step.py.

import { createInterface } from 'node:readline';
import type { NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';
import { present } from '../../base/check.ts';
import * as ops from '../../engine/trace/ops.ts';
import { type TfTensor, type TfTensor1D, type TfTensor2D, tfjs } from '../../engine/trace/tfjs.ts';
import { ropeTable } from '../../engine/rope-table.ts';
import { type ModelConfig, attendSequences, forward, headWidth, parameters } from '../../trainer/model.ts';
import { noTimes, time } from '../timing.ts';

/** The backend has no kernel for the gradient of gather; this plain loop takes under a hundredth of a step. */
function addSegmentSum(): void {
  const tf = tfjs();
  tf.registerKernel({
    kernelName: 'UnsortedSegmentSum',
    backendName: 'wasm',
    kernelFunc(params: { inputs: NamedTensorInfoMap; attrs?: NamedAttrMap }): TensorInfo {
      const { x, segmentIds } = params.inputs as { x: TfTensor; segmentIds: TfTensor };
      const count = (params.attrs as unknown as { numSegments: number }).numSegments;
      const width = present(x.shape[1], 'width');
      const [from, ids] = [tf.engine().readSync(x.dataId), tf.engine().readSync(segmentIds.dataId)];
      const sums = new Float32Array(count * width);
      for (const [row, id] of (ids as Int32Array).entries()) {
        for (let i = 0; i < width; i++) {
          sums[id * width + i] = present(sums[id * width + i], 'sum') + Number(from[row * width + i]);
        }
      }
      const shape = [count, width];
      return { dataId: tf.backend().write(sums, shape, 'float32'), shape, dtype: 'float32' };
    },
  });
}

type Request = Readonly<{ model?: ModelConfig; batch?: number; repeats?: number }>;

function createStep(config: ModelConfig, batch: number): () => void {
  const tf = tfjs();
  const rows = batch * config.context;
  const shape = { batch, seq: config.context };
  const weights = parameters(config).map(({ name, shape: size, kind }) =>
    tf.variable(kind === 'gain' ? tf.ones([...size]) : tf.randomNormal([...size], 0, 0.05), true, name),
  );
  const named = new Map<string, TfTensor>(weights.map((weight) => [weight.name, weight]));
  const ids = (): TfTensor1D => tf.randomUniform([rows], 0, config.vocab, 'int32') as TfTensor1D;
  const inputs = {
    tokens: ids(),
    positions: tf.tensor1d(
      Array.from({ length: rows }, (_, row) => row % config.context),
      'int32',
    ),
    ropeTable: tf.tensor2d(ropeTable(config.context, headWidth(config), config.ropeTheta), [
      config.context,
      headWidth(config),
    ]) as TfTensor2D,
  };
  const targets = ids();
  const optimizer = tf.train.adam(1e-3);
  return () => {
    const loss = optimizer.minimize(
      () => ops.crossEntropy(forward(config, named, inputs, attendSequences(config, shape)), targets),
      true,
      weights,
    );
    loss?.dataSync();
    loss?.dispose();
  };
}

await import('@tensorflow/tfjs');
await import('@tensorflow/tfjs-backend-wasm');
await tfjs().setBackend('wasm');
addSegmentSum();
let step: (() => void) | null = null;
process.stdout.write(`${JSON.stringify({ version: tfjs().version_core, backend: tfjs().getBackend() })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { model, batch, repeats = 1 } = JSON.parse(line) as Request;
  const times = noTimes();
  if (model !== undefined) step = createStep(model, batch ?? 1);
  else for (let i = 0; i < repeats; i++) time(times, present(step, 'a model first'));
  process.stdout.write(`${JSON.stringify(times)}\n`);
}
