// Owns the execution of steps of one slot: what a trainer runs, and what an auditor, a judge or a late joiner runs again.
// Which steps, and what follows from a difference, is round.ts and audit.ts.

import { check, present } from '../base/check.ts';
import { type DataOrder, createDataOrder, stepSequences } from './data-order.ts';
import type { Dataset } from './dataset.ts';
import { type StepLeaf, dataRoot, lossBitsOf } from './leaf.ts';
import { type RoundSpec, type TrainingRules, checkRound, roundShare } from './rules.ts';
import { type RootHasher, plainRootHasher } from './root-hasher.ts';
import { hyperParameters, roundingSeed } from './schedule.ts';
import type { StepRunner } from './step-runner.ts';

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
  /** Takes the roots of large states on several threads; the calling thread alone when left out. */
  hasher?: RootHasher;
}>;

export function createSlotTask(parts: Omit<SlotTask, 'order'>): SlotTask {
  const { spec, slot, rules, dataset, runner, base } = parts;
  checkRound(spec, slot, rules);
  check(
    runner.rows === present(spec.capacities[slot], 'capacity') * rules.batch,
    'slot task: runner has another batch',
  );
  check(dataset.manifest.sequenceLength === rules.sequenceLength, 'slot task: dataset has another sequence length');
  check(base.length === runner.parameterBytes, 'slot task: base of another model');
  return { ...parts, order: createDataOrder(dataset.root, dataset.sequences) };
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

/** Runs one step on the runner's state and returns its leaf. */
export function executeStep(task: SlotTask, step: number): StepOutcome {
  const { spec, slot, rules, runner, hasher = plainRootHasher } = task;
  const data = stepData(task, step);
  const outcome = runner.step({
    sequences: data.sequences,
    seed: roundingSeed(spec.seed, slot, step),
    hyper: hyperParameters(rules.schedule, rules.optimizer, spec.baseVersion * rules.steps, step),
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
