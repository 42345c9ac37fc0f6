// Owns the replay of ethereum/tests GeneralStateTests on our state: roots and log hashes must be equal.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { createBlock } from '@ethereumjs/block';
import { Hardfork } from '@ethereumjs/common';
import { createTxFromRLP } from '@ethereumjs/tx';
import { fromHex, type Hex, toHex, utf8 } from '../../base/bytes.ts';
import { EMPTY_CODE_HASH, EMPTY_TRIE_ROOT } from '../../chain/account.ts';
import type { Address, Hash } from '../../chain/api.ts';
import { type Applied, applyTransaction } from '../../chain/apply.ts';
import {
  createCommon,
  createMachine,
  evmAddress,
  type ExecutionHeader,
  type Machine,
  runTransaction,
} from '../../chain/evm.ts';
import { HeadState } from '../../chain/head-state.ts';
import { keccak256 } from '../../chain/keccak.ts';
import { encodeRlp } from '../../chain/rlp.ts';
import type { StateChanges } from '../../chain/state-journal.ts';
import { sealState } from '../../chain/state-root.ts';
import { decodeTransaction } from '../../chain/transaction.ts';
import { memoryStore } from './memory-store.ts';

type Post = Readonly<{ hash: Hash; logs: Hash; txbytes: Hex; expectException?: string }>;
type StateTest = Readonly<{
  env: Readonly<Record<string, string>>;
  pre: Readonly<Record<Address, { balance: string; nonce: string; code: Hex; storage: Record<string, string> }>>;
  post: Readonly<Record<string, readonly Post[]>>;
}>;

const FORKS: Readonly<Record<string, Hardfork>> = {
  Frontier: Hardfork.Chainstart,
  Homestead: Hardfork.Homestead,
  EIP150: Hardfork.TangerineWhistle,
  EIP158: Hardfork.SpuriousDragon,
  Byzantium: Hardfork.Byzantium,
  ConstantinopleFix: Hardfork.Petersburg,
  Istanbul: Hardfork.Istanbul,
  Berlin: Hardfork.Berlin,
  London: Hardfork.London,
  Paris: Hardfork.Paris,
  Merge: Hardfork.Paris,
  Shanghai: Hardfork.Shanghai,
  Cancun: Hardfork.Cancun,
  Prague: Hardfork.Prague,
};

/** `alone`: how many transactions ran without the library's frame around them (chain/apply.ts). */
export type Tally = { passed: number; alone: number; skipped: string[]; failed: string[] };

const machines = new Map<Hardfork, Promise<Machine>>();

function machineOf(fork: Hardfork): Promise<Machine> {
  const known = machines.get(fork);
  if (known !== undefined) return known;
  const made = createMachine(createCommon(1, fork), (number) => toHex(keccak256(utf8(String(number)))));
  machines.set(fork, made);
  return made;
}

function padded(text: string): Hash {
  return `0x${BigInt(text).toString(16).padStart(64, '0')}`;
}

function trimmed(text: string): Uint8Array {
  const value = BigInt(text).toString(16);
  return value === '0'
    ? new Uint8Array(0)
    : new Uint8Array(Buffer.from(value.length % 2 === 0 ? value : `0${value}`, 'hex'));
}

function preState(test: StateTest): StateChanges {
  const accounts = new Map();
  const slots = new Map<Address, Map<Hash, Uint8Array>>();
  const codes = new Map<Hash, Uint8Array>();
  for (const [address, account] of Object.entries(test.pre) as [Address, StateTest['pre'][Address]][]) {
    const code = fromHex(account.code);
    const codeHash = code.length === 0 ? EMPTY_CODE_HASH : keccak256(code);
    codes.set(toHex(codeHash), code);
    const record = {
      nonce: BigInt(account.nonce),
      balance: BigInt(account.balance),
      storageRoot: EMPTY_TRIE_ROOT,
      codeHash,
    };
    accounts.set(address.toLowerCase(), record);
    const words = new Map<Hash, Uint8Array>();
    for (const [slot, value] of Object.entries(account.storage)) words.set(padded(slot), trimmed(value));
    slots.set(address.toLowerCase() as Address, words);
  }
  return { accounts, slots, cleared: new Set(), codes };
}

