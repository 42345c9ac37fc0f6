// Owns how transactions reach the pool and the peers: own ones go out in batches, others' are judged by the pool.

import type { Hex } from '../base/bytes.ts';
import { type Result, success } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import type { PeerNode, Verdict } from '../net/api.ts';
import type { Clock } from './clock.ts';
import { GOSSIP_BATCH_BYTES, GOSSIP_BATCH_TRANSACTIONS, GOSSIP_WAIT_MS, RECOVERY_LEAST } from './limits.ts';
import type { SenderRecovery } from './sender-recovery.ts';
import { decodeBatch, encodeBatch } from './transaction-batch.ts';

export type TransactionGossip = Readonly<{
  /** Puts a transaction into the pool and spreads it. A Fault is the pool's. */
  submit(raw: Uint8Array): Promise<Result<Hex>>;
  /** Has the senders of what will be submitted together recovered beside this thread. */
  prepare(transactions: readonly Uint8Array[]): Promise<void>;
}>;

/** Codes of the pool that any honest node would give whatever its height: the sender is at fault. */
const BLAMED = new Set(['badTransaction', 'badSignature', 'wrongChain', 'oversized']);

export function createTransactionGossip(
  chain: Pick<Chain, 'pool' | 'onHead'>,
  peerNode: Pick<PeerNode, 'subscribe' | 'publish' | 'peers'>,
  clock: Clock,
  senders: SenderRecovery,
): TransactionGossip {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  const take = (raw: Uint8Array): Result<Hex> => chain.pool.add(raw, clock.monotonic(), senders.take);

  // Sealing and sending a message costs more than taking in the transactions it holds.
  function flush(): void {
    if (waiting.length === 0) return;
    const batch = encodeBatch(waiting);
    waiting = [];
    bytes = 0;
    // Nobody waits for the spreading. A failure to publish comes back as a value.
    void peerNode.publish('transactions', batch);
  }

  function spread(raw: Uint8Array): void {
    if (peerNode.peers().length === 0) return;
    if (waiting.length === 0) clock.after(GOSSIP_WAIT_MS, flush);
    waiting.push(raw);
    bytes += raw.length;
    if (bytes >= GOSSIP_BATCH_BYTES || waiting.length === GOSSIP_BATCH_TRANSACTIONS) flush();
  }

  /**
   * A message is handed on as it is when all of it was news that the pool took. Of any other only what was taken goes on,
   * in a message of this node: nobody's stale transactions ride along on a good one.
   */
  peerNode.subscribe('transactions', async (message): Promise<Verdict> => {
    const transactions = decodeBatch(message);
    if (transactions === null) return 'reject';
    await senders.prepare(message, transactions.length);
    const taken: Uint8Array[] = [];
    let verdict: Verdict = 'accept';
    for (const raw of transactions) {
      const added = take(raw);
      if (added.ok) taken.push(raw);
      else verdict = 'ignore';
      if (added.ok || !BLAMED.has(added.code)) continue;
      verdict = 'reject';
      break;
    }
    if (verdict !== 'accept') for (const raw of taken) spread(raw);
    return verdict;
  });
  chain.onHead(() => chain.pool.expire(clock.monotonic()));
  return {
    async submit(raw) {
      const added = take(raw);
      if (!added.ok) return added;
      spread(raw);
      return success(added.value);
    },
    async prepare(transactions) {
      if (transactions.length >= RECOVERY_LEAST) await senders.prepare(encodeBatch(transactions), transactions.length);
    },
  };
}
