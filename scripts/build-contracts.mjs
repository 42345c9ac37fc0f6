// Owns compiling chain/contracts/*.sol with fixed settings, so that the bytecode is reproducible: the system contracts to
// build/chain/contracts.json, the referee to build/chain/referee.json, the evidence contract to build/chain/evidence.json, Challenges to
// build/chain/challenges.json, the predeploys to build/chain/predeploys.json, each group by itself, so that none can touch another's bytes.

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const from = join(root, 'chain', 'contracts');
const ofReferee = (name) => name.startsWith('Referee') || name === 'SoftFloat.sol';
const ofEvidence = (name) => name === 'Evidence.sol';
const ofPredeploys = (name) => ['Multicall3.sol', 'WrappedPol.sol'].includes(name);
const ofChallenges = (name) =>
  ['ChallengeProof.sol', 'Challenges.sol', 'DataOrder.sol', 'MerkleTree.sol'].includes(name);
const ofTypes = (name) =>
  ['Protocol.sol', 'RefereeRows.sol', 'RefereeWitness.sol', 'RoundStorage.sol', 'SoftFloat.sol'].includes(name);
const groups = [
  {
    file: 'contracts.json',
    has: (name) => !ofReferee(name) && !ofEvidence(name) && !ofPredeploys(name) && !ofChallenges(name),
    made: ['Authorities', 'Trainers', 'LearningRounds', 'Rewards', 'Bonds'],
  },
  {
    file: 'referee.json',
    has: ofReferee,
    made: ['Referee', 'RefereeElements', 'RefereeLines', 'RefereeAttention', 'RefereeProbe'],
  },
  { file: 'evidence.json', has: ofEvidence, made: ['Evidence'] },
  { file: 'challenges.json', has: (name) => ofChallenges(name) || ofTypes(name), made: ['Challenges'] },
  { file: 'predeploys.json', has: ofPredeploys, made: ['Multicall3', 'WrappedPol'] },
];

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

const compilerVersion = require('solc/package.json').version;

function sourcesOf(has) {
  const names = readdirSync(from).filter((name) => name.endsWith('.sol') && has(name));
  return Object.fromEntries(names.sort().map((name) => [name, { content: readFileSync(join(from, name), 'utf8') }]));
}

/** Input hash of the file made last, or null when there is none that can be read. */
function madeFrom(target) {
  try {
    return JSON.parse(readFileSync(target, 'utf8')).inputHash;
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

function compile(sources, made) {
  const solc = require('solc');
  const output = JSON.parse(solc.compile(JSON.stringify({ language: 'Solidity', sources, settings })));
  const complaints = output.errors ?? [];
  if (complaints.length > 0) {
    throw new Error(complaints.map((complaint) => complaint.formattedMessage).join('\n'));
  }
  const contracts = {};
  for (const name of made) {
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

for (const { file, has, made } of groups) {
  const target = join(root, 'build', 'chain', file);
  const sources = sourcesOf(has);
  const inputHash = createHash('sha256').update(JSON.stringify({ compilerVersion, settings, sources })).digest('hex');
  if (madeFrom(target) === inputHash) continue;
  const contracts = compile(sources, made);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(`${target}.${process.pid}`, `${JSON.stringify({ inputHash, compilerVersion, contracts }, null, 1)}\n`);
  renameSync(`${target}.${process.pid}`, target);
}
