// Owns every limit of the network layer: sizes in bytes, times in milliseconds, each with its reason.

/** Values a node may override; the defaults are what the public network runs. */
export type NetLimits = typeof NET_LIMITS;

export const NET_LIMITS = {
  /** WebSocket fragments of one message and unparsed chunks held (ws allows 16,384 and 262,144). */
  wsFragments: 16,
  wsBufferedChunks: 1_024,
  /** One WebSocket frame. Noise frames are at most 64 KiB, so anything larger is not this protocol. */
  wsFrameBytes: 2 * 1024 * 1024,
  /** A proposal carries its block, so this bounds blocks too. */
  consensusMessageBytes: 4 * 1024 * 1024,
  /** Two transactions of the mempool's largest size (128 KiB), or a batch of small ones. */
  transactionsMessageBytes: 256 * 1024,
  learningMessageBytes: 256 * 1024,
  /** Any single request or answer, blobs included. */
  maxTransferBytes: 64 * 1024 * 1024,
  /** Served to one peer: refill per second and burst. */
  serveBytesPerSecond: 32 * 1024 * 1024,
  serveBurstBytes: 128 * 1024 * 1024,
  /** Gossip accepted from one peer: messages per second and burst. More is dropped and penalised. */
  gossipPerSecond: 1_500,
  gossipBurst: 10_000,

  /** Connections beyond the reserved slots of authorities. */
  maxInbound: 40,
  maxOutbound: 10,
  /** Hard cap, authorities and half-open connections included. */
  maxConnections: 200,
  /** Inbound places of one IP address (a few nodes behind one router), and of one /24 (IPv4) or /48 (IPv6): a fifth of all.
   * Loopback and private networks are exempt, and so are current authorities. */
  maxPerIp: 4,
  maxPerSubnet: 8,
  /** Connections of one subnet beyond these while they say who they are: one may be an authority. */
  maxUnknownPerSubnet: 4,
  /** Connections a node makes itself, however many others make to it, and the subnets they must lie in: whoever fills the
   * inbound places decides nothing about these. */
  minOutbound: 4,
  minOutboundSubnets: 3,
  /** Connections made to addresses of one subnet, beyond boot nodes and authorities. */
  maxOutboundPerSubnet: 2,
  /** Peers reached in the run before that are tried first. */
  anchors: 4,
  /** Addresses handed to the next run. */
  savedPeers: 64,
  /** New inbound connections a second of one host: a test network starts many nodes on one. */
  inboundPerSecondPerHost: 100,
  /** Connections that have not finished noise and yamux. */
  maxPendingInbound: 32,
  /** A socket that has not become a checked peer by then is closed. */
  handshakeMs: 5_000,
  dialMs: 5_000,

  /** Redial of boot nodes: first wait and cap (doubling between). */
  redialMinMs: 200,
  redialMaxMs: 2_000,
  /** Wait before dialling an address again whose node refused us (other chain, no free slot). */
  refusedRedialMs: 10_000,
  /** Cap of the doubling wait for addresses learnt from others. */
  strangerRedialMaxMs: 15_000,
  /** Status exchanges that may fail one after the other before a peer counts as gone. */
  statusFailures: 3,
  /** Time for a status answer: longer than a busy node's event loop is ever blocked. */
  statusMs: 10_000,
  /** A status older than this is asked for again. */
  statusEveryMs: 3_000,
  /** Peers are asked for more addresses this often while below `wantPeers`. */
  exchangeEveryMs: 2_000,
  /** Outbound dialling by peer exchange stops here. */
  wantPeers: 12,
  exchangePeers: 32,
  addressesPerPeer: 6,
  addressLength: 200,
  /** Peers whose addresses are remembered. */
  addressBook: 1_000,
  /** Of them, not yet reached: those of one subnet, and those told by peers of one subnet. */
  bookPerSubnet: 16,
  bookPerSource: 128,

  /** Points at which a peer is banned, points forgiven a second, and how long a ban lasts. */
  banScore: 100,
  penaltyDecayPerSecond: 0.5,
  banMs: 600_000,
  bannedPeers: 4_096,
  /** Points for one rejected gossip message, one malformed or over-limit request. */
  rejectPoints: 25,
  malformedPoints: 20,
  floodPoints: 1,
  /** Points for a message over the gossip rate: an honest node may pass a burst of transactions on. */
  gossipFloodPoints: 0.1,

  /** Message hashes remembered, so that a message is handed on once. */
  seenMessages: 50_000,
  seenMs: 120_000,
  bootNodes: 64,
  apiUrlLength: 200,
  statusBytes: 4_096,
  /** Own messages handed directly to a peer that gossip does not reach yet: how long after it joined. */
  directAfterJoinMs: 5_000,
  /** The same for a peer that has named no topic yet: on a busy machine its gossip stream comes late. */
  gossipSetupMs: 60_000,
  /** Requests of this node under way at a time, all peers together. */
  requestsInFlight: 512,
  stopMs: 1_500,
};
