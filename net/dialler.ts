// Owns whom to dial and when: boot nodes for as long as the node runs, authorities' peers, and strangers learnt by peer
// exchange while there are too few peers, or too few subnets among those this node chose itself. Connections once made are
// net/peer-table.ts, what is remembered is net/address-book.ts.

import { type Hex, isHex, utf8 } from '../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import type { Prng } from '../base/prng.ts';
import type { NetLog, PeerKey } from './api.ts';
import { type PeerAddress, endpointOf, isLoopback, parseAddress, remoteEndpoint, toMultiaddr } from './addresses.ts';
import type { Host, HostTools } from './host.ts';
import type { NetLimits } from './limits.ts';
import { type Known, type Schedule, createAddressBook, hostOf } from './address-book.ts';
import { PASSING_FAULTS, type PeerTable } from './peer-table.ts';
import type { Requests } from './requests.ts';
import type { SubnetOf } from './subnets.ts';

/** An address somebody named: dialled until it answers, and again whenever it is lost. */
type Boot = Schedule & { readonly address: PeerAddress; peer: PeerKey | null; isSelf: boolean };
/** What others say of a peer: where it is, and whose authority it is. */
type Heard = Readonly<{ addresses: readonly string[]; authority: Hex | null }>;

/** Peers now, those this node chose, and how many of the latter each subnet holds. */
type Outbound = Readonly<{ total: number; outbound: number; bySubnet: ReadonlyMap<string, number> }>;

export type Dialler = Readonly<{
  connect(address: string): Result<void>;
  /** Takes addresses with peer ids saved by an earlier run into the address book. */
  remember(addresses: readonly string[]): void;
  /** Answers a peer that asks for others. */
  answerExchange(from: PeerKey): Uint8Array;
  joined(peer: PeerKey): void;
  refused(peer: PeerKey, refusal: Fault): void;
  tick(): void;
  knownAddresses(): readonly string[];
}>;

export type DiallerOptions = Readonly<{
  host: Host;
  tools: HostTools;
  limits: NetLimits;
  table: PeerTable;
  requests: Requests;
  /** True when this node is an authority's, so it keeps links to all others. */
  isAuthority(): boolean;
  subnetOf: SubnetOf;
  chance: Prng;
  isBanned(peer: PeerKey): boolean;
  now(): number;
  log: NetLog;
}>;

