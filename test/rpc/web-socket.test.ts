// JSON-RPC over WebSocket: calls, subscriptions, limits and refusals, on real sockets.

import test, { type ExecutionContext } from 'ava';
import { WebSocket } from 'ws';
import type { RpcAnswer } from './fixture.ts';
import { type FixtureOptions, serve } from './fixture.ts';
import { genesisBlock, stubChain } from './stub-chain.ts';

type Note = Readonly<{ method: string; params: Readonly<{ subscription: string; result: unknown }> }>;

type Peer = Readonly<{
  socket: WebSocket;
  /** Next message that satisfies the test. */
  next<T>(accept: (message: T) => boolean): Promise<T>;
  call(method: string, params?: readonly unknown[]): Promise<RpcAnswer>;
  closed: Promise<number>;
}>;

async function connect(
  t: ExecutionContext<unknown>,
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Peer> {
  const socket = new WebSocket(url.replace('http', 'ws'), { headers });
  const inbox: unknown[] = [];
  const waiting: (() => void)[] = [];
  const closed = new Promise<number>((resolve) => socket.on('close', resolve));
  socket.on('message', (data) => {
    inbox.push(JSON.parse(data.toString()));
    for (const wake of waiting.splice(0)) wake();
  });
  t.teardown(() => socket.terminate());
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  async function next<T>(accept: (message: T) => boolean): Promise<T> {
    for (;;) {
      const at = inbox.findIndex((message) => accept(message as T));
      if (at >= 0) return inbox.splice(at, 1)[0] as T;
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  }
  let id = 0;
  return {
    socket,
    next,
    closed,
    call(method, params = []) {
      const mine = ++id;
      socket.send(JSON.stringify({ jsonrpc: '2.0', id: mine, method, params }));
      return next<RpcAnswer>((message) => message.id === mine);
    },
  };
}

async function refusedStatus(url: string, headers: Readonly<Record<string, string>>, path = '/'): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, { headers });
    socket.on('error', () => undefined);
    socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
    socket.on('open', () => resolve(101));
  });
}

const head = { block: genesisBlock, receipts: [], systemLogs: [], certificate: new Uint8Array(0) };

test('calls and batches work as over HTTP', async (t) => {
  const peer = await connect(t, (await serve(t)).url);
  t.is((await peer.call('eth_chainId')).result, '0x7b125');
  t.is((await peer.call('nothing_here')).error?.code, -32601);
  peer.socket.send('{');
  t.is((await peer.next<RpcAnswer>((message) => message.id === null)).error?.code, -32700);
});

test('newHeads, logs and pending transactions are pushed until unsubscribed', async (t) => {
  const chain = stubChain();
  const peer = await connect(t, (await serve(t, { chain })).url);
  const heads = (await peer.call('eth_subscribe', ['newHeads'])).result as string;
  const logs = (await peer.call('eth_subscribe', ['logs', { address: `0x${'33'.repeat(20)}` }])).result as string;
  const log = {
    address: `0x${'33'.repeat(20)}` as const,
    topics: [`0x${'44'.repeat(32)}` as const],
    data: Uint8Array.of(1),
    blockNumber: 0,
    blockHash: genesisBlock.hash,
    blockTimestamp: 1,
    transactionHash: `0x${'55'.repeat(32)}` as const,
    transactionIndex: 0,
    logIndex: 0,
  };
  const receipt = {
    transactionHash: log.transactionHash,
    transactionIndex: 0,
    blockHash: genesisBlock.hash,
    blockNumber: 0,
    from: log.address,
    to: null,
    type: 2,
    status: 1 as const,
    cumulativeGasUsed: 1n,
    gasUsed: 1n,
    effectiveGasPrice: 1n,
    contractAddress: null,
    logsBloom: genesisBlock.header.logsBloom,
    logs: [log, { ...log, address: `0x${'66'.repeat(20)}` as const, logIndex: 1 }],
  };
  chain.emitHead({ ...head, receipts: [receipt] });
  const first = await peer.next<Note>((message) => message.params?.subscription === heads);
  t.is(first.method, 'eth_subscription');
  t.like(first.params.result, { hash: genesisBlock.hash, number: '0x0' });
  const found = await peer.next<Note>((message) => message.params?.subscription === logs);
  t.like(found.params.result, { address: log.address, logIndex: '0x0', removed: false });
  t.is((await peer.call('eth_unsubscribe', [heads])).result, true);
  t.is((await peer.call('eth_unsubscribe', [heads])).result, false);
  chain.emitHead({ ...head, receipts: [receipt] });
  await peer.next<Note>((message) => message.params?.subscription === logs);
  const stray = await Promise.race([
    peer.next<Note>((message) => message.params?.subscription === heads),
    peer.call('eth_chainId').then(() => null),
  ]);
  t.is(stray, null);
});

