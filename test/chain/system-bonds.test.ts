// Owns the tests of authorities' bonds and of canaries: accusations, trials, what each side gains or loses, and that a canary is
// opened by its owner, in its time, and by nobody else.

import test from 'ava';
import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { ONE_POL } from '../../base/units.ts';
import { authoritiesAbi, bondsAbi, encodeCall, learningRoundsAbi } from '../../chain/system/abi.ts';
import {
  AUTHORITIES_ADDRESS,
  type AccusationKind,
  BONDS_ADDRESS,
  LEARNING_ROUNDS_ADDRESS,
} from '../../chain/system/api.ts';
import {
  accuseCall,
  attestCall,
  claimBondCreditCall,
  closeTrialCall,
  commitCall,
  depositBondCall,
  judgeAuthorityCall,
  openCanaryCall,
  proposeCall,
  setCanaryLayerCall,
  voteCall,
  withdrawBondCall,
} from '../../chain/system/calls.ts';
import { canaryHash, canaryLayerHash } from '../../chain/system/verdicts.ts';
import {
  readAuthoritySet,
  readBond,
  readClaim,
  readRound,
  readSupply,
  readTrainer,
  readTrial,
} from '../../chain/system/views.ts';
import {
  type Finding,
  attest,
  attestationOf,
  auditRound,
  authority,
  commitAll,
  commitmentOf,
  current,
  openRound,
  register,
  revealCall,
  sealCall,
  trainerAt,
} from './system-life.ts';
import { type Sent, type World, accountOf, hashOf, openWorld } from './system-world.ts';

const stranger = accountOf('stranger');
const CHALLENGES: Hex = '0x504f4c0000000000000000000000000000000006';
const EVIDENCE: Hex = '0x504f4c0000000000000000000000000000000007';
const BOND = 100n * ONE_POL;
const STAKED = 5n * ONE_POL;

/** A round whose verdicts are revealed: VALID from everyone on everything. */
async function revealed(authorities: number = 4): Promise<World> {
  const world = await openWorld(authorities);
  await register(world, 3);
  await world.fund(stranger, 100n * ONE_POL);
  for (let by = 0; by < authorities; by++) await world.fund(authority(world, by), 10n * ONE_POL);
  await commitAll(world, await openRound(world));
  await auditRound(world);
  return world;
}

function accuse(
  world: World,
  from: Hex,
  by: number,
  kind: AccusationKind = 'digest',
  round = 0,
  seat = 0,
): Promise<Sent> {
  return world.send(from, accuseCall({ round, authority: authority(world, by), seat, kind }, STAKED));
}

const bondOf = async (world: World, by: number) => (await readBond(world.view, authority(world, by))).bondWei;

test('the quorum of the others takes a whole bond: four fifths burned, one to the accuser; pay stops until a new bond', async (t) => {
  const world = await revealed();
  t.is(await bondOf(world, 3), BOND);
  await accuse(world, stranger, 3);
  for (const by of [0, 1]) await world.ok(authority(world, by), judgeAuthorityCall(0, true));
  t.is(await bondOf(world, 3), BOND, 'two of the three others are no quorum');
  await world.ok(authority(world, 2), judgeAuthorityCall(0, true));
  t.is(await bondOf(world, 3), 0n);
  t.is((await readTrial(world.view, 0)).state, 'guilty');
  t.is((await readSupply(world.view)).burnedWei, (BOND * 8n) / 10n);
  const before = await world.balance(stranger);
  await world.ok(stranger, claimBondCreditCall());
  t.is((await world.balance(stranger)) - before, BOND / 5n + STAKED);
  await attest(world, attestationOf(0));
  const paidBy = async () =>
    (await world.block()).events.flatMap((event) =>
      event.kind === 'minted' && event.reason === 'auditing' ? [event.recipient] : [],
    );
  t.false((await paidBy()).includes(authority(world, 3)), 'not without its bond');
  await world.fund(authority(world, 3), BOND);
  await world.ok(authority(world, 3), depositBondCall(BOND));
  await commitAll(world, await openRound(world));
  await auditRound(world);
  await attest(world, attestationOf(1));
  t.true((await paidBy()).includes(authority(world, 3)));
});

