// Shows moments carried from round to round: auditors follow them from root to root, a false moment is found at step 0, unserved
// ones accuse nobody, and nobody approves what others could not go on from.

import test from 'ava';
import { equal, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { stateRoot } from '../../base/merkle.ts';
import { type AuditOptions, STRUCTURE_STEP, auditCommit, judgeStep, passCommit } from '../../trainer/audit.ts';
import { type Carried, MAX_CARRIED_ROUNDS, NOTHING_CARRIED, checkCarried } from '../../trainer/moments.ts';
import { stepNumbers } from '../../trainer/replay.ts';
import { type RoundResult, runLearningRound, stateBefore } from '../../trainer/round.ts';
import { DEFAULT_OPTIMIZER, biasCorrection, biasTable, hyperParameters } from '../../trainer/schedule.ts';
import { type Forgery, forge } from './cheats.ts';
import { STEPS, rules, standInTask } from './round-fixture.ts';

const salt = utf8('auditor');

type Done = Extract<RoundResult, { ok: true }>;
function done(result: RoundResult): Done {
  if (!result.ok) throw new Error(result.reason);
  return result;
}

const first = (carried: Carried = NOTHING_CARRIED) => standInTask({ carried });
const second = (carried: Carried) => standInTask({ carried, round: 8, seed: 'next' });

/** An honest first round's end: what an honest second one goes on from. */
async function endOfFirst(): Promise<Readonly<{ state: Uint8Array; carried: Carried }>> {
  const { finalState, commit } = done(await runLearningRound(first()));
  return { state: finalState, carried: { root: commit.finalStateRoot, rounds: 1 } };
}

const audit = (carried: Carried, forgery: Forgery, more: Partial<AuditOptions>) =>
  auditCommit(second(carried), { ...forgery, sample: [0, 2], salt, ...more });

test('the correction of the moments goes on where they come from, and ends where it changes nothing', (t) => {
  const task = second({ root: stateRoot(new Uint8Array(4)), rounds: 3 });
  const numbers = stepNumbers(task, 2);
  const [beta1, beta2] = [Math.fround(0.9), Math.fround(0.95)];
  t.is(numbers[5], biasCorrection(beta1, 3 * STEPS + 3));
  t.is(numbers[6], biasCorrection(beta2, 3 * STEPS + 3));
  const fresh = stepNumbers(standInTask(), 2);
  t.deepEqual([fresh[5], fresh[6]], [biasCorrection(beta1, 3), biasCorrection(beta2, 3)]);
  t.is(numbers[0], hyperParameters(rules.schedule, rules.optimizer, task.spec.baseVersion * STEPS, 2)[0]);

  const last = biasTable(DEFAULT_OPTIMIZER, 10_000).length;
  t.true(last > 300 && last < 400, String(last));
  t.true(biasCorrection(beta2, last - 1) < 1);
  for (const beyond of [last, last + 1, 2 * last, MAX_CARRIED_ROUNDS * 1_024]) t.is(biasCorrection(beta2, beyond), 1);
  t.is(biasTable({ ...DEFAULT_OPTIMIZER, beta2Nano: 999_000_000 }, 1_000).length, 1_000);
  for (const [i, pair] of biasTable(DEFAULT_OPTIMIZER, 10_000).entries())
    t.deepEqual(pair, [biasCorrection(beta1, i + 1), biasCorrection(beta2, i + 1)]);
  // A beta that rounds to one never ends by itself.
  t.is(biasCorrection(1, 2 ** 40), 0);
});

test('moments of no round, or rounds without a root, are a bug of the caller', (t) => {
  const root = stateRoot(new Uint8Array(4));
  checkCarried(NOTHING_CARRIED);
  for (const wrong of [
    { root, rounds: 0 },
    { root: NOTHING_CARRIED.root, rounds: 1 },
    { root, rounds: MAX_CARRIED_ROUNDS + 1 },
    { root: root.subarray(1), rounds: 1 },
  ])
    t.throws(() => checkCarried(wrong));
});

test('a round goes on with the moments of the one before, and its base parameters', async (t) => {
  const { state, carried } = await endOfFirst();
  const start = present(await stateBefore(second(carried), 0, undefined, state), 'start');
  const { base, runner } = second(carried);
  t.deepEqual(start.subarray(0, runner.parameterBytes), base);
  t.deepEqual(start.subarray(runner.parameterBytes), state.subarray(runner.parameterBytes));
  const went = done(await runLearningRound(second(carried), { carriedState: state }));
  const afresh = done(await runLearningRound(second(NOTHING_CARRIED)));
  t.false(equal(went.commit.traceRoot, afresh.commit.traceRoot));
  const wrong = state.with(5, (state[5] as number) ^ 1);
  await t.throwsAsync(runLearningRound(second(carried), { carriedState: wrong }));
  await t.throwsAsync(runLearningRound(second(carried)));
});

test('the second of two accepted rounds is VALID by served states, by replay, and for a judge', async (t) => {
  const { state, carried } = await endOfFirst();
  const honest = forge(second(carried), { carriedState: state });
  t.deepEqual(done(await runLearningRound(second(carried), { carriedState: state })).commit, honest.commit);
  const fetchCarried = async () => state;
  const kept: Uint8Array[] = [];
  const served = await audit(carried, honest, { fetchCarried, keepFinal: (final) => kept.push(final.slice()) });
  t.is(served.verdict, 'valid', JSON.stringify(served));
  t.true(equal(stateRoot(present(kept[0], 'kept')), honest.commit.finalStateRoot));
  const replayed = await audit(carried, honest, { fetchCarried, fetchState: async () => null });
  t.deepEqual(replayed, served);
  const deep = await audit(carried, honest, { fetchCarried, sample: [...Array(STEPS).keys()] });
  t.is(deep.verdict, 'valid');
  for (const step of [0, 5, STRUCTURE_STEP]) {
    const judged = await judgeStep(second(carried), step, { ...honest, salt, fetchCarried });
    t.is(judged.verdict, 'valid', `step ${step}`);
  }
});

test('a third round in a row is judged by the count of rounds that the chain has', async (t) => {
  const { state, carried } = await endOfFirst();
  const twice = { ...carried, rounds: 2 };
  const honest = forge(second(twice), { carriedState: state });
  const fetchCarried = async () => state;
  t.is((await audit(twice, honest, { fetchCarried })).verdict, 'valid');
  t.like(await audit(carried, honest, { fetchCarried }), { verdict: 'invalid', step: 0 });
});

test('a false moment, zeros in the place of moments, and moments in the place of zeros are INVALID at step 0', async (t) => {
  const { state, carried } = await endOfFirst();
  const fetchCarried = async () => state;
  const bytes = second(carried).runner.parameterBytes;
  for (const at of [bytes + 2, bytes, 2 * bytes + 402, state.length - 2]) {
    const forgery = forge(second(carried), {
      carriedState: state,
      start: (start) => {
        start[at] = (start[at] as number) ^ 0x40;
      },
    });
    t.like(await audit(carried, forgery, { fetchCarried }), { verdict: 'invalid', step: 0 }, `byte ${at}`);
    t.like(await judgeStep(second(carried), 0, { ...forgery, salt, fetchCarried }), { verdict: 'invalid', step: 0 });
    // Unsampled, it is a chain of true steps from a false start: a replay from the start finds it.
    const unseen = await audit(carried, forgery, { fetchCarried, sample: [4], fetchState: async () => null });
    t.like(unseen, { verdict: 'invalid', step: 0 });
  }
  const forgetful = forge(second(NOTHING_CARRIED), {});
  t.like(await audit(carried, forgetful, { fetchCarried }), { verdict: 'invalid', step: 0 });
  const stale = forge(second(carried), { carriedState: state });
  t.like(await audit(NOTHING_CARRIED, stale, { fetchCarried }), { verdict: 'invalid', step: 0 });
});

test('moments that nobody serves, or under another root, make a claim unavailable and accuse nobody', async (t) => {
  const { state, carried } = await endOfFirst();
  const honest = forge(second(carried), { carriedState: state });
  const wrong = state.with(9, (state[9] as number) ^ 1);
  for (const answer of [null, new Uint8Array(0), wrong, state.subarray(4)]) {
    const fetchCarried = async () => answer;
    const reason = 'the moments before the round are not served';
    t.like(await audit(carried, honest, { fetchCarried }), { verdict: 'unavailable', reason });
    t.like(await judgeStep(second(carried), 0, { ...honest, salt, fetchCarried }), { verdict: 'unavailable' });
    // Later steps need no more than the states the trainer serves.
    t.like(await audit(carried, honest, { fetchCarried, sample: [3] }), { verdict: 'valid' });
  }
});

test('a claim is passed only when its final state is served, and that state is kept', async (t) => {
  const honest = forge(first(), {});
  const final = present(await honest.fetchState(STEPS), 'final state');
  const kept: Uint8Array[] = [];
  const pass = (fetchState: AuditOptions['fetchState'] | undefined) =>
    passCommit(first(), {
      commit: honest.commit,
      fetchUpdate: honest.fetchUpdate,
      ...(fetchState === undefined ? {} : { fetchState }),
      keepFinal: (state) => kept.push(state),
    });
  const wrong = final.with(final.length - 1, (final.at(-1) as number) ^ 1);
  const unavailable = { verdict: 'unavailable', reason: 'final state is not served' } as const;
  t.deepEqual(await pass(undefined), unavailable);
  for (const answer of [null, wrong, final.subarray(8)]) t.deepEqual(await pass(async () => answer), unavailable);
  t.is(kept.length, 0);
  t.deepEqual(await pass(honest.fetchState), { verdict: 'passed' });
  t.deepEqual(kept, [final]);
  // Where nothing is carried, nothing but the update has to be served.
  const plain = forge(standInTask(), {});
  t.deepEqual(await passCommit(standInTask(), { commit: plain.commit, fetchUpdate: plain.fetchUpdate }), {
    verdict: 'passed',
  });
});
