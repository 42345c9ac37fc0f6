// Owns the bytes of an authority's verdicts on a round: one record of 38 bytes a claim, and the hash that hides them until the
// reveal. What a verdict says is trainer/audit.ts; what it counts is RoundAudit.sol.

import { type Hex, concat, fromHex, toHex, u256be, u32be } from '../../base/bytes.ts';
import { type Result, fault, success } from '../../base/fault.ts';
import { keccak256 } from '../../base/hash.ts';
import type { VerdictEntry } from './api.ts';
import { MAX_SEATS } from './limits.ts';
import { VERDICT_CODES, verdictOf } from './words.ts';

/** Bytes of a record: seat u8, kind u8, step u32, digest 32. */
export const ENTRY_BYTES = 38;
/** Bytes of a proof of the draw (base/vrf.ts). */
export const DRAW_PROOF_BYTES = 81;

/** Digest of a verdict that has none: a claim that was passed. */
export const NO_DIGEST: Hex = `0x${'00'.repeat(32)}`;

/** Records in ascending order of seats, one for each committed claim. */
export function encodeEntries(entries: readonly VerdictEntry[]): Hex {
  const records = entries.map(({ seat, verdict, step, digest }) =>
    concat(Uint8Array.of(seat, VERDICT_CODES[verdict]), u32be(verdict === 'invalid' ? step : 0), fromHex(digest)),
  );
  return toHex(concat(...records));
}

/** Reads {@link encodeEntries}. Fault 'verdicts' when length, order or a kind is not of the form. */
export function decodeEntries(bytes: Uint8Array): Result<readonly VerdictEntry[]> {
  const count = bytes.length / ENTRY_BYTES;
  if (!Number.isInteger(count) || count > MAX_SEATS)
    return fault('verdicts', `verdicts: ${bytes.length} bytes, not up to ${MAX_SEATS} records of ${ENTRY_BYTES}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: VerdictEntry[] = [];
  for (let at = 0; at < bytes.length; at += ENTRY_BYTES) {
    const [seat, code] = [view.getUint8(at), view.getUint8(at + 1)];
    const verdict = verdictOf(code);
    if (verdict === null) return fault('verdicts', `verdicts: seat ${seat} has kind ${code}`);
    if (seat <= (entries.at(-1)?.seat ?? -1)) return fault('verdicts', `verdicts: seat ${seat} is out of order`);
    entries.push({ seat, verdict, step: view.getUint32(at + 2), digest: toHex(bytes.slice(at + 6, at + 38)) });
  }
  return success(entries);
}

const word = (hex: Hex): Uint8Array => concat(new Uint8Array(32 - (hex.length - 2) / 2), fromHex(hex));

/** keccak256(abi.encode(round, authority, keccak256(entries), nonce)): what is committed before the reveal. */
export function verdictsHash(round: number, authority: Hex, entries: Hex, nonce: Hex): Hex {
  return toHex(keccak256(concat(u256be(BigInt(round)), word(authority), keccak256(fromHex(entries)), word(nonce))));
}

/** keccak256(abi.encode(layer)): what a trainer registers of a canary layer (32 bytes). */
export function canaryLayerHash(layer: Hex): Hex {
  return toHex(keccak256(word(layer)));
}

/** True when the lot of a round fell on this trainer: keccak256(abi.encode(seed, trainer, layer)) mod 10,000 < canaryBps. */
export function ownsCanary(seed: Hex, trainer: Hex, layer: Hex, canaryBps: number): boolean {
  const ticket = keccak256(concat(word(seed), word(trainer), word(layer)));
  return BigInt(toHex(ticket)) % 10_000n < BigInt(canaryBps);
}

/** keccak256(abi.encode(round, trainer, step, layer)): what a commitment carries of its canary. */
export function canaryHash(round: number, trainer: Hex, step: number, layer: Hex): Hex {
  return toHex(keccak256(concat(u256be(BigInt(round)), word(trainer), u256be(BigInt(step)), word(layer))));
}
