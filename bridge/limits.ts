// Owns every limit of the bridge layer: sizes in bytes, times in milliseconds, each with its reason.

export type BridgeLimits = typeof BRIDGE_LIMITS;

export const BRIDGE_LIMITS = {
  /** One blob; the id of a larger one would need more memory than a small machine has (2.6 times its size). */
  blobBytes: 1024 * 1024 * 1024,
  /** A blob that is handled whole in memory rather than as a stream. */
  blobInMemoryBytes: 256 * 1024 * 1024,
  storeBytes: 64 * 1024 * 1024 * 1024,
  storeBlobs: 100_000,
  /** Blob ids waiting for the worker. */
  idQueue: 1_000,
  /** The worker ends after this long without work, giving its memory back. */
  idWorkerIdleMs: 30_000,
  /** Nice value of the worker: nobody waits for an id, votes are on the same machine. */
  idNice: 10,
  /** Blobs whose bytes were hashed in this process and need no second look. */
  verified: 10_000,

  /** Stored through HTTP in one request, as public Walrus publishers allow (10 MiB). */
  httpBlobBytes: 10 * 1024 * 1024,
  /** Uploads at a time. */
  httpUploads: 8,
  /** Epochs ahead that Walrus accepts. */
  maxEpochs: 53,

  clientTimeoutMs: 60_000,
  clientAttempts: 4,
  clientRetryMs: 500,
  /** JSON answers of a publisher. */
  clientAnswerBytes: 256 * 1024,
  aggregators: 16,
};
