// Owns how a failed call is answered: reverts with their bytes and reason, other failures with the EVM's words.

import { toHex } from '../base/bytes.ts';
import { type Fault, fault } from '../base/fault.ts';
import type { CallOutcome } from '../chain/api.ts';
import { revertReason } from '../chain/revert-reason.ts';

/** The refusal a failed call is answered with: `reverted` (JSON-RPC code 3, bytes as data) or `callFailed`; null on success. */
export function callFault(outcome: CallOutcome): Fault | null {
  if (outcome.failure === null) return null;
  if (outcome.failure.kind === 'exception') return fault('callFailed', outcome.failure.message);
  return revertFault(outcome.returned);
}

export function revertFault(returned: Uint8Array): Fault {
  return fault('reverted', revertReason(returned), { data: toHex(returned) });
}
