// Owns calls between a thread and its parent: one call at a time in flight a number, events on the way, questions back,
// aborts. What the calls mean is engine-worker.ts and its clients.

import type { MessagePort, Transferable, Worker } from 'node:worker_threads';
import { present } from '../base/check.ts';

type Message =
  | { t: 'call'; id: number; method: string; args: unknown }
  | { t: 'abort'; id: number }
  | { t: 'event'; id: number; value: unknown }
  | { t: 'result'; id: number; value: unknown }
  | { t: 'failure'; id: number; message: string }
  | { t: 'ask'; id: number; ask: number; question: string; args: unknown }
  | { t: 'answer'; id: number; ask: number; value: unknown };

/** What a method may do besides returning: tell events, ask its caller, see an abort. */
export type CallContext = Readonly<{
  signal: AbortSignal;
  event(value: unknown): void;
  ask(question: string, args: unknown): Promise<unknown>;
}>;

export type Method = (args: never, context: CallContext) => Promise<unknown>;

/** Buffers of a value that can be handed over instead of copied: those of top-level byte arrays that own their buffer. */
function owned(value: unknown): Transferable[] {
  if (typeof value !== 'object' || value === null) return [];
  const buffers: Transferable[] = [];
  for (const part of Object.values(value)) {
    if (
      part instanceof Uint8Array &&
      part.buffer instanceof ArrayBuffer &&
      part.byteLength === part.buffer.byteLength
    ) {
      buffers.push(part.buffer);
    }
  }
  return buffers;
}

/** Serves methods to the parent thread. Calls run at the same time; order is the methods' business. */
export function serveCalls(port: MessagePort, methods: Readonly<Record<string, Method>>): void {
  const running = new Map<number, AbortController>();
  const asked = new Map<number, (value: unknown) => void>();
  let nextAsk = 0;

  async function run(id: number, name: string, args: unknown): Promise<void> {
    const abort = new AbortController();
    running.set(id, abort);
    const context: CallContext = {
      signal: abort.signal,
      event: (value) => port.postMessage({ t: 'event', id, value } satisfies Message),
      ask: (question, questionArgs) =>
        new Promise((resolve) => {
          const ask = nextAsk++;
          asked.set(ask, resolve);
          port.postMessage({ t: 'ask', id, ask, question, args: questionArgs } satisfies Message);
        }),
    };
    try {
      const method = present(Object.hasOwn(methods, name) ? methods[name] : undefined, `worker method ${name}`);
      const value = await method(args as never, context);
      port.postMessage({ t: 'result', id, value } satisfies Message, owned(value));
    } catch (error) {
      port.postMessage({
        t: 'failure',
        id,
        message: error instanceof Error ? error.message : String(error),
      } satisfies Message);
    } finally {
      running.delete(id);
    }
  }

  port.on('message', (message: Message) => {
    if (message.t === 'call') void run(message.id, message.method, message.args);
    else if (message.t === 'abort') running.get(message.id)?.abort();
    else if (message.t === 'answer') {
      asked.get(message.ask)?.(message.value);
      asked.delete(message.ask);
    }
  });
}

export type CallOptions = Readonly<{
  signal?: AbortSignal;
  onEvent?: (value: never) => void;
  /** Answers the method's questions; null when it cannot. */
  onAsk?: (question: string, args: never) => Promise<unknown>;
}>;

export type WorkerChannel = Readonly<{
  call<T>(method: string, args: unknown, options?: CallOptions): Promise<T>;
  /** Ends the thread; calls in flight are rejected. */
  close(): Promise<void>;
}>;

type Pending = Readonly<{ resolve: (value: never) => void; reject: (error: Error) => void; options: CallOptions }>;

/** The parent's end. A thread that dies rejects what is in flight and what comes after, naming why. */
export function connectWorker(worker: Worker, onDeath: (reason: string) => void): WorkerChannel {
  const pending = new Map<number, Pending>();
  let next = 0;
  let dead: string | null = null;
  let closing = false;

  function die(reason: string): void {
    if (dead !== null) return;
    dead = reason;
    for (const { reject } of pending.values()) reject(new Error(`worker ended: ${reason}`));
    pending.clear();
    if (!closing) onDeath(reason);
  }
  worker.on('error', (error) => die(error instanceof Error ? error.message : String(error)));
  worker.on('exit', (code) => die(`exit code ${code}`));
  worker.on('message', (message: Message) => {
    const call = pending.get(message.id);
    if (call === undefined) return;
    if (message.t === 'event') call.options.onEvent?.(message.value as never);
    else if (message.t === 'ask') void answer(message.id, message.ask, message.question, message.args, call);
    else if (message.t === 'result' || message.t === 'failure') {
      pending.delete(message.id);
      if (message.t === 'result') call.resolve(message.value as never);
      else call.reject(new Error(message.message));
    }
  });

  async function answer(id: number, ask: number, question: string, args: unknown, call: Pending): Promise<void> {
    let value: unknown = null;
    try {
      value = (await call.options.onAsk?.(question, args as never)) ?? null;
    } catch {
      // An answer that cannot be had is null: the method treats it as unavailable.
    }
    if (dead === null) worker.postMessage({ t: 'answer', id, ask, value } satisfies Message);
  }

  return {
    call<T>(method: string, args: unknown, options: CallOptions = {}): Promise<T> {
      if (dead !== null) return Promise.reject(new Error(`worker ended: ${dead}`));
      const id = next++;
      const abort = (): void => worker.postMessage({ t: 'abort', id } satisfies Message);
      options.signal?.addEventListener('abort', abort, { once: true });
      // A signal outlives its calls: one of a whole node would gather a listener for each.
      const forget = (): void => options.signal?.removeEventListener('abort', abort);
      return new Promise<T>((resolve, reject) => {
        pending.set(id, { resolve: resolve as (value: never) => void, reject, options });
        worker.postMessage({ t: 'call', id, method, args } satisfies Message);
      }).finally(forget);
    },
    async close() {
      closing = true;
      await worker.terminate();
      die('closed');
    },
  };
}

export type RevivedWorker = Readonly<{
  /** The channel of the thread that runs; starts one when there is none. Throws once closed. */
  channel(): WorkerChannel;
  close(): Promise<void>;
}>;

/** A thread started at the first call, and anew at the next call after it died. */
export function revivedWorker(start: () => Worker, onDeath: (reason: string) => void): RevivedWorker {
  let channel: WorkerChannel | null = null;
  let isClosed = false;
  return {
    channel() {
      if (isClosed) throw new Error('the thread is closed');
      channel ??= connectWorker(start(), (reason) => {
        channel = null;
        onDeath(reason);
      });
      return channel;
    },
    async close() {
      isClosed = true;
      await channel?.close();
      channel = null;
    },
  };
}
