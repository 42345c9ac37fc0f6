// Owns the list of refusals: every custom error of the system contracts is raised once, by the call that must raise it.

import test from 'ava';
import { ONE_POL } from '../../base/units.ts';
import { encodeCall, learningRoundsAbi, rewardsAbi, trainersAbi } from '../../chain/system/abi.ts';
import { LEARNING_ROUNDS_ADDRESS, REWARDS_ADDRESS, SYSTEM_ADDRESS, TRAINERS_ADDRESS } from '../../chain/system/api.ts';
import {
  addStakeCall,
  attestCall,
  claimCreditCall,
  commitCall,
  markPaidCall,
  onBlockCall,
  registerCall,
  requestExitCall,
  resumeCall,
  setCapacityCall,
  withdrawCall,
} from '../../chain/system/calls.ts';
import { readClaim, readRound } from '../../chain/system/views.ts';
import {
  STAKE,
  approveAll,
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
import { accountOf, hashOf, leavesOf, openWorld } from './system-world.ts';

const stranger = accountOf('stranger');
const rounds = (data: Uint8Array) => ({ to: LEARNING_ROUNDS_ADDRESS, data, value: 0n });

test('functions kept for the chain or for a contract refuse everyone else', async (t) => {
  const world = await openWorld(4);
  const trainers = (data: Uint8Array) => ({ to: TRAINERS_ADDRESS, data, value: 0n });
  const closed = [
    onBlockCall(),
    markPaidCall(0),
    { to: REWARDS_ADDRESS, data: encodeCall(rewardsAbi, 'append', [stranger, 1n, 0]), value: 0n },
    trainers(encodeCall(trainersAbi, 'freeze', [0n, 1n])),
    trainers(encodeCall(trainersAbi, 'settle', [0n, stranger, 0, 1n])),
    trainers(encodeCall(trainersAbi, 'release', [stranger])),
    trainers(encodeCall(trainersAbi, 'finishRound', [0n])),
    trainers(encodeCall(trainersAbi, 'slash', [0n, stranger, stranger])),
  ];
  for (const call of closed) {
    for (const from of [stranger, authority(world, 0)]) {
      const { error, args } = await world.send(from, call);
      t.is(error, 'NotAllowed');
      t.is(String(args[0]).toLowerCase(), from);
    }
  }
});

test('coins sent to a system contract without a call come back', async (t) => {
  const world = await openWorld(4);
  await world.fund(stranger, ONE_POL);
  for (const to of [LEARNING_ROUNDS_ADDRESS, TRAINERS_ADDRESS, REWARDS_ADDRESS]) {
    t.not((await world.send(stranger, { to, data: new Uint8Array(0), value: 1n })).error, null);
  }
  t.not((await world.send(stranger, { ...onBlockCall(), value: 1n })).error, null);
  t.is(await world.balance(stranger), ONE_POL);
});

test('the queue refuses to pay more entries than wait', async (t) => {
  const world = await openWorld(4);
  t.is((await world.send(SYSTEM_ADDRESS, markPaidCall(1))).error, 'NotPending');
});

test('joining is refused by status, capacity and stake, and open to authorities', async (t) => {
  const world = await openWorld(4);
  const [joiner, other] = [accountOf('joiner'), accountOf('other')];
  for (const account of [joiner, other, authority(world, 0)]) await world.fund(account, 100n * ONE_POL);
  t.is((await world.send(joiner, registerCall(0, STAKE))).error, 'CapacityOutOfRange');
  t.is((await world.send(joiner, registerCall(65, STAKE))).error, 'CapacityOutOfRange');
  const least = world.parameters.minStakeGwei * 10n ** 9n;
  const short = await world.send(joiner, registerCall(1, least - 1n));
  t.is(short.error, 'StakeTooLow');
  t.deepEqual(short.args, [least - 1n, least]);
  t.is((await world.send(authority(world, 0), registerCall(1, STAKE))).error, null);
  for (const call of [addStakeCall(1n), setCapacityCall(2), requestExitCall(), resumeCall(), withdrawCall()]) {
    t.is((await world.send(joiner, call)).error, 'WrongStatus');
  }
  await world.ok(joiner, registerCall(1, least));
  t.is((await world.send(joiner, registerCall(1, least))).error, 'WrongStatus');
  t.is((await world.send(joiner, setCapacityCall(65))).error, 'CapacityOutOfRange');
  t.is((await world.send(joiner, withdrawCall())).error, 'WrongStatus');
  t.is((await world.send(joiner, resumeCall())).error, 'WrongStatus');
  t.is((await world.send(joiner, claimCreditCall())).error, 'NothingToClaim');
  await world.fund(other, 2n ** 128n);
  t.is((await world.send(other, registerCall(1, 2n ** 128n))).error, 'StakeTooHigh');
});

test('leaving is refused while a round holds the stake and before the unbonding time is over', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await openRound(world);
  await world.ok(trainerAt(0), requestExitCall());
  t.is((await world.send(trainerAt(0), requestExitCall())).error, 'WrongStatus');
  await world.blocks(world.parameters.unbondingBlocks);
  t.is((await world.send(trainerAt(0), withdrawCall())).error, 'Locked');
  await world.blocks(world.parameters.trainBlocks);
  t.is((await readRound(world.view, 0)).phase, 'done');
  await world.ok(trainerAt(0), withdrawCall());
  await world.ok(trainerAt(1), requestExitCall());
  t.is((await world.send(trainerAt(1), withdrawCall())).error, 'Unbonding');
});

