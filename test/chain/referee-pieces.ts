// Owns random pieces for the referee: instructions run by the scalar oracle, one piece cut out, committed and opened; and the
// same piece with one bit of its output flipped. As a command (`node build/test/chain/referee-pieces.js [PIECES] [SEED]`) it
// judges thousands.

import { fileURLToPath } from 'node:url';
import { present } from '../../base/check.ts';
import { type Prng, prng } from '../../base/prng.ts';
import {
  type CommittedBytes,
  commitBytes,
  NORM_LEDGER_WIDTH,
  openElements,
  operandOf,
  REFEREE_PARTS,
  type RefereeOpening,
  type RefereePart,
  type RefereePiece,
} from '../../chain/system/referee.ts';
import { createScalarExecutor } from '../../engine/scalar-executor.ts';
import { add, mul } from '../../engine/scalar-math.ts';
import { caseOf, runCase } from '../engine/cases.ts';
import { bitsOf } from './referee-floats.ts';
import { openRefereeWorld, type RefereeWorld } from './referee-world.ts';

/** A tensor as bytes, with the leaf size it is committed by, the elements the piece needs, and which of them it claims. */
type Part = Readonly<{
  bytes: Uint8Array;
  leafBytes: number;
  elements: readonly number[];
  claimed?: readonly number[];
}>;
/** Operands in order; `outputs` counts those at the end that the piece claims. */
export type Cut = Readonly<{
  part: RefereePart;
  operands: readonly Part[];
  outputs: number;
  numbers: readonly number[];
}>;

const range = (n: number, from = 0, step = 1): number[] => Array.from({ length: n }, (_, i) => from + i * step);
const asBytes = (values: Float32Array | Int32Array | Uint8Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();

/** Commits the operands and opens the leaves a piece needs. */
export function presentCut({ part, operands, numbers }: Cut): Readonly<{
  piece: RefereePiece;
  witness: RefereeOpening[];
  trees: readonly CommittedBytes[];
}> {
  const trees = operands.map(({ bytes, leafBytes }) => commitBytes(bytes, leafBytes));
  const piece = { part: REFEREE_PARTS[part], operands: trees.map((tree) => operandOf(tree)), numbers };
  const witness = operands.flatMap(({ elements }, k) => openElements(k, present(trees[k], 'tree'), 0, elements));
  return { piece, witness, trees };
}

/** The same cut with one bit of one claimed element flipped. */
export function withFlippedBit(cut: Cut, random: Prng): Cut {
  const k = cut.operands.length - 1 - random.below(cut.outputs);
  const operand = present(cut.operands[k], 'output');
  const claimed = operand.claimed ?? operand.elements;
  const element = present(claimed[random.below(claimed.length)], 'element');
  const bytes = operand.bytes.slice();
  const at = 4 * element + random.below(4);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  return { ...cut, operands: cut.operands.map((other, i) => (i === k ? { ...other, bytes } : other)) };
}

type Tensors = Readonly<{
  of(name: string): Uint8Array;
  shape(name: string): readonly number[];
  number(name: string): number;
}>;
type Cutter = (t: Tensors, attrs: Readonly<Record<string, number>>, random: Prng) => Cut;

function elementwise(part: RefereePart, names: readonly string[], outputs: number): Cutter {
  return (t, attrs, random) => {
    const length = t.of(present(names[0], 'name')).length / 4;
    const count = 1 + random.below(Math.min(6, length));
    const from = random.below(length - count + 1);
    const leafBytes = random.below(2) === 0 ? 16_384 : 256;
    const operands = names.map((name) => ({ bytes: t.of(name), leafBytes, elements: range(count, from) }));
    const numbers = [from, count, ...(part === 'scale' ? [bitsOf(attrs.factor ?? 0)] : [])];
    return { part, operands, outputs, numbers };
  };
}

/** Rows become columns. */
export function turned(bytes: Uint8Array, rows: number, columns: number): Uint8Array {
  const [from, to] = [new Uint32Array(bytes.buffer, bytes.byteOffset, rows * columns), new Uint32Array(rows * columns)];
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c] ?? 0;
  return asBytes(new Uint8Array(to.buffer));
}

/** One line of an operand that is `lines` by `depth`, or `depth` by `lines` when `column`. */
function line(bytes: Uint8Array, lines: number, depth: number, index: number, column: boolean, turn: boolean): Part {
  if (!column) return { bytes, leafBytes: 4 * depth, elements: range(depth, index * depth) };
  if (turn) return { bytes: turned(bytes, depth, lines), leafBytes: 4 * depth, elements: range(depth, index * depth) };
  return { bytes, leafBytes: 16_384, elements: range(depth, index, lines) };
}

