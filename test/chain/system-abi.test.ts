// Owns the tests of the bindings themselves: ABI against the compiler, parameters, genesis accounts, decoding of foreign bytes.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { toEventSelector } from 'viem';
import { type Hex, fromHex, toHex, u256be } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { keccak256 } from '../../base/hash.ts';
import { ONE_GWEI } from '../../base/units.ts';
import {
  authoritiesAbi,
  bondsAbi,
  challengesAbi,
  decodeRevert,
  learningRoundsAbi,
  rewardsAbi,
  trainersAbi,
} from '../../chain/system/abi.ts';
import { BONDS_ADDRESS, LEARNING_ROUNDS_ADDRESS, REWARDS_ADDRESS, TRAINERS_ADDRESS } from '../../chain/system/api.ts';
import { type ContractName, compiledContracts } from '../../chain/system/bytecode.ts';
import { decodeSystemLog } from '../../chain/system/events.ts';
import { EVIDENCE_ADDRESS } from '../../chain/system/evidence.ts';
import { systemGenesisAlloc } from '../../chain/system/genesis-alloc.ts';
import { challengesContract } from '../../chain/system/challenges.ts';
import { systemHooks } from '../../chain/system/hooks.ts';
import {
  defaultLearningParameters,
  learningParametersJson,
  parseLearningParameters,
} from '../../chain/system/parameters.ts';
import { readModel, readParameters } from '../../chain/system/views.ts';
import { authorityOf, hashOf, openWorld, testParameters } from './system-world.ts';

type Item = Readonly<{
  type: string;
  name?: string;
  stateMutability?: string;
  inputs?: readonly Item[];
  outputs?: readonly Item[];
  components?: readonly Item[];
  indexed?: boolean;
}>;

/** An ABI item as one line of text: kinds, names, types and order of everything a client relies on. */
function lineOf(item: Item): string {
  const list = (items: readonly Item[] | undefined): string =>
    (items ?? [])
      .map(
        ({ type, name, indexed, components }) => `${type}${list(components)}${indexed ? ' indexed' : ''} ${name ?? ''}`,
      )
      .join(', ');
  return `${item.type} ${item.name ?? ''}(${list(item.inputs)}) ${item.stateMutability ?? ''} (${list(item.outputs)})`;
}

const ABIS: Readonly<Record<ContractName, readonly unknown[]>> = {
  Authorities: authoritiesAbi,
  Trainers: trainersAbi,
  LearningRounds: learningRoundsAbi,
  Rewards: rewardsAbi,
  Bonds: bondsAbi,
};

for (const [name, abi] of Object.entries(ABIS)) {
  test(`the published ABI of ${name} is the compiler's`, (t) => {
    const compiled = compiledContracts()[name as ContractName].abi as readonly Item[];
    t.deepEqual((abi as readonly Item[]).map(lineOf).sort(), compiled.map(lineOf).sort());
  });
}

test('the published ABI and bytecode of Challenges are the compiler’s', (t) => {
  const { abi, runtimeBytecode } = challengesContract();
  const lines = (items: readonly unknown[]) => (items as readonly Item[]).map(lineOf).sort();
  t.deepEqual(lines(challengesAbi), lines(abi));
  const code = fromHex(runtimeBytecode);
  t.true(code.length <= 24_576);
  const document = readFileSync(new URL('../../../docs/protocol/system-contracts.md', import.meta.url), 'utf8');
  t.true(document.includes(`| Challenges | ${code.length} | \`${toHex(keccak256(code))}\` |`));
});

test('the bytecode is the one the protocol names, so a change of it is a change of the protocol', (t) => {
  const root = new URL('../../../', import.meta.url);
  const document = readFileSync(new URL('docs/protocol/system-contracts.md', root), 'utf8');
  for (const [name, { runtimeBytecode }] of Object.entries(compiledContracts())) {
    const hash = toHex(keccak256(fromHex(runtimeBytecode)));
    t.true(document.includes(`| ${name} | ${runtimeBytecode.length / 2 - 1} | \`${hash}\` |`), `${name} is ${hash}`);
  }
});

