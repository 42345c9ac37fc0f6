// Owns the way from a false word of a tensor to the piece that proves it, and from a piece to the words it reads, which are
// what its witness opens. Order and templates are referee-templates.ts.

import { check, present } from '../base/check.ts';
import { CODE_BLOCK, LANE_BLOCK, NORM_LEDGER_WIDTH, REFEREE_PARTS, type RefereePart } from '../chain/system/referee.ts';
import { type InstructionDispute, laneWords, lineWords, sameRef, type TensorRef } from './referee-frame.ts';

/** A template of the dispute and the numbers to select of it. */
export type LocatedPiece = Readonly<{ template: number; selected: readonly number[] }>;

/**
 * The piece that is false when word `element` of a tensor is `claimed` and not `own`, and all words before it in the order
 * of the dispute are right. Throws when the dispute has no such tensor.
 */
export function locatePiece(
  dispute: InstructionDispute,
  ref: TensorRef,
  element: number,
  own: number,
  claimed: number,
): LocatedPiece {
  for (const [template, { proves, select }] of dispute.templates.entries()) {
    if (!sameRef(proves, ref)) continue;
    const selected = select(element, own >>> 0, claimed >>> 0);
    if (selected !== null) return { template, selected: selected.map((x) => x >>> 0) };
  }
  check(false, 'locatePiece: no template proves this tensor');
}

/** What a piece's operands hold: words of an operand, and how many it has. */
export type Words = Readonly<{ word(operand: number, element: number): number; length(operand: number): number }>;

/** Elements an operand is read at. */
type Reads = readonly (readonly number[])[];
type Reader = (n: readonly number[], words: Words) => Reads;

const span = (from: number, count: number, step = 1): number[] =>
  Array.from({ length: Math.max(0, count) }, (_, i) => from + i * step);
const HYPER = span(0, 8);
/** The elements themselves where they lie within the operand: what a false claim points outside is not read. */
const within = ({ length }: Words, operand: number, elements: readonly number[]): number[] =>
  elements.filter((element) => element < length(operand));

const elementwise =
  (operands: number): Reader =>
  (n) =>
    span(0, operands).map(() => span(n.at(-2) ?? 0, n.at(-1) ?? 0));

/** Terms one place of a ledger of lanes adds, counted in the row; the ledger's own words; the row's first element. */
function lane(width: number, row: number, place: number) {
  const first = Math.floor(place / 16) * LANE_BLOCK + (place % 16);
  const end = Math.min(width, (Math.floor(place / 16) + 1) * LANE_BLOCK);
  const terms = span(first, Math.ceil((end - first) / 16), 16);
  const at = row * laneWords(width) + place;
  return { terms, inRow: terms.map((i) => row * width + i), own: place < 16 ? [at] : [at - 16, at] };
}

const lastLanes = (width: number, row: number): number[] => span((row + 1) * laneWords(width) - 16, 16);

const lineHead = (depth: number, line: number): number[] => span(line * lineWords(depth), 2);

const code =
  (noisy: boolean): Reader =>
  (n) => {
    const [, depth = 0, lineStep = 0, step = 0] = n;
    const [line = 0, k = 0] = n.slice(-2);
    const words = [line * lineWords(depth) + 1, line * lineWords(depth) + 2 + Math.floor(k / 4)];
    const element = k < depth ? [line * lineStep + k * step] : [];
    return noisy ? [element, words, [0, 1]] : [element, words];
  };

const product: Reader = (n) => {
  const [, columns = 0, depth = 0, row = 0, column = 0] = n;
  const line = (l: number) => span(l * lineWords(depth) + 1, lineWords(depth) - 1);
  return [line(row), line(column), [row * columns + column]];
};

