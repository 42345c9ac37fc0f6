// Owns where tensors lie in the arena: state first, inputs and outputs, then temps sharing space by liveness, then
// scratch. Every offset is a multiple of 64 bytes. What scratch holds inside is lower.ts and the kernels.

import { present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import type { Dims, Instruction } from './instruction.ts';
import { MAX_ARENA_BYTES, MAX_THREADS } from './limits.ts';
import type { ProgramParts } from './program.ts';

export type MemoryPlan = Readonly<{
  offsets: readonly number[];
  stateBytes: number;
  scratchOffset: number;
  arenaBytes: number;
}>;

export const ALIGNMENT = 64;
/** Keys of a block of attention and queries handled at once, forward and in the gradient: scratch layout, not arithmetic. */
const ATTENTION_KEYS = 64;
const ATTENTION_ROWS = 16;
const ATTENTION_BLOCK_ROWS = 32;
/** Query heads of one key head that decoding handles at once; likewise. */
const DECODE_HEADS = 8;
/** Elements of one partial sum of gradNorm (kernel-spec.md, reductions). */
const SUM_CHUNK = 4096;
/** Rows of one partial sum of rmsNormGradGain; likewise. */
const GAIN_ROWS = 64;

export const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** Plans the arena of checked parts; `dims` are the bound dimensions of each instruction. */
export function planMemory(parts: ProgramParts, dims: readonly Dims[]): Result<MemoryPlan> {
  const sizes = parts.tensors.map(({ shape }) => roundUp(4 * shape.reduce((a, b) => a * b, 1), ALIGNMENT));
  const offsets = new Array<number>(parts.tensors.length).fill(0);
  let end = 0;
  let stateBytes = 0;
  for (const role of ['state', 'input', 'output'] as const) {
    for (const tensor of parts.tensors) {
      if (tensor.role !== role) continue;
      offsets[tensor.id] = end;
      end += sizes[tensor.id] ?? 0;
    }
    if (role === 'state') stateBytes = end;
  }
  const scratchOffset = placeTemps(parts, sizes, offsets, end);
  let scratch = 0;
  for (const [i, instruction] of parts.instructions.entries()) {
    scratch = Math.max(scratch, scratchBytes(instruction, dims[i] ?? {}, parts));
  }
  const arenaBytes = scratchOffset + scratch;
  if (arenaBytes > MAX_ARENA_BYTES) {
    return fault('program/memory', `program needs ${arenaBytes} bytes, more than ${MAX_ARENA_BYTES}`, { arenaBytes });
  }
  return success({ offsets, stateBytes, scratchOffset, arenaBytes });
}

type Life = Readonly<{ id: number; first: number; last: number }>;
type Placed = Readonly<{ offsets: ReadonlyMap<number, number>; end: number }>;
type Block = { start: number; size: number };

/** What placing by size may cost beyond first fit, as a share of the temps. */
const MOST_EXTRA = 1 / 8;

/**
 * Places temps in order of first use; returns their end. Places of one size keep the split of rows among threads: a thread
 * then writes where it wrote before, not over lines in the caches of another. Where that costs too much, first fit.
 */
function placeTemps(parts: ProgramParts, sizes: readonly number[], offsets: number[], base: number): number {
  const lives = temporaryLives(parts);
  const [bySize, tight] = [placeBySize(lives, sizes, base), placeTightly(lives, sizes, base)];
  const { offsets: chosen, end } = bySize.end - base <= (1 + MOST_EXTRA) * (tight.end - base) ? bySize : tight;
  for (const [id, offset] of chosen) offsets[id] = offset;
  return end;
}

/** Each in a place that a temp of the same size has left, else behind all others. */
function placeBySize(lives: readonly Life[], sizes: readonly number[], base: number): Placed {
  const offsets = new Map<number, number>();
  const free = new Map<number, number[]>();
  const live: Life[] = [];
  let end = base;
  for (const life of lives) {
    for (let i = live.length - 1; i >= 0; i--) {
      const { id, last } = present(live[i], 'live temp');
      if (last >= life.first) continue;
      live.splice(i, 1);
      const size = sizes[id] ?? 0;
      free.set(size, [...(free.get(size) ?? []), offsets.get(id) ?? 0]);
    }
    const size = sizes[life.id] ?? 0;
    const left = free.get(size)?.pop();
    offsets.set(life.id, left ?? end);
    if (left === undefined) end += size;
    live.push(life);
  }
  return { offsets, end };
}

/** First fit, over a list of free blocks kept sorted and merged. */
function placeTightly(lives: readonly Life[], sizes: readonly number[], base: number): Placed {
  const offsets = new Map<number, number>();
  const free: Block[] = [{ start: base, size: Number.MAX_SAFE_INTEGER - base }];
  const live: Life[] = [];
  let end = base;
  for (const life of lives) {
    for (let i = live.length - 1; i >= 0; i--) {
      const other = present(live[i], 'live temp');
      if (other.last >= life.first) continue;
      live.splice(i, 1);
      release(free, { start: offsets.get(other.id) ?? 0, size: sizes[other.id] ?? 0 });
    }
    const size = sizes[life.id] ?? 0;
    const at = free.findIndex((block) => block.size >= size);
    const block = present(free[at], 'free block');
    offsets.set(life.id, block.start);
    end = Math.max(end, block.start + size);
    block.start += size;
    block.size -= size;
    if (block.size === 0) free.splice(at, 1);
    live.push(life);
  }
  return { offsets, end };
}

function temporaryLives({ tensors, instructions }: ProgramParts): readonly Life[] {
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  for (const [at, { inputs, outputs }] of instructions.entries()) {
    for (const id of [...inputs, ...outputs]) {
      if (tensors[id]?.role !== 'temp') continue;
      if (!first.has(id)) first.set(id, at);
      last.set(id, at);
    }
  }
  return [...first].map(([id, at]) => ({ id, first: at, last: last.get(id) ?? at }));
}

function release(free: Block[], block: Block): void {
  let at = free.findIndex((other) => other.start > block.start);
  if (at < 0) at = free.length;
  free.splice(at, 0, block);
  const next = free[at + 1];
  if (next !== undefined && block.start + block.size === next.start) {
    block.size += next.size;
    free.splice(at + 1, 1);
  }
  const previous = free[at - 1];
  if (previous !== undefined && previous.start + previous.size === block.start) {
    previous.size += block.size;
    free.splice(at, 1);
  }
}

/** Bytes of a packed int8 operand of `rows` lines along a contraction of `depth`, with its scales and sums: the widest of all backends. */
export function packedBytes(rows: number, depth: number): number {
  return roundUp(rows, 64) * roundUp(depth, 64) * 2 + 2 * 4 * roundUp(rows, 64);
}

/** Bytes of an operand of profile bf16x: `rows` lines along `depth`, f32. */
export function roundedBytes(rows: number, depth: number): number {
  return 4 * roundUp(rows, 64) * depth;
}

/** Floats from row to row of what attention copies: an odd number of cache lines (kernels/attention.c). */
function oddLines(floats: number): number {
  const lines = Math.ceil(floats / 16);
  return 16 * (lines % 2 === 1 ? lines : lines + 1);
}

/** Groups of heads that attention handles at once, each with its own buffers. */
function attentionSlots(groups: number): number {
  return Math.min(MAX_THREADS, groups);
}

function scratchBytes({ op, inputs, attrs }: Instruction, dims: Dims, parts: ProgramParts): number {
  const { T = 0, D = 0, K = 0, N = 0, C = 0, P = 0, R = 0 } = dims;
  const { batch = 0, seq = 0, heads = 0, kvHeads = 0 } = attrs;
  switch (op) {
    case 'rmsNormGradGain':
      return roundUp(4 * Math.ceil(T / GAIN_ROWS) * D, ALIGNMENT);
    case 'linear':
      return packedBytes(T, K) + packedBytes(N, K);
    case 'linearGradX':
      return packedBytes(T, N) + packedBytes(K, N);
    case 'linearGradW':
      return packedBytes(K, T) + packedBytes(N, T);
    case 'linearBf16':
      return roundedBytes(T, K) + roundedBytes(N, K);
    case 'linearBf16GradX':
      return roundedBytes(T, N) + roundedBytes(K, N);
    case 'linearBf16GradW':
      return roundedBytes(K, T) + roundedBytes(N, T);
    case 'attention':
    case 'attentionGrad': {
      const tasks = batch * kvHeads;
      const lead = oddLines(C / kvHeads);
      const copy = seq * lead;
      const turned = (C / kvHeads) * roundUp(seq, ATTENTION_KEYS);
      const forward = 3 * copy + turned + ATTENTION_ROWS * oddLines(seq);
      const blocks = 2 * ATTENTION_BLOCK_ROWS * ATTENTION_KEYS + 2 * ATTENTION_KEYS * lead;
      const backward = 4 * copy + 2 * turned + blocks + oddLines(seq);
      // On a GPU scratch holds a number for each query head instead.
      const onGpu = 4 * batch * seq * heads;
      return Math.max(onGpu, 4 * attentionSlots(tasks) * (op === 'attention' ? forward : backward));
    }
    case 'attentionDecode':
      return attentionSlots(R * kvHeads) * DECODE_HEADS * 4 * roundUp(P, 16);
    case 'gradNorm': {
      let chunks = 0;
      for (const id of inputs)
        chunks += Math.ceil((parts.tensors[id]?.shape ?? []).reduce((a, b) => a * b, 1) / SUM_CHUNK);
      return roundUp(4 * chunks, ALIGNMENT);
    }
    default:
      return 0;
  }
}
