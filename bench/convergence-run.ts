// Owns one training run of the convergence benchmark: k trainers by the protocol's own data order, steps, codec and outer step,
// or one synchronous trainer with the same tokens in every step.

import { utf8 } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { unwrap } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import type { Executor } from '../engine/executor.ts';
import { DEFAULT_OUTER_STEP, aggregate } from '../trainer/aggregate.ts';
import { type RoundShare, createDataOrder, positionsOfRound, stepSequences } from '../trainer/data-order.ts';
import type { Dataset } from '../trainer/dataset.ts';
import { createHeldOutMeter } from '../trainer/held-out.ts';
import { initialWeights } from '../trainer/initial-weights.ts';
import type { ModelConfig } from '../trainer/model.ts';
import { encodeWithResidual } from '../trainer/residual.ts';
import {
  DEFAULT_OPTIMIZER,
  type Schedule,
  biasCorrection,
  hyperParameters,
  roundingSeed,
} from '../trainer/schedule.ts';
import { type SparseShape, decodeSparse } from '../trainer/sparse-update.ts';
import { type StepRunner, createStepRunner, floats, startFromBase } from '../trainer/step-runner.ts';
import { type Update, decodeUpdate, encodeUpdate, updateValues } from '../trainer/update.ts';
import { signUpdate } from './sign-update.ts';

/** Everything a run depends on besides code and corpus: runs are looked up by it. */
export type RunPlan = Readonly<{
  /** Name of a preset, or widths as `customModel` reads them. */
  preset: string;
  seed: number;
  /** Trainers; 0 is the synchronous trainer, moments carried over all steps. */
  trainers: number;
  /** Sum of the trainers' capacities, and the synchronous trainer's: sequences of a step are this times the batch. */
  capacity: number;
  /** Sequences of a step at capacity 1. */
  batch: number;
  /** Steps of the whole run, and of one round. */
  steps: number;
  roundSteps: number;
  learningRateNano: number;
  /** Dense int8, or codec 2 with this shape. */
  shape: SparseShape | null;
  decay: number;
  etaNumerator: number;
  etaShift: number;
  /** Heavy ball on the outer step, in 1/256. */
  momentum: number;
  /** Whether a trainer's moments are carried from round to round. */
  carry: boolean;
  /** Whether a trainer starts from base less what it has not sent yet. */
  keep: boolean;
  /** Eighths of each chunk that a round sends as signs; 0: codec 2 or dense. */
  eighths: number;
}>;

export type RunResult = Readonly<{
  /** Held-out nats per token, with the steps done then. */
  curve: readonly Readonly<{ step: number; loss: number }>[];
  loss: number;
  updateBytes: number;
  seconds: number;
}>;

type Workshop = Readonly<{
  executor: Executor;
  config: ModelConfig;
  data: Dataset;
  heldOut: number;
  clock: () => number;
}>;

/** Held-out losses are taken this often on the way. */
const POINTS = 10;

export async function runPlan(plan: RunPlan, shop: Workshop): Promise<RunResult> {
  const { executor, config, data } = shop;
  const start = shop.clock();
  const meter = createHeldOutMeter({ executor, config, dataset: data, batch: 8, sequences: shop.heldOut });
  const base = initialWeights(config, sha256(utf8(`convergence ${plan.seed}`)));
  const curve: { step: number; loss: number }[] = [];
  let next = 0;
  const report = async (step: number, params: Uint8Array): Promise<void> => {
    if (step < next && step < plan.steps) return;
    next = step + plan.steps / POINTS;
    curve.push({ step, loss: unwrap(await meter.measure(params)) / 1e6 });
  };
  await report(0, base);
  const updateBytes =
    plan.trainers === 0 ? await synchronous(plan, shop, base, report) : await rounds(plan, shop, base, report);
  meter.close();
  return { curve, loss: present(curve.at(-1), 'last loss').loss, updateBytes, seconds: shop.clock() - start };
}

type Report = (step: number, params: Uint8Array) => Promise<void>;

function scheduleOf({ learningRateNano, steps }: RunPlan): Schedule {
  const warmupSteps = Math.floor(steps / 20) + 1;
  return { learningRateNano, warmupSteps, decaySteps: steps - warmupSteps, floorBps: 1_000 };
}

function oneStep(
  runner: StepRunner,
  data: Dataset,
  indices: readonly number[],
  seed: Int32Array,
  hyper: Float32Array,
): void {
  const outcome = runner.step({ sequences: indices.map((index) => data.sequence(index)), seed, hyper });
  if (!outcome.ok) throw new Error(`${outcome.op} ${outcome.reason}`);
}

