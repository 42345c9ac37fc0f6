// Owns hostile cases on the API port: JSON, hosts, pages, paths, floods, and transactions no honest wallet sends.

import { request } from 'node:http';
import { once } from 'node:events';
import { toFunctionSelector } from 'viem';
import { WebSocket } from 'ws';
import { type Hex, concat, fromHex, toHex, u256be } from '../../base/bytes.ts';
import { LEARNING_ROUNDS_ADDRESS } from '../../chain/system/api.ts';
import { EVIDENCE_ADDRESS } from '../../chain/system/evidence.ts';
import { systemClock } from '../../node/clock.ts';
import { signTransaction } from '../../node/wallet.ts';
import { rpcLimits } from '../../rpc/limits.ts';
import { HOST } from './harness.ts';
import { type HostileCase, type Target, expect } from './hostile-cases.ts';

type Reply = Readonly<{
  status: number;
  text: string;
  json: { error?: { code: number; message: string }; result?: unknown };
}>;
type Ask = Readonly<{ method?: string; path?: string; headers?: Readonly<Record<string, string>>; body?: string }>;

function ask(target: Target, { method = 'POST', path = '/', headers = {}, body = '' }: Ask): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const options = { host: HOST, port: target.node.apiPort, method, path, agent: false };
    const sent = request({ ...options, headers: { 'content-type': 'application/json', ...headers } }, (response) => {
      let text = '';
      response.on('data', (bytes: Buffer) => {
        text += bytes.toString();
      });
      response.on('end', () => {
        let json: Reply['json'] = {};
        try {
          json = JSON.parse(text) as Reply['json'];
        } catch {
          // Pages and plain words are looked at as text.
        }
        resolve({ status: response.statusCode ?? 0, text, json });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const words = (method: string, params: unknown, id: unknown = 1): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });

async function codeOf(target: Target, body: string): Promise<number | undefined> {
  const { json } = await ask(target, { body });
  return (Array.isArray(json) ? json[0] : json).error?.code;
}

async function call(target: Target, method: string, params: unknown): Promise<Reply['json']> {
  return (await ask(target, { body: words(method, params) })).json;
}

async function isRefused(target: Target, body: string, ...codes: number[]): Promise<void> {
  const code = await codeOf(target, body);
  expect(code !== undefined && codes.includes(code), `${body.slice(0, 60)}: ${code}, not ${codes.join(' or ')}`);
}

const JSON_CASES: readonly HostileCase[] = [
  {
    number: 21,
    what: 'deep JSON, huge numbers, double and poisoned keys are refused',
    async run(target) {
      await isRefused(target, '['.repeat(10_000) + ']'.repeat(10_000), -32700, -32600);
      await isRefused(target, `{"jsonrpc":"2.0","id":${'9'.repeat(1_000_000)},"method":"eth_chainId"}`, -32700, -32600);
      await isRefused(target, '{"jsonrpc":"2.0","id":1,"id":2,"method":"eth_chainId"}', -32700, -32600);
      await isRefused(
        target,
        '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","__proto__":{"result":1}}',
        -32700,
        -32600,
      );
      expect(({} as { result?: unknown }).result === undefined, 'no pollution');
    },
  },
  {
    number: 22,
    what: 'ids that could collide are refused',
    async run(target) {
      for (const id of ['9223372036854775808', '1.5', '{"a":1}', '[1]']) {
        await isRefused(target, `{"jsonrpc":"2.0","id":${id},"method":"eth_chainId","params":[]}`, -32600);
      }
    },
  },
  {
    number: 23,
    what: 'a batch of 1,001, and an empty one, are refused',
    async run(target) {
      await isRefused(
        target,
        `[${Array(rpcLimits.batchItems + 1)
          .fill(words('eth_chainId', []))
          .join()}]`,
        -32600,
      );
      await isRefused(target, '[]', -32600);
    },
  },
  {
    number: 24,
    what: 'logs of a range above the limit are refused, naming it',
    async run(target) {
      const { error } = await call(target, 'eth_getLogs', [{ fromBlock: '0x0', toBlock: '0xffffff' }]);
      expect(error !== undefined, 'an error');
      const topics = Array(rpcLimits.logTopics + 1).fill(`0x${'11'.repeat(32)}`);
      await isRefused(
        target,
        words('eth_getLogs', [{ fromBlock: '0x0', toBlock: 'latest', topics: [topics] }]),
        -32602,
        -32600,
      );
    },
  },
  {
    number: 25,
    what: 'an endless call runs out of gas while others are answered',
    async run(target) {
      const endless = call(target, 'eth_call', [{ data: '0x5b600056' }, 'latest']);
      const start = systemClock.monotonic();
      expect((await call(target, 'eth_blockNumber', [])).result !== undefined, 'an answer meanwhile');
      expect(systemClock.monotonic() - start < 5_000, 'an answer in time');
      expect((await endless).error !== undefined, 'the call fails');
    },
  },
];

const DOOR_CASES: readonly HostileCase[] = [
  {
    number: 26,
    what: 'a foreign Host is 403',
    async run(target) {
      expect(
        (await ask(target, { headers: { host: 'evil.example' }, body: words('eth_chainId', []) })).status === 403,
        '403',
      );
    },
  },
  {
    number: 27,
    what: 'a foreign page that posts text/plain is refused',
    async run(target) {
      const headers = { origin: 'https://evil.example', 'content-type': 'text/plain' };
      const { status } = await ask(target, { headers, body: words('eth_chainId', []) });
      expect(status === 415 || status === 403, `415 or 403, not ${status}`);
    },
  },
  {
    number: 28,
    what: 'administration is not on the public port',
    async run(target) {
      for (const method of ['admin_addPeer', 'personal_unlockAccount', 'miner_start', 'debug_setHead']) {
        await isRefused(target, words(method, []), -32601);
      }
    },
  },
  {
    number: 29,
    what: 'paths that climb are 404',
    async run(target) {
      for (const path of ['/api/v1/../../etc/passwd', '/..%2f..%2fetc%2fpasswd', '/static/....//etc/passwd', '/%00']) {
        const { status, text } = await ask(target, { method: 'GET', path });
        expect(status >= 400 && status < 500 && !text.includes('root:'), `${path}: ${status}`);
      }
    },
  },
];

async function socketOf(target: Target): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${HOST}:${target.node.apiPort}`, { perMessageDeflate: false });
  socket.on('error', () => undefined);
  await once(socket, 'open');
  return socket;
}

const FLOOD_CASES: readonly HostileCase[] = [
  {
    number: 30,
    what: 'a client that stops reading is cut off',
    async run(target) {
      const socket = await socketOf(target);
      const ended = once(socket, 'close');
      const late = systemClock.after(60_000, () => socket.terminate());
      const start = systemClock.monotonic();
      // The whole block, over and over: answers pile up behind a reader that is paused.
      socket.pause();
      const body = `[${Array(50)
        .fill(words('eth_getCode', [LEARNING_ROUNDS_ADDRESS, 'latest']))
        .join()}]`;
      for (let i = 0; i < 200 && socket.readyState === WebSocket.OPEN; i++) {
        socket.send(body, () => undefined);
        if (i % 20 === 0) await systemClock.sleep(20);
      }
      socket.resume();
      await ended;
      late.cancel();
      expect(systemClock.monotonic() - start < 59_000, 'cut off by the node');
    },
  },
  {
    number: 31,
    what: 'subscriptions and filters are capped',
    async run(target) {
      const socket = await socketOf(target);
      const codes: (number | undefined)[] = [];
      socket.on('message', (bytes) => {
        codes.push((JSON.parse(String(bytes)) as { error?: { code: number } }).error?.code);
      });
      for (let id = 0; id <= rpcLimits.subscriptionsPerSocket; id++)
        socket.send(words('eth_subscribe', ['newHeads'], id));
      const start = systemClock.monotonic();
      while (codes.filter((code) => code !== undefined).length === 0 && systemClock.monotonic() - start < 20_000) {
        await systemClock.sleep(20);
      }
      expect(
        codes.some((code) => code !== undefined && code < 0),
        'one more than the cap is refused',
      );
      socket.terminate();
    },
  },
];

const FEES = { maxPriorityFeePerGas: 10n ** 9n, maxFeePerGas: 10n ** 11n };

function raw(
  target: Target,
  change: Readonly<{ nonce?: bigint; chainId?: bigint; gas?: bigint; to?: Hex | null; data?: Uint8Array }>,
): Hex {
  const {
    nonce = 0n,
    chainId = BigInt(target.chainId),
    gas = 21_000n,
    to = target.cheat.address,
    data = new Uint8Array(0),
  } = change;
  return toHex(signTransaction({ chainId, nonce, gas, to, value: 0n, data, ...FEES }, target.cheat.secretKey).raw);
}

/** A call of a contract that must fail, whoever is asked to make it. */
async function mustFail(target: Target, to: Hex, signature: string, ...parts: Uint8Array[]): Promise<void> {
  const data = toHex(concat(fromHex(toFunctionSelector(signature)), ...parts));
  const { error } = await call(target, 'eth_call', [{ from: target.cheat.address, to, data }, 'latest']);
  expect(error !== undefined, `${signature} fails`);
}

const word = (value: bigint): Uint8Array => u256be(value);
const ABSURD = (1n << 255n) - 1n;

const MONEY_CASES: readonly HostileCase[] = [
  {
    number: 32,
    what: 'nonces far ahead fill a capped queue and nothing else',
    async run(target) {
      const far = BigInt(10 + target.random.below(1_000_000));
      let refused = 0;
      for (let i = 0n; i < 90n; i++) {
        const { error } = await call(target, 'eth_sendRawTransaction', [raw(target, { nonce: far + i * 2n })]);
        if (error !== undefined) refused++;
      }
      expect(refused > 0, 'the queue of an account has an end');
    },
  },
  {
    number: 33,
    what: 'transactions of another chain, without gas or with too large code are refused',
    async run(target) {
      for (const change of [
        { chainId: BigInt(target.chainId + 1) },
        { gas: 0n },
        { to: null, gas: 10_000_000n, data: new Uint8Array(50_000) },
      ]) {
        const { error } = await call(target, 'eth_sendRawTransaction', [raw(target, change)]);
        expect(error !== undefined, Object.keys(change).join());
      }
    },
  },
  {
    number: 35,
    what: 'evidence that is malformed, foreign or absurd fails',
    async run(target) {
      const submit =
        'submit(uint8,uint64,uint32,uint64,(bytes32,uint32,bytes32,bytes32,uint8),(bytes32,uint32,bytes32,bytes32,uint8))';
      await mustFail(target, EVIDENCE_ADDRESS, submit, target.random.bytes(14 * 32));
      await mustFail(target, EVIDENCE_ADDRESS, submit, word(2n), word(1n), word(0n), word(0n), new Uint8Array(10 * 32));
      await mustFail(target, EVIDENCE_ADDRESS, submit, word(2n), word(ABSURD));
      await mustFail(target, EVIDENCE_ADDRESS, 'begin()');
    },
  },
  {
    number: 37,
    what: 'a reveal of verdicts that was never committed fails',
    run: (target) =>
      mustFail(
        target,
        LEARNING_ROUNDS_ADDRESS,
        'revealVerdicts(uint64,bytes,bytes32,bytes)',
        ...[0n, 128n, 7n, 192n, 38n].map(word),
        new Uint8Array(64),
        word(81n),
        new Uint8Array(96),
      ),
  },
  {
    number: 38,
    what: 'a canary opened out of its phase fails',
    async run(target) {
      await mustFail(
        target,
        LEARNING_ROUNDS_ADDRESS,
        'openCanary(uint64,uint32,bytes32,bytes32)',
        word(0n),
        word(1n),
        word(2n),
        word(3n),
      );
      await mustFail(target, LEARNING_ROUNDS_ADDRESS, 'openCanary(uint64,uint32,bytes32,bytes32)', word(ABSURD));
    },
  },
];

export const CLIENT_CASES: readonly HostileCase[] = [...JSON_CASES, ...DOOR_CASES, ...FLOOD_CASES, ...MONEY_CASES];
