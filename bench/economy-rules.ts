// Owns the money and the verdicts of a learning round as an agent sees them, taken from the default parameters: what a claim
// earns, what a sample finds, what a dispute decides. Who does what is economy-agents.ts.

import type { Prng } from '../base/prng.ts';
import { defaultLearningParameters as defaults } from '../chain/system/parameters.ts';
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

/** A claim with so many false steps, at places the trainer chose blindly. */
export function claimWithFalse(count: number, random: Prng): WorkClaim {
  return { ...HONEST_CLAIM, falseSteps: new Set(drawSample(random.bytes(32), RULES.steps, count)) };
}

/** How an authority behaves towards a claim: `diligent` samples and executes, `blind` says VALID, `liar` denies what is found. */
export type Auditing = 'diligent' | 'blind' | 'liar';
export type Decision = 'accepted' | 'rejected' | 'unresolved';

export type Audited = Readonly<{
  decision: Decision;
  /** Authorities by index that noticed something themselves. */
  found: readonly number[];
  executedSteps: number;
}>;

/**
 * What the protocol's audit decides, with samples drawn by the protocol's own function from fresh randomness. Each authority
 * executes a claim with the chance `rate`, and all of it now and then.
 */
export function audit(
  claim: WorkClaim,
  authorities: readonly Auditing[],
  samples: number,
  random: Prng,
  rate: number = 1,
  deepShare: number = 0,
): Audited {
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
  const liars = authorities.filter((kind) => kind === 'liar').length;
  if (!claim.served) {
    // Unavailable from all that look; the others alone must make a quorum of VALID.
    return { decision: authorities.length - diligent >= quorum ? 'accepted' : 'unresolved', found, executedSteps };
  }
  if (found.length === 0) return { decision: 'accepted', found, executedSteps };
  // A dispute: every authority executes the one step or repeats the accuser's word, liars deny it (rule 4.8).
  executedSteps += diligent - found.length;
  const against = authorities.length - liars;
  if (against >= quorum) return { decision: 'rejected', found, executedSteps };
  return { decision: liars >= quorum ? 'accepted' : 'unresolved', found, executedSteps };
}

/** Chance that at least one of so many authorities draws one of `falseSteps`, without replacement, each by itself. */
export function detectionFormula(falseSteps: number, samples: number, authorities: number): number {
  let missedByOne = 1;
  for (let i = 0; i < samples; i++) missedByOne *= Math.max(0, RULES.steps - falseSteps - i) / (RULES.steps - i);
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
