// Owns the tests of a learning round's whole life: opening, claims, acceptance, attestation, pay, vesting, the gate.

import test from 'ava';
import { concat, toHex, u64be, utf8 } from '../../base/bytes.ts';
import { keccak256 } from '../../base/hash.ts';
import { present } from '../../base/check.ts';
import { ONE_POL } from '../../base/units.ts';
import {
  addStakeCall,
  attestCall,
  commitCall,
  registerCall,
  releaseVestedCall,
  requestExitCall,
  setCapacityCall,
} from '../../chain/system/calls.ts';
import { readClaim, readModel, readRound, readSupply, readTrainer } from '../../chain/system/views.ts';
import {
  STAKE,
  attest,
  attestationOf,
  auditRound,
  authority,
  commitAll,
  commitmentOf,
  current,
  honestRound,
  openRound,
  register,
  revealCall,
  sealCall,
  trainerAt,
} from './system-life.ts';
import { leavesOf, mixOf, openWorld } from './system-world.ts';

test('no round begins below the least number of trainers', async (t) => {
  const world = await openWorld(4);
  await register(world, 2);
  await world.blocks(3);
  await t.throwsAsync(readRound(world.view, 0), { message: 'RoundForgotten' });
});

test('the roster freezes one block before the seed of the round exists', async (t) => {
  const world = await openWorld(4);
  await register(world, 3, [1, 4, 2]);
  await world.block();
  const frozen = await current(world);
  t.is(frozen.phase, 'frozen');
  t.is(frozen.seed, `0x${'00'.repeat(32)}`);
  t.deepEqual(
    frozen.roster.map(({ trainer, capacity }) => [trainer, capacity]),
    [
      [trainerAt(0), 1],
      [trainerAt(1), 4],
      [trainerAt(2), 2],
    ],
  );
  await world.ok(trainerAt(1), setCapacityCall(64));
  await world.block();
  const open = await current(world);
  t.is(open.phase, 'training');
  t.is(open.seed, toHex(keccak256(concat(utf8('round'), mixOf(world.number()), u64be(0)))));
  t.is(open.roster[1]?.capacity, 4, 'a change of capacity waits for the next roster');
  t.is(open.deadline, world.number() + world.parameters.trainBlocks);
  t.is(open.baseRoot, world.parameters.genesisModelRoot);
});

test('a round of three trainers and four authorities moves the model and pays by verified tokens', async (t) => {
  const world = await openWorld(4);
  await register(world, 3, [1, 2, 1]);
  const round = await openRound(world);
  await commitAll(world, round);
  t.is((await current(world)).phase, 'auditing', 'the last commit ends training');
  const open = await current(world);
  for (const by of [0, 1, 2, 3]) {
    t.is((await current(world)).phase, 'auditing');
    await world.ok(authority(world, by), sealCall(world, by, open));
  }
  t.is((await current(world)).phase, 'revealing', 'the last authority to commit ends the audit');
  for (const by of [0, 1, 2, 3]) await world.ok(authority(world, by), revealCall(by, open));
  t.is((await current(world)).phase, 'revealing', 'a block ends the reveals, no call does');
  await world.block();
  t.is((await current(world)).phase, 'attesting');
  await attest(world, attestationOf(0), 2);
  t.is((await current(world)).phase, 'attesting', 'two of four are no quorum');
  await attest(world, attestationOf(0), 3);
  const model = await readModel(world.view);
  t.is(model.root, attestationOf(0).modelRoot);
  t.is(model.version, 1);
  t.is(model.round, 0);
  t.deepEqual(model.checkpoint, attestationOf(0).checkpoint);
  await world.block();
  const done = await readRound(world.view, 0);
  t.is(done.phase, 'done');
  t.is(done.outcome, 'moved');
  const { steps, batch, sequenceLength, rewardPerTokenGwei } = world.parameters;
  const emission = BigInt(4 * steps * batch * sequenceLength) * rewardPerTokenGwei;
  t.is(done.emissionGwei, emission);
  const share = (emission * 7_500n) / 10_000n;
  const paid = (share * 2n) / 4n;
  const trainer = await readTrainer(world.view, trainerAt(1));
  t.is(trainer.accepted, 1);
  t.is(trainer.unvestedGwei, paid - (paid + 3n) / 4n, 'a quarter is released at once when vesting takes 4 rounds');
  t.is(
    (await readSupply(world.view)).mintedGwei,
    ((share / 4n + 3n) / 4n) * 2n + (paid + 3n) / 4n + (emission * 1_200n) / 10_000n,
  );
});

