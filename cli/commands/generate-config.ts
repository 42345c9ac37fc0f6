// The generate-config command: writes a config file with every key, checked, never over an existing one.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { FaultError, fault, unwrap } from '../../base/fault.ts';
import { loadConfig } from '../../node/config.ts';
import { writeFileDurably } from '../../node/files.ts';
import { configOptions, flagsOf } from '../config-options.ts';

type Arguments = { output: string; force: boolean } & Record<string, unknown>;

export const generateConfigCommand: CommandModule<object, Arguments> = {
  command: 'generate-config',
  describe: 'write a config file with every key',
  builder: {
    ...configOptions,
    output: { type: 'string', demandOption: true, describe: 'file to write' },
    force: { type: 'boolean', default: false, describe: 'replace an existing file' },
  } as never,
  async handler(args) {
    const path = resolve(args.output);
    if (existsSync(path) && !args.force)
      throw new FaultError(fault('output', `--output: ${path} exists; --force replaces it`));
    const { config } = unwrap(loadConfig({ flags: flagsOf(args), environment: {} }));
    writeFileDurably(path, `${JSON.stringify(config, null, 2)}\n`);
    console.log(`wrote ${path}\nstart it: pol-node run --config-file ${args.output}`);
  },
};
