// Owns the WebAssembly backend: one shared memory, an allocator over it, helper threads. Kernels are engine/kernels.

import { Worker } from 'node:worker_threads';
import { check, present } from '../base/check.ts';
import type { Executor, LoadOptions, LoadedProgram } from './executor.ts';
import { type KeptState, keptPlaces, keptState, planKeptWeights, runKept } from './kept-weights.ts';
import { checkSharedState, loadedProgram } from './loaded-program.ts';
import { lowerProgram } from './lower.ts';
import { ALIGNMENT, roundUp } from './memory-plan.ts';
import type { TensorProgram } from './program.ts';
import { type WasmGlobal, type WasmMemory, type WasmModule, wasmApi } from './wasm-api.ts';
import { plainKernels } from './wasm-module.ts';
import { Heap, type Region } from './wasm-heap.ts';

const STACK_BYTES = 1 << 20;
/** Bytes of kernels/kernel.h Shared, rounded up. */
const SHARED_BYTES = 64;
const THREADS_WORD = 7;
const FAILED_AT_WORD = 6;
const JOB_WORD = 0;

type Exports = Readonly<{
  run(shared: number, commands: number, state: number, work: number): number;
  stop(shared: number): void;
  __stack_pointer: WasmGlobal;
  __heap_base: WasmGlobal;
}>;

/** What a helper thread is given (wasm-helper.ts). */
export type HelperData = Readonly<{
  module: WasmModule;
  memory: WasmMemory;
  shared: number;
  index: number;
  stackTop: number;
  seen: number;
}>;

/** The WebAssembly executor with `threads` threads, the caller's included. */
export async function createWasmExecutor(threads: number, why: string, kernels = plainKernels()): Promise<Executor> {
  const { module, name } = kernels;
  const memory = new wasmApi.Memory({ initial: 64, maximum: 65_536, shared: true });
  const exports = new wasmApi.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const heap = new Heap(memory, roundUp(exports.__heap_base.value, ALIGNMENT));
  const shared = heap.take(SHARED_BYTES).start;
  const words = new Int32Array(memory.buffer, shared, SHARED_BYTES / 4);
  const stackTop = () => {
    const region = heap.take(STACK_BYTES);
    return region.start + region.size;
  };
  exports.__stack_pointer.value = stackTop();
  const helpers: Worker[] = [];
  for (let index = 1; index < threads; index++) {
    helpers.push(
      await startHelper({ module, memory, shared, index, stackTop: stackTop(), seen: present(words[JOB_WORD], 'job') }),
    );
  }
  words[THREADS_WORD] = threads;
  const runtime: Runtime = { heap, exports, shared, states: new WeakMap(), open: true };
  return {
    backend: 'wasm',
    description: `wasm ${name}, ${threads} thread${threads === 1 ? '' : 's'} (${why})`,
    threads,
    load: (program, options = {}) => load(runtime, program, options),
    async close() {
      if (!runtime.open) return;
      runtime.open = false;
      exports.stop(shared);
      await Promise.all(helpers.map((helper) => helper.terminate()));
    },
  };
}

/** Resolves when the helper is about to wait for its first job. It never keeps the process alive. */
function startHelper(data: HelperData): Promise<Worker> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./wasm-helper.js', import.meta.url), { workerData: data });
    worker.once('message', () => {
      worker.removeListener('error', reject);
      worker.unref();
      resolve(worker);
    });
    worker.once('error', reject);
  });
}

/** A state region and how many open programs use it; the last to close gives it back. */
type SharedState = { region: Region; users: number; kept: KeptState };

type Runtime = {
  readonly heap: Heap;
  readonly exports: Exports;
  readonly shared: number;
  readonly states: WeakMap<LoadedProgram, SharedState>;
  open: boolean;
};

function load(runtime: Runtime, program: TensorProgram, options: LoadOptions): LoadedProgram {
  const { shareState, keepWeights = false } = options;
  const { heap, exports, shared, states } = runtime;
  check(runtime.open, 'load: the executor is closed');
  if (shareState !== undefined) checkSharedState(program, shareState.program);
  const plan = keepWeights ? planKeptWeights(program) : null;
  const places = keptPlaces(program, plan);
  const words = lowerProgram(program, { places, ready: false });
  const shortWords = places.size > 0 ? lowerProgram(program, { places, ready: true }) : words;
  const own: Region[] = [];
  const take = (bytes: number) => {
    try {
      const region = heap.take(bytes);
      own.push(region);
      return region;
    } catch (error) {
      for (const region of own) heap.give(region);
      throw error;
    }
  };
  const work = take(program.arenaBytes - program.stateBytes).start;
  const commands = take(words.byteLength).start;
  const short = places.size > 0 ? take(shortWords.byteLength).start : commands;
  const state =
    shareState === undefined
      ? { region: take(plan?.end ?? program.stateBytes), users: 0, kept: keptState(plan, undefined) }
      : states.get(shareState);
  check(state !== undefined && (shareState === undefined || state.users > 0), 'shareState: not open in this executor');
  if (shareState === undefined) own.pop();
  const kept = keptState(plan, state.kept);
  state.users++;
  new Int32Array(heap.memory.buffer, short, shortWords.length).set(shortWords);
  new Int32Array(heap.memory.buffer, commands, words.length).set(words);
  const loaded = loadedProgram(program, {
    state: { buffer: heap.memory.buffer, at: state.region.start },
    work: { buffer: heap.memory.buffer, at: work },
    run(): Readonly<{ reason: number; at: number }> {
      check(runtime.open, 'run: the executor is closed');
      return runKept(places, kept, (ready) => {
        const reason = exports.run(shared, ready ? short : commands, state.region.start, work);
        const at = new Int32Array(heap.memory.buffer, shared, SHARED_BYTES / 4)[FAILED_AT_WORD];
        return { reason, at: present(at, 'failed instruction') };
      });
    },
    weightsChanged: () => kept.packed.clear(),
    close() {
      state.users--;
      if (state.users === 0) own.push(state.region);
      for (const region of own.splice(0)) heap.give(region);
    },
  });
  states.set(loaded, state);
  return loaded;
}
