// Owns which rule fires on an input: proposals, vote thresholds and timeouts of one height become inputs of rules.ts, in the
// order of the published executable specification (Malachite's Quint driver). What that order leaves out is settle.ts.

import { never } from '../base/check.ts';
import type { RuleOutput } from './effect.ts';
import type { DriverInput, RuleInput, TimerKind, Validity } from './input.ts';
import { type Proposal, type ValueId, type Vote, proposalKey } from './message.ts';
import type { ProposerOf } from './proposer.ts';
import { type RoundState, type Step, initialRoundState } from './round-state.ts';
import { applyRule } from './rules.ts';
import type { ValidatorSet } from './validator-set.ts';
import {
  type Tally,
  type VoteKeeper,
  addCertificate,
  addVote,
  certificateFor,
  hasQuorumFor,
  hasQuorumOfAny,
  voteKeeper,
} from './vote-keeper.ts';

export type KnownProposal = Readonly<{ proposal: Proposal; validity: Validity }>;
export type PendingInput = Readonly<{ input: RuleInput; round: number }>;

/** State of one height. It belongs to one caller and is updated in place; `rules` is replaced as a whole. */
export type DriverState = {
  readonly self: string | null;
  readonly validators: ValidatorSet;
  readonly proposerOf: ProposerOf;
  readonly keeper: VoteKeeper;
  rules: RoundState;
  /** Valid and untimely proposals of all rounds, by their identity. Invalid ones are not kept. */
  readonly proposals: Map<string, KnownProposal>;
  /** Rule inputs that have been fired, with the round after and the step before: none fires twice. */
  readonly executed: Map<string, Readonly<{ input: RuleInput; round: number; step: Step }>>;
  pending: PendingInput[];
  /** The step just entered, until its rules have been looked at. */
  stepChange: Step | null;
  started: boolean;
  lastTally: Tally;
};

export type Decision = Readonly<{ proposal: Proposal | null; votes: readonly Vote[] }>;
export type DriverResult = Readonly<{
  output: RuleOutput;
  /** A quorum of votes for one value that the input completed. */
  certificate: readonly Vote[] | null;
  decision: Decision | null;
}>;

const NOTHING: DriverResult = { output: { kind: 'none' }, certificate: null, decision: null };

export type DriverSetup = Readonly<{
  height: number;
  self: string | null;
  validators: ValidatorSet;
  proposerOf: ProposerOf;
}>;

export function driverState(setup: DriverSetup): DriverState {
  return {
    self: setup.self,
    validators: setup.validators,
    proposerOf: setup.proposerOf,
    keeper: voteKeeper(setup.height, setup.validators),
    rules: initialRoundState(setup.height),
    proposals: new Map(),
    executed: new Map(),
    pending: [],
    stepChange: null,
    started: false,
    lastTally: { kind: 'none' },
  };
}

export function ruleKey(input: RuleInput): string {
  switch (input.kind) {
    case 'new-round':
    case 'new-round-proposer':
    case 'round-skip':
      return `${input.kind}|${input.round}`;
    case 'propose-value':
    case 'invalid-proposal-and-polka':
    case 'proposal-and-polka':
      return `${input.kind}|${input.value}`;
    case 'proposal':
    case 'proposal-and-commit':
      return `${input.kind}|${input.round}|${input.value}`;
    case 'proposal-and-old-polka':
      return `${input.kind}|${input.validRound}|${input.value}`;
    case 'timeout-propose':
    case 'timeout-prevote':
    case 'timeout-precommit':
      return `${input.kind}|${input.height}|${input.round}`;
    case 'proposal-invalid':
    case 'polka-nil':
    case 'polka-any':
    case 'precommit-any':
      return input.kind;
    default:
      return never(input);
  }
}

/** True when the rule has been fired in this round from this step. */
export function wasExecuted(state: DriverState, input: RuleInput): boolean {
  return state.executed.has(`${ruleKey(input)}|${state.rules.round}|${state.rules.step}`);
}

function fire(state: DriverState, input: RuleInput, certificate: readonly Vote[] | null = null): DriverResult {
  const key = ruleKey(input);
  const { step, round } = state.rules;
  const here = `${key}|${round}|${step}`;
  if (state.executed.has(here)) return { output: { kind: 'none' }, certificate, decision: null };
  const { state: rules, output } = applyRule(state.rules, input);
  state.rules = rules;
  const entered = rules.round === round ? here : `${key}|${rules.round}|${step}`;
  state.executed.set(entered, { input, round: rules.round, step });
  return { output, certificate, decision: null };
}