/** Row, head and key of n[4..6] under S, H, G, W: the two slices rule A2 multiplies, and line and place of the cell. */
function headRows(n: readonly number[]) {
  const [seq = 0, heads = 0, kvHeads = 0, width = 0, row = 0, head = 0, key = 0] = n;
  const line = row * heads + head;
  const seen = key <= row % seq;
  const group = Math.floor(head / (heads / kvHeads));
  const right = (row - (row % seq) + key) * kvHeads + group;
  return {
    line,
    left: seen ? span(line * width, width) : [],
    right: seen ? span(right * width, width) : [],
    cell: line * seq + key,
    scores: line * (seq + 1) + key,
    seen,
  };
}

/** The line of keys or values over which row n[4] and column n[5] sum, under S, H, G, W. */
function keyLine(n: readonly number[]): number[] {
  const [seq = 0, heads = 0, kvHeads = 0, width = 0, row = 0, column = 0] = n;
  const group = Math.floor(Math.floor(column / width) / (heads / kvHeads));
  const line = (Math.floor(row / seq) * kvHeads + group) * width + (column % width);
  return span(line * seq, (row % seq) + 1);
}

const READERS: Readonly<Record<RefereePart, Reader>> = {
  embed([width = 0, , row = 0, column = 0], words) {
    const id = words.word(1, row) >>> 0;
    return [within(words, 0, [id * width + column]), [row], [row * width + column]];
  },
  embedPrevious([, row = 0, other = 0], { word }) {
    const previous = word(1, row) >>> 0;
    return [[row, previous, other].filter((t) => t <= row), [row]];
  },
  embedLast: ([id = 0, other = 0], words) => [within(words, 0, [words.word(1, id) >>> 0, other]), [id]],
  embedRun([width = 0, row = 0, column = 0], { word }) {
    const previous = word(1, row) >>> 0;
    const own = row * width + column;
    return [[own], [row], previous < row ? [previous * width + column, own] : [own]];
  },
  embedGrad([width = 0, id = 0, column = 0], words) {
    const last = words.word(0, id) >>> 0;
    return [[id], within(words, 1, [last * width + column]), [id * width + column]];
  },
  rope([row = 0, head = 0, , , t = 0, column = 0], words) {
    const half = head / 2;
    const i = column % head;
    const first = t * row + column - (i >= half ? half : 0);
    const angle = (words.word(2, t) >>> 0) * head + (i % half);
    return [[first, first + half], within(words, 1, [angle, angle + half]), [t], [t * row + column]];
  },
  swiglu: elementwise(3),
  add: elementwise(3),
  scale: elementwise(2),
  copy: elementwise(2),
  zero: elementwise(1),
  swigluGrad: elementwise(4),
  adamFirst: ([i = 0]) => [[i], [i], [0], HYPER, [i]],
  adamSecond: ([i = 0]) => [[i], [i], [0], HYPER, [i]],
  adamW: ([, i = 0]) => [[i], [i], [i], HYPER, [i]],
  cacheWriter([, place = 0, other = 0], words) {
    const rows = within(words, 0, [words.word(2, place) >>> 0, other]);
    return [rows, rows, [place]];
  },
  cacheWrite([width = 0, place = 0, column = 0], words) {
    const writer = words.word(2, place) >>> 0;
    const own = place * width + column;
    const from = within(words, 0, [writer * width + column]);
    return [from, from.length === 0 ? [own] : [], [place], [own]];
  },
  linePeak([, depth = 0, lineStep = 0, step = 0, line = 0, other = 0], { word }) {
    const peak = word(1, line * lineWords(depth)) >>> 0;
    const places = [peak, other].filter((k) => k < depth);
    return [places.map((k) => line * lineStep + k * step), lineHead(depth, line)];
  },
  lineCode: code(false),
  lineNoisyCode: code(true),
  linear: product,
  linearGradX: product,
  linearGradW: product,
  linearSum([, columns = 0, depth = 0, row = 0, column = 0, block = 0]) {
    const blocks = Math.ceil(depth / CODE_BLOCK);
    const from = 2 + (block * CODE_BLOCK) / 4;
    const count = Math.min(CODE_BLOCK / 4, lineWords(depth) - from);
    const line = (l: number) => span(l * lineWords(depth) + from, count);
    const place = (row * columns + column) * blocks + block;
    return [line(row), line(column), block === 0 ? [place] : [place - 1, place]];
  },
  linearLast([, columns = 0, depth = 0, row = 0, column = 0]) {
    const blocks = Math.ceil(depth / CODE_BLOCK);
    const place = row * columns + column;
    const most = (l: number) => [l * lineWords(depth) + 1];
    return [most(row), most(column), [(place + 1) * blocks - 1], [place]];
  },
  rmsLane([width = 0, row = 0, place = 0]) {
    const { inRow, own } = lane(width, row, place);
    return [inRow, own];
  },
  rmsScale: ([width = 0, , row = 0]) => [lastLanes(width, row), [row]],
  rmsNorm: ([width = 0, row = 0, d = 0]) => [[row * width + d], [d], [row], [row * width + d]],
  rmsGradLane([width = 0, row = 0, place = 0]) {
    const { terms, inRow, own } = lane(width, row, place);
    return [inRow, inRow, terms, terms.length === 0 ? [] : [row], own];
  },
  rmsNormGradX([width = 0, row = 0, d = 0]) {
    const own = [row * width + d];
    return [own, own, [d], [row], lastLanes(width, row), own];
  },
  gainRun([width = 0, row = 0, d = 0]) {
    const own = row * width + d;
    return [[own], [own], [row], row % 64 === 0 ? [own] : [own - width, own]];
  },
  gainTotal([width = 0, rows = 0, chunk = 0, d = 0]) {
    const own = chunk * width + d;
    return [[(Math.min(64 * chunk + 64, rows) - 1) * width + d], chunk === 0 ? [own] : [own - width, own]];
  },
  rmsNormGradGain: ([width = 0, rows = 0, d = 0]) => [[(Math.ceil(rows / 64) - 1) * width + d], [d]],
  normLane([first = 0, chunk = 0, at = 0], { length }) {
    const count = Math.ceil((Math.min(4_096, length(0) - 4_096 * chunk) - at) / 16);
    return [span(4_096 * chunk + at, count, 16), [NORM_LEDGER_WIDTH * (first + chunk) + at]];
  },
  normFold: ([chunk = 0]) => [span(NORM_LEDGER_WIDTH * chunk, NORM_LEDGER_WIDTH)],
  normTotal([chunk = 0]) {
    const end = NORM_LEDGER_WIDTH * (chunk + 1);
    return [chunk === 0 ? [end - 2, end - 1] : [end - 2, end - 1, end - 1 - NORM_LEDGER_WIDTH]];
  },
  normRoot: (_, { length }) => [[length(0) - 1], [0]],
  score(n) {
    const { left, right, scores } = headRows(n);
    return [left, right, [scores]];
  },
  scoreTop([seq = 0, heads = 0, row = 0, head = 0]) {
    const first = (row * heads + head) * (seq + 1);
    return [[...span(first, (row % seq) + 1), first + seq]];
  },
  exponential([seq = 0, heads = 0, row = 0, head = 0, key = 0]) {
    const first = (row * heads + head) * (seq + 1);
    return [key > row % seq ? [] : [first + key, first + seq], [first + key]];
  },
  exponentialSum: (n, words) => READERS.scoreTop(n, words),
  turn([columns = 0, seq = 0, line = 0, j = 0]) {
    return [[(Math.floor(line / columns) * seq + j) * columns + (line % columns)], [line * seq + j]];
  },
  attentionStats([seq = 0, heads = 0, row = 0, place = 0]) {
    const last = (row * heads + Math.floor(place / 2)) * (seq + 1) + seq;
    return [place % 2 === 0 ? [last] : [], place % 2 === 1 ? [last] : [], [2 * row * heads + place]];
  },
  attention(n) {
    const [seq = 0, heads = 0, , width = 0, row = 0, column = 0] = n;
    const first = (row * heads + Math.floor(column / width)) * (seq + 1);
    return [[...span(first, (row % seq) + 1), first + seq], keyLine(n), [row * heads * width + column]];
  },
  outputDot([heads = 0, width = 0, row = 0, head = 0]) {
    const place = row * heads + head;
    return [span(place * width, width), span(place * width, width), [place]];
  },
  probability(n) {
    const { left, right, line, cell, seen } = headRows(n);
    return [left, right, seen ? [2 * line, 2 * line + 1] : [], [cell]];
  },
  scoreGradient(n) {
    const { left, right, line, cell, seen } = headRows(n);
    return [left, right, seen ? [line] : [], seen ? [cell] : [], [cell]];
  },
  attentionGrad(n) {
    const [seq = 0, heads = 0, , width = 0, row = 0, column = 0] = n;
    const line = row * heads + Math.floor(column / width);
    return [span(line * seq, (row % seq) + 1), keyLine(n), [row * heads * width + column]];
  },
  keyRun([seq = 0, heads = 0, kvHeads = 0, width = 0, row = 0, column = 0]) {
    const key = row % seq;
    const head = Math.floor(column / width);
    const line = Math.floor(row / seq) * heads + head;
    const own = row * heads * width + column;
    return [
      span((line * seq + key) * seq + key, seq - key),
      span((line * width + (column % width)) * seq + key, seq - key),
      head % (heads / kvHeads) === 0 ? [own] : [own - width, own],
    ];
  },
  keyGradient([heads = 0, kvHeads = 0, width = 0, row = 0, column = 0]) {
    const last = (Math.floor(column / width) + 1) * (heads / kvHeads) - 1;
    return [[(row * heads + last) * width + (column % width)], [row * kvHeads * width + column]];
  },
  maximum([width = 0, row = 0, other = 0], { word }) {
    const place = word(1, 2 * row) >>> 0;
    return [[place, other].filter((v) => v < width).map((v) => row * width + v), [2 * row, 2 * row + 1]];
  },
  entropyLane([width = 0, row = 0, place = 0]) {
    const { inRow, own } = lane(width, row, place);
    return [inRow, inRow.length === 0 ? [] : [2 * row + 1], own];
  },
  entropyStats: ([width = 0, row = 0, place = 0]) => [
    place === 0 ? [2 * row + 1] : [],
    place === 1 ? lastLanes(width, row) : [],
    [2 * row + place],
  ],
  tokenLoss([width = 0, row = 0], { word }) {
    const target = word(1, row) | 0;
    if (target < 0 || target >= width) return [[], [row], [], [], [row]];
    return [[row * width + target], [row], [2 * row + 1], lastLanes(width, row), [row]];
  },
  count: ([, row = 0]) => [[row], row === 0 ? [0] : [row - 1, row]],
  lossTotal: ([chunk = 0], { length }) => [
    span(4_096 * chunk, Math.min(4_096, length(0) - 4_096 * chunk)),
    chunk === 0 ? [0] : [chunk - 1, chunk],
  ],
  crossEntropy: (_, { length }) => [[length(0) - 1], [length(1) - 1], [0]],
  crossEntropyGrad([width = 0, row = 0, column = 0], { length }) {
    const own = row * width + column;
    return [[own], [row], [2 * row, 2 * row + 1], [length(3) - 1], [own]];
  },
};

const BY_CODE = new Map<number, RefereePart>(
  Object.entries(REFEREE_PARTS).map(([name, part]) => [part, name as RefereePart]),
);

/** For each operand of a piece the elements that its judgement reads; `numbers` are the fixed ones, then the selected. */
export function readsOf(part: number, numbers: readonly number[], words: Words): Reads {
  return READERS[present(BY_CODE.get(part), 'part')](numbers, words);
}