const linearNames = {
  linear: ['x', 'w', 'y'],
  linearGradX: ['dy', 'w', 'dx'],
  linearGradW: ['x', 'dy', 'dw'],
} as const;

function linear(part: 'linear' | 'linearGradX' | 'linearGradW'): Cutter {
  const [left, right, out] = linearNames[part];
  return (t, attrs, random) => {
    const [rows = 0, columns = 0] = t.shape(out);
    const depth = (part === 'linearGradW' ? t.shape(left)[0] : t.shape(left)[1]) ?? 0;
    const [row, column] = [random.below(rows), random.below(columns)];
    const turns = random.below(4);
    const seeds = part === 'linear' ? [0, 0] : [...new Uint32Array(t.of('seed').buffer)];
    return {
      part,
      outputs: 1,
      operands: [
        line(t.of(left), rows, depth, row, part === 'linearGradW', (turns & 2) !== 0),
        line(t.of(right), columns, depth, column, part !== 'linearGradX', (turns & 1) !== 0),
        { bytes: t.of(out), leafBytes: 16_384, elements: [row * columns + column] },
      ],
      numbers: [rows, columns, depth, row, column, turns, ...seeds, (attrs.tensorId ?? 0) >>> 0],
    };
  };
}

const rmsNorm: Cutter = (t, attrs, random) => {
  const [rows = 0, width = 0] = t.shape('x');
  const row = random.below(rows);
  const at = (name: string, elements: readonly number[]) => ({ bytes: t.of(name), leafBytes: 1_024, elements });
  const wide = range(width, row * width);
  const operands = [at('x', wide), at('gain', range(width)), at('out', wide), at('rstd', [row])];
  return { part: 'rmsNorm', operands, outputs: 2, numbers: [width, row, bitsOf(attrs.eps ?? 0)] };
};

const adamW: Cutter = (t, attrs, random) => {
  const cut = elementwise('adamW', ['p', 'm', 'v', 'g', 'p after', 'm after', 'v after'], 3)(t, attrs, random);
  const hyper = [...new Uint32Array(t.of('hyper').buffer)];
  return { ...cut, numbers: [...cut.numbers, attrs.decay ?? 0, t.number('norm'), ...hyper] };
};

/** Lanes, fold and running total of every chunk of every gradient, as rule O1 makes them. */
function normLedger(gradients: readonly Float32Array[]): Float32Array {
  const rows: number[] = [];
  let total = 0;
  for (const g of gradients) {
    for (let from = 0; from < g.length; from += 4_096) {
      const lanes = new Array<number>(16).fill(0);
      for (const [i, x] of g.slice(from, from + 4_096).entries()) lanes[i % 16] = add(lanes[i % 16] ?? 0, mul(x, x));
      const sums = [...lanes];
      for (let width = 8; width >= 1; width /= 2) {
        for (let i = 0; i < width; i++) sums[i] = add(sums[i] ?? 0, sums[i + width] ?? 0);
      }
      total = add(total, sums[0] ?? 0);
      rows.push(...lanes, sums[0] ?? 0, total);
    }
  }
  return Float32Array.from(rows);
}

const gradNorm: Cutter = (t, _, random) => {
  const names = range(5).map((i) => `g${i}`);
  const gradients = names.filter((name) => t.shape(name).length > 0).map((name) => new Float32Array(t.of(name).buffer));
  const values = normLedger(gradients);
  const chunks = values.length / NORM_LEDGER_WIDTH;
  const chunk = random.below(chunks);
  const first = NORM_LEDGER_WIDTH * chunk;
  const row = (elements: readonly number[]) => ({ bytes: asBytes(values), leafBytes: 16_384, elements });
  const kind = random.below(8);
  if (kind === 0)
    return {
      part: 'normFold',
      operands: [{ ...row(range(17, first)), claimed: [first + 16] }],
      outputs: 1,
      numbers: [chunk],
    };
  if (kind === 1) {
    return {
      part: 'normTotal',
      operands: [{ ...row(range(chunk === 0 ? 2 : 3, first + (chunk === 0 ? 16 : 15))), claimed: [first + 17] }],
      outputs: 1,
      numbers: [chunk],
    };
  }
  if (kind === 2) {
    const norm = { bytes: t.of('norm'), leafBytes: 16_384, elements: [0] };
    return { part: 'normRoot', operands: [row([values.length - 1]), norm], outputs: 1, numbers: [] };
  }
  let [own, at] = [chunk, 0];
  while (own >= Math.ceil((gradients[at]?.length ?? 0) / 4_096))
    own -= Math.ceil((gradients[at++]?.length ?? 0) / 4_096);
  const g = present(gradients[at], 'gradient');
  const lane = random.below(16);
  const size = Math.min(4_096, g.length - own * 4_096);
  const elements = range(Math.max(0, Math.ceil((size - lane) / 16)), own * 4_096 + lane, 16);
  return {
    part: 'normLane',
    operands: [{ bytes: asBytes(g), leafBytes: 16_384, elements }, row([first + lane])],
    outputs: 1,
    numbers: [own, lane, chunk],
  };
};

