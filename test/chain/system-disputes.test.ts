// Owns the tests of accusations against claims: upheld, dismissed, undecided, late, in parallel, and what each side gains or loses.

import test from 'ava';
import { present } from '../../base/check.ts';
import { STRUCTURE_STEP } from '../../chain/system/api.ts';
import { claimCreditCall, commitCall, registerCall } from '../../chain/system/calls.ts';
import { readClaim, readRound, readSupply, readTrainer } from '../../chain/system/views.ts';
import {
  STAKE,
  approveAll,
  attest,
  attestationOf,
  authority,
  commitAll,
  commitmentOf,
  current,
  giveJudgement,
  giveVerdict,
  honestRound,
  openRound,
  register,
  trainerAt,
} from './system-life.ts';
import { type World, openWorld } from './system-world.ts';

const cheat = trainerAt(1);

async function auditing(authorities: number = 4): Promise<World> {
  const world = await openWorld(authorities);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  return world;
}

test('a false step found by one and confirmed by the quorum rejects the claim and takes stake and unvested pay', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await honestRound(world);
  const unvested = (await readTrainer(world.view, cheat)).unvestedGwei;
  t.true(unvested > 0n);
  const round = await openRound(world);
  await commitAll(world, round);
  await giveVerdict(world, 0, 1, cheat, 'invalid', 2);
  t.is((await readClaim(world.view, 1, cheat)).status, 'disputed');
  await giveJudgement(world, 1, 1, cheat, 2, true);
  const last = await giveJudgement(world, 2, 1, cheat, 2, true);
  const slash = present(
    last.events.find((event) => event.kind === 'slashed'),
    'slashed',
  );
  t.deepEqual(slash, {
    kind: 'slashed',
    trainer: cheat,
    round: 1,
    accuser: authority(world, 0),
    burnedWei: (STAKE * 8n) / 10n,
    bountyWei: (STAKE * 2n) / 10n,
    forfeitedGwei: unvested,
  });
  t.is((await readSupply(world.view)).burnedWei, (STAKE * 8n) / 10n);
  const after = await readTrainer(world.view, cheat);
  t.is(after.status, 'slashed');
  t.is(after.stakeWei + after.unvestedGwei, 0n);
  t.is((await readClaim(world.view, 1, cheat)).status, 'rejected');
  const before = await world.balance(authority(world, 0));
  await world.ok(authority(world, 0), claimCreditCall());
  t.is((await world.balance(authority(world, 0))) - before, (STAKE * 2n) / 10n);
  t.is((await world.send(authority(world, 0), claimCreditCall())).error, 'NothingToClaim');
  await approveAll(world, round, [cheat]);
  await world.blocks(world.parameters.challengeBlocks);
  await attest(world, attestationOf(1));
  await world.block();
  t.is((await readTrainer(world.view, cheat)).rejected, 1);
  t.is((await readRound(world.view, 1)).acceptedCount, 2);
  await world.fund(cheat, STAKE);
  t.is((await world.send(cheat, registerCall(1, STAKE))).error, 'WrongStatus', 'a slashed trainer stays out');
});

test('a false accuser is overruled, the claim goes on, and the accuser earns nothing in the round', async (t) => {
  const world = await auditing();
  await giveVerdict(world, 3, 0, cheat, 'invalid', 1);
  for (const by of [0, 1, 2]) await giveVerdict(world, by, 0, cheat, 'valid');
  t.is((await readClaim(world.view, 0, cheat)).status, 'disputed', 'a quorum of VALID does not end an open dispute');
  for (const by of [0, 1]) await giveJudgement(world, by, 0, cheat, 1, false);
  const last = await giveJudgement(world, 2, 0, cheat, 1, false);
  t.true(
    last.events.some(
      (event) => event.kind === 'disputeClosed' && event.state === 'dismissed' && event.accuser === authority(world, 3),
    ),
  );
  t.is((await readClaim(world.view, 0, cheat)).status, 'accepted', 'the quorum was there already');
  await approveAll(world, await current(world), [cheat]);
  await attest(world, attestationOf(0));
  const settled = await world.block();
  const auditors = settled.events.flatMap((event) =>
    event.kind === 'minted' && event.reason === 'auditing' ? [event.recipient] : [],
  );
  t.deepEqual(
    auditors,
    [0, 1, 2].map((index) => authority(world, index)),
  );
  t.is((await readTrainer(world.view, cheat)).stakeWei, STAKE);
});

test('an accusation after the quorum of VALID reopens the claim while the challenge window runs', async (t) => {
  const world = await auditing();
  for (const trainer of [0, 1, 2].map(trainerAt))
    for (const by of [0, 1, 2]) await giveVerdict(world, by, 0, trainer, 'valid');
  t.is((await current(world)).acceptedCount, 3);
  await giveVerdict(world, 3, 0, cheat, 'invalid', 3);
  t.is((await current(world)).acceptedCount, 2);
  await world.blocks(2);
  t.is((await current(world)).phase, 'auditing', 'an open dispute holds the round');
  for (const by of [0, 1]) await giveJudgement(world, by, 0, cheat, 3, true);
  t.is((await readClaim(world.view, 0, cheat)).status, 'rejected');
  await world.blocks(world.parameters.challengeBlocks);
  t.is((await current(world)).phase, 'attesting');
  const late = await giveVerdict(world, 3, 0, trainerAt(0), 'invalid', 0);
  t.is(late.error, 'WrongPhase');
});

