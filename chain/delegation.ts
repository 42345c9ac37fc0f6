// Owns the authorizations of a message that is only tried (EIP-7702): a call or an estimate sees the code its signers would
// have delegated to. Transactions of blocks with a list run in the library.

import { concat, fromHex, type Hex, u256be } from '../base/bytes.ts';
import { recoverSigner } from '../base/keys.ts';
import { EMPTY_ACCOUNT } from './account.ts';
import type { Address, Authorization } from './api.ts';
import { evmAddress, type Machine } from './evm.ts';
import { keccak256 } from './keccak.ts';
import { encodeRlp, minimal } from './rlp.ts';

const MAGIC = Uint8Array.of(0x05);
const DELEGATION = Uint8Array.of(0xef, 0x01, 0x00);
const NOBODY: Hex = `0x${'00'.repeat(20)}`;
/** What an authority that exists costs less than the 25,000 each entry is charged for (PER_EMPTY_ACCOUNT_COST less PER_AUTH_BASE_COST). */
const KNOWN_AUTHORITY = 12_500n;
const MAX_NONCE = 2n ** 64n - 1n;

/** Who signed, or null for a signature that is nobody's. */
function authorityOf({ chainId, address, nonce, yParity, r, s }: Authorization): Address | null {
  const digest = keccak256(concat(MAGIC, encodeRlp([minimal(chainId), fromHex(address), minimal(nonce)])));
  return recoverSigner(digest, concat(u256be(r), u256be(s), Uint8Array.of(yParity)));
}

/** Sets the delegations in order; entries that do not apply are passed over. Returns the gas they earn back. */
export async function delegate(machine: Machine, from: Address, list: readonly Authorization[]): Promise<bigint> {
  const { journal, evm } = machine;
  let refund = 0n;
  for (const authorization of list) {
    const { chainId, address, nonce } = authorization;
    if ((chainId !== 0n && chainId !== machine.chainId) || nonce >= MAX_NONCE) continue;
    const authority = authorityOf(authorization);
    if (authority === null) continue;
    evm.journal.addAlwaysWarmAddress(authority);
    const known = await journal.account(authority);
    const account = known ?? EMPTY_ACCOUNT;
    const code = await journal.codeOf(account);
    if (code.length > 0 && DELEGATION.some((byte, i) => code[i] !== byte)) continue;
    // The sender's own nonce rises before its list is read, but here only when the message starts.
    if (account.nonce + (authority === from ? 1n : 0n) !== nonce) continue;
    if (known !== null) refund += KNOWN_AUTHORITY;
    const target = address === NOBODY ? new Uint8Array(0) : concat(DELEGATION, fromHex(address));
    await journal.putCode(evmAddress(authority), target);
    journal.setAccount(authority, {
      ...((await journal.account(authority)) ?? EMPTY_ACCOUNT),
      nonce: account.nonce + 1n,
    });
  }
  return refund;
}
