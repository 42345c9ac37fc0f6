// Owns certificates: a quorum of signatures for one block in one round, as canonical bytes that verify on their own.
// A block's certificate lives beside it, never inside its own hash. The same form carries polkas (quorums of prevotes).

import { type Hex, concat, fromHex, toHex, u32be, u64be } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { recoverSigner } from '../base/keys.ts';
import { byteReader } from './byte-reader.ts';
import { MAX_AUTHORITIES, MAX_CERTIFICATE_BYTES, MAX_HEIGHT, MAX_ROUND, SIGNATURE_BYTES } from './limits.ts';
import type { Vote, VoteType } from './message.ts';
import { isQuorum } from './quorum.ts';
import { type SigningDomain, ballotDigest } from './sign-bytes.ts';
import { type ValidatorSet, indexOf } from './validator-set.ts';

/** `signers` are ascending indices into the sorted authorities, `signatures` 65 bytes each in the same order. */
export type Certificate = Readonly<{
  height: number;
  round: number;
  blockHash: Hex;
  /** Number of authorities of the height: the length of the bitmap in bits. */
  count: number;
  signers: readonly number[];
  signatures: readonly Uint8Array[];
}>;

/** height 8 ‖ round 4 ‖ block hash 32 ‖ count 2 ‖ bitmap (bit i of byte i/8 is authority i) ‖ 65 bytes a signer. */
export function encodeCertificate(certificate: Certificate): Uint8Array {
  const { height, round, blockHash, count, signers, signatures } = certificate;
  check(signers.length === signatures.length, 'certificate: one signature a signer');
  const bitmap = new Uint8Array(Math.ceil(count / 8));
  for (const index of signers) {
    check(index >= 0 && index < count, 'certificate: signer in bounds');
    bitmap[index >> 3] = (bitmap[index >> 3] as number) | (1 << (index & 7));
  }
  const head = concat(u64be(height), u32be(round), fromHex(blockHash), Uint8Array.of(count >> 8, count & 0xff));
  return concat(head, bitmap, ...signatures);
}

const malformed = (what: string): ReturnType<typeof fault> => fault('certificate/malformed', `certificate: ${what}`);

/** Certificate of bytes from outside. Refuses anything but the one canonical form, before any signature is looked at. */
export function decodeCertificate(bytes: Uint8Array): Result<Certificate> {
  if (bytes.length > MAX_CERTIFICATE_BYTES) return malformed(`longer than ${MAX_CERTIFICATE_BYTES} bytes`);
  const reader = byteReader(bytes);
  const height = reader.u64(MAX_HEIGHT);
  const round = reader.u32();
  const hash = reader.bytes(32);
  const count = reader.u16();
  if (height === null || round === null || hash === null || count === null)
    return malformed('head cut short or height too large');
  if (round > MAX_ROUND) return malformed(`round above ${MAX_ROUND}`);
  if (count < 1 || count > MAX_AUTHORITIES) return malformed(`count must be 1 to ${MAX_AUTHORITIES}`);
  if (hash.every((byte) => byte === 0)) return malformed('block hash is nil');
  const bitmap = reader.bytes(Math.ceil(count / 8));
  if (bitmap === null) return malformed('bitmap cut short');
  const signers: number[] = [];
  for (let index = 0; index < bitmap.length * 8; index++) {
    if (((bitmap[index >> 3] as number) & (1 << (index & 7))) === 0) continue;
    if (index >= count) return malformed('bitmap names an authority out of bounds');
    signers.push(index);
  }
  if (reader.remaining() !== signers.length * SIGNATURE_BYTES) return malformed('signatures do not match the bitmap');
  const signatures = signers.map(() => present(reader.bytes(SIGNATURE_BYTES), 'signature'));
  return success({ height, round, blockHash: toHex(hash), count, signers, signatures });
}

/** What a certificate must be for. */
export type Expected = Readonly<{
  domain: SigningDomain;
  validators: ValidatorSet;
  type: VoteType;
  height: number;
  blockHash?: Hex;
}>;

/** Who signed each signature, in order, as `type` votes for the certificate's block; null where one belongs to no key. */
export function recoverSigners(certificate: Certificate, type: VoteType, domain: SigningDomain): (Hex | null)[] {
  const { height, round, blockHash } = certificate;
  const digest = ballotDigest(domain, { type, height, round, value: blockHash });
  return certificate.signatures.map((signature) => recoverSigner(digest, signature));
}

/**
 * Checks a certificate on its own: the height, a quorum, and every single signature. `recovered` is what `recoverSigners`
 * has given for this very certificate, where that is known.
 */
export function verifyCertificate(
  certificate: Certificate,
  expected: Expected,
  recovered?: readonly (Hex | null)[],
): Result<null> {
  const { domain, validators, type } = expected;
  if (certificate.height !== expected.height)
    return malformed(`for height ${certificate.height}, not ${expected.height}`);
  if (expected.blockHash !== undefined && certificate.blockHash !== expected.blockHash)
    return malformed('for another block');
  if (certificate.count !== validators.addresses.length) return malformed('made for another number of authorities');
  let weight = 0;
  for (const index of certificate.signers) weight += signerWeight(validators, index);
  if (!isQuorum(weight, validators.total)) {
    return fault('certificate/no-quorum', 'certificate: signers are not more than two thirds', {
      weight,
      total: validators.total,
    });
  }
  const signers = recovered ?? recoverSigners(certificate, type, domain);
  for (const [i, index] of certificate.signers.entries()) {
    if (signers[i] !== validators.addresses[index]) {
      return fault('certificate/signature', `certificate: signature of authority ${index} does not verify`, { index });
    }
  }
  return success(null);
}

function signerWeight(validators: ValidatorSet, index: number): number {
  return validators.weights.get(present(validators.addresses[index], 'signer')) ?? 0;
}

/** Certificate of votes that the core has found to be a quorum for one value. */
export function certificateOf(votes: readonly Vote[], validators: ValidatorSet): Certificate {
  const first = present(votes[0], 'vote');
  check(first.value !== null, 'certificate: of a block, not of nil');
  const byIndex = new Map<number, Vote>();
  for (const vote of votes) {
    check(
      vote.value === first.value && vote.round === first.round && vote.type === first.type,
      'certificate: equal votes',
    );
    const index = indexOf(validators, vote.voter);
    check(index >= 0, 'certificate: voters are authorities');
    byIndex.set(index, vote);
  }
  const signers = [...byIndex.keys()].sort((a, b) => a - b);
  return {
    height: first.height,
    round: first.round,
    blockHash: first.value as Hex,
    count: validators.addresses.length,
    signers,
    signatures: signers.map((index) => present(byIndex.get(index), 'vote').signature),
  };
}

/** The votes inside a certificate. */
export function votesOf(certificate: Certificate, type: VoteType, validators: ValidatorSet): Vote[] {
  const { height, round, blockHash } = certificate;
  return certificate.signers.map((index, i) => ({
    type,
    height,
    round,
    value: blockHash,
    voter: present(validators.addresses[index], 'signer'),
    signature: present(certificate.signatures[i], 'signature'),
  }));
}
