// Owns generation: requests share decode runs by continuous batching over one key-value cache. A request's tokens depend on
// its prompt, settings and model alone, never on what runs beside it. Sampling is sampler.ts, the program decode-program.ts.

import { setImmediate as turn } from 'node:timers/promises';
import { check, present } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import type { Executor } from '../engine/executor.ts';
import { type DecodeRunner, checkParams, createDecodeRunner } from './decode-runner.ts';
import { type EventQueue, createEventQueue } from './event-queue.ts';
import type { ModelConfig } from './model.ts';
import { MAX_DECODE_ROWS, MAX_GENERATION_SLOTS, MAX_STOP_TOKENS, MAX_WAITING_REQUESTS } from './model-limits.ts';
import { type Sampled, type Sampling, sampleToken, samplingOf } from './sampler.ts';

export type GeneratorOptions = Readonly<{
  executor: Executor;
  config: ModelConfig;
  /** Parameter bytes in the layout of train-program.ts. */
  params: Uint8Array;
  /** Requests that run at once; others wait. Default 8. */
  slots?: number;
  /** Row counts to build decode programs for, ascending; a run takes the smallest that fits. Default 1, 8, 32. */
  rowSizes?: readonly number[];
}>;

export type GenerationRequest = Readonly<{
  prompt: readonly number[];
  /** Most tokens to make; default and cap: what the context leaves. */
  maxTokens?: number;
  sampling?: Partial<Sampling>;
  /** Tokens that end the reply; they are not part of it. */
  stopTokens?: readonly number[];
  signal?: AbortSignal;
}>;

type FinishReason = 'stop' | 'length' | 'aborted';

/** Tokens in order, then one end. `generation` counts the models this generator was given, from 0. */
export type GenerationEvent =
  | (Readonly<{ kind: 'token' }> & Sampled)
  | Readonly<{
      kind: 'end';
      reason: FinishReason;
      promptTokens: number;
      completionTokens: number;
      generation: number;
    }>;

type GeneratorLoad = Readonly<{ running: number; waiting: number; slots: number }>;

export type Generator = Readonly<{
  /**
   * Starts a request. A Fault names what is wrong with it: code 'context_length_exceeded', 'generation/busy',
   * 'generation/request' or 'sampling'. Leaving the iteration early aborts the request. The iteration throws a FaultError
   * 'generation/engine' when the model gives no finite numbers.
   */
  generate(request: GenerationRequest): Result<AsyncIterable<GenerationEvent>>;
  /** Another model of the same configuration: requests that run finish on the old one, later ones wait for the new one. */
  setParams(params: Uint8Array): Promise<void>;
  /** Running and waiting requests. */
  load(): GeneratorLoad;
  /** Aborts everything and frees the arenas; the executor stays. */
  close(): void;
}>;

type Task = {
  readonly request: GenerationRequest;
  readonly sampling: Sampling;
  readonly limit: number;
  readonly events: EventQueue<GenerationEvent>;
  readonly counts: Map<number, number>;
  /** Prompt and reply so far; `done` of them lie in the cache. */
  readonly tokens: number[];
  done: number;
  made: number;
  slot: number;
};

type Swap = Readonly<{ params: Uint8Array; resolve: () => void }>;

/** A generator with its own arenas in `executor`. Throws a FaultError when they cannot be had. */
export function createGenerator(options: GeneratorOptions): Generator {
  const loop = new GenerationLoop(options);
  return {
    generate: (request) => loop.generate(request),
    setParams: (params) => loop.setParams(params),
    load: () => loop.load(),
    close: () => loop.close(),
  };
}

/** The requests of one generator, from arrival to end. Between two steps other work of the thread gets its turn. */
class GenerationLoop {
  readonly #config: ModelConfig;
  readonly #runner: DecodeRunner;
  readonly #slots: number;
  readonly #free: number[];
  readonly #waiting: Task[] = [];
  readonly #swaps: Swap[] = [];
  #running: Task[] = [];
  #generation = 0;
  #busy = false;
  #closed = false;

  constructor({ executor, config, params, slots = 8, rowSizes = [1, 8, 32] }: GeneratorOptions) {
    checkOptions(slots, rowSizes);
    this.#config = config;
    this.#slots = slots;
    this.#free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#runner = createDecodeRunner(executor, config, slots, rowSizes);
    this.#runner.setParams(params);
  }

