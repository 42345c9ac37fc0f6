// Owns the list of bad inputs every node must bear, by number, and which test shows it. A number without a test fails here, and
// so does a test that has gone.

import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { once } from 'node:events';
import test from 'ava';
import { WebSocket } from 'ws';
import { HOSTILE_CASES } from './cluster/hostile-target.ts';
import { startNode } from './net/harness.ts';
import { call, serve } from './rpc/fixture.ts';
import { stubChain } from './rpc/stub-chain.ts';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const CASES = 38;

/** Number, what is sent, and the tests of single parts: file under test/ and title. */
const COVERED: readonly (readonly [number, string, readonly (readonly [string, string])[]])[] = [
  [1, 'frame above 2 MiB', [['net/hostile', 'WebSocket frames over the limit, fragments over the limit and junk']]],
  [2, '17 fragments', [['net/hostile', 'WebSocket frames over the limit, fragments over the limit and junk']]],
  [3, 'text that is not UTF-8', [['rpc/web-socket', 'oversized, fragmented, binary and invalid messages close']]],
  [4, 'offer to compress', [['bad-input', 'an offer to compress is not taken up, by peers or for clients']]],
  [5, 'half a handshake', [['net/hostile', 'sockets that stay silent, speak half a handshake']]],
  [6, 'headers byte by byte', [['rpc/json-rpc', 'slow headers are cut off']]],
  [7, 'another chain or genesis', [['net/peers', 'a node of another genesis or chain id is refused']]],
  [8, 'replayed handshake', [['net/parts', 'a binding holds for its node key, chain and genesis only']]],
  [9, 'own key echoed', [['net/peers', 'an authority is known by its signature for its node key, and a false one']]],
  [
    10,
    'vote of a stranger',
    [['consensus/core', 'strangers, other heights and rounds beyond the limit change nothing']],
  ],
  [11, 'forged signature', [['consensus/driver-network', 'junk, foreign and forged messages are refused']]],
  [12, 'round 1,001', [['consensus/codec', 'rounds above 1,000, heights beyond the limit']]],
  [13, 'height far ahead', [['consensus/core', 'strangers, other heights and rounds beyond the limit change nothing']]],
  [14, 'valid round not below the round', [['consensus/codec', 'valid rounds not below the round are refused']]],
  [15, 'wrong proposer', [['consensus/core', 'strangers, other heights and rounds beyond the limit change nothing']]],
  [
    16,
    'hostile certificates',
    [
      ['consensus/certificate', 'a duplicated signer, an index out of bounds and extra signatures'],
      ['consensus/certificate', 'hostile certificates are refused within five milliseconds'],
    ],
  ],
  [17, 'many blocks for one round', [['consensus/core', 'a proposer that names two blocks leaves evidence']]],
  [
    18,
    'peer that lies to who catches up',
    [
      ['consensus/catch-up', 'a block without a quorum, of another height'],
      ['consensus/catch-up', 'a peer that lied is left alone'],
    ],
  ],
  [19, 'block not in canonical form', [['chain/invalid-blocks', 'wire bytes that are not the one canonical form']]],
  [20, 'block from the future', [['consensus/core', 'a block from the future or from long ago is untimely']]],
  [21, 'deep, long, poisoned JSON', [['rpc/json-rpc', 'text that is not JSON, too deep, or with a poisoned']]],
  [22, 'ids that collide', [['rpc/json-rpc', 'ids that could collide are refused']]],
  [23, 'batch of 1,001 or none', [['rpc/json-rpc', 'batches keep their order, skip notifications and have a limit']]],
  [24, 'logs of everything', [['bad-input', 'a range of logs above the limit is -32602 and names the limit']]],
  [
    25,
    'endless call',
    [
      ['chain/calls', 'an endless loop ends when its gas does'],
      ['chain/calls', 'a long call leaves turns for timers and for other calls'],
      ['rpc/endless-call', 'endless calls end in an error and leave the p99 of other calls under 200 ms'],
    ],
  ],
  [26, 'foreign host', [['rpc/json-rpc', 'only hosts the node serves are answered']]],
  [27, 'foreign page, text/plain', [['rpc/json-rpc', 'bodies are bounded, plain and JSON']]],
  [28, 'administration on the public port', [['rpc/json-rpc', 'there are none that sign or administer']]],
  [29, 'path traversal', [['rpc/rest', 'what is malformed is 400 and names its field, what is unknown is 404']]],
  [30, 'client that does not read', [['rpc/web-socket', 'a client that stops reading is cut off']]],
  [
    31,
    'flood of filters and subscriptions',
    [
      ['rpc/json-rpc', 'polled filters are capped, expire and end'],
      ['rpc/web-socket', 'subscriptions are capped and checked'],
    ],
  ],
  [32, 'nonce gaps', [['chain/pool', 'limits hold: queued and executable per account']]],
  [33, 'wrong chain id, no gas, large code', [['chain/pool', 'refusals use the words wallets classify by']]],
  [34, 'learning proof that is not there or lies', [['trainer/audit', 'hostile served states are ignored']]],
  [
    35,
    'evidence twice or too old',
    [
      ['consensus/codec', 'evidence is two contradicting statements of one signer, known by what they say alone'],
      ['consensus/codec', 'evidence expires once its blocks have passed'],
      ['chain/evidence', 'case 35: evidence that is repeated, in either order or with a third statement'],
    ],
  ],
  [
    36,
    'second node with the same key or data folder',
    [
      ['cluster/bad-input', 'a data folder of another network, or one in use'],
      ['cluster/faults', 'case 36: a second node with the same key refuses to go on'],
    ],
  ],
  [37, 'reveal that does not match', []],
  [38, 'canary opened late', []],
];

test('each bad input has a test that shows what becomes of it', (t) => {
  const numbers = COVERED.map(([number]) => number);
  t.deepEqual(
    numbers,
    Array.from({ length: CASES }, (_, index) => index + 1),
  );
  for (const [number, what, tests] of COVERED) {
    // Each is also sent to a live network: test/cluster/hostile.test.ts.
    t.is(HOSTILE_CASES.filter((one) => one.number === number).length, 1, `${number} ${what}`);
    for (const [file, title] of tests) {
      const text = readFileSync(join(root, 'test', `${file}.test.ts`), 'utf8');
      t.true(text.includes(title), `${number} ${what}: test/${file}.test.ts has no test "${title}"`);
    }
  }
});

test.serial('an offer to compress is not taken up, by peers or for clients', async (t) => {
  const peer = await startNode(t, 381);
  const port = /tcp\/(\d+)/.exec(peer.addresses()[0] ?? '')?.[1] ?? '';
  const { url } = await serve(t);
  for (const address of [`ws://127.0.0.1:${port}`, url.replace('http', 'ws')]) {
    const socket = new WebSocket(address, { perMessageDeflate: true });
    t.teardown(() => socket.terminate());
    await once(socket, 'open');
    t.is(socket.extensions, '', address);
  }
});

test('a range of logs above the limit is -32602 and names the limit', async (t) => {
  const chain = stubChain();
  const { url } = await serve(t, { chain: { ...chain, limits: { ...chain.limits, logsRange: 0 } } });
  const { error } = await call(url, 'eth_getLogs', [{ fromBlock: '0x0', toBlock: 'latest' }]);
  t.is(error?.code, -32602);
  t.regex(error?.message ?? '', /limit of 0 blocks/);
});
