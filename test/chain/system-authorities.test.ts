// Owns the tests of the authority set: keys, quorum, proposals, votes, activation, and rounds that span a change.

import test from 'ava';
import { present } from '../../base/check.ts';
import type { Authority } from '../../chain/system/api.ts';
import {
  attestCall,
  commitCall,
  commitVerdictsCall,
  judgeCall,
  proposeCall,
  registerCall,
  voteCall,
} from '../../chain/system/calls.ts';
import { systemGenesisAlloc } from '../../chain/system/genesis-alloc.ts';
import {
  readAuthoritySet,
  readCurrentRound,
  readLatestSetVersion,
  readModel,
  readTrainer,
} from '../../chain/system/views.ts';
import {
  STAKE,
  attestationOf,
  auditRound,
  authority,
  commitmentOf,
  openRound,
  register,
  trainerAt,
} from './system-life.ts';
import { accountOf, authorityOf, hashOf, openWorld, testParameters } from './system-world.ts';

const newcomer = authorityOf(50);

test('the quorum is floor(2n/3) + 1 and members come in genesis order with their keys', async (t) => {
  for (const [n, quorum] of [
    [1, 1],
    [3, 3],
    [4, 3],
    [6, 5],
    [7, 5],
    [100, 67],
  ] as const) {
    const world = await openWorld(n);
    const set = await readAuthoritySet(world.view);
    t.is(set.quorum, quorum);
    t.deepEqual(set.members, world.authorities);
    t.is(set.version, 0);
  }
});

test('an authority joins by a quorum of votes, two blocks after the deciding one', async (t) => {
  const world = await openWorld(4);
  await world.block();
  await world.ok(authority(world, 0), proposeCall(true, newcomer.address, newcomer.publicKey));
  await world.ok(authority(world, 1), voteCall(0));
  t.is(await readLatestSetVersion(world.view), 0);
  await world.ok(authority(world, 2), voteCall(0));
  t.is(await readLatestSetVersion(world.view), 1);
  const decided = world.number();
  t.is((await readAuthoritySet(world.view)).version, 0);
  await world.block();
  t.is((await readAuthoritySet(world.view)).version, 0);
  await world.block();
  const set = await readAuthoritySet(world.view);
  t.is(set.version, 1);
  t.is(set.activeFrom, decided + 2);
  t.deepEqual(set.members, [...world.authorities, newcomer]);
  t.is(set.quorum, 4);
  t.is((await readAuthoritySet(world.view, 0)).members.length, 4, 'older versions stay readable');
});

test('an authority leaves by a quorum of votes, and the order of the others is kept', async (t) => {
  const world = await openWorld(5);
  const gone = authority(world, 1);
  await world.ok(authority(world, 0), proposeCall(false, gone, '0x'));
  for (const by of [2, 3, 4]) await world.ok(authority(world, by), voteCall(0));
  await world.blocks(2);
  const { members } = await readAuthoritySet(world.view);
  t.deepEqual(
    members,
    [0, 2, 3, 4].map((index) => present(world.authorities[index], 'authority')),
  );
  t.is((await world.send(gone, proposeCall(true, newcomer.address, newcomer.publicKey))).error, 'NotAuthority');
});

test('changes are refused: strangers, second votes, foreign keys, sets too small, two at once, old proposals', async (t) => {
  const world = await openWorld(4);
  const by = authority(world, 0);
  const stranger = accountOf('stranger');
  const join = proposeCall(true, newcomer.address, newcomer.publicKey);
  t.is((await world.send(stranger, join)).error, 'NotAuthority');
  t.is((await world.send(by, proposeCall(true, by, authorityOf(0).publicKey))).error, 'MemberRefused');
  t.is((await world.send(by, proposeCall(false, newcomer.address, '0x'))).error, 'MemberRefused');
  t.is((await world.send(by, proposeCall(true, newcomer.address, authorityOf(51).publicKey))).error, 'KeyRefused');
  t.is((await world.send(by, proposeCall(true, newcomer.address, '0x02'))).error, 'KeyRefused');
  t.is((await world.send(by, proposeCall(true, newcomer.address, `0x02${'ff'.repeat(32)}`))).error, 'KeyRefused');
  await world.ok(by, join);
  t.is((await world.send(by, voteCall(0))).error, 'AlreadyVoted');
  t.is((await world.send(stranger, voteCall(0))).error, 'NotAuthority');
  await world.ok(by, proposeCall(false, authority(world, 3), '0x'));
  await world.ok(authority(world, 1), voteCall(1));
  t.is((await world.send(authority(world, 2), voteCall(1))).error, 'SetOutOfRange', 'four is the least');
  for (const index of [1, 2]) await world.ok(authority(world, index), voteCall(0));
  t.is(
    (await world.send(by, proposeCall(true, authorityOf(60).address, authorityOf(60).publicKey))).error,
    'ChangePending',
  );
  await world.blocks(2);
  t.is((await world.send(authority(world, 3), voteCall(0))).error, 'ProposalOver');
  t.is(
    (await world.send(authority(world, 3), voteCall(1))).error,
    'ProposalOver',
    'a proposal dies with the set it was made in',
  );
});

