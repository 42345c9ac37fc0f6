import { mkdtemp, rm } from 'node:fs/promises';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import express from 'express';
import { toHex, utf8 } from '../../base/bytes.ts';
import { success, unwrap } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { type BlobReference, blobIdText } from '../../bridge/blob-id.ts';
import { type BlobStore, openBlobStore } from '../../bridge/blob-store.ts';
import { createWalrusClient } from '../../bridge/walrus-client.ts';
import { parseRange, walrusRouter } from '../../bridge/walrus-http.ts';

/** Stands for the id computation where a test is about HTTP: cheap, and as content-bound as the real one. */
const quickId = (bytes: Uint8Array): string => blobIdText(sha256(utf8('test id'), bytes));
const blobId = async (bytes: Uint8Array) => success(quickId(bytes));
const quick = { clientRetryMs: 5, clientTimeoutMs: 2_000 };

async function serve(t: ExecutionContext, handler: (request: IncomingMessage, response: ServerResponse) => void) {
  const server: Server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function startStore(t: ExecutionContext, more: { mayStore?: boolean; httpBlobBytes?: number } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'walrus-http-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const store = unwrap(await openBlobStore({ directory }));
  t.teardown(() => store.stop());
  const errors: unknown[] = [];
  const app = express();
  app.use(
    '/walrus',
    walrusRouter({
      store,
      mayStore: () => more.mayStore ?? true,
      limits: { httpBlobBytes: more.httpBlobBytes ?? 1 << 20 },
      onError: (error) => errors.push(error),
    }),
  );
  const url = `${await serve(t, app)}/walrus`;
  return { store, url, errors };
}

type PutAnswer = { newlyCreated: { blobObject: { blobId: string; size: number; certifiedEpoch: null }; cost: number } };

test.serial('a blob put in over HTTP is got out over HTTP, whole, in ranges and by HEAD', async (t) => {
  const { url, errors } = await startStore(t);
  const text = 'some other string';
  const put = await fetch(`${url}/v1/blobs?epochs=5&permanent=true`, { method: 'PUT', body: text });
  t.is(put.status, 200);
  const { newlyCreated } = (await put.json()) as PutAnswer;
  t.is(newlyCreated.blobObject.blobId, 'M4hsZGQ1oCktdzegB6HnI6Mi28S2nqOPHxK-W7_4BUk');
  t.is(newlyCreated.blobObject.certifiedEpoch, null, 'a node does not claim what only Walrus can');
  t.like(newlyCreated.blobObject, {
    size: 17,
    deletable: false,
    encodingType: 'RS2',
    storage: { endEpoch: 5, storageSize: 66_034_000 },
  });
  const path = `${url}/v1/blobs/${newlyCreated.blobObject.blobId}`;
  const whole = await fetch(path);
  t.is(await whole.text(), text);
  t.is(whole.headers.get('content-type'), 'application/octet-stream');
  t.is(whole.headers.get('x-content-type-options'), 'nosniff');
  const part = await fetch(path, { headers: { range: 'bytes=5-9' } });
  t.is(part.status, 206);
  t.is(part.headers.get('content-range'), 'bytes 5-9/17');
  t.is(await part.text(), 'other');
  t.is(await (await fetch(path, { headers: { range: 'bytes=-6' } })).text(), 'string');
  t.is((await fetch(path, { headers: { range: 'bytes=17-' } })).status, 416);
  t.is(await (await fetch(`${path}/byte-range?start=11&length=6`)).text(), 'string');
  t.is((await fetch(`${path}/byte-range?start=11&length=7`)).status, 416);
  const head = await fetch(path, { method: 'HEAD' });
  t.is(head.headers.get('content-length'), '17');
  t.deepEqual(errors, []);
});

test('every refusal is JSON in the shape of the Walrus API', async (t) => {
  const { url } = await startStore(t, { httpBlobBytes: 1_000 });
  const closed = await startStore(t, { mayStore: false });
  const cases: ReadonlyArray<readonly [string, string, RequestInit, number, string]> = [
    ['an unknown blob', `${url}/v1/blobs/${'A'.repeat(43)}`, {}, 404, 'NOT_FOUND'],
    ['a malformed id', `${url}/v1/blobs/xyz`, {}, 400, 'INVALID_ARGUMENT'],
    ['a path traversal', `${url}/v1/blobs/..%2f..%2fetc%2fpasswd`, {}, 400, 'INVALID_ARGUMENT'],
    ['a hash in place of an id', `${url}/v1/blobs/0x${'00'.repeat(32)}`, {}, 400, 'INVALID_ARGUMENT'],
    ['epochs 0', `${url}/v1/blobs?epochs=0`, { method: 'PUT', body: 'x' }, 400, 'INVALID_ARGUMENT'],
    ['epochs 54', `${url}/v1/blobs?epochs=54`, { method: 'PUT', body: 'x' }, 400, 'INVALID_ARGUMENT'],
    ['epochs twice', `${url}/v1/blobs?epochs=1&epochs=2`, { method: 'PUT', body: 'x' }, 400, 'INVALID_ARGUMENT'],
    ['a large blob', `${url}/v1/blobs`, { method: 'PUT', body: 'x'.repeat(1_001) }, 413, 'INVALID_ARGUMENT'],
    [
      'a gzip body',
      `${url}/v1/blobs`,
      { method: 'PUT', body: 'x', headers: { 'content-encoding': 'gzip' } },
      400,
      'INVALID_ARGUMENT',
    ],
    ['no permission', `${closed.url}/v1/blobs`, { method: 'PUT', body: 'x' }, 403, 'PERMISSION_DENIED'],
    ['quilts', `${url}/v1/quilts`, { method: 'PUT', body: 'x' }, 501, 'UNIMPLEMENTED'],
    ['another path', `${url}/v1/other`, {}, 404, 'NOT_FOUND'],
  ];
  for (const [what, path, init, code, status] of cases) {
    const response = await fetch(path, init);
    t.is(response.status, code, what);
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    t.like(error, { status, code, details: [] }, what);
    t.is(typeof error.message, 'string');
  }
});

test('a body that lies about its length or never ends stores nothing', async (t) => {
  const { url, store } = await startStore(t, { httpBlobBytes: 10_000 });
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const answered = new Promise<string>((resolve) => {
    let text = '';
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
    });
    socket.on('error', () => resolve(text));
    socket.on('close', () => resolve(text));
  });
  socket.write('PUT /walrus/v1/blobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
  for (let i = 0; i < 12; i++) socket.write(`3e8\r\n${'x'.repeat(1_000)}\r\n`);
  t.regex(await answered, /^HTTP\/1.1 413/);
  const short = connect(Number(port), hostname);
  short.on('error', () => undefined);
  short.write('PUT /walrus/v1/blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nshort');
  await new Promise((resolve) => setTimeout(resolve, 100));
  short.destroy();
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.is(store.list().length, 0);
});

