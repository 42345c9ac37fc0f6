// Owns the list of refusals: every custom error of the system contracts is raised once, by the call that must raise it.

import test from 'ava';
import { type Hex, concat, fromHex, toHex, u32be } from '../../base/bytes.ts';
import { ONE_POL } from '../../base/units.ts';
import {
  authoritiesAbi,
  bondsAbi,
  encodeCall,
  learningRoundsAbi,
  rewardsAbi,
  trainersAbi,
} from '../../chain/system/abi.ts';
import {
  AUTHORITIES_ADDRESS,
  BONDS_ADDRESS,
  LEARNING_ROUNDS_ADDRESS,
  REWARDS_ADDRESS,
  SYSTEM_ADDRESS,
  TRAINERS_ADDRESS,
} from '../../chain/system/api.ts';
import {
  addStakeCall,
  attestCall,
  claimCreditCall,
  commitCall,
  commitVerdictsCall,
  markPaidCall,
  onBlockCall,
  registerCall,
  requestExitCall,
  resumeCall,
  revealVerdictsCall,
  setCapacityCall,
  withdrawCall,
} from '../../chain/system/calls.ts';
import { NO_DIGEST, encodeEntries, verdictsHash } from '../../chain/system/verdicts.ts';
import { readClaim, readRound } from '../../chain/system/views.ts';
import {
  PROOF,
  STAKE,
  attestationOf,
  auditRound,
  authority,
  commitAll,
  commitmentOf,
  current,
  entriesOf,
  giveJudgement,
  honestRound,
  nonceOf,
  openRound,
  register,
  revealCall,
  sealCall,
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
    trainers(encodeCall(trainersAbi, 'renewCanaryLayer', [stranger, NO_DIGEST])),
    rounds(encodeCall(learningRoundsAbi, 'rejectByReferee', [0n, stranger])),
    { to: BONDS_ADDRESS, data: encodeCall(bondsAbi, 'slash', [stranger, 1, stranger]), value: 0n },
    { to: AUTHORITIES_ADDRESS, data: encodeCall(authoritiesAbi, 'expel', [stranger]), value: 0n },
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
  for (const to of [LEARNING_ROUNDS_ADDRESS, TRAINERS_ADDRESS, REWARDS_ADDRESS, BONDS_ADDRESS]) {
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

test('verdicts are committed once, by authorities, in the audit only', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  const round = await openRound(world);
  const hash = hashOf('verdicts');
  const by = authority(world, 0);
  t.is((await world.send(by, commitVerdictsCall(0, hash))).error, 'WrongPhase', 'not while others train');
  await commitAll(world, round);
  t.is((await world.send(by, commitVerdictsCall(1, hash))).error, 'WrongRound');
  for (const from of [stranger, trainerAt(1)])
    t.is((await world.send(from, commitVerdictsCall(0, hash))).error, 'NotAuthority');
  t.is((await world.send(by, commitVerdictsCall(0, `0x${'00'.repeat(32)}`))).error, 'EmptyHash');
  t.is(
    (await world.send(by, revealCall(0, await current(world)))).error,
    'WrongPhase',
    'nothing opens before all is hidden',
  );
  await world.ok(by, commitVerdictsCall(0, hash));
  t.is((await world.send(by, commitVerdictsCall(0, hash))).error, 'AlreadyGiven');
  t.is((await world.send(by, commitVerdictsCall(0, hashOf('other')))).error, 'AlreadyGiven');
  await world.blocks(world.parameters.auditBlocks);
  t.is((await world.send(authority(world, 1), commitVerdictsCall(0, hash))).error, 'WrongPhase');
});

test('a reveal is refused unless it is what its authority committed, of the right form, once and in time', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  const round = await current(world);
  const honest = encodeEntries(entriesOf(round, 0));
  const bytes = (hex: Hex): string => hex.slice(2);
  const first = bytes(honest).slice(0, 76);
  const rest = bytes(honest).slice(76);
  const record = (seat: number, kind: number, step: number, digest: Hex): string =>
    toHex(concat(Uint8Array.of(seat, kind), u32be(step), fromHex(digest))).slice(2);
  // Committed as they stand, so only their form is in the way.
  const malformed: readonly (readonly [string, Hex])[] = [
    ['EntriesLength', '0x'],
    ['EntriesLength', `0x${rest}`],
    ['EntriesLength', `${honest}00`],
    ['EntriesLength', `${honest}${first}`],
    ['EntryMisplaced', `0x${rest}${first}`],
    ['EntryMisplaced', `0x${first}${first}${rest.slice(76)}`],
    ['VerdictUnknown', `0x${record(0, 0, 0, hashOf('digest'))}${rest}`],
    ['VerdictUnknown', `0x${record(0, 255, 0, hashOf('digest'))}${rest}`],
    ['StepOutOfRange', `0x${record(0, 1, 1, hashOf('digest'))}${rest}`],
    ['StepOutOfRange', `0x${record(0, 2, 4, hashOf('digest'))}${rest}`],
    ['StepOutOfRange', `0x${record(0, 2, 0xffff_fffe, hashOf('digest'))}${rest}`],
    ['DigestUnfit', `0x${record(0, 4, 0, hashOf('digest'))}${rest}`],
    ['DigestUnfit', `0x${record(0, 1, 0, NO_DIGEST)}${rest}`],
  ];
  const sender = authority(world, 0);
  for (const [error, entries] of malformed) {
    const branch = await openWorld(4);
    await register(branch, 3);
    await commitAll(branch, await openRound(branch));
    await branch.ok(sender, commitVerdictsCall(0, verdictsHash(0, sender, entries, nonceOf(0, 0))));
    await branch.blocks(branch.parameters.auditBlocks);
    t.is((await branch.send(sender, revealVerdictsCall(0, entries, nonceOf(0, 0), PROOF))).error, error, entries);
    t.deepEqual((await current(branch)).revealed, []);
  }
  for (const by of [0, 1, 2]) await world.ok(authority(world, by), sealCall(world, by, round));
  while ((await current(world)).phase === 'auditing') await world.block();
  const send = async (by: number, entries: Hex, nonce: Hex, proof: Hex = PROOF, number: number = 0) =>
    (await world.send(authority(world, by), revealVerdictsCall(number, entries, nonce, proof))).error;
  t.is(await send(3, honest, nonceOf(3, 0)), 'NotSealed', 'no reveal without a commit');
  t.is(await send(0, honest, nonceOf(1, 0)), 'SealMismatch');
  t.is(await send(1, honest, nonceOf(0, 0)), 'SealMismatch', "another's reveal cannot be sent as one's own");
  t.is(
    await send(
      0,
      encodeEntries(entriesOf(round, 0, [{ trainer: trainerAt(0), verdict: 'invalid', step: 1 }])),
      nonceOf(0, 0),
    ),
    'SealMismatch',
  );
  t.is(await send(0, honest, nonceOf(0, 0), `${PROOF}00`), 'ProofLength');
  t.is(await send(0, honest, nonceOf(0, 0), '0x'), 'ProofLength');
  t.is(await send(0, honest, nonceOf(0, 0), PROOF, 1), 'WrongRound');
  t.is((await world.send(stranger, revealVerdictsCall(0, honest, nonceOf(0, 0), PROOF))).error, 'NotAuthority');
  t.is(await send(0, honest, nonceOf(0, 0)), null);
  t.is(await send(0, honest, nonceOf(0, 0)), 'AlreadyGiven', 'a replay');
  while ((await current(world)).phase === 'revealing') await world.block();
  t.is(await send(1, encodeEntries(entriesOf(round, 1)), nonceOf(1, 0)), 'WrongPhase', 'late');
});

