// Owns the table of connected peers: introductions (status exchange, chain and genesis, binding to an account, slots),
// refreshed claims, and who is told of changes. Dialling is net/dialler.ts; the bytes of a status are net/status.ts.

import { type Hex, toHex } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import type { NodeBinding, ChainStatus, NetLog, PeerEvent, PeerKey, PeerView } from './api.ts';
import { isLoopback, parseAddress, remoteEndpoint, toMultiaddr } from './addresses.ts';
import { verifyBinding } from './node-binding.ts';
import type { Connection, Host, HostTools } from './host.ts';
import type { NetLimits } from './limits.ts';
import { type StatusMessage, decodeStatus, encodeStatus } from './status.ts';
import { type SubnetOf, isCrowded } from './subnets.ts';

type Entry = {
  readonly peer: PeerKey;
  readonly direction: 'inbound' | 'outbound';
  readonly remoteAddress: string;
  readonly connectedSinceMs: number;
  message: StatusMessage;
  account: Hex | null;
  clockOffsetMs: number | null;
  roundTripMs: number | null;
  statusAtMs: number;
  failures: number;
  refreshing: boolean;
};

/** What a checked status says of a peer. */
type Introduction = Pick<Entry, 'message' | 'account' | 'clockOffsetMs'>;
type Waiting = { readonly promise: Promise<boolean>; settle(joined: boolean): void };

export type PeerTable = Readonly<{
  /** A connection opened: introductions start, with a deadline. */
  opened(connection: Connection): void;
  /** The last connection of a peer is gone. */
  closed(peer: PeerKey): void;
  /** Answers a peer's status with ours, or refuses it. */
  answerStatus(bytes: Uint8Array, from: PeerKey): Promise<Uint8Array | Fault>;
  introduced(peer: PeerKey): Promise<boolean>;
  has(peer: PeerKey): boolean;
  views(): readonly PeerView[];
  /** Addresses a peer can be dialled at, the one it was seen at first, without loopback unless asked for. */
  addressesOf(peer: PeerKey, withLoopback: boolean): readonly string[];
  isCurrentAuthority(peer: PeerKey): boolean;
  isAuthority(address: Hex): boolean;
  accountOf(peer: PeerKey): Hex | null;
  /** True while some current authority but this node's is not connected. */
  missesAuthorities(): boolean;
  setStatus(status: ChainStatus): void;
  setAuthorities(addresses: readonly Hex[]): void;
  onPeer(listener: (event: PeerEvent) => void): () => void;
  tell(event: PeerEvent): void;
  disconnect(peer: PeerKey, reason: string): Promise<void>;
  /** Asks peers whose claims are old; called by the node's timer. */
  refresh(): void;
  stop(): void;
}>;

export type PeerTableOptions = Readonly<{
  host: Host;
  tools: HostTools;
  chainId: number;
  genesisHash: Uint8Array;
  status: ChainStatus;
  binding: NodeBinding | null;
  limits: NetLimits;
  subnetOf: SubnetOf;
  /** Our dialable addresses without peer id, told to others. */
  listen(): readonly string[];
  sendStatus(peer: PeerKey, bytes: Uint8Array): Promise<Result<Uint8Array>>;
  penaltyOf(peer: PeerKey): number;
  /** A peer contradicted itself. */
  lied(peer: PeerKey, reason: string): void;
  /** An introduction failed: the dialler waits longer before it tries again. */
  refused(peer: PeerKey, refusal: Fault): void;
  now(): number;
  wallClock: (() => number) | null;
  log: NetLog;
}>;

/** Introductions that fail for no lasting reason: the peer is dialled again at its usual pace. */
export const PASSING_FAULTS: ReadonlySet<string> = new Set([
  'stream-failed',
  'request-timeout',
  'not-connected',
  'stopped',
]);

/** Time for a refusal to reach the peer before the connection is cut. */
const FAREWELL_MS = 250;

