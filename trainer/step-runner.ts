// Owns one training step as rounds and audits see it: a state, a batch in, gradients and a loss out. The program is
// train-program.ts, the arithmetic engine/.

import { check, present } from '../base/check.ts';
import { partInput } from '../engine/accumulate.ts';
import { updateInput } from '../engine/repeat.ts';
import type { Executor, RunOutcome } from '../engine/executor.ts';
import { fillBatch } from './dataset.ts';
import { type BatchShape, type ModelConfig, microBatches } from './model.ts';
import { type ExecutionPlan, planOf } from './execution-plan.ts';
import { INPUTS, OUTPUTS, fillConstants, gradientBytes, parameterBytes } from './train-program.ts';

type StepInput = Readonly<{
  /** In row order: those of the first update, then those of the next. */
  sequences: readonly Uint16Array[];
  seed: Int32Array;
  /** Eight numbers for each update. */
  hyper: Float32Array;
}>;

export type StepRunner = Readonly<{
  /** Sequences of a step: capacity x batch. */
  rows: number;
  /** Bytes of the parameters, a prefix of the state; first and second moments follow, as long each. */
  parameterBytes: number;
  /** Live view of params ‖ m ‖ v. */
  state: Uint8Array;
  /** Live view of the gradients of the last step's last update, laid out as the parameters. */
  gradients: Uint8Array;
  /** Mean loss of the last step's last update, an f32. */
  loss(): number;
  /** One step on the state, in place. After a failure the state is unspecified. */
  step(input: StepInput): RunOutcome;
  close(): void;
}>;

/** Numbers of an update (rules H-1 to H-3). */
export const HYPER_NUMBERS = 8;

/** The plain plan: every micro-batch by itself, nothing computed twice. */
const PLAIN = { atOnce: 1, segments: 1 };

/**
 * The real step: the traced training program on an executor, by `plan` (execution-plan.ts) or the plain one. Which plan it
 * is changes no bit of state, gradients or loss. Throws a FaultError 'engine/memory' when the arena cannot be had.
 */
export function createStepRunner(
  executor: Executor,
  config: ModelConfig,
  shape: BatchShape,
  plan: ExecutionPlan = planOf(config, shape, PLAIN),
): StepRunner {
  const { program } = plan;
  const loaded = executor.load(program);
  fillConstants(loaded, config, shape);
  const parts = microBatches(shape);
  const { updates = 1 } = shape;
  const inputs = Array.from({ length: updates * parts }, (_, at) => {
    const named = (name: string) => updateInput(partInput(name, at % parts, parts), Math.floor(at / parts), updates);
    return {
      tokens: loaded.view(named(INPUTS.tokens)) as Int32Array,
      targets: loaded.view(named(INPUTS.targets)) as Int32Array,
    };
  });
  const numbers = Array.from({ length: updates }, (_, update) =>
    loaded.view(updateInput(INPUTS.hyper, update, updates)),
  );
  const bytes = parameterBytes(config);
  const state = loaded.stateBytes();
  check(state.length === 3 * bytes, 'createStepRunner: state is params, m, v of one layout');
  return {
    rows: shape.batch,
    parameterBytes: bytes,
    state,
    gradients: gradientBytes(program, loaded, config),
    loss: () => present(loaded.view(OUTPUTS.loss)[0], 'loss'),
    step({ sequences, seed, hyper }) {
      check(sequences.length === shape.batch, 'step: batch has another size');
      check(hyper.length === HYPER_NUMBERS * updates, 'step: eight numbers for each update');
      const size = shape.batch / inputs.length;
      for (const [part, { tokens, targets }] of inputs.entries())
        fillBatch(sequences.slice(part * size, (part + 1) * size), tokens, targets);
      loaded.view(INPUTS.seed).set(seed);
      for (const [update, view] of numbers.entries())
        view.set(hyper.subarray(HYPER_NUMBERS * update, HYPER_NUMBERS * (update + 1)));
      return loaded.run();
    },
    close: () => loaded.close(),
  };
}

/** Puts the start of a round into a runner: base parameters, and the moments of a state or zeros (rule V-1). */
export function startFromBase(runner: StepRunner, base: Uint8Array, carried: Uint8Array | null = null): void {
  check(base.length === runner.parameterBytes, 'startFromBase: base of another model');
  check((carried ?? runner.state).length === runner.state.length, 'startFromBase: moments of another model');
  runner.state.set(base);
  if (carried === null) runner.state.fill(0, base.length);
  else runner.state.set(carried.subarray(base.length), base.length);
}

/** f32 view of bytes; copies when they are not aligned. */
export function floats(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}
