// Owns the estimate of the memory that training takes, part by part, before anything is allocated. The limit is the host's.

import { constants } from 'node:buffer';
import { type Fault, fault } from '../base/fault.ts';
import { STATE_LEAF_BYTES } from '../base/merkle.ts';
import { MAX_WASM_BYTES } from '../engine/limits.ts';
import type { TensorProgram } from '../engine/program.ts';
import type { ModelConfig } from './model.ts';
import { parameterBytes } from './train-program.ts';

/** Bytes, each of what holds them at the fullest moment of a round. */
export type MemoryNeed = Readonly<{
  /** Parameters and both moments. */
  state: number;
  /** Activations, gradients, inputs, scratch. */
  work: number;
  /** Leaf hashes of state and gradients. */
  hashing: number;
  /** Base model, a copy of the final state, the update and what it is made from; the state moments are carried from. */
  round: number;
  /** Stacks and commands of the engine's threads. */
  threads: number;
  total: number;
}>;

export type MemoryHost = Readonly<{
  /** Bytes that may be used. */
  limitBytes: number;
  /** Where the limit comes from: a configuration key, or what was measured. */
  limitSource: string;
  threads: number;
  /** WebAssembly addresses 32 bits: state and work of all programs lie below 4 GiB. */
  wasm: boolean;
  /** Rounds go on with the moments of a final state, which is held beside the new one; left out, they do not. */
  carriesMoments?: boolean;
}>;

const HASH_BYTES = 32;
/** Stack of a helper thread and its share of the engine's own tables. */
const THREAD_BYTES = 2 << 20;

export function memoryNeed(
  program: TensorProgram,
  config: ModelConfig,
  threads: number,
  carriesMoments = false,
): MemoryNeed {
  const params = parameterBytes(config);
  const state = program.stateBytes;
  const work = program.arenaBytes - program.stateBytes;
  const hashing = HASH_BYTES * (Math.ceil(state / STATE_LEAF_BYTES) + Math.ceil(params / STATE_LEAF_BYTES));
  // base, final state, update as f32 differences and as int8 (update.ts).
  const round = params + state + params + params / 4 + (carriesMoments ? state : 0);
  const stacks = THREAD_BYTES * threads;
  return { state, work, hashing, round, threads: stacks, total: state + work + hashing + round + stacks };
}

/** Mebibytes, as people set them. */
export const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/** Null when it fits; else the Fault 'engine/memory', naming need, parts and limit. */
export function memoryRefusal(need: MemoryNeed, host: MemoryHost, what: string): Fault | null {
  const { state, work, total } = need;
  const fields = { needBytes: total, limitBytes: host.limitBytes };
  if (host.wasm && state + work > MAX_WASM_BYTES) {
    const room = mebibytes(MAX_WASM_BYTES);
    const why = `${what} needs ${mebibytes(state + work)} of WebAssembly memory, which ends at ${room}; the native engine has no such bound`;
    return fault('engine/memory', why, { needBytes: state + work, limitBytes: MAX_WASM_BYTES });
  }
  // State and work are a region each; how long one may be is the JavaScript engine's: 4 GiB in Node 20, far more in 22.
  const region = Math.max(state, work);
  if (region > constants.MAX_LENGTH) {
    const why = `${what} needs ${mebibytes(region)} in one piece, which ends at ${mebibytes(constants.MAX_LENGTH)} in this version of Node; later ones have more`;
    return fault('engine/memory', why, { needBytes: region, limitBytes: constants.MAX_LENGTH });
  }
  if (total <= host.limitBytes) return null;
  const parts = `state ${mebibytes(state)}, work ${mebibytes(work)}, round ${mebibytes(need.round)}`;
  const why = `${what} needs ${mebibytes(total)} of memory (${parts}), limit ${mebibytes(host.limitBytes)} (${host.limitSource})`;
  return fault('engine/memory', why, fields);
}
