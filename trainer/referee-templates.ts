// Owns what the referee can judge of each instruction: the tensors a dispute commits, in order of dependency, and the pieces
// that prove each of their words, as rules 2.x of docs/protocol/referee.md list them. Values are referee-ledgers.ts.

import { check, present } from '../base/check.ts';
import { CODE_BLOCK, NORM_LEDGER_WIDTH, type RefereePart } from '../chain/system/referee.ts';
import type { Instruction, Op } from '../engine/instruction.ts';
import { attentionDispute, attentionGradDispute } from './referee-attention.ts';
import {
  cell,
  dimension,
  type InstructionDispute,
  input,
  laneWords,
  ledger,
  type LineLayout,
  lineLayouts,
  lineWords,
  output,
  type PieceTemplate,
  type Shape,
  type Shaped,
  size,
  tensorOf,
  template,
  wordOfFloat,
} from './referee-frame.ts';

const one = (element: number): readonly number[] => [element];
const none = (): readonly number[] => [];
/** Selects one element by first element and count. */
const single = (element: number): readonly number[] => [element, 1];

type Maker = (shaped: Shaped) => InstructionDispute;

function elementwise(name: RefereePart, inputs: number, fixed: (shaped: Shaped) => readonly number[] = none): Maker {
  return (shaped) => {
    const operands = [...Array.from({ length: inputs }, (_, i) => input(i)), output(0)];
    return {
      tensors: [tensorOf(output(0), present(shaped.outputs[0], 'shape'))],
      templates: [template(name, operands, fixed(shaped), output(0), single)],
    };
  };
}

function lineTemplates(side: 'left' | 'right', index: number, layout: LineLayout, tensorId: number): PieceTemplate[] {
  const { lines, depth, lineStep, step, noise } = layout;
  const width = lineWords(depth);
  const to = ledger(side);
  const fixed = [lines, depth, lineStep, step];
  const peak: PieceTemplate['select'] = (element, own) => {
    const [line = 0, at = 0] = cell(width)(element);
    if (at > 1) return null;
    return [line, at === 0 ? own : 0];
  };
  const code: PieceTemplate['select'] = (element, own, claimed) => {
    const [line = 0, at = 0] = cell(width)(element);
    if (at < 2) return null;
    const byte = [0, 1, 2, 3].find((i) => ((own ^ claimed) >>> (8 * i)) & 0xff) ?? 0;
    return [line, 4 * (at - 2) + byte];
  };
  const codes =
    noise === undefined
      ? template('lineCode', [input(index), to], fixed, to, code)
      : template(
          'lineNoisyCode',
          [input(index), to, input(2)],
          [...fixed, noise.columns, tensorId, noise.salt],
          to,
          code,
        );
  return [template('linePeak', [input(index), to], fixed, to, peak), codes];
}

const linear: Maker = (shaped) => {
  const [left, right] = lineLayouts(shaped);
  const depth = left.depth;
  const tensorId = shaped.attrs.tensorId ?? 0;
  const fixed = [left.lines, right.lines, depth];
  const sides = [ledger('left'), ledger('right')];
  const at = cell(right.lines);
  const tensors = [
    tensorOf(ledger('left'), [left.lines, lineWords(depth)]),
    tensorOf(ledger('right'), [right.lines, lineWords(depth)]),
  ];
  const out = tensorOf(output(0), [left.lines, right.lines]);
  const lines = [...lineTemplates('left', 0, left, tensorId), ...lineTemplates('right', 1, right, tensorId)];
  if (depth <= CODE_BLOCK) {
    const product = template(shaped.op as RefereePart, [...sides, output(0)], fixed, output(0), at);
    return { tensors: [...tensors, out], templates: [...lines, product] };
  }
  const blocks = Math.ceil(depth / CODE_BLOCK);
  const sums = tensorOf(ledger('sums'), [left.lines * right.lines, blocks]);
  const sum = template('linearSum', [...sides, ledger('sums')], fixed, ledger('sums'), (element) => [
    ...at(Math.floor(element / blocks)),
    element % blocks,
  ]);
  const last = template('linearLast', [...sides, ledger('sums'), output(0)], fixed, output(0), at);
  return { tensors: [...tensors, sums, out], templates: [...lines, sum, last] };
};

