// Owns what a faulty authority says besides what its core says: other values, other valid rounds, votes nobody needs, blocks
// nobody decided. All from the seed and the place, so that a world without one lie has all the others.

import type { Event } from '../../consensus/input.ts';
import type { Vote } from '../../consensus/message.ts';
import type { Observer } from './invariants.ts';
import { type Decision, type Message, NO_SIGNATURE } from './world-parts.ts';

/** The message as one receiver gets it: another value, another valid round, up to one that is not yet. */
export function lie(
  message: Message,
  name: string,
  chance: number,
  values: readonly string[],
  observer: Observer,
): Message {
  const value = values[(chance >>> 8) % values.length] as string;
  const { event } = message;
  if (event.kind === 'vote' && event.vote.voter === name) {
    const vote: Vote = { ...event.vote, value: (chance >>> 16) % 4 === 0 ? null : value };
    observer.signedBallot(vote, vote.voter, false);
    return { ...message, event: { kind: 'vote', vote } };
  }
  if (event.kind !== 'proposal' || event.proposal.proposer !== name) return message;
  const shape = (chance >>> 4) % 4;
  const proposal = {
    ...event.proposal,
    value: shape < 2 ? event.proposal.value : value,
    // The round itself is never a valid round: the real door refuses it, and the core has to as well.
    validRound: shape % 2 === 0 ? message.round : ((chance >>> 16) % (message.round + 1)) - 1,
  };
  observer.signedOffer(proposal, proposal.proposer, false);
  return { ...message, event: { ...event, proposal } };
}

const FLOOD_VOTES = 600;

/** Votes for the next height, all different and all signed. */
export function* flood(sender: string, height: number, observer: Observer): Generator<Message> {
  for (let i = 0; i < FLOOD_VOTES; i++) {
    const round = i % 8;
    const vote: Vote = {
      type: i % 2 === 0 ? 'prevote' : 'precommit',
      height: height + 1,
      round,
      value: `flood/${i >> 2}`,
      voter: sender,
      signature: NO_SIGNATURE,
    };
    observer.signedBallot(vote, sender, false);
    const event: Event = { kind: 'vote', vote };
    yield { height: height + 1, round, phase: 1, sender, event, polka: null, id: i };
  }
}

/** A block that was not decided, with a certificate made of what there is. */
export function falseDecision(decision: Decision, chance: number): Decision {
  const value = `${decision.value}/false`;
  if (chance % 3 === 0) return { ...decision, votes: decision.votes.slice(1) };
  if (chance % 3 === 1) {
    const [first] = decision.votes;
    return first === undefined ? decision : { ...decision, votes: decision.votes.map(() => first) };
  }
  return { value, block: value, votes: decision.votes.map((vote) => ({ ...vote, value })) };
}
