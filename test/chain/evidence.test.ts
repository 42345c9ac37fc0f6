// Owns the tests of the evidence contract: real statements of the consensus against the compiled contract in an EVM, with
// stand-ins for its two neighbours that note what they are told.

import { Common, Hardfork, Mainnet } from '@ethereumjs/common';
import { createEVM } from '@ethereumjs/evm';
import { createAddressFromString } from '@ethereumjs/util';
import test from 'ava';
import { decodeErrorResult, toEventSelector, toFunctionSelector } from 'viem';
import { readFileSync } from 'node:fs';
import { type Hex, concat, fromHex, toHex, u64be } from '../../base/bytes.ts';
import { addressOfSecret, signDigest } from '../../base/keys.ts';
import { keccak256 } from '../../base/hash.ts';
import { AUTHORITIES_ADDRESS, type ContractCall, SYSTEM_ADDRESS } from '../../chain/system/api.ts';
import {
  EVIDENCE_ADDRESS,
  beginEvidenceCall,
  decodeProven,
  evidenceAbi,
  evidenceContract,
  readIsProven,
} from '../../chain/system/evidence.ts';
import { StateJournal } from '../../chain/state-journal.ts';
import {
  type Evidence,
  isEvidenceExpired,
  proposalEvidence,
  verifyEvidence,
  voteEvidence,
} from '../../consensus/evidence.ts';
import { ballotDigest, offerDigest } from '../../consensus/sign-bytes.ts';
import { evidenceCall, placeOf } from '../../node/evidence-agent.ts';
import { compile } from '../rpc/solidity.ts';

const BONDS: Hex = '0x504f4c0000000000000000000000000000000005';
const CHAIN_ID = 1; // of the EVM's own configuration
const GENESIS = keccak256(new Uint8Array(Buffer.from('genesis')));
const DOMAIN = { chainId: CHAIN_ID, genesisHash: GENESIS };
const KEYS = [1n, 2n, 3n, 4n, 5n].map((number) => keccak256(u64be(number)));
const [SIGNER_KEY, OTHER_KEY] = KEYS as [Uint8Array, Uint8Array];
const SIGNER = addressOfSecret(SIGNER_KEY);
const ANYONE: Hex = '0x00000000000000000000000000000000000000aa';
const hashOf = (name: string): Hex => toHex(keccak256(new Uint8Array(Buffer.from(name))));

/** Version 0 acts from block 0 to 99 and seats the signer, version 1 from 100 on does not. */
const DOUBLES = `
contract Double {
  event Told(address who, uint16 bps, address beneficiary);
  function latestVersion() external pure returns (uint64) { return 1; }
  function setOf(uint64 version) external pure returns (uint64, bytes32[] memory, uint256) {
    return (version == 0 ? 0 : 100, new bytes32[](3), 3);
  }
  function seat(uint64 version, address who) external pure returns (uint256) {
    return version == 0 && (who == SIGNER || who == OTHER) ? 1 : 0;
  }
  function slash(address who, uint16 bps, address beneficiary) external { emit Told(who, bps, beneficiary); }
  function expel(address who) external returns (bool) { emit Told(who, 0, msg.sender); return true; }
}`;

async function openWorld() {
  const state = new StateJournal({
    account: () => null,
    storage: () => new Uint8Array(0),
    code: () => new Uint8Array(0),
  });
  const blockchain = {
    getBlock: async (number: number) => ({ hash: () => (Number(number) === 0 ? GENESIS : new Uint8Array(32)) }),
    putBlock: async () => undefined,
    shallowCopy: () => blockchain,
  };
  const common = new Common({ chain: Mainnet, hardfork: Hardfork.Prague });
  const evm = await createEVM({ common, stateManager: state, blockchain });
  const literal = (address: Hex): string => `address(uint160(0x00${address.slice(2)}))`;
  const source = DOUBLES.replace('SIGNER', literal(SIGNER)).replace('OTHER', literal(addressOfSecret(OTHER_KEY)));
  const double = fromHex(compile('Double', `pragma solidity ^0.8.0;${source}`).runtime);
  await state.putCode(createAddressFromString(AUTHORITIES_ADDRESS), double);
  await state.putCode(createAddressFromString(BONDS), double);
  await state.putCode(createAddressFromString(EVIDENCE_ADDRESS), fromHex(evidenceContract().runtimeBytecode));

  async function run(call: ContractCall, number = 10, from = ANYONE) {
    const header = {
      number: BigInt(number),
      coinbase: createAddressFromString(ANYONE),
      timestamp: 1_700_000_000n,
      difficulty: 0n,
      prevRandao: GENESIS,
      gasLimit: 30_000_000n,
      baseFeePerGas: 7n,
      getBlobGasPrice: () => 1n,
      slotNumber: 0n,
    };
    const { execResult } = await evm.runCall({
      to: createAddressFromString(call.to),
      caller: createAddressFromString(from),
      data: call.data,
      gasLimit: 10_000_000n,
      skipNonceIncrement: true,
      block: { header } as never,
    });
    await evm.journal.cleanup();
    state.originalStorageCache.clear();
    const logs = (execResult.logs ?? []).map(([address, topics, data]) => {
      return { address: toHex(address), topics: topics.map(toHex), data: toHex(data) };
    });
    const failed = execResult.exceptionError !== undefined;
    const reverted = failed && execResult.returnValue.length >= 4;
    const error = reverted
      ? decodeErrorResult({ abi: evidenceAbi, data: toHex(execResult.returnValue) }).errorName
      : failed
        ? 'failed'
        : null;
    return {
      error,
      logs: failed ? [] : logs,
      returned: execResult.returnValue,
      gas: Number(execResult.executionGasUsed),
    };
  }
  const view = async (to: Hex, data: Uint8Array): Promise<Uint8Array> => (await run({ to, data, value: 0n })).returned;
  return { run, view };
}

