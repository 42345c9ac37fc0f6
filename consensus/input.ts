// Owns all that can happen to the core: inputs of the rules, of the driver, and events of a whole height.

import type { Proposal, ValueId, Vote } from './message.ts';

export type TimerKind = 'propose' | 'prevote' | 'precommit';

/** Conditions of the algorithm's upon-rules that the driver has found to hold. */
export type RuleInput =
  | Readonly<{ kind: 'new-round'; round: number }>
  | Readonly<{ kind: 'new-round-proposer'; round: number }>
  | Readonly<{ kind: 'propose-value'; value: ValueId }>
  | Readonly<{ kind: 'proposal'; round: number; value: ValueId }>
  | Readonly<{ kind: 'proposal-invalid' }>
  | Readonly<{ kind: 'proposal-and-old-polka'; value: ValueId; validRound: number }>
  | Readonly<{ kind: 'invalid-proposal-and-polka'; value: ValueId }>
  | Readonly<{ kind: 'polka-nil' }>
  | Readonly<{ kind: 'polka-any' }>
  | Readonly<{ kind: 'proposal-and-polka'; value: ValueId }>
  | Readonly<{ kind: 'precommit-any' }>
  | Readonly<{ kind: 'proposal-and-commit'; round: number; value: ValueId }>
  | Readonly<{ kind: 'round-skip'; round: number }>
  | Readonly<{ kind: 'timeout-propose'; height: number; round: number }>
  | Readonly<{ kind: 'timeout-prevote'; height: number; round: number }>
  | Readonly<{ kind: 'timeout-precommit'; height: number; round: number }>;

/** What the application found: `untimely` blocks are sound but outside the proposer's time window. */
export type Validity = 'valid' | 'untimely' | 'invalid';

/** Inputs of the driver, in the order and form of the published specification. */
export type DriverInput =
  | Readonly<{ kind: 'start' }>
  | Readonly<{ kind: 'proposal'; proposal: Proposal; validity: Validity }>
  | Readonly<{ kind: 'propose-value'; value: ValueId }>
  | Readonly<{ kind: 'vote'; vote: Vote }>
  | Readonly<{ kind: 'certificate'; votes: readonly Vote[] }>
  | Readonly<{ kind: 'timeout'; timer: TimerKind }>
  | Readonly<{ kind: 'pending'; input: RuleInput }>
  | Readonly<{ kind: 'rule'; input: RuleInput }>
  | Readonly<{ kind: 'step-change' }>;

/** Everything that can happen to a height; messages are authentic and in bounds before they come here. */
export type Event =
  | Readonly<{ kind: 'start' }>
  | Readonly<{ kind: 'proposal'; proposal: Proposal; validity: Validity }>
  | Readonly<{ kind: 'vote'; vote: Vote }>
  | Readonly<{ kind: 'certificate'; votes: readonly Vote[] }>
  | Readonly<{ kind: 'timeout'; timer: TimerKind; round: number }>
  | Readonly<{ kind: 'built'; round: number; value: ValueId }>
  | Readonly<{ kind: 'resend' }>;
