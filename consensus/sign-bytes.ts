// Owns what is signed: keccak256 of one record of fixed length, so no two messages share bytes and a contract can rebuild it.

import { fromHex, toHex, u32be, u64be, utf8 } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { keccak256 } from '../base/hash.ts';
import { recoverSigner } from '../base/keys.ts';
import type { Ballot, Offer, Proposal, ValueId, Vote } from './message.ts';

/** The network a signature is for. `genesisHash` is 32 bytes. */
export type SigningDomain = Readonly<{ chainId: number | bigint; genesisHash: Uint8Array }>;

const TAG = keccak256(utf8('pol-node/consensus/v1'));
const TYPES = { proposal: 1, prevote: 2, precommit: 3 } as const;

/** tag 32 ‖ chain id 8 ‖ genesis hash 32 ‖ type 1 ‖ height 8 ‖ round 4 ‖ valid round + 1 4 ‖ block hash 32 (zero for nil). */
const RECORD_BYTES = 121;
const DOMAIN_AT = 32;

function digest(
  domain: SigningDomain,
  type: number,
  height: number,
  round: number,
  validRound: number,
  value: ValueId | null,
): Uint8Array {
  check(domain.genesisHash.length === 32, 'sign bytes: the genesis hash is 32 bytes');
  const record = new Uint8Array(RECORD_BYTES);
  record.set(TAG, 0);
  record.set(u64be(domain.chainId), DOMAIN_AT);
  record.set(domain.genesisHash, DOMAIN_AT + 8);
  record[72] = type;
  record.set(u64be(height), 73);
  record.set(u32be(round), 81);
  record.set(u32be(validRound + 1), 85);
  if (value !== null) {
    const hash = fromHex(value);
    check(hash.length === 32, 'sign bytes: a block hash is 32 bytes');
    record.set(hash, 89);
  }
  return keccak256(record);
}

/** Digest of 32 bytes an authority signs for a vote. */
export function ballotDigest(domain: SigningDomain, ballot: Ballot): Uint8Array {
  return digest(domain, TYPES[ballot.type], ballot.height, ballot.round, -1, ballot.value);
}

/** Digest of 32 bytes a proposer signs. */
export function offerDigest(domain: SigningDomain, offer: Offer): Uint8Array {
  return digest(domain, TYPES.proposal, offer.height, offer.round, offer.validRound, offer.value);
}

/** True when the vote's signature is its voter's. */
export function isSignedVote(domain: SigningDomain, vote: Vote): boolean {
  return recoverSigner(ballotDigest(domain, vote), vote.signature) === vote.voter;
}

/** True when the proposal's signature is its proposer's. */
export function isSignedProposal(domain: SigningDomain, proposal: Proposal): boolean {
  return recoverSigner(offerDigest(domain, proposal), proposal.signature) === proposal.proposer;
}

/** Bytes that bind a sign-state file to one network and key. */
export function domainId(domain: SigningDomain, address: string): Uint8Array {
  return keccak256(fromHex(`${toHex(u64be(domain.chainId))}${toHex(domain.genesisHash).slice(2)}${address.slice(2)}`));
}
