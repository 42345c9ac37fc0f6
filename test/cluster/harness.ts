// Owns what the tests of whole networks share: small networks in temporary folders, nodes as processes or in this one,
// waiting for conditions over the HTTP API, and ending everything that was started.

import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Hex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { FaultError, unwrap } from '../../base/fault.ts';
import { openChain } from '../../chain/chain.ts';
import { DEFAULT_CHAIN_ID } from '../../chain/genesis.ts';
import { getJson } from '../../cli/api-client.ts';
import { validatorSetHash } from '../../consensus/validator-set.ts';
import { type ChildNode, startChildNode } from '../../node/child-nodes.ts';
import { systemClock } from '../../node/clock.ts';
import { type ConfigKey, loadConfig } from '../../node/config.ts';
import { type FoundedNetwork, type FoundedNode, type FoundingPlan, foundNetwork } from '../../node/founding.ts';
import { freePorts } from '../../node/free-ports.ts';
import type { Logger } from '../../node/logger.ts';
import { type NodeOptions, type RunningNode, readGenesis, startNode } from '../../node/node.ts';
import { checkBooksAtRest, watchBooks } from './invariants.ts';

export const HOST = '127.0.0.1';
export const binary = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'bin', 'pol-node.mjs');

export type Json = Readonly<Record<string, unknown>>;

/** What a suite started; `close` ends it all, also after a failure. */
export type Stage = Readonly<{
  directory: string;
  children: ChildNode[];
  /** Config files of the nodes that were started as processes. */
  configFiles: Set<string>;
  running: RunningNode[];
  close(): Promise<void>;
}>;

/** A temporary folder with everything that will be started from it. */
export function openStage(name: string): Stage {
  const directory = mkdtempSync(join(tmpdir(), `cluster-${name}-`));
  const children: ChildNode[] = [];
  const configFiles = new Set<string>();
  const running: RunningNode[] = [];
  return {
    directory,
    children,
    configFiles,
    running,
    async close() {
      await Promise.all(children.map((child) => kill(child)));
      // Where no node ran in this process, nobody has seen the books yet.
      const books = running.length > 0 ? [] : [checkProcessBooks([...configFiles])];
      const ended = await Promise.allSettled([...running.map((node) => node.stop()), ...books]);
      rmSync(directory, { recursive: true, force: true });
      for (const end of ended) if (end.status === 'rejected') throw end.reason;
    },
  };
}

/** The books of every block in the first chain that a process has left; there is none where disks are gone. */
async function checkProcessBooks(configFiles: readonly string[]): Promise<void> {
  const configs = configFiles.map((file) => unwrap(loadConfig({ file, flags: {}, environment: {} })).config);
  const config = configs.find(({ data_dir }) => existsSync(join(data_dir, 'chain', 'CURRENT')));
  if (config === undefined) return;
  const { genesis } = unwrap(readGenesis(config.genesis_file));
  const firstSetHash = toHex(validatorSetHash(genesis.authorities.map(({ address }) => address)));
  const directory = join(config.data_dir, 'chain');
  const chain = unwrap(await openChain({ directory, genesis, create: false, firstSetHash }));
  await checkBooksAtRest(chain).finally(() => chain.close());
}

/** A network small enough that a round takes seconds on a busy core; `plan` says what differs. */
export async function foundSmallNetwork(
  stage: Stage,
  plan: Pick<FoundingPlan, 'authorities' | 'regularNodes'> & Partial<FoundingPlan>,
): Promise<FoundedNetwork> {
  const count = plan.authorities + plan.regularNodes;
  const ports = await freePorts(2 * count);
  return unwrap(
    await foundNetwork(
      {
        directory: stage.directory,
        chainId: DEFAULT_CHAIN_ID,
        corpus: 'moby-dick',
        vocab: 300,
        modelSize: 200_000,
        sequenceLength: 32,
        batchSize: 2,
        stepsPerRound: 4,
        learningRate: 0.003,
        port: 8000,
        apiPort: 8080,
        ports: ports.slice(0, count),
        apiPorts: ports.slice(count),
        host: HOST,
        timestamp: Math.floor(systemClock.now() / 1_000),
        authorityFunds: 1_000n,
        nodeFunds: 1_000n,
        funded: [],
        ...plan,
        // A canary is a wrong claim on purpose: tests that want one ask for it.
        parameters: { canaryBps: 0, ...plan.parameters },
      },
      () => undefined,
    ),
  );
}

/** Runs a node from its config file as a process of its own. */
export function startProcess(
  stage: Stage,
  node: Pick<FoundedNode, 'name' | 'configFile'>,
  flags: string[] = [],
): ChildNode {
  const child = startChildNode({
    name: node.name,
    configFile: node.configFile,
    logFile: join(stage.directory, `${node.name}.log`),
    flags,
  });
  stage.children.push(child);
  stage.configFiles.add(node.configFile);
  return child;
}

