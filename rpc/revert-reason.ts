// Owns the words for failed calls: Solidity's Error(string) and Panic(uint256) payloads decoded as geth prints them.

import { toBigInt, toHex } from '../base/bytes.ts';
import { type Fault, fault } from '../base/fault.ts';
import type { CallOutcome } from '../chain/api.ts';

const ERROR_SELECTOR = '0x08c379a0';
const PANIC_SELECTOR = '0x4e487b71';
const REASON_BYTES = 4_096;

/** Solidity documentation, "Panic via assert and Error via require". */
const panics: ReadonlyMap<bigint, string> = new Map([
  [0x00n, 'generic panic'],
  [0x01n, 'assert(false)'],
  [0x11n, 'arithmetic underflow or overflow'],
  [0x12n, 'division or modulo by zero'],
  [0x21n, 'enum overflow'],
  [0x22n, 'invalid encoded storage byte array accessed'],
  [0x31n, 'out-of-bounds array access; popping on an empty array'],
  [0x32n, 'out-of-bounds access of an array or bytesN'],
  [0x41n, 'out of memory'],
  [0x51n, 'uninitialized function'],
]);

/** The reason in revert bytes, or null when they hold none. */
export function revertReason(returned: Uint8Array): string | null {
  if (returned.length < 36) return null;
  const selector = toHex(returned.subarray(0, 4));
  const body = returned.subarray(4);
  if (selector === PANIC_SELECTOR) {
    const code = toBigInt(body.subarray(0, 32));
    return panics.get(code) ?? `unknown panic code: 0x${code.toString(16)}`;
  }
  if (selector !== ERROR_SELECTOR || body.length < 64) return null;
  const length = toBigInt(body.subarray(32, 64));
  if (toBigInt(body.subarray(0, 32)) !== 32n || length > BigInt(Math.min(REASON_BYTES, body.length - 64))) return null;
  return Buffer.from(body.subarray(64, 64 + Number(length))).toString('utf8');
}

/** The refusal a failed call is answered with: `reverted` (JSON-RPC code 3, bytes as data) or `callFailed`. */
export function callFault(outcome: CallOutcome): Fault | null {
  if (outcome.failure === null) return null;
  if (outcome.failure.kind === 'exception') return fault('callFailed', outcome.failure.message);
  return revertFault(outcome.returned);
}

export function revertFault(returned: Uint8Array): Fault {
  const reason = revertReason(returned);
  const message = reason === null ? 'execution reverted' : `execution reverted: ${reason}`;
  return fault('reverted', message, { data: toHex(returned) });
}
