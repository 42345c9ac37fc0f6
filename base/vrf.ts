// Owns the verifiable random function ECVRF-SECP256K1-SHA256-TAI: draft-irtf-cfrg-vrf-04 with suite byte 0xFE. One key and
// one input have one output. Where the input comes from is consensus/mix.ts and the audits.

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { Point } from '@noble/secp256k1';
import { concat, equal, fromHex, toBigInt } from './bytes.ts';
import { check } from './check.ts';
import { sha256 } from './hash.ts';

/** Bytes of a proof: compressed point gamma 33 ‖ challenge c 16 ‖ response s 32. */
const VRF_PROOF_BYTES = 81;

const SUITE = 0xfe;
const ORDER = Point.CURVE().n;
const CHALLENGE_BYTES = 16;

type Decoded = Readonly<{ gamma: Point; c: bigint; s: bigint }>;

function scalarBytes(value: bigint): Uint8Array {
  return fromHex(`0x${value.toString(16).padStart(64, '0')}`);
}

function pointOf(bytes: Uint8Array): Point | null {
  try {
    const point = Point.fromBytes(bytes);
    point.assertValidity();
    return point;
  } catch {
    return null;
  }
}

/** Section 5.4.1.1: the first counter for which the hash is the x of a point, with even y. */
function hashToCurve(publicKey: Uint8Array, alpha: Uint8Array): Point {
  for (let counter = 0; counter < 256; counter++) {
    const hash = sha256(Uint8Array.of(SUITE, 1), publicKey, alpha, Uint8Array.of(counter));
    const point = pointOf(concat(Uint8Array.of(2), hash));
    if (point !== null) return point;
  }
  throw new Error('vrf: no point in 256 tries'); // probability 2^-256
}

/** Section 5.4.3. */
function challenge(...points: readonly Point[]): bigint {
  const bytes = points.map((point) => point.toBytes(true));
  return toBigInt(sha256(Uint8Array.of(SUITE, 2), ...bytes).subarray(0, CHALLENGE_BYTES));
}

/** Section 5.4.2.1: the nonce of RFC 6979 section 3.2, where h1 is the first 32 bytes of the point itself. */
function nonce(secret: bigint, h: Point): bigint {
  const h1 = toBigInt(h.toBytes(true).subarray(0, 32)) % ORDER;
  const seed = concat(scalarBytes(secret), scalarBytes(h1));
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
    if (candidate > 0n && candidate < ORDER) return candidate;
    k = mac(k, concat(v, Uint8Array.of(0)));
    v = mac(k, v);
  }
}

function gammaToBeta(gamma: Point): Uint8Array {
  return sha256(Uint8Array.of(SUITE, 3), gamma.toBytes(true));
}

/** Proof of 81 bytes and output beta of 32 bytes for the input `alpha`. Throws on a secret key out of range. */
export function vrfProve(secretKey: Uint8Array, alpha: Uint8Array): Readonly<{ proof: Uint8Array; beta: Uint8Array }> {
  const secret = toBigInt(secretKey);
  check(secretKey.length === 32 && secret > 0n && secret < ORDER, 'vrfProve: secret key out of range');
  const h = hashToCurve(Point.BASE.multiply(secret).toBytes(true), alpha);
  const gamma = h.multiply(secret);
  const k = nonce(secret, h);
  const c = challenge(h, gamma, Point.BASE.multiply(k), h.multiply(k));
  const s = (k + c * secret) % ORDER;
  const proof = concat(gamma.toBytes(true), scalarBytes(c).subarray(32 - CHALLENGE_BYTES), scalarBytes(s));
  return { proof, beta: gammaToBeta(gamma) };
}

/** Section 5.4.4; null on anything but 81 canonical bytes. */
function decodeProof(proof: Uint8Array): Decoded | null {
  if (proof.length !== VRF_PROOF_BYTES) return null;
  const gamma = pointOf(proof.subarray(0, 33));
  const s = toBigInt(proof.subarray(49));
  if (gamma === null || s >= ORDER) return null;
  return { gamma, c: toBigInt(proof.subarray(33, 49)), s };
}

/** Output of a proof, unverified; null when it does not decode. */
export function vrfProofToHash(proof: Uint8Array): Uint8Array | null {
  const decoded = decodeProof(proof);
  return decoded === null ? null : gammaToBeta(decoded.gamma);
}

/** Output beta (32 bytes) of a valid proof by `publicKey` (33 or 65 bytes) for `alpha`, else null. Section 5.3. */
export function vrfVerify(publicKey: Uint8Array, alpha: Uint8Array, proof: Uint8Array): Uint8Array | null {
  const key = pointOf(publicKey);
  const decoded = decodeProof(proof);
  if (key === null || decoded === null) return null;
  const { gamma, c, s } = decoded;
  const h = hashToCurve(key.toBytes(true), alpha);
  const u = Point.BASE.multiply(s, false).add(key.multiply(c, false).negate());
  const v = h.multiply(s, false).add(gamma.multiply(c, false).negate());
  if (u.is0() || v.is0()) return null;
  const expected = challenge(h, gamma, u, v);
  return equal(scalarBytes(expected), scalarBytes(c)) ? gammaToBeta(gamma) : null;
}
