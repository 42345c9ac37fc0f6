// Owns the decode programs of one generator: several row counts over one state of parameters and key-value cache.
// Which rows run when is generate.ts, what the program computes is decode-program.ts.

import { check, present } from '../base/check.ts';
import { FaultError, fault } from '../base/fault.ts';
import type { Executor, LoadedProgram } from '../engine/executor.ts';
import { SLOT_INPUT, buildDecodeProgram, fillDecodeConstants } from './decode-program.ts';
import type { ModelConfig } from './model.ts';
import { INPUTS, OUTPUTS, parameterBytes } from './train-program.ts';

/** A token to run at a position of a slot of the cache. */
type CacheRow = Readonly<{ token: number; position: number; slot: number }>;

export type DecodeRunner = Readonly<{
  /** Rows of the largest program. */
  mostRows: number;
  /** Replaces the parameters; what the cache holds is stale after it. */
  setParams(params: Uint8Array): void;
  /** Logits f32[rows, vocab], a live view until the next run. Throws a FaultError 'generation/engine' when it fails. */
  run(rows: readonly CacheRow[]): Float32Array;
  close(): void;
}>;

export function checkParams(config: ModelConfig, params: Uint8Array): void {
  check(params.length === parameterBytes(config), `parameters are ${parameterBytes(config)} bytes for this model`);
}

type Loaded = Readonly<{ rows: number; loaded: LoadedProgram }>;

/** Programs for each of the ascending `sizes`; a run takes the smallest that fits. */
export function createDecodeRunner(
  executor: Executor,
  config: ModelConfig,
  slots: number,
  sizes: readonly number[],
): DecodeRunner {
  const programs: Loaded[] = [];
  for (const rows of sizes) {
    const shared = programs[0];
    const program = buildDecodeProgram(config, { rows, slots });
    const loaded = executor.load(program, {
      keepWeights: true,
      ...(shared === undefined ? {} : { shareState: shared.loaded }),
    });
    fillDecodeConstants(loaded, config);
    programs.push({ rows, loaded });
  }
  return {
    mostRows: present(sizes.at(-1), 'largest row count'),
    setParams(params) {
      checkParams(config, params);
      const { loaded } = present(programs[0], 'decode program');
      loaded.stateBytes().set(params);
      loaded.weightsChanged();
    },
    run(rows) {
      const fits = programs.find((program) => program.rows >= rows.length);
      return runRows(present(fits, `program for ${rows.length} rows`), rows, config, slots);
    },
    close() {
      for (const { loaded } of programs.toReversed()) loaded.close();
    },
  };
}

/** Rows not in use go to the spare slot. */
function runRows(
  { rows, loaded }: Loaded,
  used: readonly CacheRow[],
  config: ModelConfig,
  spare: number,
): Float32Array {
  const tokens = loaded.view(INPUTS.tokens);
  const positions = loaded.view(INPUTS.positions);
  const slots = loaded.view(SLOT_INPUT);
  for (let row = 0; row < rows; row++) {
    const { token, position, slot } = used[row] ?? { token: 0, position: row % config.context, slot: spare };
    tokens[row] = token;
    positions[row] = position;
    slots[row] = slot;
  }
  const outcome = loaded.run();
  if (!outcome.ok) {
    const where = `instruction ${outcome.instruction} (${outcome.op})`;
    throw new FaultError(fault('generation/engine', `model gave no usable numbers: ${outcome.reason} at ${where}`));
  }
  return loaded.view(OUTPUTS.logits) as Float32Array;
}
