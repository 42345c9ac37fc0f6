// Owns the words for a revert: Error(string) and Panic(uint256) of Solidity, otherwise geth's bare sentence.

import { toBigInt, toHex } from '../base/bytes.ts';

/** Selectors of Error(string) and Panic(uint256). */
const ERROR = '0x08c379a0';
const PANIC = '0x4e487b71';
/** Longest reason repeated to a caller, in bytes. */
const REASON_BYTES = 1_024;

const PANIC_WORDS: Readonly<Record<string, string>> = {
  '1': 'assert(false)',
  '17': 'arithmetic underflow or overflow',
  '18': 'division or modulo by zero',
  '33': 'enum overflow',
  '34': 'invalid encoded storage byte array accessed',
  '49': 'out-of-bounds array access; popping on an empty array',
  '50': 'out-of-bounds access of an array or bytesN',
  '65': 'out of memory',
  '81': 'uninitialized function',
};

/** "execution reverted" with the reason when the bytes carry one. */
export function revertReason(data: Uint8Array): string {
  const selector = toHex(data.subarray(0, 4));
  if (selector === PANIC && data.length === 36) {
    const code = toBigInt(data.subarray(4));
    const words = PANIC_WORDS[code.toString()] ?? `unknown panic code: 0x${code.toString(16)}`;
    return `execution reverted: ${words}`;
  }
  if (selector !== ERROR || data.length < 68) return 'execution reverted';
  const length = toBigInt(data.subarray(36, 68));
  if (toBigInt(data.subarray(4, 36)) !== 32n || length > BigInt(data.length - 68)) return 'execution reverted';
  const text = data.subarray(68, 68 + Math.min(Number(length), REASON_BYTES));
  return `execution reverted: ${Buffer.from(text).toString('utf8')}`;
}
