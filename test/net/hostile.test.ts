import { connect, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { WebSocket } from 'ws';
import { concat, u32be, utf8 } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { prng } from '../../base/prng.ts';
import type { PeerNode } from '../../net/api.ts';
import { createHost } from '../../net/host.ts';
import { NET_LIMITS, type NetLimits } from '../../net/limits.ts';
import { networkPrefix } from '../../net/peer-node.ts';
import { GENESIS, now, sleep, startNode, until } from './harness.ts';

const limits = { handshakeMs: 600 };
const PREFIX = networkPrefix(GENESIS);

/** Two honest nodes that answer and gossip, and a check that they still do. */
async function honestPair(t: ExecutionContext, seed: number, more: Partial<NetLimits> = {}) {
  const a = await startNode(t, seed, { limits: { ...limits, ...more } });
  const b = await startNode(t, seed + 1, { limits, bootNodes: [`127.0.0.1:${a.port}`] });
  await until(() => a.peers().length === 1 && b.peers().length === 1, 5_000, 'honest pair');
  let got = 0;
  a.subscribe('consensus', (bytes) => {
    if (bytes[0] === 0xee) return 'reject';
    got += 1;
    return 'accept';
  });
  a.handle(
    'echo',
    {
      maxRequestBytes: 1_000,
      maxResponseBytes: 1_000,
      requestsPerSecond: 50,
      burst: 50,
      concurrentPerPeer: 4,
      timeoutMs: 500,
    },
    async (bytes) => bytes,
  );
  let serial = 0;
  async function works(): Promise<void> {
    const before = got;
    await b.publish('consensus', concat(u32be(serial++), utf8('honest')));
    await until(() => got > before, 3_000, 'honest gossip');
    const answer = await b.request(a.peerId, 'echo', utf8('still there?'), { timeoutMs: 3_000, maxBytes: 100 });
    t.true(answer.ok, answer.ok ? '' : answer.message);
    t.true(a.peers().some(({ peer }) => peer === b.peerId));
  }
  return { a, b, works };
}

/** A libp2p peer that skips every rule of this network layer. */
async function outlaw(t: ExecutionContext, seed: number, target: PeerNode) {
  const { host, tools } = unwrap(
    await createHost({
      identityKeyBytes: new Uint8Array(32).fill(seed),
      listen: '/ip4/127.0.0.1/tcp/0/ws',
      announce: [],
      limits: { ...NET_LIMITS, consensusMessageBytes: 64 * 1024 * 1024 },
      topics: [`${PREFIX}/consensus`, `${PREFIX}/other`],
      denyPeer: () => false,
      denyInbound: () => false,
      onBadFrame: () => undefined,
      peerScore: () => 0,
    }),
  );
  t.teardown(() => host.stop());
  const address = tools.multiaddr(target.addresses()[0] ?? '');
  return { host, address, connection: await host.dial(address) };
}

function rawSocket(t: ExecutionContext, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.once('error', reject);
    t.teardown(() => void socket.destroy());
  });
}

function closedAfter(socket: Socket): Promise<number> {
  const start = now();
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(now() - start));
    socket.resume();
  });
}

function openWs(t: ExecutionContext, port: number): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
    t.teardown(() => ws.terminate());
    ws.once('open', () => resolve(ws));
    ws.once('error', reject);
  });
}

function wsClose(ws: WebSocket): Promise<number> {
  return new Promise((resolve) => {
    ws.on('error', () => undefined);
    ws.once('close', (code: number) => resolve(code));
  });
}

test.serial('sockets that stay silent, speak half a handshake or another protocol are closed in time', async (t) => {
  const { a, works } = await honestPair(t, 10);
  const openings = [
    '',
    'GET / HT',
    'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n',
    '\u0016\u0003\u0001 not tls',
    'SSH-2.0-x\r\n',
  ];
  const sockets = await Promise.all(openings.map(() => rawSocket(t, a.port)));
  const closings = sockets.map(closedAfter);
  sockets.forEach((socket, i) => void (openings[i] !== '' && socket.write(openings[i] ?? '')));
  for (const took of await Promise.all(closings)) t.true(took < limits.handshakeMs + 4_000, `closed after ${took} ms`);
  const upgraded = await openWs(t, a.port);
  const start = now();
  await wsClose(upgraded);
  t.true(now() - start < limits.handshakeMs + 4_000, 'a WebSocket without noise is closed too');
  await works();
});

test.serial(
  'WebSocket frames over the limit, fragments over the limit and junk close the socket, not the node',
  async (t) => {
    const { a, works } = await honestPair(t, 12);
    const large = await openWs(t, a.port);
    const largeClosed = wsClose(large);
    large.send(new Uint8Array(NET_LIMITS.wsFrameBytes + 1));
    t.is(await largeClosed, 1009);
    const pieces = await openWs(t, a.port);
    const piecesClosed = wsClose(pieces);
    for (let i = 0; i < NET_LIMITS.wsFragments; i++) pieces.send(Uint8Array.of(1), { fin: false });
    pieces.send(Uint8Array.of(1), { fin: true });
    t.true([1008, 1006].includes(await piecesClosed));
    const random = prng('junk frames');
    for (let i = 0; i < 20; i++) {
      const ws = await openWs(t, a.port);
      const closed = wsClose(ws);
      for (let k = 0; k < 5; k++) ws.send(i % 2 === 0 ? random.bytes(1 + random.below(400)) : 'text '.repeat(20));
      await closed;
    }
    await works();
  },
);

