// Owns what the proof thread does: senders of transactions, signers of certificates and outputs of beacon proofs, found from
// bytes alone. It refuses nothing and decides nothing.

import { parentPort } from 'node:worker_threads';
import { type Hex, concat, fromHex, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { lowerThreadPriority } from '../base/thread-priority.ts';
import type { Address, Header } from '../chain/api.ts';
import { type BlockBounds, decodeBlock } from '../chain/block-codec.ts';
import { decodeTransaction } from '../chain/transaction.ts';
import { decodeCertificate, recoverSigners } from '../consensus/certificate.ts';
import type { Findings } from '../consensus/findings.ts';
import { verifyBeacon } from '../consensus/mix.ts';
import type { SigningDomain } from '../consensus/sign-bytes.ts';
import type { CertifiedBlock } from './consensus-options.ts';
import { PROOF_NICE } from './limits.ts';
import { decodeBatch } from './transaction-batch.ts';
import { serveCalls } from './worker-channel.ts';

export type SendersTask = Readonly<{ batch: Uint8Array }>;
export type RunTask = Readonly<{
  blocks: readonly CertifiedBlock[];
  bounds: BlockBounds;
  domain: SigningDomain;
  /** Public keys that authors may have, by address. */
  keys: ReadonlyMap<Address, Hex>;
}>;

// What it finds ahead is needed later than what the main thread does now.
lowerThreadPriority(PROOF_NICE);

serveCalls(present(parentPort, 'parent port'), {
  async senders({ batch }: SendersTask): Promise<Uint8Array> {
    const pairs: Uint8Array[] = [];
    for (const raw of decodeBatch(batch) ?? []) {
      const decoded = decodeTransaction(raw);
      if (decoded.ok) pairs.push(fromHex(decoded.value.hash), fromHex(decoded.value.from));
    }
    return concat(...pairs);
  },
  async examine(task: RunTask): Promise<readonly (Findings | null)[]> {
    let parent: Header | null = null;
    return task.blocks.map((certified) => {
      const block = decodeBlock(certified.wire, task.bounds);
      const certificate = decodeCertificate(certified.certificate);
      const before = parent;
      parent = block.ok ? block.value.header : null;
      if (!block.ok || !certificate.ok) return null;
      const { header, transactions, vrfProof } = block.value;
      const publicKey = task.keys.get(header.coinbase);
      const parentMix = before?.mixHash ?? null;
      return {
        signers: recoverSigners(certificate.value, 'precommit', task.domain),
        senders: transactions.map(({ from }) => from),
        beacon: publicKey === undefined || parentMix === null ? null : beacon(header, parentMix, publicKey, vrfProof),
      };
    });

    function beacon(header: Header, parentMix: Hex, publicKey: Hex, proof: Uint8Array): Findings['beacon'] {
      const mix = verifyBeacon(task.domain.chainId, header.number, fromHex(parentMix), fromHex(publicKey), proof);
      return { parentMix, publicKey, mix: mix === null ? null : toHex(mix) };
    }
  },
});
