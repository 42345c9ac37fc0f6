// Owns what an authority remembers of the audits of the newest rounds: what was committed, revealed, opened and disputed. It is
// folded from events, and read back from the chain for a round that passed before this node started.

import type { Hex } from '../base/bytes.ts';
import { type Result, success } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import type { Commitment, RoundRecord, VerdictEntry, ViewCall } from '../chain/system/api.ts';
import type { SystemEvent } from '../chain/system/events.ts';
import { readRound } from '../chain/system/views.ts';
import { ROUNDS_NOTED } from './limits.ts';
import { roundEvents } from './system-events.ts';

export type Reveal = Readonly<{ entries: readonly VerdictEntry[]; proof: Uint8Array }>;

export type RoundNotes = Readonly<{
  commitments: Map<Hex, Commitment>;
  /** By authority. */
  reveals: Map<Hex, Reveal>;
  /** Steps of opened canaries by trainer. */
  canaries: Map<Hex, number>;
  disputes: Readonly<{ trainer: Hex; step: number }>[];
}>;

export type RoundNotebook = Readonly<{
  note(events: readonly SystemEvent[]): void;
  /** Notes of a round as far as events were seen; empty ones when none were. */
  of(round: number): RoundNotes;
  /** A round with all its notes, from the chain; the call behind it reverts for rounds no longer kept. */
  load(view: ViewCall, round: number): Promise<Result<Readonly<{ record: RoundRecord; notes: RoundNotes }>>>;
}>;

const emptyNotes = (): RoundNotes => ({
  commitments: new Map(),
  reveals: new Map(),
  canaries: new Map(),
  disputes: [],
});

function noteIn(notes: RoundNotes, event: SystemEvent): void {
  switch (event.kind) {
    case 'committed':
      notes.commitments.set(event.trainer, event.commitment);
      break;
    case 'verdictsRevealed':
      notes.reveals.set(event.authority, { entries: event.entries, proof: event.proof });
      break;
    case 'canaryOpened':
      notes.canaries.set(event.trainer, event.step);
      break;
    case 'disputeOpened':
      notes.disputes.push({ trainer: event.trainer, step: event.step });
      break;
    default:
      break;
  }
}

export function createRoundNotebook(chain: Chain): RoundNotebook {
  const rounds = new Map<number, RoundNotes>();

  function of(round: number): RoundNotes {
    let notes = rounds.get(round);
    if (notes === undefined) {
      notes = emptyNotes();
      rounds.set(round, notes);
      for (const oldest of rounds.keys()) {
        if (rounds.size <= ROUNDS_NOTED) break;
        rounds.delete(oldest);
      }
    }
    return notes;
  }

  return {
    of,
    note(events) {
      for (const event of events) if ('round' in event) noteIn(of(event.round), event);
    },
    async load(view, round) {
      const record = await readRound(view, round);
      const events = await roundEvents(chain, record.frozenBlock, chain.head().header.number);
      if (!events.ok) return events;
      const notes = emptyNotes();
      for (const event of events.value) if ('round' in event && event.round === round) noteIn(notes, event);
      return success({ record, notes });
    },
  };
}
