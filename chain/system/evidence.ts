// Owns the bindings of the evidence contract: its code in genesis, its calls, its events. What counts as double signing and
// what it costs is docs/protocol/consensus.md; who submits is node/evidence-agent.ts.

import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Hex, isHex, toHex } from '../../base/bytes.ts';
import { check } from '../../base/check.ts';
import { decodeLog, decodeReturn, encodeCall } from './abi.ts';
import type { ContractCall, SystemLog, ViewCall } from './api.ts';
import { CONTRACTS_FILE_BYTES } from './limits.ts';

export const EVIDENCE_ADDRESS: Hex = '0x504f4c0000000000000000000000000000000007';

/** Gas that suffices with 100 authorities: two recoveries, the fine, and writing a set without the member. */
export const EVIDENCE_GAS = 8_000_000n;

const STATEMENT = {
  type: 'tuple',
  components: [
    { name: 'blockHash', type: 'bytes32' },
    { name: 'validRoundPlusOne', type: 'uint32' },
    { name: 'r', type: 'bytes32' },
    { name: 's', type: 'bytes32' },
    { name: 'recovery', type: 'uint8' },
  ],
} as const;
const SIGNER = { name: 'signer', type: 'address' } as const;
const KIND = { name: 'kind', type: 'uint8' } as const;
const HEIGHT = { name: 'height', type: 'uint64' } as const;
const ROUND = { name: 'round', type: 'uint32' } as const;
const VERSION = { name: 'version', type: 'uint64' } as const;

/** The contract's ABI; held equal to the compiler's by test/chain/evidence.test.ts. */
export const evidenceAbi = [
  { type: 'function', name: 'begin', stateMutability: 'nonpayable', inputs: [], outputs: [] },
  {
    type: 'function',
    name: 'submit',
    stateMutability: 'nonpayable',
    inputs: [KIND, HEIGHT, ROUND, VERSION, { ...STATEMENT, name: 'a' }, { ...STATEMENT, name: 'b' }],
    outputs: [],
  },
  {
    type: 'function',
    name: 'isProven',
    stateMutability: 'view',
    inputs: [SIGNER, HEIGHT, ROUND, KIND],
    outputs: [{ name: '', type: 'bool' }],
  },
  {
    type: 'function',
    name: 'genesisHash',
    stateMutability: 'view',
    inputs: [],
    outputs: [{ name: '', type: 'bytes32' }],
  },
  {
    type: 'event',
    name: 'Proven',
    inputs: [
      { ...SIGNER, indexed: true },
      { name: 'submitter', type: 'address', indexed: true },
      { ...KIND, indexed: false },
      { ...HEIGHT, indexed: false },
      { ...ROUND, indexed: false },
      { name: 'expelled', type: 'bool', indexed: false },
    ],
  },
  { type: 'error', name: 'NotAllowed', inputs: [{ name: 'caller', type: 'address' }] },
  { type: 'error', name: 'NotAStatement', inputs: [KIND, ROUND, { name: 'validRoundPlusOne', type: 'uint32' }] },
  { type: 'error', name: 'NoContradiction', inputs: [{ name: 'blockHash', type: 'bytes32' }] },
  {
    type: 'error',
    name: 'HeightRefused',
    inputs: [HEIGHT, { name: 'oldest', type: 'uint64' }, { name: 'newest', type: 'uint64' }],
  },
  { type: 'error', name: 'SignatureRefused', inputs: [{ name: 'statement', type: 'uint256' }] },
  {
    type: 'error',
    name: 'SignersDiffer',
    inputs: [
      { name: 'first', type: 'address' },
      { name: 'second', type: 'address' },
    ],
  },
  { type: 'error', name: 'NotAuthority', inputs: [SIGNER, VERSION] },
  { type: 'error', name: 'VersionRefused', inputs: [VERSION] },
  { type: 'error', name: 'AlreadyProven', inputs: [SIGNER, HEIGHT, ROUND, KIND] },
] as const;

/** What was signed, as the contract counts it. */
export type SignedPlace = Readonly<{ signer: Hex; kind: 1 | 2 | 3; height: number; round: number }>;
/** `blockHash` null is a vote for nil; the signature is r ‖ s ‖ recovery id, 65 bytes. */
export type SignedStatement = Readonly<{ blockHash: Hex | null; validRound: number; signature: Uint8Array }>;

export type EvidenceContract = Readonly<{ abi: readonly unknown[]; runtimeBytecode: Hex }>;

/** The compiled contract. Throws when the build did not make it. */
export function evidenceContract(): EvidenceContract {
  const path = fileURLToPath(new URL('../evidence.json', import.meta.url));
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  check(size !== undefined, 'the evidence contract is not compiled: run npm run build');
  check(size <= CONTRACTS_FILE_BYTES, `evidence.json is larger than ${CONTRACTS_FILE_BYTES} bytes`);
  const contract = JSON.parse(readFileSync(path, 'utf8')).contracts?.Evidence;
  check(isHex(contract?.runtimeBytecode), 'evidence.json: Evidence has no bytecode');
  return contract as EvidenceContract;
}

const call = (data: Uint8Array): ContractCall => ({ to: EVIDENCE_ADDRESS, data, value: 0n });

/** System call of block 1: the contract notes the hash of genesis. */
export function beginEvidenceCall(): ContractCall {
  return call(encodeCall(evidenceAbi, 'begin', []));
}

function statementOf({ blockHash, validRound, signature }: SignedStatement) {
  check(signature.length === 65, 'submitEvidenceCall: signatures are 65 bytes');
  return {
    blockHash: blockHash ?? (`0x${'00'.repeat(32)}` as const),
    validRoundPlusOne: validRound + 1,
    r: toHex(signature.subarray(0, 32)),
    s: toHex(signature.subarray(32, 64)),
    recovery: signature[64] as number,
  };
}

/** Proves two statements for one place; `version` is the set of authorities that decided the height. */
export function submitEvidenceCall(
  place: Omit<SignedPlace, 'signer'>,
  version: number,
  statements: readonly [SignedStatement, SignedStatement],
): ContractCall {
  const [a, b] = statements;
  const { kind, height, round } = place;
  return call(
    encodeCall(evidenceAbi, 'submit', [kind, BigInt(height), round, BigInt(version), statementOf(a), statementOf(b)]),
  );
}

/** True when double signing at this place has been punished already. */
export async function readIsProven(view: ViewCall, { signer, kind, height, round }: SignedPlace): Promise<boolean> {
  const data = encodeCall(evidenceAbi, 'isProven', [signer, BigInt(height), round, kind]);
  return decodeReturn(evidenceAbi, 'isProven', await view(EVIDENCE_ADDRESS, data));
}

export type ProvenEvent = Readonly<{ signer: Hex; submitter: Hex; height: number; round: number; expelled: boolean }>;

/** The event a log of the contract carries; null for any other log. */
export function decodeProven(log: SystemLog): ProvenEvent | null {
  if (log.address.toLowerCase() !== EVIDENCE_ADDRESS) return null;
  const decoded = decodeLog(evidenceAbi, log);
  if (decoded === null) return null;
  const { signer, submitter, height, round, expelled } = decoded.args;
  return {
    signer: signer.toLowerCase() as Hex,
    submitter: submitter.toLowerCase() as Hex,
    height: Number(height),
    round,
    expelled,
  };
}
