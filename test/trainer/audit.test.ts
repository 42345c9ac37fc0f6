// Shows that re-execution finds every kind of false trace at the right step, and never accuses an honest trainer.

import test from 'ava';
import { equal, toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { sha256 } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import { type AuditOptions, STRUCTURE_STEP, auditCommit, judgeStep } from '../../trainer/audit.ts';
import type { CommitRecord } from '../../trainer/commit.ts';
import { completeLeaves, decodeLeaves } from '../../trainer/leaf.ts';
import { stepData } from '../../trainer/replay.ts';
import { commitTo, runLearningRound } from '../../trainer/round.ts';
import { drawSample } from '../../trainer/sample.ts';
import { type Cheat, type Forgery, forge } from './cheats.ts';
import { STEPS, standInTask } from './round-fixture.ts';

const salt = utf8('auditor');
const everyStep = Array.from({ length: STEPS }, (_, step) => step);

/** Audit by someone else: a runner of its own, states and update as the trainer serves them. */
function audit(forgery: Forgery, sample: readonly number[], more: Partial<AuditOptions> = {}) {
  return auditCommit(standInTask(), { ...forgery, sample, salt, ...more });
}

test('an honest trainer is VALID for every seed, slot and sample, with and without served states', async (t) => {
  for (let i = 0; i < 12; i++) {
    const options = { seed: `honest ${i}`, slot: i % 3 };
    const honest = forge(standInTask(options), {});
    const random = prng(`sample ${i}`);
    const sample = drawSample(random.bytes(32), STEPS, 1 + random.below(4));
    const served = await auditCommit(standInTask(options), { ...honest, sample, salt });
    t.is(served.verdict, 'valid');
    const { fetchState: _unserved, ...unserved } = honest;
    t.deepEqual(await auditCommit(standInTask(options), { ...unserved, sample, salt }), served);
    const result = await runLearningRound(standInTask(options));
    t.true(result.ok && equal(result.update, honest.update));
    if (result.ok) t.deepEqual(result.commit, honest.commit);
  }
});

test('digests depend on the auditor, so a verdict cannot be echoed', async (t) => {
  const honest = forge(standInTask(), {});
  const digests = await Promise.all(
    ['a', 'b'].map(async (name) => {
      const verdict = await auditCommit(standInTask(), { ...honest, sample: [3], salt: utf8(name) });
      return verdict.verdict === 'valid' ? toHex(verdict.digest) : verdict.verdict;
    }),
  );
  t.is(new Set(digests).size, 2);
});

/** Each false trace with the step where it goes wrong. Everything else about it is consistent. */
const falseSteps: { name: string; step: number; reason: RegExp; cheat: Cheat }[] = [
  {
    name: 'a reported loss is altered',
    step: 4,
    reason: /loss/,
    cheat: { alter: (leaf) => (leaf.step === 4 ? { ...leaf, lossBits: (leaf.lossBits ^ 1) >>> 0 } : leaf) },
  },
  {
    name: 'a reported gradient root is altered',
    step: 5,
    reason: /gradient root/,
    cheat: { alter: (leaf) => (leaf.step === 5 ? { ...leaf, gradRoot: sha256(leaf.gradRoot) } : leaf) },
  },
  {
    name: 'one bit of one moment is flipped between two steps',
    step: 3,
    reason: /state root/,
    cheat: {
      instead: (step, state) => {
        if (step === 3) state[state.length - 5] = (state[state.length - 5] as number) ^ 1;
        return null;
      },
    },
  },
  {
    name: 'a step is skipped: state and gradient root of the step before are reported again',
    step: 3,
    reason: /root/,
    cheat: { instead: (step, _state, before) => (step === 3 ? { ...present(before, 'leaf'), step } : null) },
  },
  {
    name: 'a step is skipped: a made-up state is reported and trained on',
    step: 6,
    reason: /root/,
    cheat: {
      instead: (step, state, before) => {
        if (step !== 6) return null;
        state[40] = (state[40] as number) ^ 4;
        return { ...present(before, 'leaf'), step, stateRoot: stateRoot(state) };
      },
    },
  },
  {
    name: 'training starts from another base',
    step: 0,
    reason: /root/,
    cheat: {
      start: (state) => {
        state[0] = (state[0] as number) ^ 1;
      },
    },
  },
];

for (const { name, step, reason, cheat } of falseSteps) {
  test(`${name}: INVALID at that step when it is sampled, alone or among others`, async (t) => {
    const forgery = forge(standInTask(), cheat);
    for (const sample of [[step], everyStep]) {
      const verdict = await audit(forgery, sample);
      t.like(verdict, { verdict: 'invalid', step });
      if (verdict.verdict === 'invalid') t.regex(verdict.reason, reason);
    }
    const judged = await judgeStep(standInTask(), step, { ...forgery, salt });
    t.is(judged.verdict, 'invalid');
    // Another step of the same trace is true, and stays so when the accuser names it.
    const other = step === STEPS - 1 ? 1 : step + 1;
    const cleared = await judgeStep(standInTask(), other, { ...forgery, salt });
    t.is(cleared.verdict, 'valid');
  });

  test(`${name}: without served states, replay finds the first false step`, async (t) => {
    const { fetchState: _unserved, ...forgery } = forge(standInTask(), cheat);
    const verdict = await auditCommit(standInTask(), { ...forgery, sample: [STEPS - 1], salt });
    t.like(verdict, { verdict: 'invalid', step });
    const refusing = await auditCommit(standInTask(), { ...forgery, sample: [STEPS - 1], salt, replay: false });
    t.like(refusing, { verdict: 'unavailable' });
  });
}

test('a proof copied from another slot is INVALID as a structure, and step by step when it is relabelled', async (t) => {
  const victim = forge(standInTask({ slot: 0 }), {});
  const task = standInTask({ slot: 2 });
  const copied = await auditCommit(task, { ...victim, sample: everyStep, salt });
  t.like(copied, { verdict: 'invalid', step: STRUCTURE_STEP, reason: 'gradient chain head differs' });
  const sent = decodeLeaves(victim.commit.leaves, STEPS);
  if (!sent.ok) throw new Error(sent.message);
  const dataRoots = everyStep.map((step) => stepData(task, step).root);
  const relabelled = commitTo(task, completeLeaves(sent.value, dataRoots), victim.update);
  for (const step of everyStep) {
    const verdict = await auditCommit(standInTask({ slot: 2 }), {
      ...victim,
      commit: relabelled,
      sample: [step],
      salt,
    });
    t.like(verdict, { verdict: 'invalid', step });
  }
});

test('an update that is not of the final state is INVALID as a structure; wrong bytes from a peer only unavailable', async (t) => {
  const forgery = forge(standInTask(), {
    update: (honest) => honest.with(honest.length - 1, (honest.at(-1) as number) ^ 1),
  });
  t.like(await audit(forgery, []), { verdict: 'invalid', step: STRUCTURE_STEP });
  t.like(await judgeStep(standInTask(), STRUCTURE_STEP, { ...forgery, salt }), {
    verdict: 'invalid',
    step: STRUCTURE_STEP,
  });
  const honest = forge(standInTask(), {});
  t.like(await audit({ ...honest, fetchUpdate: () => Promise.resolve(null) }, [1]), { verdict: 'unavailable' });
  const { fetchUpdate: _unserved, ...judged } = honest;
  t.like(await judgeStep(standInTask(), STRUCTURE_STEP, { ...judged, salt }), { verdict: 'valid' });
  t.like(await audit({ ...honest, fetchUpdate: () => Promise.resolve(forgery.update) }, [1]), {
    verdict: 'unavailable',
  });
});

test('a final state with numbers that are not finite is a verdict, not a crash', async (t) => {
  const forgery = forge(standInTask(), {
    instead: (step, state, before) => {
      if (step !== STEPS - 1) return null;
      state.set([0, 0, 0xc0, 0x7f], 0);
      return { ...present(before, 'leaf'), step, stateRoot: stateRoot(state) };
    },
  });
  const size = forge(standInTask(), {}).update.length;
  const commit = { ...forgery.commit, updateSize: size };
  t.like(await audit({ ...forgery, commit }, [0]), { verdict: 'invalid', step: STRUCTURE_STEP });
});

test('every field of a commitment that follows from the round is checked', async (t) => {
  const honest = forge(standInTask(), {});
  const other = sha256(utf8('other'));
  const changes: Partial<CommitRecord>[] = [
    { round: 8 },
    { capacity: 2 },
    { baseRoot: other },
    { traceRoot: other },
    { gradChainHead: other },
    { finalStateRoot: other },
    { updateSize: 1 },
    { kernelSpec: other },
    { programHash: other },
    { leaves: honest.commit.leaves.subarray(68) },
    { leaves: new Uint8Array(0) },
  ];
  for (const change of changes) {
    const verdict = await audit({ ...honest, commit: { ...honest.commit, ...change } }, [0]);
    t.like(verdict, { verdict: 'invalid', step: STRUCTURE_STEP }, JSON.stringify(Object.keys(change)));
  }
  t.like(await audit({ ...honest, commit: { ...honest.commit, updateHash: other } }, [0]), { verdict: 'invalid' });
});

test('hostile served states are ignored: the verdict on an honest trainer stays VALID', async (t) => {
  const honest = forge(standInTask(), {});
  const served = [new Uint8Array(0), new Uint8Array(17), new Uint8Array(standInTask().runner.state.length)];
  for (const state of served) {
    t.like(await audit({ ...honest, fetchState: () => Promise.resolve(state) }, [5]), { verdict: 'valid' });
  }
});

test('an accusation of an honest step, or of a step no round has, is dismissed', async (t) => {
  const honest = forge(standInTask(), {});
  for (const step of [0, STEPS - 1, STRUCTURE_STEP, STEPS, 12_345]) {
    t.like(await judgeStep(standInTask(), step, { ...honest, salt }), { verdict: 'valid' });
  }
});

test('samples are without replacement, ascending, fixed by the randomness, and even', (t) => {
  const counts = new Array<number>(32).fill(0);
  for (let i = 0; i < 2_000; i++) {
    const sample = drawSample(sha256(utf8(`draw ${i}`)), 32, 4);
    t.is(new Set(sample).size, 4);
    t.deepEqual(
      sample,
      sample.toSorted((a, b) => a - b),
    );
    for (const step of sample) counts[step] = (counts[step] as number) + 1;
  }
  // 250 expected each, standard deviation about 15.
  t.true(
    counts.every((count) => count > 170 && count < 330),
    counts.join(),
  );
  t.deepEqual(drawSample(salt, 8, 100), everyStep);
  t.deepEqual(drawSample(salt, 8, 0), []);
  t.deepEqual(drawSample(salt, 32, 3), drawSample(salt, 32, 3));
});
