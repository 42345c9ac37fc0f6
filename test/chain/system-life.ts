// Owns the usual moves of a learning round for the system contracts' tests: registering, committing, verdicts, attesting.

import { type Hex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { ONE_POL } from '../../base/units.ts';
import type {
  Attestation,
  Commitment,
  ContractCall,
  RoundRecord,
  VerdictEntry,
  VerdictKind,
} from '../../chain/system/api.ts';
import {
  attestCall,
  commitCall,
  commitVerdictsCall,
  judgeCall,
  registerCall,
  revealVerdictsCall,
} from '../../chain/system/calls.ts';
import { NO_DIGEST, DRAW_PROOF_BYTES, encodeEntries, verdictsHash } from '../../chain/system/verdicts.ts';
import { readCurrentRound } from '../../chain/system/views.ts';
import { type Sent, type World, accountOf, hashOf, leavesOf } from './system-world.ts';

export const STAKE = 20n * ONE_POL;

export const trainerAt = (index: number): Hex => accountOf(`trainer ${index}`);

/** Funds and registers trainers 0 to count - 1, each with its capacity (1 when not given). */
export async function register(world: World, count: number, capacities: readonly number[] = []): Promise<void> {
  for (let index = 0; index < count; index++) {
    await world.fund(trainerAt(index), 100n * ONE_POL);
    await world.ok(trainerAt(index), registerCall(capacities[index] ?? 1, STAKE));
  }
}

export async function current(world: World): Promise<RoundRecord> {
  return present(await readCurrentRound(world.view), 'current round');
}

/** Blocks until the current round is in training: the freeze, then the opening. */
export async function openRound(world: World): Promise<RoundRecord> {
  for (let i = 0; i < 6; i++) {
    await world.block();
    const round = await readCurrentRound(world.view);
    if (round !== null && round.phase === 'training') return round;
  }
  throw new Error('no round opened');
}

export function commitmentOf(
  world: World,
  round: RoundRecord,
  trainer: Hex,
  changes: Partial<Commitment> = {},
): Commitment {
  const { kernelSpec, programHash, steps } = world.parameters;
  return {
    round: round.round,
    baseRoot: round.baseRoot,
    traceRoot: hashOf(`trace ${round.round} ${trainer}`),
    gradChainHead: hashOf(`chain ${round.round} ${trainer}`),
    finalStateRoot: hashOf(`final ${round.round} ${trainer}`),
    updateHash: hashOf(`update ${round.round} ${trainer}`),
    residualRoot: NO_DIGEST,
    canaryHash: hashOf(`no canary ${round.round} ${trainer}`),
    updateSize: 1_000n,
    kernelSpec,
    programHash,
    leaves: leavesOf(steps),
    ...changes,
  };
}

export async function commitAll(world: World, round: RoundRecord): Promise<void> {
  for (const { trainer } of round.roster) await world.ok(trainer, commitCall(commitmentOf(world, round, trainer)));
}

export function authority(world: World, index: number): Hex {
  return present(world.authorities[index], `authority ${index}`).address;
}

/** What an authority says about one trainer's claim; 'valid' for every claim that is not named. */
export type Finding = Readonly<{ trainer: Hex; verdict: VerdictKind; step?: number }>;

/** Any bytes of the right length: the contract does not check a proof of the draw. */
export const PROOF: Hex = toHex(new Uint8Array(DRAW_PROOF_BYTES).fill(3));
export const nonceOf = (by: number, round: number): Hex => hashOf(`nonce ${by} ${round}`);

/** Records for all committed claims of the round. */
export function entriesOf(round: RoundRecord, by: number, findings: readonly Finding[] = []): VerdictEntry[] {
  return round.roster.flatMap(({ trainer, status }, seat) => {
    if (status === 'awaited' || status === 'missed') return [];
    const found = findings.find((finding) => finding.trainer === trainer);
    const verdict = found?.verdict ?? 'valid';
    const digest = verdict === 'passed' ? NO_DIGEST : hashOf(`digest ${by} ${trainer}`);
    return [{ seat, verdict, step: found?.step ?? 0, digest }];
  });
}

/** An authority's hidden verdicts; `round` must be as it stands after the last commitment. */
export function sealCall(
  world: World,
  by: number,
  round: RoundRecord,
  findings: readonly Finding[] = [],
): ContractCall {
  const entries = encodeEntries(entriesOf(round, by, findings));
  const hash = verdictsHash(round.round, authority(world, by), entries, nonceOf(by, round.round));
  return commitVerdictsCall(round.round, hash);
}

/** Opens what {@link sealCall} hides with the same findings. */
export function revealCall(by: number, round: RoundRecord, findings: readonly Finding[] = []): ContractCall {
  const entries = encodeEntries(entriesOf(round, by, findings));
  return revealVerdictsCall(round.round, entries, nonceOf(by, round.round), PROOF);
}

/** Findings by index of authority; VALID on everything from those not named. */
export type Findings = Readonly<Record<number, readonly Finding[]>>;

/** All authorities, or those named, commit and reveal; ends after the block that closed the reveals. */
export async function auditRound(
  world: World,
  findings: Findings = {},
  who: readonly number[] = world.authorities.map((_, index) => index),
): Promise<void> {
  const round = await current(world);
  for (const by of who) await world.ok(authority(world, by), sealCall(world, by, round, findings[by]));
  while ((await current(world)).phase === 'auditing') await world.block();
  for (const by of who) await world.ok(authority(world, by), revealCall(by, round, findings[by]));
  while ((await current(world)).phase === 'revealing') await world.block();
}

export function giveJudgement(
  world: World,
  by: number,
  round: number,
  trainer: Hex,
  step: number,
  invalid: boolean,
): Promise<Sent> {
  return world.send(authority(world, by), judgeCall({ round, trainer, step, invalid }));
}

export function attestationOf(round: number, changes: Partial<Attestation> = {}): Attestation {
  return {
    round,
    modelRoot: hashOf(`model ${round}`),
    heldOutMicroNats: 5_000_000 - 1_000 * round,
    checkpoint: { blobId: hashOf(`blob ${round}`), sha256: hashOf(`sha ${round}`), size: 4_096n },
    ...changes,
  };
}

/** Equal attestations from the first `count` authorities. */
export async function attest(
  world: World,
  attestation: Attestation,
  count: number = world.authorities.length,
): Promise<void> {
  for (let by = 0; by < count; by++) await world.send(authority(world, by), attestCall(attestation));
}

/** A whole honest round, up to the block that settles it. */
export async function honestRound(world: World, changes: Partial<Attestation> = {}): Promise<RoundRecord> {
  const round = await openRound(world);
  await commitAll(world, round);
  await auditRound(world);
  await attest(world, attestationOf(round.round, changes));
  await world.block();
  return round;
}
