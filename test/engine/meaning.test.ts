// What instructions mean, held against plain double arithmetic: gradients by finite differences, softmax, prefill and decode.

import test from 'ava';
import { present } from '../../base/check.ts';
import { prng } from '../../base/prng.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import type { Op } from '../../engine/instruction.ts';
import { ProgramBuilder } from '../../engine/program.ts';
import { ropeTable } from '../../engine/rope-table.ts';
import { expFixed, logFixed } from '../../engine/scalar-math.ts';

const executor: Executor = await createExecutor({ backend: 'wasm' });
test.after.always(() => executor.close());

const random = prng('meaning');
const uniform = (n: number): number[] => Array.from({ length: n }, () => random.u32() / 2 ** 31 - 1);

function each<T>(list: readonly T[], check: (value: T, i: number) => void): void {
  for (const [i, value] of list.entries()) check(value, i);
}

type Spec = Readonly<{ shape: readonly number[]; data: readonly number[]; int?: boolean }>;

/** Runs one instruction on plain numbers and answers its outputs. */
function apply(op: Op, inputs: readonly Spec[], outputs: readonly (readonly number[])[], attrs = {}): number[][] {
  const b = new ProgramBuilder();
  const ins = inputs.map(({ shape, int }, i) => b.tensor(`i${i}`, int === true ? 'i32' : 'f32', shape, 'input'));
  const outs = outputs.map((shape, i) => b.tensor(`o${i}`, 'f32', shape, 'output'));
  b.emit(op, ins, outs, attrs);
  const loaded = executor.load(b.finish(op));
  for (const [i, { data }] of inputs.entries()) loaded.view(`i${i}`).set(data);
  const outcome = loaded.run();
  const values = outs.map((_, i) => [...loaded.view(`o${i}`)]);
  loaded.close();
  if (!outcome.ok) throw new Error(`${op}: ${outcome.reason}`);
  return values;
}

/** Derivative of a double function of one list by central differences. */
function slope(f: (x: readonly number[]) => number, x: readonly number[], i: number, h = 1e-5): number {
  const at = (d: number) => f(x.map((value, j) => (j === i ? value + d : value)));
  return (at(h) - at(-h)) / (2 * h);
}

function near(a: number, b: number, tolerance: number): boolean {
  return Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a), Math.abs(b));
}

