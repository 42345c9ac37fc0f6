// Owns JSON-RPC over WebSocket: connections, their limits and heartbeat, and eth_subscribe.
// The envelope is json-rpc.ts; the HTTP upgrade and who may connect are server.ts.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, type ServerOptions, type WebSocket, WebSocketServer } from 'ws';
import { toHex } from '../base/bytes.ts';
import { FaultError, fault } from '../base/fault.ts';
import type { HeadEvent, Transaction } from '../chain/api.ts';
import { invalidParams } from './errors.ts';
import { headerJson, logJson, pendingJson } from './format.ts';
import type { RpcDispatcher } from './json-rpc.ts';
import { type LogCriteria, logCriteria, logMatches } from './log-query.ts';
import type { MethodContext, Session } from './methods/method.ts';
import { absent } from './params.ts';

type Subscription =
  | Readonly<{ kind: 'newHeads' }>
  | Readonly<{ kind: 'logs'; criteria: LogCriteria }>
  | Readonly<{ kind: 'newPendingTransactions'; full: boolean }>;

type Client = {
  readonly socket: WebSocket;
  readonly subscriptions: Map<string, Subscription>;
  readonly waiting: string[];
  running: number;
  alive: boolean;
};

export type WebSocketHub = Readonly<{
  /** Takes over an upgraded connection; `take` charges its address. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, take: (cost: number) => boolean): void;
  count(): number;
  /** Says goodbye to every client, and cuts off those that do not answer within `graceMs`. */
  close(graceMs: number): Promise<void>;
}>;

/** Close codes of RFC 6455 section 7.4.1. */
const GOING_AWAY = 1001;
const UNSUPPORTED_DATA = 1003;
const POLICY_VIOLATION = 1008;

export function webSocketHub(dispatcher: RpcDispatcher, context: MethodContext): WebSocketHub {
  const { chain, limits } = context;
  const clients = new Set<Client>();
  const options: ServerOptions & { maxFragments: number; maxBufferedChunks: number } = {
    noServer: true,
    perMessageDeflate: false,
    maxPayload: limits.webSocketMessageBytes,
    maxFragments: limits.webSocketFragments,
    maxBufferedChunks: limits.webSocketBufferedChunks,
  };
  const server = new WebSocketServer(options);
  const stopHeads = chain.onHead((event) => {
    for (const client of clients) pushHead(client, event, limits.backpressureBytes);
  });
  const stopPending = chain.pool.onAdded((transaction) => {
    for (const client of clients) pushPending(client, transaction, limits.backpressureBytes);
  });
  const heartbeat = setInterval(() => {
    for (const client of clients) {
      if (!client.alive) client.socket.terminate();
      client.alive = false;
      client.socket.ping();
    }
  }, limits.webSocketPingMs);
  heartbeat.unref();

  function serve(client: Client, take: (cost: number) => boolean): void {
    const session = sessionOf(client, context);
    const next = (): void => {
      const text = client.waiting.shift();
      if (text === undefined) return;
      client.running++;
      void dispatcher.answer(text, session, take).then((answer) => {
        client.running--;
        if (answer !== null) push(client, answer, limits.backpressureBytes);
        next();
      });
    };
    client.socket.on('message', (message: RawData, isBinary: boolean) => {
      client.alive = true;
      if (isBinary) return client.socket.close(UNSUPPORTED_DATA, 'text messages only');
      if (client.waiting.length >= limits.webSocketWaiting) {
        return client.socket.close(POLICY_VIOLATION, 'too many requests are waiting');
      }
      client.waiting.push(message.toString());
      if (client.running < limits.webSocketRunning) next();
    });
  }

  return {
    accept(request, socket, head, take) {
      server.handleUpgrade(request, socket, head, (webSocket) => {
        if (clients.size >= limits.webSockets) return webSocket.close(POLICY_VIOLATION, 'too many connections');
        const client: Client = { socket: webSocket, subscriptions: new Map(), waiting: [], running: 0, alive: true };
        clients.add(client);
        webSocket.on('pong', () => {
          client.alive = true;
        });
        webSocket.on('error', () => webSocket.terminate());
        webSocket.on('close', () => clients.delete(client));
        serve(client, take);
      });
    },
    count: () => clients.size,
    async close(graceMs) {
      stopHeads();
      stopPending();
      clearInterval(heartbeat);
      const closing = [...clients].map(
        ({ socket }) =>
          new Promise<void>((resolve) => {
            const timer = setTimeout(() => socket.terminate(), graceMs);
            socket.once('close', () => {
              clearTimeout(timer);
              resolve();
            });
            socket.close(GOING_AWAY, 'the node is stopping');
          }),
      );
      await Promise.all(closing);
      server.close();
    },
  };
}

function sessionOf(client: Client, { limits, ports }: MethodContext): Session {
  return {
    subscribe(kind, options) {
      if (client.subscriptions.size >= limits.subscriptionsPerSocket) {
        const message = `this connection holds ${limits.subscriptionsPerSocket} subscriptions already`;
        throw new FaultError(fault('rateLimited', message));
      }
      const id = toHex(ports.entropy(16)).replace(/^0x0+(?=.)/, '0x');
      client.subscriptions.set(id, subscriptionOf(kind, options));
      return id;
    },
    unsubscribe: (id) => client.subscriptions.delete(id),
  };

  function subscriptionOf(kind: unknown, options: unknown): Subscription {
    switch (kind) {
      case 'newHeads':
        return { kind };
      case 'logs':
        return { kind, criteria: logCriteria(options, 'argument 1', limits) };
      case 'newPendingTransactions':
        if (!absent(options) && typeof options !== 'boolean') {
          throw invalidParams('invalid argument 1: expected true or false');
        }
        return { kind, full: options === true };
      default:
        throw invalidParams(
          'invalid argument 0: no such subscription; newHeads, logs and newPendingTransactions exist',
        );
    }
  }
}

function pushHead(client: Client, event: HeadEvent, backpressure: number): void {
  for (const [id, subscription] of client.subscriptions) {
    if (subscription.kind === 'newHeads') {
      notify(client, id, headerJson(event.block.header, event.block.hash), backpressure);
    } else if (subscription.kind === 'logs') {
      for (const receipt of event.receipts) {
        for (const log of receipt.logs) {
          if (logMatches(log, subscription.criteria)) notify(client, id, logJson(log), backpressure);
        }
      }
    }
  }
}

function pushPending(client: Client, transaction: Transaction, backpressure: number): void {
  for (const [id, subscription] of client.subscriptions) {
    if (subscription.kind !== 'newPendingTransactions') continue;
    notify(client, id, subscription.full ? pendingJson(transaction) : transaction.hash, backpressure);
  }
}

function notify(client: Client, subscription: string, result: unknown, backpressure: number): void {
  push(
    client,
    JSON.stringify({ jsonrpc: '2.0', method: 'eth_subscription', params: { subscription, result } }),
    backpressure,
  );
}

/** Sends, or cuts off a client that has left too much unread. */
function push({ socket }: Client, text: string, backpressure: number): void {
  if (socket.readyState !== socket.OPEN) return;
  if (socket.bufferedAmount > backpressure) {
    socket.terminate();
    return;
  }
  socket.send(text);
}
