// Owns the execution of steps of one slot: what a trainer runs, and what an auditor, a judge or a late joiner runs again.
// Which steps, and what follows from a difference, is round.ts and audit.ts.

import { check, present } from '../base/check.ts';
import { type DataOrder, createDataOrder, stepSequences } from './data-order.ts';
import type { Dataset } from './dataset.ts';
import { type StepLeaf, dataRoot, lossBitsOf } from './leaf.ts';
import { type Carried, NOTHING_CARRIED, checkCarried } from './moments.ts';
import { type RoundSpec, type TrainingRules, checkRound, roundShare } from './rules.ts';
import { type RootHasher, plainRootHasher } from './root-hasher.ts';
import { hyperParameters, roundingSeed } from './schedule.ts';
import { HYPER_NUMBERS, type StepRunner, startFromBase } from './step-runner.ts';

/** One slot's work of one round, with what executes it. */
export type SlotTask = Readonly<{
  spec: RoundSpec;
  slot: number;
  rules: TrainingRules;
  dataset: Dataset;
  order: DataOrder;
  /** Loaded for capacity x batch sequences. It is this task's alone while it runs. */
  runner: StepRunner;
  /** Parameter bytes of the base model. */
  base: Uint8Array;
  /** What the moments before the round are, by the chain. */
  carried: Carried;
  /** Takes the roots of large states on several threads; the calling thread alone when left out. */
  hasher?: RootHasher;
}>;

/** Moments start from zeros when `carried` is left out. */
export function createSlotTask(parts: Omit<SlotTask, 'order' | 'carried'> & Readonly<{ carried?: Carried }>): SlotTask {
  const { spec, slot, rules, dataset, runner, base, carried = NOTHING_CARRIED } = parts;
  checkRound(spec, slot, rules);
  checkCarried(carried);
  check(rules.carryMoments || carried.rounds === 0, 'slot task: this network carries no moments');
  check(
    runner.rows === present(spec.capacities[slot], 'capacity') * rules.batch,
    'slot task: runner has another batch',
  );
  check(dataset.manifest.sequenceLength === rules.sequenceLength, 'slot task: dataset has another sequence length');
  check(base.length === runner.parameterBytes, 'slot task: base of another model');
  return { ...parts, carried, order: createDataOrder(dataset.root, dataset.sequences) };
}

/** Why a step has no valid result: the arithmetic left its range at this instruction. The round is then invalid by rule. */
export type StepFailure = Readonly<{ ok: false; step: number; reason: string; instruction: number; op: string }>;
export type StepOutcome = Readonly<{ ok: true; leaf: StepLeaf }> | StepFailure;

/** Sequences and data root of a step: anyone derives them. */
export function stepData(
  task: SlotTask,
  step: number,
): Readonly<{ sequences: readonly Uint16Array[]; root: Uint8Array }> {
  const indices = stepSequences(task.order, roundShare(task.spec, task.rules), task.slot, step);
  return {
    sequences: indices.map((index) => task.dataset.sequence(index)),
    root: dataRoot(indices.map((index) => task.dataset.sequenceLeaf(index))),
  };
}

/** Puts the state before step 0 into the runner; `state` is the final state that the task's moments are from, or null. */
export function startRound({ runner, base, carried }: SlotTask, state: Uint8Array | null): void {
  check((state !== null) === carried.rounds > 0, 'startRound: moments as the chain has them');
  startFromBase(runner, base, state);
}

/** The eight numbers of each update of a step, one after the other (rules H-1 to H-3). */
export function stepNumbers({ spec, rules, carried }: SlotTask, step: number): Float32Array {
  const { schedule, optimizer, steps, updates } = rules;
  const round = steps * updates;
  const numbers = new Float32Array(HYPER_NUMBERS * updates);
  for (let update = 0; update < updates; update++) {
    const place = step * updates + update;
    const of = hyperParameters(schedule, optimizer, spec.baseVersion * round, place, carried.rounds * round);
    numbers.set(of, HYPER_NUMBERS * update);
  }
  return numbers;
}

/** Runs one step on the runner's state and returns its leaf. */
export function executeStep(task: SlotTask, step: number): StepOutcome {
  const { spec, slot, runner, hasher = plainRootHasher } = task;
  const data = stepData(task, step);
  const outcome = runner.step({
    sequences: data.sequences,
    seed: roundingSeed(spec.seed, slot, step),
    hyper: stepNumbers(task, step),
  });
  if (!outcome.ok) {
    return { ok: false, step, reason: outcome.reason, instruction: outcome.instruction, op: outcome.op };
  }
  const leaf = {
    step,
    stateRoot: hasher.root(runner.state),
    dataRoot: data.root,
    gradRoot: hasher.root(runner.gradients),
    lossBits: lossBitsOf(runner.loss()),
  };
  return { ok: true, leaf };
}

/** A turn of the event loop, so that messages and aborts reach a thread busy with steps. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
