// Owns the node's blobs on disk: content-addressed files, written atomically, checked when read. Who may store what, and
// whether Walrus also holds a blob, is decided elsewhere.
//
// Layout: blobs/<first two hex digits>/<sha256 hex>, references/<sha256 hex>.json (blob ids once computed),
// incoming/ (unfinished writes, emptied at open), damaged/ (files whose bytes no longer match their name).

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Hex, isHex } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { type BlobReference, isBlobId, parseBlobReference } from './blob-id.ts';
import { type BlobIdPool, createBlobIdPool } from './blob-id-pool.ts';
import { BRIDGE_LIMITS, type BridgeLimits } from './limits.ts';

/** A blob that is on this disk. `blobId` is null until it has been asked for. */
export type StoredBlob = Readonly<{ sha256: Hex; size: number; blobId: string | null }>;

/** Half-open range of bytes. */
export type ByteRange = Readonly<{ start: number; end: number }>;

export type BlobStore = Readonly<{
  /** Stores bytes without computing a blob id: milliseconds. Faults `blob-too-large`, `store-full`, `store-failed`. */
  store(bytes: Uint8Array): Promise<Result<StoredBlob>>;
  /** As `store`, from a stream that is never held whole; `expected` refuses other bytes (`wrong-content`). */
  storeStream(source: AsyncIterable<Uint8Array>, maxBytes?: number, expected?: Hex): Promise<Result<StoredBlob>>;
  /** Stores bytes and computes their blob id: seconds. */
  put(bytes: Uint8Array): Promise<Result<BlobReference>>;
  /** Computes (once) the blob id of a stored blob. */
  reference(sha256: Hex): Promise<Result<BlobReference>>;
  /** Checked bytes of a blob named by sha256 hex or blob id. Faults `unknown-blob`, `damaged-blob`, `blob-too-large`. */
  get(key: string): Promise<Result<Uint8Array>>;
  /** Checked stream of a range; the whole blob is hashed first unless that was done before. */
  read(key: string, range?: ByteRange): Promise<Result<Readable>>;
  find(key: string): StoredBlob | null;
  list(): readonly StoredBlob[];
  remove(sha256: Hex): Promise<Result<void>>;
  totalBytes(): number;
  stop(): Promise<void>;
}>;

export type BlobStoreOptions = Readonly<{
  directory: string;
  limits?: Partial<BridgeLimits>;
  pool?: BlobIdPool;
}>;

type Shelf = {
  readonly root: string;
  readonly limits: BridgeLimits;
  readonly pool: BlobIdPool;
  readonly blobs: Map<Hex, StoredBlob>;
  readonly byBlobId: Map<string, Hex>;
  readonly verified: Set<Hex>;
  readonly naming: Map<Hex, Promise<Result<BlobReference>>>;
  total: number;
  serial: number;
};

/** Opens (or makes) the store. Fault `store-failed` names what the file system refused. */
export async function openBlobStore(options: BlobStoreOptions): Promise<Result<BlobStore>> {
  const shelf: Shelf = {
    root: options.directory,
    limits: { ...BRIDGE_LIMITS, ...options.limits },
    pool: options.pool ?? createBlobIdPool(),
    blobs: new Map(),
    byBlobId: new Map(),
    verified: new Set(),
    naming: new Map(),
    total: 0,
    serial: 0,
  };
  try {
    await rm(join(shelf.root, 'incoming'), { recursive: true, force: true });
    for (const folder of ['blobs', 'references', 'incoming', 'damaged']) {
      await mkdir(join(shelf.root, folder), { recursive: true });
    }
    await scan(shelf);
  } catch (error) {
    return diskFault(error);
  }
  return success(storeOf(shelf));
}

function storeOf(shelf: Shelf): BlobStore {
  const find = (key: string): StoredBlob | null => shelf.blobs.get(keyToHash(shelf, key) ?? '0x') ?? null;
  const store = (bytes: Uint8Array): Promise<Result<StoredBlob>> => storeStream(shelf, pieces(bytes));
  return {
    find,
    store,
    storeStream: (source, maxBytes, expected) => storeStream(shelf, source, maxBytes, expected),
    reference: (sha256) => reference(shelf, sha256),
    async put(bytes) {
      const stored = await store(bytes);
      return stored.ok ? reference(shelf, stored.value.sha256) : stored;
    },
    async get(key) {
      const blob = find(key);
      if (blob === null) return unknown(key);
      if (blob.size > shelf.limits.blobInMemoryBytes) return tooLarge(shelf.limits.blobInMemoryBytes);
      try {
        const bytes = new Uint8Array(await readFile(pathOf(shelf, blob.sha256)));
        const hash = createHash('sha256').update(bytes).digest('hex');
        return `0x${hash}` === blob.sha256 ? success(bytes) : await damaged(shelf, blob);
      } catch (error) {
        return diskFault(error);
      }
    },
    async read(key, range) {
      const blob = find(key);
      if (blob === null) return unknown(key);
      const refusal = await verify(shelf, blob);
      if (refusal !== null) return refusal;
      const { start, end } = range ?? { start: 0, end: blob.size };
      if (end <= start) return success(Readable.from([]));
      return success(createReadStream(pathOf(shelf, blob.sha256), { start, end: end - 1 }));
    },
    list: () => [...shelf.blobs.values()],
    remove: (sha256) => remove(shelf, sha256),
    totalBytes: () => shelf.total,
    stop: () => shelf.pool.stop(),
  };
}

