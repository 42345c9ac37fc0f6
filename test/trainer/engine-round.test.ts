// Shows on the real engine what the other tests show with a stand-in: rounds, audits, the outer step, held-out loss, files.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { equal, toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { DEFAULT_OUTER_STEP, aggregate } from '../../trainer/aggregate.ts';
import { STRUCTURE_STEP, auditCommit, judgeStep } from '../../trainer/audit.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../trainer/checkpoint.ts';
import { positionsOfRound } from '../../trainer/data-order.ts';
import { createHeldOutMeter, heldOutSample } from '../../trainer/held-out.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import type { ModelConfig } from '../../trainer/model.ts';
import { type Carried, NOTHING_CARRIED } from '../../trainer/moments.ts';
import { type SlotTask, createSlotTask } from '../../trainer/replay.ts';
import { openRoundStore, stateFile } from '../../trainer/round-store.ts';
import { type RoundResult, runLearningRound, stateBefore } from '../../trainer/round.ts';
import { type RoundSpec, type TrainingRules, roundShare, taskIdentity } from '../../trainer/rules.ts';
import { createStepRunner, floats } from '../../trainer/step-runner.ts';
import { decodeUpdate } from '../../trainer/update.ts';
import { forge } from './cheats.ts';
import { STEPS, dataset, rules as standInRules } from './round-fixture.ts';

const config: ModelConfig = {
  vocab: 300,
  dim: 32,
  layers: 2,
  heads: 2,
  kvHeads: 1,
  ffn: 64,
  context: 16,
  ropeTheta: 10_000,
};
const rules = {
  ...standInRules,
  schedule: { learningRateNano: 10_000_000, warmupSteps: 0, decaySteps: 0, floorBps: 0 },
};
const DECAYING = { learningRateNano: 10_000_000, warmupSteps: 3, decaySteps: 4, floorBps: 500 };
const salt = utf8('auditor');
const genesis = initialWeights(config, sha256(utf8('genesis')));

let executor: Executor;
let second: Executor;
test.before(async () => {
  executor = await createExecutor({ backend: 'wasm', threads: 1 });
  second = await createExecutor({ backend: 'wasm', threads: 2 });
});
test.after.always(async () => {
  await executor?.close();
  await second?.close();
});

type Place = Readonly<{
  slot?: number;
  seed?: string;
  base?: Uint8Array;
  capacities?: readonly number[];
  dataStart?: number;
  on?: Executor;
  /** What the moments before the round are, in a network that carries them. */
  carried?: Carried;
  /** Rules of another network. */
  changes?: Partial<TrainingRules>;
  profile?: 'bf16x';
}>;

function engineTask(place: Place = {}): SlotTask {
  const { slot = 0, seed = 'round', base = genesis, capacities = [1, 1, 2], dataStart = 0 } = place;
  const spec: RoundSpec = {
    round: 0,
    seed: sha256(utf8(seed)),
    baseRoot: stateRoot(base),
    baseVersion: 0,
    dataStart,
    capacities,
  };
  const changed = { ...rules, ...place.changes };
  const { updates, sequenceLength: seq } = changed;
  const batch = present(capacities[slot], 'capacity') * changed.batch;
  const shape = { batch, seq, updates, ...(place.profile === undefined ? {} : { profile: place.profile }) };
  const runner = createStepRunner(place.on ?? executor, config, shape);
  const parts = { spec, slot, rules: changed, dataset, runner, base };
  if (place.carried === undefined) return createSlotTask(parts);
  return createSlotTask({ ...parts, rules: { ...rules, carryMoments: true }, carried: place.carried });
}

function done(result: RoundResult): Extract<RoundResult, { ok: true }> {
  if (!result.ok) throw new Error(`round failed: ${result.reason}`);
  return result;
}

