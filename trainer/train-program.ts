// Owns the tensor programs of training: one optimizer step, and the loss of a batch, traced from model.ts.
// Which data and which learning rate go in is the learning round's business.

import { check, present } from '../base/check.ts';
import { unwrap } from '../base/fault.ts';
import { accumulate, partInput } from '../engine/accumulate.ts';
import { inProfile } from '../engine/profile.ts';
import { type TensorProgram, findTensor } from '../engine/program.ts';
import { repeat } from '../engine/repeat.ts';
import { ropeTable } from '../engine/rope-table.ts';
import * as ops from '../engine/trace/ops.ts';
import type { TfTensor, TfTensor1D, TfTensor2D } from '../engine/trace/tfjs.ts';
import { type Tracer, traceProgram } from '../engine/trace/tracer.ts';
import {
  type BatchShape,
  type ModelConfig,
  type ModelInputs,
  type ModelWeights,
  attendSequences,
  checkModelConfig,
  elements,
  forward,
  headWidth,
  microBatches,
  parameters,
  updateShape,
} from './model.ts';

/**
 * Inputs of the training and loss programs. T = batch * seq; row t is token t % seq of sequence floor(t / seq).
 * - tokens i32[T], targets i32[T] (the next token; negative: not counted); a step of M > 1 micro-batches has tokens.0 to
 *   tokens.M-1 and targets.0 to targets.M-1, each of its T / M rows, and positions of T / M rows. A step of U > 1 updates has
 *   them for every update, with /0 to /U-1 behind the name, each of a U-th of the rows, and hyper/0 to hyper/U-1
 * - positions i32[T] and ropeTable f32[context, head width]: constant, written by {@link fillConstants}
 * - seed i32[2]: of stochastic rounding, the two halves of a 64-bit number, new for every step (training only)
 * - hyper f32[8]: learning rate, beta1, beta2, eps, weight decay, 1 - beta1^t, 1 - beta2^t, clip norm (training only)
 */
export const INPUTS = {
  tokens: 'tokens',
  targets: 'targets',
  positions: 'positions',
  ropeTable: 'ropeTable',
  seed: 'seed',
  hyper: 'hyper',
} as const;

/** Outputs: loss f32[1], gradNorm f32[1] (before clipping), tokenLoss f32[T] (loss program), and the gradients. */
export const OUTPUTS = { loss: 'loss', gradNorm: 'gradNorm', tokenLoss: 'tokenLoss', logits: 'logits' } as const;
export const GRADIENT_PREFIX = 'grad.';
const FIRST_MOMENT_PREFIX = 'm.';
const SECOND_MOMENT_PREFIX = 'v.';

export function declareWeights(tracer: Tracer, config: ModelConfig, prefix = ''): ModelWeights {
  return new Map(parameters(config).map(({ name, shape }) => [name, tracer.state(`${prefix}${name}`, shape)]));
}

export function declareInputs(tracer: Tracer, config: ModelConfig, rows: number): ModelInputs {
  return {
    tokens: tracer.input<TfTensor1D>(INPUTS.tokens, [rows], 'i32'),
    positions: tracer.input<TfTensor1D>(INPUTS.positions, [rows], 'i32'),
    ropeTable: tracer.input<TfTensor2D>(INPUTS.ropeTable, [config.context, headWidth(config)], 'f32'),
  };
}

/**
 * One training step: forward, backward, gradient norm, AdamW, once for each of its updates. State is all parameters, then all first moments, then all
 * second moments, so the parameters are the prefix of {@link parameterBytes}. Gradients are the first outputs, contiguous,
 * in parameter order, named grad.<parameter>; with micro-batches they and the loss are means over those (kernel-spec.md T4), with
 * several updates those of the last (T5).
 * This is the canonical program: its hash is on chain, whatever execution plan a machine takes (execution-plan.ts).
 * Throws a FaultError when the configuration is out of bounds.
 */
export function buildTrainProgram(config: ModelConfig, shape: BatchShape): TensorProgram {
  return inUpdates(buildUpdate(config, shape), shape);
}

/** One optimizer update of a step. Of its micro-batches `atOnce` advance together. */
export function buildUpdate(config: ModelConfig, shape: BatchShape, atOnce = 1): TensorProgram {
  return accumulate(traceMicroStep(config, shape), { parts: microBatches(shape), ownInputs: OWN_INPUTS, atOnce });
}

/** A step of all its updates, from the program of one. */
export function inUpdates(update: TensorProgram, shape: BatchShape): TensorProgram {
  const parts = microBatches(shape);
  const data = OWN_INPUTS.flatMap((name) => Array.from({ length: parts }, (_, part) => partInput(name, part, parts)));
  return repeat(update, { updates: shape.updates ?? 1, ownInputs: [...data, INPUTS.hyper] });
}

/** Inputs that every micro-batch has its own of. */
const OWN_INPUTS: readonly string[] = [INPUTS.tokens, INPUTS.targets];

/** An update on one micro-batch alone. */
function traceMicroStep(config: ModelConfig, shape: BatchShape): TensorProgram {
  const { batch, seq, microBatch = batch, profile = 'i8' } = updateShape(shape);
  unwrap(checkModelConfig(config));
  return inProfile(traceStep(config, { batch: microBatch, seq }), profile);
}