function pathOf(shelf: Shelf, sha256: Hex): string {
  return join(shelf.root, 'blobs', sha256.slice(2, 4), sha256.slice(2));
}

function referencePath(shelf: Shelf, sha256: Hex): string {
  return join(shelf.root, 'references', `${sha256.slice(2)}.json`);
}

function keyToHash(shelf: Shelf, key: string): Hex | null {
  if (isHex(key, 32)) return key.toLowerCase() as Hex;
  return isBlobId(key) ? (shelf.byBlobId.get(key) ?? null) : null;
}

async function* pieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1 << 20) yield bytes.subarray(at, at + (1 << 20));
}

/** Reads the folders; sizes are taken from the file system, contents are checked when first read. */
async function scan(shelf: Shelf): Promise<void> {
  for (const folder of await readdir(join(shelf.root, 'blobs'))) {
    for (const name of await readdir(join(shelf.root, 'blobs', folder))) {
      const sha256 = `0x${name}` as Hex;
      if (!isHex(sha256, 32) || shelf.blobs.size >= shelf.limits.storeBlobs) continue;
      const { size } = await stat(pathOf(shelf, sha256));
      shelf.blobs.set(sha256, { sha256, size, blobId: null });
      shelf.total += size;
    }
  }
  for (const name of await readdir(join(shelf.root, 'references'))) {
    const known = shelf.blobs.get(`0x${name.replace(/\.json$/, '')}`);
    if (known === undefined) continue;
    const parsed = parseBlobReference(parseJson(await readFile(join(shelf.root, 'references', name), 'utf8')));
    // A torn or foreign reference costs a second computation, nothing else.
    if (parsed.ok && parsed.value.sha256 === known.sha256 && parsed.value.size === known.size) {
      named(shelf, parsed.value);
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function named(shelf: Shelf, { sha256, size, blobId }: BlobReference): void {
  shelf.blobs.set(sha256, { sha256, size, blobId });
  shelf.byBlobId.set(blobId, sha256);
}

async function storeStream(
  shelf: Shelf,
  source: AsyncIterable<Uint8Array>,
  maxBytes = shelf.limits.blobBytes,
  expected?: Hex,
): Promise<Result<StoredBlob>> {
  const limit = Math.min(maxBytes, shelf.limits.blobBytes);
  shelf.serial += 1;
  const path = join(shelf.root, 'incoming', String(shelf.serial));
  let file: FileHandle | null = null;
  try {
    file = await open(path, 'wx');
    const written = await writeAll(shelf, file, source, limit);
    if (!written.ok) return written;
    const { sha256, size } = written.value;
    if (expected !== undefined && expected.toLowerCase() !== sha256) {
      return fault('wrong-content', `the bytes hash to ${sha256}, not ${expected}`, { sha256 });
    }
    const known = shelf.blobs.get(sha256);
    if (known !== undefined && (await verify(shelf, known)) === null) return success(known);
    await file.sync();
    const folder = join(shelf.root, 'blobs', sha256.slice(2, 4));
    if ((await mkdir(folder, { recursive: true })) !== undefined) await syncFolder(join(shelf.root, 'blobs'));
    await rename(path, pathOf(shelf, sha256));
    await syncFolder(folder);
    return success(added(shelf, sha256, size));
  } catch (error) {
    return diskFault(error);
  } finally {
    await file?.close();
    await rm(path, { force: true });
  }
}

function added(shelf: Shelf, sha256: Hex, size: number): StoredBlob {
  const before = shelf.blobs.get(sha256);
  if (before === undefined) shelf.total += size;
  const blob = before ?? { sha256, size, blobId: null };
  shelf.blobs.set(sha256, blob);
  markVerified(shelf, sha256);
  return blob;
}

async function writeAll(shelf: Shelf, file: FileHandle, source: AsyncIterable<Uint8Array>, limit: number) {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of source) {
    size += chunk.length;
    if (size > limit) return tooLarge(limit);
    if (shelf.total + size > shelf.limits.storeBytes || shelf.blobs.size >= shelf.limits.storeBlobs) {
      return fault(
        'store-full',
        `the store holds ${shelf.limits.storeBytes} bytes or ${shelf.limits.storeBlobs} blobs`,
      );
    }
    hash.update(chunk);
    await file.writeFile(chunk);
  }
  return success({ sha256: `0x${hash.digest('hex')}` as Hex, size });
}

/** Makes a rename durable: a folder's entries are its own data. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Null when the file's bytes match its name; they are hashed once a process. */
async function verify(shelf: Shelf, blob: StoredBlob): Promise<Fault | null> {
  if (shelf.verified.has(blob.sha256)) return null;
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(pathOf(shelf, blob.sha256), { highWaterMark: 1 << 20 })) {
      hash.update(chunk as Uint8Array);
    }
  } catch (error) {
    return diskFault(error);
  }
  if (`0x${hash.digest('hex')}` !== blob.sha256) return damaged(shelf, blob);
  markVerified(shelf, blob.sha256);
  return null;
}

