// Owns every limit of the network layer: sizes in bytes, times in milliseconds, each with its reason.

/** Values a node may override; the defaults are what the public network runs. */
export type NetLimits = typeof NET_LIMITS;

export const NET_LIMITS = {
  /** One WebSocket frame. Noise frames are at most 64 KiB, so anything larger is not this protocol. */
  wsFrameBytes: (2 * 1024 * 1024) as number,
  /** A proposal carries its block, so this bounds blocks too. */
  consensusMessageBytes: (4 * 1024 * 1024) as number,
  /** Two transactions of the mempool's largest size (128 KiB), or a batch of small ones. */
  transactionsMessageBytes: (256 * 1024) as number,
  learningMessageBytes: (256 * 1024) as number,
  /** Any single request or answer, blobs included. */
  maxTransferBytes: (64 * 1024 * 1024) as number,
  /** Served to one peer: refill per second and burst. */
  serveBytesPerSecond: (32 * 1024 * 1024) as number,
  serveBurstBytes: (128 * 1024 * 1024) as number,
  /** Gossip accepted from one peer: messages per second and burst. More is dropped and penalised. */
  gossipPerSecond: 400 as number,
  gossipBurst: 2_000 as number,

  /** Connections beyond the reserved slots of authorities. */
  maxInbound: 40 as number,
  maxOutbound: 10 as number,
  /** Hard cap, authorities and half-open connections included. */
  maxConnections: 200 as number,
  /** Connections of one IP address, and of one /24 (IPv4) or /48 (IPv6); loopback is exempt unless capLoopback. */
  maxPerIp: 4 as number,
  maxPerSubnet: 16 as number,
  capLoopback: false as boolean,
  /** New inbound connections a second of one host: a test network starts many nodes on one. */
  inboundPerSecondPerHost: 100 as number,
  /** Connections that have not finished noise and yamux. */
  maxPendingInbound: 32 as number,
  /** A socket that has not become a checked peer by then is closed. */
  handshakeMs: 5_000 as number,
  dialMs: 3_000 as number,

  /** Redial of boot nodes: first wait and cap (doubling between). */
  redialMinMs: 200 as number,
  redialMaxMs: 2_000 as number,
  /** A status older than this is asked for again. */
  statusEveryMs: 3_000 as number,
  /** Peers are asked for more addresses this often while below `wantPeers`. */
  exchangeEveryMs: 5_000 as number,
  /** Outbound dialling by peer exchange stops here. */
  wantPeers: 12 as number,
  exchangePeers: 32 as number,
  addressesPerPeer: 6 as number,
  addressLength: 200 as number,
  /** Peers whose addresses are remembered. */
  addressBook: 1_000 as number,

  /** Points at which a peer is banned, points forgiven a second, and how long a ban lasts. */
  banScore: 100 as number,
  penaltyDecayPerSecond: 0.5 as number,
  banMs: 600_000 as number,
  bannedPeers: 4_096 as number,
  /** Points for one rejected gossip message, one malformed or over-limit request. */
  rejectPoints: 25 as number,
  malformedPoints: 20 as number,
  floodPoints: 1 as number,

  /** Message hashes remembered, so that a message is handed on once. */
  seenMessages: 50_000 as number,
  seenMs: 120_000 as number,
  bootNodes: 64 as number,
  apiUrlLength: 200 as number,
  statusBytes: 4_096 as number,
} as const;
