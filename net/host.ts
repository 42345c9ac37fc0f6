// Owns the construction of the libp2p host: transports, encryption, gossip, connection gates. The only file that loads
// libp2p's packages at run time; it decides nothing about peers beyond what the gate callbacks tell it.

import './globals.ts';
import type { Socket, Server } from 'node:net';
import type { Connection, Libp2p, PeerId } from '@libp2p/interface';
import type { GossipSub } from '@libp2p/gossipsub';
import type { Multiaddr } from '@multiformats/multiaddr';
import { type Result, fault, success } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import type { PeerKey } from './api.ts';
import type { NetLimits } from './limits.ts';

type HostServices = { gossip: GossipSub; identify: unknown; ping: unknown };
export type Host = Libp2p<HostServices>;
export type { Connection, GossipSub };

/** libp2p's value constructors, handed out so that no other file loads it. */
export type HostTools = Readonly<{
  peerIdFromString(text: PeerKey): PeerId;
  multiaddr(text: string): Multiaddr;
}>;

export type HostOptions = Readonly<{
  identityKeyBytes: Uint8Array;
  listen: string;
  announce: readonly string[];
  limits: NetLimits;
  topics: readonly string[];
  /** True to refuse a peer whose key noise has just proven, or a dial to it. */
  denyPeer(peer: PeerKey): boolean;
  /** True to refuse an inbound socket by its remote multiaddr, before any cryptography. */
  denyInbound(remoteAddress: string): boolean;
  /** A socket was closed for frames that are not WebSocket or over a limit. */
  onBadFrame(reason: string): void;
  /** Score that gossip adds to its own: 0 or negative. */
  peerScore(peer: PeerKey): number;
}>;

/** A host that is listening. Faults `port-in-use` and `cannot-listen`. */
export async function createHost(options: HostOptions): Promise<Result<Readonly<{ host: Host; tools: HostTools }>>> {
  const [{ createLibp2p }, { noise }, { yamux }, { identify }, { ping }, keys, peerIds, { multiaddr }] =
    await Promise.all([
      import('libp2p'),
      import('@libp2p/noise'),
      import('@libp2p/yamux'),
      import('@libp2p/identify'),
      import('@libp2p/ping'),
      import('@libp2p/crypto/keys'),
      import('@libp2p/peer-id'),
      import('@multiformats/multiaddr'),
    ]);
  const { limits } = options;
  const gossip = await gossipService(options);
  const transport = await webSocketTransport(options);
  const host = (await createLibp2p<HostServices>({
    start: false,
    privateKey: await keys.generateKeyPairFromSeed('Ed25519', options.identityKeyBytes),
    nodeInfo: { name: 'pol-node', version: '1' },
    addresses: {
      listen: [options.listen],
      ...(options.announce.length > 0 ? { announce: [...options.announce] } : {}),
    },
    transports: [transport as never],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ maxInboundStreams: 256, maxOutboundStreams: 256, maxEarlyStreams: 64 })],
    connectionGater: {
      denyDialMultiaddr: () => false,
      denyDialPeer: (peer) => options.denyPeer(peer.toString()),
      denyInboundConnection: (connection) => options.denyInbound(connection.remoteAddr.toString()),
      denyInboundEncryptedConnection: (peer) => options.denyPeer(peer.toString()),
      denyOutboundEncryptedConnection: (peer) => options.denyPeer(peer.toString()),
    },
    connectionManager: {
      maxConnections: limits.maxConnections,
      inboundConnectionThreshold: limits.inboundPerSecondPerHost,
      maxIncomingPendingConnections: limits.maxPendingInbound,
      inboundUpgradeTimeout: limits.handshakeMs,
      inboundStreamProtocolNegotiationTimeout: limits.handshakeMs,
      outboundStreamProtocolNegotiationTimeout: limits.handshakeMs,
      dialTimeout: limits.dialMs,
      addressDialTimeout: limits.dialMs,
      reconnectRetries: 0,
    },
    // Liveness is judged by the status exchange; a ping that times out on a busy core must not cut a good peer.
    connectionMonitor: { enabled: false },
    services: { gossip: gossip as never, identify: identify() as never, ping: ping() as never },
  })) as Host;
  try {
    await host.start();
  } catch (error) {
    await host.stop();
    return listenFault(error, options.listen);
  }
  return success({ host, tools: { peerIdFromString: peerIds.peerIdFromString, multiaddr } });
}

function listenFault<T>(error: unknown, address: string): Result<T> {
  const text = error instanceof Error ? `${error.message} ${String(error.cause ?? '')}` : String(error);
  const code = text.includes('EADDRINUSE') ? 'port-in-use' : 'cannot-listen';
  const why = code === 'port-in-use' ? 'the port is already in use' : text.slice(0, 300);
  return fault(code, `peer network cannot listen on ${address}: ${why}`, { address });
}

