// Requests by the short way (rpc/direct-post.ts) and those it must leave to node:http: bytes on a socket, one after another.

import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import test from 'ava';
import { success } from '../../base/fault.ts';
import { serve } from './fixture.ts';

const BODY = '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}';

function request(body: string, extra = '', first = 'POST / HTTP/1.1'): string {
  const length = Buffer.byteLength(body);
  return `${first}\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n${extra}\r\n${body}`;
}

type Client = Readonly<{ socket: Socket; write(bytes: string): void; answers(count: number): Promise<string> }>;

/** A socket that tells what came once so many bodies were answered, or once it was closed. */
async function client(port: number): Promise<Client> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  let closed = false;
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    closed = true;
  });
  await new Promise((done) => socket.once('connect', done));
  return {
    socket,
    write: (bytes) => void socket.write(bytes),
    async answers(count) {
      const end = performance.now() + 5_000;
      while ((text.match(/HTTP\/1\.1 \d+/g)?.length ?? 0) < count && !closed && performance.now() < end) {
        await new Promise((done) => setTimeout(done, 5));
      }
      await new Promise((done) => setTimeout(done, 20));
      return text;
    },
  };
}

const codes = (text: string): string[] => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code ?? '');
const isDirect = (text: string): boolean => !/\r\ndate:/i.test(text);

test('whole plain requests are answered on one connection, in order, with their ids', async (t) => {
  const { port } = (await serve(t)).server;
  const { write, answers, socket } = await client(port);
  for (let id = 1; id <= 3; id++) {
    write(request(BODY.replace('"id":1', `"id":${id}`)));
    t.deepEqual(codes(await answers(id)), Array(id).fill('200'));
  }
  const text = await answers(3);
  t.true(isDirect(text));
  t.deepEqual(
    [...text.matchAll(/"id":(\d)/g)].map(([, id]) => id),
    ['1', '2', '3'],
  );
  socket.destroy();
});

test('a request in pieces, two at once, and one after an odd one are all answered, whichever way they go', async (t) => {
  const { port } = (await serve(t)).server;
  const whole = request(BODY);
  const pieces = await client(port);
  pieces.write(whole.slice(0, 60));
  await new Promise((done) => setTimeout(done, 50));
  pieces.write(whole.slice(60));
  t.deepEqual(codes(await pieces.answers(1)), ['200']);
  const pair = await client(port);
  pair.write(whole + whole);
  t.deepEqual(codes(await pair.answers(2)), ['200', '200']);
  const odd = await client(port);
  odd.write(whole);
  t.deepEqual(codes(await odd.answers(1)), ['200']);
  odd.write(request(BODY, 'x-other: 1\r\n'));
  t.deepEqual(codes(await odd.answers(2)), ['200', '200']);
  odd.write(whole);
  const text = await odd.answers(3);
  t.deepEqual(codes(text), ['200', '200', '200']);
  t.false(isDirect(text));
  for (const { socket } of [pieces, pair, odd]) socket.destroy();
});

test('a notification gets an empty answer, and the connection goes on', async (t) => {
  const { port } = (await serve(t)).server;
  const { write, answers, socket } = await client(port);
  write(request(BODY.replace('"id":1,', '')));
  t.deepEqual(codes(await answers(1)), ['204']);
  write(request(BODY));
  t.deepEqual(codes(await answers(2)), ['204', '200']);
  socket.destroy();
});

test('what is no plain request is refused as node:http refuses it', async (t) => {
  const { port } = (await serve(t)).server;
  const cases: readonly (readonly [string, string])[] = [
    [request(BODY).replace('host: 127.0.0.1', 'host: evil.example'), '403'],
    [request(BODY).replace('application/json', 'text/plain'), '415'],
    [request(BODY, 'content-encoding: gzip\r\n'), '415'],
    [request(BODY, 'transfer-encoding: chunked\r\n'), '400'],
    [request(BODY, `content-length: ${BODY.length + 1}\r\n`), '400'],
    [request(BODY, 'bad header line\r\n'), '400'],
    [request(BODY, '', 'POST / HTTP/1.2'), '400'],
    [request('', '', 'DELETE /nowhere HTTP/1.1'), '404'],
  ];
  for (const [bytes, code] of cases) {
    const { write, answers, socket } = await client(port);
    write(bytes);
    const text = await answers(1);
    t.is(codes(text)[0], code, bytes.slice(0, 120));
    socket.destroy();
  }
  const bytes = await client(port);
  bytes.socket.write(Buffer.concat([Buffer.from(request('xx').slice(0, -2)), Buffer.from([0xff, 0xfe])]));
  t.regex(await bytes.answers(1), /-32700/);
  bytes.socket.destroy();
});

test('an answer may take longer than headers may', async (t) => {
  const submitTransaction = async () => success(`0x${'12'.repeat(32)}` as const);
  const { port } = (await serve(t, { ports: { submitTransaction }, limits: { headersMs: 200, timeoutCheckMs: 50 } }))
    .server;
  const { write, answers, socket } = await client(port);
  const method = 'eth_sendRawTransactionSync';
  write(request(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: ['0x01', 1_000] })));
  const text = await answers(1);
  t.true(isDirect(text));
  t.regex(text, /"code":-32002/);
  socket.destroy();
});

test('a connection that says nothing is ended, before its first request and after one', async (t) => {
  const limits = { headersMs: 200, keepAliveMs: 300, timeoutCheckMs: 50 };
  const { port } = (await serve(t, { limits })).server;
  const silent = await client(port);
  const served = await client(port);
  served.write(request(BODY));
  await served.answers(1);
  await Promise.all([silent, served].map(({ socket }) => new Promise((done) => socket.once('close', done))));
  t.pass();
});

test('closing the server ends idle connections and lets a running answer out', async (t) => {
  const { server } = await serve(t);
  const idle = await client(server.port);
  idle.write(request(BODY));
  await idle.answers(1);
  const gone = new Promise((done) => idle.socket.once('close', done));
  await server.close();
  await gone;
  t.pass();
});
