// The demo command (npm start): founds a network in a temporary folder, runs each node as a process, shows what happens.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { type ChildNode, startChildNode, stopChildNodes } from '../../node/child-nodes.ts';
import { systemClock } from '../../node/clock.ts';
import type { FoundedNetwork, FoundedNode } from '../../node/founding.ts';
import { freePorts } from '../../node/free-ports.ts';
import { type FoundingArguments, foundingOptions, planOf } from '../founding-options.ts';
import { watchNetwork } from '../network-watch.ts';

type Arguments = FoundingArguments & {
  authorities: number;
  trainers: number;
  directory: string | undefined;
  'api-port': number | undefined;
  rounds: number | undefined;
};

function startAll(network: FoundedNetwork, directory: string): ChildNode[] {
  mkdirSync(join(directory, 'logs'), { recursive: true });
  return network.nodes.map((node) =>
    startChildNode({
      name: node.name,
      configFile: node.configFile,
      logFile: join(directory, 'logs', `${node.name}.log`),
      flags: node.isAuthority ? [] : ['--training'],
    }),
  );
}

function introduce(first: FoundedNode, directory: string): void {
  const url = `http://localhost:${first.apiPort}`;
  console.log(`
  page, JSON-RPC, REST   ${url}/
  chat                   curl ${url}/v1/chat/completions -H 'Content-Type: application/json' \\
                           -d '{"model":"pol-gpt","messages":[{"role":"user","content":"Call me"}],"max_tokens":60}'
  status                 node bin/pol-node.mjs status --port ${first.apiPort}
  files and logs         ${directory}
  stop                   Ctrl-C
`);
}

export const demoCommand: CommandModule<object, Arguments> = {
  command: 'demo',
  describe: 'found and run a whole network on this machine, and show it training',
  builder: {
    authorities: { type: 'number', default: 4, describe: 'authority processes' },
    trainers: { type: 'number', default: 2, describe: 'trainer processes' },
    directory: {
      type: 'string',
      describe: 'folder to keep the network in (default: a temporary one, removed at the end)',
    },
    'api-port': { type: 'number', describe: 'API port of the first authority (default: a free one)' },
    rounds: { type: 'number', describe: 'stop after this many accepted rounds' },
    ...foundingOptions,
  } as never,
  async handler(args) {
    const { foundNetwork } = await import('../../node/founding.ts');
    const directory = args.directory === undefined ? mkdtempSync(join(tmpdir(), 'pol-demo-')) : resolve(args.directory);
    const count = args.authorities + args.trainers;
    const ports = await freePorts(2 * count);
    const apiPorts = ports.slice(count);
    if (args['api-port'] !== undefined) apiPorts[0] = args['api-port'];
    console.log(`Founding a network of ${args.authorities} authorities and ${args.trainers} trainers ...`);
    const plan = planOf(args, {
      directory,
      authorities: args.authorities,
      regularNodes: args.trainers,
      port: 8000,
      apiPort: 8080,
      ports: ports.slice(0, count),
      apiPorts,
      host: '127.0.0.1',
    });
    const founded = await foundNetwork(plan, (line) => console.log(`  ${line}`));
    if (!founded.ok) {
      if (args.directory === undefined) rmSync(directory, { recursive: true, force: true });
      unwrap(founded);
      return;
    }
    const network = founded.value;
    const children = startAll(network, directory);
    const abort = new AbortController();
    const failed = watchChildren(children, abort.signal);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => abort.abort());
    const first = present(network.nodes[0], 'first node');
    introduce(first, directory);
    const trainerPorts = network.nodes.filter(({ isAuthority }) => !isAuthority).map(({ apiPort }) => apiPort);
    const outcome = await Promise.race([
      failed,
      watchNetwork(first.apiPort, trainerPorts, args.rounds ?? null, abort.signal),
    ]);
    abort.abort();
    console.log(outcome === null ? '\nStopping ...' : `\n${outcome}`);
    await stopChildNodes(children, systemClock);
    if (args.directory === undefined && outcome === null) rmSync(directory, { recursive: true, force: true });
    process.exit(outcome === null ? 0 : 1);
  },
};

/** Resolves with a message when a node ends by itself. */
function watchChildren(children: readonly ChildNode[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve_) => {
    for (const child of children) {
      void child.ended.then((code) => {
        if (!signal.aborted) resolve_(`${child.name} ended by itself (${code}); its log: ${child.logFile}`);
      });
    }
  });
}