test('the protocol document names every parameter', (t) => {
  const document = readFileSync(new URL('../../../docs/protocol/system-contracts.md', import.meta.url), 'utf8');
  const table = document.slice(document.indexOf('## 9.'), document.indexOf('## 10.'));
  for (const field of Object.keys(testParameters)) t.true(table.includes(field), `${field} is not in the table`);
});

test('the queue lies in storage where the chain reads it', (t) => {
  const slots = Object.fromEntries(
    compiledContracts().Rewards.storage.map(({ label, slot, offset }) => [label, [slot, offset]]),
  );
  t.deepEqual(
    [slots.head, slots.tail, slots.entries],
    [
      [0, 0],
      [0, 8],
      [3, 0],
    ],
  );
});

test('each contract fits the size limit of other EVM chains (EIP-170)', (t) => {
  for (const { runtimeBytecode } of Object.values(compiledContracts()))
    t.true(runtimeBytecode.length / 2 - 1 <= 24_576);
});

test('genesis accounts depend on nothing but parameters and authorities', async (t) => {
  const digest = async (): Promise<string> => {
    const accounts = unwrap(await systemGenesisAlloc(testParameters, [authorityOf(0), authorityOf(1)]));
    const hash = createHash('sha256');
    for (const { address, code, storage } of accounts) hash.update(JSON.stringify([address, toHex(code), storage]));
    return hash.digest('hex');
  };
  t.is(await digest(), await digest());
  const hooks = unwrap(await systemHooks(testParameters, [authorityOf(0)]));
  t.is(Object.keys(hooks.alloc).length, 6, 'five of them and the evidence contract');
  t.is(hooks.alloc[BONDS_ADDRESS]?.balance, testParameters.authorityBondGwei * ONE_GWEI);
  t.deepEqual(
    hooks.calls(1, 0).map(({ to }) => to),
    [EVIDENCE_ADDRESS, LEARNING_ROUNDS_ADDRESS],
  );
  t.is(hooks.calls(2, 0).length, 1);
  t.deepEqual(
    hooks.calls(2, 2).map(({ to }) => to),
    [REWARDS_ADDRESS, LEARNING_ROUNDS_ADDRESS],
  );
});

test('what genesis puts in is what the views read out', async (t) => {
  const checkpoint = { blobId: hashOf('blob'), sha256: hashOf('sha'), size: 12n };
  const changes = {
    genesisHeldOutMicroNats: 6_931_472,
    genesisCheckpoint: checkpoint,
    outerEtaNumerator: 7,
    outerEtaShift: 3,
  };
  const world = await openWorld(4, changes);
  const { genesisModelRoot, genesisHeldOutMicroNats, genesisCheckpoint, ...stored } = world.parameters;
  t.deepEqual(await readParameters(world.view), stored);
  t.deepEqual(await readModel(world.view), {
    root: genesisModelRoot,
    version: 0,
    round: -1,
    heldOutMicroNats: genesisHeldOutMicroNats,
    checkpoint: genesisCheckpoint,
  });
});

const HASHES = {
  kernelSpec: hashOf('a'),
  programHash: hashOf('b'),
  datasetHash: hashOf('c'),
  trainingConfigHash: hashOf('d'),
  genesisModelRoot: hashOf('e'),
};

test('parameters come back from their JSON form as they were, and defaults fill what is left out', (t) => {
  const text = JSON.stringify(learningParametersJson(testParameters));
  t.deepEqual(unwrap(parseLearningParameters(JSON.parse(text))), testParameters);
  t.deepEqual(unwrap(parseLearningParameters(HASHES)), { ...defaultLearningParameters, ...HASHES });
});

