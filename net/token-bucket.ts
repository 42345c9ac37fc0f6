// Owns rate limits: token buckets filled by the clock they are given.

export type TokenBucket = Readonly<{
  /** Takes `tokens` if they are there; otherwise takes none and says false. */
  take(tokens: number): boolean;
  /** Milliseconds until `tokens` could be taken; Infinity when they exceed the burst. */
  waitMs(tokens: number): number;
}>;

/** A bucket that starts full with `burst` tokens and gains `perSecond`. */
export function tokenBucket(perSecond: number, burst: number, now: () => number): TokenBucket {
  let level = burst;
  let at = now();
  function refill(): void {
    const time = now();
    level = Math.min(burst, level + (Math.max(0, time - at) / 1_000) * perSecond);
    at = time;
  }
  return {
    take(tokens) {
      refill();
      if (tokens > level) return false;
      level -= tokens;
      return true;
    },
    waitMs(tokens) {
      refill();
      if (tokens > burst) return Infinity;
      return tokens <= level ? 0 : ((tokens - level) / perSecond) * 1_000;
    },
  };
}
