// A program of its own: runs one seeded learning round of two slots and prints its roots as one line of JSON, so that other
// engines, thread counts and Node versions can be compared. Arguments: backend, threads.

import { toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { createExecutor } from '../../engine/executor.ts';
import { DEFAULT_OUTER_STEP, aggregate } from '../../trainer/aggregate.ts';
import { commitHash } from '../../trainer/commit.ts';
import { createHeldOutMeter } from '../../trainer/held-out.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import { preset } from '../../trainer/presets.ts';
import { createSlotTask } from '../../trainer/replay.ts';
import { runLearningRound } from '../../trainer/round.ts';
import type { RoundSpec } from '../../trainer/rules.ts';
import { createStepRunner, floats } from '../../trainer/step-runner.ts';
import { decodeUpdate } from '../../trainer/update.ts';
import { dataset, rules } from '../trainer/round-fixture.ts';

/** What must be the same wherever it was computed. */
export type Roots = Readonly<{
  /** Hash of each slot's commitment: leaves, trace root, gradient chain, final state root, update hash. */
  commits: readonly string[];
  modelRoot: string;
  heldOutMicroNats: number;
}>;
export type RootsLine = Readonly<{ node: string; engine: string; roots: Roots }>;

async function main(backend: string, threads: number): Promise<void> {
  if (backend !== 'wasm' && backend !== 'native' && backend !== 'scalar') throw new Error(`no backend ${backend}`);
  const executor = await createExecutor({ backend, threads });
  const config = preset('0.3m', 300);
  const base = initialWeights(config, sha256(utf8('roots')));
  const spec: RoundSpec = {
    round: 3,
    seed: sha256(utf8('roots seed')),
    baseRoot: stateRoot(base),
    baseVersion: 2,
    dataStart: 64,
    capacities: [1, 2],
  };
  const accepted = [];
  const commits: string[] = [];
  for (const [slot, capacity] of spec.capacities.entries()) {
    const shape = { batch: capacity * rules.batch, seq: rules.sequenceLength };
    const runner = createStepRunner(executor, config, shape);
    const result = await runLearningRound(createSlotTask({ spec, slot, rules, dataset, runner, base }));
    if (!result.ok) throw new Error(`slot ${slot}: ${result.reason} at step ${result.step}`);
    commits.push(toHex(commitHash(result.commit)));
    accepted.push({ update: unwrap(decodeUpdate(result.update, base.length / 4)), capacity });
    runner.close();
  }
  const next = aggregate(floats(base), accepted, DEFAULT_OUTER_STEP);
  const params = new Uint8Array(next.params.buffer, next.params.byteOffset, next.params.byteLength);
  const meter = createHeldOutMeter({ executor, config, dataset, batch: 4, sequences: 8 });
  const heldOutMicroNats = unwrap(await meter.measure(params));
  const line: RootsLine = {
    node: process.version,
    engine: executor.description,
    roots: { commits, modelRoot: toHex(next.modelRoot), heldOutMicroNats },
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  await executor.close();
}

if (process.argv[1] === import.meta.filename) {
  await main(present(process.argv[2], 'backend'), Number(process.argv[3] ?? 1));
}
