// Leaf hashes and roots by the processor's instructions equal the ordinary ones at every length around a block.

import test from 'ava';
import { leafHashes, merkleRoot } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import { nativeHashes } from '../../engine/native-executor.ts';

const LEAF = 320;

test('native leaf hashes and roots are those of base/merkle', (t) => {
  const native = nativeHashes();
  if (native === null) {
    t.log('skipped: no native library, or a processor without SHA instructions');
    t.pass();
    return;
  }
  const random = prng('native hashes');
  const lengths = [
    1,
    54,
    55,
    56,
    61,
    62,
    63,
    64,
    118,
    119,
    120,
    126,
    127,
    128,
    319,
    320,
    321,
    640,
    641,
    3 * 320,
    11 * 320 + 5,
  ];
  for (const length of lengths) {
    const bytes = Uint8Array.from({ length }, () => random.below(256));
    const wanted = leafHashes(bytes, LEAF);
    const out = new Uint8Array(32 * wanted.length);
    native.leaves(bytes, LEAF, out);
    t.deepEqual(out, new Uint8Array(Buffer.concat(wanted)), `leaves of ${length} bytes`);
    t.deepEqual(native.fold(out, wanted.length), merkleRoot(wanted), `root of ${length} bytes`);
  }
});
