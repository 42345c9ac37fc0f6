// Owns the core of one height: step(state, event) -> { state, effects }. Admission and bounds, the driver run to rest,
// timers once each, the gossip property. No clock, no I/O, no signatures: the shell performs the effects in their order.

import { check, never } from '../base/check.ts';
import { type DriverSetup, type DriverState, type Decision, drive, driverState } from './driver.ts';
import type { Effect, RuleOutput } from './effect.ts';
import type { DriverInput, Event, TimerKind, Validity } from './input.ts';
import { MAX_PROPOSALS_PER_ROUND, MAX_ROUND, MAX_RULES_PER_EVENT, MAX_VOTES_PER_SLOT } from './limits.ts';
import { type Proposal, type Vote, voteKey } from './message.ts';
import { enabledRule } from './settle.ts';
import { type TimeoutParameters, timeoutMs } from './timeouts.ts';
import { certificateFor, hasQuorumFor, hasQuorumOfAny, isCertificate } from './vote-keeper.ts';

export type HeightState = {
  readonly driver: DriverState;
  readonly timeouts: TimeoutParameters;
  readonly timersStarted: Set<string>;
  /** Proposals seen, valid or not: the first of a round counts, the second is evidence. */
  readonly seen: Map<number, Proposal[]>;
  ownPrevote: Vote | null;
  ownPrecommit: Vote | null;
  evidenceReported: number;
  ticks: number;
  isDecided: boolean;
};

export type HeightSetup = DriverSetup & Readonly<{ timeouts: TimeoutParameters }>;
export type StepResult = Readonly<{ state: HeightState; effects: readonly Effect[] }>;

/** Proposals are large: they are sent again on every second and third tick only. */
const OWN_PROPOSAL_TICKS = 2;
const VALID_PROPOSAL_TICKS = 3;

export function heightState(setup: HeightSetup): HeightState {
  return {
    driver: driverState(setup),
    timeouts: setup.timeouts,
    timersStarted: new Set(),
    seen: new Map(),
    ownPrevote: null,
    ownPrecommit: null,
    evidenceReported: 0,
    ticks: 0,
    isDecided: false,
  };
}

/**
 * One step. The state given is consumed: only the returned one may be used. Deterministic: equal events in equal order
 * give equal effects, which is what replay of the write-ahead log rests on.
 */
export function step(state: HeightState, event: Event): StepResult {
  const effects: Effect[] = [];
  if (state.isDecided) return { state, effects };
  switch (event.kind) {
    case 'start':
      if (!state.driver.started) advance(state, { kind: 'start' }, effects);
      break;
    case 'proposal':
      takeProposal(state, event.proposal, event.validity, effects);
      break;
    case 'vote':
      takeVote(state, event.vote, effects);
      break;
    case 'certificate':
      takeCertificate(state, event.votes, effects);
      break;
    case 'timeout':
      if (event.round === state.driver.rules.round && event.round < MAX_ROUND) {
        advance(state, { kind: 'timeout', timer: event.timer }, effects);
      }
      break;
    case 'built':
      if (event.round === state.driver.rules.round && state.driver.rules.step === 'propose') {
        advance(state, { kind: 'propose-value', value: event.value }, effects);
      }
      break;
    case 'resend':
      resend(state, effects);
      break;
    default:
      never(event);
  }
  reportEvidence(state, effects);
  return { state, effects };
}

function takeProposal(state: HeightState, proposal: Proposal, validity: Validity, effects: Effect[]): void {
  const { driver, seen } = state;
  if (proposal.height !== driver.rules.height || proposal.round > MAX_ROUND) return;
  if (proposal.proposer !== driver.proposerOf(proposal.height, proposal.round)) return;
  const known = seen.get(proposal.round) ?? [];
  const other = known.find((earlier) => earlier.value !== proposal.value);
  const isRepeat = known.some((p) => p.value === proposal.value && p.validRound === proposal.validRound);
  if (!isRepeat) {
    const isDecidable = hasQuorumFor(driver.keeper, 'precommit', proposal.round, proposal.value);
    if (known.length >= MAX_PROPOSALS_PER_ROUND && !isDecidable) return;
    seen.set(proposal.round, [...known, proposal]);
    if (other !== undefined && known.length < MAX_PROPOSALS_PER_ROUND) {
      effects.push({ kind: 'proposal-evidence', proposals: [other, proposal] });
    }
  }
  advance(state, { kind: 'proposal', proposal, validity }, effects);
}

