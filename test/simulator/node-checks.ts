// Owns one simulated node: how it begins, and what is checked of it by itself, apart from the observer of all.

import type { FutureBuffer } from '../../consensus/future-buffer.ts';
import type { Event } from '../../consensus/input.ts';
import { type Ballot, proposalKey, voteKey } from '../../consensus/message.ts';
import { hasQuorumFor, isCertificate } from '../../consensus/vote-keeper.ts';
import { type Observer, Violation, hold } from './invariants.ts';
import type { Membership } from './membership.ts';
import type { Store } from './store.ts';
import type { Decision, Message, Node } from './world-parts.ts';

export function newNode(
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

/** Line 49 of the algorithm: whoever holds a proposal and a quorum of precommits for it, of any round, has decided. */
export function atRest({ core, name }: Node): void {
  if (core === null || core.isDecided) return;
  for (const { proposal } of core.driver.proposals.values()) {
    const { round, value } = proposal;
    hold(
      !hasQuorumFor(core.driver.keeper, 'precommit', round, value),
      `I8: ${name} holds a quorum for ${value} of round ${round} and does not decide`,
    );
  }
}
