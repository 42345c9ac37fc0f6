// Owns the assembly of a peer node and its life: host, requests, gossip, peer table, dialler, one timer, one stop.

import { randomBytes } from 'node:crypto';
import { toHex } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { prng } from '../base/prng.ts';
import type { PeerKey, PeerNode, PeerNodeOptions } from './api.ts';
import { parseAddress, remoteEndpoint, toMultiaddr } from './addresses.ts';
import { type Dialler, createDialler } from './dialler.ts';
import { type Gossip, TOPICS, createGossip, topicName } from './gossip.ts';
import { type Connection, type Host, type HostTools, createHost } from './host.ts';
import { NET_LIMITS, type NetLimits } from './limits.ts';
import { type PeerTable, createPeerTable } from './peer-table.ts';
import { type Penalties, createPenalties } from './penalties.ts';
import { type Requests, createRequests } from './requests.ts';
import { type SubnetOf, isCrowded, publicSubnet } from './subnets.ts';

/** The parts of a running node. They know each other through callbacks only; this file ties the knots. */
type Parts = Readonly<{
  options: PeerNodeOptions;
  limits: NetLimits;
  host: Host;
  tools: HostTools;
  penalties: Penalties;
  requests: Requests;
  table: PeerTable;
  gossip: Gossip;
  dialler: Dialler;
  subnetOf: SubnetOf;
}>;

/** libp2p closes a second connection to the same address as soon as it is open. */
const DUPLICATE_MS = 1_000;

/** Prefix of topics and protocols: only nodes of one genesis speak to each other. */
export function networkPrefix(genesisHash: Uint8Array): string {
  return `/pol-node/${toHex(genesisHash.subarray(0, 4)).slice(2)}`;
}

/**
 * Starts a peer node: it listens, dials its boot nodes and keeps dialling.
 * Faults: `bad-address` (listenHost, announce, bootNodes), `port-in-use`, `cannot-listen`, `bad-option`.
 */
export async function createPeerNode(options: PeerNodeOptions): Promise<Result<PeerNode>> {
  check(options.genesisHash.length === 32, 'createPeerNode: genesisHash is 32 bytes');
  check(options.identityKeyBytes.length === 32, 'createPeerNode: identityKeyBytes is 32 bytes');
  const limits: NetLimits = { ...NET_LIMITS, ...options.limits };
  const listen = listenAddress(options);
  if (!listen.ok) return listen;
  const announce = allAddresses(options.announce ?? []);
  if (!announce.ok) return announce;
  const boots = allAddresses([...options.bootNodes, ...(options.knownAddresses ?? [])]);
  if (!boots.ok) return boots;

  const prefix = networkPrefix(options.genesisHash);
  const penalties = createPenalties(limits, options.now);
  let running: Parts | null = null;
  const made = await createHost({
    identityKeyBytes: options.identityKeyBytes,
    listen: listen.value,
    announce: announce.value,
    limits,
    topics: TOPICS.map((topic) => topicName(prefix, topic)),
    denyPeer: (peer) => penalties.isBanned(peer),
    denyInbound: (address) => running !== null && isRefused(running, address),
    onBadFrame: (reason) => options.log('debug', 'socket closed for a bad frame', { reason }),
    peerScore: (peer) => -penalties.points(peer),
  });
  if (!made.ok) return made;
  const parts = assemble(options, limits, prefix, penalties, made.value.host, made.value.tools);
  running = parts;
  for (const address of options.bootNodes) {
    const added = parts.dialler.connect(address);
    if (!added.ok) options.log('warn', 'boot node left out', { address, reason: added.message });
  }
  parts.dialler.remember(options.knownAddresses ?? []);
  return success(run(parts));
}

function listenAddress({ listenHost, port }: PeerNodeOptions): Result<string> {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    return fault('bad-option', `port ${port} is not a whole number from 0 to 65535`);
  }
  const host = listenHost === 'localhost' ? '127.0.0.1' : listenHost;
  const parsed = parseAddress(host.includes(':') ? `[${host}]:1` : `${host}:1`);
  if (!parsed.ok) return fault('bad-address', `listenHost "${listenHost}" is not an IP address`);
  return success(toMultiaddr({ ...parsed.value, port }));
}

