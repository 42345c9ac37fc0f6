// Owns the model: a Llama-style decoder (RMSNorm, SwiGLU, rotary positions, grouped-query attention, untied head), whole and
// in one file, written with the TensorFlow.js API and the fused ops of engine/trace. What a step or a reply does with it is
// train-program.ts and decode-program.ts.

import type { NumericProfile } from '../engine/profile.ts';
import { check, present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import * as ops from '../engine/trace/ops.ts';
import { type Tf, type TfTensor, type TfTensor1D, type TfTensor2D, tfjs } from '../engine/trace/tfjs.ts';

/** Widths of a model. Head width is dim / heads, of an even number of elements; ffn is the inner width of SwiGLU. */
export type ModelConfig = Readonly<{
  vocab: number;
  dim: number;
  layers: number;
  heads: number;
  kvHeads: number;
  ffn: number;
  /** Longest sequence, tokens. */
  context: number;
  /** Base of the rotary frequencies, 10000 in Llama. */
  ropeTheta: number;
}>;

/** Added to the mean square in every RMSNorm. */
export const NORM_EPS = 1e-5;

/** Matrices are [in, out]: a linear layer is x [T, in] times w. Decay says whether AdamW shrinks it. */
export type Parameter = Readonly<{
  name: string;
  shape: readonly number[];
  kind: 'embedding' | 'linear' | 'residual' | 'head' | 'gain';
}>;

/** Bounds of each width: what a configuration file may ask for. */
const BOUNDS: Readonly<Record<keyof ModelConfig, readonly [number, number]>> = {
  vocab: [2, 262_144],
  dim: [2, 16_384],
  layers: [1, 256],
  heads: [1, 256],
  kvHeads: [1, 256],
  ffn: [1, 65_536],
  context: [1, 16_384],
  ropeTheta: [1, 1e9],
};

/** The configuration itself when every width is in bounds and they fit together; a Fault naming the field otherwise. */
export function checkModelConfig(config: ModelConfig): Result<ModelConfig> {
  for (const [field, [low, high]] of Object.entries(BOUNDS)) {
    const value = config[field as keyof ModelConfig];
    if (!Number.isSafeInteger(value) || value < low || value > high) {
      return fault('model/config', `model ${field} must be a whole number from ${low} to ${high}`, { field });
    }
  }
  const { dim, heads, kvHeads } = config;
  if (dim % heads !== 0 || (dim / heads) % 2 !== 0) {
    return fault('model/config', `model dim ${dim} must be heads ${heads} times an even head width`, { field: 'dim' });
  }
  if (heads % kvHeads !== 0) {
    return fault('model/config', `model heads ${heads} must be a multiple of kvHeads ${kvHeads}`, { field: 'kvHeads' });
  }
  return success(config);
}

export const headWidth = ({ dim, heads }: ModelConfig): number => dim / heads;
/** Width of a row of keys or values. */
export const kvWidth = (config: ModelConfig): number => config.kvHeads * headWidth(config);

/** Every parameter in canonical order (docs/protocol/model.md M-3), under the names Hugging Face gives the tensors of a Llama checkpoint. */
export function parameters(config: ModelConfig): readonly Parameter[] {
  const { vocab, dim, layers, ffn } = config;
  const list: Parameter[] = [{ name: 'model.embed_tokens.weight', shape: [vocab, dim], kind: 'embedding' }];
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    list.push(
      { name: `${at}.input_layernorm.weight`, shape: [dim], kind: 'gain' },
      { name: `${at}.self_attn.q_proj.weight`, shape: [dim, dim], kind: 'linear' },
      { name: `${at}.self_attn.k_proj.weight`, shape: [dim, kvWidth(config)], kind: 'linear' },
      { name: `${at}.self_attn.v_proj.weight`, shape: [dim, kvWidth(config)], kind: 'linear' },
      { name: `${at}.self_attn.o_proj.weight`, shape: [dim, dim], kind: 'residual' },
      { name: `${at}.post_attention_layernorm.weight`, shape: [dim], kind: 'gain' },
      { name: `${at}.mlp.gate_proj.weight`, shape: [dim, ffn], kind: 'linear' },
      { name: `${at}.mlp.up_proj.weight`, shape: [dim, ffn], kind: 'linear' },
      { name: `${at}.mlp.down_proj.weight`, shape: [ffn, dim], kind: 'residual' },
    );
  }
  list.push({ name: 'model.norm.weight', shape: [dim], kind: 'gain' });
  list.push({ name: 'lm_head.weight', shape: [dim, vocab], kind: 'head' });
  return list;
}

