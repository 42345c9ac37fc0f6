// Owns the step from an execution's changes to a state root and to the rows that write it: flat state, trie nodes,
// code, and the earlier values that make reads of past blocks possible.

import { equal, fromHex, type Hex, toHex, u64be } from '../base/bytes.ts';
import { accountRlp, type AccountRecord, EMPTY_ACCOUNT, EMPTY_TRIE_ROOT, packAccount, sameAccount } from './account.ts';
import type { Address, Hash } from './api.ts';
import type { HeadState, StateAdvance } from './head-state.ts';
import { keccak256 } from './keccak.ts';
import { accountBeforeKey, accountKey, changedKey, codeKey, EMPTY, key, PREFIX } from './records.ts';
import { encodeRlp } from './rlp.ts';
import type { StateChanges } from './state-journal.ts';
import type { Row, Store } from './store.ts';
import type { TrieWrites } from './trie.ts';
import type { Node } from './trie-node.ts';

export type SealedState = Readonly<{ rows: readonly Row[]; advance: StateAdvance }>;

type Work = {
  readonly head: HeadState;
  readonly store: Store;
  readonly height: number;
  readonly rows: Row[];
  readonly before: Uint8Array[];
  readonly slots: Map<Address, Map<Hash, Uint8Array>>;
  readonly storageTries: Map<Address, Node | null>;
  nodes: number;
};

/** Root and rows of block `height` from what was written on top of the head. */
export async function sealState(
  head: HeadState,
  store: Store,
  changes: StateChanges,
  height: number,
): Promise<SealedState> {
  const work: Work = { head, store, height, rows: [], before: [], slots: new Map(), storageTries: new Map(), nodes: 0 };
  const accounts = new Map<Address, AccountRecord | null>();
  const trie = head.accountTrie();
  for (const address of touched(changes)) {
    const base = head.account(address);
    const written = changes.accounts.get(address);
    const target = written === undefined ? base : written;
    const storageRoot = await sealStorage(work, changes, address, base, target);
    const next = target === null ? null : { ...target, storageRoot };
    if (sameAccount(base, next)) continue;
    accounts.set(address, next);
    trie.put(keccak256(fromHex(address)), next === null ? EMPTY : accountRlp(next));
    work.rows.push([accountKey(address), next === null ? null : packAccount(next)]);
    keepBefore(work, accountBeforeKey(address, height), base === null ? EMPTY : packAccount(base));
    keepCode(work, changes, base, next);
  }
  const { root, writes } = trie.seal();
  pushNodes(work, writes, ACCOUNT_NODES);
  if (work.before.length > 0) work.rows.push([changedKey(height), encodeRlp(work.before)]);
  return {
    rows: work.rows,
    advance: {
      root,
      accounts,
      slots: work.slots,
      accountTrie: trie.root,
      storageTries: work.storageTries,
      nodes: work.nodes + trie.nodes,
    },
  };
}

function touched(changes: StateChanges): Set<Address> {
  return new Set([...changes.accounts.keys(), ...changes.slots.keys(), ...changes.cleared]);
}

const ACCOUNT_NODES = key(PREFIX.accountNode);

/** `prefix` is what precedes a node's path in its row's key. */
function pushNodes(work: Work, writes: TrieWrites, prefix: Uint8Array): void {
  for (const [path, rlp] of writes) {
    const rowKey = new Uint8Array(prefix.length + path.length);
    rowKey.set(prefix);
    for (let i = 0; i < path.length; i++) rowKey[prefix.length + i] = path.charCodeAt(i);
    work.rows.push([rowKey, rlp]);
  }
}

/** Earlier values exist for blocks that have a parent. */
function keepBefore(work: Work, rowKey: Uint8Array, value: Uint8Array): void {
  if (work.height === 0) return;
  work.rows.push([rowKey, value]);
  work.before.push(rowKey);
}

function keepCode(work: Work, changes: StateChanges, base: AccountRecord | null, next: AccountRecord | null): void {
  if (next === null || (base !== null && equal(base.codeHash, next.codeHash))) return;
  const code = changes.codes.get(toHex(next.codeHash));
  if (code !== undefined) work.rows.push([codeKey(next.codeHash), code]);
}

async function sealStorage(
  work: Work,
  changes: StateChanges,
  address: Address,
  base: AccountRecord | null,
  target: AccountRecord | null,
): Promise<Uint8Array> {
  const baseRoot = (base ?? EMPTY_ACCOUNT).storageRoot;
  if (!changes.slots.has(address) && !changes.cleared.has(address) && target !== null) return baseRoot;
  const cleared = changes.cleared.has(address) || target === null;
  const values = new Map<Hash, Uint8Array>();
  const hadStorage = !equal(baseRoot, EMPTY_TRIE_ROOT);
  if (cleared && hadStorage) for (const slot of await clearRows(work, address)) values.set(slot, EMPTY);
  if (target !== null) for (const [slot, value] of changes.slots.get(address) ?? []) values.set(slot, value);
  const trie = work.head.storageTrie(address, cleared ? null : baseRoot);
  const kept = new Map<Hash, Uint8Array>();
  const addressBytes = fromHex(address);
  const heightBytes = u64be(work.height);
  for (const [slot, value] of values) {
    const before = hadStorage ? work.head.storage(address, slot) : EMPTY;
    const isChanged = !equal(before, value);
    const slotBytes = fromHex(slot);
    if (cleared ? value.length > 0 : isChanged) {
      trie.put(keccak256(slotBytes), value.length === 0 ? EMPTY : encodeRlp(value));
    }
    if (!isChanged) continue;
    kept.set(slot, value);
    work.rows.push([key(PREFIX.slot, addressBytes, slotBytes), value.length === 0 ? null : value]);
    keepBefore(work, key(PREFIX.slotBefore, addressBytes, slotBytes, heightBytes), before);
  }
  if (kept.size > 0) work.slots.set(address, kept);
  if (kept.size === 0 && !(cleared && hadStorage)) return cleared ? EMPTY_TRIE_ROOT : baseRoot;
  const { root, writes } = trie.seal();
  pushNodes(work, writes, key(PREFIX.storageNode, addressBytes));
  work.storageTries.set(address, trie.root);
  work.nodes += trie.nodes;
  return root;
}

/** Drops every storage node of an account and names its non-zero slots. Rare: only a contract made and destroyed in one
 * transaction, or made over left-over storage, loses storage whole (EIP-6780). */
async function clearRows(work: Work, address: Address): Promise<Hash[]> {
  const end = fromHex(next(address));
  const nodes = work.store.scan({ gte: key(PREFIX.storageNode, fromHex(address)), lt: key(PREFIX.storageNode, end) });
  for await (const [rowKey] of nodes) work.rows.push([rowKey, null]);
  const slots: Hash[] = [];
  const rows = work.store.scan({ gte: key(PREFIX.slot, fromHex(address)), lt: key(PREFIX.slot, end) });
  for await (const [rowKey] of rows) slots.push(toHex(rowKey.subarray(21)));
  return slots;
}

/** The address after this one, as the end of a key range. */
function next(address: Address): Hex {
  const value = BigInt(address) + 1n;
  return `0x${value.toString(16).padStart(40, '0').slice(-40)}`;
}

/** Rows that forget the earlier values block `n` recorded. */
export function forgetRows(store: Store, n: number, decode: (bytes: Uint8Array) => readonly Uint8Array[]): Row[] {
  const recorded = store.get(changedKey(n));
  if (recorded === null) return [];
  return [...decode(recorded), changedKey(n)].map((rowKey) => [rowKey, null] as const);
}
