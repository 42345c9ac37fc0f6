// Owns the property of tries: after any puts and deletes the root is that of the library's trie, and disk holds that trie only.

import { createMPT } from '@ethereumjs/mpt';
import test from 'ava';
import { compare, concat, fromHex, toHex, u32be } from '../../base/bytes.ts';
import { prng } from '../../base/prng.ts';
import { keccak256 } from '../../chain/keccak.ts';
import { decodeRlp, encodeRlp } from '../../chain/rlp.ts';
import { listRoot, pathBytes, Trie } from '../../chain/trie.ts';
import { nibbles } from '../../chain/trie-node.ts';

type Disk = Map<string, Uint8Array>;

function loader(disk: Disk) {
  return (path: Uint8Array) => disk.get(String.fromCharCode(...path)) ?? null;
}

function apply(disk: Disk, writes: ReadonlyMap<string, Uint8Array | null>): void {
  for (const [path, rlp] of writes) {
    if (rlp === null) disk.delete(path);
    else disk.set(path, rlp);
  }
}

/** Paths a reader reaches from the root. */
function reachable(disk: Disk): Set<string> {
  const seen = new Set<string>();
  const visit = (path: string, item: unknown): void => {
    const list = item as unknown[];
    if (list.length === 17) {
      list.slice(0, 16).forEach((child, i) => {
        follow(path + String.fromCharCode(i), child);
      });
      return;
    }
    const prefix = nibbles(list[0] as Uint8Array);
    if (((prefix[0] as number) & 2) === 2) return;
    const key = prefix.slice(((prefix[0] as number) & 1) === 1 ? 1 : 2);
    follow(path + String.fromCharCode(...key), list[1]);
  };
  const follow = (path: string, child: unknown): void => {
    if (!(child instanceof Uint8Array)) visit(path, child);
    else if (child.length === 32) open(path);
  };
  const open = (path: string): void => {
    seen.add(path);
    const rlp = disk.get(path);
    if (rlp !== undefined) visit(path, decodeRlp(rlp));
  };
  if (disk.has('')) open('');
  return seen;
}

async function run(
  seed: string,
  keyOf: (n: number) => Uint8Array,
  keys: number,
  rounds: number,
  valueBytes: number,
): Promise<string | null> {
  const random = prng(seed);
  const disk: Disk = new Map();
  const model = new Map<string, Uint8Array>();
  let root: Uint8Array = keccak256(Uint8Array.of(0x80));
  for (let round = 0; round < rounds; round++) {
    const trie = new Trie(root, loader(disk));
    for (let i = random.below(12); i >= 0; i--) {
      const key = keyOf(random.below(keys));
      const gone = random.below(3) === 0;
      const value = gone
        ? new Uint8Array(0)
        : concat(Uint8Array.of(1 + random.below(255)), random.bytes(random.below(valueBytes)));
      if (gone && !model.has(toHex(key))) continue;
      trie.put(key, value);
      if (gone) model.delete(toHex(key));
      else model.set(toHex(key), value);
    }
    const sealed = trie.seal();
    apply(disk, sealed.writes);
    root = sealed.root;
    const peer = await createMPT();
    for (const [key, value] of model) await peer.put(fromHex(key), value);
    if (compare(peer.root(), root) !== 0)
      return `${seed} round ${round}: root ${toHex(root)} expected ${toHex(peer.root())}`;
    const live = reachable(disk);
    for (const path of disk.keys())
      if (!live.has(path)) return `${seed} round ${round}: stale node at ${toHex(pathBytes(path))}`;
    const reader = new Trie(root, loader(disk));
    for (const [key, value] of model) {
      const got = reader.get(fromHex(key));
      if (got === null || compare(got, value) !== 0) return `${seed} round ${round}: value of ${key} lost`;
    }
  }
  return null;
}

test('hashed keys: any puts and deletes give the root of the library trie', async (t) => {
  for (let i = 0; i < 6; i++) t.is(await run(`hashed ${i}`, (n) => keccak256(u32be(n)), 40, 25, 40), null);
});

test('crowded short keys: extensions split and merge, and nodes live inside their parents', async (t) => {
  const crowded = (n: number) => Uint8Array.of(0x11, 0x10 | (n >> 5), (n >> 1) & 15, n & 1);
  for (let i = 0; i < 6; i++) t.is(await run(`crowded ${i}`, crowded, 64, 30, 3), null);
});

test('the root of a list is that of the trie of its indices', async (t) => {
  for (const count of [0, 1, 2, 17, 129, 300]) {
    const items = Array.from({ length: count }, (_, i) => keccak256(u32be(i)));
    const peer = await createMPT();
    for (const [i, item] of items.entries())
      await peer.put(encodeRlp(i === 0 ? new Uint8Array(0) : trim(u32be(i))), item);
    t.is(toHex(listRoot(items)), toHex(peer.root()), `${count} items`);
  }
});

function trim(bytes: Uint8Array): Uint8Array {
  let at = 0;
  while (bytes[at] === 0) at++;
  return bytes.subarray(at);
}

test('a proof holds the nodes from the root to the key, each named by the hash in its parent', (t) => {
  const trie = new Trie(null, () => null);
  for (let i = 0; i < 200; i++) trie.put(keccak256(u32be(i)), keccak256(u32be(i + 1)));
  const { root } = trie.seal();
  for (const key of [keccak256(u32be(7)), keccak256(u32be(1_000))]) {
    const proof = trie.prove(key);
    t.is(toHex(keccak256(fromHex(proof[0] as `0x${string}`))), toHex(root));
    for (let i = 1; i < proof.length; i++) {
      const hash = toHex(keccak256(fromHex(proof[i] as `0x${string}`))).slice(2);
      t.true((proof[i - 1] as string).includes(hash));
    }
  }
});