export const elements = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** Number of weights of a model. */
export function parameterCount(config: ModelConfig): number {
  return parameters(config).reduce((sum, { shape }) => sum + elements(shape), 0);
}

export type ModelWeights = ReadonlyMap<string, TfTensor>;

/** What every pass reads besides the weights: tokens i32[T], positions i32[T], rotary table f32[context, head width]. */
export type ModelInputs = Readonly<{ tokens: TfTensor1D; positions: TfTensor1D; ropeTable: TfTensor2D }>;

/** How queries meet keys and values: over whole sequences in training, over a cache in generation. */
export type Attend = (layer: number, q: TfTensor2D, k: TfTensor2D, v: TfTensor2D) => TfTensor2D;

/** Logits f32[T, vocab] of every row. */
export function forward(config: ModelConfig, weights: ModelWeights, inputs: ModelInputs, attend: Attend): TfTensor2D {
  const tf = tfjs();
  const { heads, kvHeads, layers } = config;
  const vector = (name: string): TfTensor1D => present(weights.get(name), `weight ${name}`) as TfTensor1D;
  const matrix = (name: string): TfTensor2D => present(weights.get(name), `weight ${name}`) as TfTensor2D;
  const turn = (x: TfTensor2D, count: number): TfTensor2D => ops.rope(x, inputs.ropeTable, inputs.positions, count);

  let x = ops.embed(matrix('model.embed_tokens.weight'), inputs.tokens);
  for (let layer = 0; layer < layers; layer++) {
    const at = `model.layers.${layer}`;
    const attended = ops.rmsNorm(x, vector(`${at}.input_layernorm.weight`), NORM_EPS);
    const q = turn(ops.linear(attended, matrix(`${at}.self_attn.q_proj.weight`)), heads);
    const k = turn(ops.linear(attended, matrix(`${at}.self_attn.k_proj.weight`)), kvHeads);
    const v = ops.linear(attended, matrix(`${at}.self_attn.v_proj.weight`));
    x = addRows(tf, x, ops.linear(attend(layer, q, k, v), matrix(`${at}.self_attn.o_proj.weight`)));

    const mixed = ops.rmsNorm(x, vector(`${at}.post_attention_layernorm.weight`), NORM_EPS);
    const gate = ops.linear(mixed, matrix(`${at}.mlp.gate_proj.weight`));
    const up = ops.linear(mixed, matrix(`${at}.mlp.up_proj.weight`));
    x = addRows(tf, x, ops.linear(ops.swiglu(gate, up), matrix(`${at}.mlp.down_proj.weight`)));
  }
  return ops.linear(ops.rmsNorm(x, vector('model.norm.weight'), NORM_EPS), matrix('lm_head.weight'));
}

const addRows = (tf: Tf, a: TfTensor2D, b: TfTensor2D): TfTensor2D => tf.add(a, b) as TfTensor2D;

/**
 * Shape of a batch: `batch` sequences of `seq` tokens, T = batch * seq rows. A training step goes over them in `updates`
 * optimizer updates of as many sequences each, one when left out; an update in micro-batches of `microBatch` sequences, whose
 * gradients are averaged, over all of its own at once when left out. Its linear layers are of `profile`, 'i8' when left out.
 */
export type BatchShape = Readonly<{
  batch: number;
  seq: number;
  updates?: number;
  microBatch?: number;
  profile?: NumericProfile;
}>;

/** The shape of one optimizer update of a step. */
export function updateShape({ updates = 1, ...shape }: BatchShape): BatchShape {
  check(
    Number.isInteger(updates) && updates >= 1 && shape.batch % updates === 0,
    `${updates} updates must divide batch ${shape.batch}`,
  );
  return { ...shape, batch: shape.batch / updates };
}

/** Micro-batches of an update. */
export function microBatches(shape: BatchShape): number {
  const { batch, microBatch = batch } = updateShape(shape);
  check(
    Number.isInteger(microBatch) && microBatch >= 1 && batch % microBatch === 0,
    `micro-batch ${microBatch} must divide the ${batch} sequences of an update`,
  );
  return batch / microBatch;
}

/** Causal attention inside each sequence of the batch. */
export function attendSequences(config: ModelConfig, { batch, seq }: BatchShape): Attend {
  check(seq <= config.context, `sequence of ${seq} tokens is over the context of ${config.context}`);
  const shape = { batch, seq, heads: config.heads, kvHeads: config.kvHeads };
  return (_, q, k, v) => ops.attention(q, k, v, shape);
}
