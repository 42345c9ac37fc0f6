// Owns Merkle proofs of accounts and slots at the head (EIP-1186). When they may be taken is chain.ts.

import { fromHex, toBigInt, toHex } from '../base/bytes.ts';
import { EMPTY_ACCOUNT } from './account.ts';
import type { AccountProof, Address, Hash } from './api.ts';
import type { HeadState } from './head-state.ts';
import { keccak256 } from './keccak.ts';

/** Proof of an account and of some of its slots; an absent one is proven absent. */
export function proofAt(state: HeadState, address: Address, slots: readonly Hash[]): AccountProof {
  const account = state.account(address) ?? EMPTY_ACCOUNT;
  const trie = state.storageTrie(address, account.storageRoot);
  return {
    address,
    balance: account.balance,
    nonce: Number(account.nonce),
    codeHash: toHex(account.codeHash),
    storageHash: toHex(account.storageRoot),
    accountProof: state.accountTrie().prove(keccak256(fromHex(address))),
    storageProof: slots.map((slot) => ({
      key: slot,
      value: toBigInt(state.storage(address, slot)),
      proof: trie.prove(keccak256(fromHex(slot))),
    })),
  };
}
