// Owns the record a trainer commits to at the end of a round, in bytes and as checked fields. How it becomes a transaction is
// the chain's matter; what makes it true is audit.ts.

import { concat, u32be, u64be } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { taggedHash } from '../base/hash.ts';
import { LEAF_BYTES } from './leaf.ts';
import { MAX_CAPACITY, MAX_STEPS } from './limits.ts';

export type CommitRecord = Readonly<{
  round: number;
  capacity: number;
  baseRoot: Uint8Array;
  traceRoot: Uint8Array;
  gradChainHead: Uint8Array;
  /** Root of params ‖ m ‖ v after the last step. */
  finalStateRoot: Uint8Array;
  /** SHA-256 and size of the encoded update. */
  updateHash: Uint8Array;
  updateSize: number;
  /** State root of the residual the update leaves; zero where the codec leaves none. */
  residualRoot: Uint8Array;
  kernelSpec: Uint8Array;
  /** Hash of the training program at capacity 1. */
  programHash: Uint8Array;
  /** Encoded leaves, {@link LEAF_BYTES} a step. */
  leaves: Uint8Array;
}>;

const HASH_FIELDS = [
  'baseRoot',
  'traceRoot',
  'gradChainHead',
  'finalStateRoot',
  'updateHash',
  'residualRoot',
  'kernelSpec',
  'programHash',
] as const;

const FIXED_BYTES = 8 + 4 + 8 + 32 * HASH_FIELDS.length + 4;

/** round u64, capacity u32, update size u64, eight hashes, number of leaves u32, leaves. */
export function encodeCommit(commit: CommitRecord): Uint8Array {
  return concat(
    u64be(commit.round),
    u32be(commit.capacity),
    u64be(commit.updateSize),
    ...HASH_FIELDS.map((field) => commit[field]),
    u32be(commit.leaves.length / LEAF_BYTES),
    commit.leaves,
  );
}

/** Reads {@link encodeCommit}. Fault 'commit' names the field; counts are checked before bytes are copied. */
export function decodeCommit(bytes: Uint8Array): Result<CommitRecord> {
  const refuse = (why: string) => fault('commit', `commit: ${why}`, { length: bytes.length });
  if (bytes.length < FIXED_BYTES) return refuse(`shorter than ${FIXED_BYTES} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const round = Number(view.getBigUint64(0));
  const capacity = view.getUint32(8);
  const updateSize = Number(view.getBigUint64(12));
  const steps = view.getUint32(FIXED_BYTES - 4);
  if (!Number.isSafeInteger(round)) return refuse('round: above 2^53');
  if (capacity < 1 || capacity > MAX_CAPACITY) return refuse(`capacity: not from 1 to ${MAX_CAPACITY}`);
  if (!Number.isSafeInteger(updateSize)) return refuse('updateSize: above 2^53');
  if (steps < 1 || steps > MAX_STEPS) return refuse(`leaves: not from 1 to ${MAX_STEPS}`);
  if (bytes.length !== FIXED_BYTES + steps * LEAF_BYTES) return refuse(`leaves: not ${steps} of ${LEAF_BYTES} bytes`);
  const hashes = Object.fromEntries(
    HASH_FIELDS.map((field, index) => [field, bytes.slice(20 + 32 * index, 52 + 32 * index)]),
  ) as Pick<CommitRecord, (typeof HASH_FIELDS)[number]>;
  return success({ round, capacity, updateSize, ...hashes, leaves: bytes.slice(FIXED_BYTES) });
}

/** Identity of a commitment. */
export function commitHash(commit: CommitRecord): Uint8Array {
  return taggedHash('commit', encodeCommit(commit));
}
