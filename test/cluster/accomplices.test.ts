// Owns what becomes of a false claim that a third and more of the authorities cover up: an honest authority that saw other bits
// challenges it by itself and goes on after it was killed; the trainer is slashed, and so are those who judged the step true.

import test from 'ava';
import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { ONE_POL } from '../../base/units.ts';
import { readChallenge, readChallengeCount } from '../../chain/system/challenges.ts';
import { readBond, readClaim, readTrainer } from '../../chain/system/views.ts';
import { createExecutor } from '../../engine/executor.ts';
import type { FoundedNode } from '../../node/founding.ts';
import { type NodeOptions, type RunningNode, readGenesis } from '../../node/node.ts';
import { systemView } from '../../node/system-view.ts';
import { FALSE_STEP, createFlippedBit } from './flipped-bit.ts';
import { type Answer, datasetOf } from './forged-claims.ts';
import { foundSmallNetwork, kill, logTails, openStage, startHere, startProcess, waitFor } from './harness.ts';

const AUTHORITIES = 4;
const WAIT_MS = 240_000;
const BOND = 100n * ONE_POL;
const CHALLENGE = 5n * ONE_POL;
const STAKE = 100n * ONE_POL;

const stage = openStage('accomplices');
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

test('two accomplices of four cannot keep a false claim: trainer and accomplices lose all they have at stake', async (t) => {
  t.timeout(9 * 60_000);
  const network = await foundSmallNetwork(stage, {
    authorities: AUTHORITIES,
    regularNodes: 1,
    // Certainty is wanted here: every authority executes every step.
    parameters: { auditFloorBps: 10_000, samplesPerAudit: 4, recheckBps: 0, auditBlocks: 90, disputeBlocks: 60 },
    challenges: { answerBlocks: 90, proveBlocks: 90 },
  });
  const definition = unwrap(readGenesis(network.genesisFile));
  const executor = await createExecutor({ backend: 'wasm' });
  const cheat = createFlippedBit(executor, definition, datasetOf(definition, network.genesisFile));
  const founded = (index: number): FoundedNode => present(network.nodes[index], 'node');
  const honest = [0, 1].map((index) => startProcess(stage, founded(index)));
  const approve: NodeOptions['tamperVerdicts'] = (entries) =>
    entries.map((entry) => ({ ...entry, verdict: 'valid', step: 0, digest: `0x${'07'.repeat(32)}` }));
  const accomplice = { tamperVerdicts: approve, tamperJudgement: () => false, flags: { challenge_budget: 0 } };
  const watched = await startHere(stage, founded(2), accomplice);
  await startHere(stage, founded(3), accomplice);
  let trainer: RunningNode | null = null;
  trainer = await startHere(stage, founded(AUTHORITIES), {
    training: true,
    tamper: (answer) => cheat.claim(answer as Answer, present(trainer, 'trainer')),
    tamperDispute: cheat.reply,
  });
  const { address } = trainer;
  const view = () => systemView(watched.chain);
  const bondOf = async (account: Hex): Promise<bigint> => (await readBond(view(), account)).bondWei;

  const challenge = await waitFor('an honest authority challenges by itself', WAIT_MS, async () =>
    (await readChallengeCount(view())) === 0 ? null : readChallenge(view(), 1),
  );
  const round = present(cheat.round(), 'forged round');
  t.like(challenge, { round, step: FALSE_STEP, trainer: address });
  const claim = await readClaim(view(), round, address);
  t.is(claim.status, 'unresolved', 'two against two decide nothing');
  t.like(await readTrainer(view(), address), { status: 'active', stakeWei: STAKE });

  // A power cut in mid-challenge: the node goes on where the game stands.
  const by = network.nodes.findIndex((node) => node.address === challenge.challenger);
  t.true(by === 0 || by === 1);
  await kill(present(honest[by], 'challenger'));
  startProcess(stage, founded(by));

  const over = await waitFor('the challenge over', WAIT_MS, async () => {
    const now = await readChallenge(view(), 1);
    return now.state === 'upheld' || now.state === 'dismissed' ? now : null;
  });
  t.is(over.state, 'upheld');
  t.like(await readTrainer(view(), address), { status: 'slashed', stakeWei: 0n, unvestedGwei: 0n });
  for (const index of [2, 3]) t.is(await bondOf(founded(index).address), 0n, 'it had judged the step true');
  for (const index of [0, 1]) t.is(await bondOf(founded(index).address), BOND);
  const { creditWei } = await readBond(view(), challenge.challenger);
  t.is(creditWei, (2n * BOND) / 5n, 'a fifth of each bond is the challenger’s');
  t.is(await readChallengeCount(view()), 1, 'the other honest one saw that it was done');
  // It collects what it won: the stake's fifth and its own bond.
  const rest = await waitFor('all collected', 60_000, async () => {
    const { creditWei: left } = await readTrainer(view(), challenge.challenger);
    return left === 0n ? left : null;
  });
  t.is(rest, 0n);
  const state = unwrap(watched.chain.state(watched.chain.head().header.number));
  t.true((await state.balance(challenge.challenger)) > 1_000n * ONE_POL + STAKE / 5n - CHALLENGE);
  await executor.close();
});
