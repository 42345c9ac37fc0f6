// Owns how a simulated authority names evidence: the real identity of consensus/evidence.ts, over names turned into hashes.

import type { Hex } from '../../base/bytes.ts';
import { evidenceId, proposalEvidence, voteEvidence } from '../../consensus/evidence.ts';
import type { Effect } from '../../consensus/effect.ts';
import { type Proposal, type Vote, voteKey } from '../../consensus/message.ts';
import { drawText } from './event-queue.ts';

function hexOf(text: string, words: number): Hex {
  const word = (drawText(text) | 1).toString(16).replace('-', '').padStart(8, '0');
  return `0x${word.repeat(words)}`;
}

const hashOf = (value: string | null): Hex | null => (value === null ? null : hexOf(value, 8));

/** What was done, in words that do not depend on who saw it first, and its identity. */
export type Offence = Readonly<{ signer: string; words: string; id: string }>;

function voteOffence(a: Vote, b: Vote): Offence {
  const real = (vote: Vote): Vote => ({ ...vote, voter: hexOf(vote.voter, 5), value: hashOf(vote.value) });
  const stated = [String(a.value), String(b.value)].sort().join('|');
  const words = `${a.type}|${a.height}|${a.round}|${a.voter}|${stated}`;
  return { signer: a.voter, words, id: evidenceId(voteEvidence(real(a), real(b))) };
}

function proposalOffence(a: Proposal, b: Proposal): Offence {
  const real = (p: Proposal): Proposal => ({ ...p, proposer: hexOf(p.proposer, 5), value: hexOf(p.value, 8) });
  const stated = [`${a.value}/${a.validRound}`, `${b.value}/${b.validRound}`].sort().join('|');
  const words = `proposal|${a.height}|${a.round}|${a.proposer}|${stated}`;
  return { signer: a.proposer, words, id: evidenceId(proposalEvidence(real(a), real(b))) };
}

type EvidenceEffect = Effect & { kind: 'vote-evidence' | 'proposal-evidence' };

const keyOf = ({ votes: [a, b] }: EvidenceEffect & { kind: 'vote-evidence' }): string =>
  `${a.height}|${voteKey(a)}|${voteKey(b)}`;

/** Names the offences of one world. Each order of two votes is hashed once, so that an identity that depends on it shows. */
export function offences(): (effect: EvidenceEffect) => Offence {
  const known = new Map<string, Offence>();
  return (effect) => {
    if (effect.kind === 'proposal-evidence') return proposalOffence(...effect.proposals);
    const key = keyOf(effect);
    let offence = known.get(key);
    if (offence === undefined) {
      offence = voteOffence(...effect.votes);
      known.set(key, offence);
    }
    return offence;
  };
}
