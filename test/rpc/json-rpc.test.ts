// Envelopes, limits and refusals of JSON-RPC over HTTP, on real sockets.

import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';
import test from 'ava';
import { rpcLimits } from '../../rpc/limits.ts';
import { methods } from '../../rpc/methods/table.ts';
import { type RpcAnswer, ask, call, post, serve } from './fixture.ts';

const chainId = { jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] };

/** Writes bytes to the server and returns all it answers until it closes, or until `ms` have passed. */
function raw(port: number, text: string, ms: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
  });
}

test('a request is answered with its own id', async (t) => {
  const { url } = await serve(t);
  for (const id of [1, 0, -5, 'a', '', null, Number.MAX_SAFE_INTEGER]) {
    const { json, status } = await post(url, { ...chainId, id });
    t.is(status, 200);
    t.deepEqual(json, { jsonrpc: '2.0', id, result: '0x7b125' });
  }
});

test('ids that could collide are refused', async (t) => {
  const { url } = await serve(t);
  for (const id of ['9223372036854775808', '1.5', '{"a":1}', '[1]', 'true', `"${'x'.repeat(300)}"`]) {
    const answer = (await post(url, `{"jsonrpc":"2.0","method":"eth_chainId","id":${id}}`)).json as RpcAnswer;
    t.is(answer.error?.code, -32600, id);
    t.is(answer.id, null);
  }
});

test('text that is not JSON, too deep, or with a poisoned or double key is refused without harm', async (t) => {
  const { url } = await serve(t);
  const cases = [
    '',
    '{',
    'nonsense',
    `${'['.repeat(10_000)}${']'.repeat(10_000)}`,
    `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`,
    '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","__proto__":{"polluted":true}}',
    '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","\\u005f_proto__":{"polluted":true}}',
    '{"jsonrpc":"2.0","id":1,"id":2,"method":"eth_chainId"}',
    `{"jsonrpc":"2.0","id":${'1'.repeat(500_000)},"method":"eth_chainId"}`,
    Buffer.from([0x22, 0xff, 0x22]),
  ];
  for (const body of cases) {
    const answer = await ask(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    t.is((answer.json as RpcAnswer).error?.code, -32700, String(body).slice(0, 60));
  }
  t.is(({} as Record<string, unknown>).polluted, undefined);
  t.is((await call(url, 'eth_chainId')).result, '0x7b125');
});

test('requests that are not of the protocol are -32600', async (t) => {
  const { url } = await serve(t);
  for (const body of [
    '1',
    '"x"',
    'null',
    '{}',
    '[1]',
    '[[]]',
    { ...chainId, jsonrpc: '1.0' },
    { ...chainId, method: 5 },
  ]) {
    const { json } = await post(url, body);
    const answer = (Array.isArray(json) ? json[0] : json) as RpcAnswer;
    t.is(answer.error?.code, -32600, JSON.stringify(body));
  }
  t.is((await call(url, 'eth_nonsense')).error?.code, -32601);
  t.is((await call(url, 'personal_unlockAccount')).error?.code, -32601);
  t.is((await call(url, 'admin_addPeer')).error?.code, -32601);
  t.is((await call(url, '__proto__')).error?.code, -32601);
  t.is((await call(url, 'constructor')).error?.code, -32601);
  const named = (await post(url, { ...chainId, params: { a: 1 } })).json as RpcAnswer;
  t.is(named.error?.code, -32602);
});

test('batches keep their order, skip notifications and have a limit', async (t) => {
  const { url } = await serve(t);
  const note = { jsonrpc: '2.0', method: 'eth_chainId' };
  const mixed = await post(url, [{ ...chainId, id: 'a' }, note, { ...chainId, id: 'b', method: 'none' }]);
  const answers = mixed.json as readonly RpcAnswer[];
  t.deepEqual(
    answers.map(({ id }) => id),
    ['a', 'b'],
  );
  t.is(answers[1]?.error?.code, -32601);
  const full = await post(
    url,
    Array.from({ length: 1_000 }, (_, id) => ({ ...chainId, id })),
  );
  t.is((full.json as unknown[]).length, 1_000);
  for (const body of [[], Array.from({ length: 1_001 }, (_, id) => ({ ...chainId, id }))]) {
    t.is(((await post(url, body)).json as RpcAnswer).error?.code, -32600);
  }
  const silent = await post(url, [note, note]);
  t.is(silent.status, 204);
  t.is(silent.text, '');
});

test('bodies are bounded, plain and JSON', async (t) => {
  const { url } = await serve(t);
  const large = `{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":["0x${'00'.repeat(600_000)}"]}`;
  t.is((await post(url, large)).status, 413);
  const chunked = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 20; i++) controller.enqueue(new Uint8Array(100_000).fill(32));
      controller.close();
    },
  });
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: chunked, duplex: 'half' };
  const streamed = await fetch(url, init as RequestInit).then(
    (response) => response.status,
    () => 413,
  );
  t.is(streamed, 413);
  t.is((await post(url, chainId, { 'content-type': 'text/plain' })).status, 415);
  t.is((await post(url, chainId, { 'content-encoding': 'gzip' })).status, 415);
  t.is((await call(url, 'eth_chainId')).result, '0x7b125');
});

