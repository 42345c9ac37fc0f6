// Owns the memory of message hashes already handled, bounded in number and age.

export type SeenCache = Readonly<{
  has(id: string): boolean;
  add(id: string): void;
  size(): number;
}>;

/** Remembers up to `capacity` ids for `ttlMs`; the oldest go first. */
export function seenCache(capacity: number, ttlMs: number, now: () => number): SeenCache {
  // A Map iterates in insertion order, and every entry lives equally long: the oldest is always first.
  const addedAt = new Map<string, number>();
  function expire(): void {
    const before = now() - ttlMs;
    for (const [id, at] of addedAt) {
      if (at >= before && addedAt.size <= capacity) return;
      addedAt.delete(id);
    }
  }
  return {
    has(id) {
      const at = addedAt.get(id);
      return at !== undefined && at >= now() - ttlMs;
    },
    add(id) {
      addedAt.delete(id);
      addedAt.set(id, now());
      expire();
    },
    size: () => addedAt.size,
  };
}
