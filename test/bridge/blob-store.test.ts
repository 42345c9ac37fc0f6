import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { toHex, utf8 } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { prng } from '../../base/prng.ts';
import { encodedSize, isBlobId, parseBlobReference } from '../../bridge/blob-id.ts';
import { createBlobIdPool } from '../../bridge/blob-id-pool.ts';
import { type BlobStore, openBlobStore } from '../../bridge/blob-store.ts';
import type { BridgeLimits } from '../../bridge/limits.ts';

const DOCUMENTED = 'M4hsZGQ1oCktdzegB6HnI6Mi28S2nqOPHxK-W7_4BUk';

async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'blob-store-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function openStore(
  t: ExecutionContext,
  directory: string,
  limits: Partial<BridgeLimits> = {},
): Promise<BlobStore> {
  const store = unwrap(await openBlobStore({ directory, limits }));
  t.teardown(() => store.stop());
  return store;
}

const blobPath = (directory: string, hash: string): string => join(directory, 'blobs', hash.slice(2, 4), hash.slice(2));

// Upstream: the documentation's blob of 17 bytes at 1000 shards, and walrus-core's test_v1_blob_id_stability at 10.
test.serial('blob ids are the ones Walrus computes', async (t) => {
  const pool = createBlobIdPool();
  t.teardown(() => pool.stop());
  t.is(
    unwrap(await pool.blobId(utf8('walrus blob id v1 regression test'), 10)),
    'RcU82Mwf-CFkv1LaI_2qcpANwpGUuG3TMwnVzZxD2kY',
  );
  t.is(unwrap(await pool.blobId(utf8('some other string'))), DOCUMENTED);
  const flipped = unwrap(await pool.blobId(utf8('some other strinf'), 10));
  const longer = unwrap(await pool.blobId(utf8('some other string\0'), 10));
  t.is(new Set([flipped, longer, unwrap(await pool.blobId(utf8('some other string'), 10))]).size, 3);
  t.is(encodedSize(17), 66_034_000);
  t.true(isBlobId(DOCUMENTED));
  // The last character of 43 carries two unused bits: another spelling of the same bytes is refused.
  for (const text of [
    '',
    DOCUMENTED.slice(1),
    `${DOCUMENTED}A`,
    `${DOCUMENTED.slice(0, -1)}l`,
    `${DOCUMENTED.slice(0, -1)}+`,
    7,
    null,
  ]) {
    t.false(isBlobId(text), String(text));
  }
});

test.serial('a put blob comes back by hash and by blob id, and both survive a restart', async (t) => {
  const directory = await folder(t);
  const store = await openStore(t, directory);
  const bytes = utf8('some other string');
  const reference = unwrap(await store.put(bytes));
  t.deepEqual(reference, { blobId: DOCUMENTED, sha256: toHex(sha256(bytes)), size: 17 });
  t.deepEqual(unwrap(await store.get(reference.sha256)), bytes);
  t.deepEqual(unwrap(await store.get(reference.blobId)), bytes);
  await store.stop();
  const again = await openStore(t, directory);
  t.deepEqual(again.list(), [{ sha256: reference.sha256, size: 17, blobId: DOCUMENTED }]);
  t.deepEqual(unwrap(await again.get(DOCUMENTED)), bytes);
  t.is(again.totalBytes(), 17);
  t.deepEqual(unwrap(await again.reference(reference.sha256)), reference, 'known without computing again');
});

test('storing is idempotent, leaves nothing behind, and needs no blob id', async (t) => {
  const directory = await folder(t);
  const store = await openStore(t, directory);
  const random = prng('blobs');
  const blobs = Array.from({ length: 20 }, (_, i) => random.bytes(i * 37));
  const stored = await Promise.all([...blobs, ...blobs].map((bytes) => store.store(bytes)));
  t.is(new Set(stored.map((one) => unwrap(one).sha256)).size, 20);
  t.is(store.list().length, 20);
  t.is(
    store.totalBytes(),
    blobs.reduce((sum, bytes) => sum + bytes.length, 0),
  );
  t.deepEqual(await readdir(join(directory, 'incoming')), []);
  for (const bytes of blobs) t.deepEqual(unwrap(await store.get(toHex(sha256(bytes)))), bytes);
  t.is(unwrap(stored[3] as (typeof stored)[0]).blobId, null);
});

test('a file whose bytes changed is never served; storing it again heals it', async (t) => {
  const directory = await folder(t);
  const bytes = utf8('weights that must not rot');
  const hash = toHex(sha256(bytes));
  const first = await openStore(t, directory);
  unwrap(await first.store(bytes));
  const path = blobPath(directory, hash);
  const rotten = new Uint8Array(await readFile(path));
  rotten[3] = (rotten[3] ?? 0) ^ 1;
  await writeFile(path, rotten);
  const store = await openStore(t, directory);
  const read = await store.read(hash);
  t.is(read.ok ? '' : read.code, 'damaged-blob');
  t.is(store.find(hash), null);
  t.deepEqual(await readdir(join(directory, 'damaged')), [hash.slice(2)]);
  unwrap(await store.store(bytes));
  t.deepEqual(unwrap(await store.get(hash)), bytes);
  await writeFile(path, rotten);
  const got = await store.get(hash);
  t.is(got.ok ? '' : got.code, 'damaged-blob');
});

