// Runs inside a mount namespace of its own: one authority whose data lies on a small file system, which is filled to the last
// byte while blocks are made, and emptied again. Prints what happened as one line of JSON.

import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { blockHash, foundSmallNetwork, heightOf, kill, openStage, reaches, startProcess } from './harness.ts';

const SIZE = '96m';

/** Takes all that is left of a file system. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let chunk = 1 << 20; chunk >= 1; ) {
      try {
        writeSync(file, new Uint8Array(chunk));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        chunk >>= 1;
      }
    }
  } finally {
    closeSync(file);
  }
}

const stage = openStage('full-disk');
try {
  const disk = join(stage.directory, 'disk');
  mkdirSync(disk);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', disk], { encoding: 'utf8' });
  if (mounted.status !== 0) {
    process.stdout.write(`${JSON.stringify({ skipped: mounted.stderr.trim() })}\n`);
  } else {
    const { nodes } = await foundSmallNetwork(stage, { authorities: 1, regularNodes: 0 });
    const [node] = nodes as [(typeof nodes)[number]];
    const config = JSON.parse(readFileSync(node.configFile, 'utf8')) as Record<string, unknown>;
    // Keys stay where they are; what grows moves to the small file system.
    const data = join(disk, 'data');
    spawnSync('cp', ['-r', String(config['data_dir']), data]);
    writeFileSync(node.configFile, JSON.stringify({ ...config, data_dir: data }), { mode: 0o600 });
    const first = startProcess(stage, node);
    await reaches(node, 3, 60_000);
    const ballast = join(disk, 'ballast');
    const before = await heightOf(node);
    const hash = await blockHash(node, before);
    fill(ballast);
    await first.ended;
    const exit = first.process.exitCode;
    const log = readFileSync(join(stage.directory, `${node.name}.log`), 'utf8');
    // Still full: it must refuse in words, too.
    const second = startProcess(stage, node);
    await Promise.race([second.ended, new Promise((resolve) => setTimeout(resolve, 20_000))]);
    const secondExit = second.process.exitCode;
    await kill(second);
    rmSync(ballast);
    const third = startProcess(stage, node);
    await reaches(node, before + 3, 60_000);
    const same = (await blockHash(node, before)) === hash;
    third.process.kill('SIGTERM');
    await third.ended;
    const rest = readFileSync(join(stage.directory, `${node.name}.log`), 'utf8').slice(log.length);
    const reason = /"reason":"([^"]*)"/.exec(log)?.[1];
    const refusal = /^pol-node: .*$/m.exec(rest)?.[0];
    const outcome = { exit, reason, secondExit, refusal, same, last: third.process.exitCode };
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
  }
} finally {
  spawnSync('umount', [join(stage.directory, 'disk')]);
  await stage.close();
}
