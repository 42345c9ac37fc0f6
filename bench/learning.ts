// Owns the figures of a whole network that learns: the demo's network as processes, round by round, until enough rounds were
// accepted. Last line: one line of JSON.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Hex, toHex } from '../base/bytes.ts';
import { FaultError, unwrap } from '../base/fault.ts';
import { stateRoot } from '../base/merkle.ts';
import { getJson } from '../cli/api-client.ts';
import { foundingOptions, planOf } from '../cli/founding-options.ts';
import { type ChildNode, startChildNode, stopChildNodes } from '../node/child-nodes.ts';
import { systemClock } from '../node/clock.ts';
import { type FoundedNode, foundNetwork } from '../node/founding.ts';
import { freePorts } from '../node/free-ports.ts';

const AUTHORITIES = 4;
const TRAINERS = 2;
const ROUNDS = 12;
const HOST = '127.0.0.1';
/** No round takes this long unless the network stands still. */
const ROUND_MS = 300_000;
const MODEL_MS = 60_000;

type Round = Readonly<{
  round: number;
  base_root: Hex;
  model_root: Hex | null;
  held_out_loss: number | null;
  training_loss: number | null;
  minted: string;
  contributions: readonly Readonly<{ state: string }>[];
}>;

async function newRound(node: FoundedNode, after: number): Promise<Round | null> {
  try {
    const answer = await getJson({ host: HOST, port: node.apiPort }, '/api/v1/rounds?limit=10');
    const rounds = (answer['items'] as Round[]).filter(({ round }) => round > after).reverse();
    // A round whose attestations expired names its base as its model.
    return rounds.find(({ model_root, base_root }) => model_root !== null && model_root !== base_root) ?? null;
  } catch (error) {
    // While nodes start, nobody answers yet.
    if (error instanceof FaultError) return null;
    throw error;
  }
}

async function waitFor<T>(what: string, limitMs: number, probe: () => Promise<T | null>): Promise<T> {
  const start = systemClock.monotonic();
  for (;;) {
    const found = await probe();
    if (found !== null) return found;
    if (systemClock.monotonic() - start > limitMs) throw new Error(`${what}: not within ${limitMs} ms`);
    await systemClock.sleep(250);
  }
}

/** True when every node holds a model file that has this root by its own bytes, and names it in this round. */
async function allHold(directory: string, nodes: readonly FoundedNode[], round: number, root: Hex): Promise<boolean> {
  const held = nodes.map(async (node) => {
    const file = join(directory, 'data', node.name, 'models', `${root.slice(2)}.bin`);
    await waitFor(`model of ${node.name}`, MODEL_MS, async () => (existsSync(file) ? true : null));
    // Its file is there before the block that names it: a busy node takes a moment more.
    const named = await waitFor(`round of ${node.name}`, MODEL_MS, async () => {
      const said = await getJson({ host: HOST, port: node.apiPort }, `/api/v1/rounds/${round}`);
      return said['model_root'] ?? null;
    });
    return toHex(stateRoot(new Uint8Array(readFileSync(file)))) === root && named === root;
  });
  return (await Promise.all(held)).every(Boolean);
}

type Seen = Readonly<{ loss: number; contributors: number; equal: boolean; seconds: number }>;

async function watch(directory: string, nodes: readonly FoundedNode[], wanted: number): Promise<Seen[]> {
  const [first] = nodes;
  if (first === undefined) throw new Error('a network has nodes');
  const start = systemClock.monotonic();
  const seen: Seen[] = [];
  for (let last = -1; seen.length < wanted; ) {
    const before = systemClock.monotonic();
    const round = await waitFor(`round after ${last}`, ROUND_MS, () => newRound(first, last));
    last = round.round;
    const contributors = round.contributions.filter(({ state }) => state === 'accepted').length;
    const equal = round.model_root !== null && (await allHold(directory, nodes, last, round.model_root));
    const { minted } = await getJson({ host: HOST, port: first.apiPort }, '/api/v1/supply');
    const loss = round.held_out_loss ?? Number.NaN;
    const now = systemClock.monotonic();
    seen.push({ loss, contributors, equal, seconds: (now - start) / 1_000 });
    const words = [
      `round ${String(last).padStart(3)}`,
      `held-out ${loss.toFixed(4)}`,
      `training ${round.training_loss?.toFixed(4) ?? '-'}`,
      `contributors ${contributors}`,
      `${((now - before) / 1_000).toFixed(1)} s`,
      `minted ${minted} POL`,
      `model ${round.model_root?.slice(0, 14)} ${equal ? 'equal on' : 'NOT equal on'} ${nodes.length} nodes`,
    ];
    console.log(words.join('  '));
  }
  return seen;
}

/** The founding flags as `name=value` words say, else their defaults. */
function flagsOf(words: readonly string[]): Parameters<typeof planOf>[0] {
  const given = new Map(words.map((word) => word.split('=', 2) as [string, string]));
  for (const name of given.keys())
    if (!Object.hasOwn(foundingOptions, name)) throw new Error(`${name} is no founding flag`);
  const options = Object.entries(foundingOptions).map(([name, option]) => {
    const value = given.get(name);
    const fallback = 'default' in option ? option.default : undefined;
    if (value === undefined || typeof fallback === 'string') return [name, value ?? fallback];
    return [name, typeof fallback === 'boolean' ? value === 'true' : Number(value)];
  });
  return Object.fromEntries(options) as Parameters<typeof planOf>[0];
}

/** Runs the demo's network for 12 accepted rounds, or as many as a number says; founding flags as name=value. */
export async function main(words: readonly string[] = []): Promise<void> {
  const rounds = words.find((word) => !word.includes('=')) ?? String(ROUNDS);
  const directory = mkdtempSync(join(tmpdir(), 'pol-learning-'));
  const count = AUTHORITIES + TRAINERS;
  const ports = await freePorts(2 * count);
  const children: ChildNode[] = [];
  // Nodes are processes of their own: they must not outlive this one.
  const abandon = (): void => {
    for (const { process: child } of children) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
    process.exit(1);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, abandon);
  try {
    const plan = planOf(flagsOf(words.filter((word) => word.includes('='))), {
      directory,
      authorities: AUTHORITIES,
      regularNodes: TRAINERS,
      port: 8000,
      apiPort: 8080,
      ports: ports.slice(0, count),
      apiPorts: ports.slice(count),
      host: HOST,
    });
    const { nodes } = unwrap(await foundNetwork(plan, (line) => console.log(`  ${line}`)));
    for (const { name, configFile, isAuthority } of nodes) {
      const flags = isAuthority ? [] : ['--training'];
      children.push(startChildNode({ name, configFile, logFile: join(directory, `${name}.log`), flags }));
    }
    const seen = await watch(directory, nodes, Number(rounds));
    const losses = seen.map(({ loss }) => loss);
    console.log(
      JSON.stringify({
        rounds: seen.length,
        firstLoss: losses[0],
        lastLoss: losses.at(-1),
        falls: losses.filter((loss, i) => i > 0 && loss < (losses[i - 1] as number)).length,
        contributorsMin: Math.min(...seen.map(({ contributors }) => contributors)),
        rootsEqual: seen.every(({ equal }) => equal),
        secondsToFirstRound: Math.round(seen[0]?.seconds ?? Number.NaN),
      }),
    );
  } finally {
    await stopChildNodes(children, systemClock);
    rmSync(directory, { recursive: true, force: true });
  }
}
