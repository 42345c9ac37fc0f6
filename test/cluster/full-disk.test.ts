// A disk that runs full under a node: it stops in words, refuses to start while nothing can be written, and goes on with every
// block it had once there is space. On a small file system in a mount namespace, so nothing else is filled.

import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';

const driver = fileURLToPath(new URL('./full-disk-main.js', import.meta.url));

test('a full disk stops the node cleanly, and it goes on when there is space again', async (t) => {
  if (spawnSync('unshare', ['-rm', 'true']).status !== 0) {
    t.log('skipped: no mount namespaces here (unshare -rm)');
    t.pass();
    return;
  }
  const { stdout } = await promisify(execFile)('unshare', ['-rm', process.execPath, driver], { timeout: 240_000 });
  const outcome = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  if (outcome['skipped'] !== undefined) {
    t.log(`skipped: ${String(outcome['skipped'])}`);
    t.pass();
    return;
  }
  t.like(outcome, { exit: 1, secondExit: 1, same: true, last: 0 });
  t.regex(String(outcome['reason']), /write failed .*[Nn]o space left/);
  t.regex(String(outcome['refusal']), /[Nn]o space left/);
});
