import test from 'ava';
import type { Hex } from '../../base/bytes.ts';
import type { PeerView } from '../../net/api.ts';
import { claimedHeight, isCaughtUp } from '../../node/peer-heights.ts';

let accounts = 0;
const peer = (height: number, isAuthority = true, account: Hex = `0x${(accounts++).toString(16)}`): PeerView => ({
  peer: `peer-${height}`,
  direction: 'inbound',
  remoteAddress: '',
  listenAddresses: [],
  status: { height, headHash: '0x', role: 'regular', apiUrl: '' },
  account,
  authority: isAuthority ? account : null,
  roundTripMs: null,
  clockOffsetMs: null,
  penalty: 0,
  connectedSinceMs: 0,
});

test('a height counts when f + 1 authorities claim it, so one liar of four moves nothing', (t) => {
  t.is(claimedHeight([peer(10), peer(11), peer(10 ** 9)], 4), 11);
  t.is(claimedHeight([peer(10 ** 9)], 4), 0);
  t.is(claimedHeight([peer(7)], 1), 7);
  t.is(claimedHeight([peer(5), peer(6), peer(7), peer(8), peer(9), peer(1e12)], 7), 8);
});

test('claims of others than authorities do not count at all', (t) => {
  t.is(claimedHeight([peer(10 ** 9, false), peer(10), peer(12), peer(11)], 4), 11);
});

test('an authority that runs many nodes counts once', (t) => {
  const crowd = Array.from({ length: 9 }, () => peer(10 ** 9, true, '0xff'));
  t.is(claimedHeight([...crowd, peer(10), peer(12), peer(11)], 4), 12);
});

test('a node is caught up within two blocks, and not before it knows anybody', (t) => {
  const peers = [peer(12), peer(12), peer(12)];
  t.true(isCaughtUp(10, peers, 4, 3));
  t.false(isCaughtUp(9, peers, 4, 3));
  t.false(isCaughtUp(0, [], 4, 3));
  t.true(isCaughtUp(0, [], 1, 0));
});
