// Owns the choice of a backend and the shape every backend has. How a backend computes is wasm-executor.ts,
// native-executor.ts and scalar-executor.ts.

import { check } from '../base/check.ts';
import { FaultError, fault } from '../base/fault.ts';
import { createCudaExecutor } from './cuda/cuda-executor.ts';
import type { Op } from './instruction.ts';
import { MAX_THREADS } from './limits.ts';
import { createNativeExecutor, nativeLevels } from './native-executor.ts';
import type { TensorProgram } from './program.ts';
import { createScalarExecutor } from './scalar-executor.ts';
import { passesSelfTest } from './self-test.ts';
import { createWasmExecutor } from './wasm-executor.ts';
import { relaxedKernels } from './wasm-module.ts';

export type BackendName = 'wasm' | 'native' | 'scalar' | 'cuda';

/**
 * `instruction` is the index in the program of the first instruction that failed:
 * 'non-finite': it read or wrote a NaN or infinity; 'bad-index': a token, slot or position outside its table;
 * 'bf16-range': an attention operand above 2^60 in size. When several hold at once, backends may name different ones: two
 * outcomes agree when `ok` and `instruction` do.
 */
export type RunOutcome =
  | Readonly<{ ok: true }>
  | Readonly<{ ok: false; instruction: number; op: Op; reason: 'non-finite' | 'bad-index' | 'bf16-range' }>;

/** A program with its arena. After a failed run the tensors it writes hold unspecified bits. */
export type LoadedProgram = Readonly<{
  program: TensorProgram;
  /** Live view of a state, input or output tensor. */
  view(name: string): Float32Array | Int32Array;
  /** Live view of all state tensors, `program.stateBytes` long. */
  stateBytes(): Uint8Array;
  /** Executes the whole program, synchronously. */
  run(): RunOutcome;
  /** Must follow a change of state from outside when the program was loaded with `keepWeights`; else without effect. */
  weightsChanged(): void;
  close(): void;
}>;

/**
 * `shareState`: state tensors are those of that loaded program. `keepWeights`: matrices of the state that the program only
 * reads stay packed between runs, which saves most of the work of short batches; all programs of one state agree on it.
 */
export type LoadOptions = Readonly<{ shareState?: LoadedProgram; keepWeights?: boolean }>;

export type Executor = Readonly<{
  backend: BackendName;
  /** One line for a log: which backend runs, with how many threads, and why. */
  description: string;
  threads: number;
  /**
   * Arena for a program, zeroed. With `shareState`, state tensors are those of that loaded program, whose state layout must
   * be the same (names, dtypes, shapes, order). Throws a FaultError 'engine/memory' when the arena cannot be had.
   */
  load(program: TensorProgram, options?: LoadOptions): LoadedProgram;
  /** Ends helper threads and frees memory; loaded programs and their views must not be used afterwards. */
  close(): Promise<void>;
}>;

export type ExecutorOptions = Readonly<{ backend?: 'auto' | BackendName; threads?: number }>;

/**
 * Makes an executor. 'cuda' takes an NVIDIA device where there is one, else what 'auto' does. 'auto' takes the native library where it was built and passes its self-test, WebAssembly otherwise;
 * 'native' throws a FaultError 'engine/backend' where it cannot be had.
 */
export async function createExecutor(options: ExecutorOptions = {}): Promise<Executor> {
  const { backend = 'auto', threads = 1 } = options;
  check(Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS, `threads must be 1 to ${MAX_THREADS}`);
  if (backend === 'scalar') return createScalarExecutor();
  if (backend === 'wasm') return provenWasm(threads, 'as asked');
  if (backend === 'cuda') return cudaOrProcessor(threads);
  const native = await provenNative(threads);
  if (typeof native !== 'string') return native;
  if (backend === 'native') throw new FaultError(fault('engine/backend', `native backend: ${native}`));
  return provenWasm(threads, native);
}

/** The device where there is one that passes the self-test; else the processor, saying why. */
async function cudaOrProcessor(threads: number): Promise<Executor> {
  const cuda = createCudaExecutor();
  if (typeof cuda !== 'string' && passesSelfTest(cuda)) return cuda;
  if (typeof cuda !== 'string') await cuda.close();
  const why = typeof cuda === 'string' ? cuda : `${cuda.description} failed its self-test`;
  const executor = await createExecutor({ threads });
  return { ...executor, description: `${executor.description} (cuda was asked for: ${why})` };
}

/** With relaxed SIMD where its probe and the self-test pass. */
async function provenWasm(threads: number, why: string): Promise<Executor> {
  const relaxed = relaxedKernels();
  if (typeof relaxed === 'string') return createWasmExecutor(threads, `${why}; ${relaxed}`);
  const executor = await createWasmExecutor(threads, why, relaxed);
  if (passesSelfTest(executor)) return executor;
  await executor.close();
  return createWasmExecutor(threads, `${why}; relaxed SIMD failed its self-test`);
}

/** At the best level whose self-test passes. */
async function provenNative(threads: number): Promise<Executor | string> {
  const failed: string[] = [];
  for (const level of [...nativeLevels()].reverse()) {
    const executor = createNativeExecutor(threads, failed.length === 0 ? undefined : level);
    if (typeof executor === 'string') return executor;
    if (passesSelfTest(executor)) {
      const why = failed.length === 0 ? '' : ` (${failed.join(', ')} failed the self-test)`;
      return { ...executor, description: executor.description + why };
    }
    await executor.close();
    failed.push(level);
  }
  return failed.length === 0 ? noNativeReason() : `the native library failed its self-test at ${failed.join(', ')}`;
}

function noNativeReason(): string {
  const none = createNativeExecutor(1);
  return typeof none === 'string' ? none : 'no native level';
}
