// The REST routes, health, metrics and what is refused there.

import test from 'ava';
import { NODE_ADDRESS, ask, serve } from './fixture.ts';

test('status has the published fields', async (t) => {
  const { url } = await serve(t);
  const { status, json } = await ask(`${url}/api/v1/status`);
  t.is(status, 200);
  t.like(json, {
    node_id: 'node_0',
    address: NODE_ADDRESS,
    is_authority: true,
    blockchain_height: 0,
    current_epoch: 1,
    current_loss: 4.25,
    peers: 0,
    syncing: false,
    version: 'pol-node/0.1.0',
    uptime_seconds: 60,
    model_root: `0x${'ab'.repeat(32)}`,
  });
});

test('training status, network info, rounds, trainers and supply answer', async (t) => {
  const { url } = await serve(t);
  t.like((await ask(`${url}/api/v1/training/status`)).json, {
    current_epoch: 1,
    current_loss: 4.25,
    phase: 'training',
  });
  t.like((await ask(`${url}/api/v1/network/info`)).json, { chain_id: 504_101, blockchain_height: 0, quorum: 1 });
  t.like((await ask(`${url}/api/v1/supply`)).json, { minted: '35', total: '1034', symbol: 'POL' });
  const rounds = (await ask(`${url}/api/v1/rounds?limit=5`)).json as { items: readonly unknown[] };
  t.is(rounds.items.length, 1);
  t.like((await ask(`${url}/api/v1/rounds/7`)).json, { round: 7, minted: '5', minted_wei: '5000000000000000000' });
  const trainers = (await ask(`${url}/api/v1/trainers`)).json as { items: readonly unknown[] };
  t.like(trainers.items[0], { address: NODE_ADDRESS, stake: '100', rounds_accepted: 7 });
});

test('balance and blocks answer, in any letter case', async (t) => {
  const { url } = await serve(t);
  const upper = `0x${'AB'.repeat(20)}`;
  t.like((await ask(`${url}/api/v1/balance/${upper}`)).json, {
    address: upper.toLowerCase(),
    balance: '5.5',
    balance_wei: '5500000000000000000',
  });
  t.like((await ask(`${url}/api/v1/block/0`)).json, { number: 0 });
  t.like((await ask(`${url}/api/v1/block/latest`)).json, { number: 0 });
  t.like((await ask(`${url}/api/v1/blocks`)).json, { items: [{ number: 0 }], next_before: null });
});

test('what is malformed is 400 and names its field, what is unknown is 404', async (t) => {
  const { url } = await serve(t);
  const cases: readonly (readonly [string, number, RegExp])[] = [
    ['balance/0x12', 400, /address/],
    ['balance/nobody', 400, /address/],
    [`balance/0x${'zz'.repeat(20)}`, 400, /address/],
    ['block/-1', 400, /block/],
    ['block/1.5', 400, /block/],
    ['block/99999999999999999999', 400, /block/],
    ['block/12345', 404, /block/],
    [`block/0x${'99'.repeat(32)}`, 404, /block/],
    ['transactions/0x1', 400, /address/],
    [`transactions/0x${'11'.repeat(20)}?limit=0`, 400, /limit/],
    [`transactions/0x${'11'.repeat(20)}?limit=101`, 400, /limit/],
    ['transaction/0x12', 400, /hash/],
    [`transaction/0x${'11'.repeat(32)}`, 404, /transaction/],
    ['rounds/x', 400, /round/],
    ['rounds/900', 404, /round/],
    ['rounds?before=a', 400, /before/],
    ['nothing', 404, /GET/],
    ['balance/%zz', 400, /URL/],
    ['balance/..%2f..%2f..%2fetc%2fpasswd', 400, /address/],
    ['..%2f..%2fetc/passwd', 404, /GET/],
  ];
  for (const [path, status, message] of cases) {
    const answer = await ask(`${url}/api/v1/${path}`);
    t.is(answer.status, status, path);
    t.regex((answer.json as { error: { message: string } }).error.message, message, path);
  }
});

test('health, readiness and metrics tell the state of the node', async (t) => {
  const { url } = await serve(t, { ports: { metrics: () => 'extra_count 1' } });
  for (const path of ['/health', '/healthz', '/readyz']) t.is((await ask(url + path)).status, 200);
  const { text, headers } = await ask(`${url}/metrics`);
  t.regex(headers.get('content-type') ?? '', /^text\/plain; version=0.0.4/);
  t.regex(text, /^chain_height_blocks 0$/m);
  t.regex(text, /^extra_count 1$/m);
  const { ports } = await serve(t);
  const syncing = { startingBlock: 0, currentBlock: 1, highestBlock: 9 };
  const behind = await serve(t, { ports: { node: () => ({ ...ports.node(), syncing }) } });
  t.is((await ask(`${behind.url}/readyz`)).status, 503);
});

test('blobs go to the blob router, and what it does not know is 404', async (t) => {
  const { url } = await serve(t, {
    ports: {
      blobs: async (request, response) => {
        if (request.url !== '/walrus/v1/blobs/abc') return false;
        response.end('blob');
        return true;
      },
    },
  });
  t.is((await ask(`${url}/walrus/v1/blobs/abc`)).text, 'blob');
  t.is((await ask(`${url}/walrus/v1/blobs/other`)).status, 404);
});

test('overlong URLs are refused', async (t) => {
  const { url } = await serve(t);
  t.is((await ask(`${url}/api/v1/block/${'1'.repeat(5_000)}`)).status, 414);
});
