// Owns invariants I9 and I10 of a simulated network: what its nodes built, prevoted for, decided and forgot at crashes is done
// again in the same order with real blocks on a real chain a node. All roots have to agree and all coins have to be in the books.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Hex, toHex, utf8 } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { keccak256 } from '../../base/hash.ts';
import { ONE_POL } from '../../base/units.ts';
import type { Candidate, Chain, Genesis, OpenOptions, Transaction } from '../../chain/api.ts';
import { openChain } from '../../chain/chain.ts';
import { LEAF_BYTES } from '../../chain/system/api.ts';
import { commitCall, registerCall } from '../../chain/system/calls.ts';
import { learningParametersJson } from '../../chain/system/parameters.ts';
import { readCurrentRound, readModel, readTrainer } from '../../chain/system/views.ts';
import { systemView } from '../../node/system-view.ts';
import { type Key, alice, bob, key, signed, testGenesis } from '../chain/support.ts';
import { hashOf, testParameters } from '../chain/system-world.ts';
import { type BooksWatch, watchBooks } from '../cluster/invariants.ts';
import { drawText } from './event-queue.ts';
import { hold } from './invariants.ts';
import type { Entry } from './world-parts.ts';

const TRAINERS = ['trainer 0', 'trainer 1', 'trainer 2'].map(key);
export const BLOCK_WORLD_PARAMETERS = { ...testParameters, minTrainers: 1 };
const MAX_TRANSFERS = 3;

export const BLOCK_WORLD_GENESIS: Genesis = testGenesis({
  timestamp: 1,
  learning: learningParametersJson(BLOCK_WORLD_PARAMETERS),
  alloc: Object.fromEntries([alice, bob, ...TRAINERS].map(({ address }) => [address, { balance: 1_000n * ONE_POL }])),
});

type Replica = {
  readonly options: OpenOptions;
  chain: Chain;
  books: BooksWatch;
  /** What it has executed for its next height, by value. */
  readonly executed: Map<string, Candidate>;
};

export type BlockTally = {
  built: number;
  moves: number;
  executed: number;
  committed: number;
  reopened: number;
  rounds: number;
};

/** What a proposer puts into a block: transfers and, of trainers, registrations and claims, all drawn from the value's name. */
async function moves(chain: Chain, value: string): Promise<Transaction[]> {
  const { number } = chain.head().header;
  const state = unwrap(chain.state(number));
  const view = systemView(chain, number);
  const chance = drawText(value);
  const out: Transaction[] = [];
  const nonce = await state.nonce(alice.address);
  for (let i = 0; i < chance % (MAX_TRANSFERS + 1); i++) out.push(signed(alice, nonce + i, { value: BigInt(1 + i) }));
  const round = await readCurrentRound(view);
  for (const [index, trainer] of TRAINERS.entries()) {
    if ((chance >>> (4 + index)) % 2 === 0) continue;
    const record = await readTrainer(view, trainer.address);
    const isKnown = record.stakeWei > 0n;
    if (isKnown && round?.phase !== 'training') continue;
    const call = isKnown ? await claim(chain, round?.round ?? 0) : registerCall(1, 20n * ONE_POL);
    const own = await state.nonce(trainer.address);
    out.push(signed(trainer, own, { to: call.to, data: call.data, value: call.value, gas: 5_000_000n }));
  }
  return out;
}

async function claim(chain: Chain, round: number): Promise<ReturnType<typeof commitCall>> {
  const { root } = await readModel(systemView(chain, chain.head().header.number));
  return commitCall({
    round,
    baseRoot: root,
    traceRoot: hashOf('trace'),
    gradChainHead: hashOf('chain'),
    finalStateRoot: hashOf('final'),
    updateHash: hashOf('update'),
    residualRoot: hashOf('residual'),
    canaryHash: hashOf('none'),
    updateSize: 1_000n,
    kernelSpec: BLOCK_WORLD_PARAMETERS.kernelSpec,
    programHash: BLOCK_WORLD_PARAMETERS.programHash,
    leaves: new Uint8Array(BLOCK_WORLD_PARAMETERS.steps * LEAF_BYTES),
  });
}

async function openReplica(options: OpenOptions): Promise<Replica> {
  const chain = unwrap(await openChain(options));
  return { options, chain, books: watchBooks(chain), executed: new Map() };
}

/** Nodes that are instances of one authority propose in its name. */
const authorOf = (value: string): Key => key(`authority ${value.split('/')[2]}`);

