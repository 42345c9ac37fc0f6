// Owns who re-executes what: the lots of an authority's own verifiable random output. Pure; the proof behind the output is made
// and checked by base/vrf.ts. Rules J-9 to J-12 of docs/protocol/learning-round.md.

import { concat, u64be } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { taggedHash } from '../base/hash.ts';
import { prng } from '../base/prng.ts';
import { MAX_STEPS } from './limits.ts';

const BASIS_POINTS = 10_000;

/** What the chain's parameters say about audits. */
export type AuditRules = Readonly<{
  steps: number;
  samplesPerAudit: number;
  deepReplayBps: number;
  recheckBps: number;
}>;

/** Input of an authority's random function for a round: all its lots of the round follow from one output. */
export function auditAlpha(chainId: number, round: number, seed: Uint8Array): Uint8Array {
  return taggedHash('audit-draw', u64be(chainId), u64be(round), seed);
}

/** Salt of an authority's digests. It follows from the output, so after the reveal anyone can check them, and not before. */
export function auditSalt(beta: Uint8Array, authority: Uint8Array): Uint8Array {
  return taggedHash('audit-salt', beta, authority);
}

/** Whether a claim is executed, wholly or not, and which steps; none when it is passed. */
export type AuditDraw = Readonly<{ drawn: boolean; deep: boolean; sample: readonly number[] }>;

const lot = (hash: Uint8Array, offset: number): number =>
  new DataView(hash.buffer, hash.byteOffset, hash.length).getUint32(offset) % BASIS_POINTS;

/** The lot of one authority on one claim. `auditRateBps` is the seat's, fixed when the roster froze. */
export function drawClaim(
  beta: Uint8Array,
  claim: Readonly<{ trainer: Uint8Array; traceRoot: Uint8Array; auditRateBps: number }>,
  rules: AuditRules,
): AuditDraw {
  const hash = taggedHash('audit-claim', beta, claim.trainer, claim.traceRoot);
  const drawn = lot(hash, 0) < claim.auditRateBps;
  const deep = lot(hash, 4) < rules.deepReplayBps;
  const count = deep ? rules.steps : drawn ? rules.samplesPerAudit : 0;
  return { drawn: drawn || deep, deep, sample: drawSample(hash, rules.steps, count) };
}

/** Whether the authority of `beta` checks what another one said about a seat. */
export function drawsRecheck(beta: Uint8Array, accused: Uint8Array, seat: number, rules: AuditRules): boolean {
  return lot(taggedHash('audit-recheck', beta, concat(accused, Uint8Array.of(seat))), 0) < rules.recheckBps;
}

/** `count` different steps of `steps`, ascending; all of them when count is not below steps. */
export function drawSample(randomness: Uint8Array, steps: number, count: number): number[] {
  check(Number.isInteger(steps) && steps > 0 && steps <= MAX_STEPS, 'drawSample: steps out of range');
  check(Number.isInteger(count) && count >= 0, 'drawSample: count out of range');
  const random = prng(taggedHash('audit-sample', randomness));
  const all = Array.from({ length: steps }, (_, step) => step);
  const drawn: number[] = [];
  // A partial Fisher-Yates shuffle: each subset of the size is equally likely.
  for (let i = 0; i < Math.min(count, steps); i++) {
    const j = i + random.below(steps - i);
    drawn.push(all[j] as number);
    all[j] = all[i] as number;
  }
  return drawn.sort((a, b) => a - b);
}