/** e^x in doubles by its series at x / 1024: good to 1e-12 here. */
function exp(x: number): number {
  let [term, sum] = [1, 1];
  for (let k = 1; k < 20; k++) {
    term = (term * (x / 1024)) / k;
    sum += term;
  }
  for (let i = 0; i < 10; i++) sum *= sum;
  return sum;
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

test('the fixed exponential and logarithm are right to 2 parts in 10 million', (t) => {
  for (const x of uniform(500).map((u) => 40 * u)) {
    t.true(near(expFixed(Math.fround(x)) / exp(Math.fround(x)), 1, 2e-7), `exp ${x}`);
  }
  for (const x of uniform(500).map((u) => 9 * u)) {
    t.true(near(logFixed(Math.fround(exp(x))), x, 2e-7), `log of exp ${x}`);
  }
});

test('rmsNormGradX and rmsNormGradGain are the derivatives of rmsNorm', (t) => {
  const [T, D] = [3, 7];
  const [x, gain, dy] = [uniform(T * D), uniform(D), uniform(T * D)];
  const f = (xs: readonly number[], gains: readonly number[]) => {
    let sum = 0;
    for (let r = 0; r < T; r++) {
      const row = xs.slice(r * D, r * D + D);
      const rstd = 1 / Math.sqrt(dot(row, row) / D + 1e-5);
      for (let d = 0; d < D; d++) sum += (row[d] ?? 0) * rstd * (gains[d] ?? 0) * (dy[r * D + d] ?? 0);
    }
    return sum;
  };
  const X = { shape: [T, D], data: x };
  const [, rstd = []] = apply('rmsNorm', [X, { shape: [D], data: gain }], [[T, D], [T]], { eps: 1e-5 });
  const DY = { shape: [T, D], data: dy };
  const [dx = []] = apply('rmsNormGradX', [DY, X, { shape: [D], data: gain }, { shape: [T], data: rstd }], [[T, D]]);
  const [dGain = []] = apply('rmsNormGradGain', [DY, X, { shape: [T], data: rstd }], [[D]]);
  each(dx, (g, i) =>
    t.true(
      near(
        g,
        slope((v) => f(v, gain), x, i),
        1e-4,
      ),
      `dx ${i}`,
    ),
  );
  each(dGain, (g, i) =>
    t.true(
      near(
        g,
        slope((v) => f(x, v), gain, i),
        1e-4,
      ),
      `dGain ${i}`,
    ),
  );
});

test('swigluGrad is the derivative of swiglu', (t) => {
  const n = 9;
  const [gate, up, dy] = [uniform(n).map((g) => 4 * g), uniform(n), uniform(n)];
  const f = (g: readonly number[], u: readonly number[]) =>
    g.reduce((sum, x, i) => sum + (x / (1 + exp(-x))) * (u[i] ?? 0) * (dy[i] ?? 0), 0);
  const spec = (data: readonly number[]) => ({ shape: [n], data });
  const [dGate = [], dUp = []] = apply('swigluGrad', [spec(dy), spec(gate), spec(up)], [[n], [n]]);
  each(dGate, (g, i) =>
    t.true(
      near(
        g,
        slope((v) => f(v, up), gate, i),
        1e-4,
      ),
      `dGate ${i}`,
    ),
  );
  each(dUp, (g, i) =>
    t.true(
      near(
        g,
        slope((v) => f(gate, v), up, i),
        1e-4,
      ),
      `dUp ${i}`,
    ),
  );
});

test('crossEntropyGrad is the derivative of the mean loss, and ignored rows have none', (t) => {
  const [T, V] = [4, 6];
  const logits = uniform(T * V).map((x) => 3 * x);
  const targets = [2, -1, 5, 0];
  const L = { shape: [T, V], data: logits };
  const G = { shape: [T], data: targets, int: true };
  const [loss = [], tokenLoss = [], stats = []] = apply('crossEntropy', [L, G], [[1], [T], [T, 2]]);
  const [grad = []] = apply('crossEntropyGrad', [L, G, { shape: [T, 2], data: stats }], [[T, V]]);
  t.true(near(present(loss[0], 'loss'), tokenLoss.reduce((a, b) => a + b) / 3, 1e-6));
  t.is(tokenLoss[1], 0);
  for (let r = 0; r < T; r++) {
    const row = logits.slice(r * V, r * V + V);
    const sum = row.reduce((total, x) => total + exp(x), 0);
    each(row, (x, v) => {
      const wanted = targets[r] === -1 ? 0 : (exp(x) / sum - (v === targets[r] ? 1 : 0)) / 3;
      t.true(near(present(grad[r * V + v], 'grad'), wanted, 1e-6));
    });
  }
});

test('linear and its gradients stay within the error of eight bits', (t) => {
  const [T, K, N] = [24, 32, 20];
  const [x, w, dy] = [uniform(T * K), uniform(K * N), uniform(T * N)];
  const seed = { shape: [2], data: [1, 2], int: true };
  const [X, W, DY] = [
    { shape: [T, K], data: x },
    { shape: [K, N], data: w },
    { shape: [T, N], data: dy },
  ];
  const [y = []] = apply('linear', [X, W], [[T, N]]);
  const [dx = []] = apply('linearGradX', [DY, W, seed], [[T, K]], { tensorId: 1 });
  const [dw = []] = apply('linearGradW', [X, DY, seed], [[K, N]], { tensorId: 1 });
  const at = (m: readonly number[], width: number, r: number, c: number) => present(m[r * width + c], 'element');
  const close = (
    got: readonly number[],
    rows: number,
    columns: number,
    depth: number,
    f: (r: number, c: number, k: number) => number,
  ) => {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        let exact = 0;
        for (let k = 0; k < depth; k++) exact += f(r, c, k);
        t.true(Math.abs(at(got, columns, r, c) - exact) < 0.03 * Math.sqrt(depth), `${r},${c}`);
      }
    }
  };
  close(y, T, N, K, (r, c, k) => at(x, K, r, k) * at(w, N, k, c));
  close(dx, T, K, N, (r, c, k) => at(dy, N, r, k) * at(w, N, c, k));
  close(dw, K, N, T, (r, c, k) => at(x, K, k, r) * at(dy, N, k, c));
});