/** The network's chains, one a node of the world. */
class Replicas {
  readonly tally: BlockTally = { built: 0, moves: 0, executed: 0, committed: 0, reopened: 0, rounds: 0 };
  readonly #nodes: Replica[];
  readonly #wires = new Map<string, Uint8Array>();
  readonly #roots = new Map<number, Readonly<{ hash: Hex; stateRoot: Hex }>>();

  constructor(nodes: Replica[]) {
    this.#nodes = nodes;
  }

  async take(entry: Entry): Promise<void> {
    const node = present(this.#nodes[entry.at], 'a chain of the node');
    if (entry.kind === 'built') await this.#build(node, entry.value, entry.stamp);
    else if (entry.kind === 'prevoted') await this.#execute(node, entry.value);
    else if (entry.kind === 'decided') await this.#commit(node, entry.at, entry.value);
    else await this.#reopen(node, entry.at);
  }

  async #build({ chain }: Replica, value: string, timestamp: number): Promise<void> {
    const { number } = chain.head().header;
    const candidate = await chain.buildBlock({
      timestamp,
      author: authorOf(value).address,
      mix: toHex(keccak256(utf8(`mix ${value}`))),
      vrfProof: utf8('proof'),
      parentCertificate: number === 0 ? new Uint8Array(0) : utf8(`certificate of ${number}`),
      nextSetHash: toHex(keccak256(utf8('set'))),
      transactions: await moves(chain, value),
    });
    const { wire, receipts } = unwrap(candidate);
    this.#wires.set(value, wire);
    this.tally.built++;
    this.tally.moves += receipts.filter(({ status }) => status === 1).length;
  }

  /** What an authority does before it prevotes: the block is judged from its bytes alone. */
  async #execute(node: Replica, value: string): Promise<Candidate> {
    const known = node.executed.get(value);
    if (known !== undefined) return known;
    const wire = present(this.#wires.get(value), `the block ${value}`);
    const judged = await node.chain.validateBlock(wire);
    hold(judged.ok, `I10: ${value} is refused: ${judged.ok || judged.message}`);
    node.executed.set(value, judged.value);
    this.tally.executed++;
    return judged.value;
  }

  async #commit(node: Replica, at: number, value: string): Promise<void> {
    const candidate = await this.#execute(node, value);
    await node.chain.commit(candidate, utf8(`certificate of ${candidate.block.header.number}`));
    node.executed.clear();
    this.tally.committed++;
    const { number, stateRoot } = node.chain.head().header;
    const { hash } = node.chain.head();
    const first = this.#roots.get(number);
    if (first === undefined) this.#roots.set(number, { hash, stateRoot });
    else hold(first.hash === hash && first.stateRoot === stateRoot, `I10: node ${at} has another block ${number}`);
    const round = await readCurrentRound(systemView(node.chain, number));
    this.tally.rounds = Math.max(this.tally.rounds, (round?.round ?? -1) + 1);
  }

  async #reopen(node: Replica, at: number): Promise<void> {
    const before = node.chain.head();
    await node.books.end();
    await node.chain.close();
    const { chain, books } = await openReplica({ ...node.options, create: false });
    hold(chain.head().hash === before.hash, `I12: node ${at} opens at another block`);
    node.chain = chain;
    node.books = books;
    node.executed.clear();
    this.tally.reopened++;
  }

  /** The books of all have held at every block. */
  async end(): Promise<void> {
    for (const { books } of this.#nodes) await books.end();
  }

  async close(): Promise<void> {
    for (const { chain } of this.#nodes) await chain.close();
  }
}

/** Does again with real blocks what the `count` nodes of a world did. `optionsOf` changes how the chain of a node is opened. */
export async function replayBlocks(
  entries: readonly Entry[],
  count: number,
  optionsOf: (at: number) => Partial<OpenOptions> = () => ({}),
): Promise<BlockTally> {
  check(count > 0, 'a world has nodes');
  const folder = await mkdtemp(join(tmpdir(), 'pol-block-world-'));
  const nodes: Replica[] = [];
  for (let at = 0; at < count; at++) {
    const directory = join(folder, String(at));
    nodes.push(await openReplica({ directory, genesis: BLOCK_WORLD_GENESIS, create: true, ...optionsOf(at) }));
  }
  const replicas = new Replicas(nodes);
  try {
    for (const entry of entries) await replicas.take(entry);
    await replicas.end();
    return replicas.tally;
  } finally {
    await replicas.close();
    await rm(folder, { recursive: true, force: true });
  }
}
