// Owns all that the core can ask for: outputs of the rules, and effects of a height, performed by the shell in order.

import type { TimerKind } from './input.ts';
import type { Ballot, Offer, Proposal, ValueId, Vote } from './message.ts';

/** Answer of one rule. `refused` says the rule does not apply in this state; nothing has changed then, unless noted. */
export type RuleOutput =
  | Readonly<{ kind: 'none' }>
  | Readonly<{ kind: 'get-value'; height: number; round: number }>
  | Readonly<{ kind: 'offer'; offer: Offer }>
  | Readonly<{ kind: 'ballot'; ballot: Ballot }>
  | Readonly<{ kind: 'timer'; timer: TimerKind; round: number }>
  | Readonly<{ kind: 'decided'; round: number; value: ValueId }>
  | Readonly<{ kind: 'skip-round'; round: number }>
  | Readonly<{ kind: 'refused'; reason: string }>;

export type Effect =
  /** Build a block for this round and answer with a `built` event. */
  | Readonly<{ kind: 'build'; round: number }>
  /** Persist, sign and broadcast, then feed the signed message back as an event. */
  | Readonly<{ kind: 'sign-ballot'; ballot: Ballot }>
  | Readonly<{ kind: 'sign-offer'; offer: Offer; polka: readonly Vote[] }>
  | Readonly<{ kind: 'start-timer'; timer: TimerKind; round: number; ms: number }>
  /** Make a polka known to all: without it a lock can stay hidden and halt the network (gossip property). */
  | Readonly<{ kind: 'publish-polka'; votes: readonly Vote[] }>
  /** Send own or vouched-for messages once more. */
  | Readonly<{ kind: 'resend-vote'; vote: Vote }>
  | Readonly<{ kind: 'resend-proposal'; proposal: Proposal; polka: readonly Vote[] }>
  | Readonly<{ kind: 'decide'; round: number; value: ValueId; votes: readonly Vote[] }>
  | Readonly<{ kind: 'vote-evidence'; votes: readonly [Vote, Vote] }>
  | Readonly<{ kind: 'proposal-evidence'; proposals: readonly [Proposal, Proposal] }>;
