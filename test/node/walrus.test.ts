// A node set to a Walrus network, here the HTTP face of another node's store on loopback.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import express from 'express';
import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { prng } from '../../base/prng.ts';
import { blobIdBytes } from '../../bridge/blob-id.ts';
import { openBlobStore } from '../../bridge/blob-store.ts';
import { walrusRouter } from '../../bridge/walrus-http.ts';
import { loadConfig } from '../../node/config.ts';
import type { Logger } from '../../node/logger.ts';
import { openWalrus, walrusEndpoints } from '../../node/walrus.ts';

const configOf = (flags: Record<string, unknown>) => unwrap(loadConfig({ flags, environment: {} })).config;
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

test('a local node talks to no Walrus; testnet and mainnet are a setting', (t) => {
  t.is(walrusEndpoints(configOf({})), null);
  t.regex(walrusEndpoints(configOf({ walrus_mode: 'testnet' }))?.publisher ?? '', /^https:\/\/.*testnet/);
  const mainnet = walrusEndpoints(configOf({ walrus_mode: 'mainnet', walrus_publisher_url: 'http://127.0.0.1:9/own' }));
  t.is(mainnet?.publisher, 'http://127.0.0.1:9/own');
  t.regex(mainnet?.aggregators[0] ?? '', /mainnet/);
});

test('a checkpoint published by one node is fetched and checked by another', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'walrus-'));
  const store = unwrap(await openBlobStore({ directory }));
  const app = express().use(
    '/walrus',
    walrusRouter({ store, mayStore: () => true, onError: (error) => t.fail(String(error)) }),
  );
  const server: Server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/walrus`;
  const walrus = openWalrus(configOf({ walrus_publisher_url: url, walrus_aggregator_url: url }), silent);
  try {
    t.truthy(walrus);
    const bytes = prng('checkpoint').bytes(5_000);
    walrus?.publish(bytes);
    const stored = await waitFor(() => store.list().find(({ blobId }) => blobId !== null));
    const reference = { blobId: toHex(blobIdBytes(stored.blobId as string)), sha256: stored.sha256, size: stored.size };
    t.deepEqual(unwrap((await walrus?.fetch(reference)) as never), bytes as never);
    const other = await walrus?.fetch({ ...reference, sha256: `0x${'00'.repeat(32)}` });
    t.false(other?.ok);
    const none = await walrus?.fetch({ ...reference, blobId: null });
    t.false(none?.ok);
  } finally {
    await walrus?.stop();
    await store.stop();
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
});

/** The thread that computes ids runs at the least priority: seconds on an idle machine, minutes on a busy one. */
async function waitFor<T>(find: () => T | undefined): Promise<T> {
  for (let tries = 0; tries < 1_800; tries++) {
    const found = find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('nothing came');
}
