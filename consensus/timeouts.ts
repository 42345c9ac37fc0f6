// Owns how long a step waits. Linear in the round and capped: doubling timers wait hours after a long outage.

import type { TimerKind } from './input.ts';

/** Milliseconds: wait of round 0, growth a round, and the most a step ever waits. */
export type TimeoutParameters = Readonly<{
  proposeMs: number;
  proposeStepMs: number;
  voteMs: number;
  voteStepMs: number;
  capMs: number;
}>;

export const DEFAULT_TIMEOUTS: TimeoutParameters = {
  proposeMs: 1_000,
  proposeStepMs: 500,
  voteMs: 500,
  voteStepMs: 250,
  capMs: 30_000,
};

/** Milliseconds the timer of a step runs in `round`. */
export function timeoutMs(parameters: TimeoutParameters, timer: TimerKind, round: number): number {
  const { proposeMs, proposeStepMs, voteMs, voteStepMs, capMs } = parameters;
  const ms = timer === 'propose' ? proposeMs + proposeStepMs * round : voteMs + voteStepMs * round;
  return Math.min(ms, capMs);
}
