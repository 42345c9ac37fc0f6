// Owns the computation of blob ids, in a thread of its own: one takes seconds and never yields. Started by
// bridge/blob-id-pool.ts; the only file that loads @mysten/walrus-wasm.

import { readFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { BlobEncoder } from '@mysten/walrus-wasm';
import { lowerThreadPriority } from '../base/thread-priority.ts';
import { BRIDGE_LIMITS } from './limits.ts';

/** A blob as bytes, or as a file so that they need not be copied between threads. */
export type IdRequest = Readonly<{ serial: number; shards: number; source: Uint8Array | string }>;
export type IdAnswer = Readonly<{ serial: number; blobId: Uint8Array }> | Readonly<{ serial: number; error: string }>;

lowerThreadPriority(BRIDGE_LIMITS.idNice);
const port = parentPort;
const encoders = new Map<number, BlobEncoder>();

function encoderFor(shards: number): BlobEncoder {
  let encoder = encoders.get(shards);
  if (encoder === undefined) {
    encoder = new BlobEncoder(shards);
    encoders.set(shards, encoder);
  }
  return encoder;
}

port?.on('message', ({ serial, shards, source }: IdRequest) => {
  let answer: IdAnswer;
  try {
    const bytes = typeof source === 'string' ? readFileSync(source) : source;
    // The wasm answers [blob id, root hash, length, encoding type].
    const [blobId] = encoderFor(shards).compute_metadata(bytes) as [ArrayLike<number>];
    answer = { serial, blobId: Uint8Array.from(blobId) };
  } catch (error) {
    answer = { serial, error: String(error).slice(0, 300) };
  }
  port.postMessage(answer);
});