function blockFor(machine: Machine, env: StateTest['env'], fork: Hardfork) {
  const merged = machine.common.gteHardfork(Hardfork.Paris);
  const random = padded(env['currentRandom'] ?? '0x0');
  const header = {
    coinbase: evmAddress(env['currentCoinbase'] as Address),
    number: BigInt(env['currentNumber'] ?? '1'),
    gasLimit: BigInt(env['currentGasLimit'] ?? '0'),
    timestamp: BigInt(env['currentTimestamp'] ?? '0'),
    ...(merged ? { mixHash: fromHex(random) } : { difficulty: BigInt(env['currentDifficulty'] ?? '0') }),
    ...(machine.common.gteHardfork(Hardfork.London) ? { baseFeePerGas: BigInt(env['currentBaseFee'] ?? '10') } : {}),
    ...(machine.common.gteHardfork(Hardfork.Cancun)
      ? { excessBlobGas: BigInt(env['currentExcessBlobGas'] ?? '0') }
      : {}),
  };
  machine.common.setHardfork(fork);
  const block = createBlock({ header }, { common: machine.common, freeze: false, skipConsensusFormatValidation: true });
  return { header: block.header, whole: () => block };
}

/** As blocks of this chain run it: without the library's frame where that is possible. */
async function applyAlone(
  machine: Machine,
  block: ReturnType<typeof blockFor>,
  env: StateTest['env'],
  raw: Uint8Array,
): Promise<Applied | null> {
  const decoded = decodeTransaction(raw);
  if (!decoded.ok) return null;
  const header: ExecutionHeader = {
    parentHash: padded('0x0'),
    coinbase: (env['currentCoinbase'] ?? '0x').toLowerCase() as Address,
    number: Number(env['currentNumber'] ?? '1'),
    gasLimit: BigInt(env['currentGasLimit'] ?? '0'),
    timestamp: Number(env['currentTimestamp'] ?? '0'),
    mixHash: padded(env['currentRandom'] ?? '0x0'),
    baseFeePerGas: BigInt(env['currentBaseFee'] ?? '10'),
    excessBlobGas: BigInt(env['currentExcessBlobGas'] ?? '0'),
  };
  return applyTransaction(machine, block, header, decoded.value);
}

async function runPost(test: StateTest, forkName: string, post: Post, name: string, tally: Tally): Promise<void> {
  const fork = FORKS[forkName];
  if (fork === undefined) {
    tally.skipped.push(`${name}: fork ${forkName}`);
    return;
  }
  const machine = await machineOf(fork);
  const store = memoryStore();
  const empty = new HeadState(store, -1, EMPTY_TRIE_ROOT, { stateCache: 1 });
  const pre = await sealState(empty, store, preState(test), 0);
  store.apply(pre.rows);
  const head = new HeadState(store, 0, pre.advance.root, { stateCache: 1_000 });
  machine.journal.reset(head.at(0));
  let logs: unknown[] = [];
  let refused = '';
  try {
    const block = blockFor(machine, test.env, fork);
    const alone = await applyAlone(machine, block, test.env, fromHex(post.txbytes));
    if (alone === null) {
      const tx = createTxFromRLP(fromHex(post.txbytes), { common: machine.common, freeze: false });
      logs = (await runTransaction(machine, block, tx, 0n)).execResult.logs ?? [];
    } else {
      tally.alone++;
      logs = alone.logs.map(({ address, topics, data }) => [fromHex(address), topics.map(fromHex), data]);
    }
  } catch (error) {
    refused = error instanceof Error ? error.message : String(error);
    if (refused.includes('roots are computed once a block')) {
      tally.skipped.push(
        `${name}: receipts before Byzantium hold a root of each transaction, which this chain has none of`,
      );
      return;
    }
  }
  const sealed = await sealState(head, store, machine.journal.changes(), 1);
  const root = toHex(sealed.advance.root);
  const logsHash = toHex(keccak256(encodeRlp(logs as Uint8Array[])));
  if (root === post.hash && logsHash === post.logs) tally.passed++;
  else
    tally.failed.push(
      `${name}: root ${root} expected ${post.hash} ${refused === '' ? '' : `(refused: ${refused.slice(0, 120)})`}`,
    );
}

/** Bundles of a folder: `<name>.json.gz`, each an object of test files. */
export function bundles(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json.gz'))
    .sort();
}

/** Runs `take(index)`-chosen post states of a bundle. */
export async function runBundle(
  directory: string,
  bundle: string,
  tally: Tally,
  take: (index: number) => boolean = () => true,
): Promise<void> {
  const files = JSON.parse(gunzipSync(readFileSync(join(directory, bundle))).toString('utf8')) as Record<
    string,
    Record<string, StateTest>
  >;
  let index = 0;
  for (const [file, tests] of Object.entries(files)) {
    for (const [testName, one] of Object.entries(tests)) {
      for (const [fork, posts] of Object.entries(one.post)) {
        for (const [at, post] of posts.entries()) {
          if (take(index++)) await runPost(one, fork, post, `${file} ${testName} ${fork}[${at}]`, tally);
        }
      }
    }
  }
}
