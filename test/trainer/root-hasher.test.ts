// Shows that roots taken on several threads are the roots, and that a dead helper only costs time.

import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { stateRoot } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import { createRootHasher, plainRootHasher } from '../../trainer/root-hasher.ts';

function sharedBytes(length: number, seed: string): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(length + 64), 64);
  const random = prng(seed);
  for (let at = 0; at < length; at += 4_099) bytes[at] = random.below(256);
  return bytes;
}

test('roots on 1, 2 and 3 threads are equal for sizes around leaves and blocks', async (t) => {
  const hashers = [plainRootHasher, createRootHasher(2), createRootHasher(3)];
  for (const length of [0, 1, 16_384, 4 << 20, (4 << 20) + 1, (5 << 20) - 3, 9_000_001]) {
    const bytes = sharedBytes(length, `bytes ${length}`);
    const expected = toHex(stateRoot(bytes));
    for (const hasher of hashers) {
      for (let again = 0; again < 3; again++) t.is(toHex(hasher.root(bytes)), expected);
    }
    t.is(toHex((hashers[1] ?? plainRootHasher).root(bytes.slice())), expected);
  }
  await Promise.all(hashers.map((hasher) => hasher.close()));
  const bytes = sharedBytes(6 << 20, 'after close');
  t.is(toHex((hashers[2] ?? plainRootHasher).root(bytes)), toHex(stateRoot(bytes)));
});
