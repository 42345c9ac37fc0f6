// Owns the values of the referee's ledgers of attention and its gradient (rules A2 to A4), by the scalar oracle's arithmetic.
// Their layout is referee-attention.ts and docs/protocol/referee.md.

import { present } from '../base/check.ts';
import type { Instruction } from '../engine/instruction.ts';
import { add, bf16, div, expFixed, mul, sqrt, sub, sumLanes } from '../engine/scalar-math.ts';
import type { Value } from '../engine/scalar-ops.ts';
import { headShape } from './referee-attention.ts';
import type { Ledger } from './referee-ledgers.ts';

type Heads = ReturnType<typeof headShape>;

const value = (values: readonly Value[], i: number): Value => present(values[i], 'operand');
const rounded = ({ data }: Readonly<{ data: ArrayLike<number> }>): Float32Array => Float32Array.from(data, bf16);
const floats = (name: string, shape: readonly number[], values: Float32Array): Ledger => ({
  name,
  shape,
  words: new Uint32Array(values.buffer),
});

/** Columns of each sequence as lines, rounded to bf16. */
function turned(name: string, from: ArrayLike<number>, columns: number, seq: number): Ledger {
  const lines = from.length / seq;
  const out = new Float32Array(from.length);
  for (let line = 0; line < lines; line++) {
    const first = Math.floor(line / columns) * seq * columns + (line % columns);
    for (let j = 0; j < seq; j++) out[line * seq + j] = bf16(from[first + j * columns] ?? 0);
  }
  return floats(name, [lines, seq], out);
}

/** Calls back for every query of every head with the keys it sees: line of the table, key, and where both rows begin. */
function eachCell({ batch, seq, heads, kvHeads, width }: Heads, use: (cell: Cell) => void): void {
  for (let t = 0; t < batch * seq; t++) {
    const query = t % seq;
    for (let h = 0; h < heads; h++) {
      const group = Math.floor(h / (heads / kvHeads));
      const line = t * heads + h;
      for (let key = 0; key <= query; key++) {
        use({ line, key, left: line * width, right: ((t - query + key) * kvHeads + group) * width });
      }
    }
  }
}

type Cell = Readonly<{ line: number; key: number; left: number; right: number }>;

function product(a: Float32Array, b: Float32Array, { left, right }: Cell, width: number): number {
  let sum = 0;
  for (let d = 0; d < width; d++) sum = add(sum, mul(a[left + d] ?? 0, b[right + d] ?? 0));
  return sum;
}

export function attentionLedgers(
  instruction: Instruction,
  inputs: readonly Value[],
  outputs: readonly Value[],
): readonly Ledger[] {
  const heads = headShape({ ...instruction, inputs: inputs.map(({ shape }) => shape), outputs: [] }, 0);
  const { seq, width, rows } = heads;
  const factor = div(1, sqrt(width));
  const [q, k] = [rounded(value(inputs, 0)), rounded(value(inputs, 1))];
  const lines = rows * heads.heads;
  const scores = new Float32Array(lines * (seq + 1));
  const exponentials = new Float32Array(lines * (seq + 1));
  eachCell(heads, (cell) => {
    scores[cell.line * (seq + 1) + cell.key] = mul(product(q, k, cell, width), factor);
  });
  const stats = value(outputs, 1).data;
  for (let line = 0; line < lines; line++) {
    scores[line * (seq + 1) + seq] = stats[2 * line] ?? 0;
    exponentials[line * (seq + 1) + seq] = stats[2 * line + 1] ?? 0;
  }
  eachCell(heads, ({ line, key }) => {
    const at = line * (seq + 1);
    exponentials[at + key] = expFixed(sub(scores[at + key] ?? 0, scores[at + seq] ?? 0));
  });
  return [
    floats('scores', [lines, seq + 1], scores),
    floats('exponentials', [lines, seq + 1], exponentials),
    turned('valueLines', value(inputs, 2).data, heads.kvHeads * width, seq),
  ];
}

/** Rule A4's dk or dv of each key, running over the query heads of its group. */
function runsOf(
  name: string,
  columns: Ledger,
  values: Float32Array,
  { seq, heads, kvHeads, width, rows }: Heads,
): Ledger {
  const weights = new Float32Array(columns.words.buffer);
  const runs = new Float32Array(rows * heads * width);
  for (let t = 0; t < rows; t++) {
    const first = t - (t % seq);
    for (let h = 0; h < heads; h++) {
      const column = ((first / seq) * heads + h) * seq * seq + (t % seq) * seq;
      const at = (t * heads + h) * width;
      if (h % (heads / kvHeads) !== 0) runs.copyWithin(at, at - width, at);
      for (let i = t % seq; i < seq; i++) {
        const [weight, from] = [weights[column + i] ?? 0, ((first + i) * heads + h) * width];
        for (let d = 0; d < width; d++) runs[at + d] = add(runs[at + d] ?? 0, mul(weight, values[from + d] ?? 0));
      }
    }
  }
  return floats(name, [rows, heads * width], runs);
}

export function attentionGradLedgers(instruction: Instruction, inputs: readonly Value[]): readonly Ledger[] {
  const heads = headShape({ ...instruction, inputs: inputs.map(({ shape }) => shape), outputs: [] }, 1);
  const { seq, width, rows } = heads;
  const factor = div(1, sqrt(width));
  const [dOut, q, k, v, out, stats] = [0, 1, 2, 3, 4, 5].map((i) => value(inputs, i)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  const [gradient, query, keys, values] = [rounded(dOut), rounded(q), rounded(k), rounded(v)];
  const lines = rows * heads.heads;
  const dots = new Float32Array(lines);
  for (let line = 0; line < lines; line++) {
    const terms = Array.from({ length: width }, (_, d) =>
      mul(dOut.data[line * width + d] ?? 0, out.data[line * width + d] ?? 0),
    );
    dots[line] = sumLanes(terms);
  }
  const probabilities = new Float32Array(lines * seq);
  const gradients = new Float32Array(lines * seq);
  eachCell(heads, (cell) => {
    const at = cell.line * seq + cell.key;
    const [max, reciprocal] = [stats.data[2 * cell.line] ?? 0, stats.data[2 * cell.line + 1] ?? 0];
    const score = mul(product(query, keys, cell, width), factor);
    const p = mul(expFixed(sub(score, max)), reciprocal);
    probabilities[at] = p;
    gradients[at] = bf16(mul(mul(p, sub(product(gradient, values, cell, width), dots[cell.line] ?? 0)), factor));
  });
  const square = heads.heads * seq;
  const columns = {
    gradients: turned('gradientColumns', gradients, square, seq),
    probabilities: turned('probabilityColumns', probabilities, square, seq),
  };
  const [queries, shared] = [heads.heads * width, heads.kvHeads * width];
  return [
    floats('dots', [rows, heads.heads], dots),
    floats('probabilities', [lines, seq], probabilities),
    floats('gradients', [lines, seq], gradients),
    columns.probabilities,
    columns.gradients,
    turned('keyLines', k.data, shared, seq),
    turned('queryLines', q.data, queries, seq),
    turned('outLines', dOut.data, queries, seq),
    runsOf('keyRuns', columns.gradients, query, heads),
    runsOf('valueRuns', columns.probabilities, gradient, heads),
  ];
}
