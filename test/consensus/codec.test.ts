// Owns tests of the wire form: canonical, bounded, refusing by name; and of evidence and the hashes that are signed.

import test from 'ava';
import { concat, fromHex, toHex, u32be } from '../../base/bytes.ts';
import { prng } from '../../base/prng.ts';
import { certificateOf } from '../../consensus/certificate.ts';
import { type WireMessage, decodeMessage, encodeMessage } from '../../consensus/codec.ts';
import {
  decodeEvidence,
  encodeEvidence,
  evidenceId,
  isEvidenceExpired,
  proposalEvidence,
  verifyEvidence,
  voteEvidence,
} from '../../consensus/evidence.ts';
import { ballotDigest, isSignedProposal, isSignedVote, offerDigest } from '../../consensus/sign-bytes.ts';
import { validatorSetHash } from '../../consensus/validator-set.ts';
import { DOMAIN, authorities, hash, signedProposal, signedVote, votes } from './authorities.ts';

const four = authorities(4);
const block = new Uint8Array(300).fill(9);
const vote = signedVote(four, 1, { type: 'prevote', height: 7, round: 3, value: hash('a') });
const nil = signedVote(four, 2, { type: 'precommit', height: 7, round: 0, value: null });
const fresh = signedProposal(four, 0, { height: 7, round: 3, value: hash('a'), validRound: -1 });
const again = signedProposal(four, 0, { height: 7, round: 3, value: hash('a'), validRound: 1 });
const polka = certificateOf(votes(four, 3, 'prevote', 7, 1, hash('a')), four.set);
const messages: readonly WireMessage[] = [
  { kind: 'vote', vote },
  { kind: 'vote', vote: nil },
  { kind: 'proposal', proposal: fresh, polka: null, block },
  { kind: 'proposal', proposal: again, polka, block },
  { kind: 'polka', certificate: polka },
];

test('every message survives its bytes, and copies of it differ only in their number', (t) => {
  for (const message of messages) {
    const bytes = encodeMessage(message);
    const decoded = decodeMessage(bytes);
    t.true(decoded.ok);
    if (decoded.ok) t.deepEqual(decoded.value, message);
    const copy = encodeMessage(message, 513);
    t.deepEqual(copy.subarray(2), bytes.subarray(2));
    t.deepEqual([copy[0], copy[1]], [2, 1]);
  }
});

test('cut, extended, empty and random bytes are refused and never throw', (t) => {
  const random = prng('codec');
  for (const message of messages) {
    const bytes = encodeMessage(message);
    for (let length = 0; length < bytes.length; length += 1 + random.below(9)) {
      t.false(decodeMessage(bytes.subarray(0, length)).ok, `${message.kind} cut to ${length}`);
    }
    t.false(decodeMessage(concat(bytes, Uint8Array.of(0))).ok);
  }
  for (let i = 0; i < 2_000; i++) {
    const noise = random.bytes(random.below(200));
    const decoded = decodeMessage(noise);
    if (decoded.ok) t.deepEqual(encodeMessage(decoded.value).subarray(2), noise.subarray(2));
  }
  t.pass();
});

test('rounds above 1,000, heights beyond the limit and valid rounds not below the round are refused by name', (t) => {
  const bytes = encodeMessage({ kind: 'vote', vote });
  const farRound = bytes.slice();
  farRound.set(u32be(1_001), 12);
  const farHeight = bytes.slice();
  farHeight.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 4);
  const proposal = encodeMessage({ kind: 'proposal', proposal: { ...fresh, validRound: 3 }, polka: null, block });
  for (const [hostile, field] of [
    [farRound, 'round'],
    [farHeight, 'height'],
    [proposal, 'valid round'],
  ] as const) {
    const decoded = decodeMessage(hostile);
    t.true(!decoded.ok && decoded.message.includes(field));
  }
});

test('signatures bind chain, genesis, type, height, round, valid round and block', (t) => {
  t.true(isSignedVote(DOMAIN, vote));
  t.true(isSignedProposal(DOMAIN, again));
  const digests = [
    ballotDigest(DOMAIN, vote),
    ballotDigest({ ...DOMAIN, chainId: 1 }, vote),
    ballotDigest({ ...DOMAIN, genesisHash: fromHex(hash('x')) }, vote),
    ballotDigest(DOMAIN, { ...vote, type: 'precommit' }),
    ballotDigest(DOMAIN, { ...vote, height: 8 }),
    ballotDigest(DOMAIN, { ...vote, round: 4 }),
    ballotDigest(DOMAIN, { ...vote, value: null }),
    offerDigest(DOMAIN, fresh),
    offerDigest(DOMAIN, again),
  ].map(toHex);
  t.is(new Set(digests).size, digests.length);
  t.false(isSignedVote(DOMAIN, { ...vote, round: 4 }));
  t.false(isSignedProposal(DOMAIN, { ...again, validRound: 0 }));
  const high = vote.signature.slice();
  high[64] = 29;
  t.false(isSignedVote(DOMAIN, { ...vote, signature: high }));
});

test('evidence is two contradicting statements of one signer, known by what they say alone', (t) => {
  const other = signedVote(four, 1, { type: 'prevote', height: 7, round: 3, value: null });
  const evidence = voteEvidence(vote, other);
  t.deepEqual(voteEvidence(other, vote), evidence);
  t.true(verifyEvidence(DOMAIN, evidence).ok);
  const decoded = decodeEvidence(encodeEvidence(evidence));
  t.true(decoded.ok && evidenceId(decoded.value) === evidenceId(evidence));
  const second = signedProposal(four, 0, { height: 7, round: 3, value: hash('b'), validRound: -1 });
  t.true(verifyEvidence(DOMAIN, proposalEvidence(fresh, second)).ok);
  t.false(verifyEvidence(DOMAIN, voteEvidence(vote, vote)).ok, 'one statement twice');
  t.false(verifyEvidence(DOMAIN, voteEvidence(vote, { ...other, signature: vote.signature })).ok);
  t.false(verifyEvidence(DOMAIN, { ...evidence, signer: four.set.addresses[0] as string }).ok, 'another is framed');
  t.false(decodeEvidence(encodeEvidence(evidence).subarray(1)).ok);
});

test('evidence expires once its blocks have passed', (t) => {
  t.false(isEvidenceExpired(172_800));
  t.true(isEvidenceExpired(172_801));
});

test('the hash of an authority set does not depend on the order it is listed in', (t) => {
  const { addresses } = four.set;
  t.deepEqual(validatorSetHash([...addresses].reverse()), validatorSetHash(addresses));
  t.notDeepEqual(validatorSetHash(addresses.slice(1)), validatorSetHash(addresses));
});
