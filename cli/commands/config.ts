// The config command: prints each value a node would run with, and where it comes from.

import type { CommandModule } from 'yargs';
import { unwrap } from '../../base/fault.ts';
import { CONFIG_KEYS, loadConfig } from '../../node/config.ts';
import { configOptions, flagsOf } from '../config-options.ts';

type Arguments = { 'config-file': string | undefined; json: boolean } & Record<string, unknown>;

export const configCommand: CommandModule<object, Arguments> = {
  command: 'config',
  describe: 'show each configuration value with its source',
  builder: {
    ...configOptions,
    'config-file': { type: 'string', describe: 'config file' },
    json: { type: 'boolean', default: false, describe: 'print JSON' },
  } as never,
  async handler(args) {
    const { config, sources } = unwrap(
      loadConfig({ file: args['config-file'], flags: flagsOf(args), environment: process.env }),
    );
    if (args.json) console.log(JSON.stringify({ config, sources }));
    else
      for (const key of CONFIG_KEYS)
        console.log(`${key.padEnd(24)}${JSON.stringify(config[key]).padEnd(40)} ${sources[key]}`);
  },
};
