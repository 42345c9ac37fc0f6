// Owns the full check of a database that is at rest: every block against its roots, the whole state against its tries.
// Opening (open.ts) checks the chain of headers and the newest blocks only.

import { equal, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { accountRlp, EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, unpackAccount } from './account.ts';
import type { Address, Chain, Hash, OpenOptions } from './api.ts';
import { withdrawalRlp } from './block-codec.ts';
import { keccak256 } from './keccak.ts';
import { openChain } from './chain.ts';
import { blockRows, type HeadMark, Ledger, readHead } from './ledger.ts';
import { checkLevelFiles } from './level-files.ts';
import { DEFAULT_LIMITS } from './limits.ts';
import { receiptRlp, unpackOutcomes } from './receipt.ts';
import { accountNodeKey, changedKey, codeKey, key, PREFIX, receiptsKey, storageNodeKey } from './records.ts';
import { decodeRlp, encodeRlp } from './rlp.ts';
import { openStore, type Store } from './store.ts';
import { listRoot, pathBytes, Trie, type TrieWrites } from './trie.ts';
import { fromHex } from '../base/bytes.ts';

export type Audit = Readonly<{ blocks: number; rows: number; accounts: number; slots: number; stateRoot: Hash }>;

const ADDRESS_BYTES = 20;
const EMPTY_CODE = new Uint8Array(0);

/** Everything there is to check of a database that no process has open: its files, its blocks, its state. What is damaged
 * is named. Errors: those of opening, databaseCorrupt. */
export async function auditDatabase(
  options: OpenOptions,
  progress: (height: number) => void = () => {},
): Promise<Result<Audit>> {
  const files = await checkLevelFiles(options.directory);
  if (!files.ok) return files;
  const opened = await openChain({ ...options, create: false });
  if (!opened.ok) return opened;
  const { stateRoot } = opened.value.head().header;
  const blocks = await auditBlocks(opened.value, progress).finally(() => opened.value.close());
  if (!blocks.ok) return blocks;
  const state = await auditState(options.directory, stateRoot);
  return state.ok ? success({ ...state.value, blocks: blocks.value }) : state;
}

/** Recomputes the roots of every block of an open chain. `progress` hears each thousandth height. */
export async function auditBlocks(
  chain: Chain,
  progress: (height: number) => void = () => {},
): Promise<Result<number>> {
  const head = chain.head().header.number;
  for (let number = 0; number <= head; number++) {
    if (number % 1_000 === 0) progress(number);
    const block = present(await chain.blockByNumber(number), 'block');
    const receipts = present(await chain.receipts(number), 'receipts');
    const encoded = receipts.map((one) =>
      receiptRlp(one.type, one.status, one.cumulativeGasUsed, fromHex(one.logsBloom), one.logs),
    );
    const roots = [
      ['transactionsRoot', block.transactions.map((tx) => tx.raw)],
      ['receiptsRoot', encoded],
      ['withdrawalsRoot', block.withdrawals.map(withdrawalRlp)],
    ] as const;
    for (const [field, items] of roots) {
      if (toHex(listRoot(items)) !== block.header[field])
        return fault('databaseCorrupt', `block ${number}: ${field} does not match`, { number });
    }
  }
  return success(head + 1);
}

/** Reads every row of a closed database against its checksum, rebuilds every trie from the flat state and compares the
 * roots with what is stored. A damaged row is named. */
export async function auditState(directory: string, expected: Hash): Promise<Result<Omit<Audit, 'blocks'>>> {
  const store = await openStore(directory, false, () => {});
  if (!store.ok) return store;
  try {
    const rows = await countRows(store.value);
    const lost = lostRow(store.value);
    if (lost !== null) return fault('databaseCorrupt', `database: ${lost}`);
    const state = await compareState(store.value, expected);
    return state.ok ? success({ ...state.value, rows }) : state;
  } catch (error) {
    if (store.value.failure === null) throw error;
    return fault('databaseCorrupt', store.value.failure.message);
  } finally {
    await store.value.close();
  }
}

/** Every row there is: the scan refuses one whose checksum, which covers its key, does not match. Each is looked up by its
 * key too, since look-ups go through filters and indexes that scans do not need. */
async function countRows(store: Store): Promise<number> {
  let rows = 0;
  for await (const [rowKey, value] of store.scan({ gte: new Uint8Array(1) })) {
    const found = store.get(rowKey);
    if (found === null || !equal(found, value))
      throw store.fail(new Error(`database: row ${toHex(rowKey)} is there, but not found by its key`));
    rows++;
  }
  return rows;
}

/** A row that a block must have left and that is not there as it was written, or null: look-ups, address history, earlier
 * values. What roots cover is compared elsewhere. */
function lostRow(store: Store): string | null {
  const mark = present(readHead(store), 'head record');
  const ledger = new Ledger(store, DEFAULT_LIMITS, () => mark.number);
  for (let number = 0; number <= mark.number; number++) {
    const stored = store.get(receiptsKey(number));
    if (stored === null) return `block ${number} has no receipts`;
    const { outcomes, systemLogs } = unpackOutcomes(stored);
    const [block, wire, certificate] = [ledger.block(number), ledger.wire(number), ledger.certificate(number)];
    const rows = blockRows(
      present(block, 'block'),
      present(wire, 'wire bytes'),
      present(certificate, 'certificate'),
      outcomes,
      systemLogs,
    );
    for (const [rowKey, value] of rows) {
      const found = store.get(rowKey);
      if (found === null || value === null || !equal(found, value))
        return `row ${toHex(rowKey)} of block ${number} is lost`;
    }
  }
  return lostHistory(store, mark);
}

function lostHistory(store: Store, mark: HeadMark): string | null {
  for (let number = mark.oldestState + 1; number <= mark.number; number++) {
    const recorded = store.get(changedKey(number));
    if (recorded === null) return `the list of what block ${number} changed is lost`;
    for (const rowKey of decodeRlp(recorded) as Uint8Array[]) {
      if (store.get(rowKey) === null) return `row ${toHex(rowKey)}, a value before block ${number}, is lost`;
    }
  }
  return null;
}

/** A node of a rebuilt trie that is not stored as it should be, or null. */
function lostNode(store: Store, writes: TrieWrites, keyOf: (path: Uint8Array) => Uint8Array): string | null {
  for (const [path, rlp] of writes) {
    const rowKey = keyOf(pathBytes(path));
    const found = store.get(rowKey);
    if (rlp !== null && (found === null || !equal(found, rlp))) return `row ${toHex(rowKey)} is lost`;
  }
  return null;
}

async function compareState(store: Store, expected: Hash): Promise<Result<Omit<Audit, 'blocks' | 'rows'>>> {
  const roots = await storageRoots(store);
  if (roots.lost !== null) return fault('databaseCorrupt', `database: trie node ${roots.lost}`);
  const trie = new Trie(null, () => null);
  let accounts = 0;
  for await (const [row, value] of store.scan({ gte: key(PREFIX.account), lt: key(PREFIX.account + 1) })) {
    const address = row.subarray(1);
    const account = present(unpackAccount(value), 'account');
    const root = roots.roots.get(toHex(address)) ?? EMPTY_TRIE_ROOT;
    roots.roots.delete(toHex(address));
    if (!equal(root, account.storageRoot))
      return fault('databaseCorrupt', `account ${toHex(address)}: its storage does not match its root`);
    const code = equal(account.codeHash, EMPTY_CODE_HASH) ? EMPTY_CODE : store.get(codeKey(account.codeHash));
    if (code === null || !equal(keccak256(code), account.codeHash))
      return fault('databaseCorrupt', `account ${toHex(address)}: its code is lost`);
    trie.put(keccak256(address), accountRlp(account));
    accounts++;
  }
  for (const address of roots.roots.keys())
    return fault('databaseCorrupt', `storage of ${address} belongs to no account`);
  const sealed = trie.seal();
  const stateRoot = toHex(sealed.root);
  if (stateRoot !== expected)
    return fault('databaseCorrupt', `flat state has the root ${stateRoot}, the head ${expected}`);
  const lost = lostNode(store, sealed.writes, accountNodeKey);
  return lost === null
    ? success({ accounts, slots: roots.slots, stateRoot })
    : fault('databaseCorrupt', `database: trie node ${lost}`);
}

async function storageRoots(
  store: Store,
): Promise<Readonly<{ roots: Map<string, Uint8Array>; slots: number; lost: string | null }>> {
  const tries = new Map<string, Trie>();
  let slots = 0;
  for await (const [row, value] of store.scan({ gte: key(PREFIX.slot), lt: key(PREFIX.slot + 1) })) {
    const address = toHex(row.subarray(1, 1 + ADDRESS_BYTES));
    const trie = tries.get(address) ?? new Trie(null, () => null);
    tries.set(address, trie);
    trie.put(keccak256(row.subarray(1 + ADDRESS_BYTES)), encodeRlp(value));
    slots++;
  }
  const roots = new Map<string, Uint8Array>();
  let lost: string | null = null;
  for (const [address, trie] of tries) {
    const { root, writes } = trie.seal();
    roots.set(address, root);
    lost ??= lostNode(store, writes, (path) => storageNodeKey(address as Address, path));
  }
  return { roots, slots, lost };
}
