// Owns seeded randomness: a counter-mode generator over SHA-256, the only source of random choices in tests and protocols.

import { check } from './check.ts';
import { taggedHash } from './hash.ts';
import { u64be, utf8 } from './bytes.ts';

export type Prng = Readonly<{
  /** Next 32-bit word. */
  u32(): number;
  /** Uniform whole number in [0, bound), by rejection. */
  below(bound: number): number;
  /** Next `length` bytes. */
  bytes(length: number): Uint8Array;
}>;

/** Generator whose whole output is fixed by `seed`. */
export function prng(seed: Uint8Array | string): Prng {
  const key = typeof seed === 'string' ? utf8(seed) : seed;
  let counter = 0;
  let block = new Uint8Array(0);
  let at = 0;
  function byte(): number {
    if (at === block.length) {
      block = taggedHash('prng', key, u64be(counter++)) as Uint8Array<ArrayBuffer>;
      at = 0;
    }
    return block[at++] as number;
  }
  function u32(): number {
    return ((byte() << 24) | (byte() << 16) | (byte() << 8) | byte()) >>> 0;
  }
  return {
    u32,
    below(bound) {
      check(Number.isInteger(bound) && bound > 0 && bound <= 0x1_0000_0000, 'prng below: bound out of range');
      const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
      for (;;) {
        const word = u32();
        if (word < limit) return word % bound;
      }
    },
    bytes(length) {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; i++) out[i] = byte();
      return out;
    },
  };
}
