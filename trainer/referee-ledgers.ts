// Owns the values of the referee's ledgers, by the scalar oracle's arithmetic: what anybody computes from an instruction's
// operands. Their layout is in rules 2.x of docs/protocol/referee.md; attention's are referee-attention-ledgers.ts.

import { check, present } from '../base/check.ts';
import { CODE_BLOCK, LANE_BLOCK, NORM_LEDGER_WIDTH } from '../chain/system/referee.ts';
import type { Instruction } from '../engine/instruction.ts';
import { add, expFixed, mul, noise, noiseKey, quantizeLine, sub, sumLanes } from '../engine/scalar-math.ts';
import type { Value } from '../engine/scalar-ops.ts';
import { attentionGradLedgers, attentionLedgers } from './referee-attention-ledgers.ts';
import { laneWords, type LineLayout, lineLayouts, lineWords } from './referee-frame.ts';

/** `words` are the bytes a root commits to, little-endian; f32 by their bits. */
export type Ledger = Readonly<{ name: string; shape: readonly number[]; words: Uint32Array }>;

const CANONICAL_NAN = 0x7fc0_0000;

/** A ledger of numbers, NaN in the one form the referee knows. */
function floatLedger(name: string, shape: readonly number[], values: Float32Array): Ledger {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) words[i] = CANONICAL_NAN;
  return { name, shape, words };
}

const dim = (value: Value | undefined, axis: number): number => present(value?.shape[axis], 'dimension');
const at = (value: Value | undefined, i: number): number => present(value?.data[i], 'element');

/** Rules Q1 to Q4: each line's peak place and magnitude, then its codes, four a word. */
function linesOf(name: string, tensor: Value, layout: LineLayout, key: number): Ledger {
  const { lines, depth, lineStep, step, noise: grid } = layout;
  const width = lineWords(depth);
  const words = new Uint32Array(lines * width);
  const bytes = new Uint8Array(words.buffer);
  const floats = new Float32Array(words.buffer);
  const line = new Array<number>(depth);
  for (let l = 0; l < lines; l++) {
    let peak = 0;
    for (let k = 0; k < depth; k++) {
      const x = tensor.data[l * lineStep + k * step] ?? 0;
      line[k] = x;
      if (Math.abs(x) > Math.abs(line[peak] ?? 0)) peak = k;
    }
    words[l * width] = peak;
    floats[l * width + 1] = Math.abs(line[peak] ?? 0);
    const noiseAt =
      grid === undefined
        ? undefined
        : (k: number) => (grid.salt === 1 ? noise(key, grid.columns, l, k) : noise(key, grid.columns, k, l));
    const { values } = quantizeLine(line, noiseAt);
    for (let k = 0; k < depth; k++) bytes[4 * (l * width + 2) + k] = values[k] ?? 0;
  }
  return { name, shape: [lines, width], words };
}

/** Running sums of products of codes, one for each block of a long contraction (rule M1). */
function sumsOf(left: Ledger, right: Ledger, depth: number): Ledger {
  const blocks = Math.ceil(depth / CODE_BLOCK);
  const [rows, columns, width] = [left.shape[0] ?? 0, right.shape[0] ?? 0, 4 * lineWords(depth)];
  const [a, b] = [new Int8Array(left.words.buffer), new Int8Array(right.words.buffer)];
  const sums = new Int32Array(rows * columns * blocks);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) {
        sum += (a[r * width + 8 + k] ?? 0) * (b[c * width + 8 + k] ?? 0);
        if (k + 1 === depth || (k + 1) % CODE_BLOCK === 0)
          sums[(r * columns + c) * blocks + Math.floor(k / CODE_BLOCK)] = sum;
      }
    }
  }
  return { name: 'sums', shape: [rows * columns, blocks], words: new Uint32Array(sums.buffer) };
}

function linearLedgers({ op, attrs }: Instruction, inputs: readonly Value[]): Ledger[] {
  const shapes = inputs.map(({ shape }) => shape);
  const layouts = lineLayouts({ op, attrs, inputs: shapes, outputs: [] });
  const [left, right] = layouts.map((layout, i) => {
    const seed = layout.noise === undefined ? [] : present(inputs[2], 'seed').data;
    const key = layout.noise === undefined ? 0 : noiseKey(seed, attrs.tensorId ?? 0, layout.noise.salt);
    return linesOf(i === 0 ? 'left' : 'right', present(inputs[i], 'operand'), layout, key);
  }) as [Ledger, Ledger];
  const depth = layouts[0].depth;
  return depth > CODE_BLOCK ? [left, right, sumsOf(left, right, depth)] : [left, right];
}