test('stochastic rounding is unbiased over seeds, and seed and tensor change it', (t) => {
  const x = { shape: [1, 2], data: [127, 10.25] };
  const w = { shape: [1, 2], data: [0, 1] };
  const run = (a: number, b: number, tensorId: number) =>
    present(
      apply('linearGradX', [x, w, { shape: [2], data: [a, b], int: true }], [[1, 1]], { tensorId })[0]?.[0],
      'dx',
    );
  const values = Array.from({ length: 400 }, (_, i) => run(i, 0, 7));
  t.deepEqual([...new Set(values.map(Math.round))].sort(), [10, 11]);
  const mean = values.reduce((a, b) => a + b) / values.length;
  t.true(Math.abs(mean - 10.25) < 0.07, `mean ${mean}`);
  const pattern = (b: number, tensorId: number) =>
    Array.from({ length: 64 }, (_, i) => Math.round(run(i, b, tensorId))).join();
  t.is(pattern(0, 7), pattern(0, 7));
  t.not(pattern(0, 7), pattern(1, 7));
  t.not(pattern(0, 7), pattern(0, 8));
});

test('attention and its gradients agree with plain softmax attention within the error of bf16', (t) => {
  const [S, width] = [5, 4];
  const bf = (n: number) => uniform(n).map((x) => Math.round(x * 64) / 64);
  const [q, k, v, dy] = [bf(S * width), bf(S * width), bf(S * width), bf(S * width)];
  const row = (m: readonly number[], r: number) => m.slice(r * width, r * width + width);
  const f = (Q: readonly number[], K: readonly number[], V: readonly number[]) => {
    let sum = 0;
    for (let i = 0; i < S; i++) {
      const weights = Array.from({ length: i + 1 }, (_, j) => exp(dot(row(Q, i), row(K, j)) / Math.sqrt(width)));
      const total = weights.reduce((a, b) => a + b);
      each(weights, (e, j) => {
        sum += (e / total) * dot(row(V, j), row(dy, i));
      });
    }
    return sum;
  };
  const spec = (data: readonly number[]) => ({ shape: [S, width], data });
  const attrs = { batch: 1, seq: S, heads: 1, kvHeads: 1 };
  const [out = [], stats = []] = apply(
    'attention',
    [spec(q), spec(k), spec(v)],
    [
      [S, width],
      [S, 2],
    ],
    attrs,
  );
  t.true(near(dot(out, dy), f(q, k, v), 0.01));
  const ins = [spec(dy), spec(q), spec(k), spec(v), spec(out), { shape: [S, 2], data: stats }];
  const [dq = [], dk = [], dv = []] = apply(
    'attentionGrad',
    ins,
    [
      [S, width],
      [S, width],
      [S, width],
    ],
    attrs,
  );
  each(dq, (g, i) =>
    t.true(
      near(
        g,
        slope((x) => f(x, k, v), q, i),
        0.02,
      ),
      `dq ${i}: ${g}`,
    ),
  );
  each(dk, (g, i) =>
    t.true(
      near(
        g,
        slope((x) => f(q, x, v), k, i),
        0.02,
      ),
      `dk ${i}: ${g}`,
    ),
  );
  each(dv, (g, i) =>
    t.true(
      near(
        g,
        slope((x) => f(q, k, x), v, i),
        0.02,
      ),
      `dv ${i}: ${g}`,
    ),
  );
});