test('an honest trainer is VALID on every seed and slot, whoever audits with however many threads', async (t) => {
  for (let i = 0; i < 6; i++) {
    const place = { seed: `honest ${i}`, slot: i % 3 };
    const task = engineTask(place);
    const { commit, update } = done(await runLearningRound(task));
    const auditor = engineTask({ ...place, on: second });
    const common = { commit, salt, fetchUpdate: () => Promise.resolve(update) };
    const fetchState = (step: number) => stateBefore(task, step);
    const sample = [i, 7];
    const served = await auditCommit(auditor, { ...common, sample, fetchState });
    const replayed = await auditCommit(auditor, { ...common, sample });
    t.is(served.verdict, 'valid', JSON.stringify(served));
    t.deepEqual(replayed, served);
    task.runner.close();
    auditor.runner.close();
  }
});

test('a round of steps of two updates is the round of twice as many steps, with half the leaves', async (t) => {
  const changes = { updates: 2, batch: 2 * rules.batch, steps: rules.steps / 2, schedule: DECAYING };
  // Nothing is rounded at random in this profile, so nothing but the commitment differs.
  const place = { slot: 2, profile: 'bf16x' } as const;
  const task = engineTask({ ...place, changes });
  const round = done(await runLearningRound(task));
  const plain = engineTask({ ...place, changes: { schedule: DECAYING } });
  const wanted = done(await runLearningRound(plain));
  t.is(round.leaves.length, wanted.leaves.length / 2);
  t.true(equal(round.finalState, wanted.finalState));
  t.true(equal(round.update, wanted.update));
  for (const [step, { stateRoot: root, gradRoot }] of round.leaves.entries()) {
    const last = present(wanted.leaves[2 * step + 1], 'leaf');
    t.deepEqual([root, gradRoot], [last.stateRoot, last.gradRoot]);
  }

  const auditor = engineTask({ ...place, changes, on: second });
  const common = { salt, fetchUpdate: () => Promise.resolve(round.update) };
  const sample = [1, 3];
  t.is((await auditCommit(auditor, { ...common, commit: round.commit, sample })).verdict, 'valid');
  const altered = forge(task, { alter: (leaf) => (leaf.step === 3 ? { ...leaf, lossBits: leaf.lossBits + 1 } : leaf) });
  t.like(await auditCommit(auditor, { ...common, ...altered, sample }), { verdict: 'invalid', step: 3 });
});

test('false traces are INVALID at the false step, copies and false updates as a whole', async (t) => {
  const cheater = engineTask();
  const auditor = engineTask({ on: second });
  const altered = forge(cheater, {
    alter: (leaf) => (leaf.step === 4 ? { ...leaf, lossBits: (leaf.lossBits ^ 1) >>> 0 } : leaf),
  });
  t.like(await auditCommit(auditor, { ...altered, sample: [2, 4], salt }), { verdict: 'invalid', step: 4 });
  t.like(await judgeStep(auditor, 4, { ...altered, salt }), { verdict: 'invalid', step: 4 });
  t.like(await judgeStep(auditor, 5, { ...altered, salt }), { verdict: 'valid' });

  const skipped = forge(cheater, {
    instead: (step, _state, before) => (step >= 5 ? { ...present(before, 'leaf'), step } : null),
  });
  t.like(await auditCommit(auditor, { ...skipped, sample: [6], salt }), { verdict: 'invalid', step: 6 });

  const otherBase = forge(cheater, {
    start: (state) => {
      state[100] = (state[100] as number) ^ 1;
    },
  });
  t.like(await auditCommit(auditor, { ...otherBase, sample: [0], salt }), { verdict: 'invalid', step: 0 });

  const poisoned = forge(cheater, { update: (honest) => honest.with(honest.length - 1, 5) });
  t.like(await auditCommit(auditor, { ...poisoned, sample: [1], salt }), { verdict: 'invalid', step: STRUCTURE_STEP });

  const victim = forge(engineTask({ slot: 1 }), {});
  t.like(await auditCommit(auditor, { ...victim, sample: [1], salt }), { verdict: 'invalid', step: STRUCTURE_STEP });
});

