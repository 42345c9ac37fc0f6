// Owns the verifiable random function ECVRF-SECP256K1-SHA256-TAI: draft-irtf-cfrg-vrf-04 with suite byte 0xFE. One key and
// one input have one output. Where the input comes from is consensus/mix.ts and the audits.

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { concat, equal, fromHex, toBigInt } from './bytes.ts';
import { check, present } from './check.ts';
import { sha256 } from './hash.ts';
import { type Secp256k1, secp256k1 } from './keys.ts';

/** Bytes of a proof: compressed point gamma 33 ‖ challenge c 16 ‖ response s 32. */
const VRF_PROOF_BYTES = 81;

const SUITE = 0xfe;
/** Order of the group (SEC 2, 2.4.1). */
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const CHALLENGE_BYTES = 16;
const ONE = Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? 1 : 0));

/** Points are 33 compressed bytes, scalars 32 bytes. */
type Decoded = Readonly<{ gamma: Uint8Array; c: Uint8Array; s: Uint8Array }>;

function scalarBytes(value: bigint): Uint8Array {
  return fromHex(`0x${value.toString(16).padStart(64, '0')}`);
}

/** Section 5.4.1.1: the first counter for which the hash is the x of a point, with even y. */
function hashToCurve(publicKey: Uint8Array, alpha: Uint8Array, curve: Secp256k1): Uint8Array {
  for (let counter = 0; counter < 256; counter++) {
    const hash = sha256(Uint8Array.of(SUITE, 1), publicKey, alpha, Uint8Array.of(counter));
    const point = curve.point(concat(Uint8Array.of(2), hash));
    if (point !== null) return point;
  }
  throw new Error('vrf: no point in 256 tries'); // probability 2^-256
}

/** Section 5.4.3, as a scalar. */
function challenge(...points: readonly Uint8Array[]): Uint8Array {
  const hash = sha256(Uint8Array.of(SUITE, 2), ...points);
  return concat(new Uint8Array(32 - CHALLENGE_BYTES), hash.subarray(0, CHALLENGE_BYTES));
}

/** Section 5.4.2.1: the nonce of RFC 6979 section 3.2, where h1 is the first 32 bytes of the point itself. */
function nonce(secretKey: Uint8Array, h: Uint8Array): Uint8Array {
  const h1 = toBigInt(h.subarray(0, 32)) % ORDER;
  const seed = concat(secretKey, scalarBytes(h1));
  let k = new Uint8Array(32);
  let v = new Uint8Array(32).fill(1);
  const mac = (key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> =>
    new Uint8Array(hmac(nobleSha256, key, data));
  for (const separator of [0, 1]) {
    k = mac(k, concat(v, Uint8Array.of(separator), seed));
    v = mac(k, v);
  }
  for (;;) {
    v = mac(k, v);
    const candidate = toBigInt(v);
    if (candidate > 0n && candidate < ORDER) return v;
    k = mac(k, concat(v, Uint8Array.of(0)));
    v = mac(k, v);
  }
}

function gammaToBeta(gamma: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(SUITE, 3), gamma);
}

/** Proof of 81 bytes and output beta of 32 bytes for the input `alpha`. Throws on a secret key out of range. */
export function vrfProve(
  secretKey: Uint8Array,
  alpha: Uint8Array,
  curve: Secp256k1 = secp256k1,
): Readonly<{ proof: Uint8Array; beta: Uint8Array }> {
  const secret = toBigInt(secretKey);
  check(secretKey.length === 32 && secret > 0n && secret < ORDER, 'vrfProve: secret key out of range');
  const baseTimes = (scalar: Uint8Array): Uint8Array => present(curve.point(curve.publicKey(scalar)), 'public key');
  const h = hashToCurve(baseTimes(secretKey), alpha, curve);
  const gamma = curve.multiplySecret(h, secretKey);
  const k = nonce(secretKey, h);
  const c = challenge(h, gamma, baseTimes(k), curve.multiplySecret(h, k));
  const s = (toBigInt(k) + toBigInt(c) * secret) % ORDER;
  const proof = concat(gamma, c.subarray(32 - CHALLENGE_BYTES), scalarBytes(s));
  return { proof, beta: gammaToBeta(gamma) };
}

/** Section 5.4.4; null on anything but 81 canonical bytes. */
function decodeProof(proof: Uint8Array, curve: Secp256k1): Decoded | null {
  if (proof.length !== VRF_PROOF_BYTES) return null;
  const gamma = curve.point(proof.subarray(0, 33));
  const s = proof.subarray(49);
  if (gamma === null || toBigInt(s) >= ORDER) return null;
  return { gamma, c: concat(new Uint8Array(32 - CHALLENGE_BYTES), proof.subarray(33, 49)), s };
}

/** Output of a proof, unverified; null when it does not decode. */
export function vrfProofToHash(proof: Uint8Array): Uint8Array | null {
  const decoded = decodeProof(proof, secp256k1);
  return decoded === null ? null : gammaToBeta(decoded.gamma);
}

/** a - b, where null is the point at infinity. */
function minus(a: Uint8Array | null, b: Uint8Array | null, curve: Secp256k1): Uint8Array | null {
  if (b === null) return a;
  if (a !== null) return curve.subtract(a, b);
  const negative = b.slice();
  negative[0] = (negative[0] as number) ^ 1;
  return negative;
}

const bases = new WeakMap<Secp256k1, Uint8Array>();

/** The group's base point, made once for each implementation. */
function basePoint(curve: Secp256k1): Uint8Array {
  const known = bases.get(curve);
  if (known !== undefined) return known;
  const base = present(curve.point(curve.publicKey(ONE)), 'base point');
  bases.set(curve, base);
  return base;
}

/** Output beta (32 bytes) of a valid proof by `publicKey` (33 or 65 bytes) for `alpha`, else null. Section 5.3. */
export function vrfVerify(
  publicKey: Uint8Array,
  alpha: Uint8Array,
  proof: Uint8Array,
  curve: Secp256k1 = secp256k1,
): Uint8Array | null {
  const key = curve.point(publicKey);
  const decoded = decodeProof(proof, curve);
  if (key === null || decoded === null) return null;
  const { gamma, c, s } = decoded;
  const h = hashToCurve(key, alpha, curve);
  const u = minus(curve.multiply(basePoint(curve), s), curve.multiply(key, c), curve);
  const v = minus(curve.multiply(h, s), curve.multiply(gamma, c), curve);
  if (u === null || v === null) return null;
  return equal(challenge(h, gamma, u, v), c) ? gammaToBeta(gamma) : null;
}
