// The create-network command: keys, dataset, genesis and configs for a new network, and how to start it.

import { relative, resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { unwrap } from '../../base/fault.ts';
import { type FoundingArguments, foundingOptions, planOf } from '../founding-options.ts';

type Arguments = FoundingArguments & {
  authorities: number;
  nodes: number;
  output: string;
  port: number;
  'api-port': number;
  host: string;
};

export const createNetworkCommand: CommandModule<object, Arguments> = {
  command: 'create-network',
  describe: 'make the keys, genesis and configs of a new network',
  builder: {
    authorities: { type: 'number', default: 3, describe: 'authority nodes (4 or more tolerate a failure)' },
    nodes: { type: 'number', default: 3, describe: 'regular nodes' },
    output: { type: 'string', default: '.', describe: 'folder to write to' },
    port: { type: 'number', default: 8000, describe: 'first peer port' },
    'api-port': { type: 'number', default: 8080, describe: 'first API port' },
    host: { type: 'string', default: '127.0.0.1', describe: 'address the nodes bind and dial for peers' },
    ...foundingOptions,
  } as never,
  async handler(args) {
    const { foundNetwork } = await import('../../node/founding.ts');
    const plan = planOf(args, {
      directory: resolve(args.output),
      authorities: args.authorities,
      regularNodes: args.nodes,
      port: args.port,
      apiPort: args['api-port'],
      host: args.host,
    });
    const network = unwrap(await foundNetwork(plan, (line) => console.error(`  ${line}`)));
    const shown = (path: string): string => relative(process.cwd(), path) || path;
    console.log(
      `\nMade ${args.authorities} authorities and ${args.nodes} regular nodes; genesis is ${shown(network.genesisFile)}.`,
    );
    if (args.authorities < 4) {
      console.log(
        `Note: ${args.authorities} authorities tolerate no failure: all of them are needed for every block. Four tolerate one.`,
      );
    }
    console.log('\nStart each in a terminal of its own:');
    for (const node of network.nodes) {
      const flags = node.isAuthority ? '' : ' --training';
      console.log(`  pol-node run --config-file ${shown(node.configFile)}${flags}`);
    }
    const first = network.nodes[0]?.apiPort ?? 8080;
    console.log(`\nThen: pol-node status --port ${first}    page: http://localhost:${first}/`);
  },
};
