// Owns one comparable form for states of the core and of the specification: plain objects, sets sorted, signatures left out.

import type { RuleOutput } from '../../consensus/effect.ts';
import { type DriverState, type PendingInput, ruleKey } from '../../consensus/driver.ts';
import type { RuleInput, TimerKind } from '../../consensus/input.ts';
import { type Vote, proposalKey, voteKey } from '../../consensus/message.ts';
import type { RoundState } from '../../consensus/round-state.ts';
import type { Tally, VoteCount, VoteKeeper } from '../../consensus/vote-keeper.ts';
import {
  type Itf,
  bool,
  entries,
  field,
  int,
  item,
  list,
  proposal,
  ruleInput,
  step,
  str,
  sum,
  timer,
  valueOrNil,
  vote,
} from './quint-trace.ts';

export type View = unknown;
export type ChainEntry = Readonly<{ decision: string; votes: readonly string[] }>;

const keyOf = (input: RuleInput | null): string => (input === null ? 'none' : ruleKey(input));
const sortedVotes = (votes: Iterable<Vote>): string[] => [...votes].map((v) => `${v.height}|${voteKey(v)}`).sort();
const sortedPairs = (pairs: Iterable<readonly [string, number]>): string[] =>
  [...pairs].map(([key, value]) => `${key}=${value}`).sort();

export function rulesView(state: RoundState): View {
  return { ...state };
}
export function quintRulesView(cs: Itf): View {
  return {
    height: int(field(cs, 'height')),
    round: int(field(cs, 'round')),
    step: step(field(cs, 'step')),
    lockedValue: valueOrNil(field(cs, 'lockedValue')),
    lockedRound: int(field(cs, 'lockedRound')),
    validValue: valueOrNil(field(cs, 'validValue')),
    validRound: int(field(cs, 'validRound')),
  };
}

/** Outputs as text; the texts of refusals are not compared. */
export function outputView(output: RuleOutput, self: string): string {
  switch (output.kind) {
    case 'none':
    case 'refused':
      return output.kind;
    case 'get-value':
      return `get-value ${output.height} ${output.round} propose`;
    case 'offer':
      return `offer ${output.offer.height} ${self} ${output.offer.round} ${output.offer.value} ${output.offer.validRound}`;
    case 'ballot':
      return `ballot ${output.ballot.height} ${voteKey({ ...output.ballot, voter: self, signature: new Uint8Array(0) })}`;
    case 'timer':
      return `timer ${output.round} ${output.timer}`;
    case 'decided':
      return `decided ${output.round} ${output.value}`;
    case 'skip-round':
      return `skip-round ${output.round}`;
  }
}
export function quintOutputView(value: Itf): string {
  const { tag, value: body } = sum(value);
  switch (tag) {
    case 'NoConsensusOutput':
      return 'none';
    case 'ErrorOutput':
      return 'refused';
    case 'GetValueAndScheduleTimeoutOutput':
      return `get-value ${int(item(body, 0))} ${int(item(body, 1))} ${timer(item(body, 2))}`;
    case 'ProposalOutput': {
      const p = proposal(body);
      return `offer ${p.height} ${p.proposer} ${p.round} ${p.value} ${p.validRound}`;
    }
    case 'VoteOutput':
      return `ballot ${vote(body).height} ${voteKey(vote(body))}`;
    case 'TimeoutOutput':
      return `timer ${int(item(body, 0))} ${timer(item(body, 1)) satisfies TimerKind}`;
    case 'DecidedOutput':
      return `decided ${int(item(body, 0))} ${str(item(body, 1))}`;
    case 'SkipRoundOutput':
      return `skip-round ${int(body)}`;
    default:
      throw new Error(`unknown output ${tag}`);
  }
}

export function tallyView(tally: Tally): string {
  if (tally.kind === 'none') return 'none';
  return 'value' in tally ? `${tally.kind} ${tally.round} ${tally.value}` : `${tally.kind} ${tally.round}`;
}
const TALLIES: Readonly<Record<string, string>> = {
  PolkaAnyVKOutput: 'polka-any',
  PolkaNilVKOutput: 'polka-nil',
  PolkaValueVKOutput: 'polka-value',
  PrecommitAnyVKOutput: 'precommit-any',
  PrecommitValueVKOutput: 'precommit-value',
  SkipVKOutput: 'skip',
};
export function quintTallyView(value: Itf): string {
  const { tag, value: body } = sum(value);
  if (tag === 'NoVKOutput') return 'none';
  const name = TALLIES[tag];
  if (tag === 'PolkaValueVKOutput' || tag === 'PrecommitValueVKOutput') {
    return `${name} ${int(item(body, 0))} ${str(item(body, 1))}`;
  }
  return `${name} ${int(body)}`;
}