test('a false accuser loses its own bond: four fifths burned, one to the accused', async (t) => {
  const world = await revealed();
  await accuse(world, stranger, 1);
  for (const by of [0, 2, 3]) await world.ok(authority(world, by), judgeAuthorityCall(0, false));
  t.is((await readTrial(world.view, 0)).state, 'innocent');
  t.is(await bondOf(world, 1), BOND);
  t.is((await readBond(world.view, authority(world, 1))).creditWei, STAKED / 5n);
  t.is((await readSupply(world.view)).burnedWei, (STAKED * 4n) / 5n);
  t.is((await accuse(world, stranger, 1)).error, 'AlreadyTried', 'the same charge is tried once');
  t.is((await world.send(authority(world, 0), judgeAuthorityCall(0, true))).error, 'NoOpenTrial');
});

test('a trial without a quorum gives the accuser its bond back, and may be tried again', async (t) => {
  const world = await revealed();
  await accuse(world, authority(world, 0), 3);
  t.deepEqual((await readTrial(world.view, 0)).guilty, [0], 'an authority that accuses has judged');
  await world.ok(authority(world, 1), judgeAuthorityCall(0, false));
  t.is((await world.send(stranger, closeTrialCall(0))).error, 'TrialRuns');
  await world.blocks(world.parameters.disputeBlocks);
  t.is((await world.send(authority(world, 2), judgeAuthorityCall(0, true))).error, 'NoOpenTrial', 'late');
  await world.ok(stranger, closeTrialCall(0));
  t.is((await readTrial(world.view, 0)).state, 'undecided');
  t.is((await readBond(world.view, authority(world, 0))).creditWei, STAKED);
  t.is(await bondOf(world, 3), BOND);
  t.is((await accuse(world, stranger, 3)).error, null);
});

test('accusations and judgements are refused by bond, charge, window, seat and judge', async (t) => {
  const world = await revealed();
  const charge = { round: 0, authority: authority(world, 1), seat: 0, kind: 'digest' } as const;
  for (const wei of [0n, STAKED - 1n, STAKED + 1n])
    t.is((await world.send(stranger, accuseCall(charge, wei))).error, 'BondOutOfRange');
  t.is((await accuse(world, stranger, 1, 'digest', 0, 3)).error, 'NothingToAccuse', 'no such seat');
  t.is((await accuse(world, stranger, 1, 'canary')).error, 'NothingToAccuse', 'the claim is no canary');
  t.is((await accuse(world, stranger, 1, 'digest', 9)).error, 'RoundForgotten');
  t.is((await accuse(world, authority(world, 1), 1)).error, 'NothingToAccuse', 'nobody accuses itself');
  const raw = { to: BONDS_ADDRESS, value: STAKED };
  const unknown = encodeCall(bondsAbi, 'accuse', [0n, authority(world, 1), 0, 4]);
  t.is((await world.send(stranger, { ...raw, data: unknown })).error, 'NothingToAccuse');
  const nobody = encodeCall(bondsAbi, 'accuse', [0n, stranger, 0, 1]);
  t.is((await world.send(trainerAt(0), { ...raw, data: nobody })).error, 'NothingToAccuse', 'no authority');
  await accuse(world, stranger, 1);
  t.is((await world.send(stranger, judgeAuthorityCall(0, true))).error, 'NotJudge');
  t.is((await world.send(authority(world, 1), judgeAuthorityCall(0, false))).error, 'NotJudge', 'not the accused');
  t.is((await world.send(authority(world, 0), judgeAuthorityCall(7, true))).error, 'NoOpenTrial');
  await world.ok(authority(world, 0), judgeAuthorityCall(0, false));
  t.is((await world.send(authority(world, 0), judgeAuthorityCall(0, true))).error, 'AlreadyGiven');
  await world.blocks(world.parameters.recheckWindowBlocks);
  t.is((await accuse(world, stranger, 2)).error, 'WindowPassed');
  t.is(await bondOf(world, 2), BOND);
});

