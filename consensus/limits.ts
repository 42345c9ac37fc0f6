// Owns every limit of the consensus layer, with the relations between them asserted when the file loads.

import { check } from '../base/check.ts';

/** Most authorities one network may have: certificates and vote traffic are sized for it. */
export const MAX_AUTHORITIES = 100;
/** Highest round of a height; a message beyond it is refused (Besu GHSA-23rh-rrqg-wq82). */
export const MAX_ROUND = 1_000;
/** Highest height: safe in a double and far beyond a century of one-second blocks. */
export const MAX_HEIGHT = 2 ** 48;
/** Largest encoded block a proposal may carry, in bytes. */
export const MAX_BLOCK_BYTES = 1_900_000;
/** Distinct proposals of one round that are kept: the first, and a second one as evidence. */
export const MAX_PROPOSALS_PER_ROUND = 2;
/** Distinct votes of one authority for one (round, type) that are kept: the first, and one conflicting as evidence. */
export const MAX_VOTES_PER_SLOT = 2;
/** Bytes of messages for the next height held back, over all senders. */
export const MAX_FUTURE_BYTES = 64 * 1024 * 1024;
/** Rounds of the next height for which messages are held back. */
export const MAX_FUTURE_ROUND = 10;
/** Bytes of one secp256k1 signature r ‖ s ‖ recovery id. */
export const SIGNATURE_BYTES = 65;
/** Bytes of the largest certificate: head, bitmap and a signature for each authority. */
export const MAX_CERTIFICATE_BYTES = 46 + Math.ceil(MAX_AUTHORITIES / 8) + MAX_AUTHORITIES * SIGNATURE_BYTES;
/** Bytes of the largest consensus message: a proposal with its block and polka certificate. */
export const MAX_MESSAGE_BYTES = MAX_BLOCK_BYTES + MAX_CERTIFICATE_BYTES + 256;
/** Rules that may fire on one event before the loop is called a defect. */
export const MAX_RULES_PER_EVENT = 10_000;

check(MAX_MESSAGE_BYTES <= 2 * 1024 * 1024, 'limits: a consensus message fits the 2 MiB frame of a peer');
check(MAX_FUTURE_BYTES >= 16 * MAX_MESSAGE_BYTES, 'limits: the future buffer holds several proposals');
check(MAX_HEIGHT < Number.MAX_SAFE_INTEGER, 'limits: heights are exact in a double');
