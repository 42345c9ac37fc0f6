// Owns the statement that ties a node key to an account's key: its digest and its check. Signing is the key holder's.

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { type Hex, concat, fromHex, u64be } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { taggedHash } from '../base/hash.ts';
import { recoverSigner } from '../base/keys.ts';
import type { NodeBinding } from './api.ts';

/** DER prefix of a PKCS #8 Ed25519 private key (RFC 8410 section 7). */
const PKCS8_ED25519 = fromHex('0x302e020100300506032b657004220420');

/** Raw Ed25519 public key (32 bytes) of a node's identity seed (32 bytes). */
export function nodePublicKey(identityKeyBytes: Uint8Array): Uint8Array {
  check(identityKeyBytes.length === 32, 'nodePublicKey: the seed is 32 bytes');
  const key = Buffer.from(concat(PKCS8_ED25519, identityKeyBytes));
  const spki = createPublicKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' })).export({
    format: 'der',
    type: 'spki',
  });
  return new Uint8Array(spki.subarray(-32));
}

/** The 32-byte digest an account's holder signs (base/keys.ts signDigest) so that its node is known as its own. */
export function nodeBindingDigest(chainId: number, genesisHash: Uint8Array, nodeKey: Uint8Array): Uint8Array {
  check(genesisHash.length === 32 && nodeKey.length === 32, 'nodeBindingDigest: two values of 32 bytes');
  return taggedHash('node-binding', u64be(chainId), genesisHash, nodeKey);
}

/** True when the binding's signature was made by its address for this node key on this chain. */
export function verifyBinding(
  binding: NodeBinding,
  chainId: number,
  genesisHash: Uint8Array,
  nodeKey: Uint8Array,
): boolean {
  const signer: Hex | null = recoverSigner(nodeBindingDigest(chainId, genesisHash, nodeKey), binding.signature);
  return signer !== null && signer === binding.address.toLowerCase();
}
