// Owns the beacon: what the author of a block proves with its VRF key, and how the proof's output moves the mix on.

import { u64be } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { taggedHash } from '../base/hash.ts';
import { vrfProve, vrfVerify } from '../base/vrf.ts';

/** Input of the author's VRF at `height`: H("beacon", chain id, height, mix of the parent). 32 bytes. */
export function beaconAlpha(chainId: number | bigint, height: number, parentMix: Uint8Array): Uint8Array {
  check(parentMix.length === 32, 'beacon: a mix is 32 bytes');
  return taggedHash('beacon', u64be(chainId), u64be(height), parentMix);
}

/** Mix after a block whose author's VRF gave `beta`. 32 bytes; header.mixHash. */
export function nextMix(parentMix: Uint8Array, beta: Uint8Array): Uint8Array {
  check(parentMix.length === 32 && beta.length === 32, 'beacon: mix and beta are 32 bytes');
  return taggedHash('mix', parentMix, beta);
}

export type BeaconStep = Readonly<{ proof: Uint8Array; mix: Uint8Array }>;

/** What an author puts into its block: an 81-byte proof and the mix it leads to. Depends on nothing the author can choose. */
export function proveBeacon(
  chainId: number | bigint,
  height: number,
  parentMix: Uint8Array,
  secretKey: Uint8Array,
): BeaconStep {
  const { proof, beta } = vrfProve(secretKey, beaconAlpha(chainId, height, parentMix));
  return { proof, mix: nextMix(parentMix, beta) };
}

/** The mix a block's proof leads to, or null when the proof is not the author's. `publicKey` is 33 or 65 bytes. */
export function verifyBeacon(
  chainId: number | bigint,
  height: number,
  parentMix: Uint8Array,
  publicKey: Uint8Array,
  proof: Uint8Array,
): Uint8Array | null {
  const beta = vrfVerify(publicKey, beaconAlpha(chainId, height, parentMix), proof);
  return beta === null ? null : nextMix(parentMix, beta);
}
