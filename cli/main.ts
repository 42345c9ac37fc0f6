// Owns the command table of pol-node: one file per command, shared words here. Logic lives in node/.

import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { FaultError } from '../base/fault.ts';
import { balanceCommand } from './commands/balance.ts';
import { benchCommand } from './commands/bench.ts';
import { challengeCommand } from './commands/challenge.ts';
import { chatCommand } from './commands/chat.ts';
import { configCommand } from './commands/config.ts';
import { createNetworkCommand } from './commands/create-network.ts';
import { dbCheckCommand } from './commands/db-check.ts';
import { demoCommand } from './commands/demo.ts';
import { devCommand } from './commands/dev.ts';
import { generateConfigCommand } from './commands/generate-config.ts';
import { runCommand } from './commands/run.ts';
import { sendCommand } from './commands/send.ts';
import { statusCommand } from './commands/status.ts';

/** Exit codes: 0 done, 1 refused or failed, 2 wrong usage. */
const FAILED = 1;
const USAGE = 2;

await yargs(hideBin(process.argv))
  .scriptName('pol-node')
  .usage('$0 <command> [options]')
  .command(createNetworkCommand)
  .command(runCommand)
  .command(demoCommand)
  .command(devCommand)
  .command(statusCommand)
  .command(balanceCommand)
  .command(sendCommand)
  .command(chatCommand)
  .command(challengeCommand)
  .command(generateConfigCommand)
  .command(configCommand)
  .command(dbCheckCommand)
  .command(benchCommand)
  .demandCommand(1, 'Name a command; pol-node --help lists them.')
  .strict()
  .completion('completion', 'print a script for shell completion')
  .wrap(Math.min(110, process.stdout.columns ?? 110))
  .fail((message, error) => {
    if (error instanceof FaultError) {
      console.error(`pol-node: ${error.fault.message}`);
      process.exit(FAILED);
    }
    if (error !== undefined && error !== null) {
      console.error(`pol-node: ${process.env.POL_NODE_LOG_LEVEL === 'DEBUG' ? error.stack : error.message}`);
      process.exit(FAILED);
    }
    console.error(`pol-node: ${message}\nRun pol-node --help for the commands.`);
    process.exit(USAGE);
  })
  .parseAsync();
