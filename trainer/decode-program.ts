// Owns the tensor program of generation: rows of any sequences, each at its own slot and position of a key-value cache.
// Which rows run together is generate.ts; every row's logits have the bits of the same position in training.

import { unwrap } from '../base/fault.ts';
import type { TensorProgram } from '../engine/program.ts';
import { ropeTable } from '../engine/rope-table.ts';
import * as ops from '../engine/trace/ops.ts';
import type { TfTensor, TfTensor1D } from '../engine/trace/tfjs.ts';
import { traceProgram } from '../engine/trace/tracer.ts';
import { type Attend, type ModelConfig, checkModelConfig, forward, headWidth, kvWidth } from './model.ts';
import { INPUTS, OUTPUTS, type Viewer, declareInputs, declareWeights } from './train-program.ts';

/** `rows` tokens run at once over `slots` sequences; one slot more is there to take rows that are not in use. */
export type DecodeShape = Readonly<{ rows: number; slots: number }>;

/** Input i32[rows]: the slot of each row. Beside it: tokens, positions, ropeTable of train-program.ts. */
export const SLOT_INPUT = 'slots';

/**
 * State is all parameters, then the key and value cache of each layer f32[slots + 1, context, kv width]; programs that
 * differ only in `rows` have the same state. Output logits f32[rows, vocab]. A row reads every position of its slot up to
 * its own, including those written by other rows of the same run.
 */
export function buildDecodeProgram(config: ModelConfig, { rows, slots }: DecodeShape): TensorProgram {
  unwrap(checkModelConfig(config));
  return traceProgram('decode', (tracer) => {
    const weights = declareWeights(tracer, config);
    const cacheShape = [slots + 1, config.context, kvWidth(config)];
    const caches: Readonly<{ k: TfTensor; v: TfTensor }>[] = [];
    for (let layer = 0; layer < config.layers; layer++) {
      const [k, v] = ['k', 'v'].map((part) => tracer.state(`cache.${layer}.${part}`, cacheShape));
      if (k !== undefined && v !== undefined) caches.push({ k, v });
    }
    const inputs = declareInputs(tracer, config, rows);
    const place = { slots: tracer.input<TfTensor1D>(SLOT_INPUT, [rows], 'i32'), positions: inputs.positions };
    const attend: Attend = (layer, q, k, v) => {
      const cache = caches[layer] as (typeof caches)[number];
      ops.cacheWrite(k, place, cache.k);
      ops.cacheWrite(v, place, cache.v);
      return ops.attentionDecode(q, cache, place, config);
    };
    tracer.output(OUTPUTS.logits, forward(config, weights, inputs, attend));
  });
}

/** Writes the rotary table, which never changes. */
export function fillDecodeConstants(loaded: Viewer, config: ModelConfig): void {
  loaded.view(INPUTS.ropeTable).set(ropeTable(config.context, headWidth(config), config.ropeTheta));
}
