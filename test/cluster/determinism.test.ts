// Owns the claim that a round has one result: the same roots on one and two threads, on every engine there is here, and on
// another Node version where one is to be had.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { nativeLevels } from '../../engine/native-executor.ts';
import type { RootsLine } from './roots-main.ts';

const here = dirname(fileURLToPath(import.meta.url));
const repository = join(here, '..', '..', '..');
const program = join(here, 'roots-main.js');

async function roots(node: string, backend: string, threads: number): Promise<RootsLine> {
  const environment = { ...process.env, NODE_OPTIONS: '' };
  const { stdout } = await promisify(execFile)(node, [program, backend, String(threads)], {
    env: environment,
    timeout: 120_000,
  });
  return JSON.parse(stdout) as RootsLine;
}

let expected: Promise<RootsLine> | null = null;
/** WebAssembly on one thread of this Node: what the others are held against. */
function reference(): Promise<RootsLine> {
  expected ??= roots(process.execPath, 'wasm', 1);
  return expected;
}

async function same(t: ExecutionContext, node: string, backend: string, threads: number): Promise<RootsLine> {
  const [ours, theirs] = [await reference(), await roots(node, backend, threads)];
  t.deepEqual(theirs.roots, ours.roots);
  t.log(`${theirs.node} ${theirs.engine}: model ${theirs.roots.modelRoot.slice(0, 18)}`);
  return theirs;
}

test.serial('a round of two slots has the same roots when it is run again, and on two threads', async (t) => {
  const { roots: first } = await reference();
  t.is(new Set(first.commits).size, 2);
  await same(t, process.execPath, 'wasm', 1);
  await same(t, process.execPath, 'wasm', 2);
});

test.serial('the native engine computes the roots that WebAssembly computes', async (t) => {
  if (nativeLevels().length === 0) {
    t.log('skipped: no native library was built on this machine');
    t.pass();
    return;
  }
  const one = await same(t, process.execPath, 'native', 1);
  const two = await same(t, process.execPath, 'native', 2);
  t.true(one.engine.startsWith('native') && two.engine.startsWith('native'));
});

test.serial('another Node version computes the same roots', async (t) => {
  const other =
    process.env['POL_NODE_OTHER_NODE'] ??
    join(repository, '.cache', 'node24', 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
  if (!existsSync(other)) {
    t.log('skipped: no other Node; scripts/fetch-node.mjs gets one, or POL_NODE_OTHER_NODE names one');
    t.pass();
    return;
  }
  const line = await same(t, other, 'wasm', 1);
  await same(t, other, 'wasm', 2);
  t.not(line.node, process.version, 'another version than this one');
  if (nativeLevels().length > 0) await same(t, other, 'native', 1);
});
