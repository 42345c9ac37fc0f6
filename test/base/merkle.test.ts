import test from 'ava';
import fc from 'fast-check';
import { toHex, utf8 } from '../../base/bytes.ts';
import { leafHash, leafHashes, merkleRoot, nodeHash, open, stateRoot, verifyOpening } from '../../base/merkle.ts';

const leaves = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => leafHash(utf8(`leaf ${i}`)));

test('every leaf of every tree of 1 to 33 leaves opens, and to nothing else', (t) => {
  for (let count = 1; count <= 33; count++) {
    const hashes = leaves(count);
    const root = merkleRoot(hashes);
    for (let index = 0; index < count; index++) {
      const opening = open(hashes, index);
      t.true(verifyOpening(root, hashes[index] as Uint8Array, opening));
      t.false(verifyOpening(root, leafHash(utf8('other')), opening));
      t.false(verifyOpening(root, hashes[index] as Uint8Array, { ...opening, siblings: [...opening.siblings, root] }));
      if (count > 1)
        t.false(verifyOpening(root, hashes[index] as Uint8Array, { ...opening, siblings: opening.siblings.slice(1) }));
    }
  }
});

test('an opening with absurd numbers is false, never a throw', (t) => {
  const hashes = leaves(4);
  const root = merkleRoot(hashes);
  const { siblings } = open(hashes, 0);
  for (const [index, count] of [
    [-1, 4],
    [4, 4],
    [0.5, 4],
    [0, 0],
    [0, 2 ** 60],
    [Number.NaN, 4],
  ] as const) {
    t.false(verifyOpening(root, hashes[0] as Uint8Array, { index, count, siblings }));
  }
});

test('a node hash never equals a leaf hash of the same bytes', (t) => {
  const [a, b] = leaves(2) as [Uint8Array, Uint8Array];
  t.notDeepEqual(nodeHash(a, b), leafHash(new Uint8Array([...a, ...b])));
});

test('a state root changes with any flipped bit', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50_000 }), fc.nat(), (length, at) => {
        const bytes = new Uint8Array(length).fill(7);
        const before = toHex(stateRoot(bytes));
        const index = at % length;
        bytes[index] = (bytes[index] as number) ^ 1;
        return toHex(stateRoot(bytes)) !== before;
      }),
      { numRuns: 50 },
    ),
  );
});

test('states are cut into leaves of 16 KiB', (t) => {
  t.is(leafHashes(new Uint8Array(16_384)).length, 1);
  t.is(leafHashes(new Uint8Array(16_385)).length, 2);
});