test('only hosts the node serves are answered', async (t) => {
  const { server } = await serve(t, { allowedHosts: ['node.example'] });
  const request = (host: string) =>
    raw(server.port, `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, 2_000);
  for (const host of ['localhost', `127.0.0.1:${server.port}`, '[::1]:8080', 'node.example', 'NODE.example:80']) {
    t.regex(await request(host), /^HTTP\/1.1 200/, host);
  }
  for (const host of ['evil.com', 'evil.com:8080', 'localhost.evil.com', '127.0.0.1.evil.com', '']) {
    t.regex(await request(host), /^HTTP\/1.1 403/, host);
  }
});

test('pages may call with a preflight, and only loopback pages where the node signs', async (t) => {
  const preflight = {
    method: 'OPTIONS',
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,authorization,x-stainless-os',
    },
  };
  const open = await serve(t);
  const allowed = await ask(open.url, preflight);
  t.is(allowed.status, 204);
  t.is(allowed.headers.get('access-control-allow-origin'), '*');
  t.is(allowed.headers.get('access-control-allow-headers'), 'content-type,authorization,x-stainless-os');
  const wallet = { addresses: () => [], signTransaction: () => Promise.reject(new Error('unused')) };
  const signing = await serve(t, { ports: { wallet } });
  const refused = await ask(signing.url, preflight);
  t.is(refused.headers.get('access-control-allow-origin'), null);
  t.is((await post(signing.url, chainId, { origin: 'https://app.example' })).status, 403);
  t.is((await post(signing.url, chainId, { origin: 'http://localhost:3000' })).status, 200);
  t.is((await post(signing.url, chainId)).status, 200);
});

test('slow headers are cut off', async (t) => {
  const { server } = await serve(t, { limits: { headersMs: 300, requestMs: 600, timeoutCheckMs: 100 } });
  const start = performance.now();
  const answer = await raw(server.port, 'POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ', 5_000);
  t.regex(answer, /^HTTP\/1.1 408/);
  t.true(performance.now() - start < 4_000);
});

test('an address that asks too often is told to wait', async (t) => {
  const { rateLimiter, isLoopback } = await import('../../rpc/rate-limit.ts');
  const limiter = rateLimiter(10, 20, 2);
  const share = limiter.share('203.0.113.7');
  const taken = Array.from({ length: 30 }, () => share(1, 0)).filter(Boolean).length;
  t.is(taken, 20);
  t.true(share(10, 1_000));
  t.false(share(1, 1_000));
  t.true(limiter.share('203.0.113.8')(1, 1_000));
  t.true(
    isLoopback('::ffff:127.0.0.1') && isLoopback('127.5.5.5') && isLoopback('::1') && !isLoopback('::ffff:10.0.0.1'),
  );
});

test('replies have a limit', async (t) => {
  const { url } = await serve(t, { limits: { replyBytes: 500 } });
  t.is((await call(url, 'eth_getBlockByNumber', ['latest', false])).error?.code, -32003);
  const batch = Array.from({ length: 40 }, (_, id) => ({ ...chainId, id }));
  const answers = (await post(url, batch)).json as readonly RpcAnswer[];
  t.is(answers.length, 40);
  t.is(answers[0]?.result, '0x7b125');
  t.is(answers[39]?.error?.code, -32003);
});

test('arguments are checked and named', async (t) => {
  const { url } = await serve(t);
  const cases: readonly (readonly [string, readonly unknown[], RegExp])[] = [
    ['eth_getBalance', [], /missing value for required argument 0/],
    ['eth_getBalance', ['0x12'], /argument 0/],
    ['eth_getBalance', [5], /argument 0/],
    ['eth_getBalance', ['zz'.repeat(21)], /without 0x prefix/],
    ['eth_getBalance', [`0x${'11'.repeat(20)}`, '0x01'], /leading zero/],
    ['eth_getBalance', [`0x${'11'.repeat(20)}`, 'newest'], /argument 1/],
    ['eth_getBalance', [`0x${'11'.repeat(20)}`, { blockHash: '0x00' }], /blockHash/],
    ['eth_getStorageAt', [`0x${'11'.repeat(20)}`, '0xasdf'], /storage key/],
    ['eth_getBlockByNumber', ['latest', 'yes'], /argument 1/],
    ['eth_getTransactionByHash', ['0x1234'], /32 bytes/],
    ['eth_sendRawTransaction', ['0x123'], /odd length/],
    ['eth_call', [{ to: 7 }], /argument 0.to/],
    ['eth_call', [{ data: '0x01', input: '0x02' }], /not equal/],
    ['eth_call', [{ chainId: '0x1' }], /chainId/],
    ['eth_call', [{ gasPrice: '0x1', maxFeePerGas: '0x1' }], /gasPrice/],
    ['eth_feeHistory', ['0x1', 'latest', [50, 10]], /ascend/],
    ['eth_getLogs', [{ fromBlock: '0x5' }], /beyond current head/],
    ['eth_getLogs', [{ topics: [[], [], [], [], []] }], /topics/],
    ['eth_getLogs', [{ address: Array(1_001).fill(`0x${'11'.repeat(20)}`) }], /1001 entries/],
  ];
  for (const [method, params, expected] of cases) {
    const { error } = await call(url, method, params);
    t.is(error?.code, -32602, `${method} ${JSON.stringify(params).slice(0, 80)}`);
    t.regex(error?.message ?? '', expected);
  }
  t.is((await call(url, 'eth_getBalance', [`0x${'11'.repeat(20)}`, '0x5'])).error?.code, -32000);
});

test('a failure inside a method tells the client nothing but that', async (t) => {
  const ports = {
    node: () => {
      throw new Error('secret /home/user/key');
    },
  };
  const { url, logged } = await serve(t, { ports });
  const { error } = await call(url, 'web3_clientVersion');
  t.deepEqual(error, { code: -32603, message: 'internal error' });
  t.is(logged.length, 1);
});

test('accounts of the node only sign where it has a wallet', async (t) => {
  const { url } = await serve(t);
  const { error } = await call(url, 'eth_sendTransaction', [{ to: `0x${'11'.repeat(20)}`, value: '0x1' }]);
  t.is(error?.code, -32601);
  t.regex(error?.message ?? '', /eth_sendRawTransaction/);
  t.deepEqual((await call(url, 'eth_accounts')).result, []);
  t.is((await call(url, 'eth_subscribe', ['newHeads'])).error?.code, -32601);
});

test('polled filters are capped, expire and end', async (t) => {
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const { url } = await serve(t, { limits: { filters: 3 }, ports: { clock } });
  const first = (await call(url, 'eth_newBlockFilter')).result;
  await call(url, 'eth_newPendingTransactionFilter');
  await call(url, 'eth_newFilter', [{}]);
  t.is((await call(url, 'eth_newBlockFilter')).error?.code, -32005);
  t.deepEqual((await call(url, 'eth_getFilterChanges', [first])).result, []);
  t.is((await call(url, 'eth_uninstallFilter', [first])).result, true);
  t.is((await call(url, 'eth_uninstallFilter', [first])).result, false);
  t.is((await call(url, 'eth_getFilterChanges', [first])).error?.message, 'filter not found');
  nowMs += rpcLimits.filterMs + 1;
  for (let i = 0; i < 3; i++) t.is(typeof (await call(url, 'eth_newBlockFilter')).result, 'string');
  t.is((await call(url, 'eth_newBlockFilter')).error?.code, -32005);
});

test('close ends within two seconds whatever is open', async (t) => {
  const { server } = await serve(t);
  const idle = connect(server.port, '127.0.0.1');
  const half = connect(server.port, '127.0.0.1', () => half.write('POST / HTTP/1.1\r\nHost: localhost\r\n'));
  idle.on('error', () => undefined);
  half.on('error', () => undefined);
  await new Promise((resolve) => half.once('connect', resolve));
  const start = performance.now();
  await server.close();
  t.true(performance.now() - start < 2_000);
});

test('every method has a summary, and there are none that sign or administer', (t) => {
  for (const [name, method] of methods) {
    t.regex(name, /^(?:eth|net|web3|rpc|txpool|debug|ots|erigon|learning)_/);
    t.true(method.summary.endsWith('.'), name);
    t.true((method.cost ?? 1) <= rpcLimits.rateBurst);
  }
  for (const name of ['eth_sign', 'eth_signTransaction', 'personal_sign', 'admin_nodeInfo', 'engine_newPayloadV1']) {
    t.false(methods.has(name));
  }
});
