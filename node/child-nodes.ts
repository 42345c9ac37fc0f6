// Owns a network of nodes as child processes of this one, each from its config file: started, watched, stopped by its own pid.

import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from './clock.ts';
import { STOP_MS } from './limits.ts';

const command = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bin', 'pol-node.mjs');

export type ChildNode = Readonly<{
  name: string;
  process: ChildProcess;
  logFile: string;
  /** Resolves with the exit code, or the signal's name. */
  ended: Promise<number | string>;
}>;

/** Starts one node that ends when this process does; its log goes to a file. `nodePath` is another Node binary when one is wanted. */
export function startChildNode(options: {
  name: string;
  configFile: string;
  logFile: string;
  flags?: readonly string[];
  nodePath?: string;
  environment?: Readonly<Record<string, string>>;
}): ChildNode {
  const log = createWriteStream(options.logFile, { flags: 'a' });
  const child = spawn(
    options.nodePath ?? process.execPath,
    [command, 'run', '--config-file', options.configFile, '--stop-with-input', ...(options.flags ?? [])],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...options.environment }, detached: true },
  );
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  const ended = new Promise<number | string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  void ended.then(() => log.end());
  return { name: options.name, process: child, logFile: options.logFile, ended };
}

/** Asks every child to stop and waits; one that does not is killed after STOP_MS. */
export async function stopChildNodes(children: readonly ChildNode[], clock: Clock): Promise<void> {
  const running = children.filter(({ process: child }) => child.exitCode === null && child.signalCode === null);
  for (const { process: child } of running) child.kill('SIGTERM');
  const force = clock.after(STOP_MS, () => {
    for (const { process: child } of running) if (child.exitCode === null) child.kill('SIGKILL');
  });
  await Promise.all(running.map(({ ended }) => ended));
  force.cancel();
}
