// Owns the window in which a fresh proposal's timestamp counts as timely (proposer-based timestamps of the Tendermint
// family). The clock reading is an argument. A re-proposal is not looked at: its polka vouches for the time.

/** Milliseconds. Block timestamps are whole seconds, so a sound one may be up to a second behind its proposer's clock. */
export type TimeWindow = Readonly<{
  precisionMs: number;
  messageDelayMs: number;
  messageDelayStepMs: number;
  capMs: number;
}>;

export const DEFAULT_TIME_WINDOW: TimeWindow = {
  precisionMs: 500,
  messageDelayMs: 2_000,
  messageDelayStepMs: 1_000,
  capMs: 60_000,
};

const GRANULARITY_MS = 1_000;

/**
 * True when a block stamped `timestamp` (seconds), received at `nowMs` in `round`, is neither from the future nor stale.
 * The delay allowed grows with the round, so that a slow network ends up with a round in which it is timely.
 */
export function isTimely(timestamp: number, nowMs: number, round: number, window: TimeWindow): boolean {
  const stampMs = timestamp * 1_000;
  const delayMs = Math.min(window.messageDelayMs + window.messageDelayStepMs * round, window.capMs);
  return nowMs >= stampMs - window.precisionMs && nowMs <= stampMs + GRANULARITY_MS + delayMs + window.precisionMs;
}

/** Timestamp in seconds a proposer gives a block: its clock, but above the parent's. */
export function proposalTimestamp(parentTimestamp: number, nowMs: number): number {
  return Math.max(parentTimestamp + 1, Math.floor(nowMs / 1_000));
}
