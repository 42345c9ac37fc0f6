// Owns the usual moves of a learning round for the system contracts' tests: registering, committing, verdicts, attesting.

import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { ONE_POL } from '../../base/units.ts';
import type { Attestation, Commitment, RoundRecord, VerdictKind } from '../../chain/system/api.ts';
import { attestCall, commitCall, judgeCall, registerCall, verdictCall } from '../../chain/system/calls.ts';
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

export function giveVerdict(
  world: World,
  by: number,
  round: number,
  trainer: Hex,
  verdict: VerdictKind,
  step: number = 0,
): Promise<Sent> {
  const call = verdictCall({ round, trainer, verdict, step, digest: hashOf(`digest ${by} ${trainer}`) });
  return world.send(authority(world, by), call);
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

/** VALID from every authority on every committed claim. */
export async function approveAll(world: World, round: RoundRecord, except: readonly Hex[] = []): Promise<void> {
  for (const { trainer } of round.roster) {
    if (except.includes(trainer)) continue;
    for (let by = 0; by < world.authorities.length; by++) await giveVerdict(world, by, round.round, trainer, 'valid');
  }
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
  await approveAll(world, round);
  await attest(world, attestationOf(round.round, changes));
  await world.block();
  return round;
}
