// What the API tells of rounds follows from the contracts' events alone.

import test from 'ava';
import { createLearningHistory, replayHistory } from '../../node/learning-history.ts';
import { build, certificateOf, mine, testChain } from '../chain/support.ts';

const trainer = `0x${'11'.repeat(20)}` as const;

test('a round whose only claim was a canary is void, and its trainer is shown as paid', (t) => {
  const history = createLearningHistory(4);
  history.apply(5, [{ kind: 'rosterFrozen', round: 0, trainers: [trainer], capacities: [1], auditRatesBps: [10_000] }]);
  t.is(history.round(0)?.outcome, 'pending');
  history.apply(9, [
    { kind: 'claimDecided', round: 0, trainer, status: 'canary' },
    { kind: 'vested', trainer, round: 0, paidGwei: 70n, releasedGwei: 7n, unvestedGwei: 63n },
    { kind: 'roundSettled', round: 0, emissionGwei: 100n },
  ]);
  t.like(history.round(0), { outcome: 'void', phase: 'done', closedAt: 9, emissionGwei: 100n });
  t.like(history.round(0)?.claims.get(trainer), { status: 'canary', earnedGwei: 70n });
  t.is(history.acceptedRounds(), 0);
});

test('blocks of a run that is told of later are in the history once, and none between reading back and listening is lost', async (t) => {
  const { chain, dispose } = await testChain();
  t.teardown(dispose);
  const told: number[] = [];
  chain.onHead(({ block }) => told.push(block.header.number));
  for (let number = 1; number <= 3; number++) {
    const candidate = await build(chain);
    await chain.commit(candidate, certificateOf(number), { isHeld: number > 1 });
  }
  const history = createLearningHistory(4);
  await replayHistory(chain, history);
  t.is(history.height(), 3);
  t.deepEqual(told, [1]);
  const late = [{ kind: 'rosterFrozen', round: 7, trainers: [trainer], capacities: [1], auditRatesBps: [1] }] as const;
  history.apply(3, late);
  t.is(history.round(7), null);
  await chain.settle();
  t.deepEqual(told, [1, 2, 3]);
  await mine(chain);
  await replayHistory(chain, history);
  t.is(history.height(), 4);
});
