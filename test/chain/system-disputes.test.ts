// Owns the tests of accusations against claims: upheld, dismissed, undecided, in parallel, decided by the reveals alone, and what
// each side gains or loses.

import test from 'ava';
import { present } from '../../base/check.ts';
import { STRUCTURE_STEP } from '../../chain/system/api.ts';
import { claimCreditCall, registerCall } from '../../chain/system/calls.ts';
import { readClaim, readRound, readSupply, readTrainer } from '../../chain/system/views.ts';
import {
  type Finding,
  type Findings,
  STAKE,
  attest,
  attestationOf,
  auditRound,
  authority,
  commitAll,
  current,
  giveJudgement,
  honestRound,
  openRound,
  register,
  trainerAt,
} from './system-life.ts';
import { type World, openWorld } from './system-world.ts';

const cheat = trainerAt(1);
const invalid = (step: number): readonly Finding[] => [{ trainer: cheat, verdict: 'invalid', step }];

/** A round whose verdicts are revealed: VALID but for the findings. */
async function revealed(findings: Findings, authorities: number = 4): Promise<World> {
  const world = await openWorld(authorities);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  await auditRound(world, findings);
  return world;
}

test('a false step found by one and confirmed by the quorum rejects the claim and takes stake and unvested pay', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await honestRound(world);
  const unvested = (await readTrainer(world.view, cheat)).unvestedGwei;
  t.true(unvested > 0n);
  await commitAll(world, await openRound(world));
  await auditRound(world, { 0: invalid(2) });
  t.is((await current(world)).phase, 'judging');
  t.is((await readClaim(world.view, 1, cheat)).status, 'disputed');
  t.is((await readClaim(world.view, 1, trainerAt(0))).status, 'accepted', 'the others do not wait for it');
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
  t.is((await current(world)).phase, 'attesting', 'the last decision ends the judging');
  const before = await world.balance(authority(world, 0));
  await world.ok(authority(world, 0), claimCreditCall());
  t.is((await world.balance(authority(world, 0))) - before, (STAKE * 2n) / 10n);
  t.is((await world.send(authority(world, 0), claimCreditCall())).error, 'NothingToClaim');
  await attest(world, attestationOf(1));
  await world.block();
  t.is((await readTrainer(world.view, cheat)).rejected, 1);
  t.is((await readRound(world.view, 1)).acceptedCount, 2);
  await world.fund(cheat, STAKE);
  t.is((await world.send(cheat, registerCall(1, STAKE))).error, 'WrongStatus', 'a slashed trainer stays out');
});

test('a false accuser is overruled, the claim goes on, and the accuser earns nothing in the round', async (t) => {
  const world = await revealed({ 3: invalid(1) });
  t.is((await readClaim(world.view, 0, cheat)).status, 'disputed', 'a quorum of VALID does not end an open dispute');
  for (const by of [0, 1]) await giveJudgement(world, by, 0, cheat, 1, false);
  const last = await giveJudgement(world, 2, 0, cheat, 1, false);
  t.true(
    last.events.some(
      (event) => event.kind === 'disputeClosed' && event.state === 'dismissed' && event.accuser === authority(world, 3),
    ),
  );
  t.is((await readClaim(world.view, 0, cheat)).status, 'accepted', 'the quorum was there already');
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

test('a dispute without a quorum either way at its deadline leaves the claim unresolved and nobody slashed', async (t) => {
  const world = await revealed({ 0: invalid(0) });
  await giveJudgement(world, 1, 0, cheat, 0, false);
  await world.blocks(world.parameters.disputeBlocks);
  const claim = await readClaim(world.view, 0, cheat);
  t.is(claim.status, 'unresolved');
  t.is(claim.disputes[0]?.state, 'undecided');
  t.is((await readTrainer(world.view, cheat)).stakeWei, STAKE);
  t.is((await current(world)).phase, 'attesting');
  t.is((await giveJudgement(world, 2, 0, cheat, 0, true)).error, 'WrongPhase');
});

test('a split in which no quorum can form is left undecided at once', async (t) => {
  const world = await revealed({ 0: invalid(0) });
  await giveJudgement(world, 1, 0, cheat, 0, true);
  await giveJudgement(world, 2, 0, cheat, 0, false);
  await giveJudgement(world, 3, 0, cheat, 0, false);
  t.is((await readClaim(world.view, 0, cheat)).status, 'unresolved');
});

test('two accusers of one step share a dispute and the first to reveal gets the bounty', async (t) => {
  const world = await revealed({ 2: invalid(1), 3: invalid(1) });
  const claim = await readClaim(world.view, 0, cheat);
  t.is(claim.disputes.length, 1);
  t.deepEqual(claim.disputes[0]?.invalid, [authority(world, 2), authority(world, 3)]);
  await giveJudgement(world, 1, 0, cheat, 1, true);
  t.is((await readClaim(world.view, 0, cheat)).status, 'rejected');
  t.true((await readTrainer(world.view, authority(world, 2))).creditWei > 0n);
  t.is((await readTrainer(world.view, authority(world, 3))).creditWei, 0n);
});

test('accusers who are a quorum by themselves decide with their reveals, in the block after those end', async (t) => {
  const world = await revealed({ 0: invalid(1), 1: invalid(1), 2: invalid(1) });
  t.is((await readClaim(world.view, 0, cheat)).status, 'disputed');
  t.is((await giveJudgement(world, 3, 0, cheat, 1, false)).error, 'NoOpenDispute', 'it is decided already');
  const block = await world.block();
  t.true(block.events.some(({ kind }) => kind === 'slashed'));
  t.is((await readClaim(world.view, 0, cheat)).status, 'rejected');
  t.is((await current(world)).phase, 'attesting');
});

test('disputes over different steps run side by side: one upheld is enough, one dismissed is not the end', async (t) => {
  const world = await revealed({ 0: invalid(0), 1: invalid(STRUCTURE_STEP) });
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

test('with every dispute dismissed the other verdicts decide, and two false accusers of four keep a claim unresolved', async (t) => {
  const world = await revealed({ 2: invalid(0), 3: invalid(1) });
  for (const by of [0, 1, 3]) await giveJudgement(world, by, 0, cheat, 0, false);
  t.is((await readClaim(world.view, 0, cheat)).status, 'disputed', 'the other dispute is open');
  for (const by of [0, 1, 2]) await giveJudgement(world, by, 0, cheat, 1, false);
  t.is((await readClaim(world.view, 0, cheat)).status, 'unresolved', 'two of four found it valid: no quorum');
  t.is((await readTrainer(world.view, cheat)).stakeWei, STAKE);
});

test('an accusation whose authority never reveals it counts for nothing', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  await auditRound(world, { 3: invalid(2) }, [0, 1, 2]);
  t.is((await readClaim(world.view, 0, cheat)).status, 'accepted');
  t.deepEqual((await current(world)).sealed, [0, 1, 2]);
});

test('one claim slashed twice over, in two rounds kept, loses its stake once', async (t) => {
  const world = await revealed({ 0: invalid(1), 1: invalid(1), 2: invalid(1) });
  await world.block();
  const burned = (await readSupply(world.view)).burnedWei;
  t.is(burned, (STAKE * 8n) / 10n);
  await attest(world, attestationOf(0));
  await world.blocks(2);
  t.is((await readSupply(world.view)).burnedWei, burned);
  t.is((await readTrainer(world.view, cheat)).rejected, 1);
});
