// Owns the campaign of flipped bytes: a chain that has rows of every kind in logs and tables, one byte of one file changed in
// a copy of it, and what became of that: refused at open, found by the full check, harmless (every answer as before), silent.

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromHex, type Hex, toHex, u256be } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { type Prng, prng } from '../../base/prng.ts';
import type { Address, Chain, Hash, OpenOptions } from '../../chain/api.ts';
import { auditDatabase } from '../../chain/audit.ts';
import { openChain } from '../../chain/chain.ts';
import { checkLevelFiles } from '../../chain/level-files.ts';
import { keccak256 } from '../../chain/keccak.ts';
import { encodeRlp } from '../../chain/rlp.ts';
import { alice, bob, build, mine, signed, testChain } from './support.ts';

const SESSIONS = 3;
const BLOCKS_A_SESSION = 10;
/** Short, so that the campaign's chain has forgotten some earlier values. */
const LIMITS = { stateWindow: 12 };
const TRANSFER = toHex(keccak256(Buffer.from('Transfer(address,address,uint256)'))).slice(2);
/** slot0 += 1; slot[slot0] = slot0; logs slot0 under the topic of transfers. */
const RUNTIME = `5f54600101805f558080555f527f${TRANSFER}60205fa100`;
const CREATION: Hex = `0x60${(RUNTIME.length / 2).toString(16)}8060095f395ff3${RUNTIME}`;

export type World = Readonly<{ directory: string; options: OpenOptions; answers: Hash; dispose(): Promise<void> }>;

export type Flip = Readonly<{ file: string; at: number; mask: number }>;
/** `named` tells whether a check of the untouched copy names the file: opening rewrites files, and with them some damage. */
export type FlipOutcome = Readonly<{
  kind: 'refused' | 'found' | 'harmless' | 'silent';
  named: boolean;
  flip: Flip;
  says: string;
}>;

function contractOf(nonce: number): Address {
  const nonceBytes = nonce === 0 ? new Uint8Array(0) : Uint8Array.of(nonce);
  return toHex(keccak256(encodeRlp([fromHex(alice.address), nonceBytes])).subarray(12));
}

const CONTRACT = contractOf(0);

/** A closed chain of transfers, contracts, logs and storage. Each opening turns what the log held into a table. */
export async function flipWorld(): Promise<World> {
  const { chain: first, directory, options: made } = await testChain({ limits: LIMITS });
  const options = { ...made, create: false };
  let chain: Chain = first;
  let nonce = 0;
  for (let session = 0; session < SESSIONS; session++) {
    if (session > 0) chain = unwrap(await openChain(options));
    for (let block = 0; block < BLOCKS_A_SESSION; block++) {
      const sends = nonce === 0 ? [{ to: null, data: CREATION }] : [{ to: CONTRACT, gas: 200_000n }, { value: 7n }];
      const stranger = { to: strangers[nonce % strangers.length] as Address, value: 1n };
      await mine(
        chain,
        [...sends, stranger].map((send) => signed(alice, nonce++, send)),
      );
    }
    await chain.close();
  }
  chain = unwrap(await openChain(options));
  for (let block = 0; block < 3; block++) await mine(chain, [signed(alice, nonce++, { to: CONTRACT, gas: 200_000n })]);
  await chain.close();
  const copy = await copyOf(directory);
  const answers = await answersOf({ ...options, directory: copy });
  await rm(copy, { recursive: true });
  return { directory, options, answers, dispose: () => rm(directory, { recursive: true, force: true }) };
}

const strangers = Array.from({ length: 40 }, (_, i): Address => toHex(keccak256(u256be(BigInt(i))).subarray(0, 20)));

/** Hash of everything the chain answers: blocks, look-ups, history, states of the window, proofs, and the next block. */
async function answersOf(options: OpenOptions): Promise<Hash> {
  const chain = unwrap(await openChain(options));
  const said: unknown[] = [chain.statistics()];
  const head = chain.head().header.number;
  const addresses = [alice.address, bob.address, CONTRACT, ...strangers];
  for (let n = 0; n <= head; n++) {
    const block = await chain.blockByNumber(n);
    said.push(block, await chain.wireBlock(n), await chain.certificate(n), await chain.receipts(n));
    said.push(await chain.systemLogs(n), await chain.numberOf(block?.hash as Hash));
    for (const { hash } of block?.transactions ?? [])
      said.push(await chain.transaction(hash), await chain.receipt(hash));
    const state = chain.state(n);
    if (!state.ok) continue;
    for (const address of addresses) said.push(await state.value.balance(address), await state.value.nonce(address));
    said.push(await state.value.code(CONTRACT));
    for (let slot = 0n; slot < 40n; slot++) said.push(await state.value.storage(CONTRACT, toHex(u256be(slot))));
  }
  for (const address of addresses) {
    said.push(await chain.addressHistory(address, { limit: 1_000 }), await chain.proof(address, [], head));
  }
  said.push(await chain.logs({ fromBlock: 0, toBlock: head, addresses: [], topics: [] }));
  const slots = Array.from({ length: 8 }, (_, i) => toHex(u256be(BigInt(i))));
  said.push(await chain.proof(CONTRACT, slots, head), (await build(chain)).hash);
  await chain.close();
  return toHex(keccak256(Buffer.from(JSON.stringify(said, plain))));
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`;
  return value instanceof Uint8Array ? toHex(value) : value;
}

async function copyOf(directory: string): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'pol-flip-'));
  await cp(directory, copy, { recursive: true });
  return copy;
}

/** A byte of any file: each file is as likely as another, so that the small ones are met. */
export async function drawFlip(world: World, random: Prng): Promise<Flip> {
  const names = (await readdir(world.directory)).sort();
  for (;;) {
    const file = names[random.below(names.length)] as string;
    const { length } = await readFile(join(world.directory, file));
    if (length > 0) return { file, at: random.below(length), mask: 1 + random.below(255) };
  }
}

/** What a node does with the flipped copy, in the order of life: it starts; somebody checks it; it answers. */
export async function tryFlip(world: World, flip: Flip): Promise<FlipOutcome> {
  const directory = await copyOf(world.directory);
  const options = { ...world.options, directory };
  try {
    const path = join(directory, flip.file);
    const bytes = await readFile(path);
    bytes[flip.at] = (bytes[flip.at] as number) ^ flip.mask;
    await writeFile(path, bytes);
    const files = await checkLevelFiles(directory);
    const named = !files.ok && files.message.includes(flip.file);
    const opened = await openChain(options);
    if (!opened.ok) return { kind: 'refused', named, flip, says: opened.message };
    await opened.value.close();
    const audit = await auditDatabase(options);
    if (!audit.ok) return { kind: 'found', named, flip, says: audit.message };
    const same = (await answersOf(options)) === world.answers;
    return { kind: same ? 'harmless' : 'silent', named, flip, says: same ? '' : 'answers differ' };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Flips drawn from a seed, one after another. */
export async function* flips(world: World, count: number, seed: string): AsyncGenerator<FlipOutcome> {
  const random = prng(`flips ${seed}`);
  for (let i = 0; i < count; i++) yield tryFlip(world, await drawFlip(world, random));
}