test('one range of a request is read as RFC 9110 says', (t) => {
  t.deepEqual(parseRange('bytes=0-0', 10), { start: 0, end: 1 });
  t.deepEqual(parseRange('bytes=5-', 10), { start: 5, end: 10 });
  t.deepEqual(parseRange('bytes=-3', 10), { start: 7, end: 10 });
  t.deepEqual(parseRange('bytes=-30', 10), { start: 0, end: 10 });
  t.deepEqual(parseRange('bytes=2-999999', 10), { start: 2, end: 10 });
  for (const header of ['bytes=10-', 'bytes=-0', 'bytes=99-100']) t.is(parseRange(header, 10), 'unsatisfiable', header);
  for (const header of [undefined, 'bytes=', 'bytes=-', 'items=0-1', 'bytes=0-1,3-4', 'bytes=5-2', 'bytes=a-b']) {
    t.is(parseRange(header, 10), null, String(header));
  }
});

function referenceOf(bytes: Uint8Array): BlobReference {
  return { blobId: quickId(bytes), sha256: toHex(sha256(bytes)), size: bytes.length };
}

test('the client passes over aggregators that lie, and says which one served', async (t) => {
  const bytes = utf8('the true weights');
  const reference = referenceOf(bytes);
  const liar = await serve(t, (_request, response) => void response.end('the fake weights'));
  const longer = await serve(t, (_request, response) => void response.end('x'.repeat(100_000)));
  const empty = await serve(t, (_request, response) => void response.writeHead(404).end());
  const honest = await serve(t, (_request, response) => void response.end(bytes));
  const dead = 'http://127.0.0.1:9';
  const client = createWalrusClient({
    endpoints: { publisher: null, aggregators: [dead, liar, longer, empty, `${honest}/`] },
    blobId,
    checkBlobIds: true,
    limits: quick,
  });
  const got = unwrap(await client.get(reference));
  t.deepEqual(got.bytes, bytes);
  t.is(got.aggregator, `${honest}/`);
  t.is(got.checked, 'sha256-and-blob-id');
  const mispaired = await client.get({ ...reference, blobId: quickId(utf8('another')) });
  t.is(mispaired.ok ? '' : mispaired.code, 'blob-unavailable');
  if (!mispaired.ok) t.regex(mispaired.message, /other bytes than the reference.*pairs this hash with another blob id/);
});

