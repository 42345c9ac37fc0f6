// What the API tells of rounds follows from the contracts' events alone.

import test from 'ava';
import { createLearningHistory } from '../../node/learning-history.ts';

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
