// Owns the committed state: cached reads of the head, reads of earlier blocks inside the kept window, resident tries.
// It changes only by `advance`, after a block's batch is on the disk.

import { toHex, u64be, fromHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type AccountRecord, EMPTY_CODE_HASH, unpackAccount } from './account.ts';
import type { Address, Hash } from './api.ts';
import type { ChainLimits } from './limits.ts';
import { RESIDENT_NODES } from './limits.ts';
import { accountKey, accountNodeKey, codeKey, EMPTY, key, PREFIX, slotKey, storageNodeKey } from './records.ts';
import type { StateSource } from './state-journal.ts';
import type { Store } from './store.ts';
import { Trie } from './trie.ts';
import type { Node } from './trie-node.ts';

/** What a block leaves behind in memory once it is on the disk. */
export type StateAdvance = Readonly<{
  root: Uint8Array;
  accounts: ReadonlyMap<Address, AccountRecord | null>;
  slots: ReadonlyMap<Address, ReadonlyMap<Hash, Uint8Array>>;
  accountTrie: Node | null;
  storageTries: ReadonlyMap<Address, Node | null>;
  nodes: number;
}>;

/** A map that drops its oldest entries beyond a size. */
class Cache<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  get(id: K): V | undefined {
    return this.#entries.get(id);
  }

  set(id: K, value: V): void {
    this.#entries.set(id, value);
    if (this.#entries.size <= this.#size) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      break;
    }
  }
}

const LAST_HEIGHT = u64be(0xffff_ffff_ffff_ffffn);

export class HeadState {
  #height: number;
  #root: Uint8Array;
  #accountTrie: Node | null;
  #storageTries = new Map<Address, Node | null>();
  #nodes = 0;
  /** True while a batch is being written: the disk may already be one block ahead of `#height`. */
  #writing = false;
  readonly #store: Store;
  readonly #accounts: Cache<Address, AccountRecord | null>;
  readonly #slots: Cache<string, Uint8Array>;
  readonly #codes: Cache<Hash, Uint8Array>;

  constructor(store: Store, height: number, root: Uint8Array, limits: Pick<ChainLimits, 'stateCache'>) {
    this.#store = store;
    this.#height = height;
    this.#root = root;
    this.#accountTrie = new Trie(root, () => null).root;
    this.#accounts = new Cache(limits.stateCache);
    this.#slots = new Cache(limits.stateCache);
    this.#codes = new Cache(1_024);
  }

  get height(): number {
    return this.#height;
  }

  get root(): Uint8Array {
    return this.#root;
  }

  account(address: Address): AccountRecord | null {
    const known = this.#accounts.get(address);
    if (known !== undefined) return known;
    const account = unpackAccount(this.#store.get(accountKey(address)) ?? EMPTY);
    this.#accounts.set(address, account);
    return account;
  }

  /** Without leading zeros; empty when the slot is zero. */
  storage(address: Address, slot: Hash): Uint8Array {
    const id = address + slot;
    const known = this.#slots.get(id);
    if (known !== undefined) return known;
    const value = this.#store.get(slotKey(address, slot)) ?? EMPTY;
    this.#slots.set(id, value);
    return value;
  }

  code(codeHash: Uint8Array): Uint8Array {
    const id = toHex(codeHash);
    const known = this.#codes.get(id);
    if (known !== undefined) return known;
    if (id === EMPTY_CODE_ID) return EMPTY;
    const code = present(this.#store.get(codeKey(codeHash)), `code ${id}`);
    this.#codes.set(id, code);
    return code;
  }

  /** Account trie standing on the head. */
  accountTrie(): Trie {
    return new Trie(this.#accountTrie, (path) => this.#store.get(accountNodeKey(path)));
  }

  /** Storage trie of an account of the head, or an empty one. */
  storageTrie(address: Address, root: Uint8Array | null): Trie {
    const load = (path: Uint8Array) => this.#store.get(storageNodeKey(address, path));
    if (root === null) return new Trie(null, load);
    const resident = this.#storageTries.get(address);
    return new Trie(resident === undefined ? root : resident, load);
  }

  /** Reads of block `n`'s post-state that stay the same while later blocks are committed. */
  at(n: number): StateSource {
    const current = () => this.#height === n && !this.#writing;
    return {
      account: (address) => (current() ? this.account(address) : this.#accountAt(address, n)),
      storage: (address, slot) => (current() ? this.storage(address, slot) : this.#storageAt(address, slot, n)),
      code: (codeHash) => this.code(codeHash),
    };
  }

  // The present value is read first: if a batch lands between the two reads, its row of earlier values decides.
  async #accountAt(address: Address, n: number): Promise<AccountRecord | null> {
    const now = this.account(address);
    const prefix = key(PREFIX.accountBefore, fromHex(address));
    const row = await this.#before(prefix, n);
    return row === null ? now : unpackAccount(row);
  }

  async #storageAt(address: Address, slot: Hash, n: number): Promise<Uint8Array> {
    const now = this.storage(address, slot);
    const prefix = key(PREFIX.slotBefore, fromHex(address), fromHex(slot));
    return (await this.#before(prefix, n)) ?? now;
  }

  /** Value before the first block after `n` that changed the entry, or null when none did. */
  async #before(prefix: Uint8Array, n: number): Promise<Uint8Array | null> {
    const gt = Uint8Array.of(...prefix, ...u64be(n));
    const row = await this.#store.first({ gt, lte: Uint8Array.of(...prefix, ...LAST_HEIGHT) });
    return row === null ? null : row[1];
  }

  /** Runs the write of the next block; only then does the head move. */
  async advance(write: () => Promise<void>, next: StateAdvance): Promise<void> {
    this.#writing = true;
    try {
      await write();
      this.#root = next.root;
      this.#height++;
      for (const [address, account] of next.accounts) this.#accounts.set(address, account);
      for (const [address, slots] of next.slots) {
        for (const [slot, value] of slots) this.#slots.set(address + slot, value);
      }
      this.#keepTries(next);
    } finally {
      this.#writing = false;
    }
  }

  #keepTries(next: StateAdvance): void {
    this.#nodes += next.nodes;
    if (this.#nodes > RESIDENT_NODES) {
      this.#nodes = 0;
      this.#accountTrie = new Trie(next.root, () => null).root;
      this.#storageTries = new Map();
      return;
    }
    this.#accountTrie = next.accountTrie;
    for (const [address, root] of next.storageTries) this.#storageTries.set(address, root);
  }
}

const EMPTY_CODE_ID = toHex(EMPTY_CODE_HASH);
