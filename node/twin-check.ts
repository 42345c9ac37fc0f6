// Owns noticing a second node with this authority's key, before this one signs anything: two signers of one key would
// contradict one another, and both would be fined for it.

import type { Hex } from '../base/bytes.ts';
import type { PeerEvent } from '../net/api.ts';
import type { Clock } from './clock.ts';
import { TWIN_WATCH_MS } from './limits.ts';
import type { Logger } from './logger.ts';

export type TwinCheck = Readonly<{
  /** False during the first seconds among peers: time for a second node of the same key to be met. */
  maySign(): boolean;
  onPeer(event: PeerEvent): void;
}>;

export type TwinCheckOptions = Readonly<{
  address: Hex;
  /** True where no other node can have signed yet: nobody has a block, or this node has nobody to meet. */
  isFresh(): boolean;
  hasSigned(): boolean;
  clock: Pick<Clock, 'monotonic'>;
  log: Logger;
  /** This node has to stop: the key is in use elsewhere. */
  refuse(error: Error): void;
}>;

/**
 * The one that has not signed since its start gives way. A node that has signed goes on: otherwise whoever stole the key
 * could stop its owner.
 */
export function createTwinCheck({ address, isFresh, hasSigned, clock, log, refuse }: TwinCheckOptions): TwinCheck {
  const startedMs = clock.monotonic();
  let firstPeerMs: number | null = null;
  let isRefused = false;
  let isOver = false;
  return {
    maySign() {
      if (isRefused) return false;
      // Without any peer nothing is decided anyway, so the watch may end by itself.
      isOver ||= isFresh() || clock.monotonic() - (firstPeerMs ?? startedMs) >= TWIN_WATCH_MS;
      return isOver;
    },
    onPeer(event) {
      if (event.kind !== 'joined') return;
      firstPeerMs ??= clock.monotonic();
      const { authority, peer, remoteAddress } = event.peer;
      if (authority !== address) return;
      if (hasSigned()) {
        log.error('another node runs with this authority key; it should have stopped', { peer, remoteAddress });
        return;
      }
      isRefused = true;
      refuse(
        new Error(
          `the authority key ${address} is in use by another node at ${remoteAddress}; two nodes with one key sign against each other, so this one stops`,
        ),
      );
    },
  };
}
