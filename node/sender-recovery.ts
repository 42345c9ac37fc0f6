// Owns the senders of transactions that come in batches: a thread recovers them, half of what taking one in costs, while the
// node's own thread goes on. What the thread does not answer is recovered where it is needed.

import { Worker } from 'node:worker_threads';
import { toHex } from '../base/bytes.ts';
import type { Address, Hash } from '../chain/api.ts';
import { RECOVERY_BATCHES, RECOVERY_LEAST, RECOVERY_SENDERS } from './limits.ts';
import type { Logger } from './logger.ts';

export type RecoveryTask = Readonly<{ id: number; batch: Uint8Array }>;
/** Hash of 32 and sender of 20 bytes, one after the other. */
export type RecoveryAnswer = Readonly<{ id: number; pairs: Uint8Array }>;

export type SenderRecovery = Readonly<{
  /** Resolves once the senders of an encoded batch of `count` transactions are known, or are not worth waiting for. */
  prepare(batch: Uint8Array, count: number): Promise<void>;
  /** The sender of a prepared transaction, once. */
  take(hash: Hash): Address | undefined;
  stop(): Promise<void>;
}>;

const HASH_BYTES = 32;
const PAIR_BYTES = HASH_BYTES + 20;

export function createSenderRecovery(log: Logger): SenderRecovery {
  const senders = new Map<Hash, Address>();
  const waiting = new Map<number, () => void>();
  let worker: Worker | null = null;
  let stopped = false;
  let next = 0;

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

  function start(): Worker {
    const started = new Worker(new URL('./recovery-worker.js', import.meta.url), { name: 'senders' });
    started.unref();
    started.on('message', ({ id, pairs }: RecoveryAnswer) => {
      keep(pairs);
      waiting.get(id)?.();
      waiting.delete(id);
    });
    started.on('error', (error) => log.error('sender recovery', { reason: String(error) }));
    started.on('exit', () => {
      worker = null;
      for (const done of waiting.values()) done();
      waiting.clear();
    });
    return started;
  }

  return {
    prepare(batch, count) {
      if (stopped || count < RECOVERY_LEAST || waiting.size >= RECOVERY_BATCHES) return Promise.resolve();
      worker ??= start();
      const id = next++;
      // Its own copy, handed over: a view would take all of what it is a view of along.
      const copy = batch.slice();
      worker.postMessage({ id, batch: copy } satisfies RecoveryTask, [copy.buffer]);
      return new Promise((done) => waiting.set(id, done));
    },
    take(hash) {
      const sender = senders.get(hash);
      if (sender !== undefined) senders.delete(hash);
      return sender;
    },
    async stop() {
      stopped = true;
      await worker?.terminate();
    },
  };
}