function markVerified(shelf: Shelf, sha256: Hex): void {
  const oldest = shelf.verified.size >= shelf.limits.verified ? shelf.verified.values().next().value : undefined;
  if (oldest !== undefined) shelf.verified.delete(oldest);
  shelf.verified.add(sha256);
}

/** Moves a file that rotted out of the way, so that the blob can be fetched and stored again. */
async function damaged(shelf: Shelf, blob: StoredBlob): Promise<Fault> {
  forget(shelf, blob);
  try {
    await rename(pathOf(shelf, blob.sha256), join(shelf.root, 'damaged', blob.sha256.slice(2)));
  } catch (error) {
    return diskFault(error);
  }
  return fault('damaged-blob', `the stored bytes of ${blob.sha256} have changed`, { sha256: blob.sha256 });
}

function forget(shelf: Shelf, { sha256, size, blobId }: StoredBlob): void {
  if (!shelf.blobs.delete(sha256)) return;
  shelf.total -= size;
  shelf.verified.delete(sha256);
  if (blobId !== null) shelf.byBlobId.delete(blobId);
}

async function remove(shelf: Shelf, sha256: Hex): Promise<Result<void>> {
  const blob = shelf.blobs.get(sha256);
  if (blob === undefined) return unknown(sha256);
  forget(shelf, blob);
  try {
    await rm(referencePath(shelf, sha256), { force: true });
    await unlink(pathOf(shelf, sha256));
    return success(undefined);
  } catch (error) {
    return diskFault(error);
  }
}

function reference(shelf: Shelf, sha256: Hex): Promise<Result<BlobReference>> {
  const blob = shelf.blobs.get(sha256);
  if (blob === undefined) return Promise.resolve(unknown(sha256));
  if (blob.blobId !== null) return Promise.resolve(success({ ...blob, blobId: blob.blobId }));
  let naming = shelf.naming.get(sha256);
  if (naming === undefined) {
    naming = nameBlob(shelf, blob).finally(() => shelf.naming.delete(sha256));
    shelf.naming.set(sha256, naming);
  }
  return naming;
}

async function nameBlob(shelf: Shelf, blob: StoredBlob): Promise<Result<BlobReference>> {
  const refusal = await verify(shelf, blob);
  if (refusal !== null) return refusal;
  const blobId = await shelf.pool.blobId(pathOf(shelf, blob.sha256));
  if (!blobId.ok) return blobId;
  const made: BlobReference = { blobId: blobId.value, sha256: blob.sha256, size: blob.size };
  const path = referencePath(shelf, blob.sha256);
  try {
    shelf.serial += 1;
    const draft = join(shelf.root, 'incoming', String(shelf.serial));
    const file = await open(draft, 'wx');
    await file.writeFile(JSON.stringify(made));
    await file.sync();
    await file.close();
    await rename(draft, path);
  } catch (error) {
    return diskFault(error);
  }
  named(shelf, made);
  return success(made);
}

function unknown(key: string): Fault {
  return fault('unknown-blob', `no blob ${key.slice(0, 70)} is stored here`);
}

function tooLarge(limit: number): Fault {
  return fault('blob-too-large', `the blob is over ${limit} bytes`, { limit });
}

function diskFault(error: unknown): Fault {
  const { code = 'unknown' } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return fault('store-full', 'the disk of the blob store is full', { code });
  return fault('store-failed', `the blob store's disk refused: ${code}`, { code });
}
