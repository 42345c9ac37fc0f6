// Owns the votes of one height: each voter counted once, thresholds reported once, double votes kept as evidence.
// A keeper belongs to one driver and is updated in place. Signatures and bounds are checked before votes come here.

import { type ValueId, type Vote, type VoteType, voteKey } from './message.ts';
import { isQuorum, isSkip } from './quorum.ts';
import type { ValidatorSet } from './validator-set.ts';

/** A threshold that has just been reached. */
export type Tally =
  | Readonly<{ kind: 'none' }>
  | Readonly<{ kind: 'polka-any' | 'polka-nil' | 'precommit-any' | 'skip'; round: number }>
  | Readonly<{ kind: 'polka-value' | 'precommit-value'; round: number; value: ValueId }>;

export type VoteCount = {
  /** Weight for each value; null is nil. */
  weights: Map<ValueId | null, number>;
  sum: number;
  voters: Set<string>;
  received: Map<string, Vote>;
};

export type RoundVotes = {
  readonly round: number;
  prevotes: VoteCount;
  precommits: VoteCount;
  /** Thresholds already reported. */
  readonly emitted: Map<string, Tally>;
  /** Everybody who voted in the round, either way, through single votes. */
  readonly voters: Map<string, number>;
  weight: number;
};

export type VoteKeeper = Readonly<{
  height: number;
  validators: ValidatorSet;
  rounds: Map<number, RoundVotes>;
  /** Conflicting votes of one voter, type and round, as known when the last of them came. */
  evidence: (readonly Vote[])[];
}>;

const NONE: Tally = { kind: 'none' };

export function voteKeeper(height: number, validators: ValidatorSet): VoteKeeper {
  return { height, validators, rounds: new Map(), evidence: [] };
}

function emptyCount(): VoteCount {
  return { weights: new Map(), sum: 0, voters: new Set(), received: new Map() };
}

function roundVotes(keeper: VoteKeeper, round: number): RoundVotes {
  let votes = keeper.rounds.get(round);
  if (votes === undefined) {
    votes = {
      round,
      prevotes: emptyCount(),
      precommits: emptyCount(),
      emitted: new Map(),
      voters: new Map(),
      weight: 0,
    };
    keeper.rounds.set(round, votes);
  }
  return votes;
}

function countOf(votes: RoundVotes, type: VoteType): VoteCount {
  return type === 'prevote' ? votes.prevotes : votes.precommits;
}

function addToCount(count: VoteCount, vote: Vote, weight: number): void {
  const key = voteKey(vote);
  if (!count.received.has(key)) count.received.set(key, vote);
  if (count.voters.has(vote.voter)) return;
  count.voters.add(vote.voter);
  count.weights.set(vote.value, (count.weights.get(vote.value) ?? 0) + weight);
  count.sum += weight;
}

function votesBy(count: VoteCount, voter: string): Vote[] {
  const out: Vote[] = [];
  for (const vote of count.received.values()) if (vote.voter === voter) out.push(vote);
  return out;
}

function tallyKey(tally: Tally): string {
  if (tally.kind === 'polka-value' || tally.kind === 'precommit-value') return `${tally.kind}|${tally.value}`;
  return tally.kind;
}

function reached(keeper: VoteKeeper, count: VoteCount, vote: Vote): Tally {
  const total = keeper.validators.total;
  const { round, value, type } = vote;
  if (isQuorum(count.weights.get(value) ?? 0, total)) {
    if (value !== null) return { kind: type === 'prevote' ? 'polka-value' : 'precommit-value', round, value };
    return { kind: type === 'prevote' ? 'polka-nil' : 'precommit-any', round };
  }
  if (isQuorum(count.sum, total)) return { kind: type === 'prevote' ? 'polka-any' : 'precommit-any', round };
  return NONE;
}

