// Owns the choice of a backend and the shape every backend has. How a backend computes is wasm-executor.ts,
// native-executor.ts and scalar-executor.ts.

import { check } from '../base/check.ts';
import type { Op } from './instruction.ts';
import { MAX_THREADS } from './limits.ts';
import type { TensorProgram } from './program.ts';
import { createScalarExecutor } from './scalar-executor.ts';
import { createWasmExecutor } from './wasm-executor.ts';

export type BackendName = 'wasm' | 'native' | 'scalar';

/**
 * `instruction` is the index in the program of the first instruction that failed:
 * 'non-finite': it read or wrote a NaN or infinity; 'bad-index': a token, slot or position outside its table;
 * 'bf16-range': an attention operand above 2^60 in size.
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
  close(): void;
}>;

export type Executor = Readonly<{
  backend: BackendName;
  /** One line for a log: which backend runs, with how many threads, and why. */
  description: string;
  threads: number;
  /**
   * Arena for a program, zeroed. With `shareState`, state tensors are those of that loaded program, whose state layout must
   * be the same (names, dtypes, shapes, order). Throws a FaultError 'engine/memory' when the arena cannot be had.
   */
  load(program: TensorProgram, options?: Readonly<{ shareState?: LoadedProgram }>): LoadedProgram;
  /** Ends helper threads and frees memory; loaded programs and their views must not be used afterwards. */
  close(): Promise<void>;
}>;

export type ExecutorOptions = Readonly<{ backend?: 'auto' | BackendName; threads?: number }>;

/** Makes an executor. 'auto' takes the native library when it was built and passes its self-test, WebAssembly otherwise. */
export async function createExecutor(options: ExecutorOptions = {}): Promise<Executor> {
  const { backend = 'auto', threads = 1 } = options;
  check(Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS, `threads must be 1 to ${MAX_THREADS}`);
  switch (backend) {
    case 'scalar':
      return createScalarExecutor();
    case 'wasm':
      return createWasmExecutor(threads, 'as asked');
    case 'native':
    case 'auto':
      return createWasmExecutor(threads, 'no native library was built');
  }
}
