// Owns the state of a running execution: flat maps over a source, an undo log for checkpoints, and nothing on disk.
// It is the state manager the unmodified EVM library runs on; roots are state-root.ts.

import type { AccountFields, StateManagerInterface } from '@ethereumjs/common';
import { Account, type Address as EvmAddress } from '@ethereumjs/util';
import { type Hex, toHex } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { EMPTY_ACCOUNT, EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, type AccountRecord } from './account.ts';
import type { Address, Hash } from './api.ts';
import { keccak256 } from './keccak.ts';
import { CALL_TURNS, turn } from './turns.ts';

type Awaitable<T> = T | Promise<T>;

/** Where an execution reads what it has not written: one block's post-state. Storage values carry no leading zeros. */
export type StateSource = Readonly<{
  account(address: Address): Awaitable<AccountRecord | null>;
  storage(address: Address, slot: Hash): Awaitable<Uint8Array>;
  code(codeHash: Uint8Array): Awaitable<Uint8Array>;
}>;

/** What an execution wrote. A cleared account lost its earlier storage before `slots` were written. */
export type StateChanges = Readonly<{
  accounts: ReadonlyMap<Address, AccountRecord | null>;
  slots: ReadonlyMap<Address, ReadonlyMap<Hash, Uint8Array>>;
  cleared: ReadonlySet<Address>;
  /** By code hash in hex. */
  codes: ReadonlyMap<Hex, Uint8Array>;
}>;

type Undo =
  | Readonly<{ kind: 'account'; address: Address; before: AccountRecord | null | undefined }>
  | Readonly<{ kind: 'slot'; slots: Map<Hash, Uint8Array>; slot: Hash; before: Uint8Array | undefined }>
  | Readonly<{ kind: 'clear'; address: Address; slots: Map<Hash, Uint8Array> | undefined; wasCleared: boolean }>;

const NOTHING = new Uint8Array(0);

export class StateJournal implements StateManagerInterface {
  #source: StateSource;
  #accounts = new Map<Address, AccountRecord | null>();
  #slots = new Map<Address, Map<Hash, Uint8Array>>();
  #cleared = new Set<Address>();
  #codes = new Map<Hex, Uint8Array>();
  #readAccounts = new Map<Address, AccountRecord | null>();
  #readSlots = new Map<string, Uint8Array>();
  #originals = new Map<string, Uint8Array>();
  #undo: Undo[] = [];
  #marks: number[] = [];
  #frames = 0;
  readonly #framesPerTurn: number;

  /** Storage as it stood when the running transaction began: SSTORE gas depends on it (EIP-2200). */
  readonly originalStorageCache = {
    get: async (address: EvmAddress, key: Uint8Array): Promise<Uint8Array> => {
      const id = address.toString() + toHex(key);
      const known = this.#originals.get(id);
      if (known !== undefined) return known;
      const value = await this.getStorage(address, key);
      this.#originals.set(id, value);
      return value;
    },
    clear: (): void => this.#originals.clear(),
  };

  constructor(source: StateSource, framesPerTurn = CALL_TURNS.frames) {
    this.#source = source;
    this.#framesPerTurn = framesPerTurn;
  }

  /** Forgets everything written and reads from `source` from now on. */
  reset(source: StateSource): void {
    this.#source = source;
    this.#accounts = new Map();
    this.#slots = new Map();
    this.#cleared = new Set();
    this.#codes = new Map();
    this.#readAccounts = new Map();
    this.#readSlots = new Map();
    this.#originals.clear();
    this.#undo = [];
    this.#marks = [];
  }

