// Owns when this node's key signs for the consensus: never before the log and the sign state are durable, not while its past
// is unknown, and not at all on a node that only follows.

import { join } from 'node:path';
import type { Hex } from '../base/bytes.ts';
import { type Result, success } from '../base/fault.ts';
import { addressOfSecret, signDigest } from '../base/keys.ts';
import { type SigningDomain, domainId } from '../consensus/sign-bytes.ts';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';
import { type SignGuard, type SignPlace, openSignGuard } from './sign-guard.ts';

export type ConsensusSigner = Readonly<{
  /** Address of the key, or null on a follower. */
  address: Hex | null;
  /** Signature, or null where the guard or a hold-back forbids it. Throws on a storage error. `syncLog` runs first. */
  sign(place: SignPlace, digest: Uint8Array, syncLog: () => void): Uint8Array | null;
  /** True while this key must not sign at `height`, for a reason that passes by itself. */
  isWaiting(height: number): boolean;
  /** No signatures below `height` until then, or until `untilMs` of the monotonic clock. */
  holdBack(height: number, untilMs: number): void;
  /** True once a signature has left since the start. */
  hasSigned(): boolean;
  /** Place of the last signature on record. */
  lastSigned(): SignPlace | null;
  /** True for a key of which no signature is on record. */
  isUnused(): boolean;
  close(): void;
}>;

export type SignerOptions = Readonly<{
  key: Uint8Array | null;
  domain: SigningDomain;
  directory: string;
  mayCreate: boolean;
  maySign: () => boolean;
  clock: Clock;
  log: Logger;
}>;

/** Signer of a node without a key. */
export const FOLLOWER: ConsensusSigner = {
  address: null,
  sign: () => null,
  isWaiting: () => false,
  holdBack: () => {},
  hasSigned: () => false,
  lastSigned: () => null,
  isUnused: () => false,
  close: () => {},
};

/** Signer of a key with its sign state in `directory`. Faults: openSignGuard's. */
export function openConsensusSigner(options: SignerOptions): Result<ConsensusSigner> {
  const { key, domain, directory, mayCreate, maySign, clock, log } = options;
  if (key === null) return success(FOLLOWER);
  const address = addressOfSecret(key);
  const opened = openSignGuard({
    path: join(directory, 'sign-state.bin'),
    domainId: domainId(domain, address),
    mayCreate,
  });
  if (!opened.ok) return opened;
  const guard: SignGuard = opened.value;
  let heldBelow = 0;
  let heldUntilMs = 0;
  let hasSigned = false;
  const isWaiting = (height: number): boolean => (height < heldBelow && clock.monotonic() < heldUntilMs) || !maySign();
  return success({
    address,
    isWaiting,
    sign(place, digest, syncLog) {
      if (isWaiting(place.height)) return null;
      // The inputs a signature rests on must outlive a crash, or a lock could be forgotten.
      syncLog();
      const signed = guard.sign(place, digest, (bytes) => signDigest(bytes, key));
      if (signed.ok) {
        hasSigned = true;
        return signed.value;
      }
      if (signed.code === 'sign-guard/storage') throw new Error(signed.message);
      log.warn('signature-refused', { code: signed.code, ...place });
      return null;
    },
    holdBack(height, untilMs) {
      heldBelow = Math.max(heldBelow, height);
      heldUntilMs = untilMs;
    },
    hasSigned: () => hasSigned,
    lastSigned: guard.last,
    isUnused: () => guard.last() === null,
    close: () => guard.close(),
  });
}
