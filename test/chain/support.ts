// Owns what the chain's tests share: funded keys, a chain in a temporary folder, signed transactions, blocks one after another.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFeeMarket1559Tx } from '@ethereumjs/tx';
import { fromHex, type Hex, toHex, utf8 } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { addressOfSecret, compressPublicKey, secp256k1 } from '../../base/keys.ts';
import { keccak256 } from '../../base/hash.ts';
import { ONE_POL } from '../../base/units.ts';
import type { Address, Candidate, Chain, Genesis, OpenOptions, SystemHooks, Transaction } from '../../chain/api.ts';
import { openChain } from '../../chain/chain.ts';
import { createCommon } from '../../chain/evm.ts';
import { decodeTransaction } from '../../chain/transaction.ts';

export const CHAIN_ID = 504_101;
export const GENESIS_TIME = 1_700_000_000;

export type Key = Readonly<{ secret: Uint8Array; address: Address }>;

export function key(name: string): Key {
  const secret = keccak256(utf8(`test key ${name}`));
  return { secret, address: addressOfSecret(secret) };
}

export const alice = key('alice');
export const bob = key('bob');
export const authority = key('authority');

/** A chain without the protocol's contracts. */
export const NO_SYSTEM: SystemHooks = { alloc: {}, calls: () => [], rewards: async () => [] };

export function testGenesis(extra: Partial<Genesis> = {}): Genesis {
  return {
    chainId: CHAIN_ID,
    timestamp: GENESIS_TIME,
    gasLimit: 30_000_000n,
    baseFeePerGas: 1_000_000_000n,
    authorities: [
      { address: authority.address, publicKey: toHex(compressPublicKey(secp256k1.publicKey(authority.secret))) },
    ],
    alloc: { [alice.address]: { balance: 1_000n * ONE_POL }, [bob.address]: { balance: ONE_POL } },
    learning: {},
    dataset: {},
    ...extra,
  };
}

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'pol-chain-'));
}

export type TestChain = Readonly<{ chain: Chain; directory: string; options: OpenOptions; dispose(): Promise<void> }>;

export async function testChain(extra: Partial<OpenOptions> = {}): Promise<TestChain> {
  const directory = extra.directory ?? (await temporaryFolder());
  const options: OpenOptions = { directory, genesis: testGenesis(), create: true, system: NO_SYSTEM, ...extra };
  const chain = unwrap(await openChain(options));
  return {
    chain,
    directory,
    options,
    async dispose() {
      await chain.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const common = createCommon(CHAIN_ID);

export type Send = Readonly<{
  to?: Address | null;
  value?: bigint;
  data?: Uint8Array | Hex;
  gas?: bigint;
  maxFeePerGas?: bigint;
  maxPriorityFeePerGas?: bigint;
  chainId?: number;
}>;

/** Bytes of a signed type-2 transaction. */
export function signedRaw(from: Key, nonce: number, send: Send = {}): Uint8Array {
  const data = typeof send.data === 'string' ? fromHex(send.data) : (send.data ?? new Uint8Array(0));
  const to = send.to === undefined ? bob.address : send.to;
  const unsigned = createFeeMarket1559Tx(
    {
      chainId: send.chainId ?? CHAIN_ID,
      nonce,
      ...(to === null ? {} : { to }),
      value: send.value ?? 0n,
      data,
      gasLimit: send.gas ?? (data.length === 0 && to !== null ? 21_000n : 1_000_000n),
      maxFeePerGas: send.maxFeePerGas ?? 3_000_000_000n,
      maxPriorityFeePerGas: send.maxPriorityFeePerGas ?? 1_000_000_000n,
    },
    { common: send.chainId === undefined ? common : createCommon(send.chainId), allowUnlimitedInitCodeSize: true },
  );
  return unsigned.sign(from.secret).serialize();
}

export function signed(from: Key, nonce: number, send: Send = {}): Transaction {
  return unwrap(decodeTransaction(signedRaw(from, nonce, send)));
}

/** A certificate stand-in: the chain treats these bytes as opaque. */
export function certificateOf(number: number): Uint8Array {
  return number === 0 ? new Uint8Array(0) : utf8(`certificate of ${number}`);
}

/** Builds the next block, one second after the head. */
export async function build(chain: Chain, transactions: readonly Transaction[] = [], seconds = 1): Promise<Candidate> {
  const { header } = chain.head();
  return unwrap(
    await chain.buildBlock({
      timestamp: header.timestamp + seconds,
      author: authority.address,
      mix: toHex(keccak256(utf8(`mix ${header.number + 1}`))),
      vrfProof: utf8('proof'),
      parentCertificate: certificateOf(header.number),
      nextSetHash: toHex(keccak256(utf8('set'))),
      transactions,
    }),
  );
}

/** Builds and commits the next block. */
export async function mine(chain: Chain, transactions: readonly Transaction[] = []): Promise<Candidate> {
  const candidate = await build(chain, transactions);
  await chain.commit(candidate, certificateOf(candidate.block.header.number));
  return candidate;
}