test('a round goes on after a crash, and its stored states serve auditors', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'engine-round-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const open = (task: SlotTask) => {
    const identity = taskIdentity(task.spec, task.slot, task.rules, task.dataset.root);
    return openRoundStore({ folder, identity, steps: STEPS, stateBytes: task.runner.state.length, maxBytes: 1e9 });
  };
  const expected = done(await runLearningRound(engineTask()));
  const abort = new AbortController();
  const crashed = engineTask();
  await runLearningRound(crashed, {
    store: open(crashed),
    signal: abort.signal,
    onStep: ({ step }) => step === 3 && abort.abort(),
  });
  const task = engineTask({ on: second });
  const store = open(task);
  const result = done(await runLearningRound(task, { store }));
  t.is(result.resumedAt, 4);
  t.deepEqual(result.commit, expected.commit);
  t.deepEqual(result.update, expected.update);
  for (const step of [1, 4, STEPS]) {
    const replayed = await stateBefore(engineTask(), step);
    t.deepEqual(store.state(step - 1), replayed);
    t.deepEqual(new Uint8Array(readFileSync(stateFile(folder, step - 1))), replayed);
  }
});

test('the second of two accepted rounds goes on with its moments: VALID by every way, false ones INVALID, also after a crash', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'engine-moments-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const before = done(await runLearningRound(engineTask({ carried: NOTHING_CARRIED })));
  const carried = { root: before.commit.finalStateRoot, rounds: 1 };
  const carriedState = before.finalState;
  const place = { seed: 'second', dataStart: 64, carried };
  const expected = done(await runLearningRound(engineTask(place), { carriedState }));

  const open = (task: SlotTask) => {
    const identity = taskIdentity(task.spec, task.slot, task.rules, task.dataset.root);
    return openRoundStore({ folder, identity, steps: STEPS, stateBytes: task.runner.state.length, maxBytes: 1e9 });
  };
  const abort = new AbortController();
  const crashed = engineTask(place);
  const onStep = ({ step }: { step: number }): void => {
    if (step === 2) abort.abort();
  };
  await runLearningRound(crashed, { carriedState, store: open(crashed), signal: abort.signal, onStep });
  const resumed = engineTask(place);
  const result = done(await runLearningRound(resumed, { carriedState, store: open(resumed) }));
  t.is(result.resumedAt, 3);
  t.deepEqual(result.commit, expected.commit);

  const { commit, update } = expected;
  const auditor = engineTask({ ...place, on: second });
  const fetchCarried = () => Promise.resolve(carriedState);
  const common = { commit, salt, sample: [0, 6], fetchUpdate: () => Promise.resolve(update), fetchCarried };
  const fetchState = (step: number) => stateBefore(engineTask(place), step, undefined, carriedState);
  const served = await auditCommit(auditor, { ...common, fetchState });
  t.is(served.verdict, 'valid', JSON.stringify(served));
  t.deepEqual(await auditCommit(auditor, common), served);
  t.is((await judgeStep(auditor, 0, common)).verdict, 'valid');

  const cheater = engineTask(place);
  const { parameterBytes } = cheater.runner;
  const forgery = forge(cheater, {
    carriedState,
    start: (state) => {
      // One bit of one first moment, in the leaf that holds parameters too.
      state[parameterBytes + 2] = (state[parameterBytes + 2] as number) ^ 1;
    },
  });
  const sampled = await auditCommit(auditor, { ...forgery, sample: [0], salt, fetchCarried });
  t.like(sampled, { verdict: 'invalid', step: 0 });
  t.like(await judgeStep(auditor, 0, { ...forgery, salt, fetchCarried }), { verdict: 'invalid', step: 0 });
  const unserved = await auditCommit(auditor, { ...forgery, sample: [0], salt, fetchCarried: async () => null });
  t.is(unserved.verdict, 'unavailable');
});