async function begun() {
  const world = await openWorld();
  await world.run(beginEvidenceCall(), 1, SYSTEM_ADDRESS);
  return world;
}

function vote(
  value: Hex | null,
  change: Readonly<{ key?: Uint8Array; height?: number; round?: number; type?: 'precommit' }> = {},
) {
  const { key = SIGNER_KEY, height = 7, round = 3, type = 'prevote' } = change;
  const ballot = { type, height, round, value } as const;
  return { ...ballot, voter: addressOfSecret(key), signature: signDigest(ballotDigest(DOMAIN, ballot), key) };
}

function proposal(value: Hex, validRound: number) {
  const offer = { height: 7, round: 3, validRound, value };
  return { ...offer, proposer: SIGNER, signature: signDigest(offerDigest(DOMAIN, offer), SIGNER_KEY) };
}

const [A, B] = [hashOf('a'), hashOf('b')];

test("the published ABI is the compiler's, and the bytecode is the one the protocol names", (t) => {
  type Item = Readonly<{ type: string; name?: string; inputs?: readonly never[]; outputs?: readonly never[] }>;
  const line = (item: Item): string =>
    item.type === 'function'
      ? toFunctionSelector(item as never)
      : item.type === 'event'
        ? toEventSelector(item as never)
        : JSON.stringify([item.name, (item.inputs ?? []).map(({ type, name }) => [type, name])]);
  const compiled = evidenceContract();
  const lines = (abi: readonly unknown[]): string[] => (abi as readonly Item[]).map(line).sort();
  t.deepEqual(lines(evidenceAbi), lines(compiled.abi));
  const document = readFileSync(new URL('../../../docs/protocol/consensus.md', import.meta.url), 'utf8');
  const code = fromHex(compiled.runtimeBytecode);
  const words = `${code.length} bytes, keccak256 \`${toHex(keccak256(code))}\``;
  t.true(document.includes(words), words);
});

test('two votes, or two proposals, of one authority for one place cost a share of the bond and the seat', async (t) => {
  const { run, view } = await begun();
  const cases: Evidence[] = [
    voteEvidence(vote(A), vote(B)),
    voteEvidence(vote(A, { type: 'precommit' }), vote(null, { type: 'precommit' })),
    proposalEvidence(proposal(A, -1), proposal(B, 2)),
  ];
  for (const evidence of cases) {
    t.true(verifyEvidence(DOMAIN, evidence).ok);
    t.false(await readIsProven(view, placeOf(evidence)));
    const { error, logs, gas } = await run(evidenceCall(evidence, 0));
    t.is(error, null);
    const told = logs.filter(({ address }) => address !== EVIDENCE_ADDRESS).map(({ address, data }) => [address, data]);
    const word = (value: bigint | Hex): string => BigInt(value).toString(16).padStart(64, '0');
    t.deepEqual(told, [
      [BONDS, `0x${word(SIGNER)}${word(500n)}${word(ANYONE)}`],
      [AUTHORITIES_ADDRESS, `0x${word(SIGNER)}${word(0n)}${word(EVIDENCE_ADDRESS)}`],
    ]);
    const event = logs.map(decodeProven).find((found) => found !== null);
    t.like(event, { signer: SIGNER, submitter: ANYONE, height: 7, round: 3, expelled: true });
    t.true(await readIsProven(view, placeOf(evidence)));
    t.true(gas < 200_000, `${gas} gas`);
  }
});

test('case 35: evidence that is repeated, in either order or with a third statement, is not punished again', async (t) => {
  const { run } = await begun();
  const evidence = voteEvidence(vote(A), vote(B));
  const [first, second] = evidence.statements;
  t.is((await run(evidenceCall(evidence, 0))).error, null);
  t.is((await run(evidenceCall(evidence, 0))).error, 'AlreadyProven');
  t.is((await run(evidenceCall({ ...evidence, statements: [second, first] }, 0))).error, 'AlreadyProven');
  t.is((await run(evidenceCall(voteEvidence(vote(A), vote(null)), 0))).error, 'AlreadyProven');
  t.is((await run(evidenceCall(voteEvidence(vote(A, { round: 4 }), vote(B, { round: 4 })), 0))).error, null);
});

