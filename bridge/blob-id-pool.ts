// Owns the worker thread that computes blob ids: its queue, its restart after a crash, its end when idle.

import { Worker } from 'node:worker_threads';
import { type Result, fault, success } from '../base/fault.ts';
import { WALRUS_SHARDS, blobIdText } from './blob-id.ts';
import type { IdAnswer, IdRequest } from './blob-id-worker.ts';
import { BRIDGE_LIMITS } from './limits.ts';

export type BlobIdPool = Readonly<{
  /**
   * Blob id of bytes, or of the file at a path. About 1.3 s plus 50 ms a MiB on a free core.
   * Faults: `too-many-blobs` (queue full), `blob-id-failed`, `stopped`.
   */
  blobId(source: Uint8Array | string, shards?: number): Promise<Result<string>>;
  stop(): Promise<void>;
}>;

type Job = Readonly<{ request: IdRequest; resolve(result: Result<string>): void }>;

export function createBlobIdPool(): BlobIdPool {
  const queue: Job[] = [];
  let active: Job | null = null;
  let worker: Worker | null = null;
  let idle: NodeJS.Timeout | undefined;
  let serial = 0;
  let isStopped = false;

  function start(): Worker {
    const made = new Worker(new URL('./blob-id-worker.js', import.meta.url));
    made.on('message', (answer: IdAnswer) => {
      if (answer.serial !== active?.request.serial) return;
      finish(
        'blobId' in answer
          ? success(blobIdText(answer.blobId))
          : fault('blob-id-failed', `computing the blob id failed: ${answer.error}`),
      );
    });
    const onEnd = (why: unknown): void => {
      if (worker !== made) return;
      worker = null;
      if (active !== null) finish(fault('blob-id-failed', `the blob id thread ended: ${String(why).slice(0, 200)}`));
    };
    made.on('error', onEnd);
    made.on('exit', onEnd);
    return made;
  }

  function finish(result: Result<string>): void {
    const done = active;
    active = null;
    done?.resolve(result);
    next();
  }

  function next(): void {
    if (active !== null || isStopped) return;
    const job = queue.shift();
    if (job === undefined) {
      worker?.unref();
      idle = setTimeout(() => void retire(), BRIDGE_LIMITS.idWorkerIdleMs).unref();
      return;
    }
    clearTimeout(idle);
    active = job;
    worker ??= start();
    worker.ref();
    worker.postMessage(job.request);
  }

  async function retire(): Promise<void> {
    clearTimeout(idle);
    const ending = worker;
    worker = null;
    await ending?.terminate();
  }

  return {
    blobId(source, shards = WALRUS_SHARDS) {
      if (isStopped) return Promise.resolve(fault('stopped', 'the blob id thread is stopped'));
      if (queue.length >= BRIDGE_LIMITS.idQueue) {
        return Promise.resolve(fault('too-many-blobs', `more than ${BRIDGE_LIMITS.idQueue} blobs wait for their ids`));
      }
      return new Promise((resolve) => {
        serial += 1;
        queue.push({ request: { serial, shards, source }, resolve });
        next();
      });
    },
    async stop() {
      isStopped = true;
      const refusal = fault('stopped', 'the blob id thread is stopped');
      for (const job of queue.splice(0)) job.resolve(refusal);
      active?.resolve(refusal);
      active = null;
      await retire();
    },
  };
}
