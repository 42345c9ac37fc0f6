// Owns what happened in learning rounds, folded from the system contracts' events: verdicts, models, rewards. It is rebuilt from
// the chain's blocks at start and only read by the API; no rule depends on it.

import type { Hex } from '../base/bytes.ts';
import type { Chain } from '../chain/api.ts';
import type { CheckpointRef, ClaimStatus, RoundOutcome, RoundPhase, VerdictKind } from '../chain/system/api.ts';
import type { SystemEvent } from '../chain/system/events.ts';
import { decodeLeaves, lossOfBits } from '../trainer/leaf.ts';
import { HISTORY_ROUNDS } from './limits.ts';
import { systemEvents } from './system-events.ts';

export type ClaimHistory = {
  readonly trainer: Hex;
  readonly capacity: number;
  status: ClaimStatus;
  traceRoot: Hex | null;
  updateHash: Hex | null;
  /** Mean training loss of the round's last step, in nats per token. */
  trainingLoss: number | null;
  verdicts: { authority: Hex; verdict: VerdictKind; step: number | null }[];
  earnedGwei: bigint;
  slashedWei: bigint;
};

export type RoundHistory = {
  readonly round: number;
  phase: RoundPhase;
  outcome: RoundOutcome;
  openedAt: number;
  closedAt: number | null;
  seed: Hex;
  baseRoot: Hex;
  modelRoot: Hex | null;
  checkpoint: CheckpointRef | null;
  heldOutMicroNats: number | null;
  emissionGwei: bigint;
  readonly claims: Map<Hex, ClaimHistory>;
};

export type LearningHistory = Readonly<{
  rounds(): readonly RoundHistory[];
  round(round: number): RoundHistory | null;
  /** Rounds whose model became the base. */
  acceptedRounds(): number;
  /** Verdicts seen since genesis. */
  verdicts(): Readonly<Record<VerdictKind, number>>;
  earned(trainer: Hex): bigint;
  slashed(trainer: Hex): bigint;
  /** The newest block in it. */
  height(): number;
  /** Takes in the events of the block after the newest; those of an earlier one are in it already. */
  apply(block: number, events: readonly SystemEvent[]): void;
}>;

const NO_HASH: Hex = `0x${'00'.repeat(32)}`;

/** Mean loss of a claim's last step from its leaves. */
function lastLoss(leaves: Uint8Array, steps: number): number | null {
  const decoded = decodeLeaves(leaves, steps);
  const last = decoded.ok ? decoded.value.at(-1) : undefined;
  return last === undefined ? null : lossOfBits(last.lossBits);
}

export function createLearningHistory(steps: number): LearningHistory {
  const rounds = new Map<number, RoundHistory>();
  const verdicts = { valid: 0, invalid: 0, unavailable: 0, passed: 0 };
  const earned = new Map<Hex, bigint>();
  const slashed = new Map<Hex, bigint>();
  let accepted = 0;
  let height = 0;

  function begin(block: number, event: Extract<SystemEvent, { kind: 'rosterFrozen' }>): void {
    const claims = new Map<Hex, ClaimHistory>();
    event.trainers.forEach((trainer, slot) => {
      claims.set(trainer, {
        trainer,
        capacity: event.capacities[slot] ?? 1,
        status: 'awaited',
        traceRoot: null,
        updateHash: null,
        trainingLoss: null,
        verdicts: [],
        earnedGwei: 0n,
        slashedWei: 0n,
      });
    });
    rounds.set(event.round, {
      round: event.round,
      phase: 'frozen',
      outcome: 'pending',
      openedAt: block,
      closedAt: null,
      seed: NO_HASH,
      baseRoot: NO_HASH,
      modelRoot: null,
      checkpoint: null,
      heldOutMicroNats: null,
      emissionGwei: 0n,
      claims,
    });
    for (const oldest of rounds.keys()) {
      if (rounds.size <= HISTORY_ROUNDS) break;
      rounds.delete(oldest);
    }
  }

  function noteVerdicts(round: RoundHistory, event: Extract<SystemEvent, { kind: 'verdictsRevealed' }>): void {
    const { authority } = event;
    const claims = [...round.claims.values()];
    for (const { seat, verdict, step } of event.entries) {
      verdicts[verdict]++;
      claims[seat]?.verdicts.push({ authority, verdict, step: verdict === 'invalid' ? step : null });
    }
  }

  function applyToRound(block: number, event: SystemEvent, round: RoundHistory): void {
    const claim = 'trainer' in event ? round.claims.get(event.trainer) : undefined;
    switch (event.kind) {
      case 'roundOpened':
        Object.assign(round, { phase: 'training', openedAt: block, seed: event.seed, baseRoot: event.baseRoot });
        break;
      case 'phaseChanged':
        round.phase = event.phase;
        break;
      case 'committed':
        if (claim === undefined) break;
        claim.status = 'committed';
        claim.traceRoot = event.commitment.traceRoot;
        claim.updateHash = event.commitment.updateHash;
        claim.trainingLoss = lastLoss(event.commitment.leaves, steps);
        break;
      case 'verdictsRevealed':
        noteVerdicts(round, event);
        break;
      case 'claimDecided':
        if (claim !== undefined) claim.status = event.status;
        break;
      case 'finalised':
        if (event.outcome === 'moved') accepted++;
        round.outcome = event.outcome;
        Object.assign(round, {
          modelRoot: event.modelRoot,
          checkpoint: event.checkpoint,
          heldOutMicroNats: event.heldOutMicroNats,
        });
        break;
      case 'roundSettled':
        // A round in which nothing was accepted is settled without having been finalised.
        if (round.outcome === 'pending') round.outcome = 'void';
        Object.assign(round, { closedAt: block, phase: 'done', emissionGwei: event.emissionGwei });
        break;
      case 'vested':
        if (claim !== undefined) claim.earnedGwei += event.paidGwei;
        break;
      case 'slashed':
        if (claim !== undefined) claim.slashedWei += event.burnedWei + event.bountyWei;
        break;
      default:
        break;
    }
  }

  return {
    rounds: () => [...rounds.values()],
    round: (round) => rounds.get(round) ?? null,
    acceptedRounds: () => accepted,
    verdicts: () => verdicts,
    earned: (trainer) => earned.get(trainer) ?? 0n,
    slashed: (trainer) => slashed.get(trainer) ?? 0n,
    height: () => height,
    apply(block, events) {
      if (block <= height) return;
      height = block;
      for (const event of events) {
        if (event.kind === 'rosterFrozen') begin(block, event);
        if (event.kind === 'vested') earned.set(event.trainer, (earned.get(event.trainer) ?? 0n) + event.releasedGwei);
        if (event.kind === 'slashed')
          slashed.set(event.trainer, (slashed.get(event.trainer) ?? 0n) + event.burnedWei + event.bountyWei);
        const round = 'round' in event ? rounds.get(event.round) : undefined;
        if (round !== undefined) applyToRound(block, event, round);
      }
    },
  };
}

/** Folds the blocks up to the present head into the history; about 10,000 blocks a second. */
export async function replayHistory(chain: Chain, history: LearningHistory): Promise<void> {
  const head = chain.head().header.number;
  for (let number = history.height() + 1; number <= head; number++) {
    const [receipts, systemLogs] = await Promise.all([chain.receipts(number), chain.systemLogs(number)]);
    if (receipts !== null && systemLogs !== null) history.apply(number, systemEvents({ receipts, systemLogs }));
  }
}
