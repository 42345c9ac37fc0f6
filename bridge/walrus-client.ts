// Owns talking to Walrus over HTTP: publishers and aggregators of the local network, Testnet or Mainnet, none of them
// trusted. What a blob's bytes are is checked here; whether Walrus keeps them is reported as a separate fact.

import type { Hex } from '../base/bytes.ts';
import { toHex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import { type BlobReference, isBlobId } from './blob-id.ts';
import { BRIDGE_LIMITS, type BridgeLimits } from './limits.ts';

export type WalrusMode = 'local' | 'testnet' | 'mainnet';

/** Where to talk to. Modes differ in nothing else than this and in who signs for storage (`headers`). */
export type WalrusEndpoints = Readonly<{
  /** Base URL before /v1, or null: Mainnet has no public publisher, an operator names an own one. */
  publisher: string | null;
  aggregators: readonly string[];
}>;

/** Public services of the Walrus operators (their documentation, 2026); local has none until a node is named. */
export const WALRUS_ENDPOINTS: Readonly<Record<WalrusMode, WalrusEndpoints>> = {
  local: { publisher: null, aggregators: [] },
  testnet: {
    publisher: 'https://publisher.walrus-testnet.walrus.space',
    aggregators: ['https://aggregator.walrus-testnet.walrus.space'],
  },
  mainnet: { publisher: null, aggregators: ['https://aggregator.walrus-mainnet.walrus.space'] },
};

/** What is known of a blob's keeping. Content is a matter of hashes; this is a matter of whom one believes. */
export type Durability =
  | Readonly<{ kind: 'not-certified' }>
  | Readonly<{ kind: 'certified'; certifiedEpoch: number | null; endEpoch: number; deletable: boolean | null }>;

export type PutReceipt = Readonly<{ reference: BlobReference; durability: Durability }>;
export type GetReceipt = Readonly<{ bytes: Uint8Array; aggregator: string; checked: 'sha256' | 'sha256-and-blob-id' }>;

export type WalrusClient = Readonly<{
  /** Stores bytes. Faults `no-publisher`, `blob-too-large`, `publisher-failed`, `wrong-blob-id`. */
  put(bytes: Uint8Array, epochs: number): Promise<Result<PutReceipt>>;
  /** Fetches and checks, trying each aggregator. Faults `no-aggregator`, `blob-too-large`, `blob-unavailable`. */
  get(reference: BlobReference): Promise<Result<GetReceipt>>;
}>;

export type WalrusClientOptions = Readonly<{
  endpoints: WalrusEndpoints;
  /** True blob id of bytes (bridge/blob-id-pool.ts). */
  blobId(bytes: Uint8Array): Promise<Result<string>>;
  /** Recompute the blob id of what is fetched: seconds. The hash is always checked. */
  checkBlobIds?: boolean;
  /** Sent with every PUT, for example a publisher's bearer token. */
  headers?: Readonly<Record<string, string>>;
  limits?: Partial<BridgeLimits>;
}>;

type Attempt<T> = Readonly<{ done: Result<T> }> | Readonly<{ retry: string }>;

export function createWalrusClient(options: WalrusClientOptions): WalrusClient {
  const limits: BridgeLimits = { ...BRIDGE_LIMITS, ...options.limits };

  async function attempts<T>(code: string, what: string, once: () => Promise<Attempt<T>>): Promise<Result<T>> {
    let why = '';
    for (let attempt = 0; attempt < limits.clientAttempts; attempt++) {
      if (attempt > 0) await sleep(limits.clientRetryMs * 2 ** (attempt - 1));
      const outcome = await once();
      if ('done' in outcome) return outcome.done;
      why = outcome.retry;
    }
    return fault(code, `${what} failed ${limits.clientAttempts} times, last: ${why}`);
  }

  async function put(bytes: Uint8Array, epochs: number): Promise<Result<PutReceipt>> {
    const { publisher } = options.endpoints;
    if (publisher === null) return fault('no-publisher', 'no Walrus publisher is configured');
    if (bytes.length > limits.blobInMemoryBytes) return tooLarge(limits.blobInMemoryBytes);
    const blobId = await options.blobId(bytes);
    if (!blobId.ok) return blobId;
    const reference: BlobReference = { blobId: blobId.value, sha256: hashOf(bytes), size: bytes.length };
    // Provenance must not be deletable by whoever paid; storing the same bytes again is harmless, so PUTs are retried.
    const url = `${trimmed(publisher)}/v1/blobs?epochs=${epochs}&permanent=true`;
    return attempts('publisher-failed', 'storing on Walrus', () => putOnce(url, bytes, reference));
  }

  async function putOnce(url: string, bytes: Uint8Array, reference: BlobReference): Promise<Attempt<PutReceipt>> {
    try {
      const response = await fetch(url, {
        method: 'PUT',
        body: bytes as Uint8Array<ArrayBuffer>,
        headers: { 'content-type': 'application/octet-stream', ...options.headers },
        signal: AbortSignal.timeout(limits.clientTimeoutMs),
        redirect: 'error',
      });
      const body = await readCapped(response, limits.clientAnswerBytes);
      if (body === null) return { retry: `an answer over ${limits.clientAnswerBytes} bytes` };
      const text = Buffer.from(body).toString('utf8');
      if (response.status >= 500 || response.status === 429) return { retry: `HTTP ${response.status}` };
      if (!response.ok) {
        return {
          done: fault('publisher-failed', `the publisher answered HTTP ${response.status}: ${text.slice(0, 200)}`),
        };
      }
      return { done: readPutAnswer(text, reference) };
    } catch (error) {
      return { retry: describe(error) };
    }
  }

  async function get(reference: BlobReference): Promise<Result<GetReceipt>> {
    const aggregators = options.endpoints.aggregators.slice(0, limits.aggregators);
    if (aggregators.length === 0) return fault('no-aggregator', 'no Walrus aggregator is configured');
    if (!isBlobId(reference.blobId)) return fault('malformed-reference', 'blobId is not 43 characters of base64url');
    if (reference.size > limits.blobInMemoryBytes) return tooLarge(limits.blobInMemoryBytes);
    const failures = new Map<string, string>();
    // A stale "not found" soon after certification is normal, so every aggregator is asked again, later.
    return attempts('blob-unavailable', `fetching ${reference.blobId}`, async () => {
      for (const aggregator of aggregators) {
        const got = await getOnce(aggregator, reference);
        if (typeof got !== 'string') return { done: success(got) };
        failures.set(aggregator, got);
      }
      return {
        retry: [...failures]
          .map(([url, why]) => `${url}: ${why}`)
          .join('; ')
          .slice(0, 500),
      };
    });
  }

  /** The checked bytes, or why this aggregator's answer is of no use. */
  async function getOnce(aggregator: string, reference: BlobReference): Promise<GetReceipt | string> {
    try {
      const response = await fetch(`${trimmed(aggregator)}/v1/blobs/${reference.blobId}`, {
        signal: AbortSignal.timeout(limits.clientTimeoutMs),
        redirect: 'error',
      });
      if (!response.ok) {
        await response.body?.cancel();
        return `HTTP ${response.status}`;
      }
      const bytes = await readCapped(response, reference.size);
      if (bytes === null) return `more than the ${reference.size} bytes of the reference`;
      if (bytes.length !== reference.size || hashOf(bytes) !== reference.sha256)
        return 'other bytes than the reference';
      if (options.checkBlobIds !== true) return { bytes, aggregator, checked: 'sha256' };
      const blobId = await options.blobId(bytes);
      if (!blobId.ok) return blobId.message;
      if (blobId.value !== reference.blobId) return 'the reference pairs this hash with another blob id';
      return { bytes, aggregator, checked: 'sha256-and-blob-id' };
    } catch (error) {
      return describe(error);
    }
  }

  return { put, get };
}

/** Reads a publisher's answer in any of its shapes and holds it to the id computed here. */
function readPutAnswer(text: string, reference: BlobReference): Result<PutReceipt> {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return fault('publisher-failed', 'the publisher answered something that is not JSON');
  }
  const created = field(field(answer, 'newlyCreated'), 'blobObject');
  const already = field(answer, 'alreadyCertified');
  const blobId = field(created, 'blobId') ?? field(already, 'blobId');
  if (field(answer, 'markedInvalid') !== undefined)
    return fault('publisher-failed', 'Walrus has marked the blob invalid');
  if (!isBlobId(blobId)) return fault('publisher-failed', 'the publisher answered no blob id');
  if (blobId !== reference.blobId) {
    return fault('wrong-blob-id', `the publisher stored ${blobId}, the bytes have ${reference.blobId}`, { blobId });
  }
  return success({ reference, durability: durabilityOf(created, already) });
}

function durabilityOf(created: unknown, already: unknown): Durability {
  const endEpoch = field(already, 'endEpoch');
  if (typeof endEpoch === 'number') return { kind: 'certified', certifiedEpoch: null, endEpoch, deletable: null };
  const certifiedEpoch = field(created, 'certifiedEpoch');
  const end = field(field(created, 'storage'), 'endEpoch');
  if (typeof certifiedEpoch !== 'number' || typeof end !== 'number') return { kind: 'not-certified' };
  return { kind: 'certified', certifiedEpoch, endEpoch: end, deletable: field(created, 'deletable') === true };
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

/** The body, or null as soon as it exceeds `limit`. */
async function readCapped(response: Response, limit: number): Promise<Uint8Array | null> {
  if (response.body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > limit) return null;
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks, size));
}

function hashOf(bytes: Uint8Array): Hex {
  return toHex(sha256(bytes));
}

function trimmed(url: string): string {
  return url.replace(/\/+$/, '');
}

function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return `${message}${cause instanceof Error ? ` (${cause.message})` : ''}`.slice(0, 200);
}

function tooLarge<T>(limit: number): Result<T> {
  return fault('blob-too-large', `the blob is over ${limit} bytes`, { limit });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
