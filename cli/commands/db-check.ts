// The db check command: verifies the whole database of a node that is not running.

import type { CommandModule } from 'yargs';
import { unwrap } from '../../base/fault.ts';
import { loadConfig } from '../../node/config.ts';
import { configOptions, flagsOf } from '../config-options.ts';

type Arguments = { action: string; 'config-file': string; json: boolean } & Record<string, unknown>;

export const dbCheckCommand: CommandModule<object, Arguments> = {
  command: 'db <action>',
  describe: "check a stopped node's database: every block, the whole state, every checksum",
  builder: ((yargs: { positional: (name: string, options: object) => { options: (all: object) => unknown } }) =>
    yargs.positional('action', { choices: ['check'], describe: 'what to do' }).options({
      ...configOptions,
      'config-file': { type: 'string', demandOption: true, describe: 'config file of the node' },
      json: { type: 'boolean', default: false, describe: 'print JSON' },
    })) as never,
  async handler(args) {
    const { config } = unwrap(
      loadConfig({ file: args['config-file'], flags: flagsOf(args), environment: process.env }),
    );
    const { checkDatabase } = await import('../../node/database-check.ts');
    const audit = unwrap(await checkDatabase(config, (height) => console.error(`  block ${height}`)));
    if (args.json) console.log(JSON.stringify(audit));
    else {
      const { blocks, rows, accounts, slots, stateRoot } = audit;
      const counts = `${blocks} blocks, ${rows} rows, ${accounts} accounts, ${slots} slots`;
      console.log(`the database is whole: ${counts}, state ${stateRoot}`);
    }
  },
};
