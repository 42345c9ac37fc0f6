// Owns the measure of a long life: memory over 100,000 blocks and the disk each transfer takes, on one chain in this process
// with real system contracts, real pool and reads in between.

import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { toHex, u256be } from '../base/bytes.ts';
import { unwrap } from '../base/fault.ts';
import { keccak256 } from '../base/hash.ts';
import { addressOf, compressPublicKey, secp256k1 } from '../base/keys.ts';
import { ONE_POL } from '../base/units.ts';
import type { Chain, Genesis } from '../chain/api.ts';
import { openChain } from '../chain/chain.ts';
import { signTransaction } from '../node/wallet.ts';
import { round2 } from './timing.ts';

const CHAIN_ID = 504_179;
const SECRET = u256be(99n);
const RECEIVERS = 20_000;
const TRANSFERS = 5;
/** Blocks written together: what is measured is not the speed of the disk. */
const WRITTEN_TOGETHER = 64;
const SAMPLES = 20;
const MIB = 2 ** 20;

function setting(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  return Number.isSafeInteger(value) && value > 0 ? value : otherwise;
}

function genesisOf(address: `0x${string}`, publicKey: Uint8Array): Genesis {
  const hash = toHex(keccak256(new Uint8Array(0)));
  const names = ['kernelSpec', 'programHash', 'datasetHash', 'trainingConfigHash', 'genesisModelRoot'];
  const parameters: Record<string, unknown> = Object.fromEntries(names.map((name) => [name, hash]));
  return {
    chainId: CHAIN_ID,
    timestamp: 1_700_000_000,
    gasLimit: 30_000_000n,
    baseFeePerGas: 7n,
    authorities: [{ address, publicKey: toHex(compressPublicKey(publicKey)) }],
    alloc: { [address]: { balance: 10n ** 6n * ONE_POL } },
    learning: parameters,
    dataset: {},
  };
}

async function folderBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder)) sum += (await stat(join(folder, name))).size;
  return sum;
}

/** Adds a block of transfers, and reads as wallets do. */
async function addBlock(chain: Chain, author: `0x${string}`, nonce: bigint, isHeld: boolean): Promise<void> {
  const { header } = chain.head();
  for (let i = 0n; i < TRANSFERS; i++) {
    const to = toHex(keccak256(u256be((nonce + i) % BigInt(RECEIVERS))).subarray(12));
    const fees = { maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n };
    const plain = { value: 1n, data: new Uint8Array(0), gas: 21_000n };
    const { raw } = signTransaction({ chainId: BigInt(CHAIN_ID), nonce: nonce + i, to, ...plain, ...fees }, SECRET);
    unwrap(chain.pool.add(raw, 0));
  }
  const candidate = unwrap(
    await chain.buildBlock({
      timestamp: header.timestamp + 1,
      author,
      mix: toHex(keccak256(u256be(BigInt(header.number)))),
      vrfProof: new Uint8Array(81),
      parentCertificate: header.number === 0 ? new Uint8Array(0) : new Uint8Array(242),
      nextSetHash: toHex(keccak256(new Uint8Array(0))),
      transactions: chain.pool.select({ baseFee: chain.nextBaseFee(), gasLimit: header.gasLimit }),
    }),
  );
  await chain.commit(candidate, new Uint8Array(242), { isHeld });
  const old = Math.floor(header.number / 2);
  await chain.receipts(old);
  await chain.receipt(candidate.receipts[0]?.transactionHash ?? '0x');
}

/** LONG_BLOCKS changes the length; the last line is JSON. */
export async function main(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const blocks = setting('LONG_BLOCKS', 100_000);
  const folder = await mkdtemp(join(tmpdir(), 'pol-long-chain-'));
  const publicKey = secp256k1.publicKey(SECRET);
  const author = addressOf(publicKey);
  const chain = unwrap(await openChain({ directory: folder, genesis: genesisOf(author, publicKey), create: true }));
  const start = performance.now();
  const heaps: number[] = [];
  const residents: number[] = [];
  try {
    for (let height = 1; height <= blocks; height++) {
      await addBlock(chain, author, BigInt((height - 1) * TRANSFERS), height % WRITTEN_TOGETHER !== 0);
      if (height % Math.ceil(blocks / SAMPLES) !== 0) continue;
      await chain.settle();
      collect();
      const { heapUsed, external, rss } = process.memoryUsage();
      heaps.push((heapUsed + external) / MIB);
      residents.push(rss / MIB);
      const disk = (await folderBytes(folder)) / (height * TRANSFERS);
      console.log(
        `block ${height}: heap ${round2(heaps.at(-1) ?? 0)} MiB, resident ${round2(rss / MIB)} MiB, disk ${Math.round(disk)} bytes a transfer`,
      );
    }
    const bytesPerTransfer = (await folderBytes(folder)) / (blocks * TRANSFERS);
    // Caches fill in the first quarter; after it nothing may grow.
    const settled = Math.floor(heaps.length / 4);
    const growth = (values: readonly number[]): number => (values.at(-1) ?? 0) - (values[settled] ?? 0);
    console.log(
      JSON.stringify({
        blocks,
        transfers: blocks * TRANSFERS,
        heapGrowthMiB: round2(growth(heaps)),
        residentGrowthMiB: round2(growth(residents)),
        residentMiB: round2(residents.at(-1) ?? 0),
        bytesPerTransfer: Math.round(bytesPerTransfer),
        seconds: round2((performance.now() - start) / 1_000),
      }),
    );
  } finally {
    await chain.close();
    await rm(folder, { recursive: true, force: true });
  }
}
