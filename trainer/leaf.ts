// Owns the record of one training step and what binds steps together: leaf hash, trace root, gradient-hash chain.
// Rules L-1 to L-5 of docs/protocol/learning-round.md.

import { concat, u32be, u64be } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { taggedHash } from '../base/hash.ts';
import { merkleRoot } from '../base/merkle.ts';
import { MAX_STEPS } from './limits.ts';

/** What a trainer states about one step. Roots are 32 bytes; `stateRoot` is of params ‖ m ‖ v after the step. */
export type StepLeaf = Readonly<{
  step: number;
  stateRoot: Uint8Array;
  dataRoot: Uint8Array;
  gradRoot: Uint8Array;
  /** The f32 of the step's mean loss, as its bits. */
  lossBits: number;
}>;

/** The part of a leaf that is sent; step and data root follow from its place. */
export type SentLeaf = Readonly<{ stateRoot: Uint8Array; gradRoot: Uint8Array; lossBits: number }>;

/** Bytes of one sent leaf: state root 32, gradient root 32, loss bits 4 (big-endian). */
export const LEAF_BYTES = 68;

export function stepLeafHash(leaf: StepLeaf): Uint8Array {
  return taggedHash('step-leaf', u32be(leaf.step), leaf.stateRoot, leaf.dataRoot, leaf.gradRoot, u32be(leaf.lossBits));
}

export function traceRoot(leaves: readonly StepLeaf[]): Uint8Array {
  return merkleRoot(leaves.map(stepLeafHash));
}

/** What a round and slot start the gradient-hash chain from, so that no chain can be moved to another slot or round. */
export type ChainOrigin = Readonly<{ round: number; seed: Uint8Array; baseRoot: Uint8Array; slot: number }>;

export function chainStart(origin: ChainOrigin): Uint8Array {
  return taggedHash('gradient-chain', u64be(origin.round), origin.seed, origin.baseRoot, u32be(origin.slot));
}

/** g_j = H(g_{j-1} ‖ gradRoot_j). */
export function chainNext(head: Uint8Array, gradRoot: Uint8Array): Uint8Array {
  return taggedHash('gradient-link', head, gradRoot);
}

export function chainHead(origin: ChainOrigin, leaves: readonly SentLeaf[]): Uint8Array {
  return leaves.reduce((head, leaf) => chainNext(head, leaf.gradRoot), chainStart(origin));
}

/** Root over the leaf hashes of a step's sequences in row order. */
export function dataRoot(sequenceLeaves: readonly Uint8Array[]): Uint8Array {
  return merkleRoot(sequenceLeaves);
}

export function encodeLeaves(leaves: readonly SentLeaf[]): Uint8Array {
  return concat(...leaves.flatMap((leaf) => [leaf.stateRoot, leaf.gradRoot, u32be(leaf.lossBits)]));
}

/** The sent leaves of exactly `steps` steps. Fault 'leaves' when the length is another. */
export function decodeLeaves(bytes: Uint8Array, steps: number): Result<readonly SentLeaf[]> {
  check(Number.isInteger(steps) && steps > 0 && steps <= MAX_STEPS, 'decodeLeaves: steps out of range');
  if (bytes.length !== steps * LEAF_BYTES) {
    return fault('leaves', `leaves: ${bytes.length} bytes, not ${steps} steps of ${LEAF_BYTES}`, {
      length: bytes.length,
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const leaves = Array.from({ length: steps }, (_, step) => {
    const at = step * LEAF_BYTES;
    return {
      stateRoot: bytes.slice(at, at + 32),
      gradRoot: bytes.slice(at + 32, at + 64),
      lossBits: view.getUint32(at + 64),
    };
  });
  return success(leaves);
}

/** Full leaves from sent ones and the data roots that everyone derives. */
export function completeLeaves(sent: readonly SentLeaf[], dataRoots: readonly Uint8Array[]): StepLeaf[] {
  check(sent.length === dataRoots.length, 'completeLeaves: one data root per leaf');
  return sent.map((leaf, step) => ({ step, ...leaf, dataRoot: present(dataRoots[step], 'data root') }));
}

const floatBits = new DataView(new ArrayBuffer(4));

export function lossBitsOf(loss: number): number {
  floatBits.setFloat32(0, loss);
  return floatBits.getUint32(0);
}

export function lossOfBits(bits: number): number {
  floatBits.setUint32(0, bits);
  return floatBits.getFloat32(0);
}
