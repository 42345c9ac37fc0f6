// The dev command: a chain for development: one authority that also trains, a funded account, all in this process.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { unwrap } from '../../base/fault.ts';
import { loadConfig } from '../../node/config.ts';
import { configOptions, flagsOf } from '../config-options.ts';
import { type FoundingArguments, foundingOptions, planOf } from '../founding-options.ts';
import { runUntilStopped } from './run.ts';

type Arguments = FoundingArguments & { directory: string; training: boolean } & Record<string, unknown>;

export const devCommand: CommandModule<object, Arguments> = {
  command: 'dev',
  describe: 'run a development chain of one authority that trains',
  builder: {
    ...configOptions,
    ...foundingOptions,
    training: { type: 'boolean', default: true, describe: 'train as well (--no-training: only the chain)' },
    corpus: { ...foundingOptions.corpus, default: 'moby-dick' },
    'model-size': { ...foundingOptions['model-size'], default: '300k' },
    directory: { type: 'string', default: './pol-dev', describe: 'folder of the network; kept between runs' },
  } as never,
  async handler(args) {
    const directory = resolve(args.directory);
    const flags = flagsOf(args);
    const file = join(directory, 'authority_0_config.json');
    if (!existsSync(file)) {
      const { foundNetwork } = await import('../../node/founding.ts');
      const plan = planOf(args, {
        directory,
        authorities: 1,
        regularNodes: 0,
        port: Number(flags.port ?? 8000),
        apiPort: Number(flags.api_port ?? 8080),
        host: '127.0.0.1',
        authorityFunds: 1_000_000n,
      });
      unwrap(await foundNetwork(plan, (line) => console.error(`  ${line}`)));
    }
    const { config } = unwrap(
      loadConfig({ file, flags: { ...flags, training_enabled: args.training }, environment: process.env }),
    );
    console.error(`development chain in ${directory}; RPC, API, chat and page: http://localhost:${config.api_port}/`);
    await runUntilStopped(config);
  },
};