async function synchronous(
  plan: RunPlan,
  { executor, config, data }: Workshop,
  base: Uint8Array,
  report: Report,
): Promise<number> {
  const runner = createStepRunner(executor, config, { batch: plan.capacity * plan.batch, seq: config.context });
  startFromBase(runner, base);
  const order = createDataOrder(data.root, data.sequences);
  const key = sha256(utf8(`convergence round ${plan.seed}`));
  const share: RoundShare = {
    round: 0,
    dataStart: 0,
    capacities: [plan.capacity],
    steps: plan.steps,
    batch: plan.batch,
  };
  for (let step = 0; step < plan.steps; step++) {
    const hyper = hyperParameters(scheduleOf(plan), DEFAULT_OPTIMIZER, 0, step);
    oneStep(runner, data, stepSequences(order, share, 0, step), roundingSeed(key, 0, step), hyper);
    await report(step + 1, runner.state.subarray(0, runner.parameterBytes));
  }
  runner.close();
  return 0;
}

type Sent = Readonly<{ update: Update; bytes: number }>;

/** What a trainer has from its own last round. */
type Own = { moments: Uint8Array | null; residual: Float32Array | null };

async function rounds(plan: RunPlan, shop: Workshop, genesis: Uint8Array, report: Report): Promise<number> {
  const { executor, config, data } = shop;
  const { trainers, capacity, roundSteps } = plan;
  const capacities = Array.from({ length: trainers }, () => capacity / trainers);
  const runner = createStepRunner(executor, config, { batch: (capacity / trainers) * plan.batch, seq: config.context });
  const order = createDataOrder(data.root, data.sequences);
  const own: Own[] = capacities.map(() => ({ moments: null, residual: null }));
  const outer = { ...DEFAULT_OUTER_STEP, outerEtaNumerator: plan.etaNumerator, outerEtaShift: plan.etaShift };
  let base = floats(genesis);
  let before = base;
  let updateBytes = 0;
  for (let round = 0; round * roundSteps < plan.steps; round++) {
    const share: RoundShare = { round, dataStart: 0, capacities, steps: roundSteps, batch: plan.batch };
    const from = { ...share, dataStart: round * positionsOfRound(share) };
    const key = sha256(utf8(`convergence round ${plan.seed} ${round}`));
    const accepted = own.map((mine, slot) => {
      startRound(runner, base, mine, plan);
      for (let step = 0; step < roundSteps; step++) {
        const hyper = hyperParameters(scheduleOf(plan), DEFAULT_OPTIMIZER, round * roundSteps, step);
        if (plan.carry) correctFrom(hyper, round * roundSteps + step + 1);
        oneStep(runner, data, stepSequences(order, from, slot, step), roundingSeed(key, slot, step), hyper);
      }
      const { update, bytes } = endRound(runner, base, mine, plan, round);
      updateBytes = bytes;
      return { update, capacity: present(capacities[slot], 'capacity') };
    });
    const next = aggregate(base, accepted, outer, { before, share: plan.momentum }).params;
    [before, base] = [base, next];
    await report((round + 1) * roundSteps, bytesOf(base));
  }
  runner.close();
  return updateBytes;
}

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Bias corrections of moments that have seen `count` steps, this one included. */
function correctFrom(hyper: Float32Array, count: number): void {
  const [, beta1 = 0, beta2 = 0] = hyper;
  hyper[5] = biasCorrection(beta1, count);
  hyper[6] = biasCorrection(beta2, count);
}

function startRound(runner: StepRunner, base: Float32Array, mine: Own, plan: RunPlan): void {
  const { residual, moments } = mine;
  const start = plan.keep && residual !== null ? base.map((value, i) => value - (residual[i] as number)) : base;
  startFromBase(runner, bytesOf(start));
  if (moments !== null) runner.state.set(moments, runner.parameterBytes);
}

/** Sends what the round moved, and keeps what the next one needs. */
function endRound(runner: StepRunner, base: Float32Array, mine: Own, plan: RunPlan, round: number): Sent {
  const { shape, decay, eighths } = plan;
  const final = floats(runner.state.slice(0, runner.parameterBytes));
  if (plan.carry) mine.moments = runner.state.slice(runner.parameterBytes);
  // A trainer that started from what it had not sent has that in its final state.
  const residual = plan.keep ? null : mine.residual;
  if (eighths > 0) {
    const wanted = base.map((from, i) => ((residual?.[i] ?? 0) * decay) / 256 + (from - (final[i] as number)));
    const { update, bytes } = signUpdate(wanted, eighths, round);
    const sent = updateValues(update);
    mine.residual = wanted.map((value, i) => value - (sent[i] as number));
    return { update, bytes };
  }
  if (shape === null) {
    const bytes = present(encodeUpdate(base, final), 'finite update');
    return { update: unwrap(decodeUpdate(bytes, base.length)), bytes: bytes.length };
  }
  const sent = present(encodeWithResidual(base, final, residual, { shape, decay }), 'finite update');
  mine.residual = sent.residual;
  return { update: unwrap(decodeSparse(sent.bytes, base.length, shape)), bytes: sent.bytes.length };
}