test('parameters are refused by the name of the field and its limit', (t) => {
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [null, /must be an object/],
    [[], /must be an object/],
    [{}, /learning\.kernelSpec: is missing/],
    [{ ...HASHES, stepz: 3 }, /learning\.stepz: is no parameter/],
    [{ ...HASHES, steps: 0 }, /learning\.steps: must be a whole number from 1 to 1024/],
    [{ ...HASHES, steps: 1.5 }, /learning\.steps/],
    [{ ...HASHES, steps: '8' }, /learning\.steps/],
    [{ ...HASHES, maxTrainers: 65 }, /learning\.maxTrainers/],
    [{ ...HASHES, minTrainers: 9, maxTrainers: 8 }, /learning\.minTrainers: must be at most maxTrainers \(8\)/],
    [{ ...HASHES, steps: 4, samplesPerAudit: 5 }, /learning\.samplesPerAudit: must be at most steps \(4\)/],
    [{ ...HASHES, trainerShareBps: 9_000, auditorShareBps: 1_001 }, /learning\.auditorShareBps/],
    [{ ...HASHES, canaryBlocks: 20 }, /learning\.canaryBlocks: must be below revealBlocks \(20\)/],
    [{ ...HASHES, auditWeight: 0 }, /learning\.auditWeight/],
    [{ ...HASHES, roundCapGwei: '1e3' }, /learning\.roundCapGwei: must be a whole number or a decimal string/],
    [{ ...HASHES, roundCapGwei: `1${'0'.repeat(16)}` }, /learning\.roundCapGwei: must be from 0 to/],
    [{ ...HASHES, minStakeGwei: -1 }, /learning\.minStakeGwei/],
    [{ ...HASHES, kernelSpec: '0x12' }, /learning\.kernelSpec: must be 0x and 32 bytes of hex/],
    [{ ...HASHES, programHash: 7 }, /learning\.programHash/],
    [{ ...HASHES, genesisModelRoot: `0x${'0'.repeat(64)}` }, /learning\.genesisModelRoot: must not be zero/],
    [{ ...HASHES, genesisCheckpoint: 1 }, /learning\.genesisCheckpoint: must be an object/],
    [
      { ...HASHES, genesisCheckpoint: { blobId: '0x', sha256: hashOf('a'), size: 1 } },
      /learning\.genesisCheckpoint\.blobId/,
    ],
    [{ ...HASHES, __proto__x: 1 }, /is no parameter/],
  ];
  for (const [json, message] of cases) {
    const refused = parseLearningParameters(json);
    t.false(refused.ok);
    if (!refused.ok) t.regex(refused.message, message);
  }
});

test('logs and reverts that are not the contracts’ decode to null', (t) => {
  const minted = toEventSelector('Minted(address,uint256,uint8,uint64)');
  const word = toHex(u256be(1n));
  const cases: readonly Readonly<{ address: Hex; topics: readonly Hex[]; data: Hex }>[] = [
    { address: hashOf('x').slice(0, 42) as Hex, topics: [minted, word, word], data: `0x${'00'.repeat(64)}` },
    { address: REWARDS_ADDRESS, topics: [], data: '0x' },
    { address: REWARDS_ADDRESS, topics: [minted], data: '0x' },
    { address: TRAINERS_ADDRESS, topics: [minted, word, word], data: `0x${'00'.repeat(64)}` },
    { address: REWARDS_ADDRESS, topics: [hashOf('other')], data: '0x' },
  ];
  for (const log of cases) t.is(decodeSystemLog(log), null);
  const real = {
    address: REWARDS_ADDRESS,
    topics: [minted, word, toHex(u256be(0n))],
    data: `0x${word.slice(2)}${word.slice(2)}` as Hex,
  };
  t.deepEqual(decodeSystemLog(real), {
    kind: 'minted',
    recipient: `0x${'00'.repeat(19)}01`,
    gwei: 1n,
    reason: 'training',
    index: 1,
  });
  t.is(decodeRevert(fromHex('0x')), null);
  t.is(decodeRevert(fromHex('0x08c379a0')), null);
});
