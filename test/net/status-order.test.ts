// A peer's claim of height may only rise in the order in which the peer made its statements, not in that of their arrival.

import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { NET_LIMITS } from '../../net/limits.ts';
import { encodeStatus } from '../../net/status.ts';
import { CHAIN_ID, GENESIS, startNode, statusAt, until } from './harness.ts';

test('an older status that arrives later is passed over, a newer one with a lower height is banned', async (t) => {
  const node = await startNode(t, 71);
  const peer = await startNode(t, 72, { bootNodes: [`127.0.0.1:${node.port}`] });
  await until(() => node.peers().length === 1 && peer.peers().length === 1, 10_000, 'the two meet');
  const claim = async (height: number, clockMs: number): Promise<void> => {
    const own = { chainId: CHAIN_ID, genesisHash: toHex(GENESIS), clockMs, listen: [], binding: null };
    const bytes = encodeStatus({ ...own, status: statusAt(height) });
    unwrap(await peer.request(node.peerId, 'status', bytes, { timeoutMs: 5_000, maxBytes: NET_LIMITS.statusBytes }));
  };
  await claim(500, 2_000_000_000_002);
  t.is(node.peers()[0]?.status.height, 500);
  await claim(499, 2_000_000_000_001);
  t.is(node.peers()[0]?.status.height, 500);
  await claim(499, 2_000_000_000_003).catch(() => undefined);
  await until(() => node.peers().length === 0, 5_000, 'the liar is gone');
  t.pass();
});
