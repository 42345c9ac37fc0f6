// Owns proof of equivocation: two messages of one authority for one height, round and type that name different blocks.
// What it costs is the chain's to say.

import { type Hex, compare, concat, fromHex, toHex, u32be, u64be } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { keccak256 } from '../base/hash.ts';
import { byteReader } from './byte-reader.ts';
import { MAX_HEIGHT, MAX_ROUND, SIGNATURE_BYTES } from './limits.ts';
import type { Proposal, ValueId, Vote } from './message.ts';
import { type SigningDomain, isSignedProposal, isSignedVote } from './sign-bytes.ts';

/** One of the two statements. `validRound` is -1 in votes; `value` null is nil. */
type Statement = Readonly<{ value: ValueId | null; validRound: number; signature: Uint8Array }>;
export type Evidence = Readonly<{
  type: 'proposal' | 'prevote' | 'precommit';
  height: number;
  round: number;
  signer: string;
  /** In canonical order: by block hash. */
  statements: readonly [Statement, Statement];
}>;

const TYPES = ['proposal', 'prevote', 'precommit'] as const;
const NIL = new Uint8Array(32);
const hashBytes = (value: ValueId | null): Uint8Array => (value === null ? NIL : fromHex(value));

function ordered(a: Statement, b: Statement): readonly [Statement, Statement] {
  return compare(hashBytes(a.value), hashBytes(b.value)) <= 0 ? [a, b] : [b, a];
}

export function voteEvidence(a: Vote, b: Vote): Evidence {
  const { type, height, round, voter } = a;
  const statement = (v: Vote): Statement => ({ value: v.value, validRound: -1, signature: v.signature });
  return { type, height, round, signer: voter, statements: ordered(statement(a), statement(b)) };
}

export function proposalEvidence(a: Proposal, b: Proposal): Evidence {
  const { height, round, proposer } = a;
  const statement = ({ value, validRound, signature }: Proposal): Statement => ({ value, validRound, signature });
  return { type: 'proposal', height, round, signer: proposer, statements: ordered(statement(a), statement(b)) };
}

/** type 1 ‖ height 8 ‖ round 4 ‖ signer 20 ‖ twice: hash 32 ‖ valid round + 1 4 ‖ signature 65. */
export function encodeEvidence(evidence: Evidence): Uint8Array {
  const { type, height, round, signer, statements } = evidence;
  const head = concat(Uint8Array.of(TYPES.indexOf(type)), u64be(height), u32be(round), fromHex(signer));
  const bodies = statements.map((s) => concat(hashBytes(s.value), u32be(s.validRound + 1), s.signature));
  return concat(head, ...bodies);
}

/** Identity: only what was stated and by whom, in canonical order. Signatures of equal statements may differ. */
export function evidenceId(evidence: Evidence): Hex {
  const { type, height, round, signer, statements } = evidence;
  const stated = statements.map((s) => concat(hashBytes(s.value), u32be(s.validRound + 1)));
  return toHex(
    keccak256(concat(Uint8Array.of(TYPES.indexOf(type)), u64be(height), u32be(round), fromHex(signer), ...stated)),
  );
}

const refuse = (what: string): ReturnType<typeof fault> => fault('evidence/refused', `evidence: ${what}`);

/** Evidence of bytes from outside, in canonical form. */
export function decodeEvidence(bytes: Uint8Array): Result<Evidence> {
  const reader = byteReader(bytes);
  const type = TYPES[reader.u8() ?? -1];
  const height = reader.u64(MAX_HEIGHT);
  const round = reader.u32();
  const signer = reader.bytes(20);
  const statements: Statement[] = [];
  for (let i = 0; i < 2; i++) {
    const hash = reader.bytes(32);
    const validRound = reader.u32();
    const signature = reader.bytes(SIGNATURE_BYTES);
    if (hash === null || validRound === null || signature === null) return refuse('cut short');
    const value = hash.every((byte) => byte === 0) ? null : toHex(hash);
    statements.push({ value, validRound: validRound - 1, signature });
  }
  const [a, b] = statements;
  if (
    type === undefined ||
    height === null ||
    round === null ||
    signer === null ||
    a === undefined ||
    b === undefined
  ) {
    return refuse('malformed');
  }
  if (reader.remaining() !== 0) return refuse('bytes after the end');
  if (round > MAX_ROUND) return refuse(`round above ${MAX_ROUND}`);
  return success({ type, height, round, signer: toHex(signer), statements: [a, b] });
}

/** True when both statements are the signer's and contradict one another. */
export function verifyEvidence(domain: SigningDomain, evidence: Evidence): Result<null> {
  const { type, height, round, signer, statements } = evidence;
  const [a, b] = statements;
  if (compare(hashBytes(a.value), hashBytes(b.value)) >= 0)
    return refuse('the two block hashes must differ, lower first');
  for (const { value, validRound, signature } of statements) {
    if (type === 'proposal') {
      if (value === null || validRound < -1 || validRound >= round) return refuse('not a proposal');
      const proposal: Proposal = { height, round, value, validRound, proposer: signer, signature };
      if (!isSignedProposal(domain, proposal)) return refuse('a signature does not verify');
    } else {
      if (validRound !== -1) return refuse('a vote has no valid round');
      const vote: Vote = { type, height, round, value, voter: signer, signature };
      if (!isSignedVote(domain, vote)) return refuse('a signature does not verify');
    }
  }
  return success(null);
}

/** Blocks after which evidence no longer counts: timestamps are whole seconds and strictly increase, so 48 hours at least. */
const EVIDENCE_MAX_BLOCKS = 172_800;

export function isEvidenceExpired(ageBlocks: number): boolean {
  return ageBlocks > EVIDENCE_MAX_BLOCKS;
}
