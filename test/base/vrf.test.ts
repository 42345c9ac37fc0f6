// Owns tests of the verifiable random function against the published vectors of its suite.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { fromHex, isHex, toHex, u256be, utf8 } from '../../base/bytes.ts';
import { loadNativeSecp256k1, nobleSecp256k1, secp256k1 } from '../../base/keys.ts';
import { prng } from '../../base/prng.ts';
import { vrfProofToHash, vrfProve, vrfVerify } from '../../base/vrf.ts';
import { sharedData } from '../shared-data.ts';

type Vector = Readonly<{ pub: string; message: string; pi: string; hash: string; priv?: string }>;
type Refusal = Readonly<{ publicKey: { x: string; y: string }; message: string; pi: string }>;
type Vectors = Readonly<{
  verify: { valid: readonly Vector[]; invalid: readonly Refusal[] };
  proofs: { invalid: readonly { pi: string }[] };
}>;

const padded = (hex: string): string => hex.replace(/^0x/, '').padStart(64, '0');

// The sample of the suite's first implementation: key of RFC 6979 A.2.5, input "sample".
const SAMPLE = {
  secretKey: fromHex('0xc9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721'),
  proof:
    '0x031f4dbca087a1972d04a07a779b7df1caa99e0f5db2aa21f3aecc4f9e10e85d0814faa89697b482daa377fb6b4a8b0191a65d34a6d90a8a2461e5db9205d4cf0bb4b2c31b5ef6997a585a9f1a72517b6f',
  hash: '0x612065e309e937ef46c2ef04d5886b9c6efd2991ac484ec64a9b014366fc5d81',
};

test('the sample key proves the sample input with the published proof and output', (t) => {
  const { proof, beta } = vrfProve(SAMPLE.secretKey, utf8('sample'));
  t.is<string | null, string | null>(toHex(proof), SAMPLE.proof);
  t.is<string | null, string | null>(toHex(beta), SAMPLE.hash);
  t.deepEqual(vrfVerify(secp256k1.publicKey(SAMPLE.secretKey), utf8('sample'), proof), beta);
});

test('a changed bit anywhere in the proof, the input or the key is refused', (t) => {
  const key = secp256k1.publicKey(SAMPLE.secretKey);
  const proof = fromHex(SAMPLE.proof);
  for (const at of [0, 1, 20, 33, 48, 49, 80]) {
    const changed = proof.slice();
    changed[at] = (changed[at] as number) ^ 1;
    t.is(vrfVerify(key, utf8('sample'), changed), null, `byte ${at}`);
  }
  t.is(vrfVerify(key, utf8('sampel'), proof), null);
  t.is(vrfVerify(secp256k1.publicKey(u256be(2n)), utf8('sample'), proof), null);
  t.is(vrfVerify(key, utf8('sample'), proof.subarray(0, 80)), null);
  t.is(vrfVerify(new Uint8Array(33), utf8('sample'), proof), null);
  t.is(vrfProofToHash(new Uint8Array(81)), null);
});

test('all published proofs verify, are made again from their keys, and the invalid ones are refused', (t) => {
  const folder = sharedData('ecvrf');
  if (folder === null) {
    t.log('skipped: no ECVRF vectors');
    t.pass();
    return;
  }
  const vectors = JSON.parse(readFileSync(join(folder, 'witnet-vrf-solidity-data.json'), 'utf8')) as Vectors;
  const multiples = JSON.parse(readFileSync(join(folder, 'secp256k1-multiples.json'), 'utf8')) as {
    k: string;
    x: string;
    y: string;
  }[];
  const secretOf = new Map(
    multiples.map(({ k, x, y }) => [
      `0${2 + (Number.parseInt(y.slice(-1), 16) % 2)}${padded(x)}`.toLowerCase(),
      u256be(BigInt(k)),
    ]),
  );
  let proved = 0;
  for (const { pub, message, pi, hash } of vectors.verify.valid) {
    const beta = vrfVerify(fromHex(pub), fromHex(message), fromHex(pi));
    t.is<string | null, string | null>(beta === null ? null : toHex(beta), hash.toLowerCase());
    t.is<string | null, string | null>(toHex(vrfProofToHash(fromHex(pi)) ?? new Uint8Array(0)), hash.toLowerCase());
    const secret = secretOf.get(pub.slice(2).toLowerCase());
    if (secret === undefined) continue;
    proved++;
    t.is<string | null, string | null>(toHex(vrfProve(secret, fromHex(message)).proof), pi.toLowerCase());
  }
  t.is(vectors.verify.valid.length, 46);
  t.is(proved, 45);
  for (const { publicKey, message, pi } of vectors.verify.invalid) {
    const key = fromHex(`0x04${padded(publicKey.x)}${padded(publicKey.y)}`);
    t.is(vrfVerify(key, fromHex(message), fromHex(pi)), null);
  }
  for (const { pi } of vectors.proofs.invalid) t.is(isHex(pi) ? vrfProofToHash(fromHex(pi)) : null, null);
});

test('native and plain points prove and verify alike, also with zero scalars and damaged proofs', (t) => {
  const native = loadNativeSecp256k1();
  if (native === null) {
    t.log('skipped: the native secp256k1 binary does not load here');
    t.pass();
    return;
  }
  const random = prng('vrf points');
  const zero = new Uint8Array(32);
  for (let i = 0; i < 40; i++) {
    const secret = random.bytes(32);
    secret[0] = (secret[0] as number) & 0x7f; // below the group's order
    const alpha = random.bytes(random.below(80));
    const made = vrfProve(secret, alpha, native);
    t.deepEqual(vrfProve(secret, alpha, nobleSecp256k1), made);
    const key = native.publicKey(secret);
    const changed = made.proof.slice();
    const at = random.below(81);
    changed[at] = (changed[at] as number) ^ (1 << random.below(8));
    const zeroS = made.proof.slice();
    zeroS.fill(0, 49);
    const zeroC = made.proof.slice();
    zeroC.fill(0, 33, 49);
    for (const proof of [made.proof, changed, zeroS, zeroC, zeroC.slice().fill(0, 33)]) {
      t.deepEqual(vrfVerify(key, alpha, proof, native), vrfVerify(key, alpha, proof, nobleSecp256k1), `input ${i}`);
    }
    const point = native.point(key) as Uint8Array;
    t.deepEqual(nobleSecp256k1.point(key), point);
    for (const bytes of [random.bytes(33), random.bytes(65), key.slice(1), Uint8Array.of(6, ...key.subarray(1))]) {
      t.deepEqual(native.point(bytes), nobleSecp256k1.point(bytes));
    }
    for (const curve of [native, nobleSecp256k1]) {
      t.is(curve.multiply(point, zero), null);
      t.is(curve.subtract(point, point), null);
    }
  }
});
