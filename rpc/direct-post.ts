// Owns the short way of a JSON-RPC request: a whole plain POST that lies in one piece of a connection is answered without an
// HTTP message object, which costs more than most answers. Any other connection goes to node:http, bytes and all, for good.

import { isUtf8 } from 'node:buffer';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { check } from '../base/check.ts';
import type { RpcLimits } from './limits.ts';

/** What is done for one connection. */
export type DirectPost = Readonly<{
  /** The answer to a body, null for none. */
  answer(body: string): Promise<string | null>;
  /** False sends requests with this Host header the long way, which refuses them in its own words. */
  admits(host: string): boolean;
  /** Takes a request from the client's share; false sends it the long way too. */
  take(): boolean;
  isJson(contentType: string): boolean;
}>;

const START = Buffer.from('POST / HTTP/1.1\r\n');
const BLANK = Buffer.from('\r\n\r\n');
/** Headers that change nothing about the answer to a plain POST. */
const IDLE_HEADERS = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'pragma',
  'sec-fetch-mode',
  'user-agent',
]);
const EMPTY_ANSWER = 'HTTP/1.1 204 No Content\r\nx-content-type-options: nosniff\r\n\r\n';

type Head = Readonly<{ host: string; contentType: string; length: number }>;

/** What the header lines say, or null when they say anything beyond a plain POST of known length. */
function readHead(lines: string): Head | null {
  const seen = new Map<string, string>();
  for (const line of lines.split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    if (colon < 1 || seen.has(name)) return null;
    const value = line.slice(colon + 1).trim();
    if (name === 'connection' && value.toLowerCase() !== 'keep-alive') return null;
    const isKnown = name === 'connection' || name === 'host' || name === 'content-type' || name === 'content-length';
    if (!isKnown && !IDLE_HEADERS.has(name)) return null;
    seen.set(name, value);
  }
  const length = seen.get('content-length') ?? '';
  const host = seen.get('host');
  const contentType = seen.get('content-type');
  if (host === undefined || contentType === undefined || !/^[1-9]\d{0,8}$/.test(length)) return null;
  return { host, contentType, length: Number(length) };
}

function whole(answer: string): string {
  const length = Buffer.byteLength(answer);
  return `HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${answer}`;
}

/** Puts the short way before the server's own. Returns what ends it. */
export function serveDirectly(server: Server, open: (socket: Socket) => DirectPost, limits: RpcLimits): () => void {
  const [accept, ...others] = server.listeners('connection');
  check(accept !== undefined && others.length === 0, 'node:http takes connections elsewhere');
  server.removeAllListeners('connection');
  const connections = new Set<Connection>();
  // One timer for all: two for each request, and what sockets do about theirs at every byte, cost more than most answers.
  const sweep = setInterval(() => {
    for (const connection of connections) connection.wait(limits.timeoutCheckMs);
  }, limits.timeoutCheckMs);
  sweep.unref();
  server.on('connection', (socket: Socket) => {
    const connection = new Connection(socket, open(socket), limits, () => accept.call(server, socket));
    connections.add(connection);
    connection.onGone = () => connections.delete(connection);
  });
  return () => {
    clearInterval(sweep);
    for (const connection of connections) connection.close();
  };
}

/** From accepting to the end, or to the handing over. */
class Connection {
  readonly #socket: Socket;
  readonly #post: DirectPost;
  readonly #limits: RpcLimits;
  readonly #handOver: () => void;
  #isBusy = false;
  #isClosing = false;
  /** Milliseconds until the connection ends if nothing happens on it. */
  #patienceMs: number;
  /** What came while an answer was being made. */
  #next: Buffer | null = null;
  /** The last header lines and what they said: a client repeats itself. */
  #lines = '';
  #head: Head | null = null;
  onGone: () => void = () => {};
  readonly #onData = (bytes: Buffer): void => this.#take(bytes);
  readonly #onEnd = (): void => void this.#socket.destroy();
  readonly #onClose = (): void => this.onGone();

  constructor(socket: Socket, post: DirectPost, limits: RpcLimits, handOver: () => void) {
    this.#socket = socket;
    this.#post = post;
    this.#limits = limits;
    this.#handOver = handOver;
    socket.setNoDelay(true);
    this.#patienceMs = limits.headersMs;
    socket.on('data', this.#onData).on('close', this.#onClose);
    for (const event of ['error', 'end']) socket.on(event, this.#onEnd);
  }

  close(): void {
    this.#isClosing = true;
    if (!this.#isBusy) this.#socket.destroy();
  }

  /** So much time has gone by. */
  wait(ms: number): void {
    this.#patienceMs -= ms;
    if (this.#patienceMs < 0) this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    if (this.#isBusy) {
      this.#next = this.#next === null ? bytes : Buffer.concat([this.#next, bytes]);
      this.#socket.pause();
      return;
    }
    const body = this.#bodyOf(bytes);
    if (body === null) this.#leave(bytes);
    else void this.#answer(body);
  }

  /** Text of the body when the bytes are one whole plain request, else null. */
  #bodyOf(bytes: Buffer): string | null {
    if (bytes.length < START.length || START.compare(bytes, 0, START.length) !== 0) return null;
    const end = bytes.indexOf(BLANK, START.length);
    if (end < 0 || end > this.#limits.headerBytes) return null;
    const lines = bytes.toString('latin1', START.length, end);
    const isRepeated = lines === this.#lines;
    const head = isRepeated ? this.#head : readHead(lines);
    if (head === null || head.length !== bytes.length - end - BLANK.length) return null;
    if (!isRepeated && !(this.#post.isJson(head.contentType) && this.#post.admits(head.host))) return null;
    this.#lines = lines;
    this.#head = head;
    if (head.length > this.#limits.bodyBytes || !this.#post.take()) return null;
    const body = bytes.subarray(end + BLANK.length);
    return isUtf8(body) ? body.toString('utf8') : null;
  }

  async #answer(body: string): Promise<void> {
    this.#isBusy = true;
    // The client waits for us now, which may take longer than a header may.
    this.#patienceMs = this.#limits.socketIdleMs;
    const answer = await this.#post.answer(body);
    this.#isBusy = false;
    const socket = this.#socket;
    if (socket.destroyed) return;
    this.#patienceMs = this.#limits.keepAliveMs;
    socket.write(answer === null ? EMPTY_ANSWER : whole(answer));
    if (this.#isClosing) {
      socket.end();
      return;
    }
    const next = this.#next;
    if (next === null) return;
    this.#next = null;
    socket.resume();
    this.#take(next);
  }

  /** Gives the connection, with what it has just said, to node:http. */
  #leave(bytes: Buffer): void {
    const socket = this.#socket;
    socket.off('data', this.#onData).off('close', this.#onClose);
    for (const event of ['error', 'end']) socket.off(event, this.#onEnd);
    this.onGone();
    socket.pause();
    socket.unshift(bytes);
    this.#handOver();
    socket.resume();
  }
}