function takeVote(state: HeightState, vote: Vote, effects: Effect[]): void {
  const { driver } = state;
  if (vote.height !== driver.rules.height || vote.round > MAX_ROUND) return;
  if (!driver.validators.weights.has(vote.voter)) return;
  noteOwnVote(state, vote);
  const votes = driver.keeper.rounds.get(vote.round);
  const count = vote.type === 'prevote' ? votes?.prevotes : votes?.precommits;
  if (count?.voters.has(vote.voter)) {
    if (count.received.has(voteKey(vote))) return;
    let distinct = 0;
    for (const known of count.received.values()) if (known.voter === vote.voter) distinct++;
    if (distinct >= MAX_VOTES_PER_SLOT) return;
  }
  advance(state, { kind: 'vote', vote }, effects);
}

function noteOwnVote(state: HeightState, vote: Vote): void {
  if (vote.voter !== state.driver.self) return;
  const last = vote.type === 'prevote' ? state.ownPrevote : state.ownPrecommit;
  if (last !== null && last.round >= vote.round) return;
  if (vote.type === 'prevote') state.ownPrevote = vote;
  else state.ownPrecommit = vote;
}

function takeCertificate(state: HeightState, votes: readonly Vote[], effects: Effect[]): void {
  const { driver } = state;
  const [first] = votes;
  if (first === undefined || first.value === null || first.height !== driver.rules.height) return;
  if (first.round > MAX_ROUND || !isCertificate(votes, driver.validators)) return;
  if (hasQuorumFor(driver.keeper, first.type, first.round, first.value)) return;
  advance(state, { kind: 'certificate', votes }, effects);
}

/** Drives one input, then whatever it has enabled, until nothing is left to do. */
function advance(state: HeightState, input: DriverInput, effects: Effect[]): void {
  const { driver } = state;
  let next: DriverInput | null = input;
  for (let rules = 0; next !== null && !state.isDecided; rules++) {
    check(rules < MAX_RULES_PER_EVENT, 'step: the rules come to rest');
    const result = drive(driver, next);
    perform(state, result.output, result.decision, effects);
    next = following(driver);
  }
}

function following(driver: DriverState): DriverInput | null {
  if (driver.stepChange !== null) return { kind: 'step-change' };
  const pending = driver.pending[driver.pending.length - 1];
  if (pending !== undefined) return { kind: 'pending', input: pending.input };
  const rule = enabledRule(driver);
  return rule === null ? null : { kind: 'rule', input: rule };
}

function perform(state: HeightState, output: RuleOutput, decision: Decision | null, effects: Effect[]): void {
  const { driver } = state;
  switch (output.kind) {
    case 'none':
    case 'refused':
      return;
    case 'get-value':
      startTimer(state, 'propose', output.round, effects);
      effects.push({ kind: 'build', round: output.round });
      return;
    case 'offer': {
      startTimer(state, 'propose', output.offer.round, effects);
      const { validRound, value } = output.offer;
      const polka = validRound < 0 ? [] : (certificateFor(driver.keeper, 'prevote', validRound, value) ?? []);
      effects.push({ kind: 'sign-offer', offer: output.offer, polka });
      return;
    }
    case 'ballot': {
      const { ballot } = output;
      if (driver.self !== null && driver.validators.weights.has(driver.self))
        effects.push({ kind: 'sign-ballot', ballot });
      if (ballot.type === 'precommit' && ballot.value !== null && ballot.round > 0)
        publishPolka(state, ballot.round, effects);
      return;
    }
    case 'timer':
      startTimer(state, output.timer, output.round, effects);
      return;
    case 'decided': {
      const found = decision?.votes ?? certificateFor(driver.keeper, 'precommit', output.round, output.value);
      check(found !== null && found.length > 0, 'step: a decision has its votes');
      state.isDecided = true;
      effects.push({ kind: 'decide', round: output.round, value: output.value, votes: found });
      return;
    }
    case 'skip-round':
      check(false, 'step: the driver starts a round it skips to');
      return;
    default:
      never(output);
  }
}

