// Owns bringing proof of double signing to the chain: what the consensus saw is sent by one authority at a time, until the
// contract knows it. What counts as proof is consensus/evidence.ts, what it costs is the contract's.

import type { Hex } from '../base/bytes.ts';
import { type Evidence, evidenceId, isEvidenceExpired } from '../consensus/evidence.ts';
import type { ContractCall, ViewCall } from '../chain/system/api.ts';
import { EVIDENCE_GAS, type SignedPlace, readIsProven, submitEvidenceCall } from '../chain/system/evidence.ts';
import type { AuthoritySet } from '../chain/system/api.ts';
import { EVIDENCE_TURN_BLOCKS, OPEN_EVIDENCE } from './limits.ts';
import type { Logger } from './logger.ts';
import type { ProtocolSender } from './protocol-sender.ts';

const KINDS = { proposal: 1, prevote: 2, precommit: 3 } as const;

export type EvidenceAgent = Readonly<{
  /** Takes what the consensus of the height in progress saw. */
  report(evidence: Evidence): void;
  /** Called with the height of each committed block. */
  onHead(height: number): Promise<void>;
}>;

export type EvidenceAgentOptions = Readonly<{
  /** This authority. */
  address: Hex;
  setOf(height: number): Promise<AuthoritySet>;
  view(): ViewCall;
  sender: Pick<ProtocolSender, 'send'>;
  log: Logger;
}>;

export function placeOf({ signer, type, height, round }: Evidence): SignedPlace {
  return { signer: signer as Hex, kind: KINDS[type], height, round };
}

/** The transaction that proves it; `version` is the set that decided the height. */
export function evidenceCall(evidence: Evidence, version: number): ContractCall {
  const [a, b] = evidence.statements;
  const statement = ({ value, validRound, signature }: typeof a) => ({
    blockHash: value as Hex | null,
    validRound,
    signature,
  });
  return submitEvidenceCall(placeOf(evidence), version, [statement(a), statement(b)]);
}

type Pending = Readonly<{ evidence: Evidence; version: number; dueHeight: number }>;

/**
 * Authorities take turns by their place in the set, so that one transaction is sent and not one from each; the accused is
 * left out. What is not on chain when its turn comes is sent, whoever failed before.
 */
export function createEvidenceAgent({ address, setOf, view, sender, log }: EvidenceAgentOptions): EvidenceAgent {
  const pending = new Map<string, Pending>();

  async function take(evidence: Evidence): Promise<void> {
    const { version, members } = await setOf(evidence.height);
    const others = members.map((member) => member.address).filter((member) => member !== evidence.signer);
    const index = others.indexOf(address);
    if (index < 0 || pending.size >= OPEN_EVIDENCE) return;
    const turn = (index + evidence.height) % others.length;
    const dueHeight = evidence.height + turn * EVIDENCE_TURN_BLOCKS;
    pending.set(evidenceId(evidence), { evidence, version, dueHeight });
  }

  return {
    report(evidence) {
      take(evidence).catch((error: unknown) => log.error('evidence not taken', { reason: String(error) }));
    },
    async onHead(height) {
      for (const [id, { evidence, version, dueHeight }] of [...pending]) {
        if (isEvidenceExpired(height - evidence.height) || (await readIsProven(view(), placeOf(evidence)))) {
          pending.delete(id);
        } else if (height >= dueHeight) {
          sender.send(`evidence ${id}`, evidenceCall(evidence, version), EVIDENCE_GAS);
        }
      }
    },
  };
}
