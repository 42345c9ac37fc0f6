// Owns request and response between two peers: one stream a request, limits for each asking peer, refusals as Faults.

import type { Connection, Stream } from '@libp2p/interface';
import { check } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import type { Answer, NetLog, PeerKey, ProtocolLimits, RequestOptions } from './api.ts';
import type { Host, HostTools } from './host.ts';
import type { NetLimits } from './limits.ts';
import { type TokenBucket, tokenBucket } from './token-bucket.ts';
import { FRAME, decodeFault, encodeFault, readFrame, sendFrame } from './wire.ts';

/** What no honest peer sends, whatever happens to its connection. */
const WILFUL: ReadonlySet<string> = new Set(['malformed-frame', 'too-large']);
const NAME = /^[a-z0-9-]{1,40}$/;

export type Requests = Readonly<{
  handle(protocol: string, limits: ProtocolLimits, answer: Answer, open?: boolean): void;
  request(peer: PeerKey, protocol: string, bytes: Uint8Array, options: RequestOptions): Promise<Result<Uint8Array>>;
  counters(): Readonly<{ served: number; refused: number; bytesIn: number; bytesOut: number }>;
  stop(): void;
}>;

export type RequestsOptions = Readonly<{
  host: Host;
  tools: HostTools;
  /** Protocol ids are `${prefix}/request/<name>/1`. */
  prefix: string;
  limits: NetLimits;
  /** Resolves true once the peer is introduced (chain and genesis checked), false when it is refused. */
  introduced(peer: PeerKey): Promise<boolean>;
  penalise(peer: PeerKey, points: number, reason: string): void;
  now(): number;
  log: NetLog;
}>;

type PeerBudget = { asks: Map<string, TokenBucket>; active: Map<string, number>; serve: TokenBucket };