function addPending(state: DriverState, input: RuleInput): void {
  const key = ruleKey(input);
  const round = state.rules.round;
  if (!state.pending.some((known) => known.round === round && ruleKey(known.input) === key)) {
    state.pending.push({ input, round });
  }
}

function hasProposal(state: DriverState, round: number, value: ValueId, validRound?: number): boolean {
  for (const { proposal } of state.proposals.values()) {
    if (proposal.round === round && proposal.value === value) {
      if (validRound === undefined || proposal.validRound === validRound) return true;
    }
  }
  return false;
}

function onPrecommitTally(state: DriverState, tally: Tally, certificate: readonly Vote[] | null): DriverResult {
  const { round } = state.rules;
  switch (tally.kind) {
    case 'precommit-value':
      if (hasProposal(state, tally.round, tally.value)) {
        return fire(state, { kind: 'proposal-and-commit', round: tally.round, value: tally.value }, certificate);
      }
      if (tally.round === round) return fire(state, { kind: 'precommit-any' }, certificate);
      if (tally.round > round) return fire(state, { kind: 'round-skip', round: tally.round }, certificate);
      return { ...NOTHING, certificate };
    case 'precommit-any':
      return tally.round === round ? fire(state, { kind: 'precommit-any' }) : NOTHING;
    case 'skip':
      return tally.round > round ? fire(state, { kind: 'round-skip', round: tally.round }) : NOTHING;
    default:
      return NOTHING;
  }
}

function onPrevoteTally(state: DriverState, tally: Tally, certificate: readonly Vote[] | null): DriverResult {
  const { round } = state.rules;
  switch (tally.kind) {
    case 'polka-value':
      if (tally.round < round && hasProposal(state, round, tally.value, tally.round)) {
        const input: RuleInput = { kind: 'proposal-and-old-polka', value: tally.value, validRound: tally.round };
        return fire(state, input, certificate);
      }
      if (tally.round !== round) return { ...NOTHING, certificate };
      if (hasProposal(state, round, tally.value)) addPending(state, { kind: 'proposal-and-polka', value: tally.value });
      return fire(state, { kind: 'polka-any' }, certificate);
    case 'polka-any':
      return tally.round === round ? fire(state, { kind: 'polka-any' }) : NOTHING;
    case 'polka-nil':
      return tally.round === round ? fire(state, { kind: 'polka-nil' }) : NOTHING;
    case 'skip':
      return tally.round > round ? fire(state, { kind: 'round-skip', round: tally.round }) : NOTHING;
    default:
      return NOTHING;
  }
}

function onTally(state: DriverState, vote: Vote, tally: Tally): DriverResult {
  state.lastTally = tally;
  const certificate =
    tally.kind === 'polka-value' || tally.kind === 'precommit-value'
      ? certificateFor(state.keeper, vote.type, tally.round, tally.value)
      : null;
  const result =
    vote.type === 'prevote' ? onPrevoteTally(state, tally, certificate) : onPrecommitTally(state, tally, certificate);
  const after = follow(state, result);
  return after === result ? { ...result, certificate } : after;
}

function onInvalidProposal(state: DriverState, proposal: Proposal): DriverResult {
  const { step, round, height } = state.rules;
  if (step !== 'propose' || round !== proposal.round || height !== proposal.height) return NOTHING;
  if (hasQuorumFor(state.keeper, 'prevote', proposal.validRound, proposal.value)) {
    return fire(state, { kind: 'invalid-proposal-and-polka', value: proposal.value });
  }
  return fire(state, { kind: 'proposal-invalid' });
}

function onProposal(state: DriverState, { proposal, validity }: KnownProposal): DriverResult {
  const { keeper } = state;
  const { value, round, validRound } = proposal;
  if (proposal.proposer !== state.proposerOf(proposal.height, round)) return NOTHING;
  if (validity === 'invalid') return onInvalidProposal(state, proposal);
  const key = proposalKey(proposal);
  if (!state.proposals.has(key)) state.proposals.set(key, { proposal, validity });
  if (hasQuorumFor(keeper, 'precommit', round, value)) {
    return fire(state, { kind: 'proposal-and-commit', round, value }); // line 49, for any round
  }
  const { rules } = state;
  if (rules.round !== round || rules.height !== proposal.height) return NOTHING;
  if (rules.step === 'propose') {
    if (validRound === -1) return fire(state, freshInput(round, value, validity));
    if (!hasQuorumFor(keeper, 'prevote', validRound, value)) return NOTHING;
    return fire(state, { kind: 'proposal-and-old-polka', value, validRound });
  }
  if (rules.step !== 'prevote' && rules.step !== 'precommit') return NOTHING;
  return hasQuorumFor(keeper, 'prevote', round, value) ? fire(state, { kind: 'proposal-and-polka', value }) : NOTHING;
}