test('a dispute without a quorum either way at its deadline leaves the claim unresolved and nobody slashed', async (t) => {
  const world = await auditing();
  await giveVerdict(world, 0, 0, cheat, 'invalid', 0);
  await giveJudgement(world, 1, 0, cheat, 0, false);
  await world.blocks(world.parameters.disputeBlocks);
  const claim = await readClaim(world.view, 0, cheat);
  t.is(claim.status, 'unresolved');
  t.is(claim.disputes[0]?.state, 'undecided');
  t.is((await readTrainer(world.view, cheat)).stakeWei, STAKE);
  t.is((await giveJudgement(world, 2, 0, cheat, 0, true)).error, 'NoOpenDispute');
});

test('a split in which no quorum can form is left undecided at once', async (t) => {
  const world = await auditing();
  await giveVerdict(world, 0, 0, cheat, 'invalid', 0);
  await giveJudgement(world, 1, 0, cheat, 0, true);
  await giveJudgement(world, 2, 0, cheat, 0, false);
  await giveJudgement(world, 3, 0, cheat, 0, false);
  t.is((await readClaim(world.view, 0, cheat)).status, 'unresolved');
});

test('two accusers of one step share a dispute and the first gets the bounty', async (t) => {
  const world = await auditing();
  await giveVerdict(world, 2, 0, cheat, 'invalid', 1);
  await giveVerdict(world, 0, 0, cheat, 'invalid', 1);
  const claim = await readClaim(world.view, 0, cheat);
  t.is(claim.disputes.length, 1);
  t.deepEqual(claim.disputes[0]?.invalid, [authority(world, 0), authority(world, 2)]);
  await giveVerdict(world, 1, 0, cheat, 'invalid', 1);
  t.is((await readClaim(world.view, 0, cheat)).status, 'rejected', 'three accusers of four are the quorum');
  t.true((await readTrainer(world.view, authority(world, 2))).creditWei > 0n);
  t.is((await readTrainer(world.view, authority(world, 0))).creditWei, 0n);
});

test('disputes over different steps run side by side: one upheld is enough, one dismissed is not the end', async (t) => {
  const world = await auditing();
  await giveVerdict(world, 0, 0, cheat, 'invalid', 0);
  await giveVerdict(world, 1, 0, cheat, 'invalid', STRUCTURE_STEP);
  for (const by of [1, 2, 3]) await giveJudgement(world, by, 0, cheat, 0, false);
  t.is((await readClaim(world.view, 0, cheat)).status, 'disputed');
  for (const by of [2, 3]) await giveJudgement(world, by, 0, cheat, STRUCTURE_STEP, true);
  const claim = await readClaim(world.view, 0, cheat);
  t.is(claim.status, 'rejected');
  t.deepEqual(
    claim.disputes.map(({ step, state }) => [step, state]),
    [
      [0, 'dismissed'],
      [STRUCTURE_STEP, 'upheld'],
    ],
  );
});

test('a step that was found valid cannot be accused again', async (t) => {
  const world = await auditing();
  await giveVerdict(world, 0, 0, cheat, 'invalid', 2);
  for (const by of [1, 2, 3]) await giveJudgement(world, by, 0, cheat, 2, false);
  t.is((await giveVerdict(world, 1, 0, cheat, 'invalid', 2)).error, 'NoOpenDispute');
  t.is((await readClaim(world.view, 0, cheat)).status, 'committed');
});

test('a dispute opened in the last block of the audit still runs its full time', async (t) => {
  const world = await auditing();
  await approveAll(world, await current(world), [cheat]);
  const { deadline } = await current(world);
  await world.blocks(deadline - 1 - world.number());
  await giveVerdict(world, 0, 0, cheat, 'invalid', 0);
  await world.blocks(world.parameters.disputeBlocks - 1);
  for (const by of [1, 2]) await giveJudgement(world, by, 0, cheat, 0, true);
  t.is((await readClaim(world.view, 0, cheat)).status, 'rejected');
  t.is((await current(world)).phase, 'attesting', 'the audit deadline is over, so the round goes on at once');
});

test('a dispute dismissed after the audit deadline leaves the claim unresolved unless it had its quorum', async (t) => {
  const world = await auditing();
  await approveAll(world, await current(world), [cheat]);
  const { deadline } = await current(world);
  await world.blocks(deadline - 1 - world.number());
  await giveVerdict(world, 0, 0, cheat, 'invalid', 0);
  await world.blocks(1);
  for (const by of [1, 2, 3]) await giveJudgement(world, by, 0, cheat, 0, false);
  await world.block();
  t.is((await readClaim(world.view, 0, cheat)).status, 'unresolved');
  t.is((await readTrainer(world.view, cheat)).stakeWei, STAKE);
});

test('a claim made early can be accused and rejected before the others have committed', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  const round = await openRound(world);
  await world.ok(cheat, commitCall(commitmentOf(world, round, cheat)));
  await giveVerdict(world, 0, 0, cheat, 'invalid', 0);
  for (const by of [1, 2]) await giveJudgement(world, by, 0, cheat, 0, true);
  t.is((await readClaim(world.view, 0, cheat)).status, 'rejected');
  t.is((await current(world)).phase, 'training');
  for (const index of [0, 2])
    await world.ok(trainerAt(index), commitCall(commitmentOf(world, round, trainerAt(index))));
  await approveAll(world, round, [cheat]);
  await world.blocks(world.parameters.challengeBlocks);
  t.is((await current(world)).phase, 'attesting');
});
