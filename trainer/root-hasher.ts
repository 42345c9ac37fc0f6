// Owns state roots on several threads: helper threads hash leaves of shared memory while the caller hashes its share. The
// root is that of base/merkle.ts whatever the number of threads.

import { Worker } from 'node:worker_threads';
import { check } from '../base/check.ts';
import { STATE_LEAF_BYTES, leafHash, merkleRoot, stateRoot } from '../base/merkle.ts';
import { nativeHashes } from '../engine/native-executor.ts';

export type RootHasher = Readonly<{
  threads: number;
  /** State root of bytes. Blocks the caller; only bytes in shared memory are divided among threads. */
  root(bytes: Uint8Array): Uint8Array;
  close(): Promise<void>;
}>;

/** One call's work, sent to every helper: blocks of leaves are taken from a shared counter. */
export type HashJob = Readonly<{
  memory: SharedArrayBuffer;
  offset: number;
  length: number;
  /** 32 bytes a leaf. */
  hashes: SharedArrayBuffer;
  /** Words: next block, blocks done. A helper that comes late finds no block left and touches nothing. */
  counters: SharedArrayBuffer;
}>;

const HASH_BYTES = 32;
/** Leaves of one block: 1 MiB, about half a millisecond of hashing. */
const BLOCK_LEAVES = 64;
const NEXT = 0;
const DONE = 1;
const MAX_HASH_THREADS = 16;
/** Less than this is not worth waking anyone. */
const LEAST_SHARED_BYTES = 4 << 20;
/** A helper holds a block for about a millisecond; one that died never gives it back. */
const PATIENCE_MS = 2_000;

/** Hashes on the calling thread alone. */
export const plainRootHasher: RootHasher = { threads: 1, root: oneThreadRoot, close: () => Promise.resolve() };

/** The state root by the processor's SHA instructions where the native library offers them. */
function oneThreadRoot(bytes: Uint8Array): Uint8Array {
  const native = nativeHashes();
  if (native === null || bytes.length === 0) return stateRoot(bytes);
  const leaves = Math.ceil(bytes.length / STATE_LEAF_BYTES);
  const hashes = new Uint8Array(HASH_BYTES * leaves);
  native.leaves(bytes, STATE_LEAF_BYTES, hashes);
  return native.fold(hashes, leaves);
}

/** A hasher with `threads - 1` helper threads. */
export function createRootHasher(threads: number): RootHasher {
  check(
    Number.isInteger(threads) && threads >= 1 && threads <= MAX_HASH_THREADS,
    'createRootHasher: threads out of range',
  );
  const helpers = Array.from({ length: threads - 1 }, () => {
    const worker = new Worker(new URL('./root-hasher-worker.js', import.meta.url));
    worker.unref();
    // A helper that ends is not replaced: whoever asks hashes its share too.
    worker.on('error', () => helpers.splice(helpers.indexOf(worker), 1));
    return worker;
  });
  function root(bytes: Uint8Array): Uint8Array {
    const { buffer, byteOffset: offset, length } = bytes;
    if (helpers.length === 0 || length < LEAST_SHARED_BYTES || !(buffer instanceof SharedArrayBuffer))
      return oneThreadRoot(bytes);
    const leaves = Math.ceil(length / STATE_LEAF_BYTES);
    const hashes = new SharedArrayBuffer(HASH_BYTES * leaves);
    const counters = new SharedArrayBuffer(8);
    const job: HashJob = { memory: buffer, offset, length, hashes, counters };
    for (const helper of helpers) helper.postMessage(job);
    hashBlocks(job);
    if (!allDone(job)) return oneThreadRoot(bytes);
    const all = new Uint8Array(hashes);
    const native = nativeHashes();
    if (native !== null) return native.fold(all, leaves);
    return merkleRoot(Array.from({ length: leaves }, (_, i) => all.slice(HASH_BYTES * i, HASH_BYTES * (i + 1))));
  }
  return {
    threads,
    root,
    async close() {
      await Promise.all(helpers.map((helper) => helper.terminate()));
    },
  };
}

/** Takes blocks until none is left. */
export function hashBlocks({ memory, offset, length, hashes, counters }: HashJob): void {
  const bytes = new Uint8Array(memory, offset, length);
  const out = new Uint8Array(hashes);
  const words = new Int32Array(counters);
  const leaves = Math.ceil(length / STATE_LEAF_BYTES);
  for (;;) {
    const first = Atomics.add(words, NEXT, 1) * BLOCK_LEAVES;
    if (first >= leaves) return;
    const last = Math.min(leaves, first + BLOCK_LEAVES);
    const native = nativeHashes();
    if (native !== null) {
      const block = bytes.subarray(first * STATE_LEAF_BYTES, Math.min(length, last * STATE_LEAF_BYTES));
      native.leaves(block, STATE_LEAF_BYTES, out.subarray(HASH_BYTES * first, HASH_BYTES * last));
    }
    for (let leaf = native === null ? first : last; leaf < last; leaf++) {
      const piece = bytes.subarray(leaf * STATE_LEAF_BYTES, Math.min(length, (leaf + 1) * STATE_LEAF_BYTES));
      out.set(leafHash(piece), HASH_BYTES * leaf);
    }
    Atomics.add(words, DONE, 1);
    Atomics.notify(words, DONE);
  }
}

function allDone({ length, counters }: HashJob): boolean {
  const words = new Int32Array(counters);
  const blocks = Math.ceil(Math.ceil(length / STATE_LEAF_BYTES) / BLOCK_LEAVES);
  for (;;) {
    const done = Atomics.load(words, DONE);
    if (done === blocks) return true;
    if (Atomics.wait(words, DONE, done, PATIENCE_MS) === 'timed-out') return false;
  }
}
