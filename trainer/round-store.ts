// Owns the states of a running round on disk: enough to serve an audited step's start and to go on after a crash.
// Synchronous on purpose: rounds run in a worker thread of their own.

import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { concat, equal } from '../base/bytes.ts';
import { sha256 } from '../base/hash.ts';
import { LEAF_BYTES, type SentLeaf, decodeLeaves, encodeLeaves } from './leaf.ts';
import { MAX_RESIDUAL_BYTES } from './limits.ts';

export type RoundStore = Readonly<{
  /** Leaves of the steps done when the newest state was written; none when the folder holds another task. */
  leaves(): readonly SentLeaf[];
  /** State after a step, or null when it is not kept. Not yet checked against its root. */
  state(step: number): Uint8Array | null;
  /** Steps whose states are kept, ascending. */
  kept(): readonly number[];
  /** Keeps the state after the last of `leaves` when its turn has come. */
  save(leaves: readonly SentLeaf[], state: Uint8Array, last: boolean): void;
  remove(): void;
}>;

export type RoundStoreOptions = Readonly<{
  folder: string;
  /** Whose states these are: another task's leftovers are thrown away. */
  identity: Uint8Array;
  steps: number;
  stateBytes: number;
  /** Most bytes of states on disk; every k-th state is kept, k as small as this allows. */
  maxBytes: number;
}>;

const PROGRESS = 'progress.bin';

/** File of the state after a step. Whoever serves it need not check it: the one who asked compares its root. */
export function stateFile(folder: string, step: number): string {
  return join(folder, `state-${step}.bin`);
}

/** File of the residual a round left, beside its states. */
export function residualFile(folder: string): string {
  return join(folder, 'residual.bin');
}

/** Keeps what the next round starts with, if this one is accepted. */
export function saveResidual(folder: string, residual: Uint8Array): void {
  replaceFile(residualFile(folder), residual);
}

/** Not yet checked against its root. */
export function readResidual(folder: string): Uint8Array | null {
  return readIfThere(residualFile(folder), MAX_RESIDUAL_BYTES);
}

/** States to leave out between kept ones, so that `maxBytes` holds. */
export function keepEvery(steps: number, stateBytes: number, maxBytes: number): number {
  return Math.max(1, Math.ceil(steps / Math.max(1, Math.floor(maxBytes / stateBytes))));
}

export function openRoundStore(options: RoundStoreOptions): RoundStore {
  const { folder, identity, steps, stateBytes } = options;
  const every = keepEvery(steps, stateBytes, options.maxBytes);
  const fileOf = (step: number) => stateFile(folder, step);
  mkdirSync(folder, { recursive: true });
  let leaves = readProgress(join(folder, PROGRESS), identity, steps);
  if (leaves.length === 0) clear();

  function clear(): void {
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
  }
  function state(step: number): Uint8Array | null {
    if (step >= leaves.length) return null;
    const bytes = readIfThere(fileOf(step), stateBytes);
    return bytes !== null && bytes.length === stateBytes ? bytes : null;
  }
  function kept(): readonly number[] {
    const found = readdirSync(folder).map((name) => Number(/^state-(\d{1,6})\.bin$/.exec(name)?.[1] ?? -1));
    return found.filter((step) => step >= 0 && step < leaves.length).sort((a, b) => a - b);
  }
  function save(done: readonly SentLeaf[], bytes: Uint8Array, last: boolean): void {
    if (done.length % every !== 0 && !last) return;
    // State first: progress never names a state that is not there. Torn files after a power cut are found by their hashes.
    replaceFile(fileOf(done.length - 1), bytes);
    const body = concat(identity, encodeLeaves(done));
    replaceFile(join(folder, PROGRESS), concat(body, sha256(body)));
    leaves = [...done];
  }
  const remove = () => rmSync(folder, { recursive: true, force: true });
  return { leaves: () => leaves, state, kept, save, remove };
}

function readProgress(path: string, identity: Uint8Array, steps: number): readonly SentLeaf[] {
  const bytes = readIfThere(path, 64 + steps * LEAF_BYTES);
  if (bytes === null || bytes.length < 64) return [];
  const body = bytes.subarray(0, -32);
  if (!equal(sha256(body), bytes.subarray(-32)) || !equal(body.subarray(0, 32), identity)) return [];
  const count = (body.length - 32) / LEAF_BYTES;
  if (!Number.isInteger(count) || count < 1 || count > steps) return [];
  const leaves = decodeLeaves(body.subarray(32), count);
  return leaves.ok ? leaves.value : [];
}

/** Null for what is no file of at most so many bytes: nothing is read of a longer one. */
function readIfThere(path: string, mostBytes: number): Uint8Array | null {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size > mostBytes) return null;
  return new Uint8Array(readFileSync(path));
}

function replaceFile(path: string, bytes: Uint8Array): void {
  writeFileSync(`${path}.new`, bytes);
  // A folder in a file's place would keep the round from ever being saved.
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) rmSync(path, { recursive: true });
  renameSync(`${path}.new`, path);
}
