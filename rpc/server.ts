// Owns the HTTP server's life: sockets, limits, routing between JSON-RPC (POST /), WebSocket upgrades and everything else.
// What is answered lives in json-rpc.ts, rest.ts, openai/ and page.ts.

import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { check } from '../base/check.ts';
import { type Fault, fault } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import { webApp } from './app.ts';
import { isJsonType, readBody, send, sendJson } from './body.ts';
import { serveDirectly } from './direct-post.ts';
import { httpStatusOf, rpcErrorOf } from './errors.ts';
import { feeAdvice } from './fees.ts';
import { filterStore } from './filters.ts';
import { type Gate, gate } from './gate.ts';
import { type RpcDispatcher, rpcDispatcher } from './json-rpc.ts';
import { type RpcLimits, rpcLimits } from './limits.ts';
import type { MethodContext } from './methods/method.ts';
import { methods } from './methods/table.ts';
import type { RpcPorts } from './ports.ts';
import { isLoopback, rateLimiter } from './rate-limit.ts';
import { webSocketHub } from './web-socket.ts';

export type RpcServerOptions = Readonly<{
  chain: Chain;
  ports: RpcPorts;
  /** Address to bind: "127.0.0.1" unless the operator opens the node. */
  host: string;
  /** 0 picks a free one. */
  port: number;
  /** Host names served beside loopback names and IP literals. */
  allowedHosts?: readonly string[];
  /** Origins whose pages may call; any, but only loopback ones on a node that signs for its callers. */
  corsOrigins?: '*' | readonly string[];
  /** Bearer key the /v1 routes then require. */
  apiKey?: string | null;
  limits?: Partial<{ -readonly [K in keyof RpcLimits]: number }>;
}>;

export type RpcServer = Readonly<{
  host: string;
  port: number;
  /** http://host:port, with loopback for an unspecified host. */
  url: string;
  /** Stops within 2 s: running answers get 1.5 s, then their sockets are cut. */
  close(): Promise<void>;
}>;

/** Binds and serves; rejects when the address is in use or not this machine's. */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const { chain, ports } = options;
  const limits = { ...rpcLimits, ...options.limits } as RpcLimits;
  check(ports.wallet === null || options.corsOrigins !== '*', 'a node that signs may not be called by every page');
  const door = gate({
    hosts: options.allowedHosts ?? [],
    origins: options.corsOrigins ?? (ports.wallet === null ? '*' : ['loopback']),
  });
  const filters = filterStore(chain, ports.clock, ports.entropy, limits);
  const context: MethodContext = { chain, ports, limits, filters, fees: feeAdvice(chain, limits) };
  const dispatcher = rpcDispatcher(methods, context);
  const hub = webSocketHub(dispatcher, context);
  const rates = rateLimiter(limits.ratePerSecond, limits.rateBurst, limits.rateAddresses);
  const app = webApp({ chain, ports, limits, apiKey: options.apiKey ?? null, webSockets: hub.count });
  const takeFor = (request: IncomingMessage | Duplex): ((cost: number) => boolean) => {
    const socket = 'socket' in request ? request.socket : (request as Socket);
    const take = rates.share(socket.remoteAddress ?? '');
    return (cost) => take(cost, ports.clock.monotonicMs());
  };

  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.timeoutCheckMs,
    },
    (request, response) => {
      if (!admit(request, response, door, limits)) return;
      const take = takeFor(request);
      if (!take(1)) return tooMany(request, response, limits);
      if (request.method === 'POST' && isRoot(request.url)) {
        void answerRpc(request, response, dispatcher, take, limits);
      } else {
        app.handle(request, response);
      }
    },
  );
  const closeDirect = serveDirectly(
    server,
    (socket) => {
      const take = takeFor(socket);
      return {
        answer: (body) => dispatcher.answer(body, null, take),
        admits: (host) => door.refuseHost({ headers: { host } }) === null,
        take: () => take(1),
        isJson: isJsonType,
      };
    },
    limits,
  );
  server.maxHeadersCount = limits.headerCount;
  server.maxConnections = limits.sockets;
  server.setTimeout(limits.socketIdleMs);
  capSockets(server, limits.socketsPerAddress);
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refusal = refuseUpgrade(request, door);
    if (refusal !== null) return rejectUpgrade(socket, refusal);
    hub.accept(request, socket, head, takeFor(request));
  });
  const port = await listen(server, options.host, options.port);
  return {
    host: options.host,
    port,
    url: `http://${reachable(options.host)}:${port}`,
    close: () => stop(server, [filters.close, app.close, closeDirect], hub.close, limits),
  };
}

