// Owns tests of words as bytes: both ways equal the plain big-endian reading. What MLOAD, MSTORE and SLOAD do with them is in the
// published state tests.

import test from 'ava';
import { toBigInt, u256be } from '../../base/bytes.ts';
import { prng } from '../../base/prng.ts';
import { wordBytes, wordOf } from '../../chain/words.ts';

const MOST = (1n << 256n) - 1n;

test('a word is its 32 big-endian bytes, and bytes of any length up to 32 are their word', (t) => {
  const random = prng('words');
  const words = [0n, 1n, 255n, 1n << 63n, (1n << 64n) - 1n, 1n << 64n, 1n << 128n, 1n << 255n, MOST];
  for (let i = 0; i < 2_000; i++) words.push(toBigInt(random.bytes(1 + random.below(32))));
  for (const word of words) {
    const bytes = wordBytes(word);
    t.deepEqual(bytes, u256be(word));
    if (wordOf(bytes) !== word) t.fail(`${word}`);
    const inside = new Uint8Array(40);
    inside.set(bytes, 5);
    if (wordOf(inside.subarray(5, 37)) !== word) t.fail(`${word} in the middle of other bytes`);
  }
  for (let length = 0; length < 32; length++) {
    const bytes = random.bytes(length);
    t.is(wordOf(bytes), toBigInt(bytes));
  }
});
