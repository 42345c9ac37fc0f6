// Owns the body of a helper thread of the WebAssembly backend: its own instance and stack over the shared memory.

import { parentPort, workerData } from 'node:worker_threads';
import { check } from '../base/check.ts';
import { type WasmGlobal, wasmApi } from './wasm-api.ts';
import type { HelperData } from './wasm-executor.ts';

type Exports = Readonly<{
  help(shared: number, index: number, seen: number): void;
  __stack_pointer: WasmGlobal;
}>;

const { module, memory, shared, index, stackTop, seen } = workerData as HelperData;
const exports = new wasmApi.Instance(module, { env: { memory } }).exports as unknown as Exports;
exports.__stack_pointer.value = stackTop;
check(parentPort !== null, 'wasm-helper: runs in a worker thread only');
parentPort.postMessage('ready');
// Returns only when the executor stops: between jobs the thread sleeps in an atomic wait.
exports.help(shared, index, seen);