test.serial('a peer that never says who it is gets no answer and is cut off', async (t) => {
  const { a, works } = await honestPair(t, 14);
  const { connection } = await outlaw(t, 16, a);
  const stream = await connection.newStream(`${PREFIX}/request/echo/1`);
  const parts: Uint8Array[] = [];
  stream.addEventListener('message', (event) => parts.push(event.data.subarray()));
  stream.send(concat(Uint8Array.of(0), u32be(2), utf8('hi')));
  await until(() => connection.status !== 'open', 4_000, 'stranger cut off');
  t.false(concat(...parts).includes(1, 0) && concat(...parts)[0] === 1, 'no answer frame');
  t.is(a.peers().length, 1);
  await works();
});

const FRAMES: ReadonlyArray<readonly [string, Uint8Array]> = [
  ['an unknown kind', concat(Uint8Array.of(9), u32be(1), Uint8Array.of(1))],
  ['a length of 4 GiB', concat(Uint8Array.of(0), u32be(0xffff_ffff))],
  ['a length one over the limit', concat(Uint8Array.of(0), u32be(1_001), new Uint8Array(1_001))],
  ['bytes after the frame', concat(Uint8Array.of(0), u32be(1), new Uint8Array(9))],
  ['an answer in place of a question', concat(Uint8Array.of(1), u32be(1), Uint8Array.of(1))],
];

test.serial('malformed request frames cost points, and then the connection', async (t) => {
  const { a, works } = await honestPair(t, 18, { handshakeMs: 10_000 });
  const { connection, host, address } = await outlaw(t, 20, a);
  for (let round = 0; round < 3 && connection.status === 'open'; round++) {
    for (const [, bytes] of FRAMES) {
      const stream = await connection.newStream(`${PREFIX}/request/status/1`).catch(() => null);
      stream?.addEventListener('close', () => undefined);
      const scaled = bytes.length > 1_000 ? concat(Uint8Array.of(0), u32be(4_097)) : bytes;
      try {
        stream?.send(scaled);
      } catch {
        // The node may already have reset this stream: that is what the test is after.
      }
    }
    await sleep(50);
  }
  await until(() => a.counters().bans === 1, 4_000, 'the ban');
  await until(() => connection.status !== 'open', 3_000, 'the cut');
  await t.throwsAsync(async () => {
    const again = await host.dial(address);
    await again.newStream(`${PREFIX}/request/status/1`, { signal: AbortSignal.timeout(1_000) });
  });
  await works();
});

test.serial('half-open streams, unknown protocols and oversized gossip leave honest traffic alone', async (t) => {
  const { a, works } = await honestPair(t, 22);
  const { connection, host } = await outlaw(t, 24, a);
  const status = await connection.newStream(`${PREFIX}/request/status/1`);
  status.send(concat(Uint8Array.of(0), u32be(10), utf8('{}')));
  for (let i = 0; i < 20; i++) {
    await connection.newStream(`${PREFIX}/request/echo/1`).catch(() => null);
    await connection.newStream(`/no/such/protocol/${i}`).catch(() => null);
  }
  await works();
  host.services.gossip.subscribe(`${PREFIX}/consensus`);
  await host.services.gossip
    .publish(`${PREFIX}/consensus`, new Uint8Array(NET_LIMITS.consensusMessageBytes + 70_000))
    .catch(() => null);
  await host.services.gossip.publish(`${PREFIX}/other`, new Uint8Array(1_000)).catch(() => null);
  await works();
  t.is(a.peers().length, 1);
});

test.serial('a flood of gossip from one peer is cut down and the peer is banned', async (t) => {
  const { a, works } = await honestPair(t, 26, { gossipPerSecond: 20, gossipBurst: 100, gossipFloodPoints: 1 });
  const villain = await startNode(t, 28, { limits, bootNodes: [`127.0.0.1:${a.port}`] });
  await until(() => a.peers().length === 2 && villain.peers().length === 2, 5_000, 'villain joined');
  villain.subscribe('consensus', () => 'ignore');
  const start = now();
  // Points fade with time, so a busy machine needs more messages than an idle one.
  for (let k = 0; k < 30_000 && a.counters().bans === 0 && now() - start < 60_000; k++) {
    await villain.publish('consensus', concat(u32be(k), new Uint8Array(40)));
    if (k % 100 === 0) await sleep(1);
  }
  await until(() => a.counters().bans === 1, 20_000, 'flood ban');
  t.log(`banned ${(now() - start).toFixed(0)} ms into the flood, after ${a.counters().messagesIn} messages`);
  t.true(a.counters().messagesIn < 1_000);
  await works();
});
