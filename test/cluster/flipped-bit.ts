// A trainer of a live network with one bit of one activation flipped: its claim, and what it says when that step is challenged.

import { present } from '../../base/check.ts';
import { stateRoot } from '../../base/merkle.ts';
import { readCurrentRound } from '../../chain/system/views.ts';
import type { Executor } from '../../engine/executor.ts';
import type { Value } from '../../engine/scalar-ops.ts';
import type { DisputeAnswerArgs, DisputeReply } from '../../node/engine-calls.ts';
import type { NetworkDefinition } from '../../node/network-definition.ts';
import type { RunningNode } from '../../node/node.ts';
import { roundSpec, slotOf } from '../../node/round-words.ts';
import { systemView } from '../../node/system-view.ts';
import type { Dataset } from '../../trainer/dataset.ts';
import { type DisputeAnswer, answerStep } from '../../trainer/dispute-answer.ts';
import { walkEntries } from '../../trainer/dispute-find.ts';
import { disputeShape, disputeTables } from '../../trainer/dispute-roots.ts';
import { disputedStep } from '../../trainer/dispute-step.ts';
import type { StepLeaf } from '../../trainer/leaf.ts';
import { type SlotTask, createSlotTask, executeStep, stepData } from '../../trainer/replay.ts';
import { commitTo } from '../../trainer/round.ts';
import type { RoundSpec } from '../../trainer/rules.ts';
import { createStepRunner, floats, startFromBase } from '../../trainer/step-runner.ts';
import { encodeUpdate } from '../../trainer/update.ts';
import type { Answer } from './forged-claims.ts';

export const FALSE_STEP = 2;

/** A trainer whose step 2 has one bit of one activation flipped, and everything after it computed from that. */
export function createFlippedBit(executor: Executor, definition: NetworkDefinition, dataset: Dataset) {
  const { model } = definition.training;
  const { rules } = definition;
  const tables = disputeTables(model, rules);
  const alter = (at: number, outputs: readonly Value[]): void => {
    const { data } = present(outputs[0], 'output');
    const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
    if (at === 8) words[321] = (words[321] as number) ^ (1 << 21);
  };
  let forged: Readonly<{ round: number; leaves: readonly StepLeaf[]; before: Uint8Array; spec: RoundSpec }> | null =
    null;
  let said: DisputeAnswer | null = null;

  function taskOf(spec: RoundSpec, slot: number, base: Uint8Array): SlotTask {
    const runner = createStepRunner(executor, model, disputeShape(rules, 1));
    return createSlotTask({ spec, slot, rules, dataset, base, runner });
  }
  const falseStep = (task: SlotTask, before: Uint8Array) => ({
    ...disputedStep(task, { executor, model, tables }, FALSE_STEP, before),
    alter,
  });

  return {
    round: () => forged?.round ?? null,
    async claim(answer: Answer, node: RunningNode): Promise<Answer> {
      if (forged !== null) return answer;
      const record = present(await readCurrentRound(systemView(node.chain)), 'round');
      const base = present(present(node.learning(), 'learning').keeper.params(record.baseRoot), 'base');
      const spec = roundSpec(record);
      const task = taskOf(spec, slotOf(record, node.address), base);
      const { runner } = task;
      startFromBase(runner, base);
      const leaves: StepLeaf[] = [];
      let before = new Uint8Array(0);
      for (let step = 0; step < rules.steps; step++) {
        if (step !== FALSE_STEP) {
          const outcome = executeStep(task, step);
          if (!outcome.ok) throw new Error('the step trains');
          leaves.push(outcome.leaf);
          continue;
        }
        before = runner.state.slice();
        const done = walkEntries(falseStep(task, before), () => undefined);
        if (!done.ok) throw new Error('the false step trains');
        runner.state.set(done.stateAfter);
        const roots = { stateRoot: stateRoot(done.stateAfter), gradRoot: stateRoot(done.gradients) };
        leaves.push({ step, ...roots, dataRoot: stepData(task, step).root, lossBits: done.lossBits });
      }
      const update = present(encodeUpdate(floats(base), floats(runner.state.slice(0, base.length))), 'update');
      forged = { round: spec.round, leaves, before, spec };
      return { ...answer, commit: commitTo(task, leaves, update), update };
    },
    async reply({ spec, slot, base, node }: DisputeAnswerArgs): Promise<DisputeReply> {
      const { leaves, before } = present(forged, 'forged claim');
      said ??= answerStep(falseStep(taskOf(spec, slot, base), before), leaves, tables.programProof(1));
      const answer = present(said, 'answer');
      if (node === null) return { kind: 'answer', answer: answer.answer };
      const disclosure = answer.disclose(node);
      return disclosure === null ? null : { kind: 'disclosure', disclosure };
    },
  };
}
