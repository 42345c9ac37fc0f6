// Owns generation: requests share decode runs by continuous batching over one key-value cache. A request's tokens depend on
// its prompt, settings and model alone, never on what runs beside it. Sampling is sampler.ts, the program decode-program.ts.

import { setImmediate as turn } from 'node:timers/promises';
import { check, present } from '../base/check.ts';
import { FaultError, type Fault, type Result, fault, success } from '../base/fault.ts';
import type { Executor, LoadedProgram } from '../engine/executor.ts';
import { SLOT_INPUT, buildDecodeProgram, fillDecodeConstants } from './decode-program.ts';
import { type EventQueue, createEventQueue } from './event-queue.ts';
import type { ModelConfig } from './model.ts';
import { MAX_DECODE_ROWS, MAX_GENERATION_SLOTS, MAX_STOP_TOKENS, MAX_WAITING_REQUESTS } from './model-limits.ts';
import { type Sampled, type Sampling, sampleToken, samplingOf } from './sampler.ts';
import { INPUTS, OUTPUTS, parameterBytes } from './train-program.ts';

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

export type FinishReason = 'stop' | 'length' | 'aborted';

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
  load(): Readonly<{ running: number; waiting: number; slots: number }>;
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
  const { executor, config, slots = 8, rowSizes = [1, 8, 32] } = options;
  checkOptions(slots, rowSizes);
  const programs = loadPrograms(executor, config, slots, rowSizes);
  const first = present(programs[0], 'decode program');
  const free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  const waiting: Task[] = [];
  let running: Task[] = [];
  const swaps: Swap[] = [];
  let generation = 0;
  let busy = false;
  let closed = false;

  function install(params: Uint8Array): void {
    check(params.length === parameterBytes(config), `parameters are ${parameterBytes(config)} bytes for this model`);
    first.loaded.stateBytes().set(params);
  }

  function end(task: Task, reason: FinishReason): void {
    const { prompt } = task.request;
    task.events.push({
      kind: 'end',
      reason,
      promptTokens: prompt.length,
      completionTokens: task.made,
      generation,
    });
    task.events.end();
    leave(task);
  }

  function leave(task: Task): void {
    if (task.slot >= 0) free.push(task.slot);
    task.slot = -1;
    running = running.filter((other) => other !== task);
  }

  const isAborted = ({ request, events }: Task): boolean => closed || request.signal?.aborted === true || events.left();

  /** Aborted requests go, a waiting model comes in when nothing runs on the old one, waiting requests take free slots. */
  function settle(): void {
    for (const task of running.filter(isAborted)) end(task, 'aborted');
    for (const task of waiting.filter(isAborted)) {
      waiting.splice(waiting.indexOf(task), 1);
      end(task, 'aborted');
    }
    if (running.length === 0) {
      for (const swap of swaps.splice(0)) {
        if (!closed) install(swap.params);
        generation++;
        swap.resolve();
      }
    }
    while (swaps.length === 0 && free.length > 0 && waiting.length > 0) {
      const task = present(waiting.shift(), 'waiting request');
      task.slot = present(free.pop(), 'free slot');
      running.push(task);
    }
  }

  function step(): void {
    const rows = planRows(running, present(programs.at(-1), 'largest program').rows);
    const program = present(
      programs.find((candidate) => candidate.rows >= rows.length),
      'program for the rows',
    );
    const logits = runRows(program, rows, config, slots);
    for (const [row, { task, position }] of rows.entries()) {
      task.done = position + 1;
      if (task.done < task.tokens.length) continue;
      advance(task, logits.subarray(row * config.vocab, (row + 1) * config.vocab));
    }
  }

  function advance(task: Task, logits: Float32Array): void {
    const sampled = sampleToken(logits, task.sampling, task.counts, task.made);
    if (task.request.stopTokens?.includes(sampled.token)) {
      end(task, 'stop');
      return;
    }
    task.counts.set(sampled.token, (task.counts.get(sampled.token) ?? 0) + 1);
    task.tokens.push(sampled.token);
    task.made++;
    task.events.push({ kind: 'token', ...sampled });
    if (task.made >= task.limit) end(task, 'length');
  }

  /** Runs until nothing is left to do, letting other work in between steps. */
  async function drive(): Promise<void> {
    if (busy) return;
    busy = true;
    try {
      await turn();
      for (settle(); running.length > 0; settle()) {
        step();
        await turn();
      }
    } catch (error) {
      for (const task of [...running, ...waiting.splice(0)]) {
        task.events.fail(error);
        leave(task);
      }
    } finally {
      busy = false;
    }
    if (!closed && (waiting.length > 0 || swaps.length > 0)) await drive();
  }

  install(options.params);
  return {
    generate(request) {
      if (closed) return fault('generation/busy', 'generator is closed');
      const task = admit(config, request);
      if (!task.ok) return task;
      if (waiting.length >= MAX_WAITING_REQUESTS) {
        return fault('generation/busy', `${MAX_WAITING_REQUESTS} requests wait already`);
      }
      waiting.push(task.value);
      void drive();
      return success(task.value.events.iterable);
    },
    setParams(params) {
      check(params.length === parameterBytes(config), `parameters are ${parameterBytes(config)} bytes for this model`);
      return new Promise((resolve) => {
        swaps.push({ params, resolve });
        void drive();
      });
    },
    load: () => ({ running: running.length, waiting: waiting.length, slots }),
    close() {
      if (closed) return;
      closed = true;
      settle();
      for (const { loaded } of programs.toReversed()) loaded.close();
    },
  };
}

