// Owns putting a step of a round together as a dispute needs it: program, layout, inputs and the openings of schedule and data.

import { present } from '../base/check.ts';
import { open } from '../base/merkle.ts';
import type { Executor } from '../engine/executor.ts';
import type { DisputedStep } from './dispute-find.ts';
import type { DisputeProofs } from './dispute-proof.ts';
import { type DisputeTables, disputeShape, scheduleProof, stepConstants } from './dispute-roots.ts';
import { givenOf } from './dispute-run.ts';
import { stepSequences } from './data-order.ts';
import type { ModelConfig } from './model.ts';
import type { SlotTask } from './replay.ts';
import { roundShare } from './rules.ts';
import { buildTrainProgram } from './train-program.ts';

/**
 * A step of a slot's round, from the state before it; at step 0 with the final state its moments are from, null for zeros.
 * Throws at a capacity at which nobody can train.
 */
export function disputedStep(
  task: SlotTask,
  parts: Readonly<{ executor: Executor; model: ModelConfig; tables: DisputeTables }>,
  step: number,
  state: Uint8Array,
  carriedState: Uint8Array | null = null,
): DisputedStep {
  const { rules, spec, slot } = task;
  const capacity = present(spec.capacities[slot], 'capacity');
  const { executor, model, tables } = parts;
  return {
    executor,
    program: buildTrainProgram(model, disputeShape(rules, capacity)),
    layout: present(tables.layout(capacity), 'layout'),
    constants: stepConstants(model, rules, capacity),
    given: givenOf(task, step, state),
    step,
    carriedState,
  };
}

/** Openings that a proof may need beside tensors. */
export function disputeProofs({ rules, spec, slot, dataset, order, carried }: SlotTask, step: number): DisputeProofs {
  const indices = stepSequences(order, roundShare(spec, rules), slot, step);
  return {
    scheduleOf: (update) => scheduleProof(rules, spec.baseVersion, step, update, carried.rounds),
    sequenceLength: rules.sequenceLength,
    sequenceOf(row) {
      const index = present(indices[row], 'sequence of the row');
      const leaves = Array.from({ length: dataset.sequences }, (_, i) => dataset.sequenceLeaf(i));
      const ids = dataset.sequence(index);
      const bytes = new Uint8Array(2 * ids.length);
      const view = new DataView(bytes.buffer);
      for (const [i, id] of ids.entries()) view.setUint16(2 * i, id, true);
      return { bytes, siblings: open(leaves, index).siblings };
    },
  };
}
