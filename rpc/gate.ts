// Owns who may speak to the server: the Host allowlist against DNS rebinding, and CORS for browsers.
// Rates are rate-limit.ts, API keys openai/router.ts.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { type Fault, fault } from '../base/fault.ts';
import { isLoopback } from './rate-limit.ts';

export type GateOptions = Readonly<{
  /** Host names served beside loopback names and IP literals; "*" serves any. */
  hosts: readonly string[];
  /** Origins whose pages may call: "*" for any, or a list such as "https://app.example". */
  origins: '*' | readonly string[];
}>;

export type Gate = Readonly<{
  /** Null when the Host header is one this server answers to. */
  refuseHost(request: Readonly<{ headers: Readonly<{ host?: string | undefined }> }>): Fault | null;
  /** True when no page is behind the request, or one that may call. */
  allowsOrigin(request: IncomingMessage): boolean;
  /** Sets the CORS headers a page that may call needs. */
  setCorsHeaders(request: IncomingMessage, response: ServerResponse): void;
}>;

/** Seconds a browser may remember a preflight. */
const PREFLIGHT_SECONDS = 7_200;
const EXPOSED = 'x-request-id, retry-after, x-model-root';
const HEADER_NAMES = /^[A-Za-z0-9-]+(?:\s*,\s*[A-Za-z0-9-]+)*$/;

/** Lower-case host name of a Host header without its port; IPv6 literals without brackets. */
function hostName(header: string): string {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d+)?$/.exec(header);
  if (bracketed !== null) return (bracketed[1] ?? '').toLowerCase();
  return header.replace(/:\d+$/, '').replace(/\.$/, '').toLowerCase();
}

/** True for names that cannot be rebound by a foreign DNS server: loopback names and IP literals. */
function isSafeHost(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0;
}

/** True when the origin is a page served from this machine. */
function isLoopbackOrigin(origin: string): boolean {
  const parsed = /^https?:\/\/(.+)$/.exec(origin);
  if (parsed === null) return false;
  const name = hostName(parsed[1] ?? '');
  return name === 'localhost' || name.endsWith('.localhost') || isLoopback(name);
}

export function gate({ hosts, origins }: GateOptions): Gate {
  const served = new Set(hosts.map((host) => host.toLowerCase()));
  function allowsOrigin(request: IncomingMessage): boolean {
    const origin = request.headers.origin;
    if (origin === undefined || origins === '*') return true;
    // The page this server itself serves is always its own caller.
    if (origin === `http://${request.headers.host}` || origin === `https://${request.headers.host}`) return true;
    return origins.includes(origin) || (origins.includes('loopback') && isLoopbackOrigin(origin));
  }
  return {
    refuseHost(request) {
      const name = hostName(request.headers.host ?? '');
      if (isSafeHost(name) || served.has(name) || served.has('*')) return null;
      return fault(
        'forbidden',
        `the Host ${JSON.stringify(name.slice(0, 80))} is not one this node serves; add it to the allowed hosts`,
      );
    },
    allowsOrigin,
    setCorsHeaders(request, response) {
      const origin = request.headers.origin;
      if (origin === undefined) return;
      response.setHeader('vary', 'origin');
      if (!allowsOrigin(request)) return;
      response.setHeader('access-control-allow-origin', origins === '*' ? '*' : origin);
      response.setHeader('access-control-expose-headers', EXPOSED);
      if (request.method !== 'OPTIONS') return;
      const asked = request.headers['access-control-request-headers'] ?? '';
      const safe = asked.length <= 1_024 && HEADER_NAMES.test(asked);
      response.setHeader('access-control-allow-methods', 'GET, HEAD, POST, PUT, OPTIONS');
      response.setHeader('access-control-allow-headers', safe ? asked : 'content-type, authorization');
      response.setHeader('access-control-allow-private-network', 'true');
      response.setHeader('access-control-max-age', String(PREFLIGHT_SECONDS));
    },
  };
}