function startTimer(state: HeightState, timer: TimerKind, round: number, effects: Effect[]): void {
  const key = `${timer}|${round}`;
  if (state.timersStarted.has(key)) return;
  state.timersStarted.add(key);
  effects.push({ kind: 'start-timer', timer, round, ms: timeoutMs(state.timeouts, timer, round) });
}

function publishPolka(state: HeightState, round: number, effects: Effect[]): void {
  const { keeper, rules } = state.driver;
  if (rules.validValue === null) return;
  const votes = certificateFor(keeper, 'prevote', round, rules.validValue);
  if (votes !== null) effects.push({ kind: 'publish-polka', votes });
}

/**
 * The votes that brought this authority into its round. A faulty voter may have shown its vote to this one only, and the
 * others could then never follow: so they are passed on.
 */
function entryVotes({ keeper, rules }: DriverState): Vote[] {
  if (rules.round <= 0) return [];
  const before = keeper.rounds.get(rules.round - 1);
  if (before !== undefined && hasQuorumOfAny(keeper, 'precommit', rules.round - 1)) {
    return [...before.precommits.received.values()];
  }
  const now = keeper.rounds.get(rules.round);
  return now === undefined ? [] : [...now.prevotes.received.values(), ...now.precommits.received.values()];
}

/** Once a second: own last votes, those that led into the round, the polka of the valid value, at times the proposals. */
function resend(state: HeightState, effects: Effect[]): void {
  const { driver } = state;
  state.ticks++;
  for (const vote of [state.ownPrevote, state.ownPrecommit]) {
    if (vote !== null) effects.push({ kind: 'resend-vote', vote });
  }
  for (const vote of entryVotes(driver)) {
    if (vote !== state.ownPrevote && vote !== state.ownPrecommit) effects.push({ kind: 'resend-vote', vote });
  }
  const { validRound, round } = driver.rules;
  if (validRound >= 0) publishPolka(state, validRound, effects);
  for (const { proposal } of driver.proposals.values()) {
    const isOwn = proposal.proposer === driver.self && proposal.round === round;
    const isValid = proposal.round === validRound && proposal.value === driver.rules.validValue;
    const ticks = isOwn ? OWN_PROPOSAL_TICKS : VALID_PROPOSAL_TICKS;
    if ((!isOwn && !isValid) || state.ticks % ticks !== 0) continue;
    const { validRound: vouched, value } = proposal;
    const polka = vouched < 0 ? [] : (certificateFor(driver.keeper, 'prevote', vouched, value) ?? []);
    effects.push({ kind: 'resend-proposal', proposal, polka });
  }
}

function reportEvidence(state: HeightState, effects: Effect[]): void {
  const { evidence } = state.driver.keeper;
  for (; state.evidenceReported < evidence.length; state.evidenceReported++) {
    const [a, b] = evidence[state.evidenceReported] ?? [];
    if (a !== undefined && b !== undefined) effects.push({ kind: 'vote-evidence', votes: [a, b] });
  }
}

/** True for an event that says nothing new: it need be neither logged nor fed. */
export function isKnown(state: HeightState, event: Event): boolean {
  const { keeper } = state.driver;
  switch (event.kind) {
    case 'proposal': {
      const { round, value, validRound } = event.proposal;
      return state.seen.get(round)?.some((p) => p.value === value && p.validRound === validRound) ?? false;
    }
    case 'vote': {
      const votes = keeper.rounds.get(event.vote.round);
      const count = event.vote.type === 'prevote' ? votes?.prevotes : votes?.precommits;
      if (!count?.voters.has(event.vote.voter)) return false; // the common case, and it takes no key
      return count.received.has(voteKey(event.vote));
    }
    case 'certificate': {
      const [first] = event.votes;
      return first === undefined || hasQuorumFor(keeper, first.type, first.round, first.value);
    }
    default:
      return false;
  }
}

/** A quorum has precommitted a block whose proposal is not known here: the block has to be fetched. */
export function missingDecision(state: HeightState): Readonly<{ round: number; value: string }> | null {
  if (state.isDecided) return null;
  for (const votes of state.driver.keeper.rounds.values()) {
    for (const value of votes.precommits.weights.keys()) {
      if (value !== null && hasQuorumFor(state.driver.keeper, 'precommit', votes.round, value))
        return { round: votes.round, value };
    }
  }
  return null;
}
