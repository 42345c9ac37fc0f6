// Owns hostile cases on the peer port: frames, handshakes, introductions, and a peer that lies to who catches up.

import { type Socket, connect } from 'node:net';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { concat, fromHex, u32be, utf8 } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { signDigest } from '../../base/keys.ts';
import type { NodeBinding, PeerNode, PeerNodeOptions } from '../../net/api.ts';
import { nodeBindingDigest, nodePublicKey } from '../../net/node-binding.ts';
import { NET_LIMITS } from '../../net/limits.ts';
import { createPeerNode } from '../../net/peer-node.ts';
import { encodeStatus } from '../../net/status.ts';
import { systemClock } from '../../node/clock.ts';
import { HOST, heightOf } from './harness.ts';
import { type HostileCase, type Target, expect, within } from './hostile-cases.ts';

export type Villain = Readonly<{ node: PeerNode; seed: Uint8Array; isOut(): boolean; stop(): Promise<void> }>;

/** A peer with a new identity that dials the target; `joins` false for one that must be refused. */
export async function villain(
  target: Target,
  more: Partial<PeerNodeOptions> = {},
  joins = true,
  seed = target.random.bytes(32),
): Promise<Villain> {
  const node = unwrap(
    await createPeerNode({
      identityKeyBytes: seed,
      listenHost: HOST,
      port: 0,
      bootNodes: [`${HOST}:${target.node.port}`],
      chainId: target.chainId,
      genesisHash: target.genesisHash,
      status: { height: 0, headHash: `0x${'ab'.repeat(32)}`, role: 'regular', apiUrl: '' },
      limits: { wantPeers: 0, maxOutbound: 0 },
      now: systemClock.monotonic,
      log: () => undefined,
      ...more,
    }),
  );
  let isOut = false;
  node.onPeer((event) => {
    isOut ||= event.kind === 'left';
  });
  try {
    node.subscribe('consensus', () => 'ignore');
    if (joins) await within(30_000, 'a stranger joins', () => node.peers().length > 0);
  } catch (error) {
    await node.stop();
    throw error;
  }
  return { node, seed, isOut: () => isOut, stop: () => node.stop() };
}

export async function withVillain(
  target: Target,
  act: (one: Villain) => Promise<void>,
  more: Partial<PeerNodeOptions> = {},
): Promise<void> {
  const one = await villain(target, more);
  try {
    await act(one);
  } finally {
    await one.stop();
  }
}

/** A peer with this claim is never let in. */
async function isRefused(target: Target, more: Partial<PeerNodeOptions>, seed?: Uint8Array): Promise<void> {
  const one = await villain(target, more, false, seed);
  try {
    await systemClock.sleep(1_500);
    expect(one.node.peers().length === 0, 'the peer is refused');
  } finally {
    await one.stop();
  }
}

async function openSocket(address: string, options = {}): Promise<WebSocket> {
  const socket = new WebSocket(address, { perMessageDeflate: false, ...options });
  socket.on('error', () => undefined);
  await once(socket, 'open');
  return socket;
}

const peerSocket = (target: Target): Promise<WebSocket> => openSocket(`ws://${HOST}:${target.node.port}`);
const apiSocket = (target: Target, options = {}): Promise<WebSocket> =>
  openSocket(`ws://${HOST}:${target.node.apiPort}`, options);

async function closeCode(socket: WebSocket): Promise<number> {
  const late = systemClock.after(15_000, () => socket.terminate());
  const [code] = (await once(socket, 'close')) as [number];
  late.cancel();
  return code;
}

function rawSocket(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, HOST, () => resolve(socket));
    socket.once('error', reject);
    socket.on('error', () => socket.destroy());
  });
}

/** Milliseconds until the other side ends the socket. */
async function endOf(socket: Socket): Promise<number> {
  const start = systemClock.monotonic();
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  return systemClock.monotonic() - start;
}

function bindingFor(target: Target, seed: Uint8Array): NodeBinding {
  const digest = nodeBindingDigest(target.chainId, target.genesisHash, nodePublicKey(seed));
  return { address: target.cheat.address, signature: signDigest(digest, target.cheat.secretKey) };
}

/** Asks the node for its status as any peer does; its authority binding. */
async function bindingOf(target: Target): Promise<NodeBinding> {
  let found: NodeBinding | null = null;
  await withVillain(target, async ({ node }) => {
    const status = { height: 0, headHash: `0x${'ab'.repeat(32)}`, role: 'regular', apiUrl: '' } as const;
    const genesisHash = `0x${Buffer.from(target.genesisHash).toString('hex')}` as const;
    const own = encodeStatus({
      chainId: target.chainId,
      genesisHash,
      status,
      clockMs: null,
      listen: [],
      binding: null,
    });
    const peer = node.peers()[0]?.peer ?? '';
    const answer = unwrap(
      await node.request(peer, 'status', own, { timeoutMs: 10_000, maxBytes: NET_LIMITS.statusBytes }),
    );
    const { binding } = JSON.parse(Buffer.from(answer).toString()) as { binding: { address: never; signature: never } };
    found = { address: binding.address, signature: fromHex(binding.signature) };
  });
  return found as unknown as NodeBinding;
}