  /** What was written so far. Taken when no checkpoint is open; the journal is reset before it runs again. */
  changes(): StateChanges {
    check(this.#marks.length === 0, 'changes: a checkpoint is open');
    return { accounts: this.#accounts, slots: this.#slots, cleared: this.#cleared, codes: this.#codes };
  }

  async account(address: Address): Promise<AccountRecord | null> {
    const written = this.#accounts.get(address);
    if (written !== undefined) return written;
    const read = this.#readAccounts.get(address);
    if (read !== undefined) return read;
    const account = await this.#source.account(address);
    this.#readAccounts.set(address, account);
    return account;
  }

  /** The same without waiting; undefined when the source would have to wait (states before the head). */
  accountNow(address: Address): AccountRecord | null | undefined {
    const written = this.#accounts.get(address);
    if (written !== undefined) return written;
    const read = this.#readAccounts.get(address);
    if (read !== undefined) return read;
    const account = this.#source.account(address);
    if (account instanceof Promise) return undefined;
    this.#readAccounts.set(address, account);
    return account;
  }

  setAccount(address: Address, account: AccountRecord | null): void {
    // Outside every checkpoint there is nothing to go back to.
    if (this.#marks.length > 0) {
      this.#undo.push({ kind: 'account', address, before: this.#accounts.get(address) });
    }
    this.#accounts.set(address, account);
  }

  async slot(address: Address, slot: Hash): Promise<Uint8Array> {
    const written = this.#slots.get(address)?.get(slot);
    if (written !== undefined) return written;
    if (this.#cleared.has(address)) return NOTHING;
    const id = address + slot;
    const read = this.#readSlots.get(id);
    if (read !== undefined) return read;
    const value = await this.#source.storage(address, slot);
    this.#readSlots.set(id, value);
    return value;
  }

  setSlot(address: Address, slot: Hash, value: Uint8Array): void {
    let slots = this.#slots.get(address);
    if (slots === undefined) {
      slots = new Map();
      this.#slots.set(address, slots);
    }
    this.#undo.push({ kind: 'slot', slots, slot, before: slots.get(slot) });
    slots.set(slot, stripZeros(value));
  }

  async getAccount(address: EvmAddress): Promise<Account | undefined> {
    const record = await this.account(address.toString());
    // A fresh object each time: the EVM changes the one it was given before it decides to keep the change.
    return record === null ? undefined : new Account(record.nonce, record.balance, record.storageRoot, record.codeHash);
  }

  async putAccount(address: EvmAddress, account?: Account): Promise<void> {
    const key = address.toString();
    if (account === undefined) {
      this.#remove(key);
      return;
    }
    const before = await this.account(key);
    const storageRoot = before === null ? EMPTY_TRIE_ROOT : before.storageRoot;
    this.setAccount(key, { nonce: account.nonce, balance: account.balance, storageRoot, codeHash: account.codeHash });
  }

  async deleteAccount(address: EvmAddress): Promise<void> {
    this.#remove(address.toString());
  }

  #remove(address: Address): void {
    this.setAccount(address, null);
    this.#clear(address);
  }

  async modifyAccountFields(address: EvmAddress, fields: AccountFields): Promise<void> {
    const account = (await this.getAccount(address)) ?? new Account();
    if (fields.nonce !== undefined) account.nonce = fields.nonce;
    if (fields.balance !== undefined) account.balance = fields.balance;
    if (fields.codeHash !== undefined) account.codeHash = fields.codeHash;
    await this.putAccount(address, account);
  }

  async putCode(address: EvmAddress, value: Uint8Array): Promise<void> {
    const key = address.toString();
    const codeHash = value.length === 0 ? EMPTY_CODE_HASH : keccak256(value);
    // Codes are kept by hash and never undone: an unreferenced one is dropped when the block is written.
    if (value.length > 0) this.#codes.set(toHex(codeHash), value);
    this.setAccount(key, { ...((await this.account(key)) ?? EMPTY_ACCOUNT), codeHash });
  }

  async getCode(address: EvmAddress): Promise<Uint8Array> {
    const account = await this.account(address.toString());
    return account === null ? NOTHING : this.codeOf(account);
  }

  async codeOf(account: AccountRecord): Promise<Uint8Array> {
    const id = toHex(account.codeHash);
    if (id === EMPTY_CODE_ID) return NOTHING;
    const known = this.#codes.get(id);
    if (known !== undefined) return known;
    return this.#source.code(account.codeHash);
  }

  async getCodeSize(address: EvmAddress): Promise<number> {
    return (await this.getCode(address)).length;
  }

  async getStorage(address: EvmAddress, key: Uint8Array): Promise<Uint8Array> {
    return this.slot(address.toString(), toHex(key));
  }

  async putStorage(address: EvmAddress, key: Uint8Array, value: Uint8Array): Promise<void> {
    this.setSlot(address.toString(), toHex(key), value);
  }

  async clearStorage(address: EvmAddress): Promise<void> {
    const key = address.toString();
    this.#clear(key);
    const account = await this.account(key);
    if (account !== null) this.setAccount(key, { ...account, storageRoot: EMPTY_TRIE_ROOT });
  }

  #clear(address: Address): void {
    const slots = this.#slots.get(address);
    this.#undo.push({ kind: 'clear', address, slots, wasCleared: this.#cleared.has(address) });
    this.#slots.delete(address);
    this.#cleared.add(address);
  }

  async checkpoint(): Promise<void> {
    this.#marks.push(this.#undo.length);
    this.#frames++;
    if (this.#frames % this.#framesPerTurn === 0) await turn();
  }

  /** Accounts written to since the innermost open checkpoint. */
  written(): readonly Address[] {
    const entries = this.#undo.slice(present(this.#marks.at(-1), 'checkpoint'));
    return [...new Set(entries.flatMap((entry) => (entry.kind === 'slot' ? [] : [entry.address])))];
  }

  async commit(): Promise<void> {
    present(this.#marks.pop(), 'checkpoint');
    if (this.#marks.length === 0) this.#undo = [];
  }

  async revert(): Promise<void> {
    const mark = present(this.#marks.pop(), 'checkpoint');
    while (this.#undo.length > mark) this.#undoOne(present(this.#undo.pop(), 'undo entry'));
  }

  #undoOne(entry: Undo): void {
    switch (entry.kind) {
      case 'account':
        if (entry.before === undefined) this.#accounts.delete(entry.address);
        else this.#accounts.set(entry.address, entry.before);
        return;
      case 'slot':
        if (entry.before === undefined) entry.slots.delete(entry.slot);
        else entry.slots.set(entry.slot, entry.before);
        return;
      case 'clear':
        if (entry.slots === undefined) this.#slots.delete(entry.address);
        else this.#slots.set(entry.address, entry.slots);
        if (!entry.wasCleared) this.#cleared.delete(entry.address);
    }
  }

  clearCaches(): void {}

  /** Roots belong to whole blocks (state-root.ts); the library asks for none after Byzantium. */
  async getStateRoot(): Promise<Uint8Array> {
    check(false, 'getStateRoot: roots are computed once a block');
  }

  async setStateRoot(): Promise<void> {
    check(false, 'setStateRoot: a journal stands on its source');
  }

  async hasStateRoot(): Promise<boolean> {
    return false;
  }

  shallowCopy(): StateManagerInterface {
    return new StateJournal(this.#source);
  }
}

const EMPTY_CODE_ID = toHex(EMPTY_CODE_HASH);

function stripZeros(value: Uint8Array): Uint8Array {
  let at = 0;
  while (at < value.length && value[at] === 0) at++;
  return value.slice(at);
}
