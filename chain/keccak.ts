// Owns the fast Keccak-256 of the chain: WebAssembly where it loads, @noble/hashes otherwise; equal by test.

import { createKeccak } from 'hash-wasm';
import { type Hex, toHex } from '../base/bytes.ts';
import { keccak256 as nobleKeccak256 } from '../base/hash.ts';

const hasher = await createKeccak(256).catch(() => null);

/** Keccak-256, 32 bytes. The caller may keep the result. */
export const keccak256: (bytes: Uint8Array) => Uint8Array =
  hasher === null ? nobleKeccak256 : (bytes) => hasher.init().update(bytes).digest('binary');

export function keccakHex(bytes: Uint8Array): Hex {
  return toHex(keccak256(bytes));
}

/** Which implementation runs, for logs and benches. */
export const keccakName: 'wasm' | 'noble' = hasher === null ? 'noble' : 'wasm';