/** Running lanes of rule R1, sixteen for each block of {@link LANE_BLOCK} terms of each row. */
function lanesOf(rows: number, width: number, term: (row: number, i: number) => number): Ledger {
  const words = laneWords(width);
  const lanes = new Float32Array(rows * words);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < width; i++) {
      const place = row * words + 16 * Math.floor(i / LANE_BLOCK) + (i % 16);
      // The first term a lane adds in a block goes on from the block before.
      const before = i % LANE_BLOCK < 16 && i >= LANE_BLOCK ? lanes[place - 16] : lanes[place];
      lanes[place] = add(before ?? 0, term(row, i));
    }
    // A last block of fewer than sixteen terms carries the other lanes on.
    for (let lane = width % LANE_BLOCK; width > LANE_BLOCK && lane > 0 && lane < 16; lane++) {
      const place = row * words + words - 16 + lane;
      lanes[place] = lanes[place - 16] ?? 0;
    }
  }
  return floatLedger('lanes', [rows, words], lanes);
}

function embedGradLedgers([dOut, ids]: readonly Value[], [dTable]: readonly Value[]): Ledger[] {
  const [rows, width, vocabulary] = [dim(dOut, 0), dim(dOut, 1), dim(dTable, 0)];
  const previous = new Int32Array(rows).fill(-1);
  const last = new Int32Array(vocabulary).fill(-1);
  const runs = new Float32Array(rows * width);
  for (let t = 0; t < rows; t++) {
    const id = at(ids, t);
    const before = last[id] ?? -1;
    previous[t] = before;
    last[id] = t;
    for (let d = 0; d < width; d++) {
      runs[t * width + d] = add(before < 0 ? 0 : (runs[before * width + d] ?? 0), at(dOut, t * width + d));
    }
  }
  return [
    { name: 'previous', shape: [rows], words: new Uint32Array(previous.buffer) },
    { name: 'last', shape: [vocabulary], words: new Uint32Array(last.buffer) },
    floatLedger('runs', [rows, width], runs),
  ];
}

function rmsGradGainLedgers([dOut, x, rstd]: readonly Value[]): Ledger[] {
  const [rows, width] = [dim(x, 0), dim(x, 1)];
  const chunks = Math.ceil(rows / 64);
  const runs = new Float32Array(rows * width);
  const totals = new Float32Array(chunks * width);
  for (let t = 0; t < rows; t++) {
    const chunk = Math.floor(t / 64);
    const closes = t % 64 === 63 || t + 1 === rows;
    for (let d = 0; d < width; d++) {
      const i = t * width + d;
      const before = t % 64 === 0 ? 0 : (runs[i - width] ?? 0);
      runs[i] = add(before, mul(at(dOut, i), mul(at(x, i), at(rstd, t))));
      if (!closes) continue;
      const earlier = chunk === 0 ? 0 : (totals[(chunk - 1) * width + d] ?? 0);
      totals[chunk * width + d] = add(earlier, runs[i] ?? 0);
    }
  }
  return [floatLedger('runs', [rows, width], runs), floatLedger('totals', [chunks, width], totals)];
}

function countsOf(targets: Value | undefined): Ledger {
  const words = new Uint32Array(dim(targets, 0));
  let count = 0;
  for (let t = 0; t < words.length; t++) {
    if (at(targets, t) >= 0) count += 1;
    words[t] = count;
  }
  return { name: 'counts', shape: [words.length], words };
}

