// Owns reading a height back from its write-ahead log: entries become events again, and of the effects they had, only those
// remain that were not carried out before the crash.

import { check } from '../base/check.ts';
import { votesOf } from '../consensus/certificate.ts';
import { type WireMessage, decodeMessage } from '../consensus/codec.ts';
import type { Effect } from '../consensus/effect.ts';
import type { Event } from '../consensus/input.ts';
import type { HeightState } from '../consensus/step.ts';
import type { ValidatorSet } from '../consensus/validator-set.ts';
import type { LogEntry } from './consensus-log.ts';

export type Replayed = Readonly<{ event: Event; block: Readonly<{ value: string; wire: Uint8Array }> | null }>;

function messageOf(bytes: Uint8Array): WireMessage {
  const decoded = decodeMessage(bytes);
  check(decoded.ok, 'consensus log: its messages decode');
  return decoded.value;
}

/** Events of the log, in order; with a proposal or built value comes its block. */
export function replayEvents(entries: readonly LogEntry[], validators: ValidatorSet): Replayed[] {
  return entries.map((entry): Replayed => {
    if (entry.kind === 'timeout') return { event: entry, block: null };
    if (entry.kind === 'built') {
      const { round, value, block } = entry;
      return { event: { kind: 'built', round, value }, block: { value, wire: block } };
    }
    const message = messageOf(entry.bytes);
    if (message.kind === 'vote') return { event: { kind: 'vote', vote: message.vote }, block: null };
    if (message.kind === 'polka') {
      return {
        event: { kind: 'certificate', votes: votesOf(message.certificate, 'prevote', validators) },
        block: null,
      };
    }
    const { proposal, block } = message;
    return {
      event: { kind: 'proposal', proposal, validity: entry.validity },
      block: { value: proposal.value, wire: block },
    };
  });
}

/** Effects of a replay that are still to be performed. */
export function pendingAfterReplay(
  effects: readonly Effect[],
  entries: readonly LogEntry[],
  core: HeightState,
): Effect[] {
  const { self, rules } = core.driver;
  const done = new Set<string>();
  for (const entry of entries) {
    if (entry.kind === 'timeout') done.add(`start-timer|${entry.timer}|${entry.round}`);
    else if (entry.kind === 'built') done.add(`build|${entry.round}`);
    else {
      const message = messageOf(entry.bytes);
      if (message.kind === 'vote' && message.vote.voter === self)
        done.add(`sign-ballot|${message.vote.type}|${message.vote.round}`);
      if (message.kind === 'proposal' && message.proposal.proposer === self)
        done.add(`sign-offer|${message.proposal.round}`);
    }
  }
  return effects.filter((effect) => {
    switch (effect.kind) {
      case 'build':
        return effect.round === rules.round && rules.step === 'propose' && !done.has(`build|${effect.round}`);
      case 'sign-ballot':
        return !done.has(`sign-ballot|${effect.ballot.type}|${effect.ballot.round}`);
      case 'sign-offer':
        return !done.has(`sign-offer|${effect.offer.round}`);
      case 'start-timer':
        return effect.round === rules.round && !done.has(`start-timer|${effect.timer}|${effect.round}`);
      default:
        return true;
    }
  });
}
