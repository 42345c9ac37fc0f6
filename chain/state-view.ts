// Owns the view of one block's post-state that the chain hands out: hex and numbers over a state source.

import { toHex } from '../base/bytes.ts';
import { type AccountRecord, EMPTY_TRIE_ROOT } from './account.ts';
import type { Address, StateView } from './api.ts';
import type { StateSource } from './state-journal.ts';

export function stateView(number: number, source: StateSource, isHead: () => boolean): StateView {
  const account = async (address: Address): Promise<AccountRecord | null> => source.account(address);
  return {
    blockNumber: number,
    async account(address) {
      const record = await account(address);
      if (record === null) return null;
      const storageRoot = toHex(isHead() ? record.storageRoot : EMPTY_TRIE_ROOT);
      return { balance: record.balance, nonce: Number(record.nonce), codeHash: toHex(record.codeHash), storageRoot };
    },
    balance: async (address) => (await account(address))?.balance ?? 0n,
    nonce: async (address) => Number((await account(address))?.nonce ?? 0n),
    async code(address) {
      const record = await account(address);
      return record === null ? new Uint8Array(0) : source.code(record.codeHash);
    },
    async storage(address, slot) {
      const value = await source.storage(address, slot);
      return `0x${Buffer.from(value).toString('hex').padStart(64, '0')}`;
    },
  };
}
