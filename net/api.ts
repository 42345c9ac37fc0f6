// Owns the words other layers use to talk about peers: what a peer node is given, what it offers, what it refuses.
// Bytes in, bytes out: the meaning of messages, statuses' truth and the keys themselves belong to the callers.

import type { Hex } from '../base/bytes.ts';
import type { Fault, Result } from '../base/fault.ts';
import type { Prng } from '../base/prng.ts';
import type { NetLimits } from './limits.ts';
import type { SubnetOf } from './subnets.ts';

/** Text form of a libp2p peer id (base58 of the Ed25519 public key's multihash). */
export type PeerKey = string;

/** Gossip topics; on the wire `/pol-node/<first 8 hex digits of the genesis hash>/<topic>`. */
export type Topic = 'consensus' | 'transactions' | 'learning';

/**
 * What a subscriber says of a message. `accept` forwards it to other peers; `ignore` drops it without blame (stale,
 * unknown yet, duplicate); `reject` drops it and counts against the sender, so it is only for faults that any honest
 * peer would have seen; `ban` ends the connection, for faults that no honest peer passes on: malformed bytes, bad
 * signatures.
 */
export type Verdict = 'accept' | 'ignore' | 'reject' | 'ban';

/**
 * Called for each distinct message of a topic, never for one's own. One that was accepted or rejected does not come
 * again (within `seenMs`); one that was ignored may. Throwing counts as `ignore` and is logged.
 */
export type Receive = (bytes: Uint8Array, from: PeerKey) => Verdict | Promise<Verdict>;

export type Role = 'authority' | 'trainer' | 'regular';

/** What a node claims about its chain; each side tells the other on connecting and every few seconds after. */
export type ChainStatus = Readonly<{
  height: number;
  /** 32-byte hash of the block at `height`. */
  headHash: Hex;
  role: Role;
  /** Base URL of the node's HTTP API, or '' when it offers none. At most 200 characters. */
  apiUrl: string;
}>;

/**
 * Binds a node key to an account: `signature` (65 bytes) is made by the account's key over `nodeBindingDigest(...)` of
 * net/node-binding.ts. Noise proves the node key on every connection, so a peer with another node key cannot replay it.
 */
export type NodeBinding = Readonly<{ address: Hex; signature: Uint8Array }>;

export type PeerView = Readonly<{
  peer: PeerKey;
  direction: 'inbound' | 'outbound';
  /** Remote multiaddr of the connection. */
  remoteAddress: string;
  /** Addresses the peer can be dialled at, as it announced them. */
  listenAddresses: readonly string[];
  /** Claimed, not proven. */
  status: ChainStatus;
  /** Address whose key signed for this peer's node key (signature checked), else null. Anyone has keys. */
  account: Hex | null;
  /** The same where it is a current authority's, else null. */
  authority: Hex | null;
  /** Milliseconds of the last status exchange, or null before the first. */
  roundTripMs: number | null;
  /** Milliseconds by which the peer's clock is ahead of ours, as far as its status tells; null when it names none. */
  clockOffsetMs: number | null;
  /** Misbehaviour points, decaying; at `limits.banScore` the peer is banned. */
  penalty: number;
  connectedSinceMs: number;
}>;

export type PeerEvent =
  | Readonly<{ kind: 'joined'; peer: PeerView }>
  | Readonly<{ kind: 'status'; peer: PeerView }>
  | Readonly<{ kind: 'left'; peer: PeerKey; reason: string }>
  | Readonly<{ kind: 'banned'; peer: PeerKey; reason: string; untilMs: number }>;

/** Limits of one request protocol. */
export type ProtocolLimits = Readonly<{
  maxRequestBytes: number;
  maxResponseBytes: number;
  /** Token bucket of each asking peer. */
  requestsPerSecond: number;
  burst: number;
  /** Requests of one peer being answered at a time. */
  concurrentPerPeer: number;
  /** Milliseconds a handler may take, and a peer may take to send its request. */
  timeoutMs: number;
}>;

/** Answers one request. A returned Fault travels to the asker; a throw becomes Fault `handler-failed` and is logged. */
export type Answer = (request: Uint8Array, from: PeerKey) => Promise<Uint8Array | Fault>;