test('a position decoded against a cache has the bits of the same position in a whole sequence', (t) => {
  const [S, heads, kvHeads, width] = [37, 4, 2, 16];
  const [Q, C] = [heads * width, kvHeads * width];
  const [q, k, v] = [uniform(S * Q), uniform(S * C), uniform(S * C)];
  const attrs = { batch: 1, seq: S, heads, kvHeads };
  const inputs = [
    { shape: [S, Q], data: q },
    { shape: [S, C], data: k },
    { shape: [S, C], data: v },
  ];
  const [whole = []] = apply(
    'attention',
    inputs,
    [
      [S, Q],
      [S, 2 * heads],
    ],
    attrs,
  );
  const cache = (data: readonly number[]) => ({ shape: [2, 40, C], data: [...new Array(40 * C).fill(0.5), ...data] });
  // Rows in any order and company: positions descending, all in one call.
  const order = Array.from({ length: S }, (_, i) => S - 1 - i);
  const rows = order.flatMap((p) => q.slice(p * Q, p * Q + Q));
  const ints = (data: readonly number[]) => ({ shape: [S], data, int: true });
  const decodeIn = [{ shape: [S, Q], data: rows }, cache(k), cache(v), ints(order.map(() => 1)), ints(order)];
  const [decoded = []] = apply('attentionDecode', decodeIn, [[S, Q]], { heads, kvHeads });
  each(order, (p, r) => t.deepEqual(decoded.slice(r * Q, r * Q + Q), whole.slice(p * Q, p * Q + Q), `position ${p}`));
});

test('rope and its inverse cancel, and turn by position times frequency', (t) => {
  const [T, heads, width] = [9, 2, 8];
  const x = uniform(T * heads * width);
  const inputs = (data: readonly number[]) => [
    { shape: [T, heads * width], data },
    { shape: [64, width], data: [...ropeTable(64, width)] },
    { shape: [T], data: Array.from({ length: T }, (_, i) => 7 * i), int: true },
  ];
  const [turned = []] = apply('rope', inputs(x), [[T, heads * width]], { heads, inverse: 0 });
  const [back = []] = apply('rope', inputs(turned), [[T, heads * width]], { heads, inverse: 1 });
  t.deepEqual(turned.slice(0, heads * width), x.slice(0, heads * width).map(Math.fround), 'position 0 stays');
  each(back, (value, i) => t.true(near(value, x[i] ?? 0, 1e-6)));
});

test('programs of one executor may share their state', (t) => {
  const build = (rows: number) => {
    const b = new ProgramBuilder();
    const w = b.tensor('w', 'f32', [4, 4], 'state');
    const x = b.tensor('x', 'f32', [rows, 4], 'input');
    b.emit('linear', [x, w], [b.tensor('y', 'f32', [rows, 4], 'output')]);
    return b.finish(`rows-${rows}`);
  };
  const one = executor.load(build(1));
  const two = executor.load(build(2), { shareState: one });
  one.view('w').fill(1);
  two.view('x').fill(1);
  t.deepEqual(two.run(), { ok: true });
  t.deepEqual([...two.view('y')], new Array(8).fill(4));
  t.deepEqual(one.stateBytes(), two.stateBytes());
  one.close();
  const other = executor.load(build(3));
  other.view('w').fill(9);
  t.is(two.view('w')[0], 1, 'state lives as long as one program that shares it');
});

test('closed programs and executors refuse to run', async (t) => {
  const b = new ProgramBuilder();
  b.emit('zero', [], [b.tensor('x', 'f32', [4], 'output')]);
  const program = b.finish('zero');
  for (const backend of ['wasm', 'auto'] as const) {
    const short = await createExecutor({ backend, threads: 2 });
    const [one, two] = [short.load(program), short.load(program)];
    one.close();
    t.throws(() => one.run(), { message: /closed/ });
    t.deepEqual(two.run(), { ok: true });
    await short.close();
    await short.close();
    t.throws(() => two.run(), { message: /closed/ });
  }
});

test('an arena that cannot be had is refused by size', (t) => {
  const b = new ProgramBuilder();
  b.emit('zero', [], [b.tensor('x', 'f32', [2 ** 15, 2 ** 15], 'output')]);
  t.throws(() => executor.load(b.finish('large')), { message: /wasm memory of \d+ bytes cannot be had/ });
});
