// Owns trees of a dispute: a tensor's own tree, what the other side disclosed of its tree, and openings of leaves both agree on
// or that were disclosed. Which leaf is wanted is dispute-proof.ts.

import { equal } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { leafHash, leafHashes, nodeHash } from '../base/merkle.ts';
import { REVEAL_LEVELS } from '../chain/system/challenges.ts';

/** All levels of a tree, leaves first, an odd node carried up. */
export type HashLevels = readonly (readonly Uint8Array[])[];

export function hashLevels(leaves: readonly Uint8Array[]): HashLevels {
  const levels: (readonly Uint8Array[])[] = [leaves];
  for (let level = leaves; level.length > 1; ) {
    const up: Uint8Array[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const right = level[i + 1];
      const left = present(level[i], 'left');
      up.push(right === undefined ? left : nodeHash(left, right));
    }
    levels.push(up);
    level = up;
  }
  return levels;
}

/** A tree whose content is held. */
export type HeldTree = Readonly<{ bytes: Uint8Array; leafBytes: number; levels: HashLevels }>;

export function holdTree(bytes: Uint8Array, leafBytes: number): HeldTree {
  return { bytes, leafBytes, levels: hashLevels(leafHashes(bytes, leafBytes)) };
}

export const rootOfTree = ({ levels }: HeldTree): Uint8Array => present(levels.at(-1)?.[0], 'root');

export function leafOf({ bytes, leafBytes }: HeldTree, index: number): Uint8Array {
  return bytes.subarray(index * leafBytes, (index + 1) * leafBytes);
}

/** Sibling hashes of a node from its level to the root, bottom up. */
export function siblingsAt(levels: HashLevels, level: number, index: number): Uint8Array[] {
  const siblings: Uint8Array[] = [];
  let at = index;
  for (const nodes of levels.slice(level, -1)) {
    const sibling = nodes[at ^ 1];
    if (sibling !== undefined) siblings.push(sibling);
    at >>= 1;
  }
  return siblings;
}

/** What a disclosure of a node shows: its nodes so many levels down, or the bytes of a leaf; with siblings to the root. */
export function discloseNode(
  tree: HeldTree,
  level: number,
  index: number,
): Readonly<{ nodes: readonly Uint8Array[]; leaf: Uint8Array; siblings: readonly Uint8Array[] }> {
  const siblings = siblingsAt(tree.levels, level, index);
  if (level === 0) return { nodes: [], leaf: leafOf(tree, index), siblings };
  const depth = Math.min(level, REVEAL_LEVELS);
  const nodes = present(tree.levels[level - depth], 'level').slice(index * 2 ** depth, (index + 1) * 2 ** depth);
  return { nodes, leaf: new Uint8Array(0), siblings };
}

/** The other side's tree as far as it is known: what was disclosed, and one's own where nothing else is known. */
export type OtherTree = Readonly<{
  /** Notes disclosed nodes of a level, from `first` on. */
  note(level: number, first: number, hashes: readonly Uint8Array[]): void;
  noteLeaf(index: number, bytes: Uint8Array): void;
  /** The leaf's bytes: disclosed, or one's own when its hash is the same. Null when unknown. */
  leaf(index: number): Uint8Array | null;
  /** Hash of a node as the other side has it, as far as known. */
  node(level: number, index: number): Uint8Array;
  siblings(index: number): Uint8Array[];
  levels: number;
  width(level: number): number;
}>;

export function otherTree(own: HeldTree, root: Uint8Array): OtherTree {
  const known = own.levels.map(() => new Map<number, Uint8Array>());
  const disclosed = new Map<number, Uint8Array>();
  const top = own.levels.length - 1;
  present(known[top], 'top').set(0, root);
  const width = (level: number): number => present(own.levels[level], 'level').length;

  function note(level: number, first: number, hashes: readonly Uint8Array[]): void {
    let [at, nodes] = [first, hashes];
    for (let up = level; up <= top; up++) {
      for (const [i, hash] of nodes.entries()) if (at + i < width(up)) known[up]?.set(at + i, hash);
      if (nodes.length <= 1 || at % 2 !== 0) break;
      nodes = hashLevels(nodes)[1] ?? [];
      at /= 2;
    }
  }
  /** What is known of an ancestor says nothing below it unless it equals one's own: then everything below is equal too. */
  function node(level: number, index: number): Uint8Array {
    return known[level]?.get(index) ?? present(own.levels[level]?.[index], 'node');
  }
  return {
    levels: own.levels.length,
    width,
    note,
    node,
    noteLeaf(index, bytes) {
      disclosed.set(index, bytes);
      note(0, index, [leafHash(bytes)]);
    },
    leaf(index) {
      const shown = disclosed.get(index);
      if (shown !== undefined) return shown;
      return isAgreed(index) ? leafOf(own, index) : null;
    },
    siblings(index) {
      const out: Uint8Array[] = [];
      for (let [level, at] = [0, index]; level < top; level++, at >>= 1) {
        if ((at ^ 1) < width(level)) out.push(node(level, at ^ 1));
      }
      return out;
    },
  };

  /** The nearest known node above a leaf is one's own: so is the leaf. */
  function isAgreed(index: number): boolean {
    for (let [level, at] = [0, index]; level <= top; level++, at >>= 1) {
      const hash = known[level]?.get(at);
      if (hash !== undefined) return equal(hash, present(own.levels[level]?.[at], 'own node'));
    }
    return false;
  }
}

/** The question that goes on from what is known: the root first, then the level that was disclosed last. */
export function levelBelow(level: number): number {
  check(level > 0, 'levelBelow: not a leaf');
  return level - Math.min(level, REVEAL_LEVELS);
}
