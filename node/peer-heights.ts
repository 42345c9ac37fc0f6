// Owns how far the chain is believed to be: heights are peers' claims, so one counts only when more authorities claim it than
// can be faulty together.

import type { PeerNode } from '../net/api.ts';

/** Blocks a node may be behind and still count as up to date: one in flight, one being executed. */
const LAG_BLOCKS = 2;

/** Highest height that f + 1 of n authorities (by their signed bindings) claim to have reached; 0 when too few are connected.
 * One that runs many nodes counts once. */
export function claimedHeight(peers: ReturnType<PeerNode['peers']>, authorities: number): number {
  const faulty = Math.floor((authorities - 1) / 3);
  const heights = new Map<string, number>();
  for (const { authority, status } of peers) {
    if (authority !== null) heights.set(authority, Math.max(status.height, heights.get(authority) ?? 0));
  }
  return [...heights.values()].sort((a, b) => b - a)[faulty] ?? 0;
}

/** True when the node has the newest blocks as far as it can know. With boot nodes but no peer yet it cannot know. */
export function isCaughtUp(
  own: number,
  peers: ReturnType<PeerNode['peers']>,
  authorities: number,
  bootNodes: number,
): boolean {
  if (peers.length === 0 && bootNodes > 0) return false;
  return claimedHeight(peers, authorities) <= own + LAG_BLOCKS;
}
