// Dishonest trainers of a live network: each makes a claim that is consistent in everything it can be, with real files.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { check, present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { readCurrentRound } from '../../chain/system/views.ts';
import type { TrainAnswer } from '../../node/engine-calls.ts';
import type { NetworkDefinition } from '../../node/network-definition.ts';
import type { RunningNode } from '../../node/node.ts';
import { roundSpec, slotOf } from '../../node/round-words.ts';
import { roundFolder } from '../../node/state-exchange.ts';
import { systemView } from '../../node/system-view.ts';
import { createDataOrder } from '../../trainer/data-order.ts';
import { type Dataset, openDataset } from '../../trainer/dataset.ts';
import { type SentLeaf, completeLeaves, decodeLeaves } from '../../trainer/leaf.ts';
import { NOTHING_CARRIED } from '../../trainer/moments.ts';
import { type SlotTask, stepData } from '../../trainer/replay.ts';
import { stateFile } from '../../trainer/round-store.ts';
import { commitTo } from '../../trainer/round.ts';
import { floats } from '../../trainer/step-runner.ts';
import { encodeUpdate } from '../../trainer/update.ts';

export type Answer = Extract<TrainAnswer, { ok: true }>;

/** The network's dataset, from the file its founder left beside the genesis. */
export function datasetOf(definition: NetworkDefinition, genesisFile: string): Dataset {
  const name = definition.manifest.file.sha256.slice(2);
  const file = join(dirname(genesisFile), 'blobs', 'blobs', name.slice(0, 2), name);
  return unwrap(openDataset(definition.manifest, new Uint8Array(readFileSync(file))));
}

/** The slot a trainer works on now, as far as a commitment needs it. Its runner is never used. */
async function slotTask(node: RunningNode, definition: NetworkDefinition, dataset: Dataset): Promise<SlotTask> {
  const record = present(await readCurrentRound(systemView(node.chain)), 'running round');
  const keeper = present(node.learning(), 'learning').keeper;
  return {
    spec: roundSpec(record),
    slot: slotOf(record, node.address),
    rules: definition.rules,
    dataset,
    order: createDataOrder(dataset.root, dataset.sequences),
    runner: null as never,
    base: present(keeper.params(record.baseRoot), 'base'),
    carried: NOTHING_CARRIED,
  };
}

/** A new commitment from changed leaves: trace root, gradient chain and final root follow from them, as an honest one's do. */
export async function claimWith(
  parts: { node: RunningNode; definition: NetworkDefinition; dataset: Dataset },
  answer: Answer,
  change: (leaves: readonly SentLeaf[]) => readonly SentLeaf[],
  update: (base: Uint8Array) => Uint8Array = () => answer.update,
): Promise<Answer> {
  const task = await slotTask(parts.node, parts.definition, parts.dataset);
  check(task.spec.round === answer.commit.round, 'claimWith: the round has not moved on');
  const leaves = change(unwrap(decodeLeaves(answer.commit.leaves, task.rules.steps)));
  const complete = completeLeaves(
    leaves,
    leaves.map((_, step) => stepData(task, step).root),
  );
  const bytes = update(task.base);
  return { ...answer, commit: commitTo(task, complete, bytes), update: bytes };
}

/** The update a trainer would have that stopped after a step, from the state it kept of it. */
export function updateAfter(dataDir: string, round: number, step: number): (base: Uint8Array) => Uint8Array {
  return (base) => {
    const file = stateFile(roundFolder(dataDir, round), step);
    check(existsSync(file), 'updateAfter: the state was kept');
    const params = new Uint8Array(readFileSync(file)).slice(0, base.length);
    return present(encodeUpdate(floats(base), floats(params)), 'finite update');
  };
}
