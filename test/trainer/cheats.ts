// Dishonest trainers, carried out by real code: each makes a commitment that is consistent in everything it can be.

import { present } from '../../base/check.ts';
import type { CommitRecord } from '../../trainer/commit.ts';
import type { StepLeaf } from '../../trainer/leaf.ts';
import { type SlotTask, executeStep, startRound, stepData } from '../../trainer/replay.ts';
import { commitTo } from '../../trainer/round.ts';
import { NO_RESIDUAL, roundUpdate } from '../../trainer/residual.ts';

export type Forgery = Readonly<{
  commit: CommitRecord;
  update: Uint8Array;
  /** What this trainer serves: the states its own trace claims. */
  fetchState: (step: number) => Promise<Uint8Array | null>;
  fetchUpdate: () => Promise<Uint8Array | null>;
}>;

export type Cheat = Readonly<{
  /** Final state that the task's moments are from. */
  carriedState?: Uint8Array;
  /** Starts from something else than the base. */
  start?: (state: Uint8Array) => void;
  /** Skips a step: returns what is claimed in its place, from the leaf before. Null executes the step. */
  instead?: (step: number, state: Uint8Array, before: StepLeaf | undefined) => StepLeaf | null;
  /** Changes the leaf of an executed step. */
  alter?: (leaf: StepLeaf) => StepLeaf;
  update?: (honest: Uint8Array) => Uint8Array;
  /** Residual before the round that the update is made from; zeros when left out. */
  residual?: Uint8Array;
  /** States another residual than its own. */
  residualRoot?: Uint8Array;
}>;

/** Runs a round with a cheat in it and commits to the result as an honest trainer would. */
export function forge(task: SlotTask, cheat: Cheat): Forgery {
  const { runner, rules, base } = task;
  startRound(task, cheat.carriedState ?? null);
  cheat.start?.(runner.state);
  const states: Uint8Array[] = [runner.state.slice()];
  const leaves: StepLeaf[] = [];
  for (let step = 0; step < rules.steps; step++) {
    const claimed = cheat.instead?.(step, runner.state, leaves.at(-1)) ?? null;
    // Data roots are derived by everyone, so a false one would only be found sooner.
    let leaf = claimed === null ? null : { ...claimed, dataRoot: stepData(task, step).root };
    if (leaf === null) {
      const outcome = executeStep(task, step);
      if (!outcome.ok) throw new Error(`cheat: step ${step} failed`);
      leaf = outcome.leaf;
    }
    leaves.push(cheat.alter?.(leaf) ?? leaf);
    states.push(runner.state.slice());
  }
  const final = present(states.at(-1), 'final state').slice(0, runner.parameterBytes);
  const honest = roundUpdate(rules.codec, base, final, cheat.residual ?? null);
  const right = honest?.bytes ?? new Uint8Array(0);
  const update = cheat.update?.(right) ?? right;
  const residualRoot = cheat.residualRoot ?? honest?.residualRoot ?? NO_RESIDUAL;
  return {
    commit: {
      ...commitTo(task, leaves, update, residualRoot),
      updateSize: right.length || update.length,
    },
    update,
    fetchState: (step) => Promise.resolve(states[step] ?? null),
    fetchUpdate: () => Promise.resolve(update),
  };
}
