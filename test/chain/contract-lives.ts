// Owns whole lives of the system contracts for the fuzz: rounds in which all but one trainer and one authority are honest, with
// every kind of call in it, and challenges of a true and of a false claim. Honest calls must succeed whatever comes between.

import { type Hex, fromHex, u64be } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { keccak256 } from '../../base/hash.ts';
import { signDigest } from '../../base/keys.ts';
import { ONE_POL } from '../../base/units.ts';
import { decodeReturn, encodeCall } from '../../chain/system/abi.ts';
import type { ContractCall, RoundPhase } from '../../chain/system/api.ts';
import {
  accuseCall,
  addStakeCall,
  attestCall,
  claimBondCreditCall,
  claimCreditCall,
  commitCall,
  depositBondCall,
  judgeAuthorityCall,
  judgeCall,
  openCanaryCall,
  proposeCall,
  registerCall,
  releaseVestedCall,
  requestExitCall,
  setCanaryLayerCall,
  setCapacityCall,
  voteCall,
  withdrawBondCall,
  withdrawCall,
} from '../../chain/system/calls.ts';
import { EVIDENCE_ADDRESS, evidenceAbi } from '../../chain/system/evidence.ts';
import { canaryHash, canaryLayerHash } from '../../chain/system/verdicts.ts';
import { readClaim, readCurrentRound } from '../../chain/system/views.ts';
import { voteEvidence } from '../../consensus/evidence.ts';
import { ballotDigest } from '../../consensus/sign-bytes.ts';
import { evidenceCall } from '../../node/evidence-agent.ts';
import {
  type Finding,
  STAKE,
  attestationOf,
  authority,
  commitmentOf,
  current,
  revealCall,
  sealCall,
  trainerAt,
} from './system-life.ts';
import { type World, accountOf, authorityOf, hashOf, openWorld } from './system-world.ts';

export const AUTHORITIES = 5;
const HONEST_AUTHORITIES = [0, 1, 2, 3];
const HONEST_TRAINERS = [0, 1, 2];
const CROOKED = 4;
const CHEAT = 3;
const CHEAT_ROUND = 1;
const CHEAT_STEP = 1;
const CANARY_STEP = 2;
const CHAIN_ID = 1; // of the EVM's own configuration

export const GRIEFER: Hex = accountOf('griefer');
const newcomer = authorityOf(70);
const layer = hashOf('canary layer');
const nextLayer = hashOf('next canary layer');

export function openLife(watched = true): Promise<World> {
  return openWorld(AUTHORITIES, { canaryBps: 10_000, canaryBlocks: 2 }, watched);
}

export const honestTrainers = (): readonly Hex[] => HONEST_TRAINERS.map(trainerAt);
export const honestAuthorities = (world: World): readonly Hex[] => HONEST_AUTHORITIES.map((by) => authority(world, by));
/** Who may do anything: a trainer, an authority, a stranger with coins. */
export const crooks = (world: World): readonly Hex[] => [trainerAt(CHEAT), authority(world, CROOKED), GRIEFER];

/** Sends an honest call; only a phase that others ended first may be in its way. */
async function honest(world: World, from: Hex, call: ContractCall): Promise<void> {
  const { error, args } = await world.send(from, call);
  check(
    error === null || error === 'WrongPhase' || error === 'NoOpenDispute',
    `an honest call of ${from} failed: ${error}(${args.join(', ')})`,
  );
}

async function leave(world: World, phase: RoundPhase): Promise<void> {
  for (let i = 0; i < 60 && (await readCurrentRound(world.view))?.phase === phase; i++) await world.block();
}

/** What an authority finds: the canary and the cheat's false step; the crooked one accuses the innocent instead. */
function findings(round: number, by: number): readonly Finding[] {
  const canary: Finding = { trainer: trainerAt(2), verdict: 'invalid', step: CANARY_STEP };
  const cheat: Finding = { trainer: trainerAt(CHEAT), verdict: 'invalid', step: CHEAT_STEP };
  const innocent: Finding = { trainer: trainerAt(0), verdict: 'invalid', step: 1 };
  if (by === CROOKED) return round === CHEAT_ROUND ? [innocent] : [];
  return round === CHEAT_ROUND ? [canary, cheat] : [];
}

async function begin(world: World): Promise<void> {
  await world.fund(GRIEFER, 200n * ONE_POL);
  for (let by = 0; by < AUTHORITIES; by++) await world.fund(authority(world, by), 100n * ONE_POL);
  for (const index of [...HONEST_TRAINERS, CHEAT]) {
    await world.fund(trainerAt(index), 100n * ONE_POL);
    await world.send(trainerAt(index), registerCall(1 + (index % 2), STAKE));
  }
  await honest(world, trainerAt(1), addStakeCall(ONE_POL));
  await honest(world, trainerAt(1), setCapacityCall(2));
  await honest(world, trainerAt(2), setCanaryLayerCall(canaryLayerHash(layer)));
}

async function commits(world: World): Promise<void> {
  for (let i = 0; i < 6 && (await readCurrentRound(world.view))?.phase !== 'training'; i++) await world.block();
  const round = await current(world);
  for (const { trainer } of round.roster) {
    const isCanary = round.round === CHEAT_ROUND && trainer === trainerAt(2);
    const changes = isCanary ? { canaryHash: canaryHash(round.round, trainer, CANARY_STEP, layer) } : {};
    const call = commitCall(commitmentOf(world, round, trainer, changes));
    if (honestTrainers().includes(trainer)) await honest(world, trainer, call);
    else await world.send(trainer, call);
  }
  await leave(world, 'training');
}

