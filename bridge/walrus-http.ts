// Owns the HTTP face of the blob store, in the shapes of the Walrus publisher and aggregator API (OpenAPI of v1.56), so
// that Walrus clients work against a node. It never claims what only Walrus can: `certifiedEpoch` stays null.

import { pipeline } from 'node:stream/promises';
import express, { type Request, type Response, type Router } from 'express';
import type { Fault } from '../base/fault.ts';
import { type BlobReference, WALRUS_SHARDS, encodedSize, isBlobId } from './blob-id.ts';
import type { BlobStore, ByteRange, StoredBlob } from './blob-store.ts';
import { BRIDGE_LIMITS, type BridgeLimits } from './limits.ts';

export type WalrusHttpOptions = Readonly<{
  store: BlobStore;
  /** True when this request may store blobs; a public node answers 403 otherwise. */
  mayStore(request: Request): boolean;
  limits?: Partial<BridgeLimits>;
  /** Called for defects behind a 500. */
  onError(error: unknown): void;
}>;

type ErrorStatus =
  | 'INVALID_ARGUMENT'
  | 'PERMISSION_DENIED'
  | 'NOT_FOUND'
  | 'OUT_OF_RANGE'
  | 'RESOURCE_EXHAUSTED'
  | 'INTERNAL'
  | 'UNIMPLEMENTED'
  | 'UNAVAILABLE';

/** Router to mount under a prefix, for example /walrus (the API's own /v1 would meet the chat API's). */
export function walrusRouter(options: WalrusHttpOptions): Router {
  const router = express.Router();
  const limits: BridgeLimits = { ...BRIDGE_LIMITS, ...options.limits };
  let uploads = 0;

  router.put(
    '/v1/blobs',
    guarded(options, async (request, response) => {
      if (!options.mayStore(request))
        return refuse(response, 403, 'PERMISSION_DENIED', 'this node stores no blobs for others');
      const epochs = wholeNumber(request.query.epochs ?? '1');
      if (epochs === null || epochs < 1 || epochs > limits.maxEpochs) {
        return refuse(response, 400, 'INVALID_ARGUMENT', `epochs is not a whole number from 1 to ${limits.maxEpochs}`);
      }
      if (uploads >= limits.httpUploads)
        return refuse(response, 503, 'UNAVAILABLE', `more than ${limits.httpUploads} uploads`);
      uploads += 1;
      try {
        await storeUpload(request, response, options.store, limits, epochs);
      } finally {
        uploads -= 1;
      }
    }),
  );
  router.all('/v1/quilts', (_request, response) =>
    refuse(response, 501, 'UNIMPLEMENTED', 'quilts are not served here'),
  );
  router.get(
    '/v1/blobs/:id',
    guarded(options, async (request, response) => {
      const blob = findBlob(options.store, request, response);
      if (blob === null) return;
      const range = parseRange(request.headers.range, blob.size);
      if (range === 'unsatisfiable') {
        response.setHeader('content-range', `bytes */${blob.size}`);
        return refuse(response, 416, 'OUT_OF_RANGE', `the range lies outside the ${blob.size} bytes`);
      }
      await send(request, response, options.store, blob, range);
    }),
  );
  router.get(
    '/v1/blobs/:id/byte-range',
    guarded(options, async (request, response) => {
      const blob = findBlob(options.store, request, response);
      if (blob === null) return;
      const start = wholeNumber(request.query.start);
      const length = wholeNumber(request.query.length);
      if (start === null || length === null || length === 0) {
        return refuse(response, 400, 'INVALID_ARGUMENT', 'start and length are not whole numbers');
      }
      if (start + length > blob.size)
        return refuse(response, 416, 'OUT_OF_RANGE', `the range ends after ${blob.size} bytes`);
      await send(request, response, options.store, blob, { start, end: start + length });
    }),
  );
  router.use((_request, response) => refuse(response, 404, 'NOT_FOUND', 'no such path in the blob API'));
  return router;
}

type Handler = (request: Request, response: Response) => Promise<void>;

function guarded(options: WalrusHttpOptions, handler: Handler): Handler {
  return async (request, response) => {
    try {
      await handler(request, response);
    } catch (error) {
      // A client that hangs up in the middle is no defect; there is nobody left to answer.
      if (request.destroyed && !request.complete) return;
      if (response.destroyed || response.headersSent) return void response.destroy();
      options.onError(error);
      refuse(response, 500, 'INTERNAL', 'the blob store failed');
    }
  };
}

