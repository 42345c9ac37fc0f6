// Owns what authorities say to one another, as the core sees it: signatures are carried along, never looked at.

/** Block hash as 0x-prefixed lower-case hex of 32 bytes. */
export type ValueId = string;

export type VoteType = 'prevote' | 'precommit';

/** <PREVOTE|PRECOMMIT, h, r, id(v)> of arXiv 1807.04938; `value` null is nil. */
export type Ballot = Readonly<{ type: VoteType; height: number; round: number; value: ValueId | null }>;

export type Vote = Ballot & Readonly<{ voter: string; signature: Uint8Array }>;

/** What is proposed: `validRound` is -1 for a fresh value, else the round of the polka that vouches for it. */
export type Offer = Readonly<{ height: number; round: number; value: ValueId; validRound: number }>;

export type Proposal = Offer & Readonly<{ proposer: string; signature: Uint8Array }>;

/** Identity of what a vote says, without its signature: two votes with one identity are the same vote. */
export function voteKey(vote: Vote): string {
  return `${vote.type}|${vote.round}|${vote.voter}|${vote.value}`;
}

export function proposalKey(proposal: Proposal): string {
  return `${proposal.round}|${proposal.proposer}|${proposal.value}|${proposal.validRound}`;
}
