// Shows that a round's result is fixed by its task alone: whoever runs it, wherever it was interrupted.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { stateRoot } from '../../base/merkle.ts';
import { present } from '../../base/check.ts';
import { commitHash, decodeCommit, encodeCommit } from '../../trainer/commit.ts';
import type { SlotTask } from '../../trainer/replay.ts';
import { type RoundResult, runLearningRound, stateBefore } from '../../trainer/round.ts';
import { keepEvery, openRoundStore } from '../../trainer/round-store.ts';
import { taskIdentity } from '../../trainer/rules.ts';
import { STEPS, standInTask } from './round-fixture.ts';

type Done = Extract<RoundResult, { ok: true }>;

function done(result: RoundResult): Done {
  if (!result.ok) throw new Error(`round failed: ${result.reason}`);
  return result;
}

function storeFor(task: SlotTask, folder: string, maxBytes = Number.MAX_SAFE_INTEGER) {
  const identity = taskIdentity(task.spec, task.slot, task.rules, task.dataset.root);
  return openRoundStore({ folder, identity, steps: task.rules.steps, stateBytes: task.runner.state.length, maxBytes });
}

function temporaryFolder(t: { teardown(clean: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'round-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('the same task gives the same commitment; another slot, seed or round another one', async (t) => {
  const first = done(await runLearningRound(standInTask()));
  t.deepEqual(done(await runLearningRound(standInTask())).commit, first.commit);
  const others = await Promise.all(
    [{ slot: 2 }, { seed: 'other' }, { round: 8 }].map((options) => runLearningRound(standInTask(options))),
  );
  const hashes = new Set([first, ...others.map(done)].map(({ commit }) => toHex(commit.gradChainHead)));
  t.is(hashes.size, 4);
});

test('every step is reported with its loss and tokens', async (t) => {
  const task = standInTask({ slot: 1 });
  const steps: number[] = [];
  await runLearningRound(task, {
    onStep: ({ step, steps: all, loss, tokens }) => {
      t.is(all, STEPS);
      t.is(tokens, 2 * 2 * 16);
      t.true(Number.isFinite(loss));
      steps.push(step);
    },
  });
  t.deepEqual(steps, [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('a round interrupted after any step goes on from its store to the same commitment', async (t) => {
  const expected = done(await runLearningRound(standInTask())).commit;
  for (let stopAfter = 0; stopAfter < STEPS; stopAfter++) {
    const folder = temporaryFolder(t);
    const abort = new AbortController();
    const task = standInTask();
    const stopped = await runLearningRound(task, {
      store: storeFor(task, folder),
      signal: abort.signal,
      onStep: ({ step }) => {
        if (step === stopAfter) abort.abort();
      },
    });
    t.is(stopped.ok, stopAfter === STEPS - 1);
    const again = standInTask();
    const result = done(await runLearningRound(again, { store: storeFor(again, folder) }));
    t.is(result.resumedAt, stopAfter + 1);
    t.deepEqual(result.commit, expected);
  }
});

test('torn, foreign and damaged files are passed over, never believed', async (t) => {
  const expected = done(await runLearningRound(standInTask())).commit;
  const damage: ((folder: string) => number)[] = [
    (folder) => {
      truncateSync(join(folder, 'state-7.bin'), 100);
      return 7;
    },
    (folder) => {
      writeFileSync(join(folder, 'state-7.bin'), new Uint8Array(statSync(join(folder, 'state-6.bin')).size));
      rmSync(join(folder, 'state-6.bin'));
      return 6;
    },
    (folder) => {
      truncateSync(join(folder, 'progress.bin'), 90);
      return 0;
    },
    (folder) => {
      // Longer than memory could hold: not read at all.
      truncateSync(join(folder, 'progress.bin'), 2 ** 40);
      return 0;
    },
    (folder) => {
      truncateSync(join(folder, 'state-7.bin'), 2 ** 40);
      return 7;
    },
    (folder) => {
      rmSync(join(folder, 'state-7.bin'));
      mkdirSync(join(folder, 'state-7.bin'));
      return 7;
    },
    (folder) => {
      rmSync(join(folder, 'progress.bin'));
      mkdirSync(join(folder, 'progress.bin', 'inside'), { recursive: true });
      return 0;
    },
  ];
  for (const hurt of damage) {
    const folder = temporaryFolder(t);
    const task = standInTask();
    await runLearningRound(task, { store: storeFor(task, folder) });
    const resumedAt = hurt(folder);
    const again = standInTask();
    const result = done(await runLearningRound(again, { store: storeFor(again, folder) }));
    t.is(result.resumedAt, resumedAt);
    t.deepEqual(result.commit, expected);
  }
  const folder = temporaryFolder(t);
  const other = standInTask({ slot: 2 });
  await runLearningRound(other, { store: storeFor(other, folder) });
  const task = standInTask();
  t.is(done(await runLearningRound(task, { store: storeFor(task, folder) })).resumedAt, 0);
});

test('a store keeps as many states as its bytes allow, and any state is rebuilt from what it kept', async (t) => {
  t.is(keepEvery(32, 100, 3_200), 1);
  t.is(keepEvery(32, 100, 800), 4);
  t.is(keepEvery(32, 100, 10), 32);
  const folder = temporaryFolder(t);
  const task = standInTask();
  const bytes = task.runner.state.length;
  const store = storeFor(task, folder, 3 * bytes);
  const { leaves, finalState } = done(await runLearningRound(task, { store }));
  t.deepEqual(store.kept(), [2, 5, 7]);
  t.true(readdirSync(folder).length === 4);
  for (let step = 1; step <= STEPS; step++) {
    const served = present(await stateBefore(task, step, store), 'served state');
    const replayed = present(await stateBefore(task, step), 'replayed state');
    t.deepEqual(served, replayed);
    t.is(toHex(stateRoot(served)), toHex(present(leaves[step - 1], 'leaf').stateRoot));
  }
  t.deepEqual(await stateBefore(task, STEPS, store), finalState);
  store.remove();
  t.deepEqual(storeFor(task, folder).kept(), []);
});

test('a step that leaves the range of numbers ends the round, named', async (t) => {
  const task = standInTask();
  let calls = 0;
  const runner = {
    ...task.runner,
    step: (input: Parameters<typeof task.runner.step>[0]) =>
      calls++ === 3
        ? { ok: false as const, instruction: 12, op: 'linear' as const, reason: 'non-finite' as const }
        : task.runner.step(input),
  };
  const result = await runLearningRound({ ...task, runner });
  t.like(result, { ok: false, step: 3, reason: 'non-finite', failure: { instruction: 12, op: 'linear' } });
});

test("a base that is not the round's is a defect, not a round", async (t) => {
  const task = standInTask();
  await t.throwsAsync(runLearningRound({ ...task, base: new Uint8Array(task.base.length) }), { message: /base root/ });
});

test('commitments read back; every wrong length or count is refused', async (t) => {
  const { commit } = done(await runLearningRound(standInTask()));
  const bytes = encodeCommit(commit);
  const again = decodeCommit(bytes);
  t.true(again.ok);
  if (again.ok) {
    t.deepEqual(again.value, commit);
    t.is(toHex(commitHash(again.value)), toHex(commitHash(commit)));
  }
  for (let length = 0; length < bytes.length; length += 7) t.false(decodeCommit(bytes.subarray(0, length)).ok);
  const huge = bytes.slice();
  huge.set([0xff, 0xff, 0xff, 0xff], bytes.length - commit.leaves.length - 4);
  t.false(decodeCommit(huge).ok);
});