test('subscriptions are capped and checked', async (t) => {
  const peer = await connect(t, (await serve(t, { limits: { subscriptionsPerSocket: 2 } })).url);
  t.is((await peer.call('eth_subscribe', ['everything'])).error?.code, -32602);
  t.is((await peer.call('eth_subscribe', ['logs', { topics: 5 }])).error?.code, -32602);
  await peer.call('eth_subscribe', ['newHeads']);
  await peer.call('eth_subscribe', ['newHeads']);
  t.is((await peer.call('eth_subscribe', ['newHeads'])).error?.code, -32005);
});

test('oversized, fragmented, binary and invalid messages close the connection', async (t) => {
  const { url } = await serve(t, { limits: { webSocketMessageBytes: 1_000 } });
  const large = await connect(t, url);
  large.socket.send('x'.repeat(1_001));
  t.is(await large.closed, 1009);
  const fragments = await connect(t, url);
  for (let i = 0; i < 20; i++) fragments.socket.send('x', { fin: false });
  t.is(await fragments.closed, 1008);
  const binary = await connect(t, url);
  binary.socket.send(Uint8Array.of(1, 2));
  t.is(await binary.closed, 1003);
  const broken = await connect(t, url);
  broken.socket.send(Uint8Array.of(0xff), { binary: false });
  t.is(await broken.closed, 1007);
});

test('foreign hosts, origins and paths may not connect, and connections are capped', async (t) => {
  const wallet = { addresses: () => [], signTransaction: () => Promise.reject(new Error('unused')) };
  const options: FixtureOptions = { ports: { wallet }, limits: { webSockets: 1 } };
  const { url } = await serve(t, options);
  t.is(await refusedStatus(url, { host: 'evil.com' }), 403);
  t.is(await refusedStatus(url, { origin: 'https://evil.com' }), 403);
  t.is(await refusedStatus(url, {}, '/elsewhere'), 404);
  const first = await connect(t, url);
  t.is((await first.call('eth_chainId')).result, '0x7b125');
  t.is(await (await connect(t, url)).closed, 1008);
});

test('a client that stops reading is cut off, and the rest go on', async (t) => {
  const chain = stubChain();
  const { url } = await serve(t, { chain, limits: { backpressureBytes: 1_000_000, subscriptionsPerSocket: 400 } });
  const lazy = await connect(t, url);
  for (let i = 0; i < 400; i++) await lazy.call('eth_subscribe', ['newHeads']);
  const reader = await connect(t, url);
  lazy.socket.pause();
  let closed = false;
  void lazy.closed.then(() => {
    closed = true;
  });
  for (let i = 0; i < 60; i++) {
    chain.emitHead(head);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.is((await reader.call('eth_chainId')).result, '0x7b125');
  lazy.socket.resume();
  await lazy.closed;
  t.true(closed);
});

test('a flood of requests on one socket waits in line, and is ended beyond it', async (t) => {
  const { url } = await serve(t, { limits: { webSocketWaiting: 10, webSocketRunning: 1 } });
  const peer = await connect(t, url);
  for (let id = 0; id < 500; id++) peer.socket.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'eth_chainId' }));
  t.is(await peer.closed, 1008);
});
