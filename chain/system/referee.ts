// Owns the bindings of the referee contract: pieces, witnesses opened by Merkle paths, its calldata and its answer.
// What is judged is docs/protocol/referee.md; who plays a dispute is not decided here.

import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Hex, isHex, toHex } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { STATE_LEAF_BYTES, leafHashes, merkleRoot, open } from '../../base/merkle.ts';
import { decodeReturn, encodeCall } from './abi.ts';
import { CONTRACTS_FILE_BYTES } from './limits.ts';

/** Codes of what a piece computes: those below 128 are instruction codes of the kernel specification. */
export const REFEREE_PARTS = {
  embed: 1,
  embedGrad: 2,
  rmsNorm: 3,
  rmsNormGradX: 4,
  rmsNormGradGain: 5,
  linear: 6,
  linearGradX: 7,
  linearGradW: 8,
  rope: 9,
  attention: 10,
  attentionGrad: 11,
  swiglu: 12,
  swigluGrad: 13,
  crossEntropy: 14,
  crossEntropyGrad: 15,
  add: 16,
  scale: 17,
  copy: 18,
  zero: 19,
  adamW: 21,
  cacheWrite: 22,
  turn: 128,
  normLane: 129,
  normFold: 130,
  normTotal: 131,
  normRoot: 132,
  embedPrevious: 140,
  embedLast: 141,
  embedRun: 142,
  adamFirst: 143,
  adamSecond: 144,
  cacheWriter: 145,
  linearSum: 146,
  linearLast: 147,
  linePeak: 148,
  lineCode: 149,
  lineNoisyCode: 150,
  rmsLane: 151,
  rmsScale: 152,
  rmsGradLane: 153,
  gainRun: 154,
  gainTotal: 155,
  score: 160,
  scoreTop: 161,
  exponential: 162,
  exponentialSum: 163,
  attentionStats: 164,
  outputDot: 165,
  probability: 166,
  scoreGradient: 167,
  keyRun: 168,
  keyGradient: 169,
  maximum: 170,
  entropyLane: 171,
  entropyStats: 172,
  tokenLoss: 173,
  count: 174,
  lossTotal: 175,
} as const;

export type RefereePart = keyof typeof REFEREE_PARTS;

/** Where the door and the contracts behind it stand; the door's bytecode names the other three. */
export const REFEREE_ADDRESSES = {
  Referee: '0x504f4c0000000000000000000000000000000008',
  RefereeElements: '0x504f4c0000000000000000000000000000000009',
  RefereeLines: '0x504f4c000000000000000000000000000000000a',
  RefereeAttention: '0x504f4c000000000000000000000000000000000b',
} as const satisfies Readonly<Record<string, Hex>>;

export type RefereeName = keyof typeof REFEREE_ADDRESSES;

export const REFEREE_NAMES = Object.keys(REFEREE_ADDRESSES) as readonly RefereeName[];

/** Codes of a contraction that one piece multiplies; a longer one has a ledger of running sums. */
export const CODE_BLOCK = 16_384;

/** Terms of a sum by lanes after which its ledger starts a new sixteen. */
export const LANE_BLOCK = 1_024;

/** Numbers a chunk has in the ledger of gradNorm: sixteen lanes, their fold, the running total. */
export const NORM_LEDGER_WIDTH = 18;

/** A tensor of 32-bit elements in a committed tree; `offset` bytes stand before it. */
export type RefereeOperand = Readonly<{
  root: Hex;
  leaves: number;
  leafBytes: number;
  offset: number;
  length: number;
}>;

/** One piece of one instruction; operands are inputs, then outputs. f32 among the numbers are given by their bits. */
export type RefereePiece = Readonly<{
  part: number;
  operands: readonly RefereeOperand[];
  numbers: readonly number[];
}>;

export type RefereeOpening = Readonly<{ operand: number; index: number; leaf: Hex; siblings: readonly Hex[] }>;

