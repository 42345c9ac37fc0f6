// Shows error feedback in rounds: what is left out comes back, auditors follow it from root to root, a false residual is found,
// an unserved one accuses nobody, and whoever joins late reaches the same model from a checkpoint and the updates.

import test from 'ava';
import { equal, toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { stateRoot } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import { DEFAULT_OUTER_STEP, aggregate } from '../../trainer/aggregate.ts';
import { type AuditOptions, STRUCTURE_STEP, auditCommit, judgeStep } from '../../trainer/audit.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../trainer/checkpoint.ts';
import { decodeCommit, encodeCommit } from '../../trainer/commit.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import { NO_RESIDUAL, RESIDUAL_DECAY, encodeWithResidual } from '../../trainer/residual.ts';
import { type RoundResult, runLearningRound } from '../../trainer/round.ts';
import { floats } from '../../trainer/step-runner.ts';
import { decodeUpdate, updateValues } from '../../trainer/update.ts';
import { type Cheat, type Forgery, forge } from './cheats.ts';
import { type FixtureOptions, standInTask } from './round-fixture.ts';
import { TINY, seedOf } from './tiny-model.ts';

const salt = utf8('auditor');
const first: FixtureOptions = { codec: 2 };
const second: FixtureOptions = { codec: 2, round: 8, seed: 'next' };

type Done = Extract<RoundResult, { ok: true }>;

function done(result: RoundResult): Done {
  if (!result.ok) throw new Error(result.reason);
  return result;
}

/** Residual after an honest first round: what an honest second one starts with. */
async function residualOfFirst(): Promise<Readonly<{ bytes: Uint8Array; root: Uint8Array }>> {
  const { residual, commit } = done(await runLearningRound(standInTask(first)));
  return { bytes: present(residual, 'residual'), root: commit.residualRoot };
}

function auditSecond(forgery: Forgery, more: Partial<AuditOptions>) {
  return auditCommit(standInTask(second), { ...forgery, sample: [2], salt, ...more });
}

test('each operation is one of f32: decay, add, take away what was sent', (t) => {
  const random = prng('residual');
  const draw = () => Float32Array.from({ length: 5_000 }, () => (random.u32() / 2 ** 32 - 0.5) * 0.01);
  const [base, final, before] = [draw(), draw(), draw()];
  const { bytes, residual } = present(encodeWithResidual(base, final, before), 'result');
  const sent = updateValues(unwrap(decodeUpdate(bytes, base.length)));
  for (let i = 0; i < base.length; i++) {
    const decayed = Math.fround(((before[i] as number) * RESIDUAL_DECAY) / 256);
    const wanted = Math.fround(decayed + Math.fround((base[i] as number) - (final[i] as number)));
    if (residual[i] !== Math.fround(wanted - (sent[i] as number))) t.fail(`parameter ${i}`);
  }
  t.deepEqual(encodeWithResidual(base, final, null), encodeWithResidual(base, final, new Float32Array(5_000)));
  const broken = base.slice();
  broken[77] = Number.NaN;
  t.is(encodeWithResidual(base, broken, before), null);
  t.is(encodeWithResidual(base, final, broken), null);
});

test('a move that never fits is sent later: over many rounds what was sent nears what was wanted', (t) => {
  const length = 4_096;
  const base = new Float32Array(length);
  const final = Float32Array.from({ length }, (_, i) => -(2 ** -12) * (1 + i / length));
  const wanted = updateSums(base, final, 60, null);
  const forgetful = updateSums(base, final, 60, 0);
  const reached = (sent: Float32Array) => sent.filter((value) => value !== 0).length / length;
  t.is(reached(wanted), 1);
  t.true(reached(forgetful) < 0.1);
});

/** Sum of what is sent in so many equal rounds; `decay` null is the chain's. */
function updateSums(base: Float32Array, final: Float32Array, rounds: number, decay: 0 | null): Float32Array {
  const sum = new Float32Array(base.length);
  let before: Float32Array | null = null;
  for (let round = 0; round < rounds; round++) {
    const { bytes, residual }: { bytes: Uint8Array; residual: Float32Array } = present(
      encodeWithResidual(base, final, before),
      'result',
    );
    before = decay === null ? residual : null;
    for (const [i, value] of updateValues(unwrap(decodeUpdate(bytes, base.length))).entries()) {
      sum[i] = (sum[i] as number) + value;
    }
  }
  return sum;
}

test('a commitment carries the root of its residual', async (t) => {
  const { commit, residual, update } = done(await runLearningRound(standInTask(first)));
  t.true(equal(commit.residualRoot, stateRoot(present(residual, 'residual'))));
  t.deepEqual(unwrap(decodeCommit(encodeCommit(commit))), commit);
  t.is(update[0], 2);
  const dense = done(await runLearningRound(standInTask()));
  t.deepEqual([dense.residual, dense.commit.residualRoot], [null, NO_RESIDUAL]);
});

test('an honest second round is VALID from the served residual, and unavailable without it', async (t) => {
  const before = await residualOfFirst();
  const honest = forge(standInTask(second), { residual: before.bytes });
  const source = (fetch: () => Promise<Uint8Array | null>) => ({ residual: { root: before.root, fetch } });
  const served = await auditSecond(
    honest,
    source(async () => before.bytes),
  );
  t.is(served.verdict, 'valid');
  const result = done(await runLearningRound(standInTask(second), { residual: before.bytes }));
  t.deepEqual(result.commit, honest.commit);
  const wrong = before.bytes.slice();
  wrong[1_000] = (wrong[1_000] as number) ^ 1;
  for (const answer of [null, new Uint8Array(0), wrong, before.bytes.subarray(4)]) {
    const verdict = await auditSecond(
      honest,
      source(async () => answer),
    );
    t.like(verdict, { verdict: 'unavailable', reason: 'residual before the round is not served' });
    const judged = await judgeStep(standInTask(second), STRUCTURE_STEP, {
      ...honest,
      salt,
      ...source(async () => answer),
    });
    t.is(judged.verdict, 'unavailable');
  }
});

test('a false residual is INVALID: another start, another end, another update, a residual where none belongs', async (t) => {
  const before = await residualOfFirst();
  const source = { residual: { root: before.root, fetch: async () => before.bytes } };
  const cheats: Cheat[] = [
    // Forgets what it owed.
    {},
    { residual: before.bytes.map((byte, i) => (i === 3 ? byte ^ 0x40 : byte)) },
    { residual: before.bytes, residualRoot: NO_RESIDUAL },
    { residual: before.bytes, residualRoot: before.root },
    { residual: before.bytes, update: (right) => right.map((byte, i) => (i === 9 ? byte ^ 1 : byte)) },
  ];
  for (const cheat of cheats) {
    const forgery = forge(standInTask(second), cheat);
    t.like(await auditSecond(forgery, source), { verdict: 'invalid', step: STRUCTURE_STEP });
    const judged = await judgeStep(standInTask(second), STRUCTURE_STEP, { ...forgery, salt, ...source });
    t.like(judged, { verdict: 'invalid', step: STRUCTURE_STEP });
  }
  // After a round that was not accepted the residual is zero: who goes on with the old one is wrong.
  const stale = forge(standInTask(second), { residual: before.bytes });
  t.like(await auditSecond(stale, {}), { verdict: 'invalid', step: STRUCTURE_STEP });
  const dense = forge(standInTask(), { residualRoot: before.root });
  const verdict = await auditCommit(standInTask(), { ...dense, sample: [0], salt });
  t.like(verdict, { verdict: 'invalid', reason: 'residual root is not zero' });
});

const ZERO = `0x${'00'.repeat(32)}` as const;
const NOWHERE = { baseRoot: ZERO, datasetHash: ZERO, tokenizerHash: ZERO, kernelSpec: ZERO, programHash: ZERO };

type Published = Readonly<{ bytes: Uint8Array; capacity: number }>;

function outer(base: Uint8Array, updates: readonly Published[]): Uint8Array {
  const accepted = updates.map(({ bytes, capacity }) => ({
    update: unwrap(decodeUpdate(bytes, base.length / 4)),
    capacity,
  }));
  const { params } = aggregate(floats(base), accepted, DEFAULT_OUTER_STEP);
  return new Uint8Array(params.buffer, params.byteOffset, params.byteLength);
}

test('who joins late rebuilds the model from a checkpoint and the updates since, to the same root', async (t) => {
  let base: Uint8Array = initialWeights(TINY, seedOf('late joiner'));
  const residuals = new Map<number, Uint8Array | null>();
  const published: Readonly<{ root: Uint8Array; updates: readonly Published[] }>[] = [];
  for (let round = 0; round < 4; round++) {
    const updates: Published[] = [];
    for (const [slot, capacity] of [1, 2, 1].entries()) {
      // The second trainer is away in round 2, so it starts from zeros again in round 3.
      const before = residuals.get(slot) ?? null;
      residuals.delete(slot);
      if (round === 2 && slot === 1) continue;
      const task = standInTask({ codec: 2, slot, round, seed: `late ${round}`, parameters: base.length / 4, base });
      const result = done(await runLearningRound(task, { residual: before }));
      residuals.set(slot, result.residual);
      updates.push({ bytes: result.update, capacity });
    }
    base = outer(base, updates);
    published.push({ root: stateRoot(base), updates });
  }
  const [start, ...rest] = published as [(typeof published)[number], ...(typeof published)[number][]];
  const atStart = outer(initialWeights(TINY, seedOf('late joiner')), start.updates);
  const file = encodeCheckpoint(TINY, atStart, { ...NOWHERE, chainId: 1n, round: 0, version: 1 });
  let joined = unwrap(decodeCheckpoint(TINY, file, start.root)).params;
  for (const { root, updates } of rest) {
    joined = outer(joined, updates.toReversed());
    t.is(toHex(stateRoot(joined)), toHex(root));
  }
  t.is(new Set(published.map(({ root }) => toHex(root))).size, 4);
});