async function gossipService(options: HostOptions): Promise<unknown> {
  const { gossipsub } = await import('@libp2p/gossipsub');
  const { limits } = options;
  return gossipsub({
    // Payloads carry their own signatures; a second one by the forwarding layer would only cost time.
    globalSignaturePolicy: 'StrictNoSign',
    msgIdFn: (message) => sha256(message.data),
    allowedTopics: [...options.topics],
    emitSelf: false,
    fallbackToFloodsub: false,
    canRelayMessage: false,
    doPX: false,
    // Own messages go to every peer of the topic, so a small network needs no mesh before the first block.
    floodPublish: true,
    batchPublish: true,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    D: 6,
    Dlo: 4,
    Dhi: 12,
    heartbeatInterval: 700,
    maxInboundStreams: 2,
    maxInboundDataLength: limits.consensusMessageBytes + 64 * 1024,
    maxOutboundBufferSize: 4 * limits.consensusMessageBytes,
    maxTopicBytesPerPeer: 16 * 1024,
    decodeRpcLimits: {
      maxSubscriptions: 16,
      maxMessages: 1_024,
      maxIhaveMessageIDs: 5_000,
      maxIwantMessageIDs: 5_000,
      maxIdontwantMessageIDs: 5_000,
      maxControlMessages: 64,
      maxPeerInfos: 0,
    },
    scoreParams: {
      appSpecificScore: (peer) => options.peerScore(peer),
      appSpecificWeight: 1,
      // Many honest nodes share one address in a test network; caps per address are this layer's own.
      IPColocationFactorWeight: 0,
      behaviourPenaltyWeight: -1,
      behaviourPenaltyThreshold: 8,
    },
    scoreThresholds: { gossipThreshold: -40, publishThreshold: -60, graylistThreshold: -90 },
  });
}

type WsSocket = Readonly<{ on(event: 'error', call: (error: Error) => void): void }>;
type Upgraded = (ws: WsSocket, request: Request) => void;
type Upgrade = (request: Request, socket: unknown, head: unknown, done: Upgraded) => void;
type ListenerParts = { server: Server; wsServer: { options: Record<string, unknown>; handleUpgrade: Upgrade } };
type Request = Readonly<{ socket: Socket }>;
type TransportParts = { createListener(options: unknown): ListenerParts };

/** The WebSocket transport with frame limits, and a deadline for sockets that do not finish the HTTP upgrade. */
async function webSocketTransport(options: HostOptions): Promise<(components: never) => unknown> {
  const { webSockets } = await import('@libp2p/websockets');
  const factory = webSockets({ http: { maxHeaderSize: 16_384, headersTimeout: options.limits.handshakeMs } });
  return (components) => {
    const transport = factory(components) as unknown as TransportParts;
    const createListener = transport.createListener.bind(transport);
    transport.createListener = (listenerOptions) => {
      const listener = createListener(listenerOptions);
      guardListener(listener, options);
      return listener;
    };
    return transport;
  };
}

function guardListener({ server, wsServer }: ListenerParts, { limits, onBadFrame }: HostOptions): void {
  Object.assign(wsServer.options, {
    maxPayload: limits.wsFrameBytes,
    maxFragments: limits.wsFragments,
    maxBufferedChunks: limits.wsBufferedChunks,
    closeTimeout: limits.handshakeMs,
  });
  server.maxConnections = limits.maxConnections + limits.maxPendingInbound;
  const waiting = new Map<Socket, NodeJS.Timeout>();
  server.on('connection', (socket) => {
    socket.setNoDelay(true);
    const timer = setTimeout(() => socket.destroy(), limits.handshakeMs);
    waiting.set(socket, timer);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(timer);
      waiting.delete(socket);
    });
  });
  const upgrade = wsServer.handleUpgrade.bind(wsServer);
  wsServer.handleUpgrade = (request, socket, head, done) =>
    upgrade(request, socket, head, (ws, same) => {
      clearTimeout(waiting.get(request.socket));
      waiting.delete(request.socket);
      // libp2p listens for `close` only, and an `error` event nobody hears ends the process: any bad frame would do.
      ws.on('error', ({ message }) => onBadFrame(message));
      done(ws, same);
    });
  // A socket that never sent a byte is unknown to the listener and would keep the server from closing.
  const close = server.close.bind(server);
  server.close = (callback) => {
    for (const socket of waiting.keys()) socket.destroy();
    return close(callback);
  };
}