async function storeUpload(
  request: Request,
  response: Response,
  store: BlobStore,
  limits: BridgeLimits,
  epochs: number,
) {
  const claimed = wholeNumber(request.headers['content-length'] ?? '0') ?? Number.POSITIVE_INFINITY;
  if (claimed > limits.httpBlobBytes) return uploadTooLarge(request, response, limits);
  if (request.headers['content-encoding'] !== undefined) {
    return refuse(response, 400, 'INVALID_ARGUMENT', 'content-encoding is not accepted');
  }
  const stored = await store.storeStream(request as AsyncIterable<Uint8Array>, limits.httpBlobBytes);
  if (!stored.ok && stored.code === 'blob-too-large') return uploadTooLarge(request, response, limits);
  const named = stored.ok ? await store.reference(stored.value.sha256) : stored;
  if (!named.ok) return refuseFault(response, named);
  response.json(newlyCreated(named.value, epochs, request.query.permanent !== 'true'));
}

function uploadTooLarge(request: Request, response: Response, limits: BridgeLimits): void {
  response.setHeader('connection', 'close');
  response.once('finish', () => request.destroy());
  refuse(response, 413, 'INVALID_ARGUMENT', `the blob is over ${limits.httpBlobBytes} bytes`);
}

/** The publisher's answer. Ids of Sui objects are derived from the blob, since no Sui object stands behind it. */
function newlyCreated({ blobId, sha256, size }: BlobReference, epochs: number, deletable: boolean) {
  return {
    newlyCreated: {
      blobObject: {
        id: sha256,
        registeredEpoch: 0,
        blobId,
        size,
        encodingType: 'RS2',
        certifiedEpoch: null,
        storage: { id: sha256, startEpoch: 0, endEpoch: epochs, storageSize: encodedSize(size) },
        deletable,
      },
      resourceOperation: { registerFromScratch: { encodedLength: encodedSize(size), epochsAhead: epochs } },
      cost: 0,
    },
    // Not part of the Walrus API: what the reader needs to know of this store.
    store: { kind: 'local', sha256, shards: WALRUS_SHARDS, note: 'stored by this node, not certified by Walrus' },
  };
}

function findBlob(store: BlobStore, request: Request, response: Response): StoredBlob | null {
  const id = request.params.id;
  if (!isBlobId(id)) {
    refuse(response, 400, 'INVALID_ARGUMENT', 'the blob id is not 43 characters of base64url');
    return null;
  }
  const blob = store.find(id);
  if (blob === null) refuse(response, 404, 'NOT_FOUND', `the requested blob ${id} does not exist here`);
  return blob;
}

async function send(request: Request, response: Response, store: BlobStore, blob: StoredBlob, range: ByteRange | null) {
  const stream = await store.read(blob.sha256, range ?? undefined);
  if (!stream.ok) return refuseFault(response, stream);
  const { start, end } = range ?? { start: 0, end: blob.size };
  response.status(range === null ? 200 : 206);
  response.setHeader('content-type', 'application/octet-stream');
  response.setHeader('content-length', end - start);
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('etag', `"${blob.blobId ?? blob.sha256}"`);
  response.setHeader('cache-control', 'public, max-age=31536000, immutable');
  response.setHeader('x-content-type-options', 'nosniff');
  if (range !== null) response.setHeader('content-range', `bytes ${start}-${end - 1}/${blob.size}`);
  if (request.method === 'HEAD') {
    stream.value.destroy();
    response.end();
    return;
  }
  await pipeline(stream.value, response);
}

/** One range of RFC 9110 section 14.1.2; null when absent, of another unit, or of several parts: the whole is sent. */
export function parseRange(header: string | undefined, size: number): ByteRange | 'unsatisfiable' | null {
  const match = /^bytes=(\d{0,16})-(\d{0,16})$/.exec(header ?? '');
  if (match === null) return null;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return null;
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size };
  }
  const start = Number(first);
  const end = last === '' ? size : Math.min(Number(last) + 1, size);
  if (last !== '' && Number(last) < start) return null;
  return start >= size ? 'unsatisfiable' : { start, end };
}

function wholeNumber(value: unknown): number | null {
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : null;
}

const FAULT_STATUS: Readonly<Record<string, readonly [number, ErrorStatus]>> = {
  'store-full': [503, 'RESOURCE_EXHAUSTED'],
  'too-many-blobs': [503, 'UNAVAILABLE'],
  stopped: [503, 'UNAVAILABLE'],
  'unknown-blob': [404, 'NOT_FOUND'],
  'damaged-blob': [404, 'NOT_FOUND'],
};

function refuseFault(response: Response, refusal: Fault): void {
  const [code, status] = FAULT_STATUS[refusal.code] ?? [500, 'INTERNAL'];
  refuse(response, code, status, refusal.message);
}

function refuse(response: Response, code: number, status: ErrorStatus, message: string): void {
  response.status(code).json({ error: { status, code, message, details: [] } });
}