export function createPeerTable(options: PeerTableOptions): PeerTable {
  const { host, tools, limits, log, now } = options;
  const genesisHash = toHex(options.genesisHash);
  const entries = new Map<PeerKey, Entry>();
  const waiting = new Map<PeerKey, Waiting>();
  const leaving = new Map<PeerKey, string>();
  const listeners = new Set<(event: PeerEvent) => void>();
  const timers = new Set<NodeJS.Timeout>();
  let status = options.status;
  let authorities: ReadonlySet<string> = new Set();

  function later(ms: number, run: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      timers.delete(timer);
      run();
    }, ms);
    timers.add(timer);
    return timer;
  }

  function tell(event: PeerEvent): void {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        log('error', 'a peer listener threw', { kind: event.kind, error: String(error) });
      }
    }
  }

  function own(): Uint8Array {
    const listen = options.listen().slice(0, limits.addressesPerPeer);
    const clockMs = options.wallClock === null ? null : Math.round(options.wallClock());
    return encodeStatus({
      chainId: options.chainId,
      genesisHash,
      status,
      clockMs,
      listen,
      binding: options.binding,
    });
  }

  function connectionsOf(peer: PeerKey): Connection[] {
    return host.getConnections(tools.peerIdFromString(peer)).filter((one) => one.status === 'open');
  }

  /** How far a clock read now is ahead of ours; `travelMs` is how long the reading was on its way. */
  function offsetOf(clockMs: number | null, travelMs: number): number | null {
    return clockMs === null || options.wallClock === null ? null : clockMs + travelMs - options.wallClock();
  }

  /** Checks a status and enters or refreshes the peer. */
  function accept(peer: PeerKey, bytes: Uint8Array, travelMs: number): Result<Entry> {
    const decoded = decodeStatus(bytes, limits);
    if (!decoded.ok) return decoded;
    const message = decoded.value;
    if (message.chainId !== options.chainId) {
      return fault('wrong-chain', `status.chainId is ${message.chainId}, this chain is ${options.chainId}`);
    }
    if (message.genesisHash.toLowerCase() !== genesisHash) {
      return fault('wrong-genesis', `status.genesisHash is ${message.genesisHash}, this chain's is ${genesisHash}`);
    }
    const known = entries.get(peer);
    const account = checkBinding(peer, message, known);
    if (!account.ok) return account;
    const clockOffsetMs = offsetOf(message.clockMs, travelMs);
    if (known !== undefined) {
      // What is final stays final: a claim that shrinks is meant to keep somebody busy.
      const { height } = known.message.status;
      if (message.status.height < height) {
        // Two exchanges under way at once may end in either order: the older statement is no lie, and no news.
        if (isOlder(message, known.message)) return success(known);
        options.lied(peer, `claims height ${message.status.height} after ${height}`);
      }
      Object.assign(known, { message, account: account.value, clockOffsetMs, statusAtMs: now(), failures: 0 });
      tell({ kind: 'status', peer: viewOf(known) });
      return success(known);
    }
    return enter(peer, { message, account: account.value, clockOffsetMs });
  }

  /** By the sender's own clock; a sender that names no time is taken to speak in order. */
  function isOlder(message: StatusMessage, than: StatusMessage): boolean {
    return message.clockMs !== null && than.clockMs !== null && message.clockMs <= than.clockMs;
  }

  function checkBinding(peer: PeerKey, message: StatusMessage, known: Entry | undefined): Result<Hex | null> {
    const { binding } = message;
    if (binding === null) return success(null);
    const before = known?.message.binding;
    if (before && toHex(before.signature) === toHex(binding.signature) && before.address === binding.address) {
      return success(known?.account ?? null);
    }
    const nodeKey = tools.peerIdFromString(peer).publicKey?.raw;
    if (nodeKey?.length !== 32 || !verifyBinding(binding, options.chainId, options.genesisHash, nodeKey)) {
      return fault('wrong-binding', 'status.binding is not signed by its address for this node key');
    }
    return success(binding.address.toLowerCase() as Hex);
  }

  function enter(peer: PeerKey, introduced: Introduction): Result<Entry> {
    const { account } = introduced;
    const connection = connectionsOf(peer)[0];
    if (connection === undefined) return fault('not-connected', 'the connection closed during introductions');
    const reserved = account !== null && authorities.has(account);
    const strangers = [...entries.values()].filter(
      (one) => one.direction === 'inbound' && !(one.account !== null && authorities.has(one.account)),
    );
    if (!reserved && connection.direction === 'inbound') {
      if (strangers.length >= limits.maxInbound) {
        return fault('too-many-peers', `all ${limits.maxInbound} inbound slots are taken`);
      }
      // Asked again: many sockets can be on their way through the handshake at once.
      const hosts = strangers.map((one) => remoteEndpoint(one.remoteAddress)?.host ?? '');
      if (isCrowded(remoteEndpoint(connection.remoteAddr.toString())?.host ?? '', hosts, limits, options.subnetOf)) {
        return fault('too-many-peers', 'the inbound slots of this subnet are taken');
      }
    }
    const entry: Entry = {
      peer,
      direction: connection.direction,
      remoteAddress: connection.remoteAddr.toString(),
      connectedSinceMs: now(),
      ...introduced,
      roundTripMs: null,
      statusAtMs: now(),
      failures: 0,
      refreshing: false,
    };
    entries.set(peer, entry);
    waiting.get(peer)?.settle(true);
    log('info', 'peer joined', { peer, direction: entry.direction, height: introduced.message.status.height });
    tell({ kind: 'joined', peer: viewOf(entry) });
    return success(entry);
  }

  async function exchange(peer: PeerKey): Promise<Result<void>> {
    const startMs = now();
    const answer = await options.sendStatus(peer, own());
    if (!answer.ok) return answer;
    const tookMs = now() - startMs;
    const accepted = accept(peer, answer.value, tookMs / 2);
    if (!accepted.ok) return accepted;
    accepted.value.roundTripMs = tookMs;
    return success(undefined);
  }

  async function introduce(peer: PeerKey): Promise<void> {
    const result = await exchange(peer);
    if (!result.ok && result.code !== 'stopped') await refuse(peer, result);
  }

  async function refuse(peer: PeerKey, refusal: Fault): Promise<void> {
    if (entries.has(peer)) return;
    log(PASSING_FAULTS.has(refusal.code) ? 'debug' : 'warn', 'peer refused', {
      peer,
      code: refusal.code,
      reason: refusal.message,
    });
    options.refused(peer, refusal);
    await disconnect(peer, refusal.message);
  }

  function opened(connection: Connection): void {
    const peer = connection.remotePeer.toString();
    if (!entries.has(peer) && !waiting.has(peer)) startWaiting(peer);
    if (connection.direction !== 'outbound') return;
    introduce(peer).catch((error: unknown) => log('error', 'introduction failed', { peer, error: String(error) }));
  }

  function startWaiting(peer: PeerKey): void {
    let resolve: (joined: boolean) => void = () => undefined;
    const promise = new Promise<boolean>((onResolve) => {
      resolve = onResolve;
    });
    const timer = later(limits.handshakeMs, () => {
      waiting.get(peer)?.settle(false);
      if (!entries.has(peer)) void refuse(peer, fault('no-introduction', `no status in ${limits.handshakeMs} ms`));
    });
    const settle = (joined: boolean): void => {
      clearTimeout(timer);
      timers.delete(timer);
      waiting.delete(peer);
      resolve(joined);
    };
    waiting.set(peer, { promise, settle });
  }

  async function disconnect(peer: PeerKey, reason: string): Promise<void> {
    leaving.set(peer, reason);
    for (const connection of connectionsOf(peer)) {
      await connection.close({ signal: AbortSignal.timeout(500) }).catch((error: Error) => connection.abort(error));
    }
    if (connectionsOf(peer).length === 0) closed(peer);
  }

  function closed(peer: PeerKey): void {
    const reason = leaving.get(peer) ?? 'connection closed';
    leaving.delete(peer);
    waiting.get(peer)?.settle(false);
    if (!entries.delete(peer)) return;
    log('info', 'peer left', { peer, reason });
    tell({ kind: 'left', peer, reason });
  }

  async function refreshOne(entry: Entry): Promise<void> {
    entry.refreshing = true;
    const result = await exchange(entry.peer);
    entry.refreshing = false;
    if (result.ok || entries.get(entry.peer) !== entry) return;
    entry.failures += 1;
    const isWrong = ['wrong-', 'malformed-'].some((prefix) => result.code.replace('peer-', '').startsWith(prefix));
    if (isWrong || entry.failures >= limits.statusFailures) {
      await disconnect(entry.peer, `status exchange failed: ${result.message}`);
    }
  }

  const viewOf = (entry: Entry): PeerView =>
    peerView(entry, options.penaltyOf(entry.peer), entry.account !== null && authorities.has(entry.account));

  function addressesOf(peer: PeerKey, withLoopback: boolean): readonly string[] {
    const entry = entries.get(peer);
    if (entry === undefined) return [];
    const remote = remoteEndpoint(entry.remoteAddress);
    const found = new Set<string>();
    const listen = entry.message.listen.flatMap((text) => {
      const address = parseAddress(text);
      return address.ok ? [address.value] : [];
    });
    for (const { port, secure } of listen) {
      if (remote !== null && !secure) found.add(toMultiaddr({ host: remote.host, port, secure, peer }));
    }
    // What a peer says of loopback means this machine only when it came from this machine.
    for (const address of listen) {
      if (!isLoopback(address.host) || (remote !== null && isLoopback(remote.host))) {
        found.add(toMultiaddr({ ...address, peer }));
      }
    }
    const usable = [...found].filter((text) => withLoopback || !isLoopback(remoteEndpoint(text)?.host ?? ''));
    return usable.slice(0, limits.addressesPerPeer);
  }

  return {
    opened,
    closed,
    disconnect,
    addressesOf,
    tell,
    async answerStatus(bytes, from) {
      const accepted = accept(from, bytes, 0);
      if (accepted.ok) return own();
      later(FAREWELL_MS, () => void refuse(from, accepted));
      return accepted;
    },
    introduced: (peer) =>
      entries.has(peer) ? Promise.resolve(true) : (waiting.get(peer)?.promise ?? Promise.resolve(false)),
    has: (peer) => entries.has(peer),
    views() {
      const all = [...entries.values()].map(viewOf);
      return [...all.filter((one) => one.authority !== null), ...all.filter((one) => one.authority === null)];
    },
    isCurrentAuthority(peer) {
      const account = entries.get(peer)?.account ?? null;
      return account !== null && authorities.has(account);
    },
    isAuthority: (address) => authorities.has(address),
    accountOf: (peer) => entries.get(peer)?.account ?? null,
    missesAuthorities() {
      const met = new Set([...entries.values()].map(({ account }) => account));
      return [...authorities].some((one) => one !== options.binding?.address && !met.has(one as Hex));
    },
    setStatus(next) {
      status = next;
    },
    setAuthorities(addresses) {
      authorities = new Set(addresses.map((address) => address.toLowerCase()));
    },
    onPeer(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    refresh() {
      const before = now() - limits.statusEveryMs;
      for (const entry of entries.values()) {
        if (entry.refreshing || entry.statusAtMs > before) continue;
        refreshOne(entry).catch((error: unknown) => log('error', 'status refresh failed', { error: String(error) }));
      }
    },
    stop() {
      for (const timer of timers) clearTimeout(timer);
      for (const one of waiting.values()) one.settle(false);
      listeners.clear();
      entries.clear();
    },
  };
}

function peerView(entry: Entry, penalty: number, isAuthority: boolean): PeerView {
  const { peer, direction, remoteAddress, message, account, roundTripMs, clockOffsetMs, connectedSinceMs } = entry;
  const listenAddresses = message.listen.map((address) => `${address}/p2p/${peer}`);
  const { status } = message;
  return {
    peer,
    direction,
    remoteAddress,
    listenAddresses,
    status,
    account,
    authority: isAuthority ? account : null,
    roundTripMs,
    clockOffsetMs,
    penalty,
    connectedSinceMs,
  };
}