function countView(count: VoteCount, total: number): View {
  return {
    total,
    weights: sortedPairs([...count.weights].map(([value, weight]) => [String(value), weight] as const)),
    voters: [...count.voters].sort(),
    received: sortedVotes(count.received.values()),
  };
}
function quintCountView(count: Itf): View {
  return {
    total: int(field(count, 'totalWeight')),
    weights: sortedPairs(
      entries(field(count, 'valuesWeights')).map(
        ([value, weight]) => [String(valueOrNil(value)), int(weight)] as const,
      ),
    ),
    voters: list(field(count, 'votesAddresses')).map(str).sort(),
    received: sortedVotes(list(field(count, 'receivedVotes')).map(vote)),
  };
}

export function keeperView(keeper: VoteKeeper): View {
  const { total } = keeper.validators;
  return {
    height: keeper.height,
    rounds: [...keeper.rounds.values()]
      .sort((a, b) => a.round - b.round)
      .map((round) => ({
        round: round.round,
        prevotes: countView(round.prevotes, total),
        precommits: countView(round.precommits, total),
        emitted: [...round.emitted.values()].map(tallyView).sort(),
        voters: sortedPairs(round.voters),
      })),
    evidence: keeper.evidence.map((votes) => sortedVotes(votes).join()).sort(),
  };
}
export function quintKeeperView(keeper: Itf): View {
  return {
    height: int(field(keeper, 'height')),
    rounds: entries(field(keeper, 'rounds'))
      .map(([, round]) => round)
      .sort((a, b) => int(field(a, 'round')) - int(field(b, 'round')))
      .map((round) => ({
        round: int(field(round, 'round')),
        prevotes: quintCountView(field(round, 'prevotes')),
        precommits: quintCountView(field(round, 'precommits')),
        emitted: list(field(round, 'emittedOutputs')).map(quintTallyView).sort(),
        voters: sortedPairs(
          entries(field(round, 'votesAddressesWeights')).map(([who, weight]) => [str(who), int(weight)] as const),
        ),
      })),
    evidence: list(field(keeper, 'evidence'))
      .map((votes) => sortedVotes(list(votes).map(vote)).join())
      .sort(),
  };
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items)];
}

export function driverView(state: DriverState, chain: readonly ChainEntry[]): View {
  const { height } = state.rules;
  return {
    keeper: keeperView(state.keeper),
    rules: rulesView(state.rules),
    proposals: [...state.proposals.values()].map((known) => `${height}|${proposalKey(known.proposal)}`).sort(),
    executed: [...state.executed.values()].map((e) => `${keyOf(e.input)} ${height} ${e.round} ${e.step}`),
    pending: state.pending.map((p: PendingInput) => `${keyOf(p.input)} ${height} ${p.round}`).sort(),
    stepChange: state.stepChange ?? 'new',
    started: state.started,
    tally: tallyView(state.lastTally),
    chain,
  };
}
export function quintDriverView(es: Itf): View {
  return {
    keeper: quintKeeperView(field(es, 'bk')),
    rules: quintRulesView(field(es, 'cs')),
    proposals: list(field(es, 'proposals'))
      .map((p) => `${proposal(p).height}|${proposalKey(proposal(p))}`)
      .sort(),
    executed: unique(
      list(field(es, 'executedInputs')).map(
        (e) => `${keyOf(ruleInput(item(e, 0)))} ${int(item(e, 1))} ${int(item(e, 2))} ${step(item(e, 3))}`,
      ),
    ),
    pending: list(field(es, 'pendingInputs'))
      .map((p) => `${keyOf(ruleInput(item(p, 0)))} ${int(item(p, 1))} ${int(item(p, 2))}`)
      .sort(),
    stepChange: step(field(es, 'pendingStepChange')),
    started: bool(field(es, 'started')),
    tally: quintTallyView(field(es, 'voteKeeperOutput')),
    chain: list(field(es, 'chain')).map(quintChainEntry),
  };
}

function quintChainEntry(entry: Itf): ChainEntry {
  const decided = proposal(field(entry, 'decision'));
  return {
    decision: `${decided.height}|${proposalKey(decided)}`,
    votes: sortedVotes(list(field(entry, 'commit')).map(vote)),
  };
}
export function chainEntry(decision: {
  proposal: Parameters<typeof proposalKey>[0];
  votes: readonly Vote[];
}): ChainEntry {
  return {
    decision: `${decision.proposal.height}|${proposalKey(decision.proposal)}`,
    votes: sortedVotes(decision.votes),
  };
}
