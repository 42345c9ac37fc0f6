// Owns feeding a trace of the specification to the core, step by step, comparing every state and every output.

import { isDeepStrictEqual } from 'node:util';
import { check, present } from '../../base/check.ts';
import { type DriverState, drive, driverState } from '../../consensus/driver.ts';
import type { DriverInput } from '../../consensus/input.ts';
import type { Vote } from '../../consensus/message.ts';
import { initialRoundState } from '../../consensus/round-state.ts';
import { applyRule } from '../../consensus/rules.ts';
import { type ValidatorSet, weightedSet } from '../../consensus/validator-set.ts';
import { addCertificate, addVote, voteKeeper } from '../../consensus/vote-keeper.ts';
import {
  type Itf,
  type Trace,
  type TraceState,
  entries,
  field,
  int,
  item,
  list,
  proposal,
  ruleInput,
  str,
  sum,
  timer,
  vote,
} from './quint-trace.ts';
import {
  type ChainEntry,
  type View,
  chainEntry,
  driverView,
  keeperView,
  outputView,
  quintDriverView,
  quintKeeperView,
  quintOutputView,
  quintRulesView,
  quintTallyView,
  rulesView,
  tallyView,
} from './quint-view.ts';

export type Replay = Readonly<{ steps: number; states: number }>;

function same(trace: Trace, index: number, what: string, ours: View, theirs: View): void {
  if (isDeepStrictEqual(ours, theirs)) return;
  throw new Error(
    `${trace.name} state ${index}: ${what} differs\nours   ${JSON.stringify(ours)}\ntheirs ${JSON.stringify(theirs)}`,
  );
}

/** In the hand-written tests a state equal to the one before is an assertion step: nothing was fired. */
function isAssertion(trace: Trace, index: number): boolean {
  return trace.actions[index] === null && isDeepStrictEqual(trace.states[index - 1], trace.states[index]);
}

function replayRules(trace: Trace): Replay {
  const first = present(trace.states[0], 'first state');
  let state = initialRoundState(int(field(first.state, 'height')));
  same(trace, 0, 'initial state', rulesView(state), quintRulesView(first.state as Itf));
  let steps = 0;
  for (let i = 1; i < trace.states.length; i++) {
    const next = present(trace.states[i], 'state');
    const input = ruleInput(next.input);
    if (input === null || isAssertion(trace, i)) continue;
    const result = applyRule(state, input);
    state = result.state;
    steps++;
    same(trace, i, 'state', rulesView(state), quintRulesView(next.state as Itf));
    const self = str(field(next.state, 'p'));
    same(trace, i, 'output', outputView(result.output, self), quintOutputView(next.output as Itf));
  }
  return { steps, states: trace.states.length };
}

function validatorsOf(value: Itf): ValidatorSet {
  return weightedSet(entries(value).map(([name, weight]) => [str(name), int(weight)] as const));
}

function replayVotes(trace: Trace): Replay {
  const first = present(trace.states[0], 'first state').bookkeeper as Itf;
  const keeper = voteKeeper(int(field(first, 'height')), validatorsOf(field(first, 'validatorSet')));
  let steps = 0;
  for (let i = 1; i < trace.states.length; i++) {
    const next = present(trace.states[i], 'state');
    const { tag, value } = sum(next.weightedVote);
    if (tag === 'NoWeightedVote' || isAssertion(trace, i)) continue;
    const tally = addVote(keeper, vote(item(value, 0)), int(item(value, 2)));
    steps++;
    same(trace, i, 'keeper', keeperView(keeper), quintKeeperView(next.bookkeeper as Itf));
    same(trace, i, 'tally', tallyView(tally), quintTallyView(next.lastEmitted as Itf));
  }
  return { steps, states: trace.states.length };
}

type Replica = { driver: DriverState; chain: ChainEntry[] };
type Call = Readonly<{ validator: string; input: Itf; output: Itf }>;

