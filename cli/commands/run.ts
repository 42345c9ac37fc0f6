// The run command: one node in this process until it is told to stop.

import type { CommandModule } from 'yargs';
import { FaultError, fault, unwrap } from '../../base/fault.ts';
import { type Config, loadConfig } from '../../node/config.ts';
import { STOP_MS } from '../../node/limits.ts';
import { systemClock } from '../../node/clock.ts';
import { configOptions, flagsOf } from '../config-options.ts';

type Arguments = { 'config-file': string | undefined; 'stop-with-input': boolean } & Record<string, unknown>;

export const runCommand: CommandModule<object, Arguments> = {
  command: 'run',
  describe: 'run a node',
  builder: {
    ...configOptions,
    'config-file': { type: 'string', describe: 'config file' },
    'stop-with-input': {
      type: 'boolean',
      default: false,
      describe: 'stop when standard input ends, for programs that start nodes',
    },
  } as never,
  async handler(args) {
    const { config } = unwrap(
      loadConfig({ file: args['config-file'], flags: flagsOf(args), environment: process.env }),
    );
    if (config.genesis_file === '') {
      throw new FaultError(
        fault(
          'genesis',
          'genesis_file: no network named; make one with `pol-node create-network`, start a development chain with `pol-node dev`, or give --genesis-file',
        ),
      );
    }
    await runUntilStopped(config, args['stop-with-input']);
  },
};

/** Runs a node until SIGINT or SIGTERM, or the end of standard input when asked; a second signal ends it at once. */
export async function runUntilStopped(config: Config, stopWithInput = false): Promise<void> {
  // Loaded here, so that commands that only ask a node start at once.
  const [{ createLogger }, { startNode }] = await Promise.all([
    import('../../node/logger.ts'),
    import('../../node/node.ts'),
  ]);
  const log = createLogger({
    level: config.log_level,
    nodeId: config.node_id,
    terminal: process.stdout.isTTY === true,
  });
  let stop: () => Promise<void> = async () => {};
  let ending = false;
  function end(why: string): void {
    if (ending) {
      log.warn('second signal: ending at once');
      process.exit(1);
    }
    ending = true;
    log.info('stopping', { why });
    systemClock.after(STOP_MS, () => {
      log.error('not stopped in time: ending at once');
      process.exit(1);
    });
    void stop().then(() => {
      log.info('stopped');
      process.exit(process.exitCode ?? 0);
    });
  }
  const started = await startNode({
    config,
    log,
    onFatal: (error) => {
      log.error('stopping: the node cannot go on', { reason: error.message });
      process.exitCode = 1;
      if (!ending) end('fatal');
    },
  });
  if (!started.ok) throw new FaultError(started);
  const node = started.value;
  stop = node.stop;
  log.info('node', {
    address: node.address,
    authority: config.is_authority,
    peers: node.peerNode.addresses().join(' '),
    url: node.rpc.url,
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(signal));
  // The pipe from a starter that died, even by SIGKILL, ends too: its nodes do not outlive it.
  if (stopWithInput) process.stdin.once('close', () => end('standard input ended')).resume();
  await new Promise<never>(() => {});
}