/** The contract's ABI; held equal to the compiler's by test/chain/referee.test.ts. */
export const refereeAbi = [
  {
    type: 'function',
    name: 'judge',
    stateMutability: 'view',
    inputs: [
      {
        name: 'piece',
        type: 'tuple',
        components: [
          { name: 'part', type: 'uint16' },
          {
            name: 'operands',
            type: 'tuple[]',
            components: [
              { name: 'root', type: 'bytes32' },
              { name: 'leaves', type: 'uint32' },
              { name: 'leafBytes', type: 'uint32' },
              { name: 'offset', type: 'uint32' },
              { name: 'length', type: 'uint32' },
            ],
          },
          { name: 'numbers', type: 'uint32[]' },
        ],
      },
      {
        name: 'witness',
        type: 'tuple[]',
        components: [
          { name: 'operand', type: 'uint8' },
          { name: 'index', type: 'uint32' },
          { name: 'leaf', type: 'bytes' },
          { name: 'siblings', type: 'bytes32[]' },
        ],
      },
    ],
    outputs: [{ name: '', type: 'bool' }],
  },
  { type: 'error', name: 'PieceRefused', inputs: [] },
  { type: 'error', name: 'OpeningRefused', inputs: [{ name: 'opening', type: 'uint256' }] },
  {
    type: 'error',
    name: 'LeafMissing',
    inputs: [
      { name: 'operand', type: 'uint256' },
      { name: 'index', type: 'uint256' },
    ],
  },
  {
    type: 'error',
    name: 'ElementOutOfRange',
    inputs: [
      { name: 'operand', type: 'uint256' },
      { name: 'element', type: 'uint256' },
    ],
  },
  { type: 'error', name: 'PartUnknown', inputs: [{ name: 'part', type: 'uint256' }] },
] as const;

export type RefereeContract = Readonly<{ abi: readonly unknown[]; creationBytecode: Hex; runtimeBytecode: Hex }>;

/** The compiled referee, or the probe that only tests use. Throws when the build did not make it. */
export function refereeContract(name: RefereeName | 'RefereeProbe'): RefereeContract {
  const path = fileURLToPath(new URL('../referee.json', import.meta.url));
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  check(size !== undefined, 'the referee is not compiled: run npm run build');
  check(size <= CONTRACTS_FILE_BYTES, `referee.json is larger than ${CONTRACTS_FILE_BYTES} bytes`);
  const contract = JSON.parse(readFileSync(path, 'utf8')).contracts?.[name];
  check(isHex(contract?.runtimeBytecode), `referee.json: ${name} has no bytecode`);
  return contract as RefereeContract;
}

/** A tree whose leaves can be opened: the bytes a root commits to, cut into leaves. */
export type CommittedBytes = Readonly<{ bytes: Uint8Array; leafBytes: number; hashes: readonly Uint8Array[] }>;

/** Commits bytes; state trees have leaves of 16 KiB, trees of lines one line a leaf. */
export function commitBytes(bytes: Uint8Array, leafBytes: number = STATE_LEAF_BYTES): CommittedBytes {
  check(leafBytes > 0 && leafBytes % 4 === 0, 'commitBytes: leafBytes must be a positive multiple of 4');
  return { bytes, leafBytes, hashes: leafHashes(bytes, leafBytes) };
}

/** The operand of `length` elements from byte `offset` of a committed tree; the whole tree when left out. */
export function operandOf(tree: CommittedBytes, offset = 0, length = (tree.bytes.length - offset) / 4): RefereeOperand {
  const leaves = tree.hashes.length;
  return { root: toHex(merkleRoot(tree.hashes)), leaves, leafBytes: tree.leafBytes, offset, length };
}

/** Opens the leaf of operand number `operand` that has this index. */
export function openLeaf(operand: number, tree: CommittedBytes, index: number): RefereeOpening {
  const leaf = tree.bytes.subarray(index * tree.leafBytes, (index + 1) * tree.leafBytes);
  return { operand, index, leaf: toHex(leaf), siblings: open(tree.hashes, index).siblings.map((hash) => toHex(hash)) };
}

/** Opens every leaf in which one of these elements of the operand lies. */
export function openElements(
  operand: number,
  tree: CommittedBytes,
  offset: number,
  elements: Iterable<number>,
): RefereeOpening[] {
  const indices = new Set<number>();
  for (const element of elements) indices.add(Math.floor((offset + 4 * element) / tree.leafBytes));
  return [...indices].sort((a, b) => a - b).map((index) => openLeaf(operand, tree, index));
}

export function encodeJudge(piece: RefereePiece, witness: readonly RefereeOpening[]): Uint8Array {
  return encodeCall(refereeAbi, 'judge', [piece, witness]);
}

/** What judge returned. */
export function decodeJudged(returned: Uint8Array): boolean {
  return present(decodeReturn(refereeAbi, 'judge', returned), 'verdict');
}