function traceStep(config: ModelConfig, shape: BatchShape): TensorProgram {
  return traceProgram('train-step', (tracer) => {
    const list = parameters(config);
    const weights = declareWeights(tracer, config);
    const first = declareWeights(tracer, config, FIRST_MOMENT_PREFIX);
    const second = declareWeights(tracer, config, SECOND_MOMENT_PREFIX);
    const { loss, gradients } = lossAndGradients(tracer, config, shape, weights);
    list.forEach(({ name }, i) => {
      tracer.output(`${GRADIENT_PREFIX}${name}`, present(gradients[i], name));
    });
    tracer.output(OUTPUTS.loss, loss);
    const norm = ops.gradNorm(gradients);
    tracer.output(OUTPUTS.gradNorm, norm);
    const hyper = tracer.input(INPUTS.hyper, [8], 'f32');
    list.forEach(({ name, kind }, i) => {
      const state = {
        p: present(weights.get(name), name),
        m: present(first.get(name), name),
        v: present(second.get(name), name),
      };
      ops.adamW(state, present(gradients[i], name), norm, hyper, kind !== 'gain');
    });
  });
}

type Backward = Readonly<{ loss: TfTensor; gradients: readonly TfTensor[] }>;

function lossAndGradients(tracer: Tracer, config: ModelConfig, shape: BatchShape, weights: ModelWeights): Backward {
  const inputs = declareInputs(tracer, config, shape.batch * shape.seq);
  const targets = tracer.input<TfTensor1D>(INPUTS.targets, [shape.batch * shape.seq], 'i32');
  const run = tracer.tf.valueAndGrads(() =>
    ops.crossEntropy(forward(config, weights, inputs, attendSequences(config, shape)), targets),
  );
  const { value, grads } = run([...weights.values()]);
  return { loss: value, gradients: grads };
}

/** The loss of a batch without a step: outputs loss, tokenLoss f32[T] and, when asked for, logits f32[T, vocab]. */
export function buildLossProgram(config: ModelConfig, shape: BatchShape, withLogits = false): TensorProgram {
  unwrap(checkModelConfig(config));
  return traceProgram('batch-loss', (tracer) => {
    const weights = declareWeights(tracer, config);
    const inputs = declareInputs(tracer, config, shape.batch * shape.seq);
    const targets = tracer.input<TfTensor1D>(INPUTS.targets, [shape.batch * shape.seq], 'i32');
    const logits = forward(config, weights, inputs, attendSequences(config, shape));
    const loss = ops.crossEntropy(logits, targets);
    tracer.output(OUTPUTS.loss, loss);
    tracer.output(OUTPUTS.tokenLoss, ops.tokenLosses(loss));
    if (withLogits) tracer.output(OUTPUTS.logits, logits);
  });
}

/** A live view of a named tensor, as a loaded program gives it. */
export type Viewer = Readonly<{ view(name: string): Float32Array | Int32Array }>;

/** Writes the inputs that never change: the positions of every row and the rotary table. */
export function fillConstants(loaded: Viewer, config: ModelConfig, { seq }: BatchShape): void {
  const positions = loaded.view(INPUTS.positions);
  for (let row = 0; row < positions.length; row++) positions[row] = row % seq;
  loaded.view(INPUTS.ropeTable).set(ropeTable(config.context, headWidth(config), config.ropeTheta));
}

/** Bytes of the parameters at the start of the state of any program of this model, alignment gaps included. */
export function parameterBytes(config: ModelConfig): number {
  return parameters(config).reduce((sum, { shape }) => sum + alignedBytes(shape), 0);
}

/** Where each parameter lies in the parameter bytes. */
export type ParameterPlace = Readonly<{ name: string; shape: readonly number[]; offset: number; elements: number }>;

export function parameterPlaces(config: ModelConfig): readonly ParameterPlace[] {
  let offset = 0;
  return parameters(config).map(({ name, shape }) => {
    const place = { name, shape, offset, elements: elements(shape) };
    offset += alignedBytes(shape);
    return place;
  });
}

/** Tensors start at multiples of 64 bytes (engine/memory-plan.ts); the gaps are zero. */
function alignedBytes(shape: readonly number[]): number {
  return Math.ceil((4 * elements(shape)) / 64) * 64;
}

/** Names of the gradient outputs in parameter order: a gradient root is taken over their bytes in this order. */
export function gradientNames(config: ModelConfig): readonly string[] {
  return parameters(config).map(({ name }) => `${GRADIENT_PREFIX}${name}`);
}

/** Bytes of all gradients of a loaded training program as one live view, laid out as the parameters are (gaps are zero). */
export function gradientBytes(program: TensorProgram, loaded: Viewer, config: ModelConfig): Uint8Array {
  const names = gradientNames(config);
  const offset = (name: string | undefined): number =>
    present(findTensor(program, name ?? ''), `gradient ${name}`).offset;
  const last = present(parameterPlaces(config).at(-1), 'last parameter');
  check(offset(names.at(-1)) === offset(names[0]) + last.offset, 'gradients lie contiguous in parameter layout');
  const { buffer, byteOffset } = loaded.view(present(names[0], 'first gradient'));
  return new Uint8Array(buffer, byteOffset, parameterBytes(config));
}
