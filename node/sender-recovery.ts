// Owns the senders of transactions that come in batches: a thread recovers them, half of what taking one in costs, while the
// node's own thread goes on. What the thread does not answer is recovered where it is needed.

import { toHex } from '../base/bytes.ts';
import type { Address, Hash } from '../chain/api.ts';
import { RECOVERY_BATCHES, RECOVERY_LEAST, RECOVERY_SENDERS } from './limits.ts';
import type { ProofThread } from './proof-thread.ts';

export type SenderRecovery = Readonly<{
  /** Resolves once the senders of an encoded batch of `count` transactions are known, or are not worth waiting for. */
  prepare(batch: Uint8Array, count: number): Promise<void>;
  /** The sender of a prepared transaction, once. */
  take(hash: Hash): Address | undefined;
}>;

const HASH_BYTES = 32;
const PAIR_BYTES = HASH_BYTES + 20;

export function createSenderRecovery(thread: ProofThread): SenderRecovery {
  const senders = new Map<Hash, Address>();
  let waiting = 0;

  function keep(pairs: Uint8Array): void {
    for (let at = 0; at + PAIR_BYTES <= pairs.length; at += PAIR_BYTES) {
      const hash = toHex(pairs.subarray(at, at + HASH_BYTES));
      senders.set(hash, toHex(pairs.subarray(at + HASH_BYTES, at + PAIR_BYTES)));
    }
    for (const oldest of senders.keys()) {
      if (senders.size <= RECOVERY_SENDERS) break;
      senders.delete(oldest);
    }
  }

  return {
    async prepare(batch, count) {
      if (count < RECOVERY_LEAST || waiting >= RECOVERY_BATCHES) return;
      waiting++;
      // Its own copy: a view would take all of what it is a view of along.
      const pairs = await thread.senders(batch.slice());
      waiting--;
      keep(pairs);
    },
    take(hash) {
      const sender = senders.get(hash);
      if (sender !== undefined) senders.delete(hash);
      return sender;
    },
  };
}