const embedGrad: Maker = ({ inputs, outputs }) => {
  const [rows, width] = [dimension(inputs[0], 0), dimension(inputs[0], 1)];
  const vocabulary = dimension(outputs[0], 0);
  const [previous, last, runs] = [ledger('previous'), ledger('last'), ledger('runs')];
  return {
    tensors: [
      tensorOf(previous, [rows]),
      tensorOf(last, [vocabulary]),
      tensorOf(runs, [rows, width]),
      tensorOf(output(0), [vocabulary, width]),
    ],
    templates: [
      template('embedPrevious', [input(1), previous], [vocabulary], previous, (row, own) => [row, own]),
      template('embedLast', [input(1), last], [], last, (id, own) => [id, own]),
      template('embedRun', [input(0), previous, runs], [width], runs, cell(width)),
      template('embedGrad', [last, runs, output(0)], [width], output(0), cell(width)),
    ],
  };
};

const rmsNorm: Maker = ({ attrs, inputs }) => {
  const [rows, width] = [dimension(inputs[0], 0), dimension(inputs[0], 1)];
  const lanes = ledger('lanes');
  const words = laneWords(width);
  return {
    tensors: [tensorOf(lanes, [rows, words]), tensorOf(output(1), [rows]), tensorOf(output(0), [rows, width])],
    templates: [
      template('rmsLane', [input(0), lanes], [width], lanes, cell(words)),
      template('rmsScale', [lanes, output(1)], [width, wordOfFloat(attrs.eps ?? 0)], output(1), one),
      template('rmsNorm', [input(0), input(1), output(1), output(0)], [width], output(0), cell(width)),
    ],
  };
};

const rmsNormGradX: Maker = ({ inputs }) => {
  const [rows, width] = [dimension(inputs[0], 0), dimension(inputs[0], 1)];
  const lanes = ledger('lanes');
  const words = laneWords(width);
  const given = [input(0), input(1), input(2), input(3), lanes];
  return {
    tensors: [tensorOf(lanes, [rows, words]), tensorOf(output(0), [rows, width])],
    templates: [
      template('rmsGradLane', given, [width], lanes, cell(words)),
      template('rmsNormGradX', [...given, output(0)], [width], output(0), cell(width)),
    ],
  };
};

const rmsNormGradGain: Maker = ({ inputs }) => {
  const [rows, width] = [dimension(inputs[0], 0), dimension(inputs[0], 1)];
  const [runs, totals] = [ledger('runs'), ledger('totals')];
  return {
    tensors: [
      tensorOf(runs, [rows, width]),
      tensorOf(totals, [Math.ceil(rows / 64), width]),
      tensorOf(output(0), [width]),
    ],
    templates: [
      template('gainRun', [input(0), input(1), input(2), runs], [width], runs, cell(width)),
      template('gainTotal', [runs, totals], [width, rows], totals, cell(width)),
      template('rmsNormGradGain', [totals, output(0)], [width, rows], output(0), one),
    ],
  };
};

const crossEntropy: Maker = ({ inputs }) => {
  const [rows, vocabulary] = [dimension(inputs[0], 0), dimension(inputs[0], 1)];
  const [maxima, counts, lanes, totals] = [ledger('maxima'), ledger('counts'), ledger('lanes'), ledger('totals')];
  const words = laneWords(vocabulary);
  const fixed = [vocabulary];
  return {
    tensors: [
      tensorOf(maxima, [rows, 2]),
      tensorOf(counts, [rows]),
      tensorOf(lanes, [rows, words]),
      tensorOf(output(1), [rows]),
      tensorOf(output(2), [rows, 2]),
      tensorOf(totals, [Math.ceil(rows / 4_096)]),
      tensorOf(output(0), [1]),
    ],
    templates: [
      template('maximum', [input(0), maxima], fixed, maxima, (element, own) => [
        Math.floor(element / 2),
        element % 2 === 0 ? own : 0,
      ]),
      template('count', [input(1), counts], fixed, counts, one),
      template('entropyLane', [input(0), maxima, lanes], fixed, lanes, cell(words)),
      template('tokenLoss', [input(0), input(1), maxima, lanes, output(1)], fixed, output(1), one),
      template('entropyStats', [maxima, lanes, output(2)], fixed, output(2), cell(2)),
      template('lossTotal', [output(1), totals], [], totals, one),
      template('crossEntropy', [totals, counts, output(0)], [], output(0), none),
    ],
  };
};

const crossEntropyGrad: Maker = ({ inputs }) => {
  const [rows, vocabulary] = [dimension(inputs[0], 0), dimension(inputs[0], 1)];
  const counts = ledger('counts');
  const operands = [input(0), input(1), input(2), counts, output(0)];
  return {
    tensors: [tensorOf(counts, [rows]), tensorOf(output(0), [rows, vocabulary])],
    templates: [
      template('count', [input(1), counts], [vocabulary], counts, one),
      template('crossEntropyGrad', operands, [vocabulary], output(0), cell(vocabulary)),
    ],
  };
};

