// Owns how finalised blocks move between nodes: runs of (block, certificate) by height. Whether they are true is judged by
// consensus certificates and the chain, never here.

import { concat, u32be, u64be } from '../base/bytes.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import type { PeerKey, PeerNode, ProtocolLimits } from '../net/api.ts';
import type { CertifiedBlock } from './consensus-options.ts';
import { SYNC_BLOCKS, SYNC_BYTES } from './limits.ts';

const PROTOCOL = 'blocks';
const REQUEST_MS = 20_000;

const LIMITS: ProtocolLimits = {
  maxRequestBytes: 12,
  maxResponseBytes: SYNC_BYTES,
  requestsPerSecond: 20,
  burst: 60,
  concurrentPerPeer: 2,
  timeoutMs: REQUEST_MS,
};

/** Request: first height u64, count u32. Answer: for each block, u32 length and bytes of block and of certificate. */
export function serveBlocks(peerNode: PeerNode, chain: Chain): void {
  peerNode.handle(PROTOCOL, LIMITS, async (request) => {
    if (request.length !== 12) return fault('blocks-request', 'a request is 12 bytes: first height u64, count u32');
    const view = new DataView(request.buffer, request.byteOffset, request.length);
    const first = view.getBigUint64(0);
    const count = Math.min(view.getUint32(8), SYNC_BLOCKS);
    const head = chain.head().header.number;
    if (first < 1n || first > BigInt(head))
      return fault('blocks-range', `heights from 1 to ${head} are held`, { head });
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for (let height = Number(first); height < Number(first) + count && height <= head; height++) {
      const [wire, certificate] = await Promise.all([chain.wireBlock(height), chain.certificate(height)]);
      if (wire === null || certificate === null) break;
      bytes += wire.length + certificate.length + 8;
      if (parts.length > 0 && bytes > SYNC_BYTES) break;
      parts.push(u32be(wire.length), wire, u32be(certificate.length), certificate);
    }
    return concat(...parts);
  });
}

/** Blocks from height `first` on, as many as the peer gives of `count`. Malformed answers are a Fault. */
export async function fetchBlocks(
  peerNode: PeerNode,
  peer: PeerKey,
  first: number,
  count: number,
): Promise<Result<readonly CertifiedBlock[]>> {
  const request = concat(u64be(first), u32be(Math.min(count, SYNC_BLOCKS)));
  const answer = await peerNode.request(peer, PROTOCOL, request, { timeoutMs: REQUEST_MS, maxBytes: SYNC_BYTES });
  return answer.ok ? splitBlocks(answer.value) : answer;
}

function splitBlocks(bytes: Uint8Array): Result<readonly CertifiedBlock[]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const take = (): Uint8Array | null => {
    if (at + 4 > bytes.length) return null;
    const length = view.getUint32(at);
    if (at + 4 + length > bytes.length) return null;
    at += 4 + length;
    return bytes.slice(at - length, at);
  };
  const blocks: CertifiedBlock[] = [];
  while (at < bytes.length) {
    const wire = take();
    const certificate = wire === null ? null : take();
    if (wire === null || certificate === null || blocks.length >= SYNC_BLOCKS) {
      return fault('blocks-answer', 'the peer sent a malformed run of blocks');
    }
    blocks.push({ wire, certificate });
  }
  return success(blocks);
}
