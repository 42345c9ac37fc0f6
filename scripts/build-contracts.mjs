// Owns compiling chain/contracts/*.sol to build/chain/contracts.json with fixed settings, so that the bytecode is reproducible.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const from = join(root, 'chain', 'contracts');
const target = join(root, 'build', 'chain', 'contracts.json');
const deployed = ['Authorities', 'Trainers', 'LearningRounds', 'Rewards'];

const require = createRequire(import.meta.url);
const settings = {
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  evmVersion: 'cancun',
  metadata: { bytecodeHash: 'none', appendCBOR: false },
  outputSelection: {
    '*': {
      '*': [
        'abi',
        'evm.bytecode.object',
        'evm.deployedBytecode.object',
        'evm.deployedBytecode.immutableReferences',
        'storageLayout',
      ],
    },
  },
};

const sources = Object.fromEntries(
  readdirSync(from)
    .filter((name) => name.endsWith('.sol'))
    .sort()
    .map((name) => [name, { content: readFileSync(join(from, name), 'utf8') }]),
);
const compilerVersion = require('solc/package.json').version;
const inputHash = createHash('sha256').update(JSON.stringify({ compilerVersion, settings, sources })).digest('hex');

/** Input hash of the file made last, or null when there is none that can be read. */
function madeFrom() {
  try {
    return JSON.parse(readFileSync(target, 'utf8')).inputHash;
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

function compile() {
  const solc = require('solc');
  const output = JSON.parse(solc.compile(JSON.stringify({ language: 'Solidity', sources, settings })));
  const complaints = output.errors ?? [];
  if (complaints.length > 0) {
    throw new Error(complaints.map((complaint) => complaint.formattedMessage).join('\n'));
  }
  const contracts = {};
  for (const name of deployed) {
    const { abi, evm, storageLayout } = output.contracts[`${name}.sol`][name];
    if (Object.keys(evm.deployedBytecode.immutableReferences ?? {}).length > 0)
      throw new Error(`${name}: immutables are not allowed`);
    contracts[name] = {
      abi,
      creationBytecode: `0x${evm.bytecode.object}`,
      runtimeBytecode: `0x${evm.deployedBytecode.object}`,
      storage: storageLayout.storage.map(({ label, slot, offset }) => ({ label, slot: Number(slot), offset })),
    };
  }
  return contracts;
}

if (madeFrom() !== inputHash) {
  const text = `${JSON.stringify({ inputHash, compilerVersion, contracts: compile() }, null, 1)}\n`;
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(`${target}.${process.pid}`, text);
  renameSync(`${target}.${process.pid}`, target);
}
