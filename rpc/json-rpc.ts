// Owns JSON-RPC 2.0 envelopes: single requests and batches from text to text, with the limits of both directions.
// Methods are methods/table.ts; sockets are server.ts and web-socket.ts.

import { type Result, fault } from '../base/fault.ts';
import { type RpcError, faultOf, rpcErrorOf } from './errors.ts';
import { isObject, parseJson } from './json.ts';
import type { RpcLimits } from './limits.ts';
import type { Method, MethodContext, Session } from './methods/method.ts';

type Id = string | number | null;

/** A well-formed request; `id` undefined marks a notification, which gets no answer. */
type Request = Readonly<{ id: Id | undefined; method: string; params: readonly unknown[] }>;

export type RpcDispatcher = Readonly<{
  /**
   * The answer to the text of one request or batch, or null when none is due. Never rejects. `session` is the WebSocket
   * the text came from, null over HTTP; `take` charges the client's rate and says whether it may go on.
   */
  answer(text: string, session: Session | null, take: (cost: number) => boolean): Promise<string | null>;
}>;

export function rpcDispatcher(methods: ReadonlyMap<string, Method>, context: MethodContext): RpcDispatcher {
  const limits = context.limits;
  async function one(value: unknown, session: Session | null, take: (cost: number) => boolean): Promise<string | null> {
    const request = readRequest(value, limits);
    if (!('method' in request)) return failure(request.id, request.error);
    const method = methods.get(request.method);
    if (!take(method?.cost ?? 1)) {
      const limited = fault('rateLimited', `more than ${limits.ratePerSecond} requests a second from this address`);
      return request.id === undefined ? null : failure(request.id, rpcErrorOf(limited));
    }
    const answer = await run(request, method, context, session);
    return request.id === undefined ? null : answer;
  }
  return {
    async answer(text, session, take) {
      const parsed = parseJson(text, limits.jsonDepth);
      if (!parsed.ok) return failure(null, rpcErrorOf(parsed));
      if (!Array.isArray(parsed.value)) return one(parsed.value, session, take);
      const items: readonly unknown[] = parsed.value;
      if (items.length === 0) return refusal('empty batch');
      if (items.length > limits.batchItems) {
        return refusal(`batch of ${items.length} requests, want at most ${limits.batchItems}`);
      }
      await prepare(items, methods, context);
      return batch(items, limits, (item) => one(item, session, take));
    },
  };
}

/** Lets methods do at once what their calls in a batch have in common. */
async function prepare(
  items: readonly unknown[],
  methods: ReadonlyMap<string, Method>,
  context: MethodContext,
): Promise<void> {
  const calls = new Map<Method, (readonly unknown[])[]>();
  for (const item of items) {
    if (!isObject(item) || typeof item.method !== 'string' || !Array.isArray(item.params)) continue;
    const method = methods.get(item.method);
    if (method?.prepare === undefined) continue;
    const known = calls.get(method);
    if (known === undefined) calls.set(method, [item.params]);
    else known.push(item.params);
  }
  for (const [method, params] of calls) await method.prepare?.(context, params);
}

/** Answers of a batch, in order; once the reply is full, the remaining requests are refused unexecuted. */
async function batch(
  items: readonly unknown[],
  limits: RpcLimits,
  one: (item: unknown) => Promise<string | null>,
): Promise<string | null> {
  const answers: string[] = [];
  let characters = 2;
  for (const item of items) {
    const full = characters > limits.replyBytes;
    const answer = full ? tooLarge(item, limits) : await one(item);
    if (answer === null) continue;
    answers.push(answer);
    characters += answer.length + 1;
  }
  return answers.length === 0 ? null : `[${answers.join(',')}]`;
}

function tooLarge(item: unknown, limits: RpcLimits): string | null {
  const request = readRequest(item, limits);
  if ('method' in request && request.id === undefined) return null;
  return failure(request.id ?? null, rpcErrorOf(replyTooLarge(limits)));
}

function replyTooLarge(limits: RpcLimits) {
  return fault('replyTooLarge', `the reply exceeds ${limits.replyBytes} bytes; ask for less`);
}

async function run(
  request: Request,
  method: Method | undefined,
  context: MethodContext,
  session: Session | null,
): Promise<string> {
  const id = request.id ?? null;
  if (method === undefined) {
    const unknown = fault(
      'methodNotFound',
      `the method ${request.method.slice(0, 80)} does not exist/is not available`,
    );
    return failure(id, rpcErrorOf(unknown));
  }
  try {
    const result = await method.run(context, request.params, session);
    const text = JSON.stringify(result) ?? 'null';
    if (text.length > context.limits.replyBytes) return failure(id, rpcErrorOf(replyTooLarge(context.limits)));
    return `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${text}}`;
  } catch (caught) {
    const refusal = faultOf(caught);
    if (refusal.code === 'internal') {
      context.ports.log('rpc.internalError', { method: request.method, error: String(caught) });
    }
    return failure(id, rpcErrorOf(refusal));
  }
}

function readRequest(value: unknown, limits: RpcLimits): Request | Readonly<{ id: Id; error: RpcError }> {
  if (!isObject(value)) return { id: null, error: invalid('a request is an object') };
  const id = readId(value.id, limits);
  if (!id.ok) return { id: null, error: rpcErrorOf(id) };
  const answerTo = id.value ?? null;
  if (value.jsonrpc !== '2.0') return { id: answerTo, error: invalid('the field jsonrpc must be "2.0"') };
  const method = value.method;
  if (typeof method !== 'string') return { id: answerTo, error: invalid('the field method must be a string') };
  const params = value.params ?? [];
  if (!Array.isArray(params)) {
    if (!isObject(params)) return { id: answerTo, error: invalid('the field params must be a list') };
    return { id: answerTo, error: rpcErrorOf(fault('invalidParams', 'non-array args: parameters are by position')) };
  }
  return { id: id.value, method, params };
}

/** Strings, whole numbers a double holds exactly, and null; anything else could collide with another id when echoed. */
function readId(id: unknown, limits: RpcLimits): Result<Id | undefined> {
  if (id === undefined || id === null) return { ok: true, value: id };
  if (typeof id === 'number' && Number.isSafeInteger(id)) return { ok: true, value: id };
  if (typeof id === 'string' && id.length <= limits.idCharacters) return { ok: true, value: id };
  return fault(
    'invalidRequest',
    `the field id must be a string of at most ${limits.idCharacters} characters, a whole number below 2^53 or null`,
  );
}

function invalid(message: string): RpcError {
  return rpcErrorOf(fault('invalidRequest', message));
}

function refusal(message: string): string {
  return failure(null, invalid(message));
}

function failure(id: Id, error: RpcError): string {
  return JSON.stringify({ jsonrpc: '2.0', id, error });
}