test('a bond is paid back only out of office, after unbonding and without an open trial', async (t) => {
  const world = await revealed(5);
  const gone = authority(world, 4);
  t.is((await world.send(gone, withdrawBondCall())).error, 'StillSeated');
  t.is((await world.send(stranger, withdrawBondCall())).error, 'NothingToClaim');
  await world.ok(authority(world, 0), proposeCall(false, gone, '0x'));
  for (const by of [1, 2, 3]) await world.ok(authority(world, by), voteCall(0));
  t.is((await world.send(gone, withdrawBondCall())).error, 'StillSeated', 'until the new set acts');
  await world.blocks(2);
  t.is((await world.send(gone, withdrawBondCall())).error, 'Unbonding');
  await world.blocks(world.parameters.recheckWindowBlocks - 6);
  await accuse(world, stranger, 4);
  await world.blocks(12);
  t.is((await world.send(gone, withdrawBondCall())).error, 'UnderTrial');
  await world.ok(stranger, closeTrialCall(0));
  const before = await world.balance(gone);
  await world.ok(gone, withdrawBondCall());
  t.is((await world.balance(gone)) - before, BOND);
});

test('the evidence contract fines and expels, never below four', async (t) => {
  const world = await openWorld(5);
  const call = (data: Uint8Array, to: Hex) => ({ to, data, value: 0n });
  const fine = call(encodeCall(bondsAbi, 'slash', [authority(world, 4), 500, stranger]), BONDS_ADDRESS);
  const expel = (by: number) => call(encodeCall(authoritiesAbi, 'expel', [authority(world, by)]), AUTHORITIES_ADDRESS);
  await world.ok(EVIDENCE, fine);
  t.is(await bondOf(world, 4), (BOND * 95n) / 100n);
  t.is((await readBond(world.view, stranger)).creditWei, BOND / 100n);
  await world.ok(EVIDENCE, expel(4));
  t.is((await world.send(EVIDENCE, expel(3))).error, 'ChangePending', 'one change at a time');
  await world.blocks(2);
  t.is((await readAuthoritySet(world.view)).members.length, 4);
  await world.ok(EVIDENCE, expel(3));
  await world.blocks(2);
  t.is((await readAuthoritySet(world.view)).members.length, 4, 'four stay');
});

const layer = hashOf('a secret layer');
const nextHash = canaryLayerHash(hashOf('the next layer'));

/** A round in which trainer 0 committed to a canary at a step, hidden and ready to be revealed. */
async function withCanary(step: number, canaryBps = 10_000): Promise<World> {
  const world = await openWorld(4, { canaryBps, canaryBlocks: 2 });
  await register(world, 3);
  await world.ok(trainerAt(0), setCanaryLayerCall(canaryLayerHash(layer)));
  const round = await openRound(world);
  for (const { trainer } of round.roster) {
    const hash = trainer === trainerAt(0) ? { canaryHash: canaryHash(round.round, trainer, step, layer) } : {};
    await world.ok(trainer, commitCall(commitmentOf(world, round, trainer, hash)));
  }
  return world;
}

const open = (world: World, step: number, from = trainerAt(0), secret = layer): Promise<Sent> =>
  world.send(from, openCanaryCall(0, step, secret, nextHash));

test('a canary that was opened is paid with its bonus and not counted; who found it false was right, who approved it can be accused', async (t) => {
  const world = await withCanary(2);
  await world.fund(stranger, 100n * ONE_POL);
  const round = await current(world);
  const found: readonly Finding[] = [{ trainer: trainerAt(0), verdict: 'invalid', step: 2 }];
  const said = (by: number) => (by < 2 ? found : []);
  t.is((await open(world, 2)).error, 'WrongPhase', 'not before everyone has hidden its verdicts');
  for (const by of [0, 1, 2, 3]) await world.ok(authority(world, by), sealCall(world, by, round, said(by)));
  for (const by of [0, 1]) await world.ok(authority(world, by), revealCall(by, round, said(by)));
  await world.block();
  await world.ok(trainerAt(0), openCanaryCall(0, 2, layer, nextHash));
  t.is((await open(world, 2)).error, 'WrongClaimStatus', 'once');
  for (const by of [2, 3]) await world.ok(authority(world, by), revealCall(by, round, said(by)));
  while ((await current(world)).phase === 'revealing') await world.block();
  t.is((await current(world)).phase, 'attesting', 'no dispute is opened about it');
  t.is((await readClaim(world.view, 0, trainerAt(0))).status, 'canary');
  t.is((await current(world)).acceptedCount, 2);
  await attest(world, attestationOf(0));
  const settled = await world.block();
  const { emissionGwei } = await readRound(world.view, 0);
  const paid = settled.events.flatMap((event) => (event.kind === 'vested' ? [event.paidGwei] : []));
  const part = emissionGwei / 3n;
  t.deepEqual(paid, [(part * 8_300n) / 10_000n, (part * 7_500n) / 10_000n, (part * 7_500n) / 10_000n]);
  t.is((await readTrainer(world.view, trainerAt(0))).status, 'active', 'nobody is slashed');
  t.is((await readTrainer(world.view, trainerAt(0))).canaryLayer, nextHash);
  t.is((await accuse(world, stranger, 0, 'canary')).error, 'NothingToAccuse', 'it said INVALID');
  t.is((await accuse(world, stranger, 2, 'canary')).error, null);
  for (const by of [0, 1, 3]) await world.ok(authority(world, by), judgeAuthorityCall(0, true));
  t.is(await bondOf(world, 2), 0n);
});

