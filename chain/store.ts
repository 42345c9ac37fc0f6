// Owns the level database: opening with plain words for what is wrong, checked reads, one synced batch at a time,
// and a handle that refuses every write after the first one failed.

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { toHex } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { protect, unprotect } from './records.ts';

/** Rows to write together; null deletes. */
export type Row = readonly [key: Uint8Array, value: Uint8Array | null];

export type Range = Readonly<{
  gte?: Uint8Array;
  gt?: Uint8Array;
  lt?: Uint8Array;
  lte?: Uint8Array;
  reverse?: boolean;
  limit?: number;
}>;

/** Damage found in the database: the node must stop, delete the folder and sync again (keys and votes live elsewhere). */
class DatabaseDamage extends Error {
  override readonly name = 'DatabaseDamage';
}

type Operation =
  | Readonly<{ type: 'put'; key: Uint8Array; value: Uint8Array }>
  | Readonly<{ type: 'del'; key: Uint8Array }>;
/** `_batch` is what batch() calls once it has copied and encoded each row, which bytes need not be. */
type Database = Level<Uint8Array, Uint8Array> & {
  getSync(key: Uint8Array): Uint8Array | undefined;
  _batch(operations: readonly Operation[], options: Readonly<{ sync: boolean }>): Promise<void>;
};

/** Rows fetched at once by a scan. */
const SCAN_ROWS = 1_000;

/** What Buffer's own toString calls; on plain bytes it spares making a Buffer of them first. */
const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, from: number, to: number): string;
};

function idOf(key: Uint8Array): string {
  return latin1Slice.call(key, 0, key.length);
}

/** One open database. */
export class Store {
  #failure: Error | null = null;
  /** Rows that wait for the next write, by key in Latin-1; reads see them. */
  #held = new Map<string, Row>();
  #heldBytes = 0;
  /** Rows on their way to the disk. */
  #writing: ReadonlyMap<string, Row> | null = null;
  #tail: Promise<void> = Promise.resolve();
  readonly #level: Database;
  readonly #onFailure: (error: Error) => void;

  constructor(level: Database, onFailure: (error: Error) => void) {
    this.#level = level;
    this.#onFailure = onFailure;
  }

  /** Null while healthy. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Records the first failure and tells of it; every later write refuses. */
  fail(error: Error): Error {
    if (this.#failure === null) {
      this.#failure = error;
      this.#onFailure(error);
    }
    return error;
  }

  get(key: Uint8Array): Uint8Array | null {
    if (this.#held.size > 0 || this.#writing !== null) {
      const id = idOf(key);
      const row = this.#held.get(id) ?? this.#writing?.get(id);
      if (row !== undefined) return row[1];
    }
    let stored: Uint8Array | undefined;
    try {
      stored = this.#level.getSync(key);
    } catch (error) {
      throw this.fail(new DatabaseDamage(`database: reading ${toHex(key)} failed`, { cause: error }));
    }
    return stored === undefined ? null : this.#checked(key, stored);
  }

  #checked(key: Uint8Array, stored: Uint8Array): Uint8Array {
    const value = unprotect(key, stored);
    if (value === null) throw this.fail(new DatabaseDamage(`database: checksum of row ${toHex(key)} does not match`));
    return value;
  }

  /** Rows of a key range, in key order. */
  async *scan(range: Range): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    if (this.#held.size > 0 || this.#writing !== null) await this.write([]);
    const iterator = this.#level.iterator(range);
    try {
      for (;;) {
        const rows = await iterator.nextv(Math.min(SCAN_ROWS, range.limit ?? SCAN_ROWS));
        if (rows.length === 0) return;
        for (const [found, stored] of rows) {
          const key = new Uint8Array(found.buffer, found.byteOffset, found.length);
          yield [key, this.#checked(key, stored)];
        }
      }
    } catch (error) {
      if (error instanceof DatabaseDamage) throw error;
      throw this.fail(new DatabaseDamage('database: scan failed', { cause: error }));
    } finally {
      await iterator.close();
    }
  }

  /** First row of a range, or null. */
  async first(range: Range): Promise<readonly [Uint8Array, Uint8Array] | null> {
    for await (const row of this.scan({ ...range, limit: 1 })) return row;
    return null;
  }

  /** Bytes of keys and values that wait. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Keeps rows for the next write. They are not on the disk: who acknowledges them must have written first. */
  hold(rows: readonly Row[]): void {
    for (const row of rows) {
      const [key, value] = row;
      this.#held.set(idOf(key), row);
      this.#heldBytes += key.length + (value?.length ?? 0);
    }
  }

  /** Writes all rows, after those that are held, or none, and returns once they are on the disk. Any error closes the handle
   * to writes for good: after a full disk LevelDB acknowledges writes that are gone when it is opened again. */
  async write(rows: readonly Row[]): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    try {
      this.hold(rows);
    } catch (error) {
      throw this.fail(writeFailure(error));
    }
    // One batch at a time: two under way at once may land in either order.
    const done = this.#tail.then(() => this.#writeHeld());
    this.#tail = done.catch(() => {});
    return done;
  }

  async #writeHeld(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#held.size === 0) return;
    this.#writing = this.#held;
    this.#held = new Map();
    this.#heldBytes = 0;
    try {
      check(this.#level.status === 'open', 'database: it is closed');
      const operations = [...this.#writing.values()].map(([key, value]): Operation => {
        check(key.length > 0, 'database: a row has no key');
        return value === null ? { type: 'del', key } : { type: 'put', key, value: protect(key, value) };
      });
      await this.#level._batch(operations, { sync: true });
      this.#writing = null;
    } catch (error) {
      throw this.fail(writeFailure(error));
    }
  }

  async close(): Promise<void> {
    await this.#level.close();
  }
}

const CACHE_BYTES = 32 * 1024 * 1024;
const WRITE_BUFFER_BYTES = 16 * 1024 * 1024;

/** Opens the database of a folder. An absent one is only made when `create` is set: LevelDB would make an empty one. */
export async function openStore(
  directory: string,
  create: boolean,
  onFailure: (error: Error) => void,
): Promise<Result<Store>> {
  const exists = existsSync(join(directory, 'CURRENT'));
  if (!exists && !create) return fault('databaseMissing', `database: there is none in ${directory}`, { directory });
  try {
    await mkdir(directory, { recursive: true });
  } catch (error) {
    return fault('databaseUnusable', `database: cannot make ${directory}: ${messageOf(error)}`, { directory });
  }
  const level = new Level<Uint8Array, Uint8Array>(directory, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    cacheSize: CACHE_BYTES,
    writeBufferSize: WRITE_BUFFER_BYTES,
    createIfMissing: !exists,
  } as object) as Database;
  try {
    await level.open();
  } catch (error) {
    return openFault(directory, error);
  }
  return success(new Store(level, onFailure));
}

function openFault(directory: string, error: unknown): Result<Store> {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  if (cause?.code === 'LEVEL_LOCKED') {
    return fault('databaseLocked', `database: ${directory} is in use by another process`, { directory });
  }
  if (cause?.code === 'LEVEL_CORRUPTION') {
    return fault(
      'databaseCorrupt',
      `database: ${directory} is damaged (${cause.message ?? ''}); delete it and sync again`,
      { directory },
    );
  }
  return fault('databaseUnusable', `database: ${directory} does not open: ${messageOf(cause ?? error)}`, { directory });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String((error as { message?: unknown } | null)?.message ?? error);
}

function writeFailure(error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(`database: write failed (${reason}); the node must stop`, { cause: error });
}
