// Owns which WebAssembly kernels a host may run: plain SIMD always, relaxed SIMD after its dot product was found exact.

import { readFileSync } from 'node:fs';
import { FaultError, fault } from '../base/fault.ts';
import { type WasmModule, wasmApi } from './wasm-api.ts';

export type WasmKernels = Readonly<{ module: WasmModule; name: string }>;

/** Earlier versions have relaxed SIMD behind a flag, with wrong sums until the optimizing compiler takes over. */
const FIRST_NODE = 22;

let plain: WasmKernels | null = null;
let relaxed: WasmKernels | string | null = null;

const compile = (file: string): WasmModule => new wasmApi.Module(readFileSync(new URL(`./${file}`, import.meta.url)));

/** Kernels of plain SIMD; a FaultError 'engine/backend' when the build has not made them. */
export function plainKernels(): WasmKernels {
  if (plain !== null) return plain;
  try {
    plain = { module: compile('kernels.wasm'), name: 'SIMD128' };
  } catch {
    throw new FaultError(fault('engine/backend', 'kernels.wasm is not built: run `npm run build`'));
  }
  return plain;
}

/** Kernels of relaxed SIMD, or why this host may not run them. */
export function relaxedKernels(): WasmKernels | string {
  relaxed ??= probed();
  return relaxed;
}

function probed(): WasmKernels | string {
  const version = Number(process.versions.node.split('.')[0]);
  if (version < FIRST_NODE) return `relaxed SIMD is not used before Node ${FIRST_NODE}`;
  try {
    const module = compile('kernels-relaxed.wasm');
    const memory = new wasmApi.Memory({ initial: 64, maximum: 65_536, shared: true });
    const exports = new wasmApi.Instance(module, { env: { memory } }).exports as { probe(): number };
    if (exports.probe() !== 1) return 'its relaxed dot product is not exact';
    return { module, name: 'relaxed SIMD128' };
  } catch (error) {
    return `no relaxed SIMD: ${error instanceof Error ? error.message.slice(0, 80) : 'unknown'}`;
  }
}