test('a blob that is not there yet is asked for again', async (t) => {
  const bytes = utf8('just certified');
  let asked = 0;
  const slow = await serve(t, (_request, response) => {
    asked += 1;
    if (asked < 3) response.writeHead(404).end();
    else response.end(bytes);
  });
  const client = createWalrusClient({ endpoints: { publisher: null, aggregators: [slow] }, blobId, limits: quick });
  t.deepEqual(unwrap(await client.get(referenceOf(bytes))).bytes, bytes);
  t.is(asked, 3);
});

test('puts are retried, and a publisher that stores something else is found out', async (t) => {
  const bytes = utf8('checkpoint');
  const { blobId: id } = referenceOf(bytes);
  let answers: Array<readonly [number, unknown]> = [];
  const seen: string[] = [];
  const publisher = await serve(t, (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    request.resume().on('end', () => {
      const [code, body] = answers.shift() ?? [500, {}];
      if (code === 0) request.socket.destroy();
      else response.writeHead(code).end(typeof body === 'string' ? body : JSON.stringify(body));
    });
  });
  const client = createWalrusClient({
    endpoints: { publisher, aggregators: [] },
    blobId,
    headers: { authorization: 'Bearer token' },
    limits: quick,
  });
  const created = (blobObject: object) => ({ newlyCreated: { blobObject } });
  answers = [
    [0, ''],
    [503, {}],
    [200, created({ blobId: id, certifiedEpoch: 9, storage: { endEpoch: 14 }, deletable: false })],
  ];
  t.deepEqual(unwrap(await client.put(bytes, 5)).durability, {
    kind: 'certified',
    certifiedEpoch: 9,
    endEpoch: 14,
    deletable: false,
  });
  t.is(seen[0], 'PUT /v1/blobs?epochs=5&permanent=true Bearer token');
  answers = [[200, created({ blobId: id, certifiedEpoch: null, storage: { endEpoch: 1 } })]];
  t.deepEqual(unwrap(await client.put(bytes, 1)).durability, { kind: 'not-certified' });
  answers = [[200, { alreadyCertified: { blobId: id, endEpoch: 40 } }]];
  t.like(unwrap(await client.put(bytes, 1)).durability, { kind: 'certified', endEpoch: 40 });
  const refusals: ReadonlyArray<readonly [number, unknown, string]> = [
    [200, created({ blobId: quickId(utf8('other')) }), 'wrong-blob-id'],
    [200, 'not json', 'publisher-failed'],
    [200, { markedInvalid: { blobId: id } }, 'publisher-failed'],
    [200, {}, 'publisher-failed'],
    [413, { error: {} }, 'publisher-failed'],
  ];
  for (const [code, body, expected] of refusals) {
    answers = [[code, body]];
    const result = await client.put(bytes, 1);
    t.is(result.ok ? '' : result.code, expected);
  }
  const none = createWalrusClient({ endpoints: { publisher: null, aggregators: [] }, blobId });
  const unset = await none.put(bytes, 1);
  t.is(unset.ok ? '' : unset.code, 'no-publisher');
  const nowhere = await none.get(referenceOf(bytes));
  t.is(nowhere.ok ? '' : nowhere.code, 'no-aggregator');
});

test('the client and the node understand each other', async (t) => {
  const { url, store }: { url: string; store: BlobStore } = await startStore(t);
  const bytes = new Uint8Array(300_000).map((_, i) => (i * 7) & 255);
  const realId = async (given: Uint8Array) => {
    const stored = unwrap(await store.store(given));
    return success(unwrap(await store.reference(stored.sha256)).blobId);
  };
  const client = createWalrusClient({ endpoints: { publisher: url, aggregators: [url] }, blobId: realId });
  const { reference, durability } = unwrap(await client.put(bytes, 1));
  t.deepEqual(durability, { kind: 'not-certified' });
  t.deepEqual(unwrap(await client.get(reference)).bytes, bytes);
});
