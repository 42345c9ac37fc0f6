// Owns a whole server for tests: scripted ports, a free port, seeded identifiers, and clean-up.

import { performance } from 'node:perf_hooks';
import type { ExecutionContext } from 'ava';
import { success } from '../../base/fault.ts';
import { ONE_POL } from '../../base/units.ts';
import { prng } from '../../base/prng.ts';
import type { Chain } from '../../chain/api.ts';
import type { LearningStatus, RoundInfo, RpcPorts } from '../../rpc/ports.ts';
import { type RpcServer, type RpcServerOptions, startRpcServer } from '../../rpc/server.ts';
import { type ScriptedModel, scriptedModel, tokens } from './scripted-model.ts';
import { stubChain } from './stub-chain.ts';

export const NODE_ADDRESS = `0x${'11'.repeat(20)}` as const;
export const NOW_MS = 1_790_000_123_456;

export const status: LearningStatus = {
  round: 8,
  phase: 'training',
  openedAt: 40,
  step: 3,
  stepsPerRound: 8,
  acceptedRounds: 7,
  epoch: 1,
  heldOutLoss: 4.25,
  trainingLoss: 4.5,
  tokensPerSecond: 1_000,
  tokensTrained: 65_536,
  modelRoot: `0x${'ab'.repeat(32)}`,
  parameters: 3_430_000,
  training: true,
  lossCurve: [
    { round: 0, heldOutLoss: 6.9, trainingLoss: null },
    { round: 1, heldOutLoss: 6.1, trainingLoss: 6.2 },
  ],
};

export const round: RoundInfo = {
  round: 7,
  phase: 'finalised',
  openedAt: 30,
  closedAt: 39,
  seed: `0x${'01'.repeat(32)}`,
  baseRoot: `0x${'02'.repeat(32)}`,
  modelRoot: `0x${'ab'.repeat(32)}`,
  outcome: 'moved',
  checkpoint: { blobId: 'abc', sha256: `0x${'03'.repeat(32)}`, size: 1_000 },
  heldOutLoss: 4.25,
  trainingLoss: 4.5,
  minted: 5n * ONE_POL,
  contributions: [
    {
      trainer: NODE_ADDRESS,
      state: 'accepted',
      traceRoot: `0x${'04'.repeat(32)}`,
      updateRoot: `0x${'05'.repeat(32)}`,
      verdicts: [{ authority: `0x${'22'.repeat(20)}`, verdict: 'valid', step: null }],
      reward: 5n * ONE_POL,
      slashed: 0n,
    },
  ],
};

export type Fixture = Readonly<{
  server: RpcServer;
  url: string;
  model: ScriptedModel;
  ports: RpcPorts;
  logged: string[];
}>;

export type FixtureOptions = Partial<Omit<RpcServerOptions, 'ports' | 'host' | 'port'>> & {
  ports?: Partial<RpcPorts>;
};

export function fixturePorts(model: ScriptedModel, logged: string[], chain: Chain): RpcPorts {
  const random = prng('rpc tests');
  return {
    clock: { nowMs: () => NOW_MS, monotonicMs: () => performance.now() },
    entropy: (length) => random.bytes(length),
    node: () => ({
      nodeId: 'node_0',
      address: NODE_ADDRESS,
      isAuthority: true,
      trainingEnabled: true,
      version: 'pol-node/0.1.0',
      startedMs: NOW_MS - 60_000,
      syncing: null,
      warnings: [],
    }),
    network: () => ({
      chainId: chain.chainId,
      genesisHash: chain.genesisHash,
      listen: ['/ip4/127.0.0.1/tcp/8000/ws'],
      peers: [],
      authorities: [{ address: NODE_ADDRESS, active: true }],
      quorum: 1,
    }),
    learning: {
      status: () => Promise.resolve(status),
      rounds: (before, limit) => Promise.resolve(before !== null && before <= 7 ? [] : [round].slice(0, limit)),
      round: (wanted) => Promise.resolve(wanted === 7 ? round : null),
      trainers: () =>
        Promise.resolve([
          {
            address: NODE_ADDRESS,
            stake: 100n * ONE_POL,
            capacity: 1,
            active: true,
            roundsAccepted: 7,
            roundsRejected: 0,
            earned: 35n * ONE_POL,
            slashed: 0n,
          },
        ]),
      supply: () =>
        Promise.resolve({ genesis: 1_000n * ONE_POL, minted: 35n * ONE_POL, burned: ONE_POL, vesting: 0n, staked: 0n }),
    },
    chat: model,
    submitTransaction: (raw) => {
      const added = chain.pool.add(raw, NOW_MS);
      return Promise.resolve(added.ok ? success(added.value) : added);
    },
    wallet: null,
    blobs: null,
    metrics: () => '',
    log: (event, fields) => void logged.push(`${event} ${JSON.stringify(fields)}`),
  };
}

/** A server that the test's end closes. */
export async function serve(t: ExecutionContext<unknown>, options: FixtureOptions = {}): Promise<Fixture> {
  const model = scriptedModel(tokens('Hello', ' there', '.'));
  const logged: string[] = [];
  const chain = options.chain ?? stubChain();
  const ports = { ...fixturePorts(model, logged, chain), ...options.ports };
  const server = await startRpcServer({ ...options, chain, ports, host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  return { server, url: server.url, model, ports, logged };
}

export type Answer = Readonly<{ status: number; text: string; json: unknown; headers: Headers }>;

/** Sends a request and reads the whole answer. */
export async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  let json: unknown = null;
  try {
    json = JSON.parse(text);
  } catch {
    json = null;
  }
  return { status: response.status, text, json, headers: response.headers };
}

/** POST of a JSON value (or of a text as it stands). */
export function post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return ask(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: text });
}

/** One JSON-RPC call over HTTP; the whole response object. */
export async function call(url: string, method: string, params: readonly unknown[] = []): Promise<RpcAnswer> {
  return (await post(url, { jsonrpc: '2.0', id: 1, method, params })).json as RpcAnswer;
}

export type RpcAnswer = Readonly<{
  jsonrpc: string;
  id: unknown;
  result?: unknown;
  error?: Readonly<{ code: number; message: string; data?: unknown }>;
}>;
