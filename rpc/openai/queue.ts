// Owns who may generate when: a bounded number at once, a bounded line behind them, 429 for the rest.

import { FaultError, fault } from '../../base/fault.ts';
import type { Clock } from '../ports.ts';

type Release = () => void;

export type GenerationQueue = Readonly<{
  /**
   * Takes a place at once, or throws a 429 refusal when the line is full. The promise resolves when the turn has come, and
   * rejects when `signal` is aborted before.
   */
  enter(signal: AbortSignal): Promise<Release>;
  load(): Readonly<{ running: number; waiting: number }>;
}>;

/** Bounds of Retry-After, in seconds. */
const RETRY_LEAST = 1;
const RETRY_MOST = 60;

export function generationQueue(running: number, waiting: number, clock: Clock): GenerationQueue {
  const line: (() => void)[] = [];
  let busy = 0;
  /** Duration of the newest generation: what the next one will probably take. */
  let lastMs = 1_000;

  function start(): Release {
    busy++;
    const startedMs = clock.monotonicMs();
    let released = false;
    return () => {
      if (released) return;
      released = true;
      busy--;
      lastMs = clock.monotonicMs() - startedMs;
      line.shift()?.();
    };
  }

  return {
    enter(signal) {
      if (busy < running) return Promise.resolve(start());
      if (line.length >= waiting) throw full(Math.ceil((lastMs * (line.length + 1)) / running / 1_000));
      if (signal.aborted) throw left();
      return new Promise((resolve, reject) => {
        const turn = (): void => {
          signal.removeEventListener('abort', leave);
          resolve(start());
        };
        const leave = (): void => {
          const at = line.indexOf(turn);
          if (at >= 0) line.splice(at, 1);
          reject(left());
        };
        signal.addEventListener('abort', leave, { once: true });
        line.push(turn);
      });
    },
    load: () => ({ running: busy, waiting: line.length }),
  };
}

function left(): FaultError {
  return new FaultError(fault('aborted', 'the client left'));
}

function full(seconds: number): FaultError {
  const retryAfter = Math.min(RETRY_MOST, Math.max(RETRY_LEAST, seconds));
  const message = `all generation slots are busy and the line is full; try again in ${retryAfter} s`;
  return new FaultError(fault('rate_limit_exceeded', message, { status: 429, retryAfter }));
}
