// Owns the books of a live chain: at every block of a node of this process, all coins and what each system contract holds are
// held against its records (6.1 and 6.2 of docs/protocol/system-contracts.md). Histories of one call are test/chain's.

import { type Hex, toHex } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { ONE_GWEI } from '../../base/units.ts';
import type { BlockRecord, Chain, Receipt, StateView } from '../../chain/api.ts';
import { challengesAbi, decodeReturn, encodeCall, trainersAbi } from '../../chain/system/abi.ts';
import {
  AUTHORITIES_ADDRESS,
  BONDS_ADDRESS,
  LEARNING_ROUNDS_ADDRESS,
  REWARDS_ADDRESS,
  TRAINERS_ADDRESS,
  type ViewCall,
} from '../../chain/system/api.ts';
import { CHALLENGES_ADDRESS } from '../../chain/system/challenges.ts';
import { EVIDENCE_ADDRESS } from '../../chain/system/evidence.ts';
import { type SystemEvent, decodeSystemLog } from '../../chain/system/events.ts';
import { readBond, readBondTotals, readPendingRewards, readSupply, readTrainer } from '../../chain/system/views.ts';
import { systemView } from '../../node/system-view.ts';

/** Entries of the queue that are read at most; more never wait in a test. */
const MOST_PENDING = 1_000;

const SYSTEM_CONTRACTS: readonly Hex[] = [
  AUTHORITIES_ADDRESS,
  TRAINERS_ADDRESS,
  LEARNING_ROUNDS_ADDRESS,
  REWARDS_ADDRESS,
  BONDS_ADDRESS,
  CHALLENGES_ADDRESS,
  EVIDENCE_ADDRESS,
];

/** What the blocks so far say. */
type Books = {
  height: number;
  issuedWei: bigint;
  mintedWei: bigint;
  burnedWei: bigint;
  /** Everyone who may hold coins. */
  accounts: Set<Hex>;
  trainers: Set<Hex>;
  bonded: Set<Hex>;
};

export type BooksWatch = Readonly<{
  /** Checks what was committed, then no more; throws when a check has failed. */
  end(): Promise<void>;
}>;

function openBooks({ genesis }: Chain): Books {
  const entries = Object.entries(genesis.alloc) as [Hex, { balance: bigint }][];
  return {
    height: 0,
    issuedWei: entries.reduce((sum, [, { balance }]) => sum + balance, 0n),
    mintedWei: 0n,
    burnedWei: 0n,
    accounts: new Set(entries.map(([address]) => address.toLowerCase() as Hex)),
    trainers: new Set(),
    bonded: new Set(genesis.authorities.map(({ address }) => address.toLowerCase() as Hex)),
  };
}

/** The system contracts hold coins too: bonds from genesis on, stakes, what is burned. */
async function addSystem(books: Books, chain: Chain): Promise<void> {
  const genesis = chain.state(0);
  check(genesis.ok, 'books: the state of genesis is kept while they are opened');
  for (const address of SYSTEM_CONTRACTS) {
    if (books.accounts.has(address)) continue;
    books.accounts.add(address);
    books.issuedWei += await genesis.value.balance(address);
  }
}

function noteEvent(books: Books, event: SystemEvent): void {
  if (event.kind === 'registered') books.trainers.add(event.trainer);
  if (event.kind === 'bondDeposited') books.bonded.add(event.account);
}

function noteBlock(
  books: Books,
  { header, transactions, withdrawals }: BlockRecord,
  receipts: readonly Receipt[],
): void {
  check(header.number === books.height + 1, `books: block ${header.number} after ${books.height}`);
  books.height = header.number;
  books.accounts.add(header.coinbase);
  for (const { from, to } of transactions) {
    books.accounts.add(from);
    if (to !== null) books.accounts.add(to);
  }
  for (const { address, amount } of withdrawals) {
    books.accounts.add(address);
    books.mintedWei += amount * ONE_GWEI;
  }
  books.burnedWei += header.baseFeePerGas * header.gasUsed;
  for (const { contractAddress, logs } of receipts) {
    if (contractAddress !== null) books.accounts.add(contractAddress);
    for (const log of logs) {
      const event = decodeSystemLog({ ...log, data: toHex(log.data) });
      if (event !== null) noteEvent(books, event);
    }
  }
}

async function checkCoins(books: Books, state: StateView): Promise<void> {
  let all = 0n;
  for (const account of books.accounts) all += await state.balance(account);
  const due = books.issuedWei + books.mintedWei - books.burnedWei;
  check(all === due, `block ${books.height}: all balances are ${all} wei, genesis + minted - burned is ${due}`);
}

