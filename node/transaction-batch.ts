// Owns the form in which several transactions travel: an RLP list of byte strings, bounded in number.

import { decodeRlp, encodeRlp } from '../chain/rlp.ts';
import { GOSSIP_BATCH_TRANSACTIONS } from './limits.ts';

export function encodeBatch(transactions: readonly Uint8Array[]): Uint8Array {
  return encodeRlp([...transactions]);
}

/** The transactions of a message, or null when it is none. They are copies: one of them must not keep the message in memory. */
export function decodeBatch(bytes: Uint8Array): readonly Uint8Array[] | null {
  const items = decodeRlp(bytes);
  if (!Array.isArray(items) || items.length === 0 || items.length > GOSSIP_BATCH_TRANSACTIONS) return null;
  const transactions = items.flatMap((item) => (item instanceof Uint8Array ? [item.slice()] : []));
  return transactions.length === items.length ? transactions : null;
}
