// Owns a network of authorities that things happen to: kill -9, a stopped process, a wiped disk, a wrong clock, restarts. All but
// the last authority are processes; the last runs here, so that its clock can be set wrong.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { present } from '../../base/check.ts';
import { type ChildNode, startChildNode } from '../../node/child-nodes.ts';
import { systemClock } from '../../node/clock.ts';
import type { FoundedNode } from '../../node/founding.ts';
import { freePorts } from '../../node/free-ports.ts';
import type { RunningNode } from '../../node/node.ts';
import {
  type Stage,
  blockHash,
  foundSmallNetwork,
  heightOf,
  kill,
  reaches,
  startHere,
  startProcess,
} from './harness.ts';

/** Time for one block on a machine that many share. */
const BLOCK_MS = 20_000;

export type Field = Readonly<{
  nodes: readonly FoundedNode[];
  /** The authority of this process. */
  here: RunningNode;
  hereAt: number;
  /** Milliseconds its clock is wrong by. */
  skew: { ms: number };
  killHard(index: number): Promise<void>;
  start(index: number): void;
  /** Asks a process to stop, waits, and starts it again. */
  restart(index: number): Promise<void>;
  /** SIGSTOP for so long, then SIGCONT. */
  freeze(index: number, ms: number): Promise<void>;
  /** kill -9, loss of everything but keys and sign state, and a start. */
  wipe(index: number): Promise<void>;
  /** A second process with the key and the sign state of an authority; what it ended with and said. */
  startTwin(index: number): Promise<Readonly<{ code: number | string; text: string }>>;
  /** Highest height a node that runs answers with. */
  height(): Promise<number>;
  /** Waits for more blocks on a node. */
  grows(blocks: number, index?: number): Promise<number>;
  /** Every node reaches the height and has the same block there. */
  agree(height: number): Promise<void>;
}>;

export async function openField(stage: Stage, authorities: number): Promise<Field> {
  const { nodes } = await foundSmallNetwork(stage, { authorities, regularNodes: 0 });
  const at = (index: number): FoundedNode => present(nodes[index], 'node');
  const children = new Map<number, ChildNode>();
  const hereAt = authorities - 1;
  const skew = { ms: 0 };
  const start = (index: number): void => void children.set(index, startProcess(stage, at(index)));
  for (let index = 0; index < hereAt; index++) start(index);
  const clock = { ...systemClock, now: () => systemClock.now() + skew.ms };
  const here = await startHere(stage, at(hereAt), { clock });
  const child = (index: number): ChildNode => present(children.get(index), `process ${index}`);

  async function height(): Promise<number> {
    const heights = await Promise.all(nodes.map((node) => heightOf(node).catch(() => 0)));
    return Math.max(...heights);
  }

  async function grows(blocks: number, index = hereAt): Promise<number> {
    return reaches(at(index), (await height()) + blocks, blocks * BLOCK_MS);
  }

  return {
    nodes,
    here,
    hereAt,
    skew,
    start,
    height,
    grows,
    killHard: (index) => kill(child(index)),
    async restart(index) {
      child(index).process.kill('SIGTERM');
      await child(index).ended;
      start(index);
    },
    async freeze(index, ms) {
      child(index).process.kill('SIGSTOP');
      await systemClock.sleep(ms);
      child(index).process.kill('SIGCONT');
    },
    async wipe(index) {
      await kill(child(index));
      for (const folder of ['chain', 'models', 'rounds', 'blobs']) {
        rmSync(join(stage.directory, 'data', at(index).name, folder), { recursive: true, force: true });
      }
      start(index);
    },
    async startTwin(index) {
      const [port = 0, apiPort = 0] = await freePorts(2);
      const name = `twin_of_${at(index).name}`;
      const from = join(stage.directory, 'data', at(index).name);
      const to = join(stage.directory, 'data', name);
      mkdirSync(to, { recursive: true });
      for (const part of ['keystore.json', 'password', 'consensus'])
        cpSync(join(from, part), join(to, part), { recursive: true });
      const config = JSON.parse(readFileSync(at(index).configFile, 'utf8')) as object;
      const own = { keystore_file: `data/${name}/keystore.json`, password_file: `data/${name}/password` };
      const changed = { ...config, node_id: name, port, api_port: apiPort, data_dir: `data/${name}`, ...own };
      const configFile = join(stage.directory, `${name}_config.json`);
      writeFileSync(configFile, JSON.stringify(changed));
      const logFile = join(stage.directory, `${name}.log`);
      const twin = startChildNode({ name, configFile, logFile });
      stage.children.push(twin);
      const late = systemClock.after(90_000, () => void twin.process.kill('SIGKILL'));
      const code = await twin.ended;
      late.cancel();
      return { code, text: readFileSync(logFile, 'utf8') };
    },
    async agree(target) {
      const hashes = new Set<string>();
      for (const node of nodes) {
        await reaches(node, target, 90_000);
        hashes.add(await blockHash(node, target));
      }
      if (hashes.size !== 1) throw new Error(`${hashes.size} blocks at height ${target}: ${[...hashes].join(' ')}`);
    },
  };
}

/** Lines of all logs that name an offence: there must be none when nobody cheats. */
export function offencesIn(stage: Stage, nodes: readonly FoundedNode[]): string[] {
  return nodes.flatMap(({ name }) => {
    const lines = readFileSync(join(stage.directory, `${name}.log`), 'utf8').split('\n');
    return lines.filter((line) => /"msg":"(equivocation|wrong-proposer|peer banned|proposal-invalid)"/.test(line));
  });
}