test('a commit is refused by round, phase, roster, repetition, base, specification, leaves, size and empty hashes', async (t) => {
  const world = await openWorld(4);
  const trainer = trainerAt(0);
  t.is(
    (await world.send(authority(world, 0), attestCall(attestationOf(0)))).error,
    'WrongRound',
    'there is no round yet',
  );
  await register(world, 3);
  await world.block();
  const frozen = await current(world);
  t.is((await world.send(trainer, commitCall(commitmentOf(world, frozen, trainer)))).error, 'WrongPhase');
  const round = await openRound(world);
  const zero = `0x${'00'.repeat(32)}` as const;
  const attempt = async (changes: Parameters<typeof commitmentOf>[3], from = trainer) =>
    (await world.send(from, commitCall(commitmentOf(world, round, trainer, changes)))).error;
  t.is(await attempt({ round: 1 }), 'WrongRound');
  t.is(await attempt({}, stranger), 'NotInRoster');
  t.is(await attempt({}, authority(world, 0)), 'NotInRoster');
  t.is(await attempt({ baseRoot: hashOf('other base') }), 'BaseMismatch');
  t.is(await attempt({ kernelSpec: hashOf('other kernel') }), 'SpecMismatch');
  t.is(await attempt({ programHash: hashOf('other program') }), 'SpecMismatch');
  for (const steps of [0, 3, 5]) t.is(await attempt({ leaves: leavesOf(steps) }), 'LeavesLength');
  t.is(await attempt({ leaves: leavesOf(4).subarray(1) }), 'LeavesLength');
  t.is(await attempt({ updateSize: 0n }), 'UpdateSize');
  t.is(await attempt({ updateSize: world.parameters.maxUpdateBytes + 1n }), 'UpdateSize');
  for (const field of ['traceRoot', 'gradChainHead', 'finalStateRoot', 'updateHash'])
    t.is(await attempt({ [field]: zero }), 'EmptyHash');
  t.is(await attempt({}), null);
  t.is(await attempt({}), 'WrongClaimStatus');
  await world.blocks(world.parameters.trainBlocks);
  t.is((await world.send(trainerAt(1), commitCall(commitmentOf(world, round, trainerAt(1))))).error, 'WrongPhase');
});