test('minted amounts reach wallets through withdrawals, sixteen in a block', async (t) => {
  const world = await openWorld(20);
  await register(world, 3);
  await honestRound(world);
  const queued = (await readSupply(world.view)).pendingCount;
  t.is(queued, 23, 'three trainers and twenty authorities');
  const before = await world.balance(trainerAt(0));
  await world.block();
  t.is((await readSupply(world.view)).pendingCount, 7);
  t.true((await world.balance(trainerAt(0))) > before);
  await world.block();
  const supply = await readSupply(world.view);
  t.is(supply.pendingCount, 0);
  t.is(supply.mintedGwei, supply.paidGwei);
});

test('the next round takes the sequences that follow and the new base', async (t) => {
  const world = await openWorld(4);
  await register(world, 3, [1, 2, 1]);
  const first = await honestRound(world);
  const second = await openRound(world);
  t.is(first.dataStart, 0);
  t.is(second.dataStart, 4 * world.parameters.steps * world.parameters.batch);
  t.is(second.baseRoot, attestationOf(0).modelRoot);
  t.is(second.baseVersion, 1);
  t.not(second.seed, first.seed);
});

test('unvested pay of a trainer that left is released by its ceiling share each round until nothing is left', async (t) => {
  const world = await openWorld(4, { rewardPerTokenGwei: 1n, minTrainers: 1, vestingRounds: 2 });
  await register(world, 1);
  await honestRound(world);
  await world.ok(trainerAt(0), requestExitCall());
  const first = (await readTrainer(world.view, trainerAt(0))).unvestedGwei;
  t.true(first > 0n);
  const early = await world.ok(authority(world, 0), releaseVestedCall(trainerAt(0)));
  t.deepEqual(early.events, [], 'no round was settled since, so nothing has vested');
  await world.blocks(2);
  // Another trainer keeps rounds going; each settled round lets one more share vest.
  await world.fund(trainerAt(7), 2n * STAKE);
  await world.ok(trainerAt(7), registerCall(1, STAKE));
  // The leaver was frozen into the round that began before it asked to leave.
  await world.blocks(world.parameters.trainBlocks + 4);
  let rest = first;
  for (let i = 0; rest > 0n && i < 30; i++) {
    await honestRound(world);
    await world.ok(authority(world, 1), releaseVestedCall(trainerAt(0)));
    // The next roster is frozen in the block that settles, so its number counts the settled rounds; the first one paid.
    rest = first;
    for (let settled = (await current(world)).round; settled > 1; settled--) rest -= (rest + 1n) / 2n;
    t.is((await readTrainer(world.view, trainerAt(0))).unvestedGwei, rest);
  }
  t.is(rest, 0n);
  t.is((await readTrainer(world.view, trainerAt(0))).stakeWei, STAKE, 'the stake waits for withdraw');
});

test('a rise of the held-out loss beyond the gate keeps the base, and the work is paid', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await honestRound(world, { heldOutMicroNats: 4_000_000 });
  const before = await readModel(world.view);
  await honestRound(world, { heldOutMicroNats: 4_000_000 + world.parameters.gateMicroNats + 1 });
  const reverted = await readRound(world.view, 1);
  t.is(reverted.outcome, 'reverted');
  t.deepEqual(await readModel(world.view), before);
  t.is((await readTrainer(world.view, trainerAt(0))).accepted, 2);
  t.true(reverted.emissionGwei > 0n);
  await honestRound(world, { heldOutMicroNats: 4_000_000 + world.parameters.gateMicroNats });
  t.is((await readRound(world.view, 2)).outcome, 'moved', 'a rise up to the gate is noise');
});

