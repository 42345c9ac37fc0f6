// Owns the transactions waiting for a block: admission in geth's words, nonce queues, replacement, eviction, selection.

import { equal, toHex } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { type AccountRecord, EMPTY_ACCOUNT, EMPTY_CODE_HASH } from './account.ts';
import type { Address, Hash, PoolContent, Transaction, TransactionPool } from './api.ts';
import type { ChainLimits } from './limits.ts';
import { floorGas, intrinsicGas } from './gas.ts';
import { keccakHex } from './keccak.ts';
import { INIT_CODE_BYTES } from './limits.ts';
import { BLOB_TYPE, effectiveTip, decodeTransaction, maximumCost } from './transaction.ts';

/** What the pool reads of the head. */
export type PoolState = Readonly<{
  account(address: Address): AccountRecord | null;
  code(codeHash: Uint8Array): Uint8Array;
  gasLimit(): bigint;
}>;

type Entry = Readonly<{ transaction: Transaction; cost: bigint; addedMs: number }>;
/** A sender's transactions by nonce, ascending, with sums that spare admission a walk over them. */
class Queue {
  #entries = new Map<number, Entry>();
  /** What all of them together may cost. */
  cost = 0n;
  /** Highest nonce; -1 when empty. */
  last = -1;
  /** How many follow the account's nonce without a gap; it is counted again after a change in the middle. */
  #run: Readonly<{ nonce: number; length: number }> | null = null;

  get size(): number {
    return this.#entries.size;
  }

  get(nonce: number): Entry | undefined {
    return this.#entries.get(nonce);
  }