const FRAMES: readonly HostileCase[] = [
  {
    number: 1,
    what: 'a frame above 2 MiB closes the socket with 1009',
    async run(target) {
      const socket = await peerSocket(target);
      const code = closeCode(socket);
      socket.send(new Uint8Array(NET_LIMITS.wsFrameBytes + 1));
      expect((await code) === 1009, 'close code 1009');
    },
  },
  {
    number: 2,
    what: 'a message of 17 fragments closes the socket',
    async run(target) {
      const socket = await peerSocket(target);
      const code = closeCode(socket);
      for (let i = 0; i < NET_LIMITS.wsFragments; i++) socket.send(Uint8Array.of(1), { fin: false });
      socket.send(Uint8Array.of(1), { fin: true });
      expect([1008, 1006].includes(await code), 'close code 1008');
    },
  },
  {
    number: 3,
    what: 'text that is not UTF-8 closes the socket with 1007',
    async run(target) {
      const socket = await apiSocket(target);
      const code = closeCode(socket);
      socket.send(Buffer.from([0xc3, 0x28, 0xff]), { binary: false });
      expect((await code) === 1007, 'close code 1007');
    },
  },
  {
    number: 4,
    what: 'an offer to compress is not taken up',
    async run(target) {
      const [client, peer] = await Promise.all([
        apiSocket(target, { perMessageDeflate: true }),
        openSocket(`ws://${HOST}:${target.node.port}`, { perMessageDeflate: true }),
      ]);
      expect(client.extensions === '' && peer.extensions === '', 'no extension');
      client.terminate();
      peer.terminate();
    },
  },
  {
    number: 5,
    what: 'half a handshake is cut off in time',
    async run(target) {
      const sockets = await Promise.all(
        ['', 'GET / HT', '\u0016\u0003\u0001', 'SSH-2.0-x\r\n'].map(async (words) => {
          const socket = await rawSocket(target.node.port);
          if (words !== '') socket.write(words);
          return endOf(socket);
        }),
      );
      expect(Math.max(...sockets) < NET_LIMITS.handshakeMs + 5_000, `closed after ${Math.max(...sockets)} ms`);
    },
  },
  {
    number: 6,
    what: 'headers that come byte by byte are cut off',
    async run(target) {
      const socket = await rawSocket(target.node.apiPort);
      const words = `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(100)}`;
      let sent = 0;
      const timer = systemClock.every(500, () => void (socket.writable && socket.write(words[sent++] ?? 'x')));
      const took = await endOf(socket);
      timer.cancel();
      expect(took < 10_000 + 2_000 + 5_000, `closed after ${took} ms`);
    },
  },
];

const INTRODUCTIONS: readonly HostileCase[] = [
  {
    number: 7,
    what: 'a peer of another genesis or chain id is refused',
    async run(target) {
      await Promise.all([
        isRefused(target, { genesisHash: target.random.bytes(32) }),
        isRefused(target, { chainId: target.chainId + 1 }),
      ]);
    },
  },
  {
    number: 8,
    what: 'an authority binding made for another node key is refused',
    run: (target) => isRefused(target, { binding: bindingFor(target, target.random.bytes(32)) }),
  },
  {
    number: 9,
    what: "the node's own binding, sent back to it, is refused",
    run: async (target) => isRefused(target, { binding: await bindingOf(target) }),
  },
  {
    number: 18,
    what: 'a peer that serves false blocks, or lowers its height, is banned, and the others go on',
    async run(target) {
      const height = (await heightOf(target.node)) + 40;
      const headHash = `0x${'ab'.repeat(32)}` as const;
      const liar = await villain(target, { status: { height, headHash, role: 'regular', apiUrl: '' } }, false);
      liar.node.handle(
        'blocks',
        {
          maxRequestBytes: 12,
          maxResponseBytes: 100_000,
          requestsPerSecond: 100,
          burst: 100,
          concurrentPerPeer: 8,
          timeoutMs: 5_000,
        },
        async () => {
          const junk = target.random.bytes(400);
          return concat(u32be(junk.length), junk, u32be(100), target.random.bytes(100));
        },
      );
      try {
        await within(30_000, 'the liar is banned', liar.isOut);
      } finally {
        await liar.stop();
      }
      await withVillain(
        target,
        async ({ node, isOut }) => {
          node.setStatus({ height: 1, headHash, role: 'regular', apiUrl: '' });
          await within(30_000, 'a peer whose height sinks is banned', isOut);
        },
        { status: { height: 2, headHash, role: 'regular', apiUrl: '' } },
      );
    },
  },
  {
    number: 34,
    what: 'requests for training data with absurd lengths and steps are refused before anything is reserved',
    async run(target) {
      await withVillain(target, async ({ node }) => {
        const peer = node.peers()[0]?.peer ?? '';
        for (const [protocol, bytes] of [
          ['step-state', concat(new Uint8Array(8).fill(255), u32be(0xffff_ffff))],
          ['step-state', utf8('{"round":1e9,"step":1e9}')],
          ['blob', new Uint8Array(32).fill(255)],
          ['blob', new Uint8Array(33)],
        ] as const) {
          const answer = await node.request(peer, protocol, bytes, { timeoutMs: 10_000, maxBytes: 1_000_000 });
          expect(!answer.ok || answer.value.length <= 1, `${protocol} is refused`);
        }
      });
    },
  },
  {
    number: 36,
    what: 'a second node with the key of an authority stops before it signs',
    async run(target) {
      const { code, text } = await target.startTwin();
      expect(code === 1 && text.includes('in use by another node'), `the twin stops: ${code} ${text.slice(-300)}`);
    },
  },
];

export const PEER_CASES: readonly HostileCase[] = [...FRAMES, ...INTRODUCTIONS];
