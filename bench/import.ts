// Owns the timing of block import: decode, recover, execute, roots and the synced write of blocks of transfers.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFeeMarket1559Tx } from '@ethereumjs/tx';
import { type Hex, utf8 } from '../base/bytes.ts';
import { unwrap } from '../base/fault.ts';
import { keccak256 } from '../base/hash.ts';
import { addressOfSecret, secp256k1 } from '../base/keys.ts';
import { ONE_POL } from '../base/units.ts';
import type { Chain, Genesis, SystemHooks } from '../chain/api.ts';
import { openChain } from '../chain/chain.ts';
import { createCommon } from '../chain/evm.ts';
import { keccakName } from '../chain/keccak.ts';

const SENDERS = 10;
const TRANSFERS = 500;
const BLOCKS = 12;
const NO_SYSTEM: SystemHooks = { alloc: {}, calls: () => [], rewards: async () => [] };
const ZERO: Hex = `0x${'00'.repeat(32)}`;

async function open(directory: string, genesis: Genesis): Promise<Chain> {
  return unwrap(await openChain({ directory, genesis, create: true, system: NO_SYSTEM }));
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

type Sums = Readonly<Record<string, number>>;
/** Medians in milliseconds, by the wall clock and by processor time, which other programs do not stretch. */
export type ImportTimes = Readonly<{ wall: Sums; cpu: Sums; importMs500: number; importCpuMs500: number }>;

/** Builds, judges and commits blocks of 500 transfers on two chains in this process. */
export async function measureImport(): Promise<ImportTimes> {
  const keys = Array.from({ length: SENDERS }, (_, i) => keccak256(utf8(`bench sender ${i}`)));
  const genesis: Genesis = {
    chainId: 504_101,
    timestamp: 1_700_000_000,
    gasLimit: 30_000_000n,
    baseFeePerGas: 1_000_000_000n,
    authorities: [],
    alloc: Object.fromEntries(keys.map((secret) => [addressOfSecret(secret), { balance: 1_000n * ONE_POL }])),
    learning: {},
    dataset: {},
  };
  const common = createCommon(genesis.chainId);
  const directory = await mkdtemp(join(tmpdir(), 'pol-bench-'));
  const builder = await open(join(directory, 'builder'), genesis);
  const importer = await open(join(directory, 'importer'), genesis);
  const timings = {
    sign: [] as number[],
    pool: [] as number[],
    build: [] as number[],
    validate: [] as number[],
    commit: [] as number[],
  };
  /** Processor milliseconds of the same runs, which other programs on the machine do not stretch. */
  const busy = new Map<number[], number[]>();
  const timed = async <T>(into: number[], work: () => Promise<T> | T): Promise<T> => {
    const start = performance.now();
    const cpu = process.cpuUsage();
    const result = await work();
    const { user, system } = process.cpuUsage(cpu);
    into.push(performance.now() - start);
    busy.set(into, [...(busy.get(into) ?? []), (user + system) / 1_000]);
    return result;
  };
  for (let block = 0; block < BLOCKS; block++) {
    const raws = await timed(timings.sign, () =>
      Array.from({ length: TRANSFERS }, (_, i) => {
        const to = keccak256(utf8(`receiver ${(block * TRANSFERS + i) % 10_000}`)).subarray(12);
        const nonce = block * (TRANSFERS / SENDERS) + Math.floor(i / SENDERS);
        const fields = {
          chainId: genesis.chainId,
          nonce,
          to,
          value: 1n,
          gasLimit: 21_000n,
          maxFeePerGas: 10n ** 12n,
          maxPriorityFeePerGas: 1n,
        };
        return createFeeMarket1559Tx(fields, { common })
          .sign(keys[i % SENDERS] as Uint8Array)
          .serialize();
      }),
    );
    await timed(timings.pool, () => {
      for (const raw of raws) unwrap(builder.pool.add(raw, 0));
    });
    const transactions = builder.pool.select({ baseFee: builder.nextBaseFee(), gasLimit: genesis.gasLimit });
    const head = builder.head();
    const request = {
      timestamp: head.header.timestamp + 1,
      author: addressOfSecret(keys[0] as Uint8Array),
      mix: ZERO,
      vrfProof: new Uint8Array(81),
      parentCertificate: head.header.number === 0 ? new Uint8Array(0) : new Uint8Array(300),
      nextSetHash: ZERO,
      transactions,
    };
    const candidate = unwrap(await timed(timings.build, () => builder.buildBlock(request)));
    if (candidate.block.transactions.length !== TRANSFERS) throw new Error('the block is not full');
    await builder.commit(candidate, new Uint8Array(300));
    const judged = unwrap(await timed(timings.validate, () => importer.validateBlock(candidate.wire)));
    await timed(timings.commit, () => importer.commit(judged, new Uint8Array(300)));
  }
  const summary = (of: (values: number[]) => readonly number[]) =>
    Object.fromEntries(
      Object.entries(timings).map(([name, values]) => [name, Math.round(middle(of(values).slice(2)) * 10) / 10]),
    );
  const wall = summary((values) => values);
  const cpu = summary((values) => busy.get(values) ?? []);
  const sum = (of: Record<string, number>) => Math.round(((of['validate'] ?? 0) + (of['commit'] ?? 0)) * 10) / 10;
  await builder.close();
  await importer.close();
  await rm(directory, { recursive: true, force: true });
  return { wall, cpu, importMs500: sum(wall), importCpuMs500: sum(cpu) };
}

/** Prints them; the last line is JSON. */
export async function main(): Promise<void> {
  const times = await measureImport();
  console.log(`secp256k1 ${secp256k1.name}, keccak ${keccakName}; medians in ms for ${TRANSFERS} transfers`);
  console.log(JSON.stringify(times));
}
