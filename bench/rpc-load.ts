// Owns the load of a JSON-RPC benchmark: transactions signed once for every node, sent in batches by all senders at a
// time until every receipt is here; reads over plain sockets that stay open.

import { connect, type Socket } from 'node:net';
import { type Hex, toHex, utf8 } from '../base/bytes.ts';
import { keccak256 } from '../base/hash.ts';
import { addressOfSecret } from '../base/keys.ts';
import { signTransaction } from '../node/wallet.ts';

const BATCH = 50;
const GWEI = 10n ** 9n;
const PATIENCE_MS = 120_000;

export type Sender = Readonly<{ secret: Uint8Array; address: Hex }>;
export type Signed = Readonly<{ raw: Hex; hash: Hex }>;
/** By sender, by nonce. */
export type Load = readonly (readonly Signed[])[];

export function makeSenders(count: number): Sender[] {
  return Array.from({ length: count }, (_, i) => {
    const secret = keccak256(utf8(`bench sender ${i}`));
    return { secret, address: addressOfSecret(secret) };
  });
}

export type Payload = Readonly<{ to: Hex | null; value: bigint; data: Uint8Array; gas: bigint }>;

export function sign(chainId: bigint, sender: Sender, nonce: number, payload: Payload): Signed {
  const fees = { maxPriorityFeePerGas: GWEI, maxFeePerGas: 1_000n * GWEI };
  const { raw, hash } = signTransaction({ chainId, nonce: BigInt(nonce), ...fees, ...payload }, sender.secret);
  return { raw: toHex(raw), hash };
}

/** `count` transactions shared among the senders, each from its `nonces[i]` on. */
export function makeLoad(
  chainId: bigint,
  senders: readonly Sender[],
  nonces: readonly number[],
  count: number,
  payload: (index: number) => Payload,
): Load {
  const each = Math.floor(count / senders.length);
  return senders.map((sender, i) =>
    Array.from({ length: each }, (_, k) =>
      sign(chainId, sender, (nonces[i] ?? 0) + k, payload(k * senders.length + i)),
    ),
  );
}

type Answer = { id: number; result?: unknown; error?: { message: string } };

async function batch(url: string, method: string, params: readonly (readonly unknown[])[]): Promise<Answer[]> {
  const body = JSON.stringify(params.map((one, id) => ({ jsonrpc: '2.0', id, method, params: one })));
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  return (await response.json()) as Answer[];
}

async function sendAll(url: string, signed: readonly Signed[]): Promise<void> {
  for (let at = 0; at < signed.length; at += BATCH) {
    const answers = await batch(
      url,
      'eth_sendRawTransaction',
      signed.slice(at, at + BATCH).map(({ raw }) => [raw]),
    );
    for (const { error } of answers) if (error !== undefined) throw new Error(`refused: ${error.message}`);
  }
}

/** Asks for the receipts of one sender, in order, until all are there and tell of success. */
async function awaitReceipts(url: string, signed: readonly Signed[], end: number): Promise<void> {
  for (let at = 0; at < signed.length; ) {
    const part = signed.slice(at, at + BATCH);
    const answers = await batch(
      url,
      'eth_getTransactionReceipt',
      part.map(({ hash }) => [hash]),
    );
    const receipts = answers.sort((a, b) => a.id - b.id).map(({ result }) => result as { status: string } | null);
    const missing = receipts.findIndex((receipt) => receipt === null || receipt === undefined);
    for (const receipt of receipts)
      if (receipt != null && receipt.status !== '0x1') throw new Error('a transaction failed');
    at += missing === -1 ? part.length : missing;
    if (missing !== -1) await new Promise((done) => setTimeout(done, 100));
    if (performance.now() > end) throw new Error(`${signed.length - at} receipts of a sender never came`);
  }
}

/** Transactions a second from the first byte sent to the last receipt read. */
export async function transactionsPerSecond(url: string, load: Load): Promise<number> {
  const total = load.reduce((sum, list) => sum + list.length, 0);
  const start = performance.now();
  await Promise.all(
    load.map(async (list) => {
      await sendAll(url, list);
      await awaitReceipts(url, list, start + PATIENCE_MS);
    }),
  );
  return (total / (performance.now() - start)) * 1_000;
}

export type Reads = Readonly<{ perSecond: number; p99Ms: number }>;

/** eth_getBalance over so many open connections for so long, one request on each at a time. */
export async function balanceReads(
  url: string,
  addresses: readonly Hex[],
  connections: number,
  ms: number,
): Promise<Reads> {
  const { hostname, port } = new URL(url);
  const requests = addresses.map((address) => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_getBalance', params: [address, 'latest'] });
    return Buffer.from(
      `POST / HTTP/1.1\r\nhost: ${hostname}:${port}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
  });
  const latencies: number[] = [];
  const end = performance.now() + ms;
  const one = async (index: number): Promise<void> => {
    const socket: Socket = connect(Number(port), hostname);
    socket.setNoDelay(true);
    await new Promise<void>((done, fail) => {
      let turn = index;
      let start = 0;
      const ask = (): void => {
        start = performance.now();
        socket.write(requests[turn++ % requests.length] as Buffer);
      };
      socket.once('connect', ask);
      socket.once('error', fail);
      socket.on('data', (bytes) => {
        // An answer is one small object, chunked or not; its last brace ends it.
        if (bytes.lastIndexOf('}') < 0) return;
        if (bytes.lastIndexOf('"result"') < 0) return fail(new Error(`no result: ${bytes.toString().slice(-200)}`));
        const now = performance.now();
        latencies.push(now - start);
        if (now < end) return ask();
        socket.destroy();
        done();
      });
    });
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: connections }, (_, i) => one(i)));
  const elapsed = performance.now() - start;
  latencies.sort((a, b) => a - b);
  return {
    perSecond: (latencies.length / elapsed) * 1_000,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
  };
}
