// Owns how transactions reach the pool and the peers: own ones are published, others' are judged by the pool.

import type { Hex } from '../base/bytes.ts';
import type { Result } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import type { PeerNode, Verdict } from '../net/api.ts';
import type { Clock } from './clock.ts';

export type TransactionGossip = Readonly<{
  /** Puts a transaction into the pool and spreads it. A Fault is the pool's. */
  submit(raw: Uint8Array): Promise<Result<Hex>>;
}>;

/** Codes of the pool that any honest node would give whatever its height: the sender is at fault. */
const BLAMED = new Set(['badTransaction', 'badSignature', 'wrongChain', 'oversized']);

export function createTransactionGossip(chain: Chain, peerNode: PeerNode, clock: Clock): TransactionGossip {
  peerNode.subscribe('transactions', (raw): Verdict => {
    const added = chain.pool.add(raw, clock.monotonic());
    if (added.ok) return 'accept';
    return BLAMED.has(added.code) ? 'reject' : 'ignore';
  });
  chain.onHead(() => chain.pool.expire(clock.monotonic()));
  return {
    async submit(raw) {
      const added = chain.pool.add(raw, clock.monotonic());
      // Nobody waits for the spreading; without peers there is none. A failure to publish comes back as a value.
      if (added.ok && peerNode.peers().length > 0) void peerNode.publish('transactions', raw);
      return added;
    },
  };
}
