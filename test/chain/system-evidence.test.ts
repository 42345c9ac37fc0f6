// Owns the tests of evidence with the contracts it acts on: real statements of real keys, and what becomes of the bond and the
// seat. Which statements count is evidence.test.ts.

import test from 'ava';
import { type Hex, fromHex, u64be } from '../../base/bytes.ts';
import { keccak256 } from '../../base/hash.ts';
import { signDigest } from '../../base/keys.ts';
import { ONE_POL } from '../../base/units.ts';
import { decodeReturn, encodeCall } from '../../chain/system/abi.ts';
import { EVIDENCE_ADDRESS, evidenceAbi, readIsProven } from '../../chain/system/evidence.ts';
import { readAuthoritySet, readBond, readSupply } from '../../chain/system/views.ts';
import { type Evidence, voteEvidence } from '../../consensus/evidence.ts';
import { ballotDigest } from '../../consensus/sign-bytes.ts';
import { evidenceCall, placeOf } from '../../node/evidence-agent.ts';
import { authority } from './system-life.ts';
import { type Sent, type World, accountOf, hashOf, openWorld } from './system-world.ts';

const ANYONE = accountOf('anyone');
const CHAIN_ID = 1; // of the EVM's own configuration
const BOND = 100n * ONE_POL;
const FINE = BOND / 20n;

/** Two precommits of an authority for one height, signed with its key. */
async function doubled(world: World, by: number, height: number): Promise<Evidence> {
  const returned = await world.view(EVIDENCE_ADDRESS, encodeCall(evidenceAbi, 'genesisHash', []));
  const domain = { chainId: CHAIN_ID, genesisHash: fromHex(decodeReturn(evidenceAbi, 'genesisHash', returned)) };
  const key = keccak256(u64be(by + 1));
  const vote = (value: Hex | null) => {
    const ballot = { type: 'precommit', height, round: 0, value } as const;
    return { ...ballot, voter: authority(world, by), signature: signDigest(ballotDigest(domain, ballot), key) };
  };
  return voteEvidence(vote(hashOf('one')), vote(hashOf('other')));
}

async function prove(world: World, by: number, height: number, version = 0): Promise<Sent> {
  return world.send(ANYONE, evidenceCall(await doubled(world, by, height), version));
}

const bondOf = async (world: World, by: number): Promise<bigint> =>
  (await readBond(world.view, authority(world, by))).bondWei;
const members = async (world: World): Promise<readonly Hex[]> =>
  (await readAuthoritySet(world.view)).members.map(({ address }) => address);

test('double signing costs 5% of the bond at once and the seat two blocks later', async (t) => {
  const world = await openWorld(6);
  await world.blocks(5);
  const { burnedWei } = await readSupply(world.view);
  const sent = await prove(world, 4, 3);
  t.is(sent.error, null);
  t.like(sent.proven, { signer: authority(world, 4), submitter: ANYONE, height: 3, round: 0, expelled: true });
  t.is(await bondOf(world, 4), BOND - FINE);
  t.is((await readBond(world.view, ANYONE)).creditWei, FINE / 5n, 'a fifth to who proved it');
  t.is((await readSupply(world.view)).burnedWei - burnedWei, (FINE * 4n) / 5n, 'the rest is burned');
  t.true(await readIsProven(world.view, placeOf(await doubled(world, 4, 3))));

  const expected = [0, 1, 2, 3, 4, 5].map((by) => authority(world, by));
  t.deepEqual(await members(world), expected, 'it sits until the change acts');
  await world.block();
  t.deepEqual(await members(world), expected);
  await world.block();
  t.deepEqual(
    await members(world),
    expected.filter((_, by) => by !== 4),
  );
  for (const by of [0, 1, 2, 3, 5]) t.is(await bondOf(world, by), BOND);
  t.not((await prove(world, 4, 3)).error, null, 'once for each place');
  t.is(await bondOf(world, 4), BOND - FINE);

  // What it signed while it sat counts after it left: the bond is fined, the seat is gone already.
  const late = await prove(world, 4, 4);
  t.like(late, { error: null, proven: { expelled: false } });
  t.is(await bondOf(world, 4), ((BOND - FINE) * 95n) / 100n);
});

test('evidence that meets a change under way takes nothing, and takes all when it is sent again', async (t) => {
  const world = await openWorld(6);
  await world.blocks(3);
  t.is((await prove(world, 5, 2)).error, null);
  t.is((await prove(world, 4, 2)).error, 'ChangePending');
  t.is(await bondOf(world, 4), BOND, 'the fine is undone with the rest');
  t.false(await readIsProven(world.view, placeOf(await doubled(world, 4, 2))));
  await world.blocks(2);
  t.like(await prove(world, 4, 2), { error: null, proven: { expelled: true } });
  t.is(await bondOf(world, 4), BOND - FINE);
  await world.blocks(2);
  t.deepEqual(
    await members(world),
    [0, 1, 2, 3].map((by) => authority(world, by)),
  );
});

test('four members stay: a double signer among them is fined and keeps its seat', async (t) => {
  const world = await openWorld(4);
  await world.blocks(3);
  const sent = await prove(world, 1, 2);
  t.like(sent, { error: null, proven: { expelled: false } });
  t.is(await bondOf(world, 1), BOND - FINE);
  await world.blocks(3);
  t.is((await members(world)).length, 4);
});

test('a signature of another network, and a set that did not decide the height, cost nothing', async (t) => {
  const world = await openWorld(5);
  await world.blocks(3);
  const foreign = await doubled(world, 4, 2);
  const elsewhere = { chainId: CHAIN_ID + 1, genesisHash: fromHex(hashOf('elsewhere')) };
  const statements = foreign.statements.map((one) => {
    const ballot = { type: 'precommit', height: 2, round: 0, value: one.value as Hex | null } as const;
    return { ...one, signature: signDigest(ballotDigest(elsewhere, ballot), keccak256(u64be(5))) };
  });
  const refused = await world.send(ANYONE, evidenceCall({ ...foreign, statements: statements as never }, 0));
  t.not(refused.error, null);
  t.not((await prove(world, 4, 2, 1)).error, null);
  t.is(await bondOf(world, 4), BOND);
  t.is((await members(world)).length, 5);
});
