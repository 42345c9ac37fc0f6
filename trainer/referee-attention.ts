// Owns what the referee can judge of attention and its gradient: ledgers, order, pieces. The frame is referee-frame.ts.

import {
  cell,
  dimension,
  type InstructionDispute,
  input,
  ledger,
  output,
  type Shaped,
  type TensorRef,
  tensorOf,
  template,
} from './referee-frame.ts';

/** Sequence, heads, key heads, head width, rows and sequences of an attention instruction; `q` is the input of queries. */
export function headShape({ attrs, inputs }: Shaped, q: number) {
  const { batch = 0, seq = 0, heads = 0, kvHeads = 0 } = attrs;
  return { batch, seq, heads, kvHeads, width: dimension(inputs[q], 1) / heads, rows: batch * seq };
}

/** Row, head and key of an element of a table over heads of rows with lines of this length. */
const headCell =
  (heads: number, length: number) =>
  (element: number): readonly number[] => {
    const [line = 0, key = 0] = cell(length)(element);
    return [Math.floor(line / heads), line % heads, key];
  };

/** A ledger of columns of each sequence as lines, rounded to bf16. */
const turn = (from: TensorRef, to: TensorRef, columns: number, seq: number) =>
  template('turn', [from, to], [columns, seq], to, cell(seq));

export function attentionDispute(shaped: Shaped): InstructionDispute {
  const { batch, seq, heads, kvHeads, width, rows } = headShape(shaped, 0);
  const [scores, exponentials, lines] = [ledger('scores'), ledger('exponentials'), ledger('valueLines')];
  const table = [rows * heads, seq + 1];
  const keys = kvHeads * width;
  const fixed = [seq, heads, kvHeads, width];
  const body = (element: number) => (element % (seq + 1) === seq ? null : headCell(heads, seq + 1)(element));
  const end = (element: number) => (element % (seq + 1) === seq ? headCell(heads, seq + 1)(element).slice(0, 2) : null);
  return {
    tensors: [
      tensorOf(scores, table),
      tensorOf(exponentials, table),
      tensorOf(lines, [batch * keys, seq]),
      tensorOf(output(1), [rows, 2 * heads]),
      tensorOf(output(0), [rows, heads * width]),
    ],
    templates: [
      template('score', [input(0), input(1), scores], fixed, scores, body),
      template('scoreTop', [scores], [seq, heads], scores, end),
      template('exponential', [scores, exponentials], [seq, heads], exponentials, body),
      template('exponentialSum', [exponentials], [seq, heads], exponentials, end),
      turn(input(2), lines, keys, seq),
      template('attentionStats', [scores, exponentials, output(1)], [seq, heads], output(1), cell(2 * heads)),
      template('attention', [exponentials, lines, output(0)], fixed, output(0), cell(heads * width)),
    ],
  };
}

/** Inputs: dOut, q, k, v, out, stats. Outputs: dq, dk, dv. */
export function attentionGradDispute(shaped: Shaped): InstructionDispute {
  const { batch, seq, heads, kvHeads, width, rows } = headShape(shaped, 1);
  const [queries, keys, square] = [heads * width, kvHeads * width, heads * seq];
  const fixed = [seq, heads, kvHeads, width];
  const [dots, probabilities, gradients] = [ledger('dots'), ledger('probabilities'), ledger('gradients')];
  const [byKeyP, byKeyG] = [ledger('probabilityColumns'), ledger('gradientColumns')];
  const [keyLines, queryLines, outLines] = [ledger('keyLines'), ledger('queryLines'), ledger('outLines')];
  const [keyRuns, valueRuns] = [ledger('keyRuns'), ledger('valueRuns')];
  return {
    tensors: [
      tensorOf(dots, [rows, heads]),
      tensorOf(probabilities, [rows * heads, seq]),
      tensorOf(gradients, [rows * heads, seq]),
      tensorOf(byKeyP, [batch * square, seq]),
      tensorOf(byKeyG, [batch * square, seq]),
      tensorOf(keyLines, [batch * keys, seq]),
      tensorOf(queryLines, [batch * queries, seq]),
      tensorOf(outLines, [batch * queries, seq]),
      tensorOf(keyRuns, [rows, queries]),
      tensorOf(valueRuns, [rows, queries]),
      tensorOf(output(0), [rows, queries]),
      tensorOf(output(1), [rows, keys]),
      tensorOf(output(2), [rows, keys]),
    ],
    templates: [
      template('outputDot', [input(0), input(4), dots], [heads, width], dots, cell(heads)),
      template(
        'probability',
        [input(1), input(2), input(5), probabilities],
        fixed,
        probabilities,
        headCell(heads, seq),
      ),
      template(
        'scoreGradient',
        [input(0), input(3), dots, probabilities, gradients],
        fixed,
        gradients,
        headCell(heads, seq),
      ),
      turn(probabilities, byKeyP, square, seq),
      turn(gradients, byKeyG, square, seq),
      turn(input(2), keyLines, keys, seq),
      turn(input(1), queryLines, queries, seq),
      turn(input(0), outLines, queries, seq),
      template('attentionGrad', [gradients, keyLines, output(0)], fixed, output(0), cell(queries)),
      template('keyRun', [byKeyG, queryLines, keyRuns], fixed, keyRuns, cell(queries)),
      template('keyRun', [byKeyP, outLines, valueRuns], fixed, valueRuns, cell(queries)),
      template('keyGradient', [keyRuns, output(1)], [heads, kvHeads, width], output(1), cell(keys)),
      template('keyGradient', [valueRuns, output(2)], [heads, kvHeads, width], output(2), cell(keys)),
    ],
  };
}
