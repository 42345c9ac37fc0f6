// Owns whether this node's clock can be trusted: compared with the clocks that authorities tell over their own connections.
// What a wrong clock stops is the consensus driver's business.

import type { Hex } from '../base/bytes.ts';
import type { PeerView } from '../net/api.ts';
import { CLOCK_TOLERANCE_MS } from './limits.ts';
import type { Logger } from './logger.ts';

/**
 * Milliseconds by which the median clock of the authorities is ahead of ours; null when no more of them are connected than
 * can be faulty together. One reading an authority, so that nobody counts twice.
 */
export function clockOffset(peers: readonly PeerView[], authorities: readonly string[]): number | null {
  const readings = new Map<Hex, number>();
  for (const { authority, clockOffsetMs } of peers) {
    if (authority !== null && clockOffsetMs !== null && authorities.includes(authority))
      readings.set(authority, clockOffsetMs);
  }
  const sorted = [...readings.values()].sort((a, b) => a - b);
  if (sorted.length <= Math.floor((authorities.length - 1) / 3)) return null;
  const middle = sorted.length >> 1;
  const high = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? high : (high + (sorted[middle - 1] ?? high)) / 2;
}

/** True while the clock is off by more than the tolerance; says so in the log when that begins and when it ends. */
export function createClockCheck(
  peers: () => readonly PeerView[],
  authorities: () => readonly string[],
  log: Logger,
): () => boolean {
  let wasOff = false;
  return () => {
    const offsetMs = clockOffset(peers(), authorities());
    const isOff = offsetMs !== null && Math.abs(offsetMs) > CLOCK_TOLERANCE_MS;
    if (isOff !== wasOff) {
      const seconds = Math.round((offsetMs ?? 0) / 100) / 10;
      if (isOff) log.error('clock is off: not validating until it is set right', { authoritiesAheadSeconds: seconds });
      else log.info('clock agrees with the authorities again', { authoritiesAheadSeconds: seconds });
    }
    wasOff = isOff;
    return isOff;
  };
}