test('a verdict is refused by round, phase, authority, claim, repetition, kind, step and deadline', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  const round = await openRound(world);
  const trainer = trainerAt(0);
  t.is((await giveVerdict(world, 0, 0, trainer, 'valid')).error, 'WrongClaimStatus', 'nothing is claimed yet');
  await world.ok(trainer, commitCall(commitmentOf(world, round, trainer)));
  t.is((await giveVerdict(world, 0, 1, trainer, 'valid')).error, 'WrongRound');
  t.is((await giveVerdict(world, 0, 0, stranger, 'valid')).error, 'NotInRoster');
  const raw = (kind: number, step: number) =>
    rounds(encodeCall(learningRoundsAbi, 'verdict', [0n, trainer, kind, step, hashOf('digest')]));
  for (const from of [stranger, trainerAt(1)]) t.is((await world.send(from, raw(1, 0))).error, 'NotAuthority');
  for (const kind of [0, 4, 255]) t.is((await world.send(authority(world, 0), raw(kind, 0))).error, 'VerdictUnknown');
  t.is((await world.send(authority(world, 0), raw(1, 1))).error, 'StepOutOfRange', 'VALID names no step');
  t.is((await giveVerdict(world, 0, 0, trainer, 'invalid', 4)).error, 'StepOutOfRange');
  t.is((await giveVerdict(world, 0, 0, trainer, 'invalid', 0xffff_fffe)).error, 'StepOutOfRange');
  t.is((await giveVerdict(world, 0, 0, trainer, 'valid')).error, null);
  for (const kind of ['valid', 'invalid', 'unavailable'] as const) {
    t.is((await giveVerdict(world, 0, 0, trainer, kind)).error, 'AlreadyGiven');
  }
  await world.ok(trainerAt(1), commitCall(commitmentOf(world, round, trainerAt(1))));
  await world.ok(trainerAt(2), commitCall(commitmentOf(world, round, trainerAt(2))));
  await world.blocks(world.parameters.auditBlocks);
  t.is(
    (await giveVerdict(world, 1, 0, trainer, 'valid')).error,
    'WrongPhase',
    'the block at the deadline ended the audit',
  );
});

test('a judgement is refused without an open dispute, to strangers, twice, and after the deadline', async (t) => {
  const world = await openWorld(4, { auditBlocks: 3, disputeBlocks: 8 });
  await register(world, 3);
  await commitAll(world, await openRound(world));
  const trainer = trainerAt(0);
  t.is((await giveJudgement(world, 0, 0, trainer, 1, true)).error, 'NoOpenDispute');
  await giveVerdict(world, 0, 0, trainer, 'invalid', 1);
  t.is((await giveJudgement(world, 0, 0, trainer, 1, false)).error, 'AlreadyGiven', 'the accuser counted as invalid');
  t.is((await giveJudgement(world, 1, 0, trainer, 2, true)).error, 'NoOpenDispute', 'another step is not disputed');
  t.is((await giveJudgement(world, 1, 1, trainer, 1, true)).error, 'WrongRound');
  const raw = rounds(encodeCall(learningRoundsAbi, 'judge', [0n, trainer, 1, true]));
  t.is((await world.send(stranger, raw)).error, 'NotAuthority');
  await world.blocks(world.parameters.auditBlocks);
  t.is(
    (await giveVerdict(world, 1, 0, trainer, 'valid')).error,
    'DeadlinePassed',
    'the dispute holds the phase open, not the audit',
  );
  t.is((await giveJudgement(world, 1, 0, trainer, 1, false)).error, null);
});

test('an attestation is refused by round, phase, authority, repetition, empty root and absurd loss', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  const round = await openRound(world);
  const by = authority(world, 0);
  const attempt = async (changes: Parameters<typeof attestationOf>[1], from = by) =>
    (await world.send(from, attestCall(attestationOf(0, changes)))).error;
  t.is(await attempt({}), 'WrongPhase');
  await commitAll(world, round);
  await approveAll(world, round);
  t.is(await attempt({ round: 1 }), 'WrongRound');
  t.is(await attempt({}, stranger), 'NotAuthority');
  t.is(await attempt({ modelRoot: `0x${'00'.repeat(32)}` }), 'EmptyHash');
  t.is(await attempt({ heldOutMicroNats: 1_000_000_001 }), 'LossOutOfRange');
  t.is(await attempt({}), null);
  t.is(await attempt({}), 'AlreadyGiven');
  await world.blocks(world.parameters.attestBlocks);
  t.is(await attempt({}, authority(world, 1)), 'WrongPhase', 'the block at the deadline ended the phase');
});

test('views refuse rounds that are not kept and trainers that were not in them', async (t) => {
  const world = await openWorld(4);
  await t.throwsAsync(readRound(world.view, 0), { message: 'RoundForgotten' });
  await register(world, 3);
  await honestRound(world);
  await t.throwsAsync(readRound(world.view, 9), { message: 'RoundForgotten' });
  await t.throwsAsync(readClaim(world.view, 0, stranger), { message: 'NotInRoster' });
});
