// Owns the node's use of a Walrus network: which endpoints its configuration means, publishing accepted checkpoints, fetching a
// blob no peer has. With walrus_mode local and no URLs, blobs stay with this network's nodes.

import { fromHex, type Hex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { blobIdText } from '../bridge/blob-id.ts';
import { createBlobIdPool } from '../bridge/blob-id-pool.ts';
import { WALRUS_ENDPOINTS, type WalrusEndpoints, createWalrusClient } from '../bridge/walrus-client.ts';
import type { Config } from './config.ts';
import type { Logger } from './logger.ts';

/** Storage epochs bought for a checkpoint: half a year on Mainnet, two weeks on Testnet. */
const EPOCHS = 13;

export type Walrus = Readonly<{
  /** Stores bytes on the network in the background; the outcome is logged. */
  publish(bytes: Uint8Array): void;
  /** Checked bytes of a blob by its id. */
  fetch(reference: Readonly<{ blobId: Hex | null; sha256: Hex; size: number }>): Promise<Result<Uint8Array>>;
  stop(): Promise<void>;
}>;

/** Endpoints the configuration names; null when blobs stay local. */
export function walrusEndpoints(
  config: Pick<Config, 'walrus_mode' | 'walrus_publisher_url' | 'walrus_aggregator_url'>,
): WalrusEndpoints | null {
  const { walrus_mode: mode, walrus_publisher_url: publisher, walrus_aggregator_url: aggregator } = config;
  if (mode === 'local' && publisher === '' && aggregator === '') return null;
  const known: WalrusEndpoints = mode === 'local' ? { publisher: null, aggregators: [] } : WALRUS_ENDPOINTS[mode];
  return {
    publisher: publisher === '' ? known.publisher : publisher,
    aggregators: aggregator === '' ? known.aggregators : [aggregator],
  };
}

/** The Walrus side of a node, or null when its configuration names none. */
export function openWalrus(config: Config, log: Logger): Walrus | null {
  const endpoints = walrusEndpoints(config);
  if (endpoints === null) return null;
  const pool = createBlobIdPool();
  const client = createWalrusClient({ endpoints, blobId: (bytes) => pool.blobId(bytes) });
  return {
    publish(bytes) {
      if (endpoints.publisher === null) return;
      void client.put(bytes, EPOCHS).then((put) => {
        if (!put.ok) log.warn('checkpoint not on Walrus', { reason: put.message });
        else
          log.info('checkpoint on Walrus', {
            blobId: put.value.reference.blobId,
            durability: put.value.durability.kind,
          });
      });
    },
    async fetch({ blobId, sha256, size }) {
      if (blobId === null) return fault('walrus', 'the blob has no Walrus id');
      const got = await client.get({ blobId: blobIdText(fromHex(blobId)), sha256, size });
      return got.ok ? success(got.value.bytes) : got;
    },
    stop: () => pool.stop(),
  };
}