function checkOptions(slots: number, rowSizes: readonly number[]): void {
  check(Number.isInteger(slots) && slots >= 1 && slots <= MAX_GENERATION_SLOTS, `slots: 1 to ${MAX_GENERATION_SLOTS}`);
  const ascending = rowSizes.every((rows, i) => Number.isInteger(rows) && rows > (rowSizes[i - 1] ?? 0));
  const most = rowSizes.at(-1) ?? 0;
  check(ascending && most >= slots, 'rowSizes: whole numbers, ascending, the last at least the number of slots');
  check(most <= MAX_DECODE_ROWS, `rowSizes: at most ${MAX_DECODE_ROWS}`);
}

type Loaded = Readonly<{ rows: number; loaded: LoadedProgram }>;

/** One program per row count, all over one state: parameters and cache. */
function loadPrograms(executor: Executor, config: ModelConfig, slots: number, sizes: readonly number[]): Loaded[] {
  const programs: Loaded[] = [];
  for (const rows of sizes) {
    const program = buildDecodeProgram(config, { rows, slots });
    const shared = programs[0];
    const loaded = executor.load(program, shared === undefined ? {} : { shareState: shared.loaded });
    fillDecodeConstants(loaded, config);
    programs.push({ rows, loaded });
  }
  return programs;
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

/** Logits f32[rows, vocab]. Rows not in use go to the spare slot. */
function runRows({ rows, loaded }: Loaded, used: readonly Row[], config: ModelConfig, slots: number): Float32Array {
  const tokens = loaded.view(INPUTS.tokens);
  const positions = loaded.view(INPUTS.positions);
  const places = loaded.view(SLOT_INPUT);
  for (let row = 0; row < rows; row++) {
    const use = used[row];
    tokens[row] = use === undefined ? 0 : present(use.task.tokens[use.position], 'token of a row');
    positions[row] = use === undefined ? row % config.context : use.position;
    places[row] = use === undefined ? slots : use.task.slot;
  }
  const outcome = loaded.run();
  if (!outcome.ok) {
    const where = `instruction ${outcome.instruction} (${outcome.op})`;
    throw new FaultError(fault('generation/engine', `model gave no usable numbers: ${outcome.reason} at ${where}`));
  }
  return loaded.view(OUTPUTS.logits) as Float32Array;
}