function isRoot(url: string | undefined): boolean {
  return url === '/' || (url?.startsWith('/?') ?? false);
}

/** Host, URL and preflight: false when the request has been answered here. */
function admit(request: IncomingMessage, response: ServerResponse, door: Gate, limits: RpcLimits): boolean {
  response.setHeader('x-content-type-options', 'nosniff');
  const refusal = door.refuseHost(request);
  if (refusal !== null) {
    sendJson(request, response, httpStatusOf(refusal), { error: { code: refusal.code, message: refusal.message } });
    return false;
  }
  door.setCorsHeaders(request, response);
  if ((request.url?.length ?? 0) > limits.urlCharacters) {
    const message = `the URL exceeds ${limits.urlCharacters} characters`;
    sendJson(request, response, 414, { error: { code: 'urlTooLong', message } });
    return false;
  }
  if (request.method === 'OPTIONS') {
    response.statusCode = 204;
    response.setHeader('allow', 'GET, HEAD, POST, PUT, OPTIONS');
    response.end();
    return false;
  }
  if (!door.allowsOrigin(request) && request.method !== 'GET' && request.method !== 'HEAD') {
    const message = 'pages of this origin may not call this node';
    sendJson(request, response, 403, { error: { code: 'forbidden', message } });
    return false;
  }
  return true;
}

function tooMany(request: IncomingMessage, response: ServerResponse, limits: RpcLimits): void {
  const refusal = fault('rateLimited', `more than ${limits.ratePerSecond} requests a second from this address`);
  response.setHeader('retry-after', '1');
  refuseRpc(request, response, refusal, 429);
}

async function answerRpc(
  request: IncomingMessage,
  response: ServerResponse,
  dispatcher: RpcDispatcher,
  take: (cost: number) => boolean,
  limits: RpcLimits,
): Promise<void> {
  const body = await readBody(request, limits.bodyBytes);
  if (!body.ok) {
    if (body.code !== 'aborted') refuseRpc(request, response, body, httpStatusOf(body));
    return;
  }
  const answer = await dispatcher.answer(body.value, null, take);
  if (answer === null) {
    response.statusCode = 204;
    response.end();
    return;
  }
  send(request, response, 200, answer);
}

/** A refusal before any request was read, as a JSON-RPC error without id. */
function refuseRpc(request: IncomingMessage, response: ServerResponse, refusal: Fault, status: number): void {
  const known = refusal.code === 'parseError' || refusal.code === 'rateLimited';
  const error = rpcErrorOf(known ? refusal : fault('invalidRequest', refusal.message));
  sendJson(request, response, status, { jsonrpc: '2.0', id: null, error });
}

function refuseUpgrade(request: IncomingMessage, door: Gate): Fault | null {
  const refusal = door.refuseHost(request);
  if (refusal !== null) return refusal;
  if (!door.allowsOrigin(request)) return fault('forbidden', 'pages of this origin may not connect');
  if (!isRoot(request.url) && request.url !== '/ws') return fault('notFound', 'WebSocket is served at /');
  return null;
}

function rejectUpgrade(socket: Duplex, refusal: Fault): void {
  const status = httpStatusOf(refusal) === 404 ? '404 Not Found' : '403 Forbidden';
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(refusal.message)}\r\n\r\n${refusal.message}`,
  );
}

/** Drops connections beyond the share of one address; loopback may use every socket there is. */
function capSockets(server: Server, perAddress: number): void {
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    if (isLoopback(address)) return;
    const count = (open.get(address) ?? 0) + 1;
    if (count > perAddress) {
      socket.destroy();
      return;
    }
    open.set(address, count);
    socket.on('close', () => {
      const left = (open.get(address) ?? 1) - 1;
      if (left === 0) open.delete(address);
      else open.set(address, left);
    });
  });
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::' || host === '') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

async function stop(
  server: Server,
  parts: readonly (() => void)[],
  closeSockets: (graceMs: number) => Promise<void>,
  limits: RpcLimits,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const part of parts) part();
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), limits.closeMs);
  await closeSockets(limits.closeMs);
  await closed;
  clearTimeout(cut);
}