test('rounds of three trainers lower the held-out loss, and every order of updates gives one model', async (t) => {
  const meter = createHeldOutMeter({ executor, config, dataset, batch: 8, sequences: 32 });
  let base = genesis;
  const losses = [unwrap(await meter.measure(base))];
  for (let round = 0, dataStart = 0; round < 4; round++) {
    const accepted = [];
    for (let slot = 0; slot < 3; slot++) {
      const task = engineTask({ slot, seed: `round ${round}`, base, dataStart });
      const { update } = done(await runLearningRound(task));
      accepted.push({
        update: unwrap(decodeUpdate(update, base.length / 4)),
        capacity: present(task.spec.capacities[slot], 'u'),
      });
      if (slot === 2) dataStart += positionsOfRound(roundShare(task.spec, rules));
      task.runner.close();
    }
    const next = aggregate(floats(base), accepted, DEFAULT_OUTER_STEP);
    t.is(toHex(aggregate(floats(base), accepted.toReversed(), DEFAULT_OUTER_STEP).modelRoot), toHex(next.modelRoot));
    base = new Uint8Array(next.params.buffer);
    t.true(equal(stateRoot(base), next.modelRoot));
    losses.push(unwrap(await meter.measure(base)));
  }
  t.log(`held-out micro-nats per token: ${losses.join(' ')}`);
  t.true((losses.at(-1) as number) < (losses[0] as number) - 500_000);
});

test('held-out loss does not depend on the batch or the threads, and needs a finite model', async (t) => {
  const values = await Promise.all(
    [
      { executor, batch: 1 },
      { executor, batch: 5 },
      { executor: second, batch: 32 },
    ].map((way) => createHeldOutMeter({ ...way, config, dataset, sequences: 32 }).measure(genesis)),
  );
  t.is(new Set(values.map(unwrap)).size, 1);
  // An untrained model is little worse than guessing: ln(300) = 5.70 nats.
  const untrained = unwrap(present(values[0], 'value'));
  t.true(untrained > 5_500_000 && untrained < 7_000_000, String(untrained));
  t.deepEqual(heldOutSample(10, 4), [0, 2, 5, 7]);
  t.deepEqual(heldOutSample(2, 4), [0, 1]);
  const broken = genesis.slice();
  broken.set([0, 0, 0xc0, 0x7f], broken.length - 4);
  t.false((await createHeldOutMeter({ executor, config, dataset, batch: 8, sequences: 32 }).measure(broken)).ok);
});

test('a checkpoint loads to the same bytes and root; any other file is refused', (t) => {
  const hash = toHex(sha256(utf8('x')));
  const provenance = {
    chainId: 7n,
    round: -1,
    version: 0,
    baseRoot: hash,
    datasetHash: hash,
    tokenizerHash: hash,
    kernelSpec: hash,
    programHash: hash,
  };
  const root = stateRoot(genesis);
  const file = encodeCheckpoint(config, genesis, provenance);
  t.deepEqual(encodeCheckpoint(config, genesis, provenance), file);
  const loaded = unwrap(decodeCheckpoint(config, file, root));
  t.true(equal(loaded.params, genesis));
  t.is(loaded.metadata.get('modelRoot'), toHex(root));
  const changed = file.with(file.length - 1, (file.at(-1) as number) ^ 1);
  for (const [bytes, against, message] of [
    [file, { ...config, layers: 1 }, /tensors/],
    [file, { ...config, ffn: 96 }, /shape/],
    [changed, config, /model root/],
    [file.subarray(0, -4), config, /safetensors/],
    [new Uint8Array(0), config, /safetensors/],
  ] as const) {
    const result = decodeCheckpoint(against, bytes, root);
    t.false(result.ok);
    if (!result.ok) t.regex(result.message, message);
  }
});
