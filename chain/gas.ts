// Owns the gas a transaction owes before it runs: intrinsic gas and the calldata floor, Prague rules.

import type { Transaction } from './api.ts';

const BASE = 21_000n;
const ZERO_BYTE = 4n;
const NONZERO_BYTE = 16n;
const CREATE = 32_000n;
const INIT_CODE_WORD = 2n;
const ACCESS_ADDRESS = 2_400n;
const ACCESS_KEY = 1_900n;
/** EIP-7702, per authorization. */
const AUTHORIZATION = 25_000n;
/** EIP-7623: floor gas of a token; a zero byte is one token, another byte four. */
const FLOOR_TOKEN = 10n;

type Priced = Pick<Transaction, 'to' | 'input'> & {
  readonly accessList: Transaction['accessList'];
  readonly authorizationList: Transaction['authorizationList'];
};

function zeros(data: Uint8Array): bigint {
  let count = 0;
  for (const byte of data) if (byte === 0) count++;
  return BigInt(count);
}

/** Intrinsic gas (yellow paper 6.2; EIP-2028, 2930, 3860, 7702). */
export function intrinsicGas(tx: Priced): bigint {
  const zero = zeros(tx.input);
  const length = BigInt(tx.input.length);
  let gas = BASE + zero * ZERO_BYTE + (length - zero) * NONZERO_BYTE;
  if (tx.to === null) gas += CREATE + INIT_CODE_WORD * ((length + 31n) / 32n);
  for (const item of tx.accessList ?? []) gas += ACCESS_ADDRESS + ACCESS_KEY * BigInt(item.storageKeys.length);
  return gas + AUTHORIZATION * BigInt(tx.authorizationList?.length ?? 0);
}

/** Least gas a transaction with this calldata pays (EIP-7623). */
export function floorGas(data: Uint8Array): bigint {
  const zero = zeros(data);
  return BASE + FLOOR_TOKEN * (zero + 4n * (BigInt(data.length) - zero));
}