const CUTTERS = {
  linear: linear('linear'),
  linearGradX: linear('linearGradX'),
  linearGradW: linear('linearGradW'),
  add: elementwise('add', ['a', 'b', 'out'], 1),
  scale: elementwise('scale', ['a', 'out'], 1),
  copy: elementwise('copy', ['a', 'out'], 1),
  swiglu: elementwise('swiglu', ['gate', 'up', 'out'], 1),
  swigluGrad: elementwise('swigluGrad', ['dOut', 'gate', 'up', 'dGate', 'dUp'], 2),
  rmsNorm,
  adamW,
  gradNorm,
} as const;

export type JudgedOp = keyof typeof CUTTERS;
export const JUDGED_OPS = Object.keys(CUTTERS) as readonly JudgedOp[];

/** Pieces of one random run of an instruction by the scalar oracle; none when the run is refused. */
export function cutsOf(op: JudgedOp, seed: string, count: number): Cut[] {
  const one = caseOf(op, seed);
  const { outcome, outputs } = runCase(createScalarExecutor(), one);
  if (!outcome.ok) return [];
  const attrs = present(one.program.instructions[0], 'instruction').attrs;
  const tensors: Tensors = {
    of: (name) => asBytes(present(op === 'adamW' ? adamTensor(name) : (outputs[name] ?? one.data[name]), name)),
    shape: (name) => one.program.tensors.find((tensor) => tensor.name === name)?.shape ?? [],
    number: (name) => new Uint32Array(asBytes(present(one.data[name], name)).buffer)[0] ?? 0,
  };
  const adamTensor = (name: string) => (name.endsWith(' after') ? outputs[name.slice(0, -6)] : one.data[name]);
  const random = prng(`cut ${op} ${seed}`);
  return range(count).map(() => CUTTERS[op](tensors, attrs, random));
}

/** Judges a cut as it is and with a flipped bit; says what went wrong, or null. */
export async function judgeBoth(world: RefereeWorld, cut: Cut, random: Prng) {
  const honest = presentCut(cut);
  const fair = await world.judge(honest.piece, honest.witness);
  const forged = presentCut(withFlippedBit(cut, random));
  const caught = await world.judge(forged.piece, forged.witness);
  const wrong =
    fair.holds === true && caught.holds === false ? null : { part: cut.part, numbers: cut.numbers, fair, caught };
  return { wrong, gas: fair.gas };
}

/** Judges `runs` cases of every instruction, `each` pieces of a case. */
export async function judgeMany(world: RefereeWorld, runs: number, each: number, seed: string) {
  const random = prng(`flips ${seed}`);
  const most: Record<string, number> = {};
  const wrong: unknown[] = [];
  let judged = 0;
  for (const op of JUDGED_OPS) {
    for (let i = 0; i < runs; i++) {
      for (const cut of cutsOf(op, `${seed} ${i}`, each)) {
        const result = await judgeBoth(world, cut, random);
        if (result.wrong !== null) wrong.push(result.wrong);
        most[cut.part] = Math.max(most[cut.part] ?? 0, result.gas);
        judged += 1;
      }
    }
  }
  return { judged, wrong, most };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [pieces, seed] = [Number(process.argv[2] ?? 4_400), process.argv[3] ?? 'pieces'];
  const each = 8;
  const runs = Math.ceil(pieces / JUDGED_OPS.length / each);
  const { judged, wrong, most } = await judgeMany(await openRefereeWorld(), runs, each, seed);
  const lines = wrong.slice(0, 5).map((one) => JSON.stringify(one));
  process.stdout.write(
    `${[...lines, JSON.stringify({ seed, judged, wrong: wrong.length, mostGas: most })].join('\n')}\n`,
  );
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
