// Owns what a simulated authority keeps over a crash: the log of its inputs and the places it has signed. This one is a model
// in memory; disk-store.ts puts the real files of node/ on a disk that fails.

import type { Event } from '../../consensus/input.ts';
import type { HeightState } from '../../consensus/step.ts';
import type { Core, Node } from './world-parts.ts';

export type Place = readonly [height: number, round: number, step: 1 | 2 | 3];

export type Store = Readonly<{
  /** Forgets the log: a height begins. */
  begin(height: number): void;
  append(event: Event): void;
  sync(): void;
  /** Makes a statement durable; false when an earlier one forbids it. Throws where the storage fails. */
  record(place: Place, what: string): boolean;
  /** What was not synced is lost, wholly or in part; `chance` says how much. */
  crash(chance: number): void;
  /** The log of `height` after a restart. */
  reopen(height: number): readonly Event[];
  /** Place of the last signature on record, where the log may have lost what it rests on. */
  lastSigned(): Place | null;
  /** What is known of this height is not all: no votes in it. */
  spoil(height: number): void;
  /** False while the past of this key is not known. */
  mayVote(height: number): boolean;
}>;

export function memoryStore(): Store {
  let log: Event[] = [];
  let logged = 0;
  let synced = 0;
  let last: Place = [0, 0, 1];
  let said = '';
  function begin(height: number): void {
    log = [];
    logged = height;
    synced = 0;
  }

  return {
    begin,
    append(event) {
      log.push(event);
    },
    sync() {
      synced = log.length;
    },
    record(place, what) {
      const order = place[0] - last[0] || place[1] - last[1] || place[2] - last[2];
      if (order < 0 || (order === 0 && said !== what)) return false;
      last = place;
      said = what;
      return true;
    },
    crash(chance) {
      log.length -= chance % (log.length - synced + 1);
    },
    reopen(height) {
      if (height !== logged) begin(height);
      synced = log.length;
      return log;
    },
    lastSigned: () => null,
    spoil: () => {},
    mayVote: () => true,
  };
}

/** The log of the height in progress; where it does not lead to the last signature the height is followed only. */
export function reopened({ store, chain }: Node, fresh: HeightState, core: Core): readonly Event[] {
  const height = chain.length + 1;
  const events = store.reopen(height);
  const signed = store.lastSigned();
  if (signed?.[0] === height && !core.leadsTo(fresh, events, signed[1], signed[2])) store.spoil(height);
  return events;
}