async function checkTrainers(books: Books, view: ViewCall, held: bigint): Promise<void> {
  const read = async (name: 'totalStake' | 'totalCredit' | 'totalUnvestedGwei'): Promise<bigint> =>
    decodeReturn(trainersAbi, name, await view(TRAINERS_ADDRESS, encodeCall(trainersAbi, name, [])));
  let [stake, unvested] = [0n, 0n];
  for (const trainer of books.trainers) {
    const record = await readTrainer(view, trainer);
    stake += record.stakeWei;
    unvested += record.unvestedGwei;
  }
  check(stake === (await read('totalStake')), `block ${books.height}: totalStake is not the sum of stakes`);
  check(unvested === (await read('totalUnvestedGwei')), `block ${books.height}: totalUnvestedGwei is not the sum`);
  check(held === stake + (await read('totalCredit')), `block ${books.height}: Trainers holds ${held} wei`);
}

async function checkBonds(books: Books, view: ViewCall, held: bigint): Promise<void> {
  const { bondsWei, creditWei, accusationsWei } = await readBondTotals(view);
  let bonds = 0n;
  for (const account of books.bonded) bonds += (await readBond(view, account)).bondWei;
  check(bonds === bondsWei, `block ${books.height}: totalBonds is not the sum of bonds`);
  check(held === bondsWei + creditWei + accusationsWei, `block ${books.height}: Bonds holds ${held} wei`);
}

async function checkRewards(books: Books, view: ViewCall, held: bigint): Promise<void> {
  const { burnedWei, paidGwei, pendingGwei, pendingCount } = await readSupply(view);
  check(held === burnedWei, `block ${books.height}: Rewards holds ${held} wei, burned are ${burnedWei}`);
  check(paidGwei * ONE_GWEI === books.mintedWei, `block ${books.height}: paid is not what withdrawals minted`);
  const queue = await readPendingRewards(view, MOST_PENDING);
  const waiting = queue.reduce((sum, { gwei }) => sum + gwei, 0n);
  check(
    queue.length === pendingCount && waiting === pendingGwei,
    `block ${books.height}: minted is not paid + pending`,
  );
}

async function checkChallenges(books: Books, view: ViewCall, held: bigint): Promise<void> {
  const read = async (name: 'totalBonds' | 'totalCredit'): Promise<bigint> =>
    decodeReturn(challengesAbi, name, await view(CHALLENGES_ADDRESS, encodeCall(challengesAbi, name, [])));
  const owed = (await read('totalBonds')) + (await read('totalCredit'));
  check(held === owed, `block ${books.height}: Challenges holds ${held} wei, owes ${owed}`);
}

/** Throws on the first of a block's books that does not hold. */
async function checkBooks(chain: Chain, books: Books): Promise<void> {
  const state = chain.state(books.height);
  check(state.ok, `books: the state of block ${books.height} is kept while it is checked`);
  const view = systemView(chain, books.height);
  const held = (address: Hex): Promise<bigint> => state.value.balance(address);
  await checkCoins(books, state.value);
  await checkTrainers(books, view, await held(TRAINERS_ADDRESS));
  await checkBonds(books, view, await held(BONDS_ADDRESS));
  await checkRewards(books, view, await held(REWARDS_ADDRESS));
  if (chain.genesis.challenges !== undefined) await checkChallenges(books, view, await held(CHALLENGES_ADDRESS));
  for (const address of [LEARNING_ROUNDS_ADDRESS, EVIDENCE_ADDRESS])
    check((await held(address)) === 0n, `block ${books.height}: ${address} holds coins`);
  const { height, minted, burned } = chain.statistics();
  if (height !== books.height) return;
  check(
    minted === books.mintedWei && burned === books.burnedWei,
    `block ${height}: statistics are not what blocks say`,
  );
}

/** Checks every block of a chain at rest; throws on the first whose books do not hold. */
export async function checkBooksAtRest(chain: Chain): Promise<void> {
  const head = chain.head().header.number;
  check(head < chain.limits.stateWindow, 'books: states of all blocks are kept');
  const books = openBooks(chain);
  await addSystem(books, chain);
  for (let next = 1; next <= head; next++) {
    const block = present(await chain.blockByNumber(next), `block ${next}`);
    noteBlock(books, block, present(await chain.receipts(next), `receipts of block ${next}`));
    await checkBooks(chain, books);
  }
}

/** Checks every block a chain commits from now on, after reading the earlier ones. The first failure is thrown by `end`. */
export function watchBooks(chain: Chain): BooksWatch {
  const books = openBooks(chain);
  let isOver = false;

  async function readTo(height: number): Promise<void> {
    while (books.height < height) {
      const next = books.height + 1;
      const block = present(await chain.blockByNumber(next), `block ${next}`);
      noteBlock(books, block, present(await chain.receipts(next), `receipts of block ${next}`));
    }
  }
  async function take(height: number): Promise<void> {
    await readTo(height);
    await checkBooks(chain, books);
  }

  let last = addSystem(books, chain).then(() => readTo(chain.head().header.number));
  const unsubscribe = chain.onHead(({ block }) => {
    // Not caught before the end: nothing is checked after the first failure.
    if (!isOver) last = last.then(() => take(block.header.number));
  });
  return {
    async end() {
      isOver = true;
      unsubscribe();
      await last;
    },
  };
}
