// Owns the JSON-RPC benchmark: the same signed transactions against our node, anvil and the Hardhat node, every receipt
// awaited; reads of balances; the import of a block of 500 transfers. The last line is JSON.

import { readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { concat, fromHex, type Hex, toHex, u256be } from '../base/bytes.ts';
import { keccak256 } from '../base/hash.ts';
import { createdAddress } from '../chain/transaction.ts';
import { measureImport } from './import.ts';
import {
  balanceReads,
  type Load,
  makeLoad,
  makeSenders,
  type Payload,
  type Signed,
  sign,
  transactionsPerSecond,
} from './rpc-load.ts';
import { freshFolder, type Network, startAnvil, startHardhat, startOurs } from './rpc-peers.ts';
import { round2 } from './timing.ts';

const CHAIN_ID = 504_177;
const SENDERS = 10;
/** Enough for several blocks: of a shorter run, up to a second is waiting for the first block to start. */
const TRANSFERS = setting('RPC_TRANSFERS', 6_000);
const TOKENS = setting('RPC_TOKENS', 6_000);
/** Sent to every node first: machine code is made of what runs often, and half of the first thousand would be waiting for it. */
const WARM_UP = 2_000;
const AUTHORITIES = 4;
const READ_MS = 5_000;
const CONNECTIONS = 32;
const RECEIVERS = 1_000;

const TOKEN = `
pragma solidity ^0.8.0;
contract Token {
  mapping(address => uint256) public balanceOf;
  event Transfer(address indexed from, address indexed to, uint256 value);
  constructor(address[] memory holders) { for (uint256 i = 0; i < holders.length; i++) balanceOf[holders[i]] = 1e24; }
  function transfer(address to, uint256 value) external returns (bool) {
    balanceOf[msg.sender] -= value; balanceOf[to] += value;
    emit Transfer(msg.sender, to, value);
    return true;
  }
}`;

function setting(name: string, otherwise: number): number {
  const value = Number(process.env[name] ?? otherwise);
  return Number.isSafeInteger(value) && value > 0 ? value : otherwise;
}

function tokenCode(holders: readonly Hex[]): Uint8Array {
  const solc = createRequire(import.meta.url)('solc') as { compile(input: string): string };
  const settings = {
    evmVersion: 'cancun',
    optimizer: { enabled: true },
    outputSelection: { '*': { '*': ['evm.bytecode.object'] } },
  };
  const input = { language: 'Solidity', sources: { 'token.sol': { content: TOKEN } }, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input))) as {
    contracts: Record<string, Record<string, { evm: { bytecode: { object: string } } }>>;
  };
  const code = fromHex(`0x${output.contracts['token.sol']?.['Token']?.evm.bytecode.object ?? ''}`);
  const words = [u256be(32n), u256be(BigInt(holders.length)), ...holders.map((holder) => u256be(BigInt(holder)))];
  return concat(code, ...words);
}

function receiver(index: number): Hex {
  return toHex(keccak256(u256be(BigInt(index % RECEIVERS))).subarray(12));
}

