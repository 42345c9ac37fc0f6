// Owns the native backend: the shared library made at build time, called through koffi over ordinary shared buffers.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { equal } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { FaultError, fault } from '../base/fault.ts';
import { leafHashes, merkleRoot } from '../base/merkle.ts';
import type { Executor, LoadOptions, LoadedProgram } from './executor.ts';
import { type KeptState, keptPlaces, keptState, planKeptWeights, runKept } from './kept-weights.ts';
import { checkSharedState, loadedProgram } from './loaded-program.ts';
import { lowerProgram } from './lower.ts';
import type { TensorProgram } from './program.ts';

/** Levels of kernels/native.c, by number. */
const LEVELS = ['base', 'avx2', 'avx-vnni', 'avx512-vnni', 'amx-int8', 'neon-dot'] as const;
export type NativeLevel = (typeof LEVELS)[number];

type Library = Readonly<{
  levels(): number;
  create(threads: number, level: number): unknown;
  destroy(pool: unknown): void;
  run(pool: unknown, commands: Int32Array, state: Uint8Array, work: Uint8Array): number;
  failedAt(pool: unknown): number;
  prepare(region: Uint8Array, bytes: number): void;
  leafHashReady(): number;
  hashLeaves(bytes: Uint8Array, length: number, leaf: number, out: Uint8Array): void;
  foldHashes(hashes: Uint8Array, count: number): void;
}>;

/** Seven leaves, the last one short: odd levels and both lanes. */
const PROBE_BYTES = 1300;
const PROBE_LEAF = 200;

const file = fileURLToPath(new URL('./libkernels.so', import.meta.url));
let library: Library | string | null = null;

/** The library, or why there is none. */
function openLibrary(): Library | string {
  library ??= tryOpen();
  return library;
}

function tryOpen(): Library | string {
  if (!existsSync(file)) return 'no native library was built';
  try {
    const lib = koffi.load(file);
    return {
      levels: lib.func('int32_t native_levels()'),
      create: lib.func('void *pool_create(int32_t, int32_t)'),
      destroy: lib.func('void pool_destroy(void *)'),
      run: lib.func('int32_t pool_run(void *, const int32_t *, void *, void *)'),
      failedAt: lib.func('int32_t pool_failed_at(void *)'),
      prepare: lib.func('void native_prepare(void *, int64_t)'),
      leafHashReady: lib.func('int32_t leaf_hash_ready()'),
      hashLeaves: lib.func('void hash_leaves(const void *, int64_t, int64_t, void *)'),
      foldHashes: lib.func('void fold_hashes(void *, int64_t)'),
    } as unknown as Library;
  } catch (error) {
    return `the native library does not load: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Levels this machine and this library can run, weakest first; empty when there is no library. */
export function nativeLevels(): readonly NativeLevel[] {
  const opened = openLibrary();
  return typeof opened === 'string' ? [] : LEVELS.filter((_, number) => ((opened.levels() >> number) & 1) === 1);
}

/** The native executor, or why there is none. `level` defaults to the best the processor has. */
export function createNativeExecutor(threads: number, level?: NativeLevel): Executor | string {
  const opened = openLibrary();
  if (typeof opened === 'string') return opened;
  const chosen = level ?? nativeLevels().at(-1) ?? 'base';
  const number = LEVELS.indexOf(chosen);
  const pool = opened.create(threads, number);
  if (pool === null) return `the native library cannot start ${threads} threads at level ${chosen}`;
  const runtime: Runtime = { pool };
  return {
    backend: 'native',
    description: `native ${chosen}, ${threads} thread${threads === 1 ? '' : 's'} (${level === undefined ? 'the best this processor has' : 'as asked'})`,
    threads,
    load: (program, options = {}) => load(opened, runtime, program, options),
    async close() {
      if (runtime.pool !== null) opened.destroy(runtime.pool);
      runtime.pool = null;
    },
  };
}

/** The native pool, null once it is closed: its memory is freed then. */
type Runtime = { pool: unknown };

type SharedState = Readonly<{ bytes: Uint8Array<SharedArrayBuffer>; kept: KeptState }>;

const states = new WeakMap<LoadedProgram, SharedState>();

function buffer(bytes: number): Uint8Array<SharedArrayBuffer> {
  try {
    return new Uint8Array(new SharedArrayBuffer(Math.max(64, bytes)));
  } catch {
    throw new FaultError(fault('engine/memory', `arena of ${bytes} bytes cannot be had`, { bytes }));
  }
}

function load(
  lib: Library,
  runtime: Runtime,
  program: TensorProgram,
  { shareState, keepWeights = false }: LoadOptions,
): LoadedProgram {
  if (shareState !== undefined) checkSharedState(program, shareState.program);
  const plan = keepWeights ? planKeptWeights(program) : null;
  const shared = shareState === undefined ? undefined : states.get(shareState);
  check(shareState === undefined || shared !== undefined, 'load: shared state belongs to another executor');
  const kept = keptState(plan, shared?.kept);
  const state = shared?.bytes ?? buffer(plan?.end ?? program.stateBytes);
  const places = keptPlaces(program, plan);
  const work = buffer(program.arenaBytes - program.stateBytes);
  for (const region of [state, work]) lib.prepare(region, region.length);
  const commands = lowerProgram(program, { places, ready: false });
  const short = places.size > 0 ? lowerProgram(program, { places, ready: true }) : commands;
  const loaded = loadedProgram(program, {
    state: { buffer: state.buffer, at: 0 },
    work: { buffer: work.buffer, at: 0 },
    run() {
      check(runtime.pool !== null, 'run: the executor is closed');
      return runKept(places, kept, (ready) => {
        const reason = lib.run(runtime.pool, ready ? short : commands, state, work);
        return { reason, at: reason === 0 ? -1 : lib.failedAt(runtime.pool) };
      });
    },
    weightsChanged: () => kept.packed.clear(),
    close: () => undefined,
  });
  states.set(loaded, { bytes: state, kept });
  return loaded;
}

/** SHA-256 leaves and trees of base/merkle.ts by the processor's own instructions. */
export type NativeHashes = Readonly<{
  /** Leaf hashes of consecutive pieces of `leaf` bytes, 32 bytes each, into `out`. */
  leaves(bytes: Uint8Array, leaf: number, out: Uint8Array): void;
  /** Root of `count` hashes; overwrites them. */
  fold(hashes: Uint8Array, count: number): Uint8Array;
}>;

let hashes: NativeHashes | null | undefined;

/** Null where there is no library, no such processor, or a hash that differs from the ordinary one. */
export function nativeHashes(): NativeHashes | null {
  if (hashes === undefined) hashes = provenHashes();
  return hashes;
}

function provenHashes(): NativeHashes | null {
  const lib = openLibrary();
  if (typeof lib === 'string' || lib.leafHashReady() === 0) return null;
  const made: NativeHashes = {
    leaves: (bytes, leaf, out) => lib.hashLeaves(bytes, bytes.length, leaf, out),
    fold(all, count) {
      lib.foldHashes(all, count);
      return all.slice(0, 32);
    },
  };
  const probe = Uint8Array.from({ length: PROBE_BYTES }, (_, i) => (i * 31) & 255);
  const out = new Uint8Array(32 * Math.ceil(probe.length / PROBE_LEAF));
  made.leaves(probe, PROBE_LEAF, out);
  const wanted = merkleRoot(leafHashes(probe, PROBE_LEAF));
  return equal(made.fold(out, out.length / 32), wanted) ? made : null;
}
