// Owns the measurement of this machine's engine for its owner: tokens a second of training by model size, and the share of
// taking roots. Comparison with other programs is bench/.

import { availableParallelism, cpus } from 'node:os';
import { utf8 } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { sha256 } from '../base/hash.ts';
import { prng } from '../base/prng.ts';
import { type Executor, createExecutor } from '../engine/executor.ts';
import { nativeHashes, nativeLevels } from '../engine/native-executor.ts';
import { type ExecutionPlan, choosePlan } from '../trainer/execution-plan.ts';
import { initialWeights } from '../trainer/initial-weights.ts';
import { type ModelConfig, parameterCount } from '../trainer/model.ts';
import { type PresetName, preset } from '../trainer/presets.ts';
import { type RootHasher, createRootHasher } from '../trainer/root-hasher.ts';
import { DEFAULT_OPTIMIZER, hyperParameters, roundingSeed } from '../trainer/schedule.ts';
import { type StepRunner, createStepRunner, startFromBase } from '../trainer/step-runner.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { memoryLimit } from './memory-limit.ts';

export type EngineBenchOptions = Readonly<{
  engine: Config['engine'];
  threads: number;
  /** Mebibytes; 0 asks the system. */
  memoryMb: number;
  presets: readonly PresetName[];
  /** Milliseconds each model is trained for, after one step that is not counted. */
  eachMs: number;
  clock: Clock;
}>;

export type EngineMachine = Readonly<{
  backend: string;
  processor: string;
  cores: number;
  threads: number;
  /** Levels of the native library here; none without one. */
  nativeLevels: readonly string[];
  /** Roots are taken by the processor's own SHA-256 instructions. */
  hardwareHashes: boolean;
}>;

export type EngineBenchRow =
  | Readonly<{
      ok: true;
      preset: PresetName;
      parameters: number;
      /** Sequences and tokens of a step. */
      batch: number;
      tokens: number;
      steps: number;
      /** Median of a step without its roots, and of the roots of state and gradients. */
      stepMs: number;
      hashMs: number;
      /** With roots, as a trainer earns. */
      tokensPerSecond: number;
      hashShare: number;
      plan: string;
    }>
  /** It does not fit into memory, or its numbers left their range. */
  | Readonly<{ ok: false; preset: PresetName; reason: string }>;

const VOCABULARY = 1024;
const TOKENS_PER_STEP = 1024;
const LEAST_STEPS = 3;
const SCHEDULE = { learningRateNano: 1_000_000, warmupSteps: 0, decaySteps: 0, floorBps: 0 };

const median = (values: readonly number[]): number =>
  present([...values].sort((a, b) => a - b)[values.length >> 1], 'a measured step');

/** Trains each preset for a while, calling `onRow` as each ends. */
export async function benchEngine(
  options: EngineBenchOptions,
  onMachine: (machine: EngineMachine) => void,
  onRow: (row: EngineBenchRow) => void,
): Promise<void> {
  const { engine, threads } = options;
  const executor = await createExecutor({ backend: engine, threads });
  const hasher = createRootHasher(Math.min(threads, 16));
  onMachine({
    backend: executor.description,
    processor: cpus()[0]?.model ?? 'unknown processor',
    cores: availableParallelism(),
    threads,
    nativeLevels: nativeLevels(),
    hardwareHashes: nativeHashes() !== null,
  });
  try {
    for (const name of options.presets) onRow(benchPreset(name, executor, hasher, options));
  } finally {
    await hasher.close();
    await executor.close();
  }
}

function benchPreset(
  name: PresetName,
  executor: Executor,
  hasher: RootHasher,
  options: EngineBenchOptions,
): EngineBenchRow {
  const config = preset(name, VOCABULARY);
  const shape = { batch: Math.max(1, Math.floor(TOKENS_PER_STEP / config.context)), seq: config.context };
  const host = { ...memoryLimit(options.memoryMb), threads: options.threads, wasm: executor.backend === 'wasm' };
  const plan = choosePlan(config, shape, host);
  if (!plan.ok) return { ok: false, preset: name, reason: plan.message };
  const runner = createStepRunner(executor, config, shape, plan.value);
  try {
    return measure(name, config, runner, plan.value, hasher, options);
  } finally {
    runner.close();
  }
}

function measure(
  name: PresetName,
  config: ModelConfig,
  runner: StepRunner,
  plan: ExecutionPlan,
  hasher: RootHasher,
  { eachMs, clock }: EngineBenchOptions,
): EngineBenchRow {
  const key = sha256(utf8(`bench ${name}`));
  startFromBase(runner, initialWeights(config, key));
  const random = prng(`bench ${name}`);
  const sequence = () => Uint16Array.from({ length: config.context + 1 }, () => random.below(config.vocab));
  const sequences = Array.from({ length: runner.rows }, sequence);
  const [steps, hashes]: [number[], number[]] = [[], []];
  const start = clock.monotonic();
  for (let step = 0; step <= LEAST_STEPS || clock.monotonic() - start < eachMs; step++) {
    const before = clock.monotonic();
    const hyper = hyperParameters(SCHEDULE, DEFAULT_OPTIMIZER, 0, step);
    const outcome = runner.step({ sequences, seed: roundingSeed(key, 0, step), hyper });
    if (!outcome.ok) return { ok: false, preset: name, reason: `step ${step}: ${outcome.reason} at ${outcome.op}` };
    const between = clock.monotonic();
    hasher.root(runner.state);
    hasher.root(runner.gradients);
    if (step === 0) continue;
    steps.push(between - before);
    hashes.push(clock.monotonic() - between);
  }
  const [stepMs, hashMs] = [median(steps), median(hashes)];
  const tokens = runner.rows * config.context;
  return {
    ok: true,
    preset: name,
    parameters: parameterCount(config),
    batch: runner.rows,
    tokens,
    steps: steps.length,
    stepMs,
    hashMs,
    tokensPerSecond: (1000 * tokens) / (stepMs + hashMs),
    hashShare: hashMs / (stepMs + hashMs),
    plan: plan.note,
  };
}