/** Bytes of the chain databases under a folder, logs that are not compacted yet included. */
function chainBytes(folder: string): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  let sum = 0;
  for (const file of files) {
    if (!file.isFile() || !/[\\/]chain$/.test(file.parentPath)) continue;
    sum += statSync(join(file.parentPath, file.name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}

type Figures = Readonly<{ transfers: number; tokens: number; reads: number; p99Ms: number; bytesPerTransfer: number }>;

/** What every node is sent, signed once. */
type Loads = Readonly<{ create: Signed; warmUp: Load; transfers: Load; tokens: Load }>;

function signLoads(): Loads {
  const senders = makeSenders(SENDERS);
  const chainId = BigInt(CHAIN_ID);
  const holders = senders.map(({ address }) => address);
  const first = senders[0] as (typeof senders)[number];
  // The first sender's first transaction makes the token; its address is the same on every node.
  const create = sign(chainId, first, 0, { to: null, value: 0n, data: tokenCode(holders), gas: 3_000_000n });
  const token = createdAddress(fromHex(first.address), 0);
  const selector = keccak256(Buffer.from('transfer(address,uint256)')).subarray(0, 4);
  const pay = (i: number) => ({ to: receiver(i), value: 1n, data: new Uint8Array(0), gas: 21_000n });
  const move = (i: number) => {
    const data = concat(selector, u256be(BigInt(receiver(i))), u256be(1n));
    return { to: token, value: 0n, data, gas: 100_000n };
  };
  const nonces: number[] = senders.map((_, i) => (i === 0 ? 1 : 0));
  const load = (count: number, payload: (index: number) => Payload): Load => {
    const made = makeLoad(chainId, senders, nonces, count, payload);
    made.forEach((list, i) => {
      nonces[i] = (nonces[i] ?? 0) + list.length;
    });
    return made;
  };
  return { create, warmUp: load(WARM_UP, pay), transfers: load(TRANSFERS, pay), tokens: load(TOKENS, move) };
}

async function measure({ url, name, folder }: Network, loads: Loads, readMs: number): Promise<Figures> {
  await transactionsPerSecond(url, [[loads.create]]);
  await transactionsPerSecond(url, loads.warmUp);
  const isOurs = name.startsWith('pol-node');
  const before = isOurs ? chainBytes(folder) : 0;
  const transfers = await transactionsPerSecond(url, loads.transfers);
  const bytesPerTransfer = isOurs ? (chainBytes(folder) - before) / TRANSFERS : 0;
  const tokens = await transactionsPerSecond(url, loads.tokens);
  const addresses = Array.from({ length: 500 }, (_, i) => receiver(i));
  const reads = await balanceReads(url, addresses, CONNECTIONS, readMs);
  return { transfers, tokens, reads: reads.perSecond, p99Ms: reads.p99Ms, bytesPerTransfer };
}

async function run(start: Promise<Network | null>, loads: Loads, readMs: number): Promise<Figures | null> {
  const network = await start;
  if (network === null) return null;
  try {
    const figures = await measure(network, loads, readMs);
    const shown = Object.entries(figures).map(([name, value]) => `${name} ${round2(value)}`);
    console.log(`${network.name}: ${shown.join(', ')}; load of the machine ${round2(loadavg()[0] ?? 0)}`);
    return figures;
  } finally {
    await network.stop();
  }
}

const over = (ours: number | undefined, theirs: number | undefined): number | null =>
  ours === undefined || theirs === undefined ? null : round2(ours / theirs);

export async function main(): Promise<void> {
  const base = await mkdtemp(join(tmpdir(), 'pol-rpc-bench-'));
  const funded = makeSenders(SENDERS).map(({ address }) => address);
  try {
    const loads = signLoads();
    const only = process.env['RPC_ONLY'];
    const ours = await run(startOurs(freshFolder(base, 'ours'), CHAIN_ID, funded), loads, READ_MS);
    if (only === 'ours') return;
    const anvil = await run(startAnvil(freshFolder(base, 'anvil'), CHAIN_ID, funded), loads, READ_MS);
    const hardhat = await run(startHardhat(CHAIN_ID, funded), loads, READ_MS);
    if (anvil === null || hardhat === null) console.log('a peer is missing: node scripts/fetch-peers.mjs');
    const several = await run(startOurs(freshFolder(base, 'several'), CHAIN_ID, funded, AUTHORITIES), loads, READ_MS);
    const { importMs500, importCpuMs500 } = await measureImport();
    console.log(
      JSON.stringify({
        transfersVsHardhat: over(ours?.transfers, hardhat?.transfers),
        transfersVsAnvil: over(ours?.transfers, anvil?.transfers),
        tokensVsAnvil: over(ours?.tokens, anvil?.tokens),
        transfersPerSecond: round2(ours?.transfers ?? 0),
        tokensPerSecond: round2(ours?.tokens ?? 0),
        readsPerSecond: Math.round(ours?.reads ?? 0),
        p99Ms: round2(ours?.p99Ms ?? 0),
        importMs500,
        importCpuMs500,
        bytesPerTransfer: ours === null ? null : Math.round(ours.bytesPerTransfer),
        fourAuthorities: several && {
          transfersPerSecond: round2(several.transfers),
          tokensPerSecond: round2(several.tokens),
          readsPerSecond: Math.round(several.reads),
          p99Ms: round2(several.p99Ms),
          transfersVsHardhat: over(several.transfers, hardhat?.transfers),
          transfersVsAnvil: over(several.transfers, anvil?.transfers),
        },
      }),
    );
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}
