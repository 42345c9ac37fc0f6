// Owns the full check of a database that is at rest: every block against its roots, the whole state against its tries.
// Opening (open.ts) checks the chain of headers and the newest blocks only.

import { equal, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { accountRlp, EMPTY_TRIE_ROOT, unpackAccount } from './account.ts';
import type { Chain, Hash } from './api.ts';
import { withdrawalRlp } from './block-codec.ts';
import { keccak256 } from './keccak.ts';
import { receiptRlp } from './receipt.ts';
import { key, PREFIX } from './records.ts';
import { encodeRlp } from './rlp.ts';
import { openStore, type Store } from './store.ts';
import { listRoot, Trie } from './trie.ts';
import { fromHex } from '../base/bytes.ts';

export type Audit = Readonly<{ blocks: number; rows: number; accounts: number; slots: number; stateRoot: Hash }>;

const ADDRESS_BYTES = 20;

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
    const state = await compareState(store.value, expected);
    return state.ok ? success({ ...state.value, rows }) : state;
  } catch (error) {
    if (store.value.failure === null) throw error;
    return fault('databaseCorrupt', store.value.failure.message);
  } finally {
    await store.value.close();
  }
}

/** Every row there is: the scan refuses one whose checksum, which covers its key, does not match. */
async function countRows(store: Store): Promise<number> {
  let rows = 0;
  for await (const _ of store.scan({ gte: new Uint8Array(1) })) rows++;
  return rows;
}

async function compareState(store: Store, expected: Hash): Promise<Result<Omit<Audit, 'blocks' | 'rows'>>> {
  const roots = await storageRoots(store);
  const trie = new Trie(null, () => null);
  let accounts = 0;
  for await (const [row, value] of store.scan({ gte: key(PREFIX.account), lt: key(PREFIX.account + 1) })) {
    const address = row.subarray(1);
    const account = present(unpackAccount(value), 'account');
    const root = roots.roots.get(toHex(address)) ?? EMPTY_TRIE_ROOT;
    roots.roots.delete(toHex(address));
    if (!equal(root, account.storageRoot))
      return fault('databaseCorrupt', `account ${toHex(address)}: its storage does not match its root`);
    trie.put(keccak256(address), accountRlp(account));
    accounts++;
  }
  for (const address of roots.roots.keys())
    return fault('databaseCorrupt', `storage of ${address} belongs to no account`);
  const stateRoot = toHex(trie.seal().root);
  if (stateRoot !== expected)
    return fault('databaseCorrupt', `flat state has the root ${stateRoot}, the head ${expected}`);
  return success({ accounts, slots: roots.slots, stateRoot });
}

async function storageRoots(store: Store): Promise<Readonly<{ roots: Map<string, Uint8Array>; slots: number }>> {
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
  for (const [address, trie] of tries) roots.set(address, trie.seal().root);
  return { roots, slots };
}