const gradNorm: Maker = ({ inputs }) => {
  const norms = ledger('norms');
  const templates: PieceTemplate[] = [];
  let chunks = 0;
  for (const [k, shape] of inputs.entries()) {
    const first = chunks;
    const own = Math.ceil(size(shape) / 4_096);
    const select = (element: number) => {
      const [chunk = 0, at = 0] = cell(NORM_LEDGER_WIDTH)(element);
      return at < 16 && chunk >= first && chunk < first + own ? [chunk - first, at] : null;
    };
    templates.push(template('normLane', [input(k), norms], [first], norms, select));
    chunks += own;
  }
  const at = (word: number) => (element: number) =>
    element % NORM_LEDGER_WIDTH === word ? [Math.floor(element / NORM_LEDGER_WIDTH)] : null;
  templates.push(
    template('normFold', [norms], [], norms, at(16)),
    template('normTotal', [norms], [], norms, at(17)),
    template('normRoot', [norms, output(0)], [], output(0), none),
  );
  return { tensors: [tensorOf(norms, [chunks, NORM_LEDGER_WIDTH]), tensorOf(output(0), [1])], templates };
};

const adamW: Maker = ({ attrs, outputs }) => {
  const tensors = [1, 2, 0].map((k) => tensorOf(output(k), present(outputs[k], 'shape')));
  return {
    tensors,
    templates: [
      template('adamFirst', [input(1), input(3), input(4), input(5), output(1)], [], output(1), one),
      template('adamSecond', [input(2), input(3), input(4), input(5), output(2)], [], output(2), one),
      template('adamW', [input(0), output(1), output(2), input(5), output(0)], [attrs.decay ?? 0], output(0), one),
    ],
  };
};

const rope: Maker = ({ attrs, inputs }) => {
  const [row, positions, head] = [dimension(inputs[0], 1), dimension(inputs[1], 0), dimension(inputs[1], 1)];
  const fixed = [row, head, positions, attrs.inverse ?? 0];
  return {
    tensors: [tensorOf(output(0), present(inputs[0], 'shape'))],
    templates: [template('rope', [input(0), input(1), input(2), output(0)], fixed, output(0), cell(row))],
  };
};

const embed: Maker = ({ inputs, outputs }) => {
  const [vocabulary, width] = [dimension(inputs[0], 0), dimension(inputs[0], 1)];
  const operands = [input(0), input(1), output(0)];
  return {
    tensors: [tensorOf(output(0), present(outputs[0], 'shape'))],
    templates: [template('embed', operands, [width, vocabulary], output(0), cell(width))],
  };
};

const swigluGrad: Maker = ({ outputs }) => {
  const operands = (k: number) => [input(0), input(1), input(2), output(k)];
  return {
    tensors: [0, 1].map((k) => tensorOf(output(k), present(outputs[k], 'shape'))),
    templates: [0, 1].map((k) => template('swigluGrad', operands(k), [k], output(k), single)),
  };
};

const cacheWrite: Maker = ({ inputs }) => {
  const [slots, positions, width] = [dimension(inputs[3], 0), dimension(inputs[3], 1), dimension(inputs[3], 2)];
  const writers = ledger('writers');
  return {
    tensors: [tensorOf(writers, [slots * positions]), tensorOf(output(0), present(inputs[3], 'shape'))],
    templates: [
      template('cacheWriter', [input(1), input(2), writers], [positions], writers, (place, own) => [place, own]),
      template('cacheWrite', [input(0), input(3), writers, output(0)], [width], output(0), cell(width)),
    ],
  };
};

const MAKERS: Readonly<Partial<Record<Op, Maker>>> = {
  embed,
  embedGrad,
  rmsNorm,
  rmsNormGradX,
  rmsNormGradGain,
  linear,
  linearGradX: linear,
  linearGradW: linear,
  rope,
  attention: attentionDispute,
  attentionGrad: attentionGradDispute,
  swiglu: elementwise('swiglu', 2),
  swigluGrad,
  crossEntropy,
  crossEntropyGrad,
  add: elementwise('add', 2),
  scale: elementwise('scale', 1, ({ attrs }) => [wordOfFloat(attrs.factor ?? 0)]),
  copy: elementwise('copy', 1),
  zero: elementwise('zero', 0),
  gradNorm,
  adamW,
  cacheWrite,
};

/** What the referee judges of an instruction with operands of these shapes. Throws for one it does not judge. */
export function disputeOf(
  instruction: Pick<Instruction, 'op' | 'attrs'>,
  inputs: readonly Shape[],
  outputs: readonly Shape[],
): InstructionDispute {
  const { op, attrs } = instruction;
  const maker = MAKERS[op];
  check(maker !== undefined, `disputeOf: the referee does not judge ${op}`);
  return maker({ op, attrs, inputs, outputs });
}