export function createRequests(options: RequestsOptions): Requests {
  const { host, tools, limits, log } = options;
  const budgets = new Map<PeerKey, PeerBudget>();
  const names = new Set<string>();
  const stopping = new AbortController();
  const counts = { served: 0, refused: 0, bytesIn: 0, bytesOut: 0 };
  let inFlight = 0;

  const protocolId = (name: string): string => `${options.prefix}/request/${name}/1`;

  function budgetOf(peer: PeerKey): PeerBudget {
    let budget = budgets.get(peer);
    if (budget === undefined) {
      const serve = tokenBucket(limits.serveBytesPerSecond, limits.serveBurstBytes, options.now);
      budget = { asks: new Map(), active: new Map(), serve };
      budgets.set(peer, budget);
      // Kept after a peer leaves, or reconnecting would refill its buckets; the oldest are forgotten.
      const oldest = budgets.keys().next().value;
      if (budgets.size > limits.bannedPeers && oldest !== undefined) budgets.delete(oldest);
    }
    return budget;
  }

  /** Admits a request or says why not; admitted ones must be released. */
  function admit(peer: PeerKey, name: string, caps: ProtocolLimits): Fault | null {
    const budget = budgetOf(peer);
    let asks = budget.asks.get(name);
    if (asks === undefined) {
      asks = tokenBucket(caps.requestsPerSecond, caps.burst, options.now);
      budget.asks.set(name, asks);
    }
    if (!asks.take(1)) {
      options.penalise(peer, limits.floodPoints, `more than ${caps.requestsPerSecond} ${name} requests a second`);
      return fault('rate-limited', `${name}: more than ${caps.requestsPerSecond} requests a second`);
    }
    const active = budget.active.get(name) ?? 0;
    if (active >= caps.concurrentPerPeer) {
      return fault('busy', `${name}: more than ${caps.concurrentPerPeer} requests at a time`);
    }
    budget.active.set(name, active + 1);
    return null;
  }

  function release(peer: PeerKey, name: string): void {
    const budget = budgets.get(peer);
    if (budget !== undefined) budget.active.set(name, Math.max(0, (budget.active.get(name) ?? 1) - 1));
  }

  async function serve(stream: Stream, connection: Connection, name: string, caps: ProtocolLimits, ask: Asked) {
    const peer = connection.remotePeer.toString();
    const refusal = admit(peer, name, caps);
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(caps.timeoutMs)]);
    const onAbort = (): void => stream.abort(new Error('request took too long'));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const result = refusal ?? (await answerOne(stream, peer, name, caps, ask));
      if (!(result instanceof Uint8Array)) {
        counts.refused += 1;
        await sendFrame(stream, FRAME.fault, encodeFault(result), signal);
        return;
      }
      if (!budgetOf(peer).serve.take(result.length)) {
        counts.refused += 1;
        const busy = fault('rate-limited', `${name}: more than ${limits.serveBytesPerSecond} bytes a second`);
        await sendFrame(stream, FRAME.fault, encodeFault(busy), signal);
        return;
      }
      await sendFrame(stream, FRAME.answer, result, signal);
      counts.served += 1;
      counts.bytesOut += result.length;
    } catch (error) {
      log('debug', 'answering a request failed', { peer, protocol: name, error: String(error) });
      stream.abort(error instanceof Error ? error : new Error(String(error)));
    } finally {
      signal.removeEventListener('abort', onAbort);
      if (refusal === null) release(peer, name);
    }
  }

  async function answerOne(stream: Stream, peer: PeerKey, name: string, caps: ProtocolLimits, ask: Asked) {
    const frame = await readFrame(stream, caps.maxRequestBytes);
    if (!frame.ok || frame.value.kind !== FRAME.request) {
      const refusal = frame.ok ? fault('malformed-frame', 'frame.kind is not a request') : frame;
      // A cut connection also ends a frame early, so that alone is a light offence.
      const points = WILFUL.has(refusal.code) ? limits.malformedPoints : limits.floodPoints;
      options.penalise(peer, points, `${name} request: ${refusal.message}`);
      return refusal;
    }
    if (!ask.open && !(await options.introduced(peer))) {
      return fault('not-introduced', 'the status exchange has not succeeded');
    }
    counts.bytesIn += frame.value.payload.length;
    try {
      const answer = await ask.answer(frame.value.payload, peer);
      if (!(answer instanceof Uint8Array)) return answer;
      if (answer.length <= Math.min(caps.maxResponseBytes, limits.maxTransferBytes)) return answer;
      log('error', 'an answer is over its protocol limit', { protocol: name, bytes: answer.length });
      return fault('answer-too-large', `${name}: the answer is over ${caps.maxResponseBytes} bytes`);
    } catch (error) {
      log('error', 'a request handler threw', { peer, protocol: name, error: String(error) });
      return fault('handler-failed', `${name}: the handler failed`);
    }
  }

  async function exchange(peer: PeerKey, name: string, bytes: Uint8Array, ask: RequestOptions, signal: AbortSignal) {
    const connection = host.getConnections(tools.peerIdFromString(peer)).find((one) => one.status === 'open');
    if (connection === undefined) return fault('not-connected', `peer ${peer} is not connected`, { peer });
    const stream = await connection.newStream(protocolId(name), { signal });
    const onAbort = (): void => stream.abort(new Error('request aborted'));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const reading = readFrame(stream, Math.min(ask.maxBytes, limits.maxTransferBytes));
      const sending = sendFrame(stream, FRAME.request, bytes, signal).catch((error: unknown) => {
        // The answer decides: a peer may refuse before it has read the whole request.
        log('debug', 'sending a request failed', { peer, protocol: name, error: String(error) });
      });
      const frame = await reading;
      await sending;
      counts.bytesOut += bytes.length;
      if (!frame.ok) {
        stream.abort(new Error(frame.code));
        return signal.aborted ? null : responseFault(frame);
      }
      counts.bytesIn += frame.value.payload.length;
      if (frame.value.kind === FRAME.fault) return decodeFault(frame.value.payload);
      if (frame.value.kind === FRAME.answer) return success(frame.value.payload);
      return fault('malformed-response', 'frame.kind is not an answer');
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async function request(peer: PeerKey, name: string, bytes: Uint8Array, ask: RequestOptions) {
    check(NAME.test(name), `request: protocol name ${name}`);
    if (stopping.signal.aborted) return fault('stopped', 'the peer node is stopped');
    if (bytes.length > limits.maxTransferBytes) {
      return fault('request-too-large', `${name}: the request is over ${limits.maxTransferBytes} bytes`);
    }
    if (inFlight >= limits.requestsInFlight) {
      return fault('too-many-requests', `more than ${limits.requestsInFlight} requests are under way`);
    }
    const timeout = AbortSignal.timeout(ask.timeoutMs);
    const signals = [stopping.signal, timeout, ...(ask.signal === undefined ? [] : [ask.signal])];
    const signal = AbortSignal.any(signals);
    const abortFault = (): Fault => {
      if (stopping.signal.aborted) return fault('stopped', 'the peer node is stopped');
      if (timeout.aborted) return fault('request-timeout', `${name}: no answer in ${ask.timeoutMs} ms`, { peer });
      return fault('aborted', `${name}: the request was given up`, { peer });
    };
    inFlight += 1;
    try {
      return (await exchange(peer, name, bytes, ask, signal)) ?? abortFault();
    } catch (error) {
      return signal.aborted ? abortFault() : streamFault(error, peer, name);
    } finally {
      inFlight -= 1;
    }
  }

  return {
    request,
    handle(name, caps, answer, open = false) {
      check(NAME.test(name), `handle: protocol name ${name} is not letters, digits and dashes`);
      check(!names.has(name), `handle: ${name} already has a handler`);
      names.add(name);
      const maxInboundStreams = Math.max(4, caps.concurrentPerPeer * 2);
      host
        .handle(protocolId(name), (stream, connection) => serve(stream, connection, name, caps, { answer, open }), {
          maxInboundStreams,
          maxOutboundStreams: 128,
        })
        .catch((error: unknown) => log('error', 'cannot serve a protocol', { protocol: name, error: String(error) }));
    },
    counters: () => counts,
    stop: () => stopping.abort(),
  };
}

type Asked = Readonly<{ answer: Answer; open: boolean }>;

function responseFault(refusal: Fault): Fault {
  if (refusal.code === 'too-large') return { ...refusal, code: 'response-too-large' };
  const isMalformed = refusal.code === 'malformed-frame' || refusal.code === 'truncated-frame';
  return isMalformed ? { ...refusal, code: 'malformed-response' } : refusal;
}

function streamFault(error: unknown, peer: PeerKey, name: string): Fault {
  const kind = error instanceof Error ? error.name : '';
  if (kind === 'UnsupportedProtocolError') {
    return fault('unsupported-protocol', `peer ${peer} does not speak ${name}`, { peer });
  }
  const message = error instanceof Error ? error.message : String(error);
  return fault('stream-failed', `${name}: ${message.slice(0, 200)}`, { peer });
}