export type RequestOptions = Readonly<{ timeoutMs: number; maxBytes: number; signal?: AbortSignal }>;

export type NetLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, string | number | boolean>>,
) => void;

export type PeerNodeOptions = Readonly<{
  /** Ed25519 seed of 32 bytes: the node's identity. */
  identityKeyBytes: Uint8Array;
  /** IP address to listen on, for example 127.0.0.1, 0.0.0.0 or ::. */
  listenHost: string;
  /** TCP port; 0 picks a free one. */
  port: number;
  /** Addresses to tell others instead of the listening ones: host:port, URLs or multiaddrs. */
  announce?: readonly string[];
  /** "host:port", "ws://host:port", "wss://host:port" or multiaddrs, with or without peer id. */
  bootNodes: readonly string[];
  /** Addresses with peer ids saved by `knownAddresses()` in an earlier run; the first ones are tried first. */
  knownAddresses?: readonly string[];
  chainId: number;
  /** 32 bytes. */
  genesisHash: Uint8Array;
  /** What to claim until `setStatus` is called. */
  status: ChainStatus;
  /** Sent by nodes whose account matters to others: authorities and trainers. */
  binding?: NodeBinding;
  limits?: Partial<NetLimits>;
  /** The subnet a host counts against, null for hosts without a limit; left out, `publicSubnet` of net/subnets.ts. */
  subnetOf?: SubnetOf;
  /** The order in which strangers are tried; left out, nobody can foretell it. */
  chance?: Prng;
  /** Monotonic milliseconds. */
  now(): number;
  /** Milliseconds since 1970, told to peers so that all can compare; left out, no time is told or compared. */
  wallClock?(): number;
  log: NetLog;
}>;

export type PeerNode = Readonly<{
  peerId: PeerKey;
  /** Multiaddrs with this node's peer id that others can use as boot nodes. */
  addresses(): readonly string[];
  /** The TCP port in use. */
  port: number;

  /** One subscriber a topic; the returned function ends the subscription. */
  subscribe(topic: Topic, receive: Receive): () => void;
  /**
   * Sends to every peer of the topic. The value is the number of peers it was handed to; 0 is no error.
   * Faults: `message-too-large`, `stopped`, `publish-failed`.
   */
  publish(topic: Topic, bytes: Uint8Array): Promise<Result<number>>;

  /** Answers `protocol` (a name like "blocks"; letters, digits, dashes). Once per name. */
  handle(protocol: string, limits: ProtocolLimits, answer: Answer): void;
  /**
   * Asks one peer. Faults: what the peer answered (its code prefixed `peer-`), or `not-connected`,
   * `unsupported-protocol`, `request-timeout`, `response-too-large`, `malformed-response`, `stream-failed`, `stopped`.
   */
  request(peer: PeerKey, protocol: string, bytes: Uint8Array, options: RequestOptions): Promise<Result<Uint8Array>>;

  /** Peers whose chain, genesis and binding have been checked; current authorities first. */
  peers(): readonly PeerView[];
  /** Calls back on every change; the returned function stops that. */
  onPeer(listener: (event: PeerEvent) => void): () => void;
  /** The claims sent to others from now on. */
  setStatus(status: ChainStatus): void;
  /** Current authority addresses (lower-case hex): their peers have reserved slots and get consensus bytes directly. */
  setAuthorities(addresses: readonly Hex[]): void;

  /** Adds misbehaviour points (100 bans for `limits.banMs`). */
  penalise(peer: PeerKey, points: number, reason: string): void;
  ban(peer: PeerKey, reason: string): void;
  /** Starts dialling an address (same forms as boot nodes) until it answers; again whenever it is lost. */
  connect(address: string): Result<void>;
  disconnect(peer: PeerKey, reason: string): Promise<void>;
  /** Dialable addresses with peer ids for `knownAddresses` of the next run, those longest reached by this node first. */
  knownAddresses(): readonly string[];
  counters(): NetCounters;

  /** Closes everything within 2 s. Idempotent. */
  stop(): Promise<void>;
}>;

export type NetCounters = Readonly<{
  messagesIn: number;
  messagesOut: number;
  bytesIn: number;
  bytesOut: number;
  rejected: number;
  requestsServed: number;
  requestsRefused: number;
  bans: number;
}>;
