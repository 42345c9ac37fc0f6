// The priority of engine threads: lower than the main thread's, for themselves and for what they start, and for nobody else.

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { getPriority } from 'node:os';
import { Worker } from 'node:worker_threads';
import test from 'ava';

const MODULE = new URL('../../base/thread-priority.js', import.meta.url).href;

/** A thread that lowers itself, then starts another; both tell their nice values. */
const CODE = `
  const { parentPort, Worker } = require('node:worker_threads');
  const { getPriority } = require('node:os');
  import(MODULE).then(({ lowerThreadPriority }) => {
    const told = lowerThreadPriority(10);
    const again = lowerThreadPriority(3);
    const child = new Worker("require('node:worker_threads').parentPort.postMessage(require('node:os').getPriority())", { eval: true });
    child.once('message', (inherited) => parentPort.postMessage({ told, again, own: getPriority(), inherited }));
  });`;

test('a thread lowers itself and what it starts, never the main thread, and never rises again', async (t) => {
  const before = getPriority();
  const worker = new Worker(CODE.replace('MODULE', JSON.stringify(MODULE)), { eval: true });
  const [said] = (await once(worker, 'message')) as [Record<string, unknown>];
  await worker.terminate();
  t.is(getPriority(), before);
  if (process.platform !== 'linux') {
    t.regex(String(said['told']), /^not lowered: /);
    return;
  }
  const expected = Math.max(10, before);
  t.deepEqual(said, { told: `nice ${expected}`, again: `nice ${expected}`, own: expected, inherited: expected });
});

test('a main thread is left as it is', (t) => {
  const code = `const { lowerThreadPriority } = await import('${MODULE}');
    const { getPriority } = await import('node:os');
    console.log(getPriority(), lowerThreadPriority(10), getPriority());`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  t.regex(stdout, /^(\d+) not lowered: .* \1\n$/);
});
