// Owns the node's end of the thread that checks signatures and beacon proofs ahead of the node's own thread. What it answers
// is a function of the bytes it was given; what it does not answer is checked where it is needed.

import { Worker } from 'node:worker_threads';
import type { Findings } from '../consensus/findings.ts';
import type { CertifiedBlock } from './consensus-options.ts';
import type { Logger } from './logger.ts';
import type { RunTask, SendersTask } from './proof-worker.ts';
import { revivedWorker } from './worker-channel.ts';

export type ProofThread = Readonly<{
  /** Hash of 32 and sender of 20 bytes of each sound transaction of an encoded batch; nothing when the thread ended. */
  senders(batch: Uint8Array): Promise<Uint8Array>;
  /** The same blocks with what the thread found of each; as they were when it ended. */
  examine(blocks: readonly CertifiedBlock[], task: Omit<RunTask, 'blocks'>): Promise<readonly CertifiedBlock[]>;
  stop(): Promise<void>;
}>;

/** Starts the thread at the first call. One that dies is started anew at the next. */
export function createProofThread(log: Logger): ProofThread {
  const thread = revivedWorker(
    () => {
      const worker = new Worker(new URL('./proof-worker.js', import.meta.url), { name: 'proofs' });
      worker.unref();
      return worker;
    },
    (reason) => log.error('proof thread', { reason }),
  );

  async function ask<T>(method: string, task: unknown, otherwise: T): Promise<T> {
    try {
      return await thread.channel().call<T>(method, task);
    } catch (error) {
      log.debug('proofs not checked ahead', { method, reason: String(error) });
      return otherwise;
    }
  }

  return {
    senders: (batch) => ask('senders', { batch } satisfies SendersTask, new Uint8Array(0)),
    async examine(blocks, task) {
      const found = await ask<readonly (Findings | null)[]>('examine', { ...task, blocks } satisfies RunTask, []);
      return blocks.map((block, i) => {
        const findings = found[i] ?? null;
        return findings === null ? block : { ...block, findings };
      });
    },
    stop: thread.close,
  };
}
