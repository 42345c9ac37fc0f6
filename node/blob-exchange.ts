// Owns how blobs and step states move between nodes: asked by SHA-256 of peers in turn, believed only after hashing.

import { equal, fromHex, toHex, type Hex } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import type { PeerKey, PeerNode, ProtocolLimits } from '../net/api.ts';
import { answersOf } from './ask-peers.ts';
import type { Clock } from './clock.ts';
import { BLOB_BYTES, FETCH_PEERS } from './limits.ts';
import type { Logger } from './logger.ts';

const PROTOCOL = 'blob';
const REQUEST_MS = 60_000;

const LIMITS: ProtocolLimits = {
  maxRequestBytes: 32,
  maxResponseBytes: BLOB_BYTES,
  requestsPerSecond: 20,
  burst: 100,
  concurrentPerPeer: 4,
  timeoutMs: REQUEST_MS,
};

/** Where verified blobs are kept. */
export type BlobShelf = Readonly<{
  get(sha256: Hex): Promise<Uint8Array | null>;
  put(bytes: Uint8Array): Promise<unknown>;
}>;

export type BlobExchange = Readonly<{
  /** The blob from the own shelf or from a peer; its size and hash are checked before it is kept. */
  fetch(hash: Hex, size: number): Promise<Result<Uint8Array>>;
}>;

/** Serves the shelf to peers and fetches what it lacks. */
export function createBlobExchange(peerNode: PeerNode, shelf: BlobShelf, clock: Clock, log: Logger): BlobExchange {
  peerNode.handle(PROTOCOL, LIMITS, async (request) => {
    if (request.length !== 32) return fault('blob-request', 'a request is 32 bytes: the SHA-256 of the blob');
    const bytes = await shelf.get(toHex(request));
    return bytes ?? fault('blob-unknown', 'this node does not hold that blob');
  });
  const underWay = new Map<Hex, Promise<Result<Uint8Array>>>();

  async function fromPeers(hash: Hex, size: number): Promise<Result<Uint8Array>> {
    const wanted = fromHex(hash);
    let last = 'no peer is connected';
    const peers = peerNode.peers().slice(0, FETCH_PEERS);
    const ask = (peer: PeerKey): Promise<Result<Uint8Array>> =>
      peerNode.request(peer, PROTOCOL, wanted, { timeoutMs: REQUEST_MS, maxBytes: Math.min(size, BLOB_BYTES) });
    const asked = peers.map(({ peer }) => peer);
    for await (const { peer, answer } of answersOf(asked, ask, clock)) {
      if (!answer.ok) {
        last = answer.message;
        continue;
      }
      if (answer.value.length !== size || !equal(sha256(answer.value), wanted)) {
        peerNode.penalise(peer, 20, 'blob does not match its hash');
        last = 'a peer sent other bytes';
        continue;
      }
      await shelf.put(answer.value);
      log.debug('blob fetched', { hash, size, peer });
      return answer;
    }
    return fault('blob-unavailable', `blob ${hash}: ${last}`, { hash });
  }

  return {
    async fetch(hash, size) {
      if (size > BLOB_BYTES) return fault('blob-size', `blob ${hash}: ${size} bytes, over ${BLOB_BYTES}`, { size });
      const held = await shelf.get(hash);
      if (held !== null) return success(held);
      const running = underWay.get(hash);
      if (running !== undefined) return running;
      const fetching = fromPeers(hash, size).finally(() => underWay.delete(hash));
      underWay.set(hash, fetching);
      return fetching;
    },
  };
}
