// Owns Merkle Patricia tries kept by path: insert, delete, prove, and one hashing pass that names what changed on disk.
// Nodes are persistent: a changed path is copied, so any number of candidate blocks stand on one parent.

import { equal, type Hex, toHex } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { keccak256 } from './keccak.ts';
import { decodeRlp, encodeRlp, minimal } from './rlp.ts';
import {
  type Branch,
  encodeNode,
  type Extension,
  HASH_REFERENCE_BYTES,
  type Leaf,
  type Node,
  nibbles,
  nodeFromItem,
  type Reference,
  referenceOf,
} from './trie-node.ts';
import { EMPTY_TRIE_ROOT } from './account.ts';

/** Stored RLP of the node at a path of nibbles, or null. */
export type LoadNode = (path: Uint8Array) => Uint8Array | null;

/** Disk changes of a trie: by path (one character a nibble), RLP to put or null to delete. */
export type TrieWrites = ReadonlyMap<string, Uint8Array | null>;

/** Id of the path of one nibble. */
const STEPS: readonly string[] = Array.from({ length: 16 }, (_, nibble) => String.fromCharCode(nibble));

function pathId(path: Uint8Array): string {
  return String.fromCharCode(...path);
}

export function pathBytes(id: string): Uint8Array {
  const out = new Uint8Array(id.length);
  for (let i = 0; i < out.length; i++) out[i] = id.charCodeAt(i);
  return out;
}

function rootStub(root: Uint8Array): Node | null {
  if (equal(root, EMPTY_TRIE_ROOT)) return null;
  const ref = new Uint8Array(HASH_REFERENCE_BYTES);
  ref[0] = 0xa0;
  ref.set(root, 1);
  return { kind: 'stub', ref };
}

/** A working version of one trie. Cheap to make from a root or from the node of a sealed one. */
export class Trie {
  #root: Node | null;
  readonly #load: LoadNode;
  readonly #stale = new Set<string>();
  /** Nodes read or made, a measure of memory. */
  nodes = 0;

  constructor(root: Uint8Array | Node | null, load: LoadNode) {
    this.#root = root instanceof Uint8Array ? rootStub(root) : root;
    this.#load = load;
  }

  /** Root node, shareable with later tries once sealed. */
  get root(): Node | null {
    return this.#root;
  }

  /** Puts a value at a key of bytes; an empty value deletes. */
  put(key: Uint8Array, value: Uint8Array): void {
    const path = nibbles(key);
    this.#root = value.length === 0 ? this.#delete(this.#root, path, 0) : this.#insert(this.#root, path, 0, value);
  }

  get(key: Uint8Array): Uint8Array | null {
    const path = nibbles(key);
    let node = this.#root;
    for (let at = 0; node !== null; ) {
      if (node.kind === 'stub') node = this.#read(path.subarray(0, at), node.ref);
      else if (node.kind === 'leaf') return equal(node.key, path.subarray(at)) ? node.value : null;
      else if (node.kind === 'extension') {
        if (!equal(node.key, path.subarray(at, at + node.key.length))) return null;
        at += node.key.length;
        node = node.child;
      } else node = node.children[path[at++] as number] ?? null;
    }
    return null;
  }

  /** RLP of the nodes from the root to the key or to where it is absent (EIP-1186). The trie must be sealed. */
  prove(key: Uint8Array): Hex[] {
    const path = nibbles(key);
    const proof: Hex[] = [];
    let node = this.#root;
    for (let at = 0; node !== null; ) {
      if (node.kind === 'stub') node = this.#read(path.subarray(0, at), node.ref);
      const isRoot: boolean = proof.length === 0;
      if (isRoot || present(node.ref, 'sealed ref').length === HASH_REFERENCE_BYTES)
        proof.push(toHex(encodeNode(node)));
      if (node.kind === 'leaf') break;
      if (node.kind === 'extension') {
        if (!equal(node.key, path.subarray(at, at + node.key.length))) break;
        at += node.key.length;
        node = node.child;
      } else node = node.children[path[at++] as number] ?? null;
    }
    return proof;
  }

