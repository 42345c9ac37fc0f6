// Owns the way from token bytes to text that may be shown: UTF-8 is never split, and no part of a stop string leaks.

import type { GenerateEvent } from '../ports.ts';

export type TokenEvent = Extract<GenerateEvent, { kind: 'token' }>;

/** Text that is final, and the tokens it is made of. */
export type Piece = Readonly<{ text: string; tokens: readonly TokenEvent[] }>;

export type TextStream = Readonly<{
  /** Text that became final with this token; `stopped` when a stop string has been met: nothing may follow. */
  push(token: TokenEvent): Piece & Readonly<{ stopped: boolean }>;
  /** What was held back, once no token follows. */
  flush(): Piece;
}>;

type Placed = Readonly<{ token: TokenEvent; start: number; end: number }>;

/** One choice's text. Offsets count UTF-16 units from its beginning. */
export function textStream(stops: readonly string[]): TextStream {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let held = '';
  let shown = 0;
  let waiting: Placed[] = [];

  /** Makes the first `length` units of the held text final. */
  function release(length: number): Piece {
    const text = held.slice(0, length);
    held = held.slice(length);
    shown += length;
    const ready = waiting.filter(({ end }) => end <= shown);
    waiting = waiting.filter(({ end }) => end > shown);
    return { text, tokens: ready.map(({ token }) => token) };
  }

  /** Makes `length` units final and drops the rest, with the tokens that begin in it. */
  function finish(length: number): Piece {
    const text = held.slice(0, length);
    shown += length;
    const tokens = waiting.filter(({ start }) => start < shown).map(({ token }) => token);
    held = '';
    waiting = [];
    return { text, tokens };
  }

  return {
    push(token) {
      const start = shown + held.length;
      held += decoder.decode(token.bytes, { stream: true });
      waiting.push({ token, start, end: shown + held.length });
      const at = firstStop(held, stops);
      if (at >= 0) return { ...finish(at), stopped: true };
      return { ...release(safeLength(held, stops)), stopped: false };
    },
    flush() {
      held += decoder.decode();
      return finish(held.length);
    },
  };
}

/** Where the earliest stop string begins, or -1. */
function firstStop(text: string, stops: readonly string[]): number {
  let first = -1;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (first < 0 || at < first)) first = at;
  }
  return first;
}

/** Length of the part of `text` in which no stop string can have begun. */
function safeLength(text: string, stops: readonly string[]): number {
  let safe = text.length;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
      if (!text.endsWith(stop.slice(0, length))) continue;
      safe = Math.min(safe, text.length - length);
      break;
    }
  }
  return safe;
}
