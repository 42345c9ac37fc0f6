// Words of 256 bits and their bytes: both ways equal the plain reading of their hexadecimal text.

import test from 'ava';
import { fromHex, toBigInt, toHex, u256be } from '../../base/bytes.ts';
import { prng } from '../../base/prng.ts';

const MOST = (1n << 256n) - 1n;
const read = (bytes: Uint8Array): bigint => (bytes.length === 0 ? 0n : BigInt(toHex(bytes)));
const written = (word: bigint): Uint8Array => fromHex(`0x${word.toString(16).padStart(64, '0')}`);

test('a word is its 32 big-endian bytes, and bytes of any length are their number', (t) => {
  const random = prng('words');
  const words = [0n, 1n, 255n, 1n << 63n, (1n << 64n) - 1n, 1n << 64n, 1n << 128n, 1n << 255n, MOST];
  for (let i = 0; i < 2_000; i++) words.push(read(random.bytes(1 + random.below(32))));
  for (const word of words) {
    const bytes = u256be(word);
    t.deepEqual(bytes, written(word));
    if (toBigInt(bytes) !== word) t.fail(`${word}`);
    const inside = new Uint8Array(40);
    inside.set(bytes, 5);
    if (toBigInt(inside.subarray(5, 37)) !== word) t.fail(`${word} in the middle of other bytes`);
  }
  for (let length = 0; length < 48; length++) {
    const bytes = random.bytes(length);
    t.is(toBigInt(bytes), read(bytes));
  }
});

test('what is no word of 256 bits is refused', (t) => {
  for (const value of [-1n, MOST + 1n]) t.throws(() => u256be(value), { message: /u256be: out of range/ });
});
