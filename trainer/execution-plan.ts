// Owns the choice of how a step runs on this machine: which values are computed twice, how many micro-batches advance
// together, so that it fits into memory. A plan never changes a bit: it is taken only when its meaning is that of the
// canonical program (engine/program-meaning.ts), whose hash is the one on chain.

import { check } from '../base/check.ts';
import { type Fault, type Result, success } from '../base/fault.ts';
import type { TensorProgram } from '../engine/program.ts';
import { meaningDifference } from '../engine/program-meaning.ts';
import { mostSegments, recompute } from '../engine/recompute.ts';
import { type MemoryHost, type MemoryNeed, mebibytes, memoryNeed, memoryRefusal } from './memory.ts';
import { type BatchShape, type ModelConfig, microBatches, updateShape } from './model.ts';
import { buildTrainProgram, buildUpdate, inUpdates } from './train-program.ts';

/** `atOnce` micro-batches advance together; forward passes are cut into `segments`, all but the last computed twice. */
export type PlanChoice = Readonly<{ atOnce: number; segments: number }>;

export type ExecutionPlan = Readonly<{
  choice: PlanChoice;
  /** What is loaded and run. */
  program: TensorProgram;
  /** What is hashed: the program of the protocol. */
  canonical: TensorProgram;
  need: MemoryNeed;
  /** One line for a log. */
  note: string;
}>;

/** The plan of a choice, whatever it needs. Throws when its meaning is not the canonical program's: a bug, never a result. */
export function planOf(config: ModelConfig, shape: BatchShape, choice: PlanChoice, threads = 1): ExecutionPlan {
  const canonical = buildTrainProgram(config, shape);
  return finishPlan(canonical, config, shape, choice, threads);
}

function finishPlan(
  canonical: TensorProgram,
  config: ModelConfig,
  shape: BatchShape,
  choice: PlanChoice,
  threads: number,
  carriesMoments = false,
): ExecutionPlan {
  const plain = choice.segments === 1 && (choice.atOnce === 1 || microBatches(shape) === 1);
  const update = plain ? null : recompute(buildUpdate(config, shape, choice.atOnce), choice.segments);
  const program = update === null ? canonical : inUpdates(update, shape);
  const difference = program === canonical ? null : meaningDifference(canonical, program);
  check(difference === null, `execution plan ${JSON.stringify(choice)} means something else: ${difference}`);
  const need = memoryNeed(program, config, threads, carriesMoments);
  return { choice, program, canonical, need, note: noteOf(shape, choice, need) };
}

function noteOf(shape: BatchShape, { atOnce, segments }: PlanChoice, need: MemoryNeed): string {
  const parts = microBatches(shape);
  const { batch } = updateShape(shape);
  const inParts = parts === 1 ? `batch of ${batch}` : `${parts} micro-batches of ${batch / parts}, ${atOnce} at once`;
  const order = shape.updates === undefined ? inParts : `${shape.updates} updates a step, ${inParts}`;
  const twice =
    segments === 1 ? 'no value computed twice' : `forward pass in ${segments} pieces, all but the last computed twice`;
  return `${order}, ${twice}, ${mebibytes(need.total)} of memory`;
}

/**
 * Least work first: nothing twice before something twice. Micro-batches one after the other: advancing together saves packing
 * the weights again, which measured as nothing (bench/engine-plans.ts), and takes memory.
 */
function choices(update: TensorProgram): readonly PlanChoice[] {
  const most = mostSegments(update);
  const pieces = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].filter((segments) => segments === 1 || segments <= most);
  return pieces.map((segments) => ({ atOnce: 1, segments }));
}

/** The fastest plan within the host's memory. Fault 'engine/memory' naming the need of the smallest one and the limit. */
export function choosePlan(config: ModelConfig, shape: BatchShape, host: MemoryHost): Result<ExecutionPlan> {
  const canonical = buildTrainProgram(config, shape);
  let least: ExecutionPlan | null = null;
  for (const choice of choices(buildUpdate(config, shape))) {
    const plan = finishPlan(canonical, config, shape, choice, host.threads, host.carriesMoments);
    if (memoryRefusal(plan.need, host, 'training') === null) return success(plan);
    if (least === null || plan.need.total < least.need.total) least = plan;
  }
  check(least !== null, 'choosePlan: there is always a plan of one piece');
  return refusalOf(least, host, shape);
}

function refusalOf(plan: ExecutionPlan, host: MemoryHost, { batch, seq }: BatchShape): Fault {
  const refusal = memoryRefusal(plan.need, host, `training ${batch} sequences of ${seq} tokens a step`);
  check(refusal !== null, 'refusalOf: the plan fits');
  return refusal;
}

/**
 * The greatest micro-batch, a divisor of an update's sequences, with which a step fits: what a new network fixes in its
 * genesis. Smaller ones change the step's meaning, so no machine may choose this for itself later.
 */
export function chooseMicroBatch(config: ModelConfig, shape: BatchShape, host: MemoryHost): Result<number> {
  const { batch } = updateShape(shape);
  const divisors = Array.from({ length: batch }, (_, i) => batch - i).filter((size) => batch % size === 0);
  let last: Result<number> | null = null;
  for (const microBatch of divisors) {
    const plan = choosePlan(config, { ...shape, microBatch }, host);
    if (plan.ok) return success(microBatch);
    last = plan;
  }
  check(last !== null, 'chooseMicroBatch: a batch has at least one sequence');
  return last;
}
