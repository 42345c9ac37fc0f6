// Owns what becomes of a canary in a whole network: a trainer spoils a step on purpose, by its lot, and opens it. Who executed and
// said INVALID was right, the trainer keeps its stake and is paid, and an authority that said VALID without looking loses its bond.

import test from 'ava';
import { type Hex, toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { keccak256 } from '../../base/hash.ts';
import { ONE_POL } from '../../base/units.ts';
import { readChallengeCount } from '../../chain/system/challenges.ts';
import { readBond, readClaim, readRound, readTrainer, readTrial, readTrialCount } from '../../chain/system/views.ts';
import type { RunningNode } from '../../node/node.ts';
import { systemView } from '../../node/system-view.ts';
import { foundSmallNetwork, logTails, openStage, startHere, waitFor } from './harness.ts';

const WAIT_MS = 240_000;
const BOND = 100n * ONE_POL;
const STAKE = 100n * ONE_POL;

const stage = openStage('canary');
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

test('a canary that is found costs nobody anything, and who approves it unseen loses its bond', async (t) => {
  t.timeout(9 * 60_000);
  const network = await foundSmallNetwork(stage, {
    authorities: 4,
    regularNodes: 1,
    // Certainty is wanted here: the lot falls on the trainer always, every step is executed, and no digest is made again.
    parameters: {
      canaryBps: 10_000,
      auditFloorBps: 10_000,
      samplesPerAudit: 4,
      recheckBps: 0,
      auditBlocks: 60,
      disputeBlocks: 120,
    },
  });
  const digest: Hex = toHex(keccak256(utf8('nothing was executed')));
  const nodes: RunningNode[] = [];
  for (const founded of network.nodes.slice(0, 3)) nodes.push(await startHere(stage, founded));
  const lazy = present(network.nodes[3], 'authority');
  await startHere(stage, lazy, {
    tamperVerdicts: (entries) => entries.map((entry) => ({ ...entry, verdict: 'valid', step: 0, digest })),
    tamperJudgement: () => false,
    flags: { challenge_budget: 0 },
  });
  const { address: trainer } = await startHere(stage, present(network.nodes[4], 'trainer'), { training: true });
  const watched = present(nodes[0], 'node');
  const view = () => systemView(watched.chain);

  const trial = await waitFor('the lazy authority convicted', WAIT_MS, async () => {
    const count = await readTrialCount(view());
    for (let number = 0; number < count; number++) {
      const found = await readTrial(view(), number);
      if (found.state !== 'open') return found;
    }
    return null;
  });
  t.like(trial, { state: 'guilty', kind: 'canary', accused: lazy.address });
  t.deepEqual([...trial.guilty].sort(), [0, 1, 2]);
  t.is((await readBond(view(), lazy.address)).bondWei, 0n);
  t.true((await readBond(view(), trial.accuser)).creditWei >= BOND / 5n);

  const { round } = trial;
  const claim = await readClaim(view(), round, trainer);
  t.is(claim.status, 'canary');
  t.true(
    claim.disputes.every(({ state }) => state !== 'upheld' && state !== 'dismissed'),
    'the accusations fell away',
  );
  const record = await waitFor('the round settled', WAIT_MS, async () => {
    const found = await readRound(view(), round);
    return found.phase === 'done' ? found : null;
  });
  t.is(record.acceptedCount, 0, 'a canary is no part of the model');
  t.true(record.emissionGwei > 0n);
  const paid = await readTrainer(view(), trainer);
  t.like(paid, { status: 'active', stakeWei: STAKE, rejected: 0 });
  t.true(paid.unvestedGwei > 0n, 'the work is paid');

  const invalid = present(watched.learning(), 'learning').history.round(round)?.claims.get(trainer)?.verdicts ?? [];
  const said = Object.fromEntries(invalid.map(({ authority, verdict }) => [authority, verdict]));
  for (const index of [0, 1, 2]) {
    const { address } = present(network.nodes[index], 'authority');
    t.is(said[address], 'invalid');
    t.is((await readBond(view(), address)).bondWei, BOND, 'an honest one loses nothing');
  }
  t.is(said[lazy.address], 'valid');
  t.is(await readChallengeCount(view()), 0, 'nobody challenges what was opened');
});
