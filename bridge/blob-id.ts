// Owns Walrus blob identity: the true blob id (RedStuff encoding, 1000 shards as on Mainnet and Testnet), its text form,
// the reference records carry, and the encoded size. The computation runs in bridge/blob-id-worker.ts.

import { type Hex, isHex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { BRIDGE_LIMITS } from './limits.ts';

/** Shards of Walrus Mainnet and Testnet; the blob id depends on it. */
export const WALRUS_SHARDS = 1_000;

/**
 * What records carry of a blob. Readers check `sha256` at line rate; `blobId` (base64url of 32 bytes, no padding) costs
 * seconds to recompute and is what Walrus and other chains know the blob by.
 */
export type BlobReference = Readonly<{ blobId: string; sha256: Hex; size: number }>;

const BLOB_ID = /^[A-Za-z0-9_-]{43}$/;

/** True for the canonical text of 32 bytes in base64url without padding. */
export function isBlobId(text: unknown): text is string {
  return typeof text === 'string' && BLOB_ID.test(text) && blobIdText(blobIdBytes(text)) === text;
}

export function blobIdText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/** The 32 bytes of a blob id that has been checked. */
export function blobIdBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64url'));
}

/** Reads a reference from untrusted JSON. Fault `malformed-reference` names the field. */
export function parseBlobReference(value: unknown): Result<BlobReference> {
  const { blobId, sha256, size } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const refuse = (why: string): Result<BlobReference> => fault('malformed-reference', `blob reference: ${why}`);
  if (!isBlobId(blobId)) return refuse('blobId is not 43 characters of base64url');
  if (!isHex(sha256, 32)) return refuse('sha256 is not 32 bytes of hex');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0 || size > BRIDGE_LIMITS.blobBytes) {
    return refuse(`size is not a whole number up to ${BRIDGE_LIMITS.blobBytes}`);
  }
  return success({ blobId, sha256: sha256.toLowerCase() as Hex, size });
}

/** Bytes a blob takes on Walrus: 2n slivers and every node's copy of the metadata (arXiv 2505.05370 section 4). */
export function encodedSize(size: number): number {
  const faulty = Math.floor((WALRUS_SHARDS - 1) / 3);
  const primary = WALRUS_SHARDS - 2 * faulty;
  const secondary = WALRUS_SHARDS - faulty;
  const exact = Math.floor((Math.max(size, 1) - 1) / (primary * secondary)) + 1;
  const symbol = exact + (exact % 2);
  const metadata = WALRUS_SHARDS * 64 + 32;
  return WALRUS_SHARDS * ((primary + secondary) * symbol + metadata);
}