function freshInput(round: number, value: ValueId, validity: Validity): RuleInput {
  return validity === 'untimely' ? { kind: 'proposal-invalid' } : { kind: 'proposal', round, value };
}

function onTimeout(state: DriverState, timer: TimerKind): DriverResult {
  const { height, round } = state.rules;
  return fire(state, { kind: `timeout-${timer}`, height, round });
}

/** Looks again at what is known already, once a step has been entered. */
function onStepChange(state: DriverState): DriverResult {
  const { keeper, rules } = state;
  const entered = state.stepChange;
  const proposer = state.proposerOf(rules.height, rules.round);
  let known: KnownProposal | null = null;
  for (const candidate of state.proposals.values()) {
    const { proposal } = candidate;
    if (proposal.round === rules.round && proposal.proposer === proposer) known = candidate;
  }
  if (known !== null) {
    if (hasQuorumOfAny(keeper, 'precommit', rules.round)) addPending(state, { kind: 'precommit-any' });
    return onProposal(state, known);
  }
  if (entered !== 'prevote') return NOTHING;
  if (hasQuorumFor(keeper, 'prevote', rules.round, null)) return fire(state, { kind: 'polka-nil' });
  if (hasQuorumOfAny(keeper, 'prevote', rules.round)) return fire(state, { kind: 'polka-any' });
  return NOTHING;
}

function startRound(state: DriverState, round: number): DriverResult {
  const isProposer = state.proposerOf(state.rules.height, round) === state.self; // line 14
  return fire(state, { kind: isProposer ? 'new-round-proposer' : 'new-round', round });
}

/** A decision is completed with its proposal and votes; leaving a round starts the next at once. */
function follow(state: DriverState, result: DriverResult): DriverResult {
  const { output } = result;
  if (output.kind === 'skip-round') return startRound(state, output.round);
  if (output.kind !== 'decided') return result;
  let decided: Proposal | null = null;
  for (const { proposal } of state.proposals.values()) {
    if (proposal.round === output.round && proposal.value === output.value) decided = proposal;
  }
  const votes = certificateFor(state.keeper, 'precommit', output.round, output.value) ?? [];
  return { ...result, decision: { proposal: decided, votes } };
}

function takePending(state: DriverState, input: RuleInput): DriverResult {
  const key = ruleKey(input);
  const at = state.pending.findIndex((known) => ruleKey(known.input) === key);
  const found = state.pending[at];
  if (found === undefined) return NOTHING;
  state.pending = state.pending.filter((_, index) => index !== at);
  return found.round === state.rules.round ? fire(state, found.input) : NOTHING;
}

function route(state: DriverState, input: DriverInput): DriverResult {
  switch (input.kind) {
    case 'start':
      state.started = true;
      return startRound(state, 0);
    case 'proposal':
      return follow(state, onProposal(state, input));
    case 'propose-value':
      return fire(state, { kind: 'propose-value', value: input.value });
    case 'vote':
      return onTally(state, input.vote, addVote(state.keeper, input.vote, state.rules.round));
    case 'certificate': {
      const [first] = input.votes;
      return first === undefined ? NOTHING : onTally(state, first, addCertificate(state.keeper, input.votes));
    }
    case 'timeout':
      return follow(state, onTimeout(state, input.timer));
    case 'pending':
      return takePending(state, input.input);
    case 'rule':
      return follow(state, fire(state, input.input));
    case 'step-change':
      return onStepChange(state);
    default:
      return never(input);
  }
}

/** Feeds one input; updates `state` and answers what the one rule it led to asks for. */
export function drive(state: DriverState, input: DriverInput): DriverResult {
  const before = state.rules.step;
  const result = route(state, input);
  state.stepChange = state.rules.step === before ? null : state.rules.step;
  return result;
}
