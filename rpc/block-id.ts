// Owns block parameters: tags, numbers, hashes and EIP-1898 objects, resolved to a height of the chain.
// Finality is instant, so latest, safe and finalized are one block.

import { isHex } from '../base/bytes.ts';
import type { BlockNumber, BlockRecord, Chain, Hash } from '../chain/api.ts';
import { invalidParams, refused } from './errors.ts';
import { isObject } from './json.ts';
import { absent, flag, hash, quantity } from './params.ts';

/** A block parameter in typed form, before any look-up. */
export type BlockId =
  | Readonly<{ kind: 'head'; pending: boolean }>
  | Readonly<{ kind: 'number'; number: bigint }>
  | Readonly<{ kind: 'hash'; hash: Hash }>;

/** Checks a block parameter; left out means latest. */
export function blockId(value: unknown, where: string): BlockId {
  if (absent(value)) return { kind: 'head', pending: false };
  if (isObject(value)) return blockObject(value, where);
  if (typeof value !== 'string') throw invalidParams(`invalid ${where}: expected a block tag, number or hash`);
  switch (value) {
    case 'latest':
    case 'safe':
    case 'finalized':
      return { kind: 'head', pending: false };
    case 'pending':
      return { kind: 'head', pending: true };
    case 'earliest':
      return { kind: 'number', number: 0n };
    default:
      if (isHex(value, 32)) return { kind: 'hash', hash: hash(value, where) };
      return { kind: 'number', number: quantity(value, where) };
  }
}

/** EIP-1898: {blockNumber} or {blockHash, requireCanonical}; every block here is canonical. */
function blockObject(value: Readonly<Record<string, unknown>>, where: string): BlockId {
  const byHash = value.blockHash;
  const byNumber = value.blockNumber;
  if (!absent(byHash) && !absent(byNumber)) {
    throw invalidParams(`invalid ${where}: cannot specify both blockHash and blockNumber`);
  }
  if (!absent(byHash)) {
    flag(value.requireCanonical, `${where}.requireCanonical`);
    return { kind: 'hash', hash: hash(byHash, `${where}.blockHash`) };
  }
  if (absent(byNumber)) throw invalidParams(`invalid ${where}: expected blockHash or blockNumber`);
  return blockId(byNumber, `${where}.blockNumber`);
}

/** Height the parameter names, or null when the chain has no such block. */
export async function findNumber(chain: Chain, id: BlockId): Promise<BlockNumber | null> {
  const head = chain.head().header.number;
  if (id.kind === 'head') return head;
  if (id.kind === 'number') return id.number > BigInt(head) ? null : Number(id.number);
  return chain.numberOf(id.hash);
}

/** Height the parameter names; refused with geth's words when there is none. */
export async function resolveNumber(chain: Chain, id: BlockId): Promise<BlockNumber> {
  const number = await findNumber(chain, id);
  if (number === null) throw refused('header not found');
  return number;
}

export async function findBlock(chain: Chain, id: BlockId): Promise<BlockRecord | null> {
  if (id.kind === 'head') return chain.head();
  if (id.kind === 'hash') return chain.blockByHash(id.hash);
  const number = await findNumber(chain, id);
  return number === null ? null : chain.blockByNumber(number);
}