async function audits(world: World): Promise<void> {
  const round = await current(world);
  for (const by of HONEST_AUTHORITIES)
    await honest(world, authority(world, by), sealCall(world, by, round, findings(round.round, by)));
  await world.send(authority(world, CROOKED), sealCall(world, CROOKED, round, findings(round.round, CROOKED)));
  await leave(world, 'auditing');
  if (round.round === CHEAT_ROUND)
    await honest(world, trainerAt(2), openCanaryCall(round.round, CANARY_STEP, layer, canaryLayerHash(nextLayer)));
  for (const by of HONEST_AUTHORITIES)
    await honest(world, authority(world, by), revealCall(by, round, findings(round.round, by)));
  await world.send(authority(world, CROOKED), revealCall(CROOKED, round, findings(round.round, CROOKED)));
  await leave(world, 'revealing');
}

/** Honest authorities judge every open dispute by what is true. */
async function judgements(world: World): Promise<void> {
  const round = await current(world);
  for (const { trainer, status } of round.roster) {
    if (status !== 'disputed') continue;
    for (const { step, state } of (await readClaim(world.view, round.round, trainer)).disputes) {
      if (state !== 'open') continue;
      const invalid = round.round === CHEAT_ROUND && trainer === trainerAt(CHEAT) && step === CHEAT_STEP;
      for (const by of HONEST_AUTHORITIES)
        await honest(world, authority(world, by), judgeCall({ round: round.round, trainer, step, invalid }));
    }
  }
  await leave(world, 'judging');
}

async function settlement(world: World): Promise<void> {
  const { round } = await current(world);
  for (const by of HONEST_AUTHORITIES) await honest(world, authority(world, by), attestCall(attestationOf(round)));
  await world.send(authority(world, CROOKED), attestCall(attestationOf(round)));
  await leave(world, 'attesting');
  await leave(world, 'settling');
}

async function playRound(world: World): Promise<void> {
  await commits(world);
  await audits(world);
  await judgements(world);
  await settlement(world);
}

/** A trial that ends guilty for the crooked authority, one that ends innocent for an honest one. */
async function trials(world: World): Promise<void> {
  const bond = world.parameters.accusationBondGwei * 10n ** 9n;
  const charge = (by: number, kind: 'canary' | 'draw') =>
    accuseCall({ round: CHEAT_ROUND, authority: authority(world, by), seat: 2, kind }, bond);
  const just = await world.send(authority(world, 0), charge(CROOKED, 'canary'));
  const unjust = await world.send(GRIEFER, charge(1, 'draw'));
  for (const [sent, guilty, judges] of [
    [just, true, [1, 2, 3]],
    [unjust, false, [0, 2, 3]],
  ] as const) {
    const accused = sent.events.find((event) => event.kind === 'accused');
    if (accused?.kind !== 'accused') continue;
    // Others may have closed it before the last judge spoke.
    for (const by of judges) await world.send(authority(world, by), judgeAuthorityCall(accused.trial, guilty));
  }
  await world.send(authority(world, 0), claimBondCreditCall());
  await world.send(authority(world, 1), claimBondCreditCall());
}

/** The crooked authority signs two blocks of one height. */
async function doubleSigning(world: World): Promise<void> {
  const returned = await world.view(EVIDENCE_ADDRESS, encodeCall(evidenceAbi, 'genesisHash', []));
  const domain = { chainId: CHAIN_ID, genesisHash: fromHex(decodeReturn(evidenceAbi, 'genesisHash', returned)) };
  const key = keccak256(u64be(CROOKED + 1));
  const vote = (value: Hex) => {
    const ballot = { type: 'precommit', height: 2, round: 0, value } as const;
    const digest = ballotDigest(domain, ballot);
    return { ...ballot, voter: authority(world, CROOKED), signature: signDigest(digest, key) };
  };
  await world.send(GRIEFER, evidenceCall(voteEvidence(vote(hashOf('one')), vote(hashOf('other'))), 0));
}

async function changes(world: World): Promise<void> {
  const proposed = await world.send(authority(world, 0), proposeCall(true, newcomer.address, newcomer.publicKey));
  const event = proposed.events.find(({ kind }) => kind === 'proposed');
  if (event?.kind === 'proposed')
    for (const by of [1, 2, 3]) await world.send(authority(world, by), voteCall(Number(event.proposal)));
  await world.blocks(3);
  await world.fund(newcomer.address, 200n * ONE_POL);
  await world.send(newcomer.address, depositBondCall(100n * ONE_POL));
}

async function ends(world: World): Promise<void> {
  await honest(world, trainerAt(1), requestExitCall());
  await world.send(authority(world, CROOKED), withdrawBondCall());
  await world.send(authority(world, 0), claimCreditCall());
  await leave(world, 'frozen');
  // The round that froze with it runs out of its time.
  for (let i = 0; i < 60 && (await current(world)).phase !== 'done'; i++) await world.block();
  await world.blocks(world.parameters.unbondingBlocks);
  await world.send(trainerAt(1), releaseVestedCall(trainerAt(1)));
  await world.send(trainerAt(1), withdrawCall());
}

/** Three rounds: an ordinary one, one with a canary, a cheat and a false accusation, one under a changed set. */
export async function playLife(world: World): Promise<void> {
  await begin(world);
  await world.block();
  await playRound(world);
  await playRound(world);
  await trials(world);
  await doubleSigning(world);
  await changes(world);
  await playRound(world);
  present(await readCurrentRound(world.view), 'round');
  await ends(world);
}