test('a canary opened late, by another, at another step, of another layer or without the lot is refused', async (t) => {
  const world = await withCanary(2);
  const round = await current(world);
  for (const by of [0, 1, 2, 3]) await world.ok(authority(world, by), sealCall(world, by, round));
  t.is((await open(world, 1)).error, 'CanaryMismatch');
  t.is((await open(world, 4)).error, 'StepOutOfRange');
  t.is((await open(world, 2, trainerAt(0), hashOf('guess'))).error, 'LayerUnknown');
  t.is((await open(world, 2, trainerAt(1))).error, 'LayerUnknown', "another's secret opens nothing");
  t.is((await open(world, 2, stranger)).error, 'NotInRoster');
  await world.ok(trainerAt(0), setCanaryLayerCall(nextHash));
  for (const by of [0, 1, 2, 3]) await world.ok(authority(world, by), revealCall(by, round));
  while ((await current(world)).phase === 'revealing') await world.block();
  t.is((await open(world, 2)).error, 'WrongPhase', 'late');
  t.is((await readClaim(world.view, 0, trainerAt(0))).status, 'accepted', 'what is not opened counts as it was found');
  const unlucky = await withCanary(2, 0);
  const other = await current(unlucky);
  for (const by of [0, 1, 2, 3]) await unlucky.ok(authority(unlucky, by), sealCall(unlucky, by, other));
  t.is((await open(unlucky, 2)).error, 'TicketNotOwned');
});

test('a layer set within a round leaves that round as it was', async (t) => {
  const world = await withCanary(2);
  await world.ok(trainerAt(0), setCanaryLayerCall(nextHash));
  await world.ok(trainerAt(0), setCanaryLayerCall(hashOf('set twice')));
  const round = await current(world);
  for (const by of [0, 1, 2, 3]) await world.ok(authority(world, by), sealCall(world, by, round));
  t.is((await open(world, 2)).error, null);
});

test('the referee takes an accepted claim back: attestations begin anew, and it is neither paid nor counted', async (t) => {
  const world = await revealed();
  const reject = (round: bigint, trainer: Hex) =>
    world.ok(CHALLENGES, {
      to: LEARNING_ROUNDS_ADDRESS,
      data: encodeCall(learningRoundsAbi, 'rejectByReferee', [round, trainer]),
      value: 0n,
    });
  for (const by of [0, 1]) await world.ok(authority(world, by), attestCall(attestationOf(0)));
  const rejected = await reject(0n, trainerAt(1));
  t.true(rejected.events.some(({ kind }) => kind === 'claimRejectedByReferee'));
  t.is((await current(world)).acceptedCount, 2);
  t.deepEqual((await current(world)).attested, [], 'they were of a sum with that claim');
  t.is((await reject(0n, trainerAt(1))).events.length, 0, 'once');
  t.is((await reject(5n, trainerAt(1))).events.length, 0, 'another round: nothing happens');
  for (const by of [2, 3]) await world.ok(authority(world, by), attestCall(attestationOf(0)));
  t.is((await current(world)).phase, 'attesting', 'two old and two new ones are no quorum');
  await world.ok(authority(world, 0), attestCall(attestationOf(0)));
  const settled = await world.block();
  const paid = settled.events.flatMap((event) =>
    event.kind === 'vested' && event.paidGwei > 0n ? [event.trainer] : [],
  );
  t.deepEqual(paid, [trainerAt(0), trainerAt(2)]);
  t.is((await readTrainer(world.view, trainerAt(1))).rejected, 1);
  t.is((await reject(0n, trainerAt(0))).events.length, 0, 'what was paid stays paid');
  t.is(present((await readRound(world.view, 0)).roster[0], 'seat').status, 'accepted');
});