test('a round that began under one set of authorities is audited by that set to its end', async (t) => {
  const world = await openWorld(4, { minTrainers: 1 });
  await register(world, 1);
  const round = await openRound(world);
  await world.ok(authority(world, 0), proposeCall(true, newcomer.address, newcomer.publicKey));
  for (const by of [1, 2]) await world.ok(authority(world, by), voteCall(0));
  await world.blocks(2);
  await world.ok(trainerAt(0), commitCall(commitmentOf(world, round, trainerAt(0))));
  t.is((await world.send(newcomer.address, commitVerdictsCall(0, hashOf('verdicts')))).error, 'NotAuthority');
  await auditRound(world);
  for (const by of [0, 1, 2]) await world.ok(authority(world, by), attestCall(attestationOf(0)));
  await world.block();
  t.is((await readCurrentRound(world.view))?.setVersion, 1, 'the next round takes the new set');
});

test('genesis refuses sets that are empty, too large, with one address twice or a key that is not its own', async (t) => {
  const many = Array.from({ length: 101 }, (_, index) => authorityOf(index));
  const [first, second] = [authorityOf(0), authorityOf(1)];
  const cases: readonly (readonly [readonly Authority[], RegExp])[] = [
    [[], /1 to 100, not 0/],
    [many, /1 to 100, not 101/],
    [[first, first], /authorities\[1\]\.address: .* is named twice/],
    [[first, { ...second, publicKey: first.publicKey }], /Authorities: KeyRefused/],
    [[{ ...first, address: '0x12' }], /authorities\[0\]\.address/],
    [[{ ...first, publicKey: '0x12' }], /authorities\[0\]\.publicKey/],
  ];
  for (const [authorities, message] of cases) {
    const refused = await systemGenesisAlloc(testParameters, authorities);
    t.false(refused.ok);
    if (!refused.ok) t.regex(refused.message, message);
  }
});

test('a chain of one authority that trains accepts, attests and pays its own work', async (t) => {
  const world = await openWorld(1, { minTrainers: 1 });
  const alone = authority(world, 0);
  await world.fund(alone, STAKE);
  await world.ok(alone, registerCall(1, STAKE));
  const round = await openRound(world);
  await world.ok(alone, commitCall(commitmentOf(world, round, alone)));
  await auditRound(world);
  await world.ok(alone, attestCall(attestationOf(0)));
  await world.block();
  t.is((await readModel(world.view)).version, 1);
  t.is((await readTrainer(world.view, alone)).accepted, 1);
});

test('an authority that trains and approves its own false claim is still rejected by the others', async (t) => {
  const world = await openWorld(4, { minTrainers: 1 });
  const cheat = authority(world, 3);
  await world.fund(cheat, STAKE);
  await world.ok(cheat, registerCall(1, STAKE));
  const round = await openRound(world);
  await world.ok(cheat, commitCall(commitmentOf(world, round, cheat)));
  const own = { round: 0, trainer: cheat };
  await auditRound(world, { 0: [{ trainer: cheat, verdict: 'invalid', step: 1 }] });
  await world.ok(cheat, judgeCall({ ...own, step: 1, invalid: false }));
  for (const by of [1, 2]) await world.ok(authority(world, by), judgeCall({ ...own, step: 1, invalid: true }));
  t.is((await readTrainer(world.view, cheat)).status, 'slashed');
});
