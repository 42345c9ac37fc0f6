// Owns the signing of the node's own transactions: EIP-1559 only (type 2). Keys stay here; nonces and fees are asked of the chain.

import { RLP } from '@ethereumjs/rlp';
import { type Hex, concat, fromHex, toHex } from '../base/bytes.ts';
import { keccak256 } from '../base/hash.ts';
import { signDigest } from '../base/keys.ts';

/** Fields of an EIP-1559 transaction; amounts in the smallest unit, `to` null creates a contract. */
export type FeeMarketTransaction = Readonly<{
  chainId: bigint;
  nonce: bigint;
  maxPriorityFeePerGas: bigint;
  maxFeePerGas: bigint;
  gas: bigint;
  to: Hex | null;
  value: bigint;
  data: Uint8Array;
}>;

const TYPE = Uint8Array.of(2);

/** Whole number as RLP wants it: big-endian without leading zeros, 0 as the empty string. */
function whole(value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array(0);
  const text = value.toString(16);
  return fromHex(`0x${text.length % 2 === 0 ? '' : '0'}${text}`);
}

/** Signed EIP-2718 bytes and their hash (EIP-1559: 0x02 ‖ rlp(fields, y parity, r, s)). */
export function signTransaction(
  transaction: FeeMarketTransaction,
  secretKey: Uint8Array,
): Readonly<{ raw: Uint8Array; hash: Hex }> {
  const fields = [
    whole(transaction.chainId),
    whole(transaction.nonce),
    whole(transaction.maxPriorityFeePerGas),
    whole(transaction.maxFeePerGas),
    whole(transaction.gas),
    transaction.to === null ? new Uint8Array(0) : fromHex(transaction.to),
    whole(transaction.value),
    transaction.data,
    [],
  ];
  const signature = signDigest(keccak256(concat(TYPE, RLP.encode(fields))), secretKey);
  const parity = whole(BigInt(signature[64] as number));
  const r = whole(BigInt(toHex(signature.subarray(0, 32))));
  const s = whole(BigInt(toHex(signature.subarray(32, 64))));
  const raw = concat(TYPE, RLP.encode([...fields, parity, r, s]));
  return { raw, hash: toHex(keccak256(raw)) };
}