  /** Hashes every changed node once; returns the root hash and what to write. */
  seal(): Readonly<{ root: Uint8Array; writes: TrieWrites }> {
    const writes = new Map<string, Uint8Array | null>();
    for (const id of this.#stale) writes.set(id, null);
    this.#stale.clear();
    if (this.#root === null) {
      writes.set('', null);
      return { root: EMPTY_TRIE_ROOT, writes };
    }
    if (this.#root.kind === 'stub') return { root: this.#root.ref.subarray(1), writes };
    if (this.#root.ref !== null) return { root: rootHash(this.#root), writes };
    sealNode(this.#root, '', writes);
    return { root: rootHash(this.#root), writes };
  }

  #read(path: Uint8Array, ref: Reference): Leaf | Extension | Branch {
    const rlp = present(this.#load(path), `trie node at ${toHex(path)}`);
    check(equal(keccak256(rlp), ref.subarray(1)), `trie node at ${toHex(path)}: hash does not match`);
    this.nodes++;
    return nodeFromItem(present(decodeRlp(rlp), 'trie node rlp'), ref);
  }

  #insert(given: Node | null, path: Uint8Array, at: number, value: Uint8Array): Node {
    this.nodes++;
    if (given === null) return { kind: 'leaf', key: path.slice(at), value, ref: null };
    const node = given.kind === 'stub' ? this.#read(path.subarray(0, at), given.ref) : given;
    if (node.kind === 'branch') {
      const index = path[at] as number;
      const children = node.children.slice();
      children[index] = this.#insert(children[index] ?? null, path, at + 1, value);
      return { kind: 'branch', children, ref: null };
    }
    const common = commonLength(node.key, path, at);
    if (common === node.key.length) {
      if (node.kind === 'leaf') return { kind: 'leaf', key: node.key, value, ref: null };
      return { kind: 'extension', key: node.key, child: this.#insert(node.child, path, at + common, value), ref: null };
    }
    // The keys part ways: a branch stands where they do, under an extension of what they share.
    const children: (Node | null)[] = new Array(16).fill(null);
    const rest = node.key.slice(common + 1);
    const oldIndex = node.key[common] as number;
    if (node.kind === 'leaf') children[oldIndex] = { kind: 'leaf', key: rest, value: node.value, ref: null };
    else
      children[oldIndex] =
        rest.length === 0 ? node.child : { kind: 'extension', key: rest, child: node.child, ref: null };
    children[path[at + common] as number] = { kind: 'leaf', key: path.slice(at + common + 1), value, ref: null };
    const branch: Branch = { kind: 'branch', children, ref: null };
    return common === 0 ? branch : { kind: 'extension', key: node.key.slice(0, common), child: branch, ref: null };
  }

  #delete(given: Node | null, path: Uint8Array, at: number): Node | null {
    if (given === null) return null;
    const node = given.kind === 'stub' ? this.#read(path.subarray(0, at), given.ref) : given;
    if (node.kind === 'leaf') {
      if (!equal(node.key, path.subarray(at))) return node;
      this.#stale.add(pathId(path.subarray(0, at)));
      return null;
    }
    if (node.kind === 'extension') return this.#deleteUnderExtension(node, path, at);
    const index = path[at] as number;
    const before = node.children[index] ?? null;
    const after = this.#delete(before, path, at + 1);
    if (after === before) return node;
    const children = node.children.slice();
    children[index] = after;
    const left = children.flatMap((child, i) => (child === null ? [] : [i]));
    const only = left[0];
    if (left.length !== 1 || only === undefined) return { kind: 'branch', children, ref: null };
    const child = present(children[only], 'last child');
    const childPath = Uint8Array.of(...path.subarray(0, at), only);
    return this.#merge(Uint8Array.of(only), child, childPath);
  }

  #deleteUnderExtension(node: Extension, path: Uint8Array, at: number): Node | null {
    const end = at + node.key.length;
    if (!equal(node.key, path.subarray(at, end))) return node;
    const after = this.#delete(node.child, path, end);
    if (after === node.child) return node;
    check(after !== null, 'an extension stands over a branch');
    return this.#merge(node.key, after, path.slice(0, end));
  }

  /** One node for `prefix` followed by `child`, which stood at `childPath`. */
  #merge(prefix: Uint8Array, given: Node, childPath: Uint8Array): Node {
    const child = given.kind === 'stub' ? this.#read(childPath, given.ref) : given;
    if (child.kind === 'branch') return { kind: 'extension', key: prefix, child, ref: null };
    this.#stale.add(pathId(childPath));
    const key = Uint8Array.of(...prefix, ...child.key);
    if (child.kind === 'leaf') return { kind: 'leaf', key, value: child.value, ref: null };
    return { kind: 'extension', key, child: child.child, ref: null };
  }
}

function commonLength(key: Uint8Array, path: Uint8Array, at: number): number {
  let i = 0;
  while (i < key.length && key[i] === path[at + i]) i++;
  return i;
}

function sealNode(node: Node, id: string, writes: Map<string, Uint8Array | null>): void {
  if (node.kind === 'stub' || node.ref !== null) return;
  if (node.kind === 'branch') {
    for (let i = 0; i < 16; i++) {
      const child = node.children[i];
      if (child == null || child.ref !== null) continue;
      sealNode(child, id + (STEPS[i] as string), writes);
    }
  } else if (node.kind === 'extension') sealNode(node.child, id + pathId(node.key), writes);
  const rlp = encodeNode(node);
  node.ref = referenceOf(rlp);
  // The root is stored whatever its size; another short node lives inside its parent, so its own row must go.
  writes.set(id, rlp.length >= 32 || id === '' ? rlp : null);
}

function rootHash(root: Leaf | Extension | Branch): Uint8Array {
  const ref = present(root.ref, 'root ref');
  return ref.length === HASH_REFERENCE_BYTES ? ref.slice(1) : keccak256(ref);
}

/** Root of the trie of rlp(index) -> item: transactions, receipts, withdrawals of a block. */
export function listRoot(items: readonly Uint8Array[]): Uint8Array {
  const trie = new Trie(null, () => null);
  items.forEach((item, index) => {
    trie.put(encodeRlp(minimal(index)), item);
  });
  return trie.seal().root;
}
