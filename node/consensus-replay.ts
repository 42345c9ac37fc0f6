// Owns reading a height back from its write-ahead log: entries become the events, and the blocks, they were made of.

import { check } from '../base/check.ts';
import { votesOf } from '../consensus/certificate.ts';
import { type WireMessage, decodeMessage } from '../consensus/codec.ts';
import type { Event } from '../consensus/input.ts';
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
    const event: Event = { kind: 'proposal', proposal, validity: entry.validity };
    return { event, block: { value: proposal.value, wire: block } };
  });
}