/** Counts a vote. Answers the threshold it reached, once each; a later round's f+1 is answered every time. */
export function addVote(keeper: VoteKeeper, vote: Vote, currentRound: number): Tally {
  const weight = keeper.validators.weights.get(vote.voter) ?? 0;
  const votes = roundVotes(keeper, vote.round);
  const count = countOf(votes, vote.type);
  const isSecond = count.voters.has(vote.voter);
  addToCount(count, vote, weight);
  if (isSecond) {
    const all = votesBy(count, vote.voter);
    if (all.length > 1) addEvidence(keeper, all);
  }
  if (!votes.voters.has(vote.voter)) {
    votes.voters.set(vote.voter, weight);
    votes.weight += weight;
  }
  if (vote.round > currentRound && isSkip(votes.weight, keeper.validators.total)) {
    return emit(votes, { kind: 'skip', round: vote.round });
  }
  const tally = reached(keeper, count, vote);
  return tally.kind === 'none' || votes.emitted.has(tallyKey(tally)) ? NONE : emit(votes, tally);
}

function emit(votes: RoundVotes, tally: Tally): Tally {
  votes.emitted.set(tallyKey(tally), tally);
  return tally;
}

function addEvidence(keeper: VoteKeeper, votes: readonly Vote[]): void {
  const keys = votes.map(voteKey).sort().join();
  if (!keeper.evidence.some((known) => known.length === votes.length && known.map(voteKey).sort().join() === keys)) {
    keeper.evidence.push(votes);
  }
}

/** True when the votes are one quorum for one value in one round, of one type. */
export function isCertificate(votes: readonly Vote[], validators: ValidatorSet): boolean {
  const first = votes[0];
  if (first === undefined || first.value === null) return false;
  let weight = 0;
  for (const vote of votes) {
    if (vote.type !== first.type || vote.height !== first.height || vote.round !== first.round) return false;
    if (vote.value !== first.value) return false;
    weight += validators.weights.get(vote.voter) ?? 0;
  }
  return isQuorum(weight, validators.total);
}

/**
 * Takes in a certificate whole. Other than with single votes, an equivocator then counts for each of its values: its vote
 * for this one is authentic, and leaving it out would let it hide a polka.
 */
export function addCertificate(keeper: VoteKeeper, certificate: readonly Vote[]): Tally {
  const first = certificate[0];
  if (first === undefined || first.value === null || !isCertificate(certificate, keeper.validators)) return NONE;
  const votes = roundVotes(keeper, first.round);
  const count = countOf(votes, first.type);
  for (const vote of certificate) {
    const others = votesBy(count, vote.voter);
    if (others.some((other) => other.value !== vote.value)) {
      addEvidence(keeper, others.some((other) => other.value === vote.value) ? others : [...others, vote]);
    }
  }
  for (const vote of certificate) {
    const key = voteKey(vote);
    if (!count.received.has(key)) count.received.set(key, vote);
  }
  recount(keeper, count);
  return { kind: first.type === 'prevote' ? 'polka-value' : 'precommit-value', round: first.round, value: first.value };
}

function recount(keeper: VoteKeeper, count: VoteCount): void {
  count.weights = new Map();
  count.sum = 0;
  for (const vote of count.received.values()) {
    const weight = keeper.validators.weights.get(vote.voter) ?? 0;
    count.voters.add(vote.voter);
    count.weights.set(vote.value, (count.weights.get(vote.value) ?? 0) + weight);
    count.sum += weight;
  }
}

/** Received votes of a round for a value that together are a quorum, or null. */
export function certificateFor(
  keeper: VoteKeeper,
  type: VoteType,
  round: number,
  value: ValueId,
): readonly Vote[] | null {
  const votes = keeper.rounds.get(round);
  if (votes === undefined) return null;
  const out: Vote[] = [];
  for (const vote of countOf(votes, type).received.values()) if (vote.value === value) out.push(vote);
  return isCertificate(out, keeper.validators) ? out : null;
}

export function hasQuorumFor(keeper: VoteKeeper, type: VoteType, round: number, value: ValueId | null): boolean {
  const votes = keeper.rounds.get(round);
  return votes !== undefined && isQuorum(countOf(votes, type).weights.get(value) ?? 0, keeper.validators.total);
}

export function hasQuorumOfAny(keeper: VoteKeeper, type: VoteType, round: number): boolean {
  const votes = keeper.rounds.get(round);
  return votes !== undefined && isQuorum(countOf(votes, type).sum, keeper.validators.total);
}
