// Owns the float oracle of the tests: TensorFlow.js' own CPU backend and gradients running the same model in f32.

import { present } from '../../base/check.ts';
import * as ops from '../../engine/trace/ops.ts';
import { type TfTensor, type TfTensor1D, type TfTensor2D, tfjs } from '../../engine/trace/tfjs.ts';
import { ropeTable } from '../../engine/rope-table.ts';
import { type BatchShape, type ModelConfig, attendSequences, forward, headWidth } from '../../trainer/model.ts';
import { parameterPlaces } from '../../trainer/train-program.ts';

/** Switches TensorFlow.js to its CPU backend, with all its gradients. */
export async function useFloatBackend(): Promise<void> {
  await import('@tensorflow/tfjs');
  await tfjs().setBackend('cpu');
}

export type Batch = Readonly<{ tokens: readonly number[]; targets: readonly number[] }>;
export type FloatResult = Readonly<{ loss: number; gradients: readonly Float32Array[] }>;

/** Loss and gradients, in parameter order, of parameter bytes on a batch. */
export function floatLossAndGradients(
  config: ModelConfig,
  shape: BatchShape,
  params: Uint8Array,
  batch: Batch,
): FloatResult {
  const tf = tfjs();
  return tf.tidy(() => {
    const places = parameterPlaces(config);
    const weights = places.map(({ shape: size, offset, elements }) =>
      tf.tensor(new Float32Array(params.buffer, params.byteOffset + offset, elements).slice(), [...size]),
    );
    const rows = shape.batch * shape.seq;
    const inputs = {
      tokens: tf.tensor1d([...batch.tokens], 'int32'),
      positions: tf.tensor1d(
        Array.from({ length: rows }, (_, row) => row % shape.seq),
        'int32',
      ),
      ropeTable: tf.tensor2d(ropeTable(config.context, headWidth(config), config.ropeTheta), [
        config.context,
        headWidth(config),
      ]) as TfTensor2D,
    };
    const targets = tf.tensor1d([...batch.targets], 'int32') as TfTensor1D;
    const run = (...all: TfTensor[]) => {
      const named = new Map(places.map(({ name }, i) => [name, present(all[i], name)]));
      return ops.crossEntropy(forward(config, named, inputs, attendSequences(config, shape)), targets);
    };
    const { value, grads } = tf.valueAndGrads(run)(weights);
    return { loss: scalar(value), gradients: grads.map((grad) => grad.dataSync() as Float32Array) };
  });
}

const scalar = (tensor: TfTensor): number => present(tensor.dataSync()[0], 'scalar') as number;

export type AdamHyper = Readonly<{
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  decay: number;
  clip: number;
}>;

/** AdamW in double precision on f32 parameters, in place; `gains` of the model are not decayed. */
export function createFloatAdam(config: ModelConfig, params: Uint8Array, hyper: AdamHyper) {
  const places = parameterPlaces(config);
  const first = places.map(({ elements }) => new Float64Array(elements));
  const second = places.map(({ elements }) => new Float64Array(elements));
  let beta1Power = 1;
  let beta2Power = 1;
  return (gradients: readonly Float32Array[]): void => {
    beta1Power *= hyper.beta1;
    beta2Power *= hyper.beta2;
    let squares = 0;
    for (const gradient of gradients) for (const g of gradient) squares += g * g;
    const norm = Math.sqrt(squares);
    const shrink = norm > hyper.clip ? hyper.clip / norm : 1;
    places.forEach(({ offset, elements, shape }, index) => {
      const p = new Float32Array(params.buffer, params.byteOffset + offset, elements);
      const [m, v, g] = [present(first[index], 'm'), present(second[index], 'v'), present(gradients[index], 'g')];
      for (let i = 0; i < elements; i++) {
        const gi = (g[i] as number) * shrink;
        m[i] = hyper.beta1 * (m[i] as number) + (1 - hyper.beta1) * gi;
        v[i] = hyper.beta2 * (v[i] as number) + (1 - hyper.beta2) * gi * gi;
        const step = (m[i] as number) / (1 - beta1Power) / (Math.sqrt((v[i] as number) / (1 - beta2Power)) + hyper.eps);
        const decay = shape.length === 1 ? 0 : hyper.decay * (p[i] as number);
        p[i] = (p[i] as number) - hyper.lr * (step + decay);
      }
    });
  };
}