function allAddresses(texts: readonly string[]): Result<string[]> {
  const found: string[] = [];
  for (const text of texts) {
    const address = parseAddress(text);
    if (!address.ok) return address;
    found.push(toMultiaddr(address.value));
  }
  return success(found);
}

/** True for an inbound socket whose host already holds its share of the places. Some more may come in, to say who they are:
 * an authority has a place wherever it is. */
function isRefused({ host, table, limits, subnetOf }: Parts, address: string): boolean {
  const remote = remoteEndpoint(address);
  if (remote === null) return false;
  const others = host.getConnections().flatMap(({ direction, remoteAddr, remotePeer }) => {
    if (direction !== 'inbound' || table.isCurrentAuthority(remotePeer.toString())) return [];
    return remoteEndpoint(remoteAddr.toString())?.host ?? [];
  });
  const { maxPerIp, maxPerSubnet, maxUnknownPerSubnet } = limits;
  const most = { maxPerIp: maxPerIp + maxUnknownPerSubnet, maxPerSubnet: maxPerSubnet + maxUnknownPerSubnet };
  return isCrowded(remote.host, others, most, subnetOf);
}

function assemble(
  options: PeerNodeOptions,
  limits: NetLimits,
  prefix: string,
  penalties: Penalties,
  host: Host,
  tools: HostTools,
): Parts {
  const { now, log, subnetOf = publicSubnet, chance = prng(new Uint8Array(randomBytes(32))) } = options;
  const shared = { host, tools, limits, now, log, subnetOf };
  const requests: Requests = createRequests({
    ...shared,
    prefix,
    introduced: (peer) => table.introduced(peer),
    penalise: (peer, points, reason) => penalise(parts, peer, points, reason),
  });
  const table: PeerTable = createPeerTable({
    ...shared,
    chainId: options.chainId,
    genesisHash: options.genesisHash,
    status: options.status,
    binding: options.binding ?? null,
    wallClock: options.wallClock ?? null,
    listen: () => ownAddresses(host),
    sendStatus: (peer, bytes) =>
      requests.request(peer, 'status', bytes, { timeoutMs: limits.statusMs, maxBytes: limits.statusBytes }),
    penaltyOf: penalties.points,
    lied: (peer, reason) => penalise(parts, peer, limits.banScore, reason),
    refused: (peer, refusal) => dialler.refused(peer, refusal),
  });
  const gossip = createGossip({
    ...shared,
    service: host.services.gossip,
    requests,
    prefix,
    peers: () =>
      table.views().map(({ peer, connectedSinceMs }) => {
        return { peer, isAuthority: table.isCurrentAuthority(peer), joinedMs: connectedSinceMs };
      }),
    penalise: (peer, points, reason) => penalise(parts, peer, points, reason),
  });
  const dialler: Dialler = createDialler({
    ...shared,
    table,
    requests,
    chance,
    isAuthority: () => options.binding !== undefined && table.isAuthority(options.binding.address),
    isBanned: penalties.isBanned,
  });
  const parts: Parts = { options, limits, host, tools, penalties, requests, table, gossip, dialler, subnetOf };
  serveOwnProtocols(parts);
  return parts;
}

/** Our multiaddrs without peer id, as a status carries them; forms this network does not dial are left out. */
function ownAddresses(host: Host): string[] {
  return host
    .getMultiaddrs()
    .map((address) => address.toString().replace(/\/p2p\/[^/]+$/, ''))
    .filter((text) => parseAddress(text).ok);
}

function serveOwnProtocols({ requests, table, dialler, limits }: Parts): void {
  const small = { requestsPerSecond: 4, burst: 20, concurrentPerPeer: 4, timeoutMs: limits.handshakeMs };
  const statusBytes = limits.statusBytes;
  requests.handle(
    'status',
    { ...small, maxRequestBytes: statusBytes, maxResponseBytes: statusBytes },
    (bytes, from) => table.answerStatus(bytes, from),
    true,
  );
  requests.handle('peers', { ...small, maxRequestBytes: 0, maxResponseBytes: 256 * 1024 }, async (_bytes, from) =>
    dialler.answerExchange(from),
  );
}

