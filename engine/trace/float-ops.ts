// Owns the same operations composed of ordinary TensorFlow.js ops in f32, differentiated by TensorFlow.js itself: the float
// oracle of tests and the way a TensorFlow.js backend runs a model in experiments. Nothing here enters a proof.

import { type TfScalar, type TfTensor, type TfTensor1D, type TfTensor2D, tfjs } from './tfjs.ts';

export type AttentionShape = Readonly<{ batch: number; seq: number; heads: number; kvHeads: number }>;

export function embed(table: TfTensor2D, ids: TfTensor1D): TfTensor2D {
  return tfjs().gather(table, ids) as TfTensor2D;
}

export function rmsNorm(x: TfTensor2D, gain: TfTensor1D, eps: number): TfTensor2D {
  const tf = tfjs();
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps))), gain);
}

/** Rotate-half convention: pairs are (i, i + Dh/2); table rows hold Dh/2 cosines, then Dh/2 sines. */
export function rope(x: TfTensor2D, table: TfTensor2D, positions: TfTensor1D, heads: number): TfTensor2D {
  const tf = tfjs();
  const [rows, width] = x.shape;
  const half = width / heads / 2;
  const angles = tf.reshape(tf.gather(table, positions), [rows, 1, 2 * half]);
  const [cos, sin] = tf.split(angles, 2, 2) as [TfTensor, TfTensor];
  const [low, high] = tf.split(tf.reshape(x, [rows, heads, 2 * half]), 2, 2) as [TfTensor, TfTensor];
  const turned = [tf.sub(tf.mul(low, cos), tf.mul(high, sin)), tf.add(tf.mul(high, cos), tf.mul(low, sin))];
  return tf.reshape(tf.concat(turned, 2), [rows, width]) as TfTensor2D;
}

/** Causal; query head h reads key head floor(h * kvHeads / heads). Query heads are grouped by reshape, never tiled. */
export function attention(q: TfTensor2D, k: TfTensor2D, v: TfTensor2D, shape: AttentionShape): TfTensor2D {
  const tf = tfjs();
  const { batch, seq, heads, kvHeads } = shape;
  const group = heads / kvHeads;
  const width = q.shape[1] / heads;
  const split = (x: TfTensor2D, count: number): TfTensor =>
    tf.transpose(tf.reshape(x, [batch, seq, count, width]), [0, 2, 1, 3]);
  const queries = tf.reshape(split(q, heads), [batch * kvHeads, group * seq, width]);
  const keys = tf.reshape(split(k, kvHeads), [batch * kvHeads, seq, width]);
  const values = tf.reshape(split(v, kvHeads), [batch * kvHeads, seq, width]);
  const scores = tf.mul(tf.matMul(queries, keys, false, true), 1 / Math.sqrt(width));
  const mask = tf.reshape(tf.tile(tf.linalg.bandPart(tf.ones([seq, seq]), -1, 0), [group, 1]), [1, group * seq, seq]);
  const weights = tf.softmax(tf.add(scores, tf.mul(tf.sub(mask, 1), 1e30)));
  const mixed = tf.reshape(tf.matMul(weights, values), [batch, heads, seq, width]);
  return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * seq, heads * width]) as TfTensor2D;
}

export function swiglu(gate: TfTensor2D, up: TfTensor2D): TfTensor2D {
  const tf = tfjs();
  return tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);
}

/** Mean over rows whose target is not negative. */
export function crossEntropy(logits: TfTensor2D, targets: TfTensor1D): TfScalar {
  const tf = tfjs();
  const counted = tf.cast(tf.greaterEqual(targets, 0), 'float32');
  const wanted = tf.oneHot(tf.cast(tf.relu(targets), 'int32'), logits.shape[1]);
  const picked = tf.sum(tf.mul(tf.logSoftmax(logits), tf.cast(wanted, 'float32')), -1);
  return tf.neg(tf.div(tf.sum(tf.mul(picked, counted)), tf.sum(counted))) as TfScalar;
}