test('a stream is stored without being held, and refused when it is too long or not what was expected', async (t) => {
  const directory = await folder(t);
  const store = await openStore(t, directory);
  const chunk = new Uint8Array(1 << 16).fill(7);
  let made = 0;
  async function* endless(): AsyncIterable<Uint8Array> {
    for (;;) {
      made += chunk.length;
      yield chunk;
    }
  }
  async function* broken(): AsyncIterable<Uint8Array> {
    yield chunk;
    throw new Error('source failed');
  }
  async function* two(): AsyncIterable<Uint8Array> {
    yield chunk;
    yield chunk;
  }
  const long = await store.storeStream(endless(), 1 << 20);
  t.is(long.ok ? '' : long.code, 'blob-too-large');
  t.true(made <= (1 << 20) + 2 * chunk.length);
  const failed = await store.storeStream(broken());
  t.is(failed.ok ? '' : failed.code, 'store-failed');
  const other = await store.storeStream(two(), undefined, `0x${'00'.repeat(32)}`);
  t.is(other.ok ? '' : other.code, 'wrong-content');
  t.is(store.list().length, 0);
  t.deepEqual(await readdir(join(directory, 'incoming')), []);
  const { sha256: hash, size } = unwrap(await store.storeStream(two()));
  t.is(size, 2 * chunk.length);
  const parts: Uint8Array[] = [];
  for await (const part of unwrap(await store.read(hash, { start: 65_530, end: 65_540 })))
    parts.push(part as Uint8Array);
  t.deepEqual(new Uint8Array(Buffer.concat(parts)), new Uint8Array(10).fill(7));
});

test('the store keeps to its limits and forgets what is removed', async (t) => {
  const store = await openStore(t, await folder(t), { storeBytes: 100, storeBlobs: 3 });
  const first = unwrap(await store.store(new Uint8Array(60)));
  const over = await store.store(new Uint8Array(41).fill(1));
  t.is(over.ok ? '' : over.code, 'store-full');
  t.true((await store.remove(first.sha256)).ok);
  t.is(store.totalBytes(), 0);
  const gone = await store.get(first.sha256);
  t.is(gone.ok ? '' : gone.code, 'unknown-blob');
  for (let i = 0; i < 3; i++) t.true((await store.store(Uint8Array.of(i))).ok);
  const fourth = await store.store(Uint8Array.of(9));
  t.is(fourth.ok ? '' : fourth.code, 'store-full');
});

test('unfinished writes and torn references of a crash are cleared when the store opens', async (t) => {
  const directory = await folder(t);
  const first = await openStore(t, directory);
  const { sha256: hash } = unwrap(await first.store(utf8('kept')));
  await writeFile(join(directory, 'incoming', '17'), 'half a blob');
  await writeFile(join(directory, 'references', `${hash.slice(2)}.json`), '{"blobId":"M4hs');
  await writeFile(join(directory, 'blobs', hash.slice(2, 4), 'not-a-hash'), 'x');
  const store = await openStore(t, directory);
  t.deepEqual(store.list(), [{ sha256: hash, size: 4, blobId: null }]);
  t.deepEqual(await readdir(join(directory, 'incoming')), []);
});

test('a store that cannot be opened says why', async (t) => {
  const directory = await folder(t);
  await writeFile(join(directory, 'file'), '');
  const opened = await openBlobStore({ directory: join(directory, 'file') });
  t.is(opened.ok ? '' : opened.code, 'store-failed');
});

test('references from outside are read field by field', (t) => {
  const valid = { blobId: DOCUMENTED, sha256: `0x${'ab'.repeat(32)}`, size: 17 };
  t.deepEqual(unwrap(parseBlobReference(valid)), valid as never);
  const wrong = [
    null,
    7,
    {},
    { ...valid, blobId: 'x' },
    { ...valid, sha256: '0x12' },
    { ...valid, size: -1 },
    { ...valid, size: 1.5 },
    { ...valid, size: 2 ** 40 },
    { ...valid, size: '17' },
  ];
  for (const value of wrong) {
    const parsed = parseBlobReference(value);
    t.is(parsed.ok ? '' : parsed.code, 'malformed-reference');
  }
});

test('a stopped id thread refuses instead of hanging', async (t) => {
  const pool = createBlobIdPool();
  const pending = pool.blobId(new Uint8Array(10));
  await pool.stop();
  const ended = await pending;
  t.is(ended.ok ? '' : ended.code, 'stopped');
  const late = await pool.blobId(new Uint8Array(10));
  t.is(late.ok ? '' : late.code, 'stopped');
});
