// Owns a trainer's learning round: all steps from the base, leaves, chain, update and the commitment to them; going on after
// a crash; serving states to auditors. Judging somebody else's round is audit.ts.

import { equal } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { sha256 } from '../base/hash.ts';
import { stateRoot } from '../base/merkle.ts';
import type { CommitRecord } from './commit.ts';
import {
  type SentLeaf,
  type StepLeaf,
  chainHead,
  completeLeaves,
  encodeLeaves,
  lossOfBits,
  traceRoot,
} from './leaf.ts';
import { isFinalState } from './moments.ts';
import { type SlotTask, type StepFailure, breathe, executeStep, startRound, stepData } from './replay.ts';
import { plainRootHasher } from './root-hasher.ts';
import type { RoundStore } from './round-store.ts';
import { NO_RESIDUAL, roundUpdate } from './residual.ts';

type StepReport = Readonly<{
  step: number;
  steps: number;
  /** Mean loss of the step's batch, nats per token. */
  loss: number;
  /** Tokens trained by this step. */
  tokens: number;
}>;

export type RoundOptions = Readonly<{
  /** Step whose result is knowingly made wrong, for a canary; the steps after it train on from there. */
  canaryStep?: number;
  store?: RoundStore;
  /** Residual bytes the trainer's previous accepted claim left; zeros when left out. */
  residual?: Uint8Array | null;
  /** The final state that the task's moments are from; left out where they start from zeros. */
  carriedState?: Uint8Array | null;
  onStep?: (report: StepReport) => void;
  signal?: AbortSignal;
}>;

export type RoundResult =
  | Readonly<{
      ok: true;
      commit: CommitRecord;
      leaves: readonly StepLeaf[];
      /** Encoded update: what the commitment's update hash is of. */
      update: Uint8Array;
      /** What the next round starts with, if this one is accepted; null with a codec that leaves none. */
      residual: Uint8Array | null;
      /** params ‖ m ‖ v after the last step. */
      finalState: Uint8Array;
      /** Steps that came from the store. */
      resumedAt: number;
    }>
  /** 'aborted', or why the round is invalid by rule. */
  | Readonly<{ ok: false; reason: string; step: number; failure?: StepFailure }>;

/**
 * Runs a slot's round, from the newest usable state of the store when there is one. The result does not depend on where it
 * was resumed. A step whose numbers leave their range makes the whole round invalid: there is nothing to commit.
 */
export async function runLearningRound(task: SlotTask, options: RoundOptions = {}): Promise<RoundResult> {
  const { spec, rules, runner, base } = task;
  check(equal(stateRoot(base), spec.baseRoot), "runLearningRound: base does not have the round's base root");
  const { carriedState = null } = options;
  const known = carriedState === null || isFinalState(task.carried.root, carriedState, runner.state.length);
  check(known, 'runLearningRound: the carried state has its root');
  const leaves: SentLeaf[] = [...resume(task, carriedState, options.store)];
  const resumedAt = leaves.length;
  for (let step = leaves.length; step < rules.steps; step++) {
    await breathe();
    if (options.signal?.aborted === true) return { ok: false, reason: 'aborted', step };
    const outcome = executeStep(task, step);
    if (!outcome.ok) return { ok: false, reason: outcome.reason, step, failure: outcome };
    leaves.push(step === options.canaryStep ? spoil(task, outcome.leaf) : outcome.leaf);
    options.store?.save(leaves, runner.state, step === rules.steps - 1);
    options.onStep?.({
      step,
      steps: rules.steps,
      loss: lossOfBits(outcome.leaf.lossBits),
      tokens: runner.rows * rules.sequenceLength,
    });
  }
  const finalState = runner.state.slice();
  const final = finalState.subarray(0, runner.parameterBytes);
  const update = roundUpdate(rules.codec, base, final, options.residual ?? null);
  if (update === null) return { ok: false, reason: 'the update is not finite', step: rules.steps - 1 };
  const complete = completeLeaves(
    leaves,
    leaves.map((_, step) => stepData(task, step).root),
  );
  const { bytes, residual, residualRoot } = update;
  const commit = commitTo(task, complete, bytes, residualRoot);
  return { ok: true, commit, leaves: complete, update: bytes, residual, finalState, resumedAt };
}

/** Makes a step false in its smallest part: the last bit of one parameter. The leaf is that of the changed state. */
function spoil({ runner, hasher = plainRootHasher }: SlotTask, leaf: StepLeaf): StepLeaf {
  runner.state[0] = (runner.state[0] as number) ^ 1;
  return { ...leaf, stateRoot: hasher.root(runner.state) };
}

/** The commitment to a trace and an update: everything in it follows from them and the round. */
export function commitTo(
  task: SlotTask,
  leaves: readonly StepLeaf[],
  update: Uint8Array,
  residualRoot: Uint8Array = NO_RESIDUAL,
): CommitRecord {
  const { spec, slot, rules } = task;
  return {
    round: spec.round,
    capacity: present(spec.capacities[slot], 'capacity'),
    baseRoot: spec.baseRoot,
    traceRoot: traceRoot(leaves),
    gradChainHead: chainHead({ ...spec, slot }, leaves),
    finalStateRoot: present(leaves.at(-1), 'last leaf').stateRoot,
    updateHash: sha256(update),
    updateSize: update.length,
    residualRoot,
    kernelSpec: rules.kernelSpec,
    programHash: rules.programHash,
    leaves: encodeLeaves(leaves),
  };
}

/** Puts the newest intact state into the runner and returns the leaves up to it; the base and no leaves when there is none. */
function resume(task: SlotTask, carriedState: Uint8Array | null, store: RoundStore | undefined): readonly SentLeaf[] {
  const leaves = store?.leaves() ?? [];
  for (const step of store?.kept().toReversed() ?? []) {
    const state = store?.state(step) ?? null;
    if (state === null || !equal(stateRoot(state), present(leaves[step], 'leaf').stateRoot)) continue;
    task.runner.state.set(state);
    return leaves.slice(0, step + 1);
  }
  startRound(task, carriedState);
  return [];
}

/**
 * State before a step (params ‖ m ‖ v; `steps` gives the final state), from the store or by replay from the nearest state
 * it kept. Null when the store knows no such step or the arithmetic fails. Uses the runner.
 */
export async function stateBefore(
  task: SlotTask,
  step: number,
  store?: RoundStore,
  carriedState: Uint8Array | null = null,
): Promise<Uint8Array | null> {
  check(Number.isInteger(step) && step >= 0 && step <= task.rules.steps, 'stateBefore: step out of range');
  let at = 0;
  startRound(task, carriedState);
  for (const kept of store?.kept().toReversed() ?? []) {
    const state = kept < step ? (store?.state(kept) ?? null) : null;
    if (state === null || !equal(stateRoot(state), present(store?.leaves()[kept], 'leaf').stateRoot)) continue;
    task.runner.state.set(state);
    at = kept + 1;
    break;
  }
  for (; at < step; at++) {
    await breathe();
    if (!executeStep(task, at).ok) return null;
  }
  return task.runner.state.slice();
}
