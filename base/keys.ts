// Owns secp256k1 keys: addresses, recoverable low-s signatures, recovery. Native code when its prebuilt binary loads,
// @noble/secp256k1 otherwise; tests hold the two equal. Key files are node/keystore.ts, signing rules node/sign-guard.ts.

import { createRequire } from 'node:module';
import * as noble from '@noble/secp256k1';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { type Hex, concat, toHex } from './bytes.ts';
import { check } from './check.ts';
import { keccak256 } from './hash.ts';

noble.hashes.sha256 = nobleSha256;
noble.hashes.hmacSha256 = (key, message) => hmac(nobleSha256, key, message);

/** What a secp256k1 implementation must do. Digests are 32 bytes, compact signatures r ‖ s of 64 bytes. */
export type Secp256k1 = Readonly<{
  name: 'native' | 'noble';
  /** Low-s signature by RFC 6979 and its recovery id 0 or 1. */
  sign(digest: Uint8Array, secretKey: Uint8Array): Readonly<{ compact: Uint8Array; recovery: number }>;
  /** Uncompressed public key of 65 bytes, or null when the signature belongs to no key. */
  recover(digest: Uint8Array, compact: Uint8Array, recovery: number): Uint8Array | null;
  /** Uncompressed public key of 65 bytes. */
  publicKey(secretKey: Uint8Array): Uint8Array;
  /** Compressed form of a point given in 33 or 65 bytes, or null when it is none. */
  point(bytes: Uint8Array): Uint8Array | null;
  /** Compressed product of a point and a scalar of 32 bytes below the order; null is the point at infinity. */
  multiply(point: Uint8Array, scalar: Uint8Array): Uint8Array | null;
  /** The same for a scalar that must stay secret and is not zero: its time does not tell it. */
  multiplySecret(point: Uint8Array, secretKey: Uint8Array): Uint8Array;
  /** Compressed difference of two points; null is the point at infinity. */
  subtract(a: Uint8Array, b: Uint8Array): Uint8Array | null;
}>;

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** The point with the other y. */
function negate(compressed: Uint8Array): Uint8Array {
  const out = compressed.slice();
  out[0] = (out[0] as number) ^ 1;
  return out;
}

export const nobleSecp256k1: Secp256k1 = {
  name: 'noble',
  sign(digest, secretKey) {
    const bytes = noble.sign(digest, secretKey, { prehash: false, lowS: true, format: 'recovered' });
    const recovery = bytes[0];
    check(recovery === 0 || recovery === 1, 'sign: recovery id is 0 or 1');
    return { compact: bytes.slice(1), recovery };
  },
  recover(digest, compact, recovery) {
    try {
      const bytes = concat(Uint8Array.of(recovery), compact);
      return noble.Point.fromBytes(noble.recoverPublicKey(bytes, digest, { prehash: false })).toBytes(false);
    } catch {
      return null;
    }
  },
  publicKey: (secretKey) => noble.getPublicKey(secretKey, false),
  point(bytes) {
    try {
      return noble.Point.fromBytes(bytes).assertValidity().toBytes(true);
    } catch {
      return null;
    }
  },
  multiply(point, scalar) {
    const product = noble.Point.fromBytes(point).multiply(BigInt(toHex(scalar)), false);
    return product.is0() ? null : product.toBytes(true);
  },
  multiplySecret: (point, secretKey) =>
    noble.Point.fromBytes(point)
      .multiply(BigInt(toHex(secretKey)))
      .toBytes(true),
  subtract(a, b) {
    const sum = noble.Point.fromBytes(a).add(noble.Point.fromBytes(b).negate());
    return sum.is0() ? null : sum.toBytes(true);
  },
};

type NativeModule = {
  ecdsaSign(digest: Uint8Array, secretKey: Uint8Array): { signature: Uint8Array; recid: number };
  ecdsaRecover(compact: Uint8Array, recovery: number, digest: Uint8Array, compressed: boolean): Uint8Array;
  publicKeyCreate(secretKey: Uint8Array, compressed: boolean): Uint8Array;
  publicKeyConvert(publicKey: Uint8Array, compressed: boolean): Uint8Array;
  publicKeyTweakMul(publicKey: Uint8Array, tweak: Uint8Array, compressed: boolean): Uint8Array;
  publicKeyCombine(publicKeys: readonly Uint8Array[], compressed: boolean): Uint8Array;
  ecdh(
    publicKey: Uint8Array,
    secretKey: Uint8Array,
    options: { hashfn: (x: Uint8Array, y: Uint8Array) => Uint8Array },
    output: Uint8Array,
  ): Uint8Array;
};

