// Owns a real chain on disk for tests of the HTTP side: funded accounts, blocks on demand, no consensus, no learning.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { concat, toHex, u64be } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { success, unwrap } from '../../base/fault.ts';
import { keccak256 } from '../../base/hash.ts';
import { addressOf, secp256k1 } from '../../base/keys.ts';
import { ONE_POL } from '../../base/units.ts';
import type { Address, Chain, Hash } from '../../chain/api.ts';
import { openChain } from '../../chain/chain.ts';
import { type Fixture, type FixtureOptions, NOW_MS, serve } from './fixture.ts';

export type Account = Readonly<{ address: Address; secret: Hash }>;

export function account(index: number): Account {
  const secret = keccak256(u64be(index + 1_000));
  return { address: addressOf(secp256k1.publicKey(secret)), secret: toHex(secret) };
}

export type LiveChain = Readonly<{
  chain: Chain;
  accounts: readonly Account[];
  /** Builds and commits one block of what the pool holds. */
  mine(): Promise<void>;
}>;

const author = account(0);

function authority() {
  const key = secp256k1.publicKey(keccak256(u64be(1_000)));
  const compressed = concat(Uint8Array.of(2 + (present(key[64], 'y') & 1)), key.subarray(1, 33));
  return { address: author.address, publicKey: toHex(compressed) };
}

export async function openLiveChain(t: ExecutionContext<unknown>): Promise<LiveChain> {
  const directory = mkdtempSync(join(tmpdir(), 'rpc-chain-'));
  const accounts = [1, 2, 3, 4].map(account);
  const alloc = Object.fromEntries(accounts.map(({ address }) => [address, { balance: 1_000n * ONE_POL }]));
  const genesis = {
    chainId: 504_101,
    timestamp: 1_790_000_000,
    gasLimit: 30_000_000n,
    baseFeePerGas: 1_000_000_000n,
    authorities: [authority()],
    alloc,
    learning: {},
    dataset: {},
  };
  const system = { alloc: {}, calls: () => [], rewards: () => Promise.resolve([]) };
  const chain = unwrap(await openChain({ directory, genesis, create: true, system }));
  t.teardown(async () => {
    await chain.close();
    rmSync(directory, { recursive: true, force: true });
  });
  let mining: Promise<void> = Promise.resolve();
  async function mineOne(): Promise<void> {
    const head = chain.head();
    const number = head.header.number + 1;
    const candidate = unwrap(
      await chain.buildBlock({
        timestamp: head.header.timestamp + 1,
        author: author.address,
        mix: toHex(keccak256(u64be(number))),
        vrfProof: new Uint8Array(0),
        parentCertificate: number === 1 ? new Uint8Array(0) : Uint8Array.of(1),
        nextSetHash: head.header.extraData,
        transactions: chain.pool.select({ baseFee: chain.nextBaseFee(), gasLimit: head.header.gasLimit }),
      }),
    );
    await chain.commit(candidate, Uint8Array.of(1));
  }
  return {
    chain,
    accounts,
    mine() {
      mining = mining.then(mineOne);
      return mining;
    },
  };
}

export type LiveFixture = Fixture & LiveChain;

/** How often receipts are looked for that lie there unread, and at which looks an empty block is made for one. The first
 * comes late: a client that is only slow must not find a block more than it sent transactions. */
const LOOK_MS = 250;
const EMPTY_BLOCK_LOOKS = [8, 12, 16, 20];

/** The chain as the server sees it. A client that polls once a block may ask for a receipt just before its block and hear
 * of that block while the answer is under way: on a chain that is idle otherwise no block would ever wake it again. So a
 * receipt that was asked for in vain, and lies there unread, is followed by an empty block. Tests that read their receipts
 * see none. */
function nudged(t: ExecutionContext<unknown>, live: LiveChain): Chain {
  const missed = new Map<Hash, number>();
  async function look(): Promise<void> {
    for (const [hash, looks] of missed) {
      if ((await live.chain.receipt(hash)) === null || !missed.has(hash)) continue;
      missed.set(hash, looks + 1);
      if (EMPTY_BLOCK_LOOKS.includes(looks)) await live.mine();
    }
  }
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look);
  }, LOOK_MS);
  t.teardown(async () => {
    clearInterval(timer);
    await looking;
  });
  return {
    ...live.chain,
    async receipt(hash) {
      const found = await live.chain.receipt(hash);
      if (found === null) missed.set(hash, 0);
      else missed.delete(hash);
      return found;
    },
  };
}

/** A server over a real chain that makes a block for each transaction sent to it. */
export async function serveLive(t: ExecutionContext<unknown>, options: FixtureOptions = {}): Promise<LiveFixture> {
  const live = await openLiveChain(t);
  const submitTransaction = (raw: Uint8Array) => {
    const added = live.chain.pool.add(raw, NOW_MS);
    if (added.ok) setTimeout(() => void live.mine(), 5);
    return Promise.resolve(added.ok ? success(added.value) : added);
  };
  const chain = nudged(t, live);
  const fixture = await serve(t, { ...options, chain, ports: { submitTransaction, ...options.ports } });
  return { ...fixture, ...live };
}
