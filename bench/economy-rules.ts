// Owns the money and the verdicts of a learning round as an agent sees them, taken from the default parameters: what a claim
// earns, what a sample finds, what a dispute or a challenge decides. Who does what is economy-agents.ts.

import type { Prng } from '../base/prng.ts';
import { DEFAULT_CHALLENGE_RULES } from '../chain/system/challenge-parameters.ts';
import { defaultLearningParameters as defaults } from '../chain/system/parameters.ts';
import { AUTHORITY_CLAIM_CHECKS } from '../node/limits.ts';
import { drawSample } from '../trainer/sample.ts';

/** Amounts are POL as plain numbers: figures for a report, never for a ledger. */
const GWEI = 1e-9;
const BPS = 10_000;

/** Cost of one honest round as a share of its pay; the research's assumption. */
const COST_SHARE = 0.7;

const tokens = defaults.steps * defaults.batch * defaults.sequenceLength;
const emission = tokens * Number(defaults.rewardPerTokenGwei) * GWEI;

export const RULES = {
  steps: defaults.steps,
  samples: defaults.samplesPerAudit,
  authorities: 4,
  stake: Number(defaults.minStakeGwei) * GWEI,
  vestingRounds: defaults.vestingRounds,
  missLimit: defaults.missLimit,
  burnShare: defaults.burnBps / BPS,
  /** Pay of one accepted claim of capacity 1, and what all authorities get for it. */
  pay: (emission * defaults.trainerShareBps) / BPS,
  auditPay: (emission * defaults.auditorShareBps) / BPS,
  deepShare: defaults.deepReplayBps / BPS,
  recheckShare: defaults.recheckBps / BPS,
  auditWeight: defaults.auditWeight,
  bond: Number(defaults.authorityBondGwei) * GWEI,
  accusation: Number(defaults.accusationBondGwei) * GWEI,
  challenge: Number(DEFAULT_CHALLENGE_RULES.bondGwei) * GWEI,
  /** Each honest authority executes one whole claim of each trainer in so many of its rounds (rule W-5). */
  checkRounds: AUTHORITY_CLAIM_CHECKS,
  roundCost: ((emission * defaults.trainerShareBps) / BPS) * COST_SHARE,
} as const;

export const STEP_COST = RULES.roundCost / RULES.steps;

/** Share of a trainer's claims that each authority draws (rule 4.2): what it would lose against what it could save. */
export function auditRate(security: number): number {
  const rate = (2 * RULES.pay * defaults.auditCostBps) / BPS / (security + RULES.pay);
  return Math.min(1, Math.max(defaults.auditFloorBps / BPS, rate));
}

/** True with a chance, to a ten-thousandth, as the protocol's lots are. */
export const lot = (chance: number, random: Prng): boolean => random.below(BPS) < Math.round(chance * BPS);

export const quorumOf = (authorities: number): number => Math.floor((2 * authorities) / 3) + 1;

/** A claim as auditors meet it: which steps are false, and whether a field contradicts the round (rule J-2). */
export type WorkClaim = Readonly<{ falseSteps: ReadonlySet<number>; structure: boolean; served: boolean }>;

export const HONEST_CLAIM: WorkClaim = { falseSteps: new Set(), structure: false, served: true };
export const ALL_FALSE: ReadonlySet<number> = new Set(Array.from({ length: RULES.steps }, (_, step) => step));

/** A claim with so many false steps, at places the trainer chose blindly. */
export function claimWithFalse(count: number, random: Prng): WorkClaim {
  return { ...HONEST_CLAIM, falseSteps: new Set(drawSample(random.bytes(32), RULES.steps, count)) };
}

/** How an authority behaves towards a claim: `diligent` samples and executes, `blind` says VALID, `liar` denies what is found. */
export type Auditing = 'diligent' | 'blind' | 'liar';
/** `challenged`: accepted or blocked by authorities, and rejected by the referee. */
export type Decision = 'accepted' | 'rejected' | 'challenged' | 'unresolved';

export type Audited = Readonly<{
  decision: Decision;
  /** Authorities by index that noticed something themselves. */
  found: readonly number[];
  executedSteps: number;
}>;

/** How much is looked at: samples of a draw, the chance of a draw, of a deep one, and whole claims executed after the round. */
export type Looking = Readonly<{ samples: number; rate: number; deepShare: number; checks: number }>;

/**
 * What the protocol's audit decides, with samples drawn by the protocol's own function from fresh randomness. A step found false
 * that accomplices keep from being rejected is challenged by its finder (rules W-1 and W-2), as is one that a check finds.
 */
export function audit(claim: WorkClaim, authorities: readonly Auditing[], look: Looking, random: Prng): Audited {
  const { samples, rate, deepShare, checks } = look;
  const quorum = quorumOf(authorities.length);
  const found: number[] = [];
  let executedSteps = 0;
  for (const [i, kind] of authorities.entries()) {
    if (kind !== 'diligent') continue;
    if (claim.structure) {
      found.push(i);
      continue;
    }
    const deep = deepShare > 0 && lot(deepShare, random);
    const count = deep ? RULES.steps : rate >= 1 || lot(rate, random) ? samples : 0;
    const drawn = drawSample(random.bytes(32), RULES.steps, count);
    executedSteps += drawn.length;
    if (drawn.some((step) => claim.falseSteps.has(step))) found.push(i);
  }
  const diligent = authorities.filter((kind) => kind === 'diligent').length;
  if (!claim.served && authorities.length - diligent < quorum) {
    // Unavailable from all that look; the others alone must make a quorum of VALID.
    return { decision: 'unresolved', found, executedSteps };
  }
  if (found.length > 0) {
    // A dispute: every authority executes the one step or repeats the accuser's word, liars deny it (rule 4.8).
    executedSteps += diligent - found.length;
    const against = authorities.length - authorities.filter((kind) => kind === 'liar').length;
    return { decision: against >= quorum ? 'rejected' : 'challenged', found, executedSteps };
  }
  executedSteps += checks * RULES.steps;
  return { decision: checks > 0 && claim.falseSteps.size > 0 ? 'challenged' : 'accepted', found, executedSteps };
}

/** Chance that at least one of so many authorities draws one of `falseSteps`, without replacement, each by itself. */
export function detectionFormula(
  falseSteps: number,
  samples: number,
  authorities: number,
  rate: number = 1,
  deepShare: number = 0,
): number {
  let missedByDraw = 1;
  for (let i = 0; i < samples; i++) missedByDraw *= Math.max(0, RULES.steps - falseSteps - i) / (RULES.steps - i);
  const missedByOne = (1 - deepShare) * (1 - rate * (1 - missedByDraw));
  return 1 - missedByOne ** authorities;
}

/**
 * True when a share measured over so many trials lies within the central 99.9% of what the chance `p` gives (many cells are
 * compared at once): by the normal distribution where both outcomes are frequent, exactly where one is rare.
 */
export function fitsChance(hits: number, trials: number, p: number): boolean {
  const variance = trials * p * (1 - p);
  if (variance > 25) return Math.abs(hits - trials * p) <= 3.29 * Math.sqrt(variance);
  const rare = Math.min(p, 1 - p);
  const count = p <= 0.5 ? hits : trials - hits;
  let term = (1 - rare) ** trials;
  let below = 0;
  for (let i = 0; i < count; i++) {
    below += term;
    term *= ((trials - i) / (i + 1)) * (rare / (1 - rare));
  }
  return below + term >= 0.0005 && 1 - below >= 0.0005;
}
