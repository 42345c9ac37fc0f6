// Owns keys, sets and signed messages that consensus tests share.

import { keccak256 } from '../../base/hash.ts';
import { toHex, utf8 } from '../../base/bytes.ts';
import { addressOfSecret, signDigest } from '../../base/keys.ts';
import type { Ballot, Offer, Proposal, Vote, VoteType } from '../../consensus/message.ts';
import { type SigningDomain, ballotDigest, offerDigest } from '../../consensus/sign-bytes.ts';
import { type ValidatorSet, validatorSet } from '../../consensus/validator-set.ts';

export const DOMAIN: SigningDomain = { chainId: 504_101, genesisHash: keccak256(utf8('test genesis')) };

export type Authorities = Readonly<{ set: ValidatorSet; keys: ReadonlyMap<string, Uint8Array> }>;

export function authorities(count: number): Authorities {
  const keys = new Map<string, Uint8Array>();
  for (let index = 0; index < count; index++) {
    const key = keccak256(utf8(`test authority ${index}`));
    keys.set(addressOfSecret(key), key);
  }
  return { set: validatorSet([...keys.keys()]), keys };
}

export function hash(name: string): `0x${string}` {
  return toHex(keccak256(utf8(name)));
}

export function signedVote(who: Authorities, index: number, ballot: Ballot): Vote {
  const voter = who.set.addresses[index] as string;
  return { ...ballot, voter, signature: signDigest(ballotDigest(DOMAIN, ballot), who.keys.get(voter) as Uint8Array) };
}

export function signedProposal(who: Authorities, index: number, offer: Offer): Proposal {
  const proposer = who.set.addresses[index] as string;
  return {
    ...offer,
    proposer,
    signature: signDigest(offerDigest(DOMAIN, offer), who.keys.get(proposer) as Uint8Array),
  };
}

export function votes(
  who: Authorities,
  count: number,
  type: VoteType,
  height: number,
  round: number,
  value: string,
): Vote[] {
  return Array.from({ length: count }, (_, index) => signedVote(who, index, { type, height, round, value }));
}
