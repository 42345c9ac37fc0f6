// Owns the text forms of peer addresses: what people write (host:port, URLs) and multiaddrs, and which hosts are loopback.

import { isIP } from 'node:net';
import { type Result, fault, success } from '../base/fault.ts';
import { NET_LIMITS } from './limits.ts';

const HOST_NAME = /^(?=.{1,253}$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,62})(?:\.[a-zA-Z0-9-]{1,63})*\.?$/;
const MULTIADDR =
  /^\/(ip4|ip6|dns|dns4|dns6)\/([^/]{1,253})\/tcp\/(\d{1,5})((?:\/tls)?\/wss?)?(?:\/p2p\/([1-9A-HJ-NP-Za-km-z]{32,64}))?$/;

/** Parts of a dialable address. `peer` is null when it is learnt by dialling. */
export type PeerAddress = Readonly<{ host: string; port: number; secure: boolean; peer: string | null }>;

/** Reads "host:port", "[v6]:port", "ws://host:port", "wss://host:port" or a WebSocket multiaddr. */
export function parseAddress(text: string): Result<PeerAddress> {
  if (typeof text !== 'string' || text.length === 0 || text.length > NET_LIMITS.addressLength) {
    return refuse(text, `is not 1 to ${NET_LIMITS.addressLength} characters`);
  }
  return text.startsWith('/') ? parseMultiaddr(text) : parseHostPort(text);
}

function parseMultiaddr(text: string): Result<PeerAddress> {
  const match = MULTIADDR.exec(text);
  if (match === null) return refuse(text, 'is not a WebSocket multiaddr such as /ip4/10.0.0.1/tcp/8000/ws');
  const [, kind, host = '', port, suffix = '/ws', peer] = match;
  const family = isIP(host);
  if (kind === 'ip4' && family !== 4) return refuse(text, 'has no IPv4 address after /ip4/');
  if (kind === 'ip6' && family !== 6) return refuse(text, 'has no IPv6 address after /ip6/');
  if (kind?.startsWith('dns') && !HOST_NAME.test(host)) return refuse(text, 'has no host name');
  return address(text, host, Number(port), suffix !== '/ws', peer ?? null);
}

function parseHostPort(text: string): Result<PeerAddress> {
  const scheme = /^(wss?):\/\//.exec(text);
  const rest = text.slice(scheme?.[0].length ?? 0).replace(/\/$/, '');
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]\s@]+)):(\d{1,5})$/.exec(rest);
  if (match === null) return refuse(text, 'is not host:port');
  const host = match[1] ?? match[2] ?? '';
  if (match[1] !== undefined && isIP(host) !== 6) return refuse(text, 'has no IPv6 address in its brackets');
  if (isIP(host) === 0 && !HOST_NAME.test(host)) return refuse(text, 'has no host name or IP address');
  return address(text, host, Number(match[3]), scheme?.[1] === 'wss', null);
}

function address(text: string, host: string, port: number, secure: boolean, peer: string | null): Result<PeerAddress> {
  if (port < 1 || port > 65_535) return refuse(text, 'has a port outside 1 to 65535');
  return success({ host, port, secure, peer });
}

function refuse(text: unknown, why: string): Result<PeerAddress> {
  const shown = String(text).slice(0, 80);
  return fault('bad-address', `peer address "${shown}" ${why}`, { address: shown });
}

/** Multiaddr of an address, with its peer id when known. */
export function toMultiaddr({ host, port, secure, peer }: PeerAddress): string {
  const family = isIP(host);
  const kind = family === 4 ? 'ip4' : family === 6 ? 'ip6' : 'dns';
  return `/${kind}/${host}/tcp/${port}${secure ? '/tls' : ''}/ws${peer === null ? '' : `/p2p/${peer}`}`;
}

/** "host:port", the key two spellings of one address share. */
export function endpointOf({ host, port }: Readonly<{ host: string; port: number }>): string {
  const name = host.toLowerCase().replace(/^::ffff:(?=\d)/, '');
  return `${name === 'localhost' ? '127.0.0.1' : name}:${port}`;
}

/** IP address and port at the head of a connection's multiaddr, or null for anything else. */
export function remoteEndpoint(multiaddr: string): Readonly<{ host: string; port: number }> | null {
  const match = /^\/ip[46]\/([^/]+)\/tcp\/(\d+)/.exec(multiaddr);
  if (match?.[1] === undefined) return null;
  return { host: match[1].replace(/^::ffff:(?=\d)/, ''), port: Number(match[2]) };
}

export function isLoopback(host: string): boolean {
  return host === '::1' || host === 'localhost' || /^(?:::ffff:)?127\./.test(host);
}

/** Loopback, private (RFC 1918, RFC 4193) and link-local hosts. */
export function isLocal(host: string): boolean {
  const name = plainHost(host);
  if (isLoopback(name)) return true;
  if (isIP(name) === 4) return /^(?:10|192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01]))\./.test(name);
  return isIP(name) === 6 && /^(?:f[cd]|fe[89ab])/.test(name);
}

/** The /24 of an IPv4 address, the /48 of an IPv6 one: addresses one party usually holds together. A host name is its own. */
export function subnetOf(host: string): string {
  const name = plainHost(host);
  if (isIP(name) === 4) return name.split('.').slice(0, 3).join('.');
  return isIP(name) === 6 ? expandIpv6(name).slice(0, 3).join(':') : name;
}

/** One spelling for each host: an address must not look like several. */
function plainHost(host: string): string {
  const name = host.toLowerCase().replace(/\.$/, '');
  if (isIP(name) !== 6) return name;
  const short = new URL(`http://[${name}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  if (mapped === null) return short;
  const words = mapped.slice(1).map((word) => Number.parseInt(word, 16));
  return words.flatMap((word) => [word >> 8, word & 255]).join('.');
}

function expandIpv6(host: string): string[] {
  const [head = '', tail] = host.split('::');
  const left = head === '' ? [] : head.split(':');
  if (tail === undefined) return left;
  const right = tail === '' ? [] : tail.split(':');
  return [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right];
}