/** Bytes of x and y as the library's hash function of a key exchange is given them. */
const pointBytes = (x: Uint8Array, y: Uint8Array): Uint8Array => concat(Uint8Array.of(2 + ((y[31] as number) & 1)), x);

/** The native implementation, or null where its prebuilt binary does not load. */
export function loadNativeSecp256k1(): Secp256k1 | null {
  let native: NativeModule;
  try {
    native = createRequire(import.meta.url)('secp256k1/bindings') as NativeModule;
  } catch {
    return null;
  }
  return {
    name: 'native',
    sign(digest, secretKey) {
      const { signature, recid } = native.ecdsaSign(digest, secretKey);
      return { compact: new Uint8Array(signature), recovery: recid };
    },
    recover(digest, compact, recovery) {
      try {
        return new Uint8Array(native.ecdsaRecover(compact, recovery, digest, false));
      } catch {
        return null;
      }
    },
    publicKey: (secretKey) => new Uint8Array(native.publicKeyCreate(secretKey, false)),
    point(bytes) {
      // 65 bytes that begin with 6 or 7 are a hybrid form, which nothing here makes.
      if (bytes.length === 65 ? bytes[0] !== 4 : bytes.length !== 33) return null;
      try {
        return new Uint8Array(native.publicKeyConvert(bytes, true));
      } catch {
        return null;
      }
    },
    multiply: (point, scalar) =>
      isZero(scalar) ? null : new Uint8Array(native.publicKeyTweakMul(point, scalar, true)),
    // The key exchange is the library's product in constant time.
    multiplySecret: (point, secretKey) =>
      new Uint8Array(native.ecdh(point, secretKey, { hashfn: pointBytes }, new Uint8Array(33))),
    subtract(a, b) {
      if (a.every((byte, i) => byte === b[i])) return null;
      return new Uint8Array(native.publicKeyCombine([a, negate(b)], true));
    },
  };
}

/** The implementation in use. */
export const secp256k1: Secp256k1 = loadNativeSecp256k1() ?? nobleSecp256k1;

/** Half the group order: a signature with a greater s is malleable and refused (EIP-2). */
const HALF_ORDER = noble.Point.CURVE().n / 2n;

/** 0x-prefixed lower-case address of an uncompressed public key: the last 20 bytes of keccak256 (yellow paper, appendix F). */
export function addressOf(publicKey: Uint8Array): Hex {
  check(publicKey.length === 65, 'addressOf: public key is 65 bytes');
  return toHex(keccak256(publicKey.subarray(1)).subarray(12));
}

/** Address of a secret key of 32 bytes. */
export function addressOfSecret(secretKey: Uint8Array): Hex {
  return addressOf(secp256k1.publicKey(secretKey));
}

/** 65-byte signature r ‖ s ‖ recovery id over a 32-byte digest. */
export function signDigest(digest: Uint8Array, secretKey: Uint8Array): Uint8Array {
  check(digest.length === 32, 'signDigest: digest is 32 bytes');
  const { compact, recovery } = secp256k1.sign(digest, secretKey);
  return concat(compact, Uint8Array.of(recovery));
}

/** Address that signed, or null when the 65 bytes are malformed, high-s, or belong to no key. */
export function recoverSigner(digest: Uint8Array, signature: Uint8Array): Hex | null {
  if (digest.length !== 32 || signature.length !== 65) return null;
  const recovery = signature[64] ?? 0xff;
  if (recovery > 1) return null;
  if (BigInt(toHex(signature.subarray(32, 64))) > HALF_ORDER) return null;
  const publicKey = secp256k1.recover(digest, signature.subarray(0, 64), recovery);
  return publicKey === null ? null : addressOf(publicKey);
}

/** Compressed public key of 33 bytes (SEC 1, 2.3.3) of an uncompressed one. */
export function compressPublicKey(publicKey: Uint8Array): Uint8Array {
  check(publicKey.length === 65, 'compressPublicKey: public key is 65 bytes');
  return concat(Uint8Array.of(2 + ((publicKey[64] as number) & 1)), publicKey.subarray(1, 33));
}

/** Uncompressed key of 65 bytes, or null when the 33 bytes are no point of the curve. */
export function decompressPublicKey(compressed: Uint8Array): Uint8Array | null {
  if (compressed.length !== 33) return null;
  try {
    return noble.Point.fromBytes(compressed).toBytes(false);
  } catch {
    return null;
  }
}
