// Owns a simulated authority's storage made of the real parts: node/'s sign guard and write-ahead log, on a disk that fails.

import { utf8 } from '../../base/bytes.ts';
import { keccak256 } from '../../base/hash.ts';
import type { Event } from '../../consensus/input.ts';
import { type ConsensusLog, openConsensusLog } from '../../node/consensus-log.ts';
import { type SignGuard, type SignPlace, comparePlaces, openSignGuard } from '../../node/sign-guard.ts';
import { type FailingDisk, failingDisk } from './failing-disk.ts';
import { draw } from './event-queue.ts';
import { hold } from './invariants.ts';
import type { Store } from './store.ts';
import { NO_SIGNATURE } from './world-parts.ts';

/** `full`: space runs out now and then; `rot`: bits flip at crashes; `crash`: power cuts only. */
export type DiskTrouble = 'crash' | 'full' | 'rot';

const DOMAIN_ID = keccak256(utf8('simulated'));
/** Small, so that the file is written anew many times. */
const COMPACT_RECORDS = 24;

/** `short`: openings of a log that had lost inputs a signature rests on. */
export type DiskTally = { full: number; rotten: number; refused: number; short: number };

const encode = (event: Event): string =>
  JSON.stringify(event, (key, value: unknown) => (key === 'signature' ? undefined : value));

function decode(text: string): Event {
  const event = JSON.parse(text) as Event;
  if (event.kind === 'vote') return { ...event, vote: { ...event.vote, signature: NO_SIGNATURE } };
  if (event.kind === 'proposal') return { ...event, proposal: { ...event.proposal, signature: NO_SIGNATURE } };
  if (event.kind !== 'certificate') return event;
  return { ...event, votes: event.votes.map((vote) => ({ ...vote, signature: NO_SIGNATURE })) };
}

export function diskStore(seed: number, trouble: DiskTrouble, tally: DiskTally): Store {
  const failing: FailingDisk = failingDisk();
  const { disk } = failing;
  let guard: SignGuard | null = null;
  let log: ConsensusLog | null = null;
  let votesFrom = 0;
  let signed: SignPlace | null = null;
  let opens = 0;
  /** What was appended for the height in progress, and how much of it the last signature rests on. */
  let written: string[] = [];
  let needed = 0;
  let isShort = false;

  function open(height: number): readonly Event[] {
    if (trouble === 'full') {
      failing.free();
      failing.fillAfter(20 + (draw(seed, 21, ++opens) % 120));
    }
    const opened = openSignGuard({
      path: '/n/sign',
      domainId: DOMAIN_ID,
      mayCreate: signed === null,
      compactRecords: COMPACT_RECORDS,
      disk,
    });
    guard = opened.ok ? opened.value : null;
    if (opened.ok) {
      const last = opened.value.last();
      const isKept = signed === null || (last !== null && comparePlaces(last, signed) >= 0);
      hold(isKept, `I12: the sign state forgot height ${signed?.height}`);
    } else {
      tally.refused++;
      hold(trouble === 'rot' || opened.code === 'sign-guard/storage', `I12: ${opened.message}`);
    }
    const journal = openConsensusLog('/n/wal', disk);
    if (!journal.ok) throw new Error(journal.message);
    log = journal.value.log;
    if (journal.value.isDamaged) {
      hold(trouble === 'rot', 'I12: a crash is taken for damage');
      votesFrom = Math.max(votesFrom, log.height() + 1, height + 1);
    }
    const isThis = log.height() === height;
    const entries = isThis ? journal.value.entries : [];
    const texts = entries.map((entry, index) => {
      const text = entry.kind === 'message' ? Buffer.from(entry.bytes).toString('utf8') : '';
      hold(text === written[index], 'I12: the log gives back what was written');
      return text;
    });
    if (!isThis) reset(height);
    isShort = signed?.height === height && texts.length < needed;
    tally.short += isShort ? 1 : 0;
    written = texts;
    return texts.map(decode);
  }

  function reset(height: number): void {
    written = [];
    isShort = false;
    log?.reset(height);
  }

  return {
    begin(height) {
      if (log === null) open(height);
      else if (log.height() !== height) reset(height);
    },
    append(event) {
      const text = encode(event);
      written.push(text);
      log?.append({ kind: 'message', bytes: utf8(text), validity: 'valid' });
    },
    sync() {
      log?.sync();
    },
    record([height, round, step], what) {
      if (guard === null) return false;
      hold(!isShort, `I12: ${height}/${round}/${step} is signed on a log that has lost its end in silence`);
      const place = { height, round, step };
      const result = guard.sign(place, keccak256(utf8(what)), () => NO_SIGNATURE);
      const isLater = signed === null || comparePlaces(place, signed) > 0;
      if (result.ok && isLater) {
        signed = place;
        needed = written.length; // of this height, since it is the last that was signed in
      } else if (!result.ok && result.code === 'sign-guard/storage') throw new Error(result.message);
      return result.ok;
    },
    crash(chance) {
      tally.full += failing.isFull() ? 1 : 0;
      failing.crash(chance);
      guard = null;
      log = null;
      if (trouble !== 'rot') return;
      failing.rot(chance);
      tally.rotten++;
    },
    reopen: open,
    lastSigned() {
      const last = guard?.last() ?? null;
      return last === null ? null : [last.height, last.round, last.step];
    },
    spoil(height) {
      hold(trouble === 'rot', 'I12: a crash is taken for damage');
      votesFrom = Math.max(votesFrom, height + 1);
      log?.spoil();
    },
    mayVote: (height) => guard !== null && height >= votesFrom,
  };
}
