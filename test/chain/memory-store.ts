// Owns a store without a disk: the rows of a database in a map, for tests of state and tries.

import { compare, toHex } from '../../base/bytes.ts';
import type { Range, Row, Store } from '../../chain/store.ts';

export type MemoryStore = Store &
  Readonly<{ rows: Map<string, readonly [Uint8Array, Uint8Array]>; apply(rows: readonly Row[]): void }>;

export function memoryStore(): MemoryStore {
  const rows = new Map<string, readonly [Uint8Array, Uint8Array]>();
  const apply = (changes: readonly Row[]): void => {
    for (const [key, value] of changes) {
      if (value === null) rows.delete(toHex(key));
      else rows.set(toHex(key), [key, value]);
    }
  };
  const within = (key: Uint8Array, range: Range): boolean =>
    (range.gte === undefined || compare(key, range.gte) >= 0) &&
    (range.gt === undefined || compare(key, range.gt) > 0) &&
    (range.lt === undefined || compare(key, range.lt) < 0) &&
    (range.lte === undefined || compare(key, range.lte) <= 0);
  async function* scan(range: Range) {
    const found = [...rows.values()].filter(([key]) => within(key, range)).sort(([a], [b]) => compare(a, b));
    for (const row of found.slice(0, range.limit ?? found.length)) yield row;
  }
  const store = {
    rows,
    apply,
    failure: null,
    get: (key: Uint8Array) => rows.get(toHex(key))?.[1] ?? null,
    scan,
    async first(range: Range) {
      for await (const row of scan(range)) return row;
      return null;
    },
    write: async (changes: readonly Row[]) => apply(changes),
    close: async () => {},
  };
  return store as unknown as MemoryStore;
}