  generate(request: GenerationRequest): Result<AsyncIterable<GenerationEvent>> {
    if (this.#closed) return fault('generation/busy', 'generator is closed');
    const task = admit(this.#config, request);
    if (!task.ok) return task;
    if (this.#waiting.length >= MAX_WAITING_REQUESTS) {
      return fault('generation/busy', `${MAX_WAITING_REQUESTS} requests wait already`);
    }
    this.#waiting.push(task.value);
    void this.#drive();
    return success(task.value.events.iterable);
  }

  setParams(params: Uint8Array): Promise<void> {
    checkParams(this.#config, params);
    return new Promise((resolve) => {
      this.#swaps.push({ params, resolve });
      void this.#drive();
    });
  }

  load(): GeneratorLoad {
    return { running: this.#running.length, waiting: this.#waiting.length, slots: this.#slots };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#settle();
    this.#runner.close();
  }

  /** Runs until nothing is left to do. What breaks a step fails every request at hand. */
  async #drive(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await turn();
      for (this.#settle(); this.#running.length > 0; this.#settle()) {
        this.#step();
        await turn();
      }
    } catch (error) {
      for (const task of [...this.#running, ...this.#waiting.splice(0)]) {
        task.events.fail(error);
        this.#leave(task);
      }
    } finally {
      this.#busy = false;
    }
    if (this.#waiting.length > 0 || this.#swaps.length > 0) await this.#drive();
  }

  /** Aborted requests go, a new model comes in when nothing runs on the old one, waiting requests take free slots. */
  #settle(): void {
    const aborted = (task: Task): boolean =>
      this.#closed || task.request.signal?.aborted === true || task.events.left();
    for (const task of this.#running.filter(aborted)) this.#end(task, 'aborted');
    for (const task of this.#waiting.filter(aborted)) {
      this.#waiting.splice(this.#waiting.indexOf(task), 1);
      this.#end(task, 'aborted');
    }
    if (this.#running.length === 0) this.#swap();
    while (this.#swaps.length === 0 && this.#free.length > 0 && this.#waiting.length > 0) {
      const task = present(this.#waiting.shift(), 'waiting request');
      task.slot = present(this.#free.pop(), 'free slot');
      this.#running.push(task);
    }
  }

  #swap(): void {
    for (const { params, resolve } of this.#swaps.splice(0)) {
      if (!this.#closed) this.#runner.setParams(params);
      this.#generation++;
      resolve();
    }
  }

  #step(): void {
    const rows = planRows(this.#running, this.#runner.mostRows);
    const cacheRows = rows.map(({ task, position }) => ({
      token: present(task.tokens[position], 'token of a row'),
      position,
      slot: task.slot,
    }));
    const logits = this.#runner.run(cacheRows);
    for (const [row, { task, position }] of rows.entries()) {
      task.done = position + 1;
      if (task.done < task.tokens.length) continue;
      this.#advance(task, logits.subarray(row * this.#config.vocab, (row + 1) * this.#config.vocab));
    }
  }

  #advance(task: Task, logits: Float32Array): void {
    const sampled = sampleToken(logits, task.sampling, task.counts, task.made);
    if (task.request.stopTokens?.includes(sampled.token)) {
      this.#end(task, 'stop');
      return;
    }
    task.counts.set(sampled.token, (task.counts.get(sampled.token) ?? 0) + 1);
    task.tokens.push(sampled.token);
    task.made++;
    task.events.push({ kind: 'token', ...sampled });
    if (task.made >= task.limit) this.#end(task, 'length');
  }

  #end(task: Task, reason: FinishReason): void {
    const promptTokens = task.request.prompt.length;
    const generation = this.#generation;
    task.events.push({ kind: 'end', reason, promptTokens, completionTokens: task.made, generation });
    task.events.end();
    this.#leave(task);
  }

  #leave(task: Task): void {
    if (task.slot >= 0) this.#free.push(task.slot);
    task.slot = -1;
    this.#running = this.#running.filter((other) => other !== task);
  }
}

function checkOptions(slots: number, rowSizes: readonly number[]): void {
  check(Number.isInteger(slots) && slots >= 1 && slots <= MAX_GENERATION_SLOTS, `slots: 1 to ${MAX_GENERATION_SLOTS}`);
  const ascending = rowSizes.every((rows, i) => Number.isInteger(rows) && rows > (rowSizes[i - 1] ?? 0));
  const most = rowSizes.at(-1) ?? 0;
  check(ascending && most >= slots, 'rowSizes: whole numbers, ascending, the last at least the number of slots');
  check(most <= MAX_DECODE_ROWS, `rowSizes: at most ${MAX_DECODE_ROWS}`);
}

function admit(config: ModelConfig, request: GenerationRequest): Result<Task> {
  const { prompt, maxTokens, stopTokens = [] } = request;
  const sampling = samplingOf(request.sampling ?? {});
  if (!sampling.ok) return sampling;
  const refuse = (field: string, message: string): Fault => fault('generation/request', message, { field });
  if (prompt.length === 0) return refuse('prompt', 'prompt must hold at least one token');
  if (prompt.length >= config.context) {
    const message = `prompt of ${prompt.length} tokens leaves no room in the context of ${config.context}`;
    return fault('context_length_exceeded', message, { tokens: prompt.length, context: config.context });
  }
  const known = (token: number): boolean => Number.isInteger(token) && token >= 0 && token < config.vocab;
  if (!prompt.every(known)) return refuse('prompt', `prompt tokens must be from 0 to ${config.vocab - 1}`);
  if (stopTokens.length > MAX_STOP_TOKENS) return refuse('stop', `more than ${MAX_STOP_TOKENS} stop tokens`);
  if (maxTokens !== undefined && !(Number.isInteger(maxTokens) && maxTokens >= 1)) {
    return refuse('max_tokens', 'max_tokens must be a whole number from 1');
  }
  const room = config.context - prompt.length;
  return success({
    request,
    sampling: sampling.value,
    limit: Math.min(maxTokens ?? room, room),
    events: createEventQueue<GenerationEvent>(),
    counts: new Map(),
    tokens: [...prompt],
    done: 0,
    made: 0,
    slot: -1,
  });
}

type Row = Readonly<{ task: Task; position: number }>;

/** Every running reply advances by one row; what is left of the run goes to prompts, oldest first, in token order. */
function planRows(running: readonly Task[], most: number): readonly Row[] {
  const left = (task: Task): number => task.tokens.length - task.done;
  const rows: Row[] = running.filter((task) => left(task) === 1).map((task) => ({ task, position: task.done }));
  for (const task of running.filter((candidate) => left(candidate) > 1)) {
    for (let i = task.done; i < task.tokens.length && rows.length < most; i++) rows.push({ task, position: i });
  }
  return rows;
}