function penalise(parts: Parts, peer: PeerKey, points: number, reason: string): void {
  parts.options.log('debug', 'peer penalised', { peer, points, reason });
  if (parts.penalties.add(peer, points)) ban(parts, peer, reason);
}

function ban({ penalties, table, options }: Parts, peer: PeerKey, reason: string): void {
  if (penalties.isBanned(peer)) return;
  const untilMs = penalties.ban(peer);
  options.log('warn', 'peer banned', { peer, reason });
  table.tell({ kind: 'banned', peer, reason, untilMs });
  drop(options, table.disconnect(peer, `banned: ${reason}`));
}

function drop({ log }: PeerNodeOptions, disconnecting: Promise<void>): void {
  disconnecting.catch((error: unknown) => log('error', 'disconnecting failed', { error: String(error) }));
}

/** Hooks the parts to the host's events and one timer, and gives out the node. */
function run(parts: Parts): PeerNode {
  const { options, limits, host, table, requests, gossip, dialler, penalties } = parts;
  const openedMs = new WeakMap<Connection, number>();
  const onOpen = (event: CustomEvent<Connection>): void => {
    openedMs.set(event.detail, options.now());
    table.opened(event.detail);
  };
  const onClose = (event: CustomEvent<Connection>): void => {
    const peer = event.detail.remotePeer.toString();
    const others = host.getConnections(event.detail.remotePeer).filter((one) => one.status === 'open');
    const livedMs = options.now() - (openedMs.get(event.detail) ?? 0);
    if (others.length === 0) table.closed(peer);
    // Gossip may have lived on the closed one of two connections and would not move: start afresh. A connection closed
    // right after it opened was a duplicate that carried nothing yet.
    else if (livedMs > DUPLICATE_MS) drop(options, table.disconnect(peer, 'one of two connections closed'));
  };
  host.addEventListener('connection:open', onOpen);
  host.addEventListener('connection:close', onClose);
  table.onPeer((event) => {
    if (event.kind === 'joined') dialler.joined(event.peer.peer);
  });
  const tick = (): void => {
    dialler.tick();
    table.refresh();
  };
  const timer = setInterval(tick, limits.redialMinMs);
  tick();
  let stopping: Promise<void> | null = null;

  async function stop(): Promise<void> {
    clearInterval(timer);
    host.removeEventListener('connection:open', onOpen);
    host.removeEventListener('connection:close', onClose);
    requests.stop();
    table.stop();
    let deadline: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      deadline = setTimeout(resolve, limits.stopMs);
    });
    await Promise.race([host.stop(), late]);
    clearTimeout(deadline);
    for (const connection of host.getConnections()) connection.abort(new Error('node stopped'));
  }

  const addresses = (): string[] => host.getMultiaddrs().map(String);
  return {
    peerId: host.peerId.toString(),
    addresses,
    port: remotePort(addresses()) ?? options.port,
    subscribe: gossip.subscribe,
    publish: (topic, bytes) => (stopping === null ? gossip.publish(topic, bytes) : Promise.resolve(stopped())),
    handle: (protocol, caps, answer) => requests.handle(protocol, caps, answer),
    request: requests.request,
    peers: table.views,
    onPeer: table.onPeer,
    setStatus: table.setStatus,
    setAuthorities: table.setAuthorities,
    penalise: (peer, points, reason) => penalise(parts, peer, points, reason),
    ban: (peer, reason) => ban(parts, peer, reason),
    connect: dialler.connect,
    disconnect: table.disconnect,
    knownAddresses: dialler.knownAddresses,
    counters() {
      const { served, refused, bytesIn, bytesOut } = requests.counters();
      const sums = gossip.counters();
      const totals = { bytesIn: sums.bytesIn + bytesIn, bytesOut: sums.bytesOut + bytesOut };
      return { ...sums, ...totals, requestsServed: served, requestsRefused: refused, bans: penalties.bans() };
    },
    stop() {
      stopping ??= stop();
      return stopping;
    },
  };
}

function stopped(): Fault {
  return fault('stopped', 'the peer node is stopped');
}

function remotePort(addresses: readonly string[]): number | null {
  for (const address of addresses) {
    const found = remoteEndpoint(address);
    if (found !== null) return found.port;
  }
  return null;
}