test('attestations that differ in one field never make a quorum, and the round expires with the work paid', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  const round = await openRound(world);
  await commitAll(world, round);
  await auditRound(world);
  const base = attestationOf(0);
  const variants = [
    base,
    { ...base, heldOutMicroNats: base.heldOutMicroNats + 1 },
    { ...base, checkpoint: { ...base.checkpoint, size: 1n } },
    { ...base, checkpoint: { ...base.checkpoint, sha256: base.modelRoot } },
  ];
  for (const [by, attestation] of variants.entries()) await world.ok(authority(world, by), attestCall(attestation));
  t.is((await current(world)).phase, 'attesting');
  await world.blocks(world.parameters.attestBlocks + 1);
  const expired = await readRound(world.view, 0);
  t.is(expired.outcome, 'expired');
  t.true(expired.emissionGwei > 0n);
  t.is((await readModel(world.view)).version, 0);
});

test('a trainer that never commits is missed, then paused, and the others go on without it', async (t) => {
  const world = await openWorld(4, { minTrainers: 2 });
  await register(world, 3);
  for (let number = 0; number < 2; number++) {
    const round = await openRound(world);
    for (const index of [0, 1])
      await world.ok(trainerAt(index), commitCall(commitmentOf(world, round, trainerAt(index))));
    await world.blocks(world.parameters.trainBlocks);
    t.is((await current(world)).phase, 'auditing');
    await auditRound(world);
    await attest(world, attestationOf(number));
    await world.block();
  }
  const absent = await readTrainer(world.view, trainerAt(2));
  t.is(absent.status, 'paused');
  t.is(absent.missed, 2);
  t.is(absent.stakeWei, 20n * 10n ** 18n, 'absence costs no stake');
  t.is((await openRound(world)).roster.length, 2);
});

test('a round in which nobody commits is void and pays nothing', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await openRound(world);
  await world.blocks(world.parameters.trainBlocks + 1);
  const round = await readRound(world.view, 0);
  t.is(round.outcome, 'void');
  t.is(round.emissionGwei, 0n);
  t.deepEqual(
    round.roster.map(({ status }) => status),
    ['missed', 'missed', 'missed'],
  );
  t.is((await readSupply(world.view)).mintedGwei, 0n);
});

test('claims without a quorum of verdicts when reveals end are unresolved and nobody is slashed', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  await auditRound(world, {}, [0, 1]);
  await world.block();
  const done = await readRound(world.view, 0);
  t.is(done.outcome, 'void');
  t.deepEqual(
    done.roster.map(({ status }) => status),
    ['unresolved', 'unresolved', 'unresolved'],
  );
  const trainer = await readTrainer(world.view, trainerAt(0));
  t.is(trainer.unresolved, 1);
  t.is(trainer.consecutiveMisses, 0, 'silent authorities are not the trainer’s failure');
});

test('a round in which no authority says anything ends by its deadlines', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  await world.blocks(world.parameters.auditBlocks + 3);
  t.is((await readRound(world.view, 0)).outcome, 'void');
});

test('what is committed and never revealed is an abstention, and holds the reveals to their deadline', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  const round = await current(world);
  for (const by of [0, 1, 2, 3]) await world.ok(authority(world, by), sealCall(world, by, round));
  for (const by of [0, 1, 2]) await world.ok(authority(world, by), revealCall(by, round));
  await world.blocks(world.parameters.revealBlocks - 1);
  t.is((await current(world)).phase, 'revealing');
  await world.block();
  t.is((await current(world)).phase, 'attesting');
  await attest(world, attestationOf(0));
  const paid = (await world.block()).events.flatMap((event) =>
    event.kind === 'minted' && event.reason === 'auditing' ? [event.recipient] : [],
  );
  t.deepEqual(
    paid,
    [0, 1, 2].map((index) => authority(world, index)),
  );
});

test('a claim that more than a third find unavailable is unresolved and counts as a stall', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  const gone = [{ trainer: trainerAt(0), verdict: 'unavailable' }] as const;
  await auditRound(world, { 0: gone, 1: gone });
  t.is((await readClaim(world.view, 0, trainerAt(0))).status, 'unresolved');
  await attest(world, attestationOf(0));
  await world.block();
  t.is((await readTrainer(world.view, trainerAt(0))).consecutiveMisses, 1);
});

test('an authority that is down holds the audit up for the grace after the quorum, and no longer', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  const began = world.number();
  await auditRound(world, {}, [0, 1, 2]);
  t.is((await current(world)).phase, 'attesting');
  t.is(world.number(), began + world.parameters.graceBlocks + 1);
});

