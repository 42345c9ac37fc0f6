import test from 'ava';
import { u32be, utf8 } from '../../base/bytes.ts';
import type { PeerNode, Verdict } from '../../net/api.ts';
import { NET_LIMITS } from '../../net/limits.ts';
import { now, percentile, sleep, startNetwork, startNode, until } from './harness.ts';

for (const count of [2, 4, 7]) {
  test.serial(
    `${count} nodes that know one boot node reach full mesh, and every message reaches every other node once`,
    async (t) => {
      const start = now();
      const sentAt = new Map<string, number>();
      const latencies: number[] = [];
      const got = Array.from({ length: count }, () => new Map<string, number>());
      const nodes = await startNetwork(t, count, 10 * count, (node, i) => {
        node.subscribe('consensus', (bytes) => {
          const key = Buffer.from(bytes).toString('hex', 0, 8);
          const seen = got[i];
          seen?.set(key, (seen.get(key) ?? 0) + 1);
          latencies.push(now() - (sentAt.get(key) ?? 0));
          return 'accept';
        });
      });
      const meshMs = now() - start;
      // The very first messages are published before any gossip mesh can have formed.
      const rounds = 40;
      for (let k = 0; k < rounds; k++) {
        const bytes = new Uint8Array(600).fill(k);
        bytes.set(u32be(k));
        sentAt.set(Buffer.from(bytes).toString('hex', 0, 8), now());
        const node = nodes[k % count] as PeerNode;
        t.true((await node.publish('consensus', bytes)).ok);
        await sleep(5);
      }
      const expected = (i: number): number => rounds - Math.ceil((rounds - i) / count);
      await until(() => got.every((seen, i) => seen.size === expected(i)), 30_000, 'delivery of all messages');
      for (const seen of got) for (const times of seen.values()) t.is(times, 1);
      const p50 = percentile(latencies, 0.5).toFixed(1);
      const p99 = percentile(latencies, 0.99).toFixed(1);
      t.log(`${count} nodes: mesh ${meshMs.toFixed(0)} ms, latency p50 ${p50} ms, p99 ${p99} ms (cold start)`);
    },
  );
}

test.serial('the same bytes published again reach a peer that ignored them, and only that peer', async (t) => {
  const [a, b, c] = (await startNetwork(t, 3, 120)) as [PeerNode, PeerNode, PeerNode];
  let verdictOfB: Verdict = 'ignore';
  const calls = { b: 0, c: 0 };
  a.subscribe('consensus', () => 'accept');
  b.subscribe('consensus', () => {
    calls.b += 1;
    return verdictOfB;
  });
  c.subscribe('consensus', () => {
    calls.c += 1;
    return 'accept';
  });
  const vote = utf8('a vote of a height not reached yet');
  t.true((await a.publish('consensus', vote)).ok);
  await until(() => calls.b >= 1 && calls.c === 1, 5_000, 'first delivery');
  await sleep(300);
  const before = calls.b;
  verdictOfB = 'accept';
  t.true((await a.publish('consensus', vote)).ok);
  await until(() => calls.b === before + 1, 5_000, 'second delivery');
  await a.publish('consensus', vote);
  await sleep(300);
  t.deepEqual(calls, { b: before + 1, c: 1 });
});

test.serial('a message over its topic limit is refused to its publisher, naming the limit', async (t) => {
  const node = await startNode(t, 130);
  const result = await node.publish('learning', new Uint8Array(NET_LIMITS.learningMessageBytes + 1));
  t.false(result.ok);
  if (!result.ok) {
    t.is(result.code, 'message-too-large');
    t.is(result.fields.limit, NET_LIMITS.learningMessageBytes);
  }
});

test.serial('a message that every node rejects is not forwarded, and its sender is banned after a few', async (t) => {
  const nodes = await startNetwork(t, 3, 140);
  const [villain, b, c] = nodes as [PeerNode, PeerNode, PeerNode];
  const seen: string[] = [];
  for (const honest of [b, c]) {
    honest.subscribe('transactions', (bytes, from) => {
      seen.push(from);
      return bytes[0] === 0 ? 'accept' : 'reject';
    });
  }
  villain.subscribe('transactions', () => 'accept');
  for (let k = 1; k <= 8; k++) await villain.publish('transactions', Uint8Array.of(k, 1, 2, 3));
  await until(() => b.counters().bans === 1 && c.counters().bans === 1, 5_000, 'ban by both');
  t.true(seen.every((from) => from === villain.peerId));
  await until(() => b.peers().length === 1 && c.peers().length === 1, 5_000, 'villain disconnected');
  await sleep(500);
  t.is(b.peers().length, 1, 'a banned peer does not get back in');
  t.is(b.peers()[0]?.peer, c.peerId);
  await b.publish('transactions', Uint8Array.of(0, 9));
  await until(() => seen.includes(b.peerId), 5_000, 'honest traffic after the ban');
});

test.serial('a subscriber that throws loses the message, not the node', async (t) => {
  const [a, b] = (await startNetwork(t, 2, 150)) as [PeerNode, PeerNode];
  let calls = 0;
  b.subscribe('learning', () => {
    calls += 1;
    if (calls === 1) throw new Error('subscriber defect');
    return 'accept';
  });
  await a.publish('learning', utf8('first'));
  await until(() => calls === 1, 5_000, 'first call');
  await a.publish('learning', utf8('second'));
  await until(() => calls === 2, 5_000, 'second call');
  t.is(b.peers()[0]?.penalty, 0);
});
