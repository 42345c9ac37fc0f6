// Owns the nodes of a Merkle Patricia trie: their forms in memory and their RLP (yellow paper, appendix D).
// Keys are nibbles, one a byte. All keys of a trie are prefix-free, so branches carry no value.

import { concat } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { keccak256 } from './keccak.ts';
import { encodeRlp, type Item, listHeader } from './rlp.ts';

/** How a parent names a child, as RLP: the child itself when it is shorter than 32 bytes, else its hash. */
export type Reference = Uint8Array;

export type Leaf = {
  readonly kind: 'leaf';
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  ref: Reference | null;
};
export type Extension = { readonly kind: 'extension'; readonly key: Uint8Array; child: Node; ref: Reference | null };
export type Branch = { readonly kind: 'branch'; readonly children: (Node | null)[]; ref: Reference | null };
/** A node on disk that was not read yet. */
type Stub = { readonly kind: 'stub'; readonly ref: Reference };
export type Node = Leaf | Extension | Branch | Stub;

/** Nibbles of bytes, high half first. */
export function nibbles(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length * 2);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    out[2 * i] = byte >> 4;
    out[2 * i + 1] = byte & 15;
  }
  return out;
}

/** Hex-prefix encoding (yellow paper, appendix C). */
function hexPrefix(key: Uint8Array, leaf: boolean): Uint8Array {
  const odd = key.length % 2;
  const out = new Uint8Array(1 + (key.length - odd) / 2);
  out[0] = (leaf ? 0x20 : 0) | (odd === 1 ? 0x10 | (key[0] as number) : 0);
  for (let i = odd, at = 1; i < key.length; i += 2, at++) out[at] = ((key[i] as number) << 4) | (key[i + 1] as number);
  return out;
}

function fromHexPrefix(bytes: Uint8Array): { key: Uint8Array; leaf: boolean } {
  const all = nibbles(bytes);
  const flags = present(all[0], 'hex prefix');
  return { key: all.slice((flags & 1) === 1 ? 1 : 2), leaf: (flags & 2) === 2 };
}

/** RLP of the empty string. */
const NO_CHILD = 0x80;

/** RLP of a node whose children have their references. */
export function encodeNode(node: Leaf | Extension | Branch): Uint8Array {
  if (node.kind === 'leaf') return encodeRlp([hexPrefix(node.key, true), node.value]);
  if (node.kind === 'extension') return wrap([encodeRlp(hexPrefix(node.key, false)), present(node.child.ref, 'ref')]);
  return encodeBranch(node.children);
}

/** The node a state hashes most: sixteen references and no value. */
function encodeBranch(children: readonly (Node | null)[]): Uint8Array {
  let length = 1;
  for (const child of children) length += child === null ? 1 : present(child.ref, 'ref').length;
  const header = listHeader(length);
  const out = new Uint8Array(header.length + length);
  out.set(header);
  let at = header.length;
  for (const child of children) {
    if (child === null) out[at++] = NO_CHILD;
    else {
      const ref = present(child.ref, 'ref');
      out.set(ref, at);
      at += ref.length;
    }
  }
  out[at] = NO_CHILD;
  return out;
}

function wrap(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  return concat(listHeader(length), ...parts);
}

export const HASH_REFERENCE_BYTES = 33;

/** Reference of encoded node bytes. */
export function referenceOf(rlp: Uint8Array): Reference {
  if (rlp.length < 32) return rlp;
  const out = new Uint8Array(HASH_REFERENCE_BYTES);
  out[0] = 0xa0;
  out.set(keccak256(rlp), 1);
  return out;
}

/** Node of a decoded item; `ref` is what its parent calls it. */
export function nodeFromItem(item: Item, ref: Reference): Leaf | Extension | Branch {
  check(Array.isArray(item), 'trie node: not a list');
  if (item.length === 17) {
    return { kind: 'branch', children: item.slice(0, 16).map(childFromItem), ref };
  }
  const [prefix, second] = item;
  check(item.length === 2 && prefix instanceof Uint8Array && second !== undefined, 'trie node: fields');
  const { key, leaf } = fromHexPrefix(prefix);
  if (leaf) {
    check(second instanceof Uint8Array, 'trie leaf: value');
    return { kind: 'leaf', key, value: second, ref };
  }
  return { kind: 'extension', key, child: present(childFromItem(second), 'extension child'), ref };
}

function childFromItem(item: Item): Node | null {
  if (!(item instanceof Uint8Array)) return nodeFromItem(item, encodeRlp(item));
  if (item.length === 0) return null;
  check(item.length === 32, 'trie node: child hash');
  return { kind: 'stub', ref: concat(Uint8Array.of(0xa0), item) };
}
