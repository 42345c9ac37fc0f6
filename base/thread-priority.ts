// Owns the scheduling priority of the calling thread, so that heavy work on a thread of its own never keeps the main thread
// waiting for a processor. No effect on results.

import { getPriority, setPriority } from 'node:os';
import { isMainThread } from 'node:worker_threads';

/**
 * Lowers the calling worker thread to this nice value (1 to 19), and with it the threads it starts afterwards; what was done,
 * for a log. Only Linux keeps priorities per thread: elsewhere the same call would lower the whole process, so nothing is done.
 */
export function lowerThreadPriority(nice: number): string {
  if (process.platform !== 'linux') return `not lowered: ${process.platform} keeps no priority per thread`;
  if (isMainThread) return 'not lowered: this is the main thread';
  try {
    // 0 names the calling thread; a container or a policy may refuse it.
    setPriority(0, Math.max(nice, getPriority(0)));
    return `nice ${getPriority(0)}`;
  } catch (error) {
    return `not lowered: ${error instanceof Error ? error.message : String(error)}`;
  }
}
