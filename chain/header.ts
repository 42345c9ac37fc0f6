// Owns block headers: their RLP form, their hash, the EIP-1559 base fee. Execution fills their roots.

import { fromHex, toHex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type { Hash, Header } from './api.ts';
import { keccakHex } from './keccak.ts';
import { encodeRlp, type Item, ListReader, minimal } from './rlp.ts';

export const ZERO_HASH: Hash = `0x${'00'.repeat(32)}`;
export const ZERO_BLOOM: Hash = `0x${'00'.repeat(256)}`;
export const ZERO_NONCE: Hash = `0x${'00'.repeat(8)}`;
/** keccak256(rlp([])). */
export const EMPTY_OMMERS: Hash = keccakHex(Uint8Array.of(0xc0));
/** keccak256(rlp('')): the root of an empty trie. */
export const EMPTY_ROOT: Hash = keccakHex(Uint8Array.of(0x80));
/** sha256(''): no execution requests (EIP-7685); this chain has no deposit or request contracts. */
export const EMPTY_REQUESTS: Hash = '0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const FIELDS = 21;

/** The 21 fields in their order on the wire (execution-specs, prague/blocks.py). */
export function headerItems(header: Header): Item[] {
  return [...coreItems(header), ...laterItems(header)];
}

function coreItems(header: Header): Item[] {
  return [
    fromHex(header.parentHash),
    fromHex(header.ommersHash),
    fromHex(header.coinbase),
    fromHex(header.stateRoot),
    fromHex(header.transactionsRoot),
    fromHex(header.receiptsRoot),
    fromHex(header.logsBloom),
    minimal(header.difficulty),
    minimal(header.number),
    minimal(header.gasLimit),
    minimal(header.gasUsed),
    minimal(header.timestamp),
    fromHex(header.extraData),
    fromHex(header.mixHash),
    fromHex(header.nonce),
  ];
}

/** Fields that forks appended. Headers here have them all; those of an imported chain end where their fork did. */
function laterItems(header: Partial<Header>): Item[] {
  const later = [
    header.baseFeePerGas,
    header.withdrawalsRoot,
    header.blobGasUsed,
    header.excessBlobGas,
    header.parentBeaconBlockRoot,
    header.requestsHash,
  ];
  const end = later.indexOf(undefined);
  const held = (end === -1 ? later : later.slice(0, end)) as (bigint | Hash)[];
  return held.map((field) => (typeof field === 'bigint' ? minimal(field) : fromHex(field)));
}

export function headerHash(header: Header): Hash {
  return keccakHex(encodeRlp(headerItems(header)));
}

/** Header of a decoded list. Faults name the field. */
export function headerFromItems(items: readonly Item[]): Result<Header> {
  if (items.length !== FIELDS) return fault('badHeader', `header: ${items.length} fields, expected ${FIELDS}`);
  const read = new ListReader(items);
  const header: Header = {
    parentHash: toHex(read.bytes('parentHash', 32)),
    ommersHash: toHex(read.bytes('ommersHash', 32)),
    coinbase: toHex(read.bytes('coinbase', 20)),
    stateRoot: toHex(read.bytes('stateRoot', 32)),
    transactionsRoot: toHex(read.bytes('transactionsRoot', 32)),
    receiptsRoot: toHex(read.bytes('receiptsRoot', 32)),
    logsBloom: toHex(read.bytes('logsBloom', 256)),
    difficulty: read.integer('difficulty'),
    number: read.number('number'),
    gasLimit: read.integer('gasLimit', 8),
    gasUsed: read.integer('gasUsed', 8),
    timestamp: read.number('timestamp'),
    extraData: toHex(read.bytes('extraData', 32)),
    mixHash: toHex(read.bytes('mixHash', 32)),
    nonce: toHex(read.bytes('nonce', 8)),
    baseFeePerGas: read.integer('baseFeePerGas'),
    withdrawalsRoot: toHex(read.bytes('withdrawalsRoot', 32)),
    blobGasUsed: read.integer('blobGasUsed', 8),
    excessBlobGas: read.integer('excessBlobGas', 8),
    parentBeaconBlockRoot: toHex(read.bytes('parentBeaconBlockRoot', 32)),
    requestsHash: toHex(read.bytes('requestsHash', 32)),
  };
  if (read.bad !== null) return fault('badHeader', `header.${read.bad}: malformed`, { field: read.bad });
  return success(header);
}

const ELASTICITY = 2n;
const CHANGE_DENOMINATOR = 8n;

/** Base fee of the child of `parent` (EIP-1559). */
export function nextBaseFee(parent: Pick<Header, 'gasLimit' | 'gasUsed' | 'baseFeePerGas'>): bigint {
  const target = parent.gasLimit / ELASTICITY;
  const fee = parent.baseFeePerGas;
  if (parent.gasUsed === target) return fee;
  if (parent.gasUsed > target) {
    const rise = (fee * (parent.gasUsed - target)) / target / CHANGE_DENOMINATOR;
    return fee + (rise > 1n ? rise : 1n);
  }
  return fee - (fee * (target - parent.gasUsed)) / target / CHANGE_DENOMINATOR;
}
