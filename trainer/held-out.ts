// Owns the measure of a model: its mean loss on a fixed sample of held-out sequences, exact, in whole micro-nats per token.

import { check } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type { Executor } from '../engine/executor.ts';
import { type Dataset, fillBatch } from './dataset.ts';
import { MAX_HELD_OUT_SEQUENCES } from './limits.ts';
import type { ModelConfig } from './model.ts';
import { INPUTS, OUTPUTS, buildLossProgram, fillConstants, parameterBytes } from './train-program.ts';

export type HeldOutMeter = Readonly<{
  /** Sequences each measurement runs over. */
  sequences: number;
  /** Tokens each measurement is the mean of. */
  tokens: number;
  /** Mean loss of a model in micro-nats per token, rounded down. Fault 'held-out' when the arithmetic leaves its range. */
  measure(params: Uint8Array): Promise<Result<number>>;
  close(): void;
}>;

export type HeldOutOptions = Readonly<{
  executor: Executor;
  config: ModelConfig;
  dataset: Dataset;
  /** Sequences in one run of the program; no influence on the result. */
  batch: number;
  /** Size of the sample, at most what there is. */
  sequences: number;
}>;

/** Indices of the fixed sample: `count` of `total`, evenly spread (docs/protocol/learning-round.md, E-1). */
export function heldOutSample(total: number, count: number): number[] {
  const size = Math.min(total, count);
  return Array.from({ length: size }, (_, i) => Math.floor((i * total) / size));
}

export function createHeldOutMeter(options: HeldOutOptions): HeldOutMeter {
  const { executor, config, dataset, batch } = options;
  check(options.sequences >= 1 && options.sequences <= MAX_HELD_OUT_SEQUENCES, 'held-out: sample size out of range');
  check(dataset.heldOutSequences > 0, 'held-out: the dataset has no held-out sequences');
  const seq = dataset.manifest.sequenceLength;
  const sample = heldOutSample(dataset.heldOutSequences, options.sequences);
  const loaded = executor.load(buildLossProgram(config, { batch, seq }));
  fillConstants(loaded, config, { batch, seq });
  const ids = loaded.view(INPUTS.tokens) as Int32Array;
  const targets = loaded.view(INPUTS.targets) as Int32Array;
  const losses = loaded.view(OUTPUTS.tokenLoss) as Float32Array;

  async function measure(params: Uint8Array): Promise<Result<number>> {
    check(params.length === parameterBytes(config), 'held-out: parameters of another model');
    let sum = 0n;
    for (let at = 0; at < sample.length; at += batch) {
      await new Promise((resolve) => setImmediate(resolve));
      const rows = sample.slice(at, at + batch).map((index) => dataset.heldOutSequence(index));
      ids.fill(0);
      targets.fill(-1);
      fillBatch(rows, ids.subarray(0, rows.length * seq), targets.subarray(0, rows.length * seq));
      // Other programs may share the arena's state, so the model is written before each run.
      loaded.stateBytes().set(params);
      const outcome = loaded.run();
      if (!outcome.ok)
        return fault('held-out', `held-out loss: ${outcome.reason} at instruction ${outcome.instruction}`);
      sum += microNats(losses.subarray(0, rows.length * seq));
    }
    return success(Number(sum / BigInt(sample.length * seq)));
  }
  return { sequences: sample.length, tokens: sample.length * seq, measure, close: () => loaded.close() };
}

/** Sum of token losses, each rounded to a whole micro-nat first: whole numbers add up the same in any order. */
function microNats(losses: Float32Array): bigint {
  let sum = 0;
  for (const loss of losses) sum += Math.round(loss * 1e6);
  check(Number.isSafeInteger(sum), 'held-out: sum of losses out of range');
  return BigInt(sum);
}
