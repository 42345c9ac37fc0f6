// Owns the scalar oracle's instructions, one plain function each. Arithmetic is scalar-math.ts; refusals are thrown as
// Refused and turned into outcomes by scalar-executor.ts.

import { present } from '../base/check.ts';
import type { Op } from './instruction.ts';
import {
  add,
  BF16_MOST,
  bf16,
  div,
  expFixed,
  logFixed,
  mul,
  noise,
  noiseKey,
  quantizeLine,
  sigmoid,
  sqrt,
  sub,
  sumAscending,
  sumChunks,
  sumLanes,
} from './scalar-math.ts';

export type Reason = 'non-finite' | 'bad-index' | 'bf16-range';

/** Ends an instruction of the oracle. */
export class Refused extends Error {
  readonly reason: Reason;
  constructor(reason: Reason) {
    super(reason);
    this.reason = reason;
  }
}

export type Value = Readonly<{ shape: readonly number[]; data: Float32Array | Int32Array }>;
type Attrs = Readonly<Record<string, number>>;
type Kernel = (inputs: readonly Value[], outputs: readonly Value[], attrs: Attrs) => void;

const get = (value: Value, i: number): number => present(value.data[i], 'element');
const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
const row = (value: Value, t: number, width: number, from = 0): number[] =>
  range(width).map((i) => get(value, t * present(value.shape.at(-1), 'width') + from + i));
const dim = (value: Value | undefined, axis: number): number => present(value?.shape[axis], 'dimension');
const nth = (values: readonly Value[], i: number): Value => present(values[i], 'operand');

function index(value: Value, i: number, below: number): number {
  const id = get(value, i);
  if (id < 0 || id >= below) throw new Refused('bad-index');
  return id;
}

function rounded(values: readonly number[]): number[] {
  if (values.some((x) => !Number.isFinite(x))) throw new Refused('non-finite');
  if (values.some((x) => Math.abs(x) > BF16_MOST)) throw new Refused('bf16-range');
  return values.map(bf16);
}

function maximum(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b)) + 0;
}

type Lines = readonly Readonly<{ scale: number; values: readonly number[] }>[];

function quantizedRows(x: Value, noiseAt?: (r: number, c: number) => number): Lines {
  return range(dim(x, 0)).map((r) =>
    quantizeLine(finite(row(x, r, dim(x, 1))), noiseAt === undefined ? undefined : (c) => noiseAt(r, c)),
  );
}

function quantizedColumns(x: Value, noiseAt?: (r: number, c: number) => number): Lines {
  return range(dim(x, 1)).map((c) =>
    quantizeLine(
      finite(range(dim(x, 0)).map((r) => get(x, r * dim(x, 1) + c))),
      noiseAt === undefined ? undefined : (r) => noiseAt(r, c),
    ),
  );
}

function finite(values: number[]): number[] {
  if (values.some((x) => !Number.isFinite(x))) throw new Refused('non-finite');
  return values;
}

const rowsOf = (x: Value) => range(dim(x, 0)).map((t) => rounded(row(x, t, dim(x, 1))));
const columnsOf = (x: Value) =>
  range(dim(x, 1)).map((c) => rounded(range(dim(x, 0)).map((t) => get(x, t * dim(x, 1) + c))));

/** Rule M2. */
function ascendingProduct(left: readonly number[][], right: readonly number[][], out: Value): void {
  for (const [i, a] of left.entries()) {
    const sums = right.map((b) => sumAscending(a.map((x, k) => mul(x, present(b[k], 'element')))));
    out.data.set(sums, i * right.length);
  }
}

function product(left: Lines, right: Lines, out: Value): void {
  for (const [i, a] of left.entries()) {
    for (const [j, b] of right.entries()) {
      let sum = 0;
      for (const [k, value] of a.values.entries()) sum += value * present(b.values[k], 'depth');
      out.data[i * right.length + j] = mul(Math.fround(sum), mul(a.scale, b.scale));
    }
  }
}

