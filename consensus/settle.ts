// Owns completeness: after an input has been driven, finds a rule of the algorithm that holds but has not fired. The
// specification's driver looks at each threshold once, when it is reached; a rule that became enabled later in another way
// (prevotes counted before the step began, a second proposal, a certificate) would otherwise wait for ever.

import { type DriverState, type KnownProposal, wasExecuted } from './driver.ts';
import type { RuleInput } from './input.ts';
import { isSkip } from './quorum.ts';
import { type RoundVotes, hasQuorumFor, hasQuorumOfAny } from './vote-keeper.ts';

/** The next enabled rule that has not fired in this round and step, or null when nothing is left to do. */
export function enabledRule(state: DriverState): RuleInput | null {
  if (state.rules.step === 'commit' || !state.started) return null;
  return (
    decision(state) ?? skip(state) ?? proposalRule(state) ?? prevoteRule(state) ?? unfired(state, precommitRule(state))
  );
}

function unfired(state: DriverState, input: RuleInput | null): RuleInput | null {
  return input === null || wasExecuted(state, input) ? null : input;
}

/** Line 49: a proposal of any round and a quorum of precommits for it. */
function decision(state: DriverState): RuleInput | null {
  for (const { proposal } of state.proposals.values()) {
    if (hasQuorumFor(state.keeper, 'precommit', proposal.round, proposal.value)) {
      const input: RuleInput = { kind: 'proposal-and-commit', round: proposal.round, value: proposal.value };
      if (!wasExecuted(state, input)) return input;
    }
  }
  return null;
}

/** Line 55: f+1 distinct voters in a later round; the highest such round is taken. */
function skip(state: DriverState): RuleInput | null {
  let target = state.rules.round;
  for (const votes of state.keeper.rounds.values()) {
    if (votes.round > target && isSkip(voterWeight(state, votes), state.validators.total)) target = votes.round;
  }
  return target > state.rules.round ? unfired(state, { kind: 'round-skip', round: target }) : null;
}

/** Single votes are summed as they come; voters known from certificates only are added here. */
function voterWeight(state: DriverState, votes: RoundVotes): number {
  let weight = votes.weight;
  const counted = new Set(votes.voters.keys());
  for (const count of [votes.prevotes, votes.precommits]) {
    for (const voter of count.voters) {
      if (counted.has(voter)) continue;
      counted.add(voter);
      weight += state.validators.weights.get(voter) ?? 0;
    }
  }
  return weight;
}

/** Lines 22, 28 and 36, for each proposal of the current round. */
function proposalRule(state: DriverState): RuleInput | null {
  const { rules } = state;
  const proposer = state.proposerOf(rules.height, rules.round);
  for (const known of state.proposals.values()) {
    if (known.proposal.round !== rules.round || known.proposal.proposer !== proposer) continue;
    const input = unfired(state, rules.step === 'propose' ? inPropose(state, known) : afterPropose(state, known));
    if (input !== null) return input;
  }
  return null;
}

function inPropose(state: DriverState, { proposal, validity }: KnownProposal): RuleInput | null {
  const { round, value, validRound } = proposal;
  if (validRound === -1) {
    return validity === 'untimely' ? { kind: 'proposal-invalid' } : { kind: 'proposal', round, value };
  }
  if (!hasQuorumFor(state.keeper, 'prevote', validRound, value)) return null;
  return { kind: 'proposal-and-old-polka', value, validRound };
}

function afterPropose(state: DriverState, { proposal }: KnownProposal): RuleInput | null {
  const { round, value } = proposal;
  return hasQuorumFor(state.keeper, 'prevote', round, value) ? { kind: 'proposal-and-polka', value } : null;
}

/** Lines 44 and 34. */
function prevoteRule(state: DriverState): RuleInput | null {
  const { keeper, rules } = state;
  if (rules.step !== 'prevote') return null;
  const isNil = hasQuorumFor(keeper, 'prevote', rules.round, null);
  const nil = isNil ? unfired(state, { kind: 'polka-nil' }) : null;
  if (nil !== null) return nil;
  return hasQuorumOfAny(keeper, 'prevote', rules.round) ? unfired(state, { kind: 'polka-any' }) : null;
}

/** Line 47. */
function precommitRule(state: DriverState): RuleInput | null {
  return hasQuorumOfAny(state.keeper, 'precommit', state.rules.round) ? { kind: 'precommit-any' } : null;
}
