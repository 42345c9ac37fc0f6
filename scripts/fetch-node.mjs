// Gets another Node version into .cache/, for the test that compares roots between versions. Without network or on another
// platform it says so and ends well: the test then says that it was skipped.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const VERSION = '24.21.0';
const name = `node-linux-${process.arch}`;
const folder = join(root, '.cache', 'node24');
const binary = join(folder, 'node_modules', name, 'bin', 'node');

if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
  console.log(
    `fetch-node: no package for ${process.platform} ${process.arch}; the comparison between Node versions is skipped`,
  );
} else if (!existsSync(binary)) {
  mkdirSync(folder, { recursive: true });
  const flags = ['--ignore-scripts', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = spawnSync('npm', ['install', '--prefix', folder, ...flags, `${name}@${VERSION}`], {
    stdio: 'inherit',
    timeout: 180_000,
  });
  if (npm.status !== 0 || !existsSync(binary)) {
    console.log(`fetch-node: ${name}@${VERSION} could not be had; the comparison between Node versions is skipped`);
  }
}