/** Writes what a node of this process says to a file, as the processes' logs are. */
function fileLogger(file: string): Logger {
  const write =
    (level: string) =>
    (event: string, fields: object = {}): void => {
      const entry = { time: Math.round(systemClock.monotonic()), level, msg: event, ...fields };
      const text = JSON.stringify(entry, (_, value) => (typeof value === 'bigint' ? value.toString() : value));
      appendFileSync(file, `${text}\n`);
    };
  return { debug: () => undefined, info: write('info'), warn: write('warn'), error: write('error') };
}

/** Runs a node in this process. The books of its chain are checked at every block. */
export async function startHere(
  stage: Stage,
  node: FoundedNode,
  options: Partial<NodeOptions> & { training?: boolean; flags?: Partial<Record<ConfigKey, unknown>> } = {},
): Promise<RunningNode> {
  const { training = false, flags: given = {}, ...rest } = options;
  const flags = { training_enabled: training, ...given };
  const { config } = unwrap(loadConfig({ file: node.configFile, flags, environment: {} }));
  const onFatal = (error: Error): void => {
    throw error;
  };
  const running = unwrap(
    await startNode({ config, log: fileLogger(join(stage.directory, `${node.name}.log`)), onFatal, ...rest }),
  );
  const books = watchBooks(running.chain);
  const watched = {
    ...running,
    async stop() {
      await books.end().finally(running.stop);
    },
  };
  stage.running.push(watched);
  return watched;
}

/** Ends a process as a power cut would. */
export async function kill(child: ChildNode): Promise<void> {
  if (child.process.exitCode === null && child.process.signalCode === null) child.process.kill('SIGKILL');
  await child.ended;
}

/** Polls until the probe gives something other than null; what it gave. A node that does not answer yet counts as null. */
export async function waitFor<T>(what: string, timeoutMs: number, probe: () => Promise<T | null>): Promise<T> {
  const start = systemClock.monotonic();
  for (;;) {
    const found = await probe().catch((error: unknown) => {
      if (error instanceof FaultError) return null;
      throw error;
    });
    if (found !== null) return found;
    if (systemClock.monotonic() - start > timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await systemClock.sleep(250);
  }
}

export function api(node: Pick<FoundedNode, 'apiPort'>, path: string): Promise<Json> {
  return getJson({ host: HOST, port: node.apiPort }, `/api/v1/${path}`);
}

export const status = (node: Pick<FoundedNode, 'apiPort'>): Promise<Json> => api(node, 'status');

export async function heightOf(node: Pick<FoundedNode, 'apiPort'>): Promise<number> {
  return Number((await status(node))['blockchain_height']);
}

/** Waits until a node's height is at least that. */
export function reaches(node: FoundedNode, height: number, timeoutMs: number): Promise<number> {
  return waitFor(`${node.name} at height ${height}`, timeoutMs, async () => {
    const now = await heightOf(node);
    return now >= height ? now : null;
  });
}

export async function blockHash(node: Pick<FoundedNode, 'apiPort'>, height: number): Promise<string> {
  return String((await api(node, `block/${height}`))['hash']);
}

export type Contribution = Readonly<{ trainer: Hex; state: string; slashed_wei: string; trace_root: Hex | null }>;
export type RoundView = Readonly<{
  round: number;
  phase: string;
  base_root: Hex;
  model_root: Hex | null;
  held_out_loss: number | null;
  minted: string;
  contributions: readonly Contribution[];
}>;

/** Finished rounds that made a new model, oldest first; one whose attestations expired names its base. */
export async function acceptedRounds(node: Pick<FoundedNode, 'apiPort'>): Promise<RoundView[]> {
  const { items } = (await api(node, 'rounds?limit=100')) as unknown as { items: RoundView[] };
  return items.filter(({ model_root, base_root }) => model_root !== null && model_root !== base_root).reverse();
}

export type CommandResult = Readonly<{ code: number | null; stdout: string; stderr: string }>;

/** Runs `pol-node` with these words in a folder until it ends; it is killed after `timeoutMs`. */
export function command(directory: string, args: readonly string[], timeoutMs = 90_000): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const environment = { ...process.env, NODE_OPTIONS: '', POL_NODE_LOG_LEVEL: undefined };
    const child = spawn(process.execPath, [binary, ...args], { cwd: directory, env: environment });
    const late = systemClock.after(timeoutMs, () => child.kill('SIGKILL'));
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes.toString();
    });
    child.stderr.on('data', (bytes: Buffer) => {
      stderr += bytes.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => {
      late.cancel();
      resolve({ code, stdout, stderr });
    });
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}

/** First of `count` free ports that follow one another, as create-network numbers them. */
export async function freeRange(count: number): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const first = present((await freePorts(1))[0], 'port');
    if (first + count > 65_000) continue;
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`no ${count} free ports in a row`);
}

/** Last lines of every log in the folder, for the message of a failure. */
export function logTails(stage: Stage, lines = 15): string {
  const logs = readdirSync(stage.directory).filter((name) => name.endsWith('.log'));
  const tails = logs.map((name) => {
    const text = readFileSync(join(stage.directory, name), 'utf8');
    return `--- ${name}\n${text.trimEnd().split('\n').slice(-lines).join('\n')}`;
  });
  return tails.join('\n');
}
