// Owns request rates per client address: token buckets with a bounded memory. Loopback is not limited.

import { isIP } from 'node:net';

export type RateLimiter = Readonly<{
  /** What takes units of an address: false when it has used up its share. */
  share(address: string): (cost: number, monotonicMs: number) => boolean;
}>;

type Bucket = { tokens: number; atMs: number };

/** True for 127.0.0.0/8, ::1 and the IPv4-mapped form of the former. */
export function isLoopback(address: string): boolean {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'));
}

/** Buckets that refill at `perSecond` up to `burst`; beyond `addresses` remembered ones the oldest is forgotten. */
export function rateLimiter(perSecond: number, burst: number, addresses: number): RateLimiter {
  const buckets = new Map<string, Bucket>();
  function take(address: string, cost: number, monotonicMs: number): boolean {
    let bucket = buckets.get(address);
    if (bucket === undefined) {
      if (buckets.size >= addresses) {
        for (const oldest of buckets.keys()) {
          buckets.delete(oldest);
          break;
        }
      }
      bucket = { tokens: burst, atMs: monotonicMs };
      buckets.set(address, bucket);
    }
    bucket.tokens = Math.min(burst, bucket.tokens + ((monotonicMs - bucket.atMs) * perSecond) / 1_000);
    bucket.atMs = monotonicMs;
    if (bucket.tokens < cost) return false;
    bucket.tokens -= cost;
    return true;
  }
  return {
    share: (address) => (isLoopback(address) ? () => true : (cost, monotonicMs) => take(address, cost, monotonicMs)),
  };
}