  values(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  put(entry: Entry): void {
    const { nonce } = entry.transaction;
    this.#entries.set(nonce, entry);
    this.cost += entry.cost;
    const run = this.#run;
    if (nonce < this.last) {
      this.#entries = new Map([...this.#entries].sort(([a], [b]) => a - b));
      this.#run = null;
    } else {
      this.last = nonce;
      if (run !== null && nonce === run.nonce + run.length) this.#run = { ...run, length: run.length + 1 };
    }
  }

  delete(nonce: number): void {
    const entry = this.#entries.get(nonce);
    if (entry === undefined) return;
    this.#entries.delete(nonce);
    this.cost -= entry.cost;
    this.#run = null;
    if (nonce === this.last) this.last = [...this.#entries.keys()].at(-1) ?? -1;
  }

  /** How many can run from the account's nonce on. */
  executable(nonce: number): number {
    if (this.#run?.nonce === nonce) return this.#run.length;
    let length = 0;
    while (this.#entries.has(nonce + length)) length++;
    this.#run = { nonce, length };
    return length;
  }
}

/** The pool with what only the chain may do to it. */
export type OwnedPool = TransactionPool & Readonly<{ revalidate(included: readonly Transaction[]): void }>;

function feeCap(tx: Transaction): bigint {
  return tx.gasPrice ?? tx.maxFeePerGas ?? 0n;
}

function tipCap(tx: Transaction): bigint {
  return tx.gasPrice ?? tx.maxPriorityFeePerGas ?? 0n;
}

/** Both fees of `next` are at least `percent` above those of `old`. */
function outbids(next: Transaction, old: Transaction, percent: number): boolean {
  const enough = (a: bigint, b: bigint) => a * 100n >= b * BigInt(100 + percent);
  return enough(feeCap(next), feeCap(old)) && enough(tipCap(next), tipCap(old)) && feeCap(next) > feeCap(old);
}

/** EIP-7702: an account whose code only names a delegate still signs. */
function mayNotSign(account: AccountRecord, state: PoolState): boolean {
  if (equal(account.codeHash, EMPTY_CODE_HASH)) return false;
  return !toHex(state.code(account.codeHash)).startsWith('0xef0100');
}

class Pool {
  readonly #queues = new Map<Address, Queue>();
  readonly #byHash = new Map<Hash, Entry>();
  readonly #listeners = new Set<(transaction: Transaction) => void>();
  #bytes = 0;
  readonly #chainId: bigint;
  readonly #state: PoolState;
  readonly #limits: ChainLimits;

  constructor(chainId: bigint, state: PoolState, limits: ChainLimits) {
    this.#chainId = chainId;
    this.#state = state;
    this.#limits = limits;
  }

  /** `senderOf` tells what a trusted thread has recovered already. */
  add(raw: Uint8Array, nowMs: number, senderOf?: (hash: Hash) => Address | undefined): Result<Hash> {
    const limit = this.#limits.transactionBytes;
    if (raw.length > limit) {
      return fault('oversized', `oversized data: transaction size ${raw.length}, limit ${limit}`, {
        size: raw.length,
        limit,
      });
    }
    if (raw[0] === BLOB_TYPE) return fault('unsupportedType', 'transaction type not supported');
    // Looked for before anything is decoded: peers bring most transactions more than once.
    const hash = keccakHex(raw);
    if (this.#byHash.has(hash)) return fault('alreadyKnown', 'already known', { hash });
    const decoded = decodeTransaction(raw, { hash, from: senderOf?.(hash) });
    if (!decoded.ok) return decoded;
    const transaction = decoded.value;
    const account = this.#state.account(transaction.from) ?? EMPTY_ACCOUNT;
    const refusal = this.#refuse(transaction) ?? this.#refuseSender(transaction, account);
    if (refusal !== null) return refusal;
    const entry: Entry = { transaction, cost: maximumCost(transaction), addedMs: nowMs };
    const placed = this.#place(entry, account);
    if (placed !== null) return placed;
    for (const listener of this.#listeners) listener(transaction);
    return success(transaction.hash);
  }

  /** What is wrong with a transaction whatever the state. */
  #refuse(tx: Transaction): Fault | null {
    if (tx.chainId === null)
      return fault('notProtected', 'only replay-protected (EIP-155) transactions allowed over RPC');
    if (tx.chainId !== this.#chainId) {
      return fault('wrongChain', `invalid chain id for signer: have ${tx.chainId} want ${this.#chainId}`, {
        have: tx.chainId,
        want: this.#chainId,
      });
    }
    if (tx.to === null && tx.input.length > INIT_CODE_BYTES) {
      return fault('initCode', `max initcode size exceeded: code size ${tx.input.length}, limit ${INIT_CODE_BYTES}`);
    }
    const gasLimit = this.#state.gasLimit();
    if (tx.gas > gasLimit) return fault('gasLimit', `exceeds block gas limit: gas ${tx.gas}, limit ${gasLimit}`);
    const cap = this.#limits.poolTransactionGas;
    if (tx.gas > cap) return fault('gasLimit', `transaction gas limit too high (cap: ${cap}, tx: ${tx.gas})`);
    const intrinsic = intrinsicGas(tx);
    if (tx.gas < intrinsic)
      return fault('intrinsicGas', `intrinsic gas too low: gas ${tx.gas}, minimum needed ${intrinsic}`);
    const floor = floorGas(tx.input);
    if (tx.gas < floor)
      return fault('floorGas', `insufficient gas for floor data gas cost: gas ${tx.gas}, minimum needed ${floor}`);
    if (tipCap(tx) < this.#limits.poolMinimumTip) {
      return fault(
        'underpriced',
        `transaction underpriced: gas tip cap ${tipCap(tx)}, minimum needed ${this.#limits.poolMinimumTip}`,
      );
    }
    return null;
  }

  #refuseSender(tx: Transaction, account: AccountRecord): Fault | null {
    const nonce = Number(account.nonce);
    if (tx.nonce < nonce) return fault('nonceTooLow', `nonce too low: next nonce ${nonce}, tx nonce ${tx.nonce}`);
    if (mayNotSign(account, this.#state)) {
      return fault('senderNoEoa', `sender not an eoa: address ${tx.from}, codehash: ${toHex(account.codeHash)}`);
    }
    const cost = maximumCost(tx);
    if (account.balance < cost) {
      const overshot = cost - account.balance;
      return fault(
        'insufficientFunds',
        `insufficient funds for gas * price + value: balance ${account.balance}, tx cost ${cost}, overshot ${overshot}`,
      );
    }
    return null;
  }

  #place(entry: Entry, account: AccountRecord): Fault | null {
    const { transaction: tx } = entry;
    const queue = this.#queues.get(tx.from) ?? new Queue();
    const old = queue.get(tx.nonce);
    if (old !== undefined) {
      if (!outbids(tx, old.transaction, this.#limits.poolPriceBump))
        return fault('replacementUnderpriced', 'replacement transaction underpriced');
      this.#drop(old);
    } else {
      const full =
        this.#refuseCount(tx, queue, account) ?? this.#refuseSpending(entry, queue, account) ?? this.#makeRoom(tx);
      if (full !== null) return full;
    }
    // #drop may have removed an emptied queue from the map, so it is looked up again.
    const target = this.#queues.get(tx.from) ?? new Queue();
    target.put(entry);
    this.#queues.set(tx.from, target);
    this.#byHash.set(tx.hash, entry);
    this.#bytes += tx.raw.length;
    return null;
  }

  #refuseCount(tx: Transaction, queue: Queue, account: AccountRecord): Fault | null {
    const executable = queue.executable(Number(account.nonce));
    const isExecutable = tx.nonce <= Number(account.nonce) + executable;
    const used = isExecutable ? executable : queue.size - executable;
    const limit = isExecutable ? this.#limits.poolExecutablePerAccount : this.#limits.poolQueuedPerAccount;
    if (used >= limit) return fault('accountLimit', `account limit exceeded: ${limit} transactions`, { limit });
    if (!isExecutable && this.status().queued >= this.#limits.poolQueuedTransactions)
      return fault('poolFull', 'txpool is full');
    return null;
  }

  /** All of a sender's transactions together must be payable. */
  #refuseSpending(entry: Entry, queue: Queue, account: AccountRecord): Fault | null {
    const queued = queue.cost;
    const overshot = queued + entry.cost - account.balance;
    if (overshot <= 0n) return null;
    return fault(
      'insufficientFunds',
      `insufficient funds for gas * price + value: balance ${account.balance}, queued cost ${queued}, tx cost ${entry.cost}, overshot ${overshot}`,
    );
  }

  /** A full pool gives up its cheapest last transaction for a dearer one. */
  #makeRoom(tx: Transaction): Fault | null {
    while (this.#byHash.size >= this.#limits.poolTransactions || this.#bytes + tx.raw.length > this.#limits.poolBytes) {
      let cheapest: Entry | null = null;
      for (const queue of this.#queues.values()) {
        const last = queue.get(queue.last);
        if (last !== undefined && (cheapest === null || tipCap(last.transaction) < tipCap(cheapest.transaction)))
          cheapest = last;
      }
      if (cheapest === null || tipCap(cheapest.transaction) >= tipCap(tx) || cheapest.transaction.from === tx.from) {
        return fault('poolFull', 'transaction underpriced: txpool is full');
      }
      this.#drop(cheapest);
    }
    return null;
  }

  #drop(entry: Entry): void {
    const { transaction } = entry;
    const queue = this.#queues.get(transaction.from);
    queue?.delete(transaction.nonce);
    if (queue?.size === 0) this.#queues.delete(transaction.from);
    if (this.#byHash.delete(transaction.hash)) this.#bytes -= transaction.raw.length;
  }

  #split(queue: Queue, account: AccountRecord): Readonly<{ executable: Transaction[]; waiting: Transaction[] }> {
    const executable: Transaction[] = [];
    const waiting: Transaction[] = [];
    let next = Number(account.nonce);
    for (const { transaction } of queue.values()) {
      if (transaction.nonce === next) {
        executable.push(transaction);
        next++;
      } else waiting.push(transaction);
    }
    return { executable, waiting };
  }

  #splitOf(address: Address): Readonly<{ executable: Transaction[]; waiting: Transaction[] }> {
    return this.#split(this.#queues.get(address) ?? new Queue(), this.#state.account(address) ?? EMPTY_ACCOUNT);
  }

  #executableOf(address: Address): number {
    return this.#queues.get(address)?.executable(Number(this.#state.account(address)?.nonce ?? 0n)) ?? 0;
  }

  get(hash: Hash): Transaction | null {
    return this.#byHash.get(hash)?.transaction ?? null;
  }

  pendingNonce(address: Address): number {
    return Number(this.#state.account(address)?.nonce ?? 0n) + this.#executableOf(address);
  }

  content(): Readonly<{ pending: PoolContent; queued: PoolContent }> {
    const pending = new Map<Address, readonly Transaction[]>();
    const queued = new Map<Address, readonly Transaction[]>();
    for (const address of this.#queues.keys()) {
      const { executable, waiting } = this.#splitOf(address);
      if (executable.length > 0) pending.set(address, executable);
      if (waiting.length > 0) queued.set(address, waiting);
    }
    return { pending, queued };
  }

  status(): Readonly<{ pending: number; queued: number; bytes: number }> {
    let pending = 0;
    for (const address of this.#queues.keys()) pending += this.#executableOf(address);
    return { pending, queued: this.#byHash.size - pending, bytes: this.#bytes };
  }

  select(request: Readonly<{ baseFee: bigint; gasLimit: bigint }>): readonly Transaction[] {
    const heads: { tip: bigint; at: number; list: Transaction[] }[] = [];
    for (const address of this.#queues.keys()) {
      const list = this.#splitOf(address).executable;
      const first = list[0];
      if (first !== undefined) heads.push({ tip: effectiveTip(first, request.baseFee), at: 0, list });
    }
    heads.sort((a, b) => (a.tip === b.tip ? 0 : a.tip > b.tip ? -1 : 1));
    const chosen: Transaction[] = [];
    let gas = request.gasLimit;
    while (gas >= 21_000n) {
      const head = heads.shift();
      const tx = head?.list[head.at];
      if (head === undefined || tx === undefined || head.tip < 0n) break;
      if (tx.gas > gas) continue;
      chosen.push(tx);
      gas -= tx.gas;
      const next = head.list[++head.at];
      if (next === undefined) continue;
      head.tip = effectiveTip(next, request.baseFee);
      let place = 0;
      while (place < heads.length && (heads[place]?.tip ?? 0n) > head.tip) place++;
      heads.splice(place, 0, head);
    }
    return chosen;
  }

  expire(nowMs: number): number {
    let count = 0;
    for (const entry of [...this.#byHash.values()]) {
      if (nowMs - entry.addedMs < this.#limits.poolTimeToLiveMs) continue;
      this.#drop(entry);
      count++;
    }
    return count;
  }

  remove(hash: Hash): boolean {
    const entry = this.#byHash.get(hash);
    if (entry !== undefined) this.#drop(entry);
    return entry !== undefined;
  }

  onAdded(listener: (transaction: Transaction) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** After a block: what it took, what its nonces made stale, what its payments made unpayable. */
  revalidate(included: readonly Transaction[]): void {
    for (const { hash } of included) this.remove(hash);
    const gasLimit = this.#state.gasLimit();
    for (const [address, queue] of [...this.#queues]) {
      const account = this.#state.account(address) ?? EMPTY_ACCOUNT;
      const stale = [...queue.values()].filter(
        ({ transaction: { nonce, gas }, cost }) =>
          nonce < Number(account.nonce) || cost > account.balance || gas > gasLimit,
      );
      for (const entry of stale) this.#drop(entry);
    }
  }
}

export function createPool(chainId: bigint, state: PoolState, limits: ChainLimits): OwnedPool {
  const pool = new Pool(chainId, state, limits);
  return {
    add: (raw, nowMs, senderOf) => pool.add(raw, nowMs, senderOf),
    get: (hash) => pool.get(hash),
    pendingNonce: (address) => pool.pendingNonce(address),
    content: () => pool.content(),
    status: () => pool.status(),
    select: (request) => pool.select(request),
    expire: (nowMs) => pool.expire(nowMs),
    remove: (hash) => pool.remove(hash),
    onAdded: (listener) => pool.onAdded(listener),
    revalidate: (included) => pool.revalidate(included),
  };
}
