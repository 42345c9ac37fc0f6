// Owns the set-up of a fresh machine: installs from the lockfile and builds, each only when it has not been done for this tree.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const installStamp = join(root, 'node_modules', '.pol-node-lock');
const buildStamp = join(root, 'build', '.stamp');
const SOURCE_FOLDERS = [
  'base',
  'engine',
  'chain',
  'consensus',
  'trainer',
  'net',
  'rpc',
  'bridge',
  'node',
  'cli',
  'web',
  'test',
  'bench',
  'scripts',
];

/** Runs a command in the repository and ends this process with its code when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error !== undefined) {
    console.error(`${command}: ${result.error.message}`);
    process.exit(1);
  }
  if (result.status !== 0) process.exit(result.status ?? 1);
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`pol-node needs Node 20.19 or newer; this is ${process.versions.node}.`);
  process.exit(1);
}

function ensureInstalled() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(installStamp) && readFileSync(installStamp, 'utf8') === lock) return;
  console.log('Installing dependencies from the lockfile ...');
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    shell: process.platform === 'win32',
  });
  writeFileSync(installStamp, lock);
}

function sourceHash() {
  const hash = createHash('sha256');
  for (const file of ['package-lock.json', 'tsconfig.json']) hash.update(readFileSync(join(root, file)));
  const visit = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else hash.update(`${path}\0${statSync(path).size}\0`).update(readFileSync(path));
    }
  };
  for (const folder of SOURCE_FOLDERS) if (existsSync(join(root, folder))) visit(join(root, folder));
  return hash.digest('hex');
}

function ensureBuilt() {
  const hash = sourceHash();
  if (existsSync(buildStamp) && readFileSync(buildStamp, 'utf8') === hash) return;
  console.log('Building ...');
  run(process.execPath, [join(root, 'scripts', 'build.mjs')]);
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(buildStamp, hash);
}

/** Installs and builds when needed. */
export function setUp() {
  requireNode();
  ensureInstalled();
  ensureBuilt();
}
