// Owns what the network tests share: nodes on free loopback ports, waiting for conditions, and their closing.

import type { ExecutionContext } from 'ava';
import { unwrap } from '../../base/fault.ts';
import type { ChainStatus, PeerNode, PeerNodeOptions } from '../../net/api.ts';
import { createPeerNode } from '../../net/peer-node.ts';

export const GENESIS = new Uint8Array(32).fill(7);
export const CHAIN_ID = 7_741;

export const now = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

export function statusAt(height: number): ChainStatus {
  return { height, headHash: `0x${'ab'.repeat(32)}`, role: 'regular', apiUrl: '' };
}

/** A started node; `seed` (1 to 255) is its identity. It is stopped when the test ends. */
export async function startNode(t: ExecutionContext, seed: number, more: Partial<PeerNodeOptions> = {}) {
  const node = unwrap(await createPeerNode(optionsFor(seed, more)));
  t.teardown(() => node.stop());
  return node;
}

export function optionsFor(seed: number, more: Partial<PeerNodeOptions> = {}): PeerNodeOptions {
  return {
    identityKeyBytes: new Uint8Array(32).fill(seed),
    listenHost: '127.0.0.1',
    port: 0,
    bootNodes: [],
    chainId: CHAIN_ID,
    genesisHash: GENESIS,
    status: statusAt(seed),
    now,
    log: () => undefined,
    ...more,
  };
}

/** `count` nodes that know only the first, once every pair has joined. */
export async function startNetwork(
  t: ExecutionContext,
  count: number,
  firstSeed: number,
  onStart: (node: PeerNode, index: number) => void = () => undefined,
): Promise<PeerNode[]> {
  const first = await startNode(t, firstSeed);
  onStart(first, 0);
  const others = Array.from({ length: count - 1 }, (_, i) =>
    startNode(t, firstSeed + 1 + i, { bootNodes: [`127.0.0.1:${first.port}`] }),
  );
  const nodes = [first];
  for (const other of others) {
    const node = await other;
    onStart(node, nodes.length);
    nodes.push(node);
  }
  await until(() => nodes.every((node) => node.peers().length === count - 1), 60_000, 'full mesh');
  return nodes;
}

export async function until(condition: () => boolean, timeoutMs: number, what: string): Promise<number> {
  const start = now();
  while (!condition()) {
    if (now() - start > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(10);
  }
  return now() - start;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