function crossEntropyLedgers([logits, targets]: readonly Value[], [, tokenLoss]: readonly Value[]): Ledger[] {
  const [rows, width] = [dim(logits, 0), dim(logits, 1)];
  const words = new Uint32Array(2 * rows);
  const tops = new Float32Array(words.buffer);
  for (let t = 0; t < rows; t++) {
    let place = 0;
    for (let v = 1; v < width; v++) if (at(logits, t * width + v) > at(logits, t * width + place)) place = v;
    words[2 * t] = place;
    // Adding +0 makes a zero positive (rule R4).
    tops[2 * t + 1] = at(logits, t * width + place) + 0;
  }
  const losses = [...present(tokenLoss, 'token losses').data];
  const totals = new Float32Array(Math.ceil(rows / 4_096));
  for (let c = 0; c < totals.length; c++) {
    totals[c] = add(totals[c - 1] ?? 0, sumLanes(losses.slice(4_096 * c, 4_096 * (c + 1))));
  }
  return [
    { name: 'maxima', shape: [rows, 2], words },
    countsOf(targets),
    lanesOf(rows, width, (t, v) => expFixed(sub(at(logits, t * width + v), tops[2 * t + 1] ?? 0))),
    floatLedger('totals', [totals.length], totals),
  ];
}

function gradNormLedgers(inputs: readonly Value[]): Ledger[] {
  const chunks = inputs.reduce((sum, { data }) => sum + Math.ceil(data.length / 4_096), 0);
  const values = new Float32Array(chunks * NORM_LEDGER_WIDTH);
  let total = 0;
  let row = 0;
  for (const { data } of inputs) {
    for (let from = 0; from < data.length; from += 4_096) {
      const lanes = new Float32Array(16);
      const end = Math.min(data.length, from + 4_096);
      for (let i = from; i < end; i++) {
        const lane = (i - from) % 16;
        lanes[lane] = add(lanes[lane] ?? 0, mul(data[i] ?? 0, data[i] ?? 0));
      }
      // Each lane adds to +0, so the lane sum of the sixteen is their fold.
      const folded = sumLanes([...lanes]);
      total = add(total, folded);
      values.set([...lanes, folded, total], row);
      row += NORM_LEDGER_WIDTH;
    }
  }
  return [floatLedger('norms', [chunks, NORM_LEDGER_WIDTH], values)];
}

function cacheWriters([, slot, pos, cache]: readonly Value[]): Ledger[] {
  const [slots, positions] = [dim(cache, 0), dim(cache, 1)];
  const writers = new Int32Array(slots * positions).fill(-1);
  for (let r = 0; r < dim(slot, 0); r++) writers[at(slot, r) * positions + at(pos, r)] = r;
  return [{ name: 'writers', shape: [writers.length], words: new Uint32Array(writers.buffer) }];
}

function rmsGradTerms([dOut, x, gain, rstd]: readonly Value[]): Ledger[] {
  const width = dim(x, 1);
  const term = (t: number, d: number) => {
    const i = t * width + d;
    return mul(mul(at(dOut, i), at(gain, d)), mul(at(x, i), at(rstd, t)));
  };
  return [lanesOf(dim(x, 0), width, term)];
}

/**
 * The ledgers of an instruction whose run gave these outputs, in the order of its dispute (referee-templates.ts); none for
 * most. Inputs are values before the run. The run must have succeeded.
 */
export function auxiliaryTensors(
  instruction: Instruction,
  inputs: readonly Value[],
  outputs: readonly Value[],
): readonly Ledger[] {
  check(outputs.length === instruction.outputs.length, 'auxiliaryTensors: outputs are those of the instruction');
  switch (instruction.op) {
    case 'linear':
    case 'linearGradX':
    case 'linearGradW':
      return linearLedgers(instruction, inputs);
    case 'embedGrad':
      return embedGradLedgers(inputs, outputs);
    case 'rmsNorm': {
      const width = dim(inputs[0], 1);
      const square = (x: number) => mul(x, x);
      return [lanesOf(dim(inputs[0], 0), width, (t, d) => square(at(inputs[0], t * width + d)))];
    }
    case 'rmsNormGradX':
      return rmsGradTerms(inputs);
    case 'rmsNormGradGain':
      return rmsGradGainLedgers(inputs);
    case 'attention':
      return attentionLedgers(instruction, inputs, outputs);
    case 'attentionGrad':
      return attentionGradLedgers(instruction, inputs);
    case 'crossEntropy':
      return crossEntropyLedgers(inputs, outputs);
    case 'crossEntropyGrad':
      return [countsOf(inputs[1])];
    case 'gradNorm':
      return gradNormLedgers(inputs);
    case 'cacheWrite':
      return cacheWriters(inputs);
    default:
      return [];
  }
}