test('a judgement is refused without an open dispute, to strangers, twice, and out of its phase', async (t) => {
  const world = await openWorld(4, { disputeBlocks: 8 });
  await register(world, 3);
  await commitAll(world, await openRound(world));
  const trainer = trainerAt(0);
  t.is((await giveJudgement(world, 0, 0, trainer, 1, true)).error, 'WrongPhase');
  await auditRound(world, { 0: [{ trainer, verdict: 'invalid', step: 1 }] });
  t.is((await giveJudgement(world, 0, 0, trainer, 1, false)).error, 'AlreadyGiven', 'the accuser counted as invalid');
  t.is((await giveJudgement(world, 1, 0, trainer, 2, true)).error, 'NoOpenDispute', 'another step is not disputed');
  t.is((await giveJudgement(world, 1, 0, trainerAt(1), 1, true)).error, 'NoOpenDispute', 'nor another claim');
  t.is((await giveJudgement(world, 1, 1, trainer, 1, true)).error, 'WrongRound');
  const raw = rounds(encodeCall(learningRoundsAbi, 'judge', [0n, trainer, 1, true]));
  t.is((await world.send(stranger, raw)).error, 'NotAuthority');
  t.is((await giveJudgement(world, 1, 0, trainer, 1, false)).error, null);
  await world.blocks(world.parameters.disputeBlocks);
  t.is((await giveJudgement(world, 2, 0, trainer, 1, false)).error, 'WrongPhase');
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
  await auditRound(world);
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