test('case 35: expired evidence, and evidence of a height still to come, is refused', async (t) => {
  const { run } = await begun();
  const evidence = voteEvidence(vote(A), vote(B));
  t.is((await run(evidenceCall(evidence, 0), 7 + 172_801)).error, 'HeightRefused');
  t.true(isEvidenceExpired(172_801));
  t.false(isEvidenceExpired(172_800));
  t.is((await run(evidenceCall(evidence, 0), 6)).error, 'HeightRefused');
  t.is((await run(evidenceCall(evidence, 0), 7 + 172_800)).error, null);
});

test('case 35: malformed, foreign and forged evidence is refused, and nobody is punished', async (t) => {
  const { run } = await begun();
  const good = voteEvidence(vote(A), vote(B));
  const changed = (at: 0 | 1, change: object): Evidence => {
    const statements = good.statements.map((one, i) => (i === at ? { ...one, ...change } : one));
    return { ...good, statements: statements as never };
  };
  const elsewhere = { chainId: CHAIN_ID, genesisHash: keccak256(GENESIS) };
  const ballot = { type: 'prevote', height: 7, round: 3, value: A } as const;
  const [low] = good.statements;
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const twin = order - BigInt(toHex(low.signature.subarray(32, 64)));
  const highS = concat(
    low.signature.subarray(0, 32),
    fromHex(`0x${twin.toString(16).padStart(64, '0')}`),
    Uint8Array.of((low.signature[64] as number) ^ 1),
  );
  const cases: readonly (readonly [string, Evidence, number, string])[] = [
    ['equal hashes', voteEvidence(vote(A), vote(A)), 0, 'NoContradiction'],
    ['two signers', voteEvidence(vote(A), vote(B, { key: OTHER_KEY })), 0, 'SignersDiffer'],
    [
      'a stranger',
      voteEvidence(vote(A, { key: KEYS[4] as never }), vote(B, { key: KEYS[4] as never })),
      0,
      'NotAuthority',
    ],
    ['a vote with a valid round', changed(0, { validRound: 1 }), 0, 'NotAStatement'],
    ['a high s', changed(0, { signature: highS }), 0, 'SignatureRefused'],
    ['v of 29', changed(0, { signature: Uint8Array.of(...low.signature.subarray(0, 64), 29) }), 0, 'SignatureRefused'],
    ['zero signature', changed(1, { signature: new Uint8Array(65) }), 0, 'SignatureRefused'],
    [
      'another genesis',
      changed(0, { signature: signDigest(ballotDigest(elsewhere, ballot), SIGNER_KEY) }),
      0,
      'SignersDiffer',
    ],
    ['round 1,001', voteEvidence(vote(A, { round: 1_001 }), vote(B, { round: 1_001 })), 0, 'NotAStatement'],
    [
      'nil proposals',
      { ...good, type: 'proposal', statements: [{ ...low, value: null }, good.statements[1]] },
      0,
      'NotAStatement',
    ],
    ['a later set', good, 1, 'VersionRefused'],
    ['a set to come', good, 2, 'VersionRefused'],
    ['an older set', voteEvidence(vote(A, { height: 100 }), vote(B, { height: 100 })), 0, 'VersionRefused'],
    ['no seat by then', voteEvidence(vote(A, { height: 100 }), vote(B, { height: 100 })), 1, 'NotAuthority'],
  ];
  for (const [what, evidence, version, error] of cases) {
    t.is((await run(evidenceCall(evidence, version), 200)).error, error, what);
  }
  t.is((await run({ ...evidenceCall(good, 0), data: evidenceCall(good, 0).data.subarray(0, 300) })).error, 'failed');
  t.is((await run(evidenceCall(good, 0))).error, null, 'the same without the faults');
});

test('only the chain tells the contract its genesis, once, in block 1', async (t) => {
  const { run, view } = await openWorld();
  const evidence = voteEvidence(vote(A), vote(B));
  t.is((await run(evidenceCall(evidence, 0))).error, 'SignersDiffer', 'nothing verifies before');
  t.is((await run(beginEvidenceCall(), 1)).error, 'NotAllowed');
  t.is((await run(beginEvidenceCall(), 2, SYSTEM_ADDRESS)).error, 'NotAllowed');
  t.is((await run(beginEvidenceCall(), 1, SYSTEM_ADDRESS)).error, null);
  const data = fromHex(toFunctionSelector('genesisHash()'));
  t.deepEqual(await view(EVIDENCE_ADDRESS, data), GENESIS);
});
