// Owns one HTTP exchange of an OpenAI route: key, body, abort on disconnect, plain or streamed answer, error form.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { toHex } from '../../base/bytes.ts';
import { FaultError } from '../../base/fault.ts';
import { readBody, sendJson } from '../body.ts';
import { type JsonObject, isObject, parseJson } from '../json.ts';
import type { RpcLimits } from '../limits.ts';
import type { ChatModel, ChatModelInfo, Entropy, RpcPorts } from '../ports.ts';
import { apiErrorOf, refuse, retryAfter } from './api-error.ts';
import type { GenerationQueue } from './queue.ts';

/** What every OpenAI route works with. */
export type OpenAiContext = Readonly<{
  ports: RpcPorts;
  limits: RpcLimits;
  /** Bearer key, or null when none is asked for. */
  apiKey: string | null;
  queue: GenerationQueue;
  /** The answers under way, for the server to abort when it closes. */
  active: Set<AbortController>;
}>;

export type Exchange = Readonly<{
  body: JsonObject;
  model: ChatModel;
  info: ChatModelInfo;
  /** Aborted when the client leaves or the server closes. */
  signal: AbortSignal;
  sendJson(value: unknown): void;
  /** Opens the event stream; events may follow. */
  openStream(): EventStream;
}>;

export type EventStream = Readonly<{
  /** One event; waits while the client is slow. */
  send(data: string, event?: string): Promise<void>;
  end(): void;
}>;

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** 96 random bits behind a prefix such as "chatcmpl-". */
export function identifier(prefix: string, entropy: Entropy): string {
  return `${prefix}${toHex(entropy(12)).slice(2)}`;
}

/** Refuses a request without the configured key; the comparison takes the same time for every wrong one. */
export function checkKey(request: IncomingMessage, apiKey: string | null): void {
  if (apiKey === null) return;
  const given = /^Bearer (.{1,512})$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  if (!timingSafeEqual(digest(given), digest(apiKey))) {
    throw refuse(null, 'the header Authorization must be "Bearer" and the key of this server', 'invalid_api_key', 401);
  }
}

/** Refuses other methods with 405 and the header Allow. */
export function checkMethod(request: IncomingMessage, response: ServerResponse, allowed: readonly string[]): void {
  if (allowed.includes(request.method ?? '')) return;
  response.setHeader('allow', allowed.join(', '));
  throw refuse(null, `${request.method} is not allowed here; use ${allowed.join(' or ')}`, 'method_not_allowed', 405);
}

export function modelOf(ports: RpcPorts): ChatModel {
  if (ports.chat === null) throw refuse(null, 'this node serves no model', 'service_unavailable', 503);
  return ports.chat;
}

/** A POST route: `answer` sends or throws. */
export function postRoute(context: OpenAiContext, answer: (exchange: Exchange) => Promise<void>): Handler {
  return guarded(context, async (request, response) => {
    checkMethod(request, response, ['POST']);
    checkKey(request, context.apiKey);
    const body = await readJson(request, context.limits);
    if (body === null) return;
    const model = modelOf(context.ports);
    const info = model.info();
    response.setHeader('x-model-root', info.modelRoot);
    const gone = new AbortController();
    context.active.add(gone);
    response.on('close', () => {
      context.active.delete(gone);
      gone.abort();
    });
    await answer({
      body,
      model,
      info,
      signal: gone.signal,
      sendJson: (value) => sendJson(request, response, 200, value),
      openStream: () => eventStream(response, context.limits),
    });
    // An aborted answer is left unfinished: the client sees the cut, not a short answer.
    if (!response.writableEnded) response.destroy();
  });
}

/** Runs a handler and answers whatever it throws in the API's error form. */
export function guarded({ ports }: OpenAiContext, handler: Handler): Handler {
  return async (request, response) => {
    response.setHeader('x-request-id', identifier('req_', ports.entropy));
    try {
      await handler(request, response);
    } catch (caught) {
      if (caught instanceof FaultError && caught.fault.code === 'aborted') return void response.destroy();
      const { status, body } = apiErrorOf(caught);
      if (status === 500) ports.log('openai.internalError', { path: request.url ?? '', error: String(caught) });
      const seconds = retryAfter(caught);
      if (response.headersSent) {
        response.end(`data: ${JSON.stringify(body)}\n\n`);
        return;
      }
      if (seconds !== null) response.setHeader('retry-after', String(seconds));
      sendJson(request, response, status, body);
    }
  };
}

/** The body as an object, or null when the client left before it was read. */
async function readJson(request: IncomingMessage, limits: RpcLimits): Promise<JsonObject | null> {
  const text = await readBody(request, limits.bodyBytes);
  if (!text.ok) {
    if (text.code === 'aborted') return null;
    const status = text.code === 'bodyTooLarge' ? 413 : text.code === 'contentType' ? 415 : 400;
    throw refuse(null, text.message, 'invalid_request', status);
  }
  const parsed = parseJson(text.value, limits.jsonDepth);
  if (!parsed.ok) throw refuse(null, parsed.message, 'invalid_json');
  if (!isObject(parsed.value)) throw refuse(null, 'the body must be a JSON object', 'invalid_json');
  return parsed.value;
}

/** Waits until the client has read on. One that reads nothing for `stallMs` is cut off: it would hold a generation slot. */
function drained(response: ServerResponse, stallMs: number): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => response.destroy(), stallMs);
    const done = (): void => {
      clearTimeout(timer);
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

function eventStream(response: ServerResponse, limits: RpcLimits): EventStream {
  response.setHeader('content-type', 'text/event-stream; charset=utf-8');
  response.setHeader('cache-control', 'no-cache');
  response.setHeader('x-accel-buffering', 'no');
  response.flushHeaders();
  const keepAlive = setInterval(() => response.write(': keep-alive\n\n'), limits.streamKeepAliveMs);
  keepAlive.unref();
  response.on('close', () => clearInterval(keepAlive));
  return {
    async send(data, event) {
      if (response.destroyed) return;
      const written = response.write(`${event === undefined ? '' : `event: ${event}\n`}data: ${data}\n\n`);
      if (!written) await drained(response, limits.streamStallMs);
    },
    end() {
      clearInterval(keepAlive);
      response.end();
    },
  };
}
