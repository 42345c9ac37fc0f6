// Owns one simulated node: how it begins, and what is checked of it by itself, apart from the observer of all.

import type { FutureBuffer } from '../../consensus/future-buffer.ts';
import type { Event } from '../../consensus/input.ts';
import { MAX_FUTURE_ROUND } from '../../consensus/limits.ts';
import { type Ballot, proposalKey, voteKey } from '../../consensus/message.ts';
import { DEFAULT_TIME_WINDOW, isTimely } from '../../consensus/proposal-time.ts';
import { hasQuorumFor, isCertificate } from '../../consensus/vote-keeper.ts';
import type { Faults } from './faults.ts';
import { type Observer, Violation, broken, hold } from './invariants.ts';
import type { Membership } from './membership.ts';
import { type Store, memoryStore } from './store.ts';
import { type Decision, FUTURE_BYTES, HELD_BYTES, type Message, type Node } from './world-parts.ts';

function newNode(
  name: string,
  index: number,
  twin: number,
  store: Store,
  members: Membership,
  future: FutureBuffer<Message>,
): Node {
  return {
    index,
    name,
    twin,
    store,
    isHonest: twin === 0,
    core: null,
    members,
    isStarted: false,
    isUp: true,
    epoch: 0,
    startedMs: 0,
    chain: [],
    stamp: 0,
    future,
    held: 0,
    queue: [],
    built: 0,
    said: 0,
    effects: 0,
  };
}

/** What a message held back is known by. */
export function eventKey(event: Event): string {
  if (event.kind === 'vote') return voteKey(event.vote);
  return event.kind === 'proposal' ? proposalKey(event.proposal) : '';
}

/** True for a block of a peer with a quorum of its height behind it, every vote of which was signed. */
export function isCertified(node: Node, { value, votes }: Decision, observer: Observer): boolean {
  const [first] = votes;
  if (first === undefined || first.type !== 'precommit' || first.value !== value) return false;
  if (first.height !== node.chain.length + 1 || !isCertificate(votes, node.members.set)) return false;
  if (new Set(votes.map(({ voter }) => voter)).size !== votes.length) return false;
  return votes.every((vote) => observer.hasSigned(vote));
}

export function isPast(node: Node, height: number): boolean {
  return !node.isHonest || node.chain.length >= height;
}

/** Lines 22 and 28: a prevote for a value stands on a proposal that is fresh or vouched for by an earlier round. */
export function isFounded({ core, name }: Node, { round, value }: Ballot): void {
  if (core === null || value === null) return;
  for (const { proposal } of core.driver.proposals.values()) {
    if (proposal.round === round && proposal.value === value && proposal.validRound < round) return;
  }
  throw new Violation(`I6: ${name} prevotes ${value} in round ${round} on no sound proposal`);
}

/**
 * True when an honest node has been locked since `round` or earlier on a value that another of its height has not taken for
 * valid since. The rules adopt a value from a quorum of the round in progress or from a proposal that names one (lines 22, 28,
 * 36), so where that quorum was heard too late, the others learn of it when the one that is locked proposes.
 */
function hasHiddenLock(nodes: readonly Node[], round: number): boolean {
  const rules = nodes.flatMap(({ isHonest, core }) => (isHonest && core !== null ? [core.driver.rules] : []));
  return rules.some(
    ({ height, lockedRound }) =>
      lockedRound <= round && rules.some((other) => other.height === height && other.validRound < lockedRound),
  );
}

/**
 * I8: after healing all honest nodes decide, within 2(f+1) rounds unless clocks that were off have to agree first. Where a
 * lock of a round that began before healing is what they wait for, a rotation more is owed: by then its holder has proposed.
 */
export class Healing {
  readonly #nodes: readonly Node[];
  readonly #faults: Faults;
  readonly #round: number;
  #owed: number;
  #isLonger = false;

  /** `round`: the highest when links began to hold. */
  constructor(nodes: readonly Node[], faults: Faults, round: number) {
    this.#nodes = nodes;
    this.#faults = faults;
    this.#round = round;
    this.#owed = 2 * (Math.floor((faults.count - 1) / 3) + 1);
  }

  /** Hears of each round that a node reaches first. */
  note(round: number): void {
    if (this.#isLonger || round - this.#round <= this.#owed || !hasHiddenLock(this.#nodes, this.#round)) return;
    this.#isLonger = true;
    this.#owed += this.#faults.count;
  }

  isLive(height: number, maxRound: number): void {
    const late = this.#nodes.filter((node) => node.isHonest && node.chain.length < height);
    hold(late.length === 0, `I8: ${late.length} nodes below height ${height} after healing`);
    const rounds = maxRound - this.#round;
    const isOwed = this.#faults.skewMs > 0 || rounds <= this.#owed;
    hold(isOwed, `I8: ${rounds} more rounds after healing, ${this.#owed} are owed`);
  }
}

/** Line 49 of the algorithm: whoever holds a proposal and a quorum of precommits for it, of any round, has decided. */
export function atRest({ core, name }: Node): void {
  if (core === null || core.isDecided) return;
  for (const { proposal } of core.driver.proposals.values()) {
    const { round, value } = proposal;
    if (hasQuorumFor(core.driver.keeper, 'precommit', round, value)) {
      broken(`I8: ${name} holds a quorum for ${value} of round ${round} and does not decide`);
    }
  }
}

type Founding = Readonly<{ store: (name: string) => Store; founders: Membership; buffer: () => FutureBuffer<Message> }>;

/** One node a name; the first `twins` names have two, which keep what they know in memory. */
export function population(names: readonly string[], twins: number, { store, founders, buffer }: Founding): Node[] {
  return names.flatMap((name, index) =>
    index < twins
      ? [1, 2].map((twin) => newNode(name, index, twin, memoryStore(), founders, buffer()))
      : [newNode(name, index, 0, store(name), founders, buffer())],
  );
}

/** As the real door does: only single messages of known senders and near rounds, within a budget. */
export function holdBack(node: Node, message: Message): void {
  const { event, sender, height } = message;
  if (sender === null || message.polka !== null || message.round > MAX_FUTURE_ROUND) return;
  const key = `${height}|${eventKey(event)}`;
  if (node.future.add({ sender, height, bytes: HELD_BYTES, key, message })) node.held++;
  if (node.held * HELD_BYTES > FUTURE_BYTES) broken(`I13: ${node.name} holds back ${node.held} messages`);
}

/** A fresh proposal is judged by the clock of its receiver; `stamps` are the seconds values carry. */
export function judged(event: Event, stamps: ReadonlyMap<string, number>, clockMs: number): Event {
  if (event.kind !== 'proposal' || event.proposal.validRound !== -1) return event;
  const stamp = stamps.get(event.proposal.value);
  if (stamp === undefined) return { ...event, validity: 'invalid' };
  const isInTime = isTimely(stamp, clockMs, event.proposal.round, DEFAULT_TIME_WINDOW);
  return isInTime ? event : { ...event, validity: 'untimely' };
}
