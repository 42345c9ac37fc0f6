// Owns the WebAssembly backend: one shared memory, an allocator over it, helper threads. Kernels are engine/kernels.

import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { check, present } from '../base/check.ts';
import { FaultError, fault } from '../base/fault.ts';
import type { Executor, LoadedProgram } from './executor.ts';
import { MAX_WASM_BYTES } from './limits.ts';
import { checkSharedState, loadedProgram } from './loaded-program.ts';
import { lowerProgram } from './lower.ts';
import { ALIGNMENT, roundUp } from './memory-plan.ts';
import type { TensorProgram } from './program.ts';
import { type WasmGlobal, type WasmMemory, type WasmModule, wasmApi } from './wasm-api.ts';

const PAGE = 65_536;
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

type Region = { start: number; size: number };

/** First-fit allocator over a growing memory; regions are 64-byte aligned and handed out zeroed. */
class Heap {
  readonly memory: WasmMemory;
  readonly #free: Region[] = [];
  #end: number;

  constructor(memory: WasmMemory, start: number) {
    this.memory = memory;
    this.#end = start;
  }

  take(bytes: number): Region {
    const size = Math.max(ALIGNMENT, roundUp(bytes, ALIGNMENT));
    const at = this.#free.findIndex((region) => region.size >= size);
    if (at >= 0) {
      const free = present(this.#free[at], 'free region');
      const region = { start: free.start, size };
      if (free.size === size) this.#free.splice(at, 1);
      else this.#free[at] = { start: free.start + size, size: free.size - size };
      new Uint8Array(this.memory.buffer, region.start, size).fill(0);
      return region;
    }
    this.#grow(this.#end + size);
    const region = { start: this.#end, size };
    this.#end += size;
    return region;
  }

  #grow(end: number): void {
    const refuse = () => {
      throw new FaultError(fault('engine/memory', `wasm memory of ${end} bytes cannot be had`, { bytes: end }));
    };
    if (end > MAX_WASM_BYTES) refuse();
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / PAGE);
    if (missing <= 0) return;
    try {
      this.memory.grow(missing);
    } catch {
      refuse();
    }
  }

  give(region: Region): void {
    this.#free.push(region);
    this.#free.sort((a, b) => a.start - b.start);
    for (let i = this.#free.length - 1; i > 0; i--) {
      const [left, right] = [present(this.#free[i - 1], 'left'), present(this.#free[i], 'right')];
      if (left.start + left.size !== right.start) continue;
      this.#free[i - 1] = { start: left.start, size: left.size + right.size };
      this.#free.splice(i, 1);
    }
  }
}

const moduleFile = new URL('./kernels.wasm', import.meta.url);
let compiled: WasmModule | null = null;

/** The compiled kernels; a FaultError 'engine/backend' when the build has not made them. */
function kernelModule(): WasmModule {
  if (compiled !== null) return compiled;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(moduleFile);
  } catch {
    throw new FaultError(fault('engine/backend', 'kernels.wasm is not built: run `npm run build`'));
  }
  compiled = new wasmApi.Module(bytes);
  return compiled;
}

/** The WebAssembly executor with `threads` threads, the caller's included. */
export async function createWasmExecutor(threads: number, why: string): Promise<Executor> {
  const module = kernelModule();
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
  return {
    backend: 'wasm',
    description: `wasm SIMD128, ${threads} thread${threads === 1 ? '' : 's'} (${why})`,
    threads,
    load: (program, options) => load(heap, exports, shared, program, options?.shareState),
    async close() {
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

const stateRegions = new WeakMap<LoadedProgram, number>();

function load(
  heap: Heap,
  exports: Exports,
  shared: number,
  program: TensorProgram,
  shareState: LoadedProgram | undefined,
): LoadedProgram {
  const owned: Region[] = [];
  const take = (bytes: number) => {
    const region = heap.take(bytes);
    owned.push(region);
    return region.start;
  };
  if (shareState !== undefined) checkSharedState(program, shareState.program);
  const commandWords = lowerProgram(program);
  const state = shareState === undefined ? take(program.stateBytes) : stateRegions.get(shareState);
  check(state !== undefined, 'load: shared state belongs to another executor');
  const work = take(program.arenaBytes - program.stateBytes);
  const commands = take(commandWords.byteLength);
  new Int32Array(heap.memory.buffer, commands, commandWords.length).set(commandWords);
  const loaded = loadedProgram(program, {
    state: { buffer: heap.memory.buffer, at: state },
    work: { buffer: heap.memory.buffer, at: work },
    run(): Readonly<{ reason: number; at: number }> {
      const reason = exports.run(shared, commands, state, work);
      const at = new Int32Array(heap.memory.buffer, shared, SHARED_BYTES / 4)[FAILED_AT_WORD];
      return { reason, at: present(at, 'failed instruction') };
    },
    close() {
      for (const region of owned.splice(0)) heap.give(region);
    },
  });
  stateRegions.set(loaded, state);
  return loaded;
}