function lastCall(state: TraceState): Call {
  const history = state._hist as Itf;
  if ((history as unknown as Record<string, unknown>)['#tup'] !== undefined) {
    return { validator: str(item(history, 0)), input: item(history, 1), output: item(history, 2) };
  }
  return {
    validator: str(field(history, 'validator')),
    input: field(history, 'input'),
    output: field(history, 'output'),
  };
}

function nodes(state: TraceState): Map<string, Itf> {
  return new Map(entries(state.system).map(([name, node]) => [str(name), node]));
}

/** The specification's rotation: the second in name order proposes in round 0, at every height. */
function specProposer(validators: ValidatorSet): (height: number, round: number) => string {
  return (_, round) => present(validators.addresses[(round + 1) % validators.addresses.length], 'proposer');
}

function freshDriver(name: string, es: Itf): DriverState {
  const validators = validatorsOf(field(es, 'valset'));
  const height = int(field(field(es, 'cs'), 'height'));
  return driverState({ height, self: name, validators, proposerOf: specProposer(validators) });
}

/**
 * The model's new-height step: waiting votes and certificates of the height are counted before the driver starts. The
 * model takes votes in an order of its own, which decides whose first vote counts where one voter sent several: every
 * order of those is tried until the keeper is the one the trace shows.
 */
function preload(name: string, node: Itf, input: Itf, after: Itf): DriverState {
  let driver = freshDriver(name, field(node, 'es'));
  const { height } = driver.rules;
  const votes = list(field(node, 'incomingVotes'))
    .map(vote)
    .filter((v) => v.height === height);
  const certificates = list(field(node, 'incomingCertificates'))
    .map((certificate) => list(certificate).map(vote))
    .filter((certificate) => certificate.every((v) => v.height === height));
  const expected = quintKeeperView(field(field(after, 'es'), 'bk'));
  for (const order of ordersOf(votes)) {
    driver = freshDriver(name, field(node, 'es'));
    for (const v of order)
      addVote(
        driver.keeper,
        v,
        votes.reduce((max, other) => Math.max(max, other.round), 0),
      );
    for (const certificate of certificates) addCertificate(driver.keeper, certificate);
    if (isDeepStrictEqual(keeperView(driver.keeper), expected)) break;
  }
  driver.started = true;
  const { tag, value } = sum(input);
  if (tag !== 'PendingDInput') return driver;
  const pending = present(ruleInput(value), 'pending input');
  if (pending.kind === 'proposal-and-commit') driver.pending.push({ input: pending, round: pending.round });
  else if (pending.kind === 'new-round' || pending.kind === 'new-round-proposer') {
    driver.pending.push({ input: { kind: 'new-round', round: pending.round }, round: -1 });
  }
  return driver;
}

/** The votes, with each choice of whose conflicting vote comes first. */
function* ordersOf(votes: readonly Vote[]): Generator<readonly Vote[]> {
  const slot = (v: Vote): string => `${v.type}|${v.round}|${v.voter}`;
  const groups = new Map<string, Vote[]>();
  for (const v of votes) groups.set(slot(v), [...(groups.get(slot(v)) ?? []), v]);
  const contested = [...groups.values()].filter((group) => group.length > 1);
  const choices = contested.reduce((product, group) => product * group.length, 1);
  for (let choice = 0; choice < choices; choice++) {
    let rest = choice;
    const first = contested.map((group) => {
      const at = rest % group.length;
      rest = Math.floor(rest / group.length);
      return present(group[at], 'vote');
    });
    yield [...first, ...votes.filter((v) => !first.includes(v))];
  }
}