test('PASSED counts toward the quorum and is paid an eighth of an executed VALID', async (t) => {
  const world = await openWorld(4);
  await register(world, 3);
  await commitAll(world, await openRound(world));
  const passed = [0, 1, 2].map((index) => ({ trainer: trainerAt(index), verdict: 'passed' }) as const);
  await auditRound(world, { 0: passed, 1: passed, 2: passed });
  t.is((await current(world)).acceptedCount, 3);
  await attest(world, attestationOf(0));
  const paid = (await world.block()).events.flatMap((event) =>
    event.kind === 'minted' && event.reason === 'auditing' ? [event.gwei] : [],
  );
  const share = ((await readRound(world.view, 0)).emissionGwei * 1_200n) / 10_000n;
  t.deepEqual(paid, [(share * 3n) / 33n, (share * 3n) / 33n, (share * 3n) / 33n, (share * 24n) / 33n]);
});

test('the audit rate of a seat falls as its stake and unvested pay grow, and is fixed when the roster freezes', async (t) => {
  const world = await openWorld(4, { auditFloorBps: 100, minStakeGwei: 0n, rewardPerTokenGwei: 1_000_000n });
  const { steps, batch, sequenceLength } = world.parameters;
  const pay = (BigInt(steps * batch * sequenceLength) * 1_000_000n * 7_500n) / 10_000n;
  const rateOf = (securityGwei: bigint): number => Math.min(10_000, Number((2n * pay * 7_000n) / (securityGwei + pay)));
  const stakes = [0n, 10n * ONE_POL, 50n * ONE_POL];
  for (const [index, stake] of stakes.entries()) {
    await world.fund(trainerAt(index), 200n * ONE_POL);
    await world.ok(trainerAt(index), registerCall(1, stake));
  }
  const rates = (await openRound(world)).roster.map(({ auditRateBps }) => auditRateBps);
  t.deepEqual(rates, [10_000, rateOf(10n ** 10n), rateOf(50n * 10n ** 9n)]);
  await world.ok(trainerAt(2), addStakeCall(100n * ONE_POL));
  t.is((await current(world)).roster[2]?.auditRateBps, rates[2], 'a stake added later waits for the next roster');
  await commitAll(world, await current(world));
  await auditRound(world);
  await attest(world, attestationOf(0));
  await world.block();
  const next = (await openRound(world)).roster.map(({ auditRateBps }) => auditRateBps);
  const unvested = (await readTrainer(world.view, trainerAt(0))).unvestedGwei;
  t.deepEqual(next, [rateOf(unvested), rateOf(10n ** 10n + unvested), rateOf(150n * 10n ** 9n + unvested)]);
  t.true((next[0] as number) < 10_000);
});

test('the emission of a round is capped and the cap halves', async (t) => {
  const world = await openWorld(4, { roundCapGwei: 1_000n, halvingRounds: 2 });
  await register(world, 3);
  const emissions: bigint[] = [];
  for (let number = 0; number < 5; number++) {
    await honestRound(world);
    emissions.push((await readRound(world.view, number)).emissionGwei);
  }
  t.deepEqual(emissions, [1_000n, 1_000n, 500n, 500n, 250n]);
});

test('claims and hashes of a former round in the same place of the ring never show through', async (t) => {
  const world = await openWorld(1, { minTrainers: 1, trainBlocks: 1 }, false);
  await register(world, 1);
  await honestRound(world);
  for (let number = 1; number <= 64; number++) {
    await world.ok(trainerAt(0), commitCall(commitmentOf(world, await openRound(world), trainerAt(0))));
    await auditRound(world);
    await attest(world, attestationOf(number));
    await world.block();
  }
  await t.throwsAsync(readRound(world.view, 0), { message: 'RoundForgotten' });
  const fresh = await openRound(world);
  t.is(fresh.round, 65);
  const claim = await readClaim(world.view, 65, trainerAt(0));
  t.is(claim.status, 'awaited');
  t.is(claim.traceRoot, `0x${'00'.repeat(32)}`);
  t.deepEqual(claim.valid, []);
  t.is((await readRound(world.view, 2)).outcome, 'moved', 'the newest 64 stay readable');
  t.is(present(fresh.roster[0], 'roster').status, 'awaited');
  t.is(leavesOf(1).length, 68);
});
