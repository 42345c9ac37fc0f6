// Owns who has misbehaved: points that fade with time, and bans at the limit. It cuts no connection itself.

import type { PeerKey } from './api.ts';
import type { NetLimits } from './limits.ts';

export type Penalties = Readonly<{
  /** Points of a peer now. */
  points(peer: PeerKey): number;
  /** Adds points; true when that brought the peer to the ban score. */
  add(peer: PeerKey, points: number): boolean;
  /** Bans at once; the time the ban ends. */
  ban(peer: PeerKey): number;
  isBanned(peer: PeerKey): boolean;
  bans(): number;
}>;

type Entry = { points: number; atMs: number };

export function createPenalties(limits: NetLimits, now: () => number): Penalties {
  const entries = new Map<PeerKey, Entry>();
  const banned = new Map<PeerKey, number>();
  let bans = 0;

  function points(peer: PeerKey): number {
    const entry = entries.get(peer);
    if (entry === undefined) return 0;
    const forgiven = ((now() - entry.atMs) / 1_000) * limits.penaltyDecayPerSecond;
    return Math.max(0, entry.points - forgiven);
  }

  return {
    points,
    add(peer, added) {
      const total = points(peer) + added;
      entries.delete(peer);
      entries.set(peer, { points: total, atMs: now() });
      forgetOldest(entries, limits.bannedPeers);
      return total >= limits.banScore;
    },
    ban(peer) {
      const untilMs = now() + limits.banMs;
      banned.delete(peer);
      banned.set(peer, untilMs);
      entries.delete(peer);
      forgetOldest(banned, limits.bannedPeers);
      bans += 1;
      return untilMs;
    },
    isBanned(peer) {
      const untilMs = banned.get(peer);
      if (untilMs === undefined) return false;
      if (now() < untilMs) return true;
      banned.delete(peer);
      return false;
    },
    bans: () => bans,
  };
}

function forgetOldest(map: Map<string, unknown>, keep: number): void {
  for (const key of map.keys()) {
    if (map.size <= keep) return;
    map.delete(key);
  }
}