export function createDialler(options: DiallerOptions): Dialler {
  const { host, tools, limits, table, log, now } = options;
  const self = host.peerId.toString();
  const boots: Boot[] = [];
  const exchangedMs = new Map<PeerKey, number>();

  const schedule = (): Schedule => ({ nextMs: now(), waitMs: limits.redialMinMs, dialling: false });

  function isConnected(peer: PeerKey): boolean {
    return table.has(peer) || host.getConnections(tools.peerIdFromString(peer)).length > 0;
  }

  const { subnetOf, chance } = options;
  const book = createAddressBook({ limits, subnetOf, isConnected, chance });

  async function dial(target: Schedule, addresses: readonly string[], capMs: number): Promise<PeerKey | null> {
    target.dialling = true;
    // Counted as a failure until the peer joins, so a node that accepts and drops us is not dialled in a tight loop.
    target.nextMs = now() + target.waitMs;
    target.waitMs = Math.min(capMs, target.waitMs * 2);
    try {
      const connection = await host.dial(addresses.map((text) => tools.multiaddr(text)));
      return connection.remotePeer.toString();
    } catch (error) {
      if (String(error).includes('dial self')) return self;
      log('debug', 'dial failed', { address: addresses[0] ?? '', error: String(error).slice(0, 200) });
      target.nextMs = Math.max(target.nextMs, now() + limits.redialMinMs);
      return null;
    } finally {
      target.dialling = false;
    }
  }

  async function dialBoot(boot: Boot): Promise<void> {
    const peer = await dial(boot, [toMultiaddr(boot.address)], limits.redialMaxMs);
    boot.isSelf = peer === self;
    if (peer !== null) boot.peer = peer;
  }

  function seenEndpoints(): Map<string, PeerKey> {
    const found = new Map<string, PeerKey>();
    for (const { peer } of table.views()) {
      for (const text of table.addressesOf(peer, true)) {
        const endpoint = remoteEndpoint(text);
        if (endpoint !== null) found.set(endpointOf(endpoint), peer);
      }
    }
    return found;
  }

  function tickBoots(): void {
    const time = now();
    const due = boots.filter((boot) => !boot.isSelf && !boot.dialling);
    const endpoints = due.some((boot) => boot.peer === null) ? seenEndpoints() : null;
    for (const boot of due) {
      boot.peer ??= endpoints?.get(endpointOf(boot.address)) ?? null;
      if (boot.peer !== null && table.has(boot.peer)) Object.assign(boot, schedule());
      else if (time < boot.nextMs) continue;
      if (boot.peer !== null && (isConnected(boot.peer) || book.get(boot.peer)?.dialling === true)) continue;
      dialBoot(boot).catch((error: unknown) => log('error', 'dialling failed', { error: String(error) }));
    }
  }

  /** Peers this node has dialled that have not introduced themselves yet, by the host of their connection. */
  function introducing(): Map<PeerKey, string> {
    const found = new Map<PeerKey, string>();
    for (const { direction, remotePeer, remoteAddr } of host.getConnections()) {
      const peer = remotePeer.toString();
      if (direction !== 'outbound' || table.has(peer) || book.get(peer)?.dialling === true) continue;
      found.set(peer, remoteEndpoint(remoteAddr.toString())?.host ?? '');
    }
    return found;
  }

  /** Whom this node connected to, or is dialling now. */
  function outboundNow(): Outbound {
    const views = table.views();
    const dialling = [...book.values()].filter((known) => known.dialling);
    const fresh = introducing();
    const outbound = views.filter((one) => one.direction === 'outbound');
    const bySubnet = new Map<string, number>();
    const count = (peer: PeerKey, hosts: readonly string[]): void => {
      for (const subnet of new Set(hosts.map((host) => subnetOf(host) ?? peer))) {
        bySubnet.set(subnet, (bySubnet.get(subnet) ?? 0) + 1);
      }
    };
    for (const { peer, remoteAddress } of outbound) count(peer, [remoteEndpoint(remoteAddress)?.host ?? '']);
    for (const { peer, addresses } of dialling) count(peer, addresses.map(hostOf));
    for (const [peer, remote] of fresh) count(peer, [remote]);
    const coming = dialling.length + fresh.size;
    return { total: views.length + coming, outbound: outbound.length + coming, bySubnet };
  }

  /** What is still missing: any peer, or one of a subnet this node has none of, or nothing. */
  function missing({ total, outbound, bySubnet }: Outbound): 'peer' | 'subnet' | null {
    if (outbound >= limits.maxOutbound) return null;
    if (total < limits.wantPeers || outbound < limits.minOutbound) return 'peer';
    return bySubnet.size < limits.minOutboundSubnets ? 'subnet' : null;
  }

  /** A peer's addresses in subnets this node has not chosen often enough. */
  function openAddresses({ peer, addresses }: Known, { bySubnet }: Outbound, most: number): readonly string[] {
    return addresses.filter((text) => (bySubnet.get(subnetOf(hostOf(text)) ?? peer) ?? 0) < most);
  }

  function isDue(known: Known): boolean {
    if (known.dialling || now() < known.nextMs || known.addresses.length === 0) return false;
    // A boot node's own schedule dials it; two dials at once would make two connections, one of which is cut.
    if (boots.some((boot) => boot.peer === known.peer)) return false;
    return !options.isBanned(known.peer) && !isConnected(known.peer);
  }

  function dialKnown(known: Known, addresses: readonly string[], capMs: number): void {
    dial(known, addresses, capMs).catch((error: unknown) => log('error', 'dialling failed', { error: String(error) }));
  }

  function tickStrangers(): void {
    const isWanted = ({ authority }: Known): boolean =>
      options.isAuthority() && authority !== null && table.isAuthority(authority);
    for (const known of book.values()) {
      if (isWanted(known) && isDue(known)) dialKnown(known, known.addresses, limits.redialMaxMs);
    }
    let outbound = outboundNow();
    if (missing(outbound) === null || ![...book.values()].some(isDue)) return;
    for (const known of book.order().filter(isDue)) {
      const lack = missing(outbound);
      if (lack === null) return;
      const addresses = openAddresses(known, outbound, lack === 'subnet' ? 1 : limits.maxOutboundPerSubnet);
      if (addresses.length === 0) continue;
      dialKnown(known, addresses, limits.strangerRedialMaxMs);
      outbound = outboundNow();
    }
  }

  function tickExchange(): void {
    const views = table.views();
    // An authority asks on until it has met every other one, however many strangers there are.
    if (missing(outboundNow()) === null && !(options.isAuthority() && table.missesAuthorities())) return;
    const due = now() - limits.exchangeEveryMs;
    for (const { peer } of views) {
      if ((exchangedMs.get(peer) ?? -Infinity) > due) continue;
      exchangedMs.set(peer, now());
      exchange(peer).catch((error: unknown) => log('error', 'peer exchange failed', { error: String(error) }));
    }
    for (const peer of exchangedMs.keys()) if (!table.has(peer)) exchangedMs.delete(peer);
  }

  async function exchange(peer: PeerKey): Promise<void> {
    const maxBytes = limits.exchangePeers * limits.addressesPerPeer * (limits.addressLength + 8);
    const timeoutMs = limits.handshakeMs;
    const answer = await options.requests.request(peer, 'peers', new Uint8Array(0), { timeoutMs, maxBytes });
    if (!answer.ok) return;
    for (const [key, heard] of decodeExchange(answer.value, limits)) learn(key, heard, peer);
  }

  /** Takes in what is said of a peer, by somebody else or by itself. */
  function learn(peer: PeerKey, heard: Heard, from: PeerKey | null, isAnchor = false): void {
    if (peer === self || options.isBanned(peer)) return;
    const { addresses, authority } = heard;
    const known = book.get(peer);
    // Hearsay never replaces the addresses of a peer that has been met.
    if (known === undefined) {
      book.add({ peer, addresses, authority, isAnchor, source: from === null ? null : sourceOf(from) }, schedule());
    } else if (from === peer || !known.hasJoined) book.move(known, addresses);
  }

  function sourceOf(from: PeerKey): string {
    const view = table.views().find(({ peer }) => peer === from);
    return subnetOf(remoteEndpoint(view?.remoteAddress ?? '')?.host ?? '') ?? from;
  }

  return {
    connect(text) {
      const address = parseAddress(text);
      if (!address.ok) return address;
      const endpoint = endpointOf(address.value);
      if (boots.some((boot) => endpointOf(boot.address) === endpoint)) return success(undefined);
      if (boots.length >= limits.bootNodes)
        return fault('too-many-addresses', `more than ${limits.bootNodes} boot nodes`);
      boots.push({ ...schedule(), address: address.value, peer: address.value.peer, isSelf: false });
      return success(undefined);
    },
    remember(addresses) {
      const byPeer = new Map<PeerKey, string[]>();
      for (const text of addresses) {
        const address = parseAddress(text);
        if (!address.ok || address.value.peer === null) continue;
        const known = byPeer.get(address.value.peer) ?? [];
        if (known.length < limits.addressesPerPeer) byPeer.set(address.value.peer, [...known, text]);
      }
      let anchors = limits.anchors;
      for (const [peer, known] of byPeer) learn(peer, { addresses: known, authority: null }, null, anchors-- > 0);
    },
    answerExchange(from) {
      const view = table.views().find((one) => one.peer === from);
      const withLoopback = isLoopback(remoteEndpoint(view?.remoteAddress ?? '')?.host ?? '');
      const peers = table
        .views()
        .filter(({ peer }) => peer !== from)
        .map(({ peer, authority }) => ({ peer, addresses: table.addressesOf(peer, withLoopback), authority }))
        .filter(({ addresses }) => addresses.length > 0)
        .slice(0, limits.exchangePeers);
      return utf8(JSON.stringify(peers));
    },
    joined(peer) {
      const authority = table.accountOf(peer);
      learn(peer, { addresses: table.addressesOf(peer, true), authority }, peer);
      const entry = book.get(peer);
      if (entry === undefined) return;
      const isOutbound = table.views().some((one) => one.peer === peer && one.direction === 'outbound');
      Object.assign(entry, schedule(), { hasJoined: true, wasReached: entry.wasReached || isOutbound, authority });
    },
    refused(peer, refusal) {
      if (PASSING_FAULTS.has(refusal.code)) return;
      const nextMs = now() + limits.refusedRedialMs;
      for (const boot of boots) if (boot.peer === peer) boot.nextMs = nextMs;
      const entry = book.get(peer);
      if (entry !== undefined) entry.nextMs = nextMs;
      log('debug', 'redial later', { peer, code: refusal.code });
    },
    tick() {
      tickBoots();
      tickStrangers();
      tickExchange();
    },
    knownAddresses() {
      const since = new Map(table.views().map(({ peer, connectedSinceMs }) => [peer, connectedSinceMs]));
      const reached = [...book.values()].filter(({ hasJoined, wasReached }) => hasJoined && wasReached);
      const others = [...book.values()].filter(({ hasJoined, wasReached }) => hasJoined && !wasReached);
      const age = ({ peer }: Known): number => since.get(peer) ?? Number.MAX_VALUE;
      const list = [...reached.sort((a, b) => age(a) - age(b)), ...others];
      return list.slice(0, limits.savedPeers).flatMap(({ addresses }) => addresses);
    },
  };
}

/** Reads another peer's list; entries that are not well formed are left out. */
function decodeExchange(bytes: Uint8Array, limits: NetLimits): Map<PeerKey, Heard> {
  const found = new Map<PeerKey, Heard>();
  let list: unknown;
  try {
    list = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return found;
  }
  if (!Array.isArray(list)) return found;
  for (const item of list.slice(0, limits.exchangePeers)) {
    const { peer, addresses, authority } = (item ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof peer !== 'string' || !Array.isArray(addresses)) continue;
    const usable = addresses.slice(0, limits.addressesPerPeer).filter((text): text is string => {
      const address = typeof text === 'string' ? parseAddress(text) : null;
      return address?.ok === true && address.value.peer === peer;
    });
    const named = isHex(authority, 20) ? (authority.toLowerCase() as Hex) : null;
    if (usable.length > 0) found.set(peer, { addresses: usable, authority: named });
  }
  return found;
}
