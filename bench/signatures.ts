// Owns the comparison of the two secp256k1 implementations on many inputs: random digests and keys, edges, damaged signatures.
// SIGNATURE_INPUTS sets how many (100,000), SIGNATURE_SEED the seed; the last line is JSON.

import { performance } from 'node:perf_hooks';
import { concat, equal } from '../base/bytes.ts';
import { type Secp256k1, loadNativeSecp256k1, nobleSecp256k1 } from '../base/keys.ts';
import { type Prng, prng } from '../base/prng.ts';

type Input = Readonly<{ digest: Uint8Array; secret: Uint8Array; damage: number }>;

const EDGES = [new Uint8Array(32), new Uint8Array(32).fill(255), concat(new Uint8Array(31), Uint8Array.of(1))];

function inputOf(random: Prng, index: number): Input {
  const secret = random.bytes(32);
  secret[0] = (secret[0] as number) & 0x7f; // below the group's order
  const digest = index % 16 === 0 ? (EDGES[(index >> 4) % EDGES.length] as Uint8Array) : random.bytes(32);
  return { digest, secret, damage: random.below(4 * 64 * 8) };
}

/**
 * The group's order begins with 15 bytes of 255 and one of 254. RFC 6979 reduces such a digest before it draws the nonce, the
 * native library does not: both signatures are valid, and a hash lands there once in 2^128.
 */
function isAboveOrder(digest: Uint8Array): boolean {
  return digest.subarray(0, 16).every((byte) => byte === 255);
}

/** One signature by both, valid by both, and recovery of it, or of a damaged one. False where they differ. */
function agree(native: Secp256k1, { digest, secret, damage }: Input): boolean {
  const a = native.sign(digest, secret);
  const b = nobleSecp256k1.sign(digest, secret);
  const isSame = equal(a.compact, b.compact) && a.recovery === b.recovery;
  if (!isSame && !isAboveOrder(digest)) return false;
  if (!equal(nobleSecp256k1.recover(digest, a.compact, a.recovery) ?? digest, native.publicKey(secret))) return false;
  if (!equal(native.recover(digest, b.compact, b.recovery) ?? digest, native.publicKey(secret))) return false;
  const shown = a.compact.slice();
  if (damage < 64 * 8) shown[damage >> 3] = (shown[damage >> 3] as number) ^ (1 << (damage & 7));
  const mine = native.recover(digest, shown, a.recovery);
  const theirs = nobleSecp256k1.recover(digest, shown, a.recovery);
  return mine === null || theirs === null ? mine === theirs : equal(mine, theirs);
}

export async function main(): Promise<void> {
  const { SIGNATURE_INPUTS, SIGNATURE_SEED } = process.env;
  const inputs = Number(SIGNATURE_INPUTS ?? 100_000);
  const seed = SIGNATURE_SEED ?? 'signatures';
  const native = loadNativeSecp256k1();
  if (native === null) {
    console.log(JSON.stringify({ inputs: 0, skipped: 'the native binary does not load here' }));
    return;
  }
  const random = prng(seed);
  const start = performance.now();
  let differences = 0;
  for (let index = 0; index < inputs; index++) {
    const input = inputOf(random, index);
    if (agree(native, input)) continue;
    differences++;
    console.log(`input ${index} of seed ${seed} differs`);
  }
  console.log(JSON.stringify({ inputs, differences, seed, seconds: Math.round((performance.now() - start) / 1_000) }));
  process.exitCode = differences === 0 ? 0 : 1;
}
