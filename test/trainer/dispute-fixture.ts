// Owns a small model's round in which one tensor of one step is changed: the forged trace, and the step as each side of a
// challenge has it.

import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { stateRoot } from '../../base/merkle.ts';
import { DEFAULT_CHALLENGE_RULES, type ChallengeParameters } from '../../chain/system/challenge-parameters.ts';
import type { Executor } from '../../engine/executor.ts';
import type { Value } from '../../engine/scalar-ops.ts';
import { type DisputedStep, walkEntries } from '../../trainer/dispute-find.ts';
import { type DisputeTables, challengeParameters, disputeShape, disputeTables } from '../../trainer/dispute-roots.ts';
import { disputedStep } from '../../trainer/dispute-step.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import type { StepLeaf } from '../../trainer/leaf.ts';
import type { ModelConfig } from '../../trainer/model.ts';
import { type Carried, NOTHING_CARRIED } from '../../trainer/moments.ts';
import { type SlotTask, createSlotTask, executeStep, startRound, stepData } from '../../trainer/replay.ts';
import type { RoundSpec, TrainingRules } from '../../trainer/rules.ts';
import { createStepRunner } from '../../trainer/step-runner.ts';
import { smallDataset, smallRules } from './round-fixture.ts';
import { seedOf } from './tiny-model.ts';

export const MODEL: ModelConfig = {
  vocab: 300,
  dim: 16,
  layers: 1,
  heads: 2,
  kvHeads: 1,
  ffn: 20,
  context: 16,
  ropeTheta: 10_000,
};
export const RULES: TrainingRules = smallRules(3, 2, 16);
/** The same where moments are carried, and where a step is two optimizer updates. */
export const CARRYING: TrainingRules = { ...RULES, carryMoments: true };
export const UPDATING: TrainingRules = { ...RULES, updates: 2 };
export const DATASET = smallDataset(RULES.sequenceLength, MODEL.vocab);
export const BASE = initialWeights(MODEL, seedOf('dispute'));
export const BASE_ROOT = stateRoot(BASE);

const made = new Map<number, DisputeTables>();
export function tables(rules: TrainingRules = RULES): DisputeTables {
  const known = made.get(rules.updates) ?? disputeTables(MODEL, rules);
  made.set(rules.updates, known);
  return known;
}

export function parametersOf(
  changes: Partial<Pick<ChallengeParameters, 'answerBlocks' | 'proveBlocks' | 'windowBlocks'>> = {},
  rules: TrainingRules = RULES,
): ChallengeParameters {
  const definition = { model: MODEL, rules, training: DATASET.manifest.train };
  return unwrap(challengeParameters(definition, { ...DEFAULT_CHALLENGE_RULES, ...changes }));
}

export function taskOf(
  executor: Executor,
  spec: RoundSpec,
  slot: number,
  rules: TrainingRules = RULES,
  carried: Carried = NOTHING_CARRIED,
): SlotTask {
  const runner = createStepRunner(executor, MODEL, disputeShape(rules, present(spec.capacities[slot], 'capacity')));
  return createSlotTask({ spec, slot, rules, dataset: DATASET, runner, base: BASE, carried });
}

/** What a cheat changes: outputs of instructions as they are made, or what it says of a step's inputs and results. */
export type Cheat = Readonly<{
  step: number;
  alter?: (at: number, outputs: readonly Value[]) => void;
  given?: (given: DisputedStep['given']) => DisputedStep['given'];
  result?: (result: { stateAfter: Uint8Array; gradients: Uint8Array; lossBits: number }) => void;
}>;

export type Trace = Readonly<{ leaves: readonly StepLeaf[]; states: readonly Uint8Array[] }>;

/** The steps of a round, one of them with the cheat; `states[j]` is the state before step j. */
export function traceOf(
  executor: Executor,
  task: SlotTask,
  cheat: Cheat | null,
  carriedState: Uint8Array | null = null,
): Trace {
  const { runner } = task;
  startRound(task, carriedState);
  const leaves: StepLeaf[] = [];
  const states = [runner.state.slice()];
  for (let step = 0; step < RULES.steps; step++) {
    if (step === cheat?.step) {
      const result = resultOf(cheatedStep(executor, task, step, present(states[step], 'state'), cheat), cheat);
      const { root } = stepData(task, step);
      leaves.push({
        step,
        stateRoot: stateRoot(result.stateAfter),
        dataRoot: root,
        gradRoot: stateRoot(result.gradients),
        lossBits: result.lossBits,
      });
      runner.state.set(result.stateAfter);
    } else {
      const outcome = executeStep(task, step);
      if (!outcome.ok) throw new Error('the fixture trains');
      leaves.push(outcome.leaf);
    }
    states.push(runner.state.slice());
  }
  return { leaves, states };
}

export function cheatedStep(
  executor: Executor,
  task: SlotTask,
  step: number,
  state: Uint8Array,
  cheat: Cheat | null,
): DisputedStep {
  const honest = disputedStep(task, { executor, model: MODEL, tables: tables(task.rules) }, step, state);
  if (cheat === null || cheat.step !== step) return honest;
  const given = cheat.given?.(honest.given) ?? honest.given;
  return { ...honest, given, ...(cheat.alter === undefined ? {} : { alter: cheat.alter }) };
}

function resultOf(
  step: DisputedStep,
  cheat: Cheat,
): { stateAfter: Uint8Array; gradients: Uint8Array; lossBits: number } {
  const done = walkEntries(step, () => undefined);
  if (!done.ok) throw new Error('the cheat trains');
  const { stateAfter, gradients, lossBits } = done;
  const result = { stateAfter, gradients, lossBits };
  cheat.result?.(result);
  return result;
}