function gradientNoise(dy: Value, seed: Value, attrs: Attrs, salt: number): (r: number, c: number) => number {
  const key = noiseKey(seed.data, attrs.tensorId ?? 0, salt);
  return (r, c) => noise(key, dim(dy, 1), r, c);
}

/** Unnormalised weights of one query over its keys, their sum, and their maximum score (rule A3). */
function weights(q: readonly number[], keys: readonly (readonly number[])[], width: number) {
  const scale = div(1, sqrt(width));
  const scores = keys.map((key) => mul(sumAscending(key.map((k, d) => mul(q[d] ?? 0, k))), scale));
  const max = maximum(scores);
  const exps = scores.map((s) => expFixed(sub(s, max)));
  return { scores, max, reciprocal: div(1, sumLanes(exps)), exps };
}

function attend(q: readonly number[], keys: readonly number[][], values: readonly number[][], width: number) {
  const { max, reciprocal, exps } = weights(q, keys, width);
  const weight = exps.map(bf16);
  const out = range(width).map((d) =>
    mul(sumAscending(weight.map((e, j) => mul(e, present(values[j]?.[d], 'value')))), reciprocal),
  );
  return { out, max, reciprocal };
}

const attention: Kernel = ([q, k, v], [out, stats], { batch = 0, seq = 0, heads = 0, kvHeads = 0 }) => {
  const [Q, K, V, Out, Stats] = [q, k, v, out, stats].map((x) => present(x, 'operand')) as [
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  const width = dim(Q, 1) / heads;
  for (const b of range(batch)) {
    for (const h of range(heads)) {
      const g = Math.floor(h / (heads / kvHeads));
      const keys = range(seq).map((i) => rounded(row(K, b * seq + i, width, g * width)));
      const values = range(seq).map((i) => rounded(row(V, b * seq + i, width, g * width)));
      for (const i of range(seq)) {
        const t = b * seq + i;
        const query = rounded(row(Q, t, width, h * width));
        const head = attend(query, keys.slice(0, i + 1), values.slice(0, i + 1), width);
        Out.data.set(head.out, t * heads * width + h * width);
        Stats.data.set([head.max, head.reciprocal], t * 2 * heads + 2 * h);
      }
    }
  }
};

const attentionGrad: Kernel = (inputs, outputs, { batch = 0, seq = 0, heads = 0, kvHeads = 0 }) => {
  const [dOut, q, k, v, out, stats] = range(6).map((i) => nth(inputs, i)) as [Value, Value, Value, Value, Value, Value];
  const [dq, dk, dv] = range(3).map((i) => nth(outputs, i)) as [Value, Value, Value];
  const width = dim(q, 1) / heads;
  const scale = div(1, sqrt(width));
  dk.data.fill(0);
  dv.data.fill(0);
  const into = (to: Value, at: number, factor: number, values: readonly number[]) => {
    for (const [d, x] of values.entries()) to.data[at + d] = add(get(to, at + d), mul(factor, x));
  };
  for (const b of range(batch)) {
    for (const h of range(heads)) {
      const g = Math.floor(h / (heads / kvHeads));
      const keys = range(seq).map((i) => rounded(row(k, b * seq + i, width, g * width)));
      const values = range(seq).map((i) => rounded(row(v, b * seq + i, width, g * width)));
      for (const i of range(seq)) {
        const t = b * seq + i;
        const query = rounded(row(q, t, width, h * width));
        const exact = row(dOut, t, width, h * width);
        const gradient = rounded(exact);
        const dot = sumLanes(row(out, t, width, h * width).map((o, d) => mul(present(exact[d], 'dOut'), o)));
        const [max, reciprocal] = [get(stats, t * 2 * heads + 2 * h), get(stats, t * 2 * heads + 2 * h + 1)];
        const { scores } = weights(query, keys.slice(0, i + 1), width);
        const p = scores.map((s) => mul(expFixed(sub(s, max)), reciprocal));
        const ds = rounded(
          p.map((weight, j) => {
            const dp = sumAscending(gradient.map((x, d) => mul(x, present(values[j]?.[d], 'value'))));
            return mul(mul(weight, sub(dp, dot)), scale);
          }),
        );
        const sums = range(width).map((d) => sumAscending(ds.map((x, j) => mul(x, present(keys[j]?.[d], 'key')))));
        dq.data.set(sums, t * heads * width + h * width);
        for (const [j, weight] of rounded(p).entries()) {
          const place = (b * seq + j) * kvHeads * width + g * width;
          into(dv, place, weight, gradient);
          into(dk, place, present(ds[j], 'ds'), query);
        }
      }
    }
  }
};

const attentionDecode: Kernel = ([q, kc, vc, slot, pos], [out], { heads = 0, kvHeads = 0 }) => {
  const [Q, K, V, Out] = [q, kc, vc, out].map((x) => present(x, 'operand')) as [Value, Value, Value, Value];
  const [slots, positions] = [dim(K, 0), dim(K, 1)];
  const width = dim(Q, 1) / heads;
  for (const r of range(dim(Q, 0))) {
    const [s, last] = [index(present(slot, 'slot'), r, slots), index(present(pos, 'pos'), r, positions)];
    for (const h of range(heads)) {
      const from = Math.floor(h / (heads / kvHeads)) * width;
      const rows = (cache: Value) => range(last + 1).map((j) => rounded(row(cache, s * positions + j, width, from)));
      Out.data.set(
        attend(rounded(row(Q, r, width, h * width)), rows(K), rows(V), width).out,
        r * heads * width + h * width,
      );
    }
  }
};

function eachElement(out: Value, value: (i: number) => number): void {
  for (let i = 0; i < out.data.length; i++) out.data[i] = value(i);
}

function validTargets(targets: Value, vocabulary: number): number {
  let n = 0;
  for (const target of targets.data) {
    if (target >= vocabulary) throw new Refused('bad-index');
    if (target >= 0) n++;
  }
  return n;
}

const adamW: Kernel = ([, , , g, norm, hyper], [p, m, v], { decay = 0 }) => {
  const [P, M, V, G] = [p, m, v, g].map((x) => present(x, 'operand')) as [Value, Value, Value, Value];
  const [lr, b1, b2, eps, wd, bc1, bc2, clipNorm] = finite([...present(hyper, 'hyper').data]) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const size = get(present(norm, 'norm'), 0);
  finite([size]);
  const [r1, r2] = [div(1, bc1), div(1, bc2)];
  const clip = clipNorm > 0 && size > clipNorm ? div(clipNorm, size) : 1;
  for (let i = 0; i < P.data.length; i++) {
    const grad = mul(get(G, i), clip);
    const first = add(mul(b1, get(M, i)), mul(sub(1, b1), grad));
    const second = add(mul(b2, get(V, i)), mul(sub(1, b2), mul(grad, grad)));
    const step = div(mul(first, r1), add(sqrt(mul(second, r2)), eps));
    const old = get(P, i);
    M.data[i] = first;
    V.data[i] = second;
    P.data[i] = sub(old, mul(lr, add(step, mul(decay === 1 ? wd : 0, old))));
  }
};

const rope: Kernel = (inputs, outputs, { heads = 0, inverse = 0 }) => {
  const [x, table, pos, out] = [nth(inputs, 0), nth(inputs, 1), nth(inputs, 2), nth(outputs, 0)];
  const width = dim(table, 1);
  const half = width / 2;
  for (const t of range(dim(x, 0))) {
    const at = index(pos, t, dim(table, 0)) * width;
    for (const h of range(heads)) {
      const base = (t * heads + h) * width;
      for (const i of range(half)) {
        const [a, b, cosine, sine] = [
          get(x, base + i),
          get(x, base + half + i),
          get(table, at + i),
          get(table, at + half + i),
        ];
        const s = inverse === 1 ? -sine : sine;
        out.data[base + i] = sub(mul(a, cosine), mul(b, s));
        out.data[base + half + i] = add(mul(b, cosine), mul(a, s));
      }
    }
  }
};

const rmsNormGradGain: Kernel = (inputs, outputs) => {
  const [dy, x, rstd, dGain] = [nth(inputs, 0), nth(inputs, 1), nth(inputs, 2), nth(outputs, 0)];
  const [T, D] = [dim(x, 0), dim(x, 1)];
  eachElement(dGain, (d) => {
    const terms = range(T).map((t) => mul(get(dy, t * D + d), mul(get(x, t * D + d), get(rstd, t))));
    const chunks = range(Math.ceil(T / 64)).map((c) => sumAscending(terms.slice(64 * c, 64 * c + 64)));
    return sumAscending(chunks);
  });
};

const crossEntropy: Kernel = (inputs, outputs) => {
  const [logits, targets] = [nth(inputs, 0), nth(inputs, 1)];
  const [loss, tokenLoss, stats] = [nth(outputs, 0), nth(outputs, 1), nth(outputs, 2)];
  const [T, V] = [dim(logits, 0), dim(logits, 1)];
  const n = validTargets(targets, V);
  for (const t of range(T)) {
    const values = row(logits, t, V);
    const m = maximum(values);
    const sum = sumLanes(values.map((x) => expFixed(sub(x, m))));
    stats.data.set([m, div(1, sum)], 2 * t);
    const target = get(targets, t);
    tokenLoss.data[t] = target < 0 ? 0 : sub(add(m, logFixed(sum)), present(values[target], 'logit'));
  }
  loss.data[0] = n === 0 ? 0 : div(sumChunks([...tokenLoss.data]), Math.fround(n));
};

const crossEntropyGrad: Kernel = (inputs, outputs) => {
  const [logits, targets, stats, dLogits] = [nth(inputs, 0), nth(inputs, 1), nth(inputs, 2), nth(outputs, 0)];
  const V = dim(logits, 1);
  const n = validTargets(targets, V);
  const inverse = n === 0 ? 0 : div(1, Math.fround(n));
  eachElement(dLogits, (i) => {
    const t = Math.floor(i / V);
    const target = get(targets, t);
    if (target < 0) return 0;
    const p = mul(expFixed(sub(get(logits, i), get(stats, 2 * t))), get(stats, 2 * t + 1));
    return mul(i % V === target ? sub(p, 1) : p, inverse);
  });
};

/** Every instruction of the oracle. */
export const SCALAR_OPS: Readonly<Record<Op, Kernel>> = {
  embed([table, ids], [out]) {
    const [rows, D] = [dim(table, 0), dim(table, 1)];
    eachElement(present(out, 'out'), (i) =>
      get(present(table, 'table'), index(present(ids, 'ids'), Math.floor(i / D), rows) * D + (i % D)),
    );
  },
  embedGrad([dOut, ids], [dTable]) {
    const [grad, table] = [present(dOut, 'dOut'), present(dTable, 'dTable')];
    const D = dim(grad, 1);
    table.data.fill(0);
    eachElement({ shape: grad.shape, data: new Float32Array(grad.data.length) }, (i) => {
      const to = index(present(ids, 'ids'), Math.floor(i / D), dim(table, 0)) * D + (i % D);
      table.data[to] = add(get(table, to), get(grad, i));
      return 0;
    });
  },
  rmsNorm(inputs, [out, rstd], { eps = 0 }) {
    const [x, gain] = [nth(inputs, 0), nth(inputs, 1)];
    const D = dim(x, 1);
    for (const t of range(dim(x, 0))) {
      const r = div(1, sqrt(add(div(sumLanes(row(x, t, D).map((v) => mul(v, v))), Math.fround(D)), eps)));
      present(rstd, 'rstd').data[t] = r;
      present(out, 'out').data.set(
        row(x, t, D).map((v, d) => mul(mul(v, r), get(gain, d))),
        t * D,
      );
    }
  },
  rmsNormGradX(inputs, [dx]) {
    const [dy, x, gain, rstd] = [nth(inputs, 0), nth(inputs, 1), nth(inputs, 2), nth(inputs, 3)];
    const D = dim(x, 1);
    for (const t of range(dim(x, 0))) {
      const r = get(rstd, t);
      const g = row(dy, t, D).map((v, d) => mul(v, get(gain, d)));
      const normal = row(x, t, D).map((v) => mul(v, r));
      const c = div(sumLanes(g.map((v, d) => mul(v, present(normal[d], 'normal')))), Math.fround(D));
      present(dx, 'dx').data.set(
        g.map((v, d) => mul(sub(v, mul(present(normal[d], 'normal'), c)), r)),
        t * D,
      );
    }
  },
  rmsNormGradGain,
  linear([x, w], [y]) {
    product(quantizedRows(present(x, 'x')), quantizedColumns(present(w, 'w')), present(y, 'y'));
  },
  linearGradX(inputs, [dx], attrs) {
    const [dy, w, seed] = [nth(inputs, 0), nth(inputs, 1), nth(inputs, 2)];
    product(quantizedRows(dy, gradientNoise(dy, seed, attrs, 1)), quantizedRows(w), present(dx, 'dx'));
  },
  linearGradW(inputs, [dw], attrs) {
    const [x, dy, seed] = [nth(inputs, 0), nth(inputs, 1), nth(inputs, 2)];
    product(quantizedColumns(x), quantizedColumns(dy, gradientNoise(dy, seed, attrs, 2)), present(dw, 'dw'));
  },
  linearBf16([x, w], [y]) {
    ascendingProduct(rowsOf(present(x, 'x')), columnsOf(present(w, 'w')), present(y, 'y'));
  },
  linearBf16GradX([dy, w], [dx]) {
    ascendingProduct(rowsOf(present(dy, 'dy')), rowsOf(present(w, 'w')), present(dx, 'dx'));
  },
  linearBf16GradW([x, dy], [dw]) {
    ascendingProduct(columnsOf(present(x, 'x')), columnsOf(present(dy, 'dy')), present(dw, 'dw'));
  },
  rope,
  attention,
  attentionGrad,
  attentionDecode,
  swiglu(inputs, [out]) {
    const [gate, up] = [nth(inputs, 0), nth(inputs, 1)];
    eachElement(present(out, 'out'), (i) => mul(mul(get(gate, i), sigmoid(get(gate, i))), get(up, i)));
  },
  swigluGrad(inputs, [dGate, dUp]) {
    const [dOut, gate, up] = [nth(inputs, 0), nth(inputs, 1), nth(inputs, 2)];
    eachElement(present(dUp, 'dUp'), (i) => mul(get(dOut, i), mul(get(gate, i), sigmoid(get(gate, i)))));
    eachElement(present(dGate, 'dGate'), (i) => {
      const [g, s] = [get(gate, i), sigmoid(get(gate, i))];
      return mul(mul(get(dOut, i), get(up, i)), mul(s, add(1, mul(g, sub(1, s)))));
    });
  },
  crossEntropy,
  crossEntropyGrad,
  add(inputs, [out]) {
    const [a, b] = [nth(inputs, 0), nth(inputs, 1)];
    eachElement(present(out, 'out'), (i) => add(get(a, i), get(b, i)));
  },
  scale(inputs, [out], { factor = 0 }) {
    eachElement(present(out, 'out'), (i) => mul(get(nth(inputs, 0), i), factor));
  },
  copy([a], [out]) {
    present(out, 'out').data.set(present(a, 'a').data);
  },
  zero(_, [out]) {
    present(out, 'out').data.fill(0);
  },
  gradNorm(inputs, [norm]) {
    let total = 0;
    for (const { data } of inputs) {
      const squares = [...data].map((g) => mul(g, g));
      for (let i = 0; i < squares.length; i += 4096) total = add(total, sumLanes(squares.slice(i, i + 4096)));
    }
    present(norm, 'norm').data[0] = sqrt(total);
  },
  adamW,
  cacheWrite([rows, slot, pos], [cache]) {
    const [from, to] = [present(rows, 'rows'), present(cache, 'cache')];
    const W = dim(from, 1);
    for (const r of range(dim(from, 0))) {
      const s = index(present(slot, 'slot'), r, dim(to, 0));
      to.data.set(row(from, r, W), (s * dim(to, 1) + index(present(pos, 'pos'), r, dim(to, 1))) * W);
    }
  },
};
