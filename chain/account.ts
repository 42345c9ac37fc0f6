// Owns the account record: what one address holds, and its bytes in the trie and on disk.

import { concat, equal, fromHex, toBigInt } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { EMPTY_ROOT } from './header.ts';
import { keccak256 } from './keccak.ts';
import { encodeRlp, minimal } from './rlp.ts';

/** Immutable: a change makes a new record. Hashes are 32 bytes. */
export type AccountRecord = Readonly<{
  nonce: bigint;
  balance: bigint;
  storageRoot: Uint8Array;
  codeHash: Uint8Array;
}>;

export const EMPTY_CODE_HASH = keccak256(new Uint8Array(0));
export const EMPTY_TRIE_ROOT = fromHex(EMPTY_ROOT);

export const EMPTY_ACCOUNT: AccountRecord = {
  nonce: 0n,
  balance: 0n,
  storageRoot: EMPTY_TRIE_ROOT,
  codeHash: EMPTY_CODE_HASH,
};

/** Value of the account trie (yellow paper, section 4.1). */
export function accountRlp(account: AccountRecord): Uint8Array {
  return encodeRlp([minimal(account.nonce), minimal(account.balance), account.storageRoot, account.codeHash]);
}

/** There, but with nothing in it: EIP-161 lets such an account go when it is touched. */
export function isEmptyAccount(account: AccountRecord | null): boolean {
  if (account === null || account.nonce !== 0n || account.balance !== 0n) return false;
  return equal(account.codeHash, EMPTY_CODE_HASH);
}

export function sameAccount(a: AccountRecord | null, b: AccountRecord | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.nonce === b.nonce &&
    a.balance === b.balance &&
    equal(a.storageRoot, b.storageRoot) &&
    equal(a.codeHash, b.codeHash)
  );
}

const HAS_ROOT = 1;
const HAS_CODE = 2;

/** Compact form on disk: flags, length-prefixed nonce and balance, then the hashes that are not the empty ones. */
export function packAccount(account: AccountRecord): Uint8Array {
  const nonce = minimal(account.nonce);
  const balance = minimal(account.balance);
  const hasRoot = !equal(account.storageRoot, EMPTY_TRIE_ROOT);
  const hasCode = !equal(account.codeHash, EMPTY_CODE_HASH);
  const none = new Uint8Array(0);
  return concat(
    Uint8Array.of((hasRoot ? HAS_ROOT : 0) | (hasCode ? HAS_CODE : 0), nonce.length, balance.length),
    nonce,
    balance,
    hasRoot ? account.storageRoot : none,
    hasCode ? account.codeHash : none,
  );
}

/** Record of packed bytes; the empty string is no account. Records carry a checksum, so a bad form is a bug. */
export function unpackAccount(bytes: Uint8Array): AccountRecord | null {
  if (bytes.length === 0) return null;
  const [flags = 0, nonceLength = 0, balanceLength = 0] = bytes;
  let at = 3;
  const take = (length: number) => {
    at += length;
    return bytes.slice(at - length, at);
  };
  const nonce = toBigInt(take(nonceLength));
  const balance = toBigInt(take(balanceLength));
  const storageRoot = (flags & HAS_ROOT) === 0 ? EMPTY_TRIE_ROOT : take(32);
  const codeHash = (flags & HAS_CODE) === 0 ? EMPTY_CODE_HASH : take(32);
  check(at === bytes.length, 'account record: length');
  return { nonce, balance, storageRoot, codeHash };
}