function driverInput(input: Itf, isNew: boolean): DriverInput | null {
  const { tag, value } = sum(input);
  switch (tag) {
    case 'NoDInput':
      return null;
    case 'StartDInput':
      return { kind: 'start' };
    case 'ProposalDInput': {
      const offered = proposal(value);
      return { kind: 'proposal', proposal: offered, validity: offered.value === 'invalid' ? 'invalid' : 'valid' };
    }
    case 'ProposeValueDInput':
      return { kind: 'propose-value', value: str(value) };
    case 'VoteDInput':
      return { kind: 'vote', vote: vote(value) };
    case 'CertificateDInput':
      return { kind: 'certificate', votes: list(value).map(vote) };
    case 'TimeoutDInput':
      return { kind: 'timeout', timer: timer(value) };
    case 'StepChangeDInput':
      return { kind: 'step-change' };
    case 'PendingDInput': {
      const pending = present(ruleInput(value), 'pending input');
      if (isNew && pending.kind === 'new-round-proposer') {
        return { kind: 'pending', input: { kind: 'new-round', round: pending.round } };
      }
      return { kind: 'pending', input: pending };
    }
    default:
      throw new Error(`unknown driver input ${tag}`);
  }
}

function replayDriver(trace: Trace): Replay {
  const first = present(trace.states[0], 'first state');
  const replicas = new Map<string, Replica>();
  for (const [name, node] of nodes(first)) {
    replicas.set(name, { driver: freshDriver(name, field(node, 'es')), chain: [] });
  }
  let steps = 0;
  for (let i = 1; i < trace.states.length; i++) {
    const previous = present(trace.states[i - 1], 'state');
    const next = present(trace.states[i], 'state');
    const before = nodes(previous);
    const after = nodes(next);
    if (!isDriverCall(trace.actions[i] ?? null, previous, next)) {
      startNewHeights(replicas, before, after);
      continue;
    }
    const call = lastCall(next);
    const replica = present(replicas.get(call.validator), 'replica');
    const isNew = !replica.driver.started;
    if (isNew) {
      const node = present(before.get(call.validator), 'node');
      replica.driver = preload(call.validator, node, call.input, present(after.get(call.validator), 'node'));
    }
    const input = driverInput(call.input, isNew);
    const result =
      input === null ? { output: { kind: 'none' as const }, decision: null } : drive(replica.driver, input);
    if (input === null) replica.driver.stepChange = null;
    const { decision } = result;
    if (decision !== null && decision.proposal !== null) {
      replica.chain = [...replica.chain, chainEntry({ proposal: decision.proposal, votes: decision.votes })];
    }
    steps++;
    same(
      trace,
      i,
      `output on ${JSON.stringify(call.input)}`,
      outputView(result.output, call.validator),
      quintOutputView(call.output),
    );
    const es = field(after.get(call.validator), 'es');
    same(
      trace,
      i,
      `state after ${JSON.stringify(call.input)}`,
      driverView(replica.driver, replica.chain),
      quintDriverView(es),
    );
  }
  return { steps, states: trace.states.length };
}

function isDriverCall(action: string | null, previous: TraceState, next: TraceState): boolean {
  if (action === 'valStep') return true;
  // With no timeout pending this action does nothing; one that fires leaves the node's set of timeouts.
  if (action === 'valTimeout') return !isDeepStrictEqual(previous.system, next.system);
  return action === null && !isDeepStrictEqual(previous._hist, next._hist);
}

function startNewHeights(replicas: Map<string, Replica>, before: Map<string, Itf>, after: Map<string, Itf>): void {
  for (const [name, node] of after) {
    const es = field(node, 'es');
    if (isDeepStrictEqual(es, field(before.get(name), 'es'))) continue;
    const replica = present(replicas.get(name), 'replica');
    check(!(field(es, 'started') as unknown as boolean), 'a new height has not started');
    replica.driver = freshDriver(name, es);
  }
}

/** Replays a trace at the layer it was made for; throws at the first difference. */
export function replay(trace: Trace): Replay {
  if (trace.kind === 'consensus') return replayRules(trace);
  if (trace.kind === 'votekeeper') return replayVotes(trace);
  check(trace.kind === 'driver', `trace kind ${trace.kind}`);
  return replayDriver(trace);
}
