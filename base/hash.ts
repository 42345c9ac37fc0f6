// Owns the hashes of the protocol: SHA-256 for bulk data and traces, Keccak-256 where the EVM needs it, with domain tags.

import { createHash } from 'node:crypto';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { concat, utf8 } from './bytes.ts';

/** SHA-256 (FIPS 180-4), 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** Keccak-256 as Ethereum uses it (yellow paper, appendix B), 32 bytes. */
export function keccak256(bytes: Uint8Array): Uint8Array {
  return keccak_256(bytes);
}

/** SHA-256 under a domain tag: H(SHA256(tag) ‖ parts), so no two uses of the hash can collide. */
export function taggedHash(tag: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(tagPrefix(tag), ...parts);
}

const tagPrefixes = new Map<string, Uint8Array>();

function tagPrefix(tag: string): Uint8Array {
  let prefix = tagPrefixes.get(tag);
  if (prefix === undefined) {
    prefix = sha256(concat(utf8('pol-node/'), utf8(tag)));
    tagPrefixes.set(tag, prefix);
  }
  return prefix;
}
