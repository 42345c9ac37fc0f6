// Owns messages that came too early: kept by sender within a share of a byte budget, given out when their height begins.

import { MAX_FUTURE_BYTES } from './limits.ts';

/** One message held back; `sender` is the authority that signed it, `bytes` what it costs. */
type Held<T> = Readonly<{ sender: string; height: number; bytes: number; key: string; message: T }>;

export type FutureBuffer<T> = Readonly<{
  /** False when it was not kept: known already, or over the sender's or the total budget. */
  add(held: Held<T>): boolean;
  /** Takes out everything of `height`, in order of arrival, and forgets lower heights. */
  take(height: number): T[];
  bytes(): number;
}>;

/** Buffer in which no sender of `senders` can take another's share of `maxBytes`. */
export function futureBuffer<T>(senders: () => number, maxBytes: number = MAX_FUTURE_BYTES): FutureBuffer<T> {
  let held: Held<T>[] = [];
  const known = new Set<string>();
  const spent = new Map<string, number>();
  let total = 0;
  function forget(item: Held<T>): void {
    known.delete(item.key);
    total -= item.bytes;
    const left = (spent.get(item.sender) ?? 0) - item.bytes;
    if (left > 0) spent.set(item.sender, left);
    else spent.delete(item.sender);
  }
  return {
    add(item) {
      const share = Math.floor(maxBytes / Math.max(1, senders()));
      const mine = (spent.get(item.sender) ?? 0) + item.bytes;
      if (known.has(item.key) || mine > share || total + item.bytes > maxBytes) return false;
      known.add(item.key);
      spent.set(item.sender, mine);
      total += item.bytes;
      held.push(item);
      return true;
    },
    take(height) {
      const out: T[] = [];
      const rest: Held<T>[] = [];
      for (const item of held) {
        if (item.height > height) {
          rest.push(item);
          continue;
        }
        forget(item);
        if (item.height === height) out.push(item.message);
      }
      held = rest;
      return out;
    },
    bytes: () => total,
  };
}
