// Owns binary Merkle trees over SHA-256: roots and openings for model states, traces and datasets.
// Leaf and node hashes carry different first bytes, so a node can never be passed off as a leaf (RFC 6962 section 2.1).

import { equal } from './bytes.ts';
import { check, present } from './check.ts';
import { sha256 } from './hash.ts';

/** Bytes of one leaf of a state tree (design/engine.md 6). */
export const STATE_LEAF_BYTES = 16_384;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export function leafHash(bytes: Uint8Array): Uint8Array {
  return sha256(LEAF, bytes);
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE, left, right);
}

/** Root over leaf hashes; an odd node at the end of a level is carried up unchanged. No leaves: the hash of nothing. */
export function merkleRoot(leafHashes: readonly Uint8Array[]): Uint8Array {
  if (leafHashes.length === 0) return sha256(LEAF);
  let level = leafHashes;
  while (level.length > 1) level = parents(level);
  return present(level[0], 'merkle root');
}

function parents(level: readonly Uint8Array[]): Uint8Array[] {
  const up: Uint8Array[] = [];
  for (let i = 0; i < level.length; i += 2) {
    const left = present(level[i], 'merkle left');
    const right = level[i + 1];
    up.push(right === undefined ? left : nodeHash(left, right));
  }
  return up;
}

/** Hashes of consecutive `leafBytes`-sized pieces of `bytes`; the last piece may be shorter. */
export function leafHashes(bytes: Uint8Array, leafBytes: number = STATE_LEAF_BYTES): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += leafBytes) out.push(leafHash(bytes.subarray(at, at + leafBytes)));
  return out;
}

/** Merkle root of a state: its bytes cut into 16 KiB leaves. */
export function stateRoot(bytes: Uint8Array): Uint8Array {
  return merkleRoot(leafHashes(bytes));
}

/** The sibling hashes from a leaf to the root, bottom up; levels without a sibling are left out. */
export type Opening = Readonly<{ index: number; count: number; siblings: readonly Uint8Array[] }>;

export function open(hashes: readonly Uint8Array[], index: number): Opening {
  check(Number.isInteger(index) && index >= 0 && index < hashes.length, 'merkle open: index out of range');
  const siblings: Uint8Array[] = [];
  let level = hashes;
  for (let at = index; level.length > 1; at >>= 1) {
    const sibling = level[at ^ 1];
    if (sibling !== undefined) siblings.push(sibling);
    level = parents(level);
  }
  return { index, count: hashes.length, siblings };
}

/** True when `leaf` (a leaf hash) stands at `opening.index` of a tree of `opening.count` leaves with this root. */
export function verifyOpening(root: Uint8Array, leaf: Uint8Array, opening: Opening): boolean {
  const { index, count, siblings } = opening;
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(count) || index < 0 || index >= count) return false;
  let hash = leaf;
  let used = 0;
  for (let at = index, width = count; width > 1; at = Math.floor(at / 2), width = Math.ceil(width / 2)) {
    const isRight = at % 2 === 1;
    if (!isRight && at + 1 >= width) continue;
    const sibling = siblings[used++];
    if (sibling === undefined) return false;
    hash = isRight ? nodeHash(sibling, hash) : nodeHash(hash, sibling);
  }
  return used === siblings.length && equal(hash, root);
}
