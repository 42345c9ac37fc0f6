// Owns random one-instruction programs with data: what the equality tests, the vectors and the campaign run.

import { present } from '../../base/check.ts';
import { type Prng, prng } from '../../base/prng.ts';
import type { Executor, RunOutcome } from '../../engine/executor.ts';
import type { Op } from '../../engine/instruction.ts';
import { type DType, ProgramBuilder, type TensorProgram } from '../../engine/program.ts';

export type Data = Readonly<Record<string, Float32Array | Int32Array>>;
export type Case = Readonly<{ op: Op; program: TensorProgram; data: Data }>;

type Draw = Readonly<{
  size(most: number): number;
  pick<T>(values: readonly T[]): T;
  floats(n: number): Float32Array;
  positive(n: number): Float32Array;
  ints(n: number, below: number): Int32Array;
}>;

/** Awkward lengths first: one, odd, around vector and panel widths. */
const SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 127, 130, 200];

function drawFrom(random: Prng): Draw {
  const unit = () => random.u32() / 2 ** 32;
  const pick = <T>(values: readonly T[]): T => present(values[random.below(values.length)], 'choice');
  /** Mixed magnitudes, exact zeros and ties among ordinary values. */
  const number = (style: number): number => {
    const x = unit() * 2 - 1;
    if (style === 0) return x;
    if (style === 1) return Math.round(x * 8) / 2;
    if (style === 2) return x * 2 ** (random.below(40) - 30);
    // Nine significant bits, the last one set: a tie for bf16 operands.
    if (style === 3) return (random.below(2) === 0 ? 1 : -1) * (257 + 2 * random.below(127)) * 2 ** -10;
    return random.below(3) === 0 ? 0 : x * 1e-3;
  };
  return {
    size: (most) => pick(SIZES.filter((size) => size <= most)),
    pick,
    floats(n) {
      const style = random.below(5);
      return Float32Array.from({ length: n }, () => number(style));
    },
    positive: (n) => Float32Array.from({ length: n }, () => unit() + 0.01),
    ints: (n, below) => Int32Array.from({ length: n }, () => random.below(below)),
  };
}

/** A builder that gathers data beside the tensors. Operands that must be the same tensor are state. */
class CaseBuilder {
  readonly builder = new ProgramBuilder();
  readonly data: Record<string, Float32Array | Int32Array> = {};

  given(name: string, shape: readonly number[], values: Float32Array | Int32Array, state = false): number {
    const dtype: DType = values instanceof Float32Array ? 'f32' : 'i32';
    this.data[name] = values;
    return this.builder.tensor(name, dtype, shape, state ? 'state' : 'input');
  }
  out(name: string, shape: readonly number[]): number {
    return this.builder.tensor(name, 'f32', shape, 'output');
  }
  make(op: Op, inputs: readonly number[], outputs: readonly number[], attrs: Record<string, number> = {}): Case {
    this.builder.emit(op, inputs, outputs, attrs);
    return { op, program: this.builder.finish(op), data: this.data };
  }
}

type Maker = (d: Draw, c: CaseBuilder) => Case;

function elementwise(op: Op, names: readonly string[], outputs: readonly string[]): Maker {
  return (d, c) => {
    const shape = d.pick([[d.size(200)], [d.size(33), d.size(65)], [2, d.size(9), d.size(17)]]);
    const n = shape.reduce((a, b) => a * b, 1);
    const inputs = names.map((name) => c.given(name, shape, d.floats(n)));
    const attrs = op === 'scale' ? { factor: Math.fround(d.pick([1, -2.5, 1 / 3, 1e-20])) } : {};
    return c.make(
      op,
      inputs,
      outputs.map((name) => c.out(name, shape)),
      attrs,
    );
  };
}

function linearCase(op: Op): Maker {
  return (d, c) => {
    const [T, K, N] = [d.size(130), d.size(130), d.size(130)];
    const tensorId = d.pick([0, 1, 77, -5, 2 ** 31 - 1]);
    if (op === 'linear') {
      const inputs = [c.given('x', [T, K], d.floats(T * K)), c.given('w', [K, N], d.floats(K * N))];
      return c.make(op, inputs, [c.out('y', [T, N])]);
    }
    const dy = c.given('dy', [T, N], d.floats(T * N));
    const seed = c.given('seed', [2], d.ints(2, 2 ** 31));
    if (op === 'linearGradX') {
      return c.make(op, [dy, c.given('w', [K, N], d.floats(K * N)), seed], [c.out('dx', [T, K])], { tensorId });
    }
    return c.make(op, [c.given('x', [T, K], d.floats(T * K)), dy, seed], [c.out('dw', [K, N])], { tensorId });
  };
}

/** Depths beyond one pass of the kernels among them. */
function bf16Case(op: Op): Maker {
  return (d, c) => {
    const [t, k, n] = [d.size(130), d.size(130), d.size(130)];
    // No vector is so large, so vectors drawn anew stay what they are.
    const more = d.pick([false, false, true]) ? (t * k * n > 1000 ? 520 : 130) : 0;
    const [T, K, N] = [
      op === 'linearBf16GradW' ? t + more : t,
      op === 'linearBf16' ? k + more : k,
      op === 'linearBf16GradX' ? n + more : n,
    ];
    const x = () => c.given('x', [T, K], d.floats(T * K));
    const w = () => c.given('w', [K, N], d.floats(K * N));
    const dy = () => c.given('dy', [T, N], d.floats(T * N));
    if (op === 'linearBf16') return c.make(op, [x(), w()], [c.out('y', [T, N])]);
    if (op === 'linearBf16GradX') return c.make(op, [dy(), w()], [c.out('dx', [T, K])]);
    return c.make(op, [x(), dy()], [c.out('dw', [K, N])]);
  };
}

function heads(d: Draw): Readonly<{ heads: number; kvHeads: number; width: number }> {
  const kvHeads = d.pick([1, 2, 3]);
  return { kvHeads, heads: kvHeads * d.pick([1, 2, 3]), width: d.pick([2, 4, 6, 8, 16, 22, 32, 64]) };
}

/** Sequences beyond several blocks of the kernels among them; no vector is so large, as in bf16Case. */
function sequences(d: Draw, most: number, row: number): readonly [batch: number, seq: number] {
  const [batch, seq] = [d.pick([1, 2, 3]), d.size(most)];
  return [batch, seq + (batch === 1 && row <= 64 && seq * row > 1000 ? 257 : 0)];
}

const attention: Maker = (d, c) => {
  const { heads: H, kvHeads, width } = heads(d);
  const [batch, seq] = sequences(d, 65, H * width);
  const T = batch * seq;
  const inputs = [
    c.given('q', [T, H * width], d.floats(T * H * width)),
    c.given('k', [T, kvHeads * width], d.floats(T * kvHeads * width)),
    c.given('v', [T, kvHeads * width], d.floats(T * kvHeads * width)),
  ];
  const outputs = [c.out('out', [T, H * width]), c.out('stats', [T, 2 * H])];
  return c.make('attention', inputs, outputs, { batch, seq, heads: H, kvHeads });
};

const attentionGrad: Maker = (d, c) => {
  const { heads: H, kvHeads, width } = heads(d);
  const [batch, seq] = sequences(d, 48, H * width);
  const T = batch * seq;
  const q = (name: string) => c.given(name, [T, H * width], d.floats(T * H * width));
  const k = (name: string) => c.given(name, [T, kvHeads * width], d.floats(T * kvHeads * width));
  const inputs = [q('dOut'), q('q'), k('k'), k('v'), q('out'), c.given('stats', [T, 2 * H], d.positive(T * 2 * H))];
  const outputs = [c.out('dq', [T, H * width]), c.out('dk', [T, kvHeads * width]), c.out('dv', [T, kvHeads * width])];
  return c.make('attentionGrad', inputs, outputs, { batch, seq, heads: H, kvHeads });
};

const attentionDecode: Maker = (d, c) => {
  const { heads: H, kvHeads, width } = heads(d);
  const [R, slots, P] = [d.size(9), d.size(5), d.size(65)];
  const cache = (name: string) =>
    c.given(name, [slots, P, kvHeads * width], d.floats(slots * P * kvHeads * width), true);
  const inputs = [c.given('q', [R, H * width], d.floats(R * H * width)), cache('kCache'), cache('vCache')];
  inputs.push(c.given('slot', [R], d.ints(R, slots)), c.given('pos', [R], d.ints(R, P)));
  return c.make('attentionDecode', inputs, [c.out('out', [R, H * width])], { heads: H, kvHeads });
};

function targets(d: Draw, T: number, V: number): Int32Array {
  return d.ints(T, V).map((id, i) => (i % 5 === 4 ? -1 : id));
}

const MAKERS: Readonly<Record<Op, Maker>> = {
  embed(d, c) {
    const [V, D, T] = [d.size(65), d.size(65), d.size(65)];
    const inputs = [c.given('table', [V, D], d.floats(V * D)), c.given('ids', [T], d.ints(T, V))];
    return c.make('embed', inputs, [c.out('out', [T, D])]);
  },
  embedGrad(d, c) {
    const [V, D, T] = [d.size(65), d.size(65), d.size(130)];
    const inputs = [c.given('dOut', [T, D], d.floats(T * D)), c.given('ids', [T], d.ints(T, V))];
    return c.make('embedGrad', inputs, [c.out('dTable', [V, D])]);
  },
  rmsNorm(d, c) {
    const [T, D] = [d.size(65), d.size(200)];
    const inputs = [c.given('x', [T, D], d.floats(T * D)), c.given('gain', [D], d.floats(D))];
    return c.make('rmsNorm', inputs, [c.out('out', [T, D]), c.out('rstd', [T])], { eps: 1e-5 });
  },
  rmsNormGradX(d, c) {
    const [T, D] = [d.size(65), d.size(200)];
    const inputs = [c.given('dOut', [T, D], d.floats(T * D)), c.given('x', [T, D], d.floats(T * D))];
    inputs.push(c.given('gain', [D], d.floats(D)), c.given('rstd', [T], d.positive(T)));
    return c.make('rmsNormGradX', inputs, [c.out('dx', [T, D])]);
  },
  rmsNormGradGain(d, c) {
    const [T, D] = [d.size(200), d.size(65)];
    const inputs = [c.given('dOut', [T, D], d.floats(T * D)), c.given('x', [T, D], d.floats(T * D))];
    inputs.push(c.given('rstd', [T], d.positive(T)));
    return c.make('rmsNormGradGain', inputs, [c.out('dGain', [D])]);
  },
  linear: linearCase('linear'),
  linearGradX: linearCase('linearGradX'),
  linearGradW: linearCase('linearGradW'),
  linearBf16: bf16Case('linearBf16'),
  linearBf16GradX: bf16Case('linearBf16GradX'),
  linearBf16GradW: bf16Case('linearBf16GradW'),
  rope(d, c) {
    const { heads: H, width } = heads(d);
    const [T, P] = [d.size(33), d.size(33)];
    const inputs = [
      c.given('x', [T, H * width], d.floats(T * H * width)),
      c.given('table', [P, width], d.floats(P * width)),
    ];
    inputs.push(c.given('pos', [T], d.ints(T, P)));
    return c.make('rope', inputs, [c.out('out', [T, H * width])], { heads: H, inverse: d.pick([0, 1]) });
  },
  attention,
  attentionGrad,
  attentionDecode,
  swiglu: elementwise('swiglu', ['gate', 'up'], ['out']),
  swigluGrad: elementwise('swigluGrad', ['dOut', 'gate', 'up'], ['dGate', 'dUp']),
  crossEntropy(d, c) {
    const [T, V] = [d.size(65), d.size(200)];
    const inputs = [
      c.given(
        'logits',
        [T, V],
        d.floats(T * V).map((x) => 8 * x),
      ),
      c.given('targets', [T], targets(d, T, V)),
    ];
    return c.make('crossEntropy', inputs, [c.out('loss', [1]), c.out('tokenLoss', [T]), c.out('stats', [T, 2])]);
  },
  crossEntropyGrad(d, c) {
    const [T, V] = [d.size(65), d.size(200)];
    const inputs = [c.given('logits', [T, V], d.floats(T * V)), c.given('targets', [T], targets(d, T, V))];
    inputs.push(c.given('stats', [T, 2], d.positive(2 * T)));
    return c.make('crossEntropyGrad', inputs, [c.out('dLogits', [T, V])]);
  },
  add: elementwise('add', ['a', 'b'], ['out']),
  scale: elementwise('scale', ['a'], ['out']),
  copy: elementwise('copy', ['a'], ['out']),
  zero: elementwise('zero', [], ['out']),
  gradNorm(d, c) {
    const inputs = Array.from({ length: d.pick([1, 2, 5]) }, (_, i) => {
      const n = d.pick([1, 15, 17, 4095, 4096, 4097, 9001]);
      return c.given(`g${i}`, [n], d.floats(n));
    });
    return c.make('gradNorm', inputs, [c.out('norm', [1])]);
  },
  adamW(d, c) {
    const n = d.pick([1, 15, 17, 200, 2049, 4097]);
    const inputs = [c.given('p', [n], d.floats(n), true), c.given('m', [n], d.floats(n), true)];
    inputs.push(
      c.given('v', [n], d.positive(n), true),
      c.given('g', [n], d.floats(n)),
      c.given('norm', [1], d.positive(1)),
    );
    const clip = d.pick([0, 0.5, 100]);
    inputs.push(c.given('hyper', [8], Float32Array.of(1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, clip)));
    return c.make('adamW', inputs, inputs.slice(0, 3), { decay: d.pick([0, 1]) });
  },
  cacheWrite(d, c) {
    const [R, W, slots, P] = [d.size(9), d.size(65), d.size(5), d.size(9)];
    const inputs = [c.given('rows', [R, W], d.floats(R * W)), c.given('slot', [R], d.ints(R, slots))];
    inputs.push(c.given('pos', [R], d.ints(R, P)), c.given('cache', [slots, P, W], d.floats(slots * P * W), true));
    return c.make('cacheWrite', inputs, inputs.slice(3));
  },
};

/**
 * A case beside the drawn ones, of what those hold too rarely: one exponential in ninety changes when the last step of its
 * polynomial is fused, so 600 of them, in the instruction that shows each.
 */
export function chosenCase(op: Op): Case | null {
  if (op !== 'crossEntropyGrad') return null;
  const [T, V] = [3, 200];
  const random = prng('vector exponentials');
  const c = new CaseBuilder();
  const logits = Float32Array.from({ length: T * V }, () => (random.u32() / 2 ** 32) * 8 - 4);
  const inputs = [c.given('logits', [T, V], logits), c.given('targets', [T], Int32Array.of(7, -1, 199))];
  inputs.push(
    c.given(
      'stats',
      [T, 2],
      Float32Array.from({ length: 2 * T }, (_, i) => (i % 2 === 0 ? 4 : 0.015625)),
    ),
  );
  return c.make(op, inputs, [c.out('dLogits', [T, V])]);
}

/** The case of an instruction that a seed fixes. */
export function caseOf(op: Op, seed: string): Case {
  return MAKERS[op](drawFrom(prng(`${op} ${seed}`)), new CaseBuilder());
}

export type Ran = Readonly<{ outcome: RunOutcome; outputs: Readonly<Record<string, Uint8Array>> }>;

/** Runs a case and copies every tensor it wrote. */
export function runCase(executor: Executor, { program, data }: Case): Ran {
  const loaded = executor.load(program);
  for (const [name, values] of Object.entries(data)) loaded.view(name).set(values);
  const outcome = loaded.run();
  const written = new Set(program.instructions.flatMap(({ outputs }) => outputs));
  const outputs: Record<string, Uint8Array> = {};
  for (const { id, name, role } of program.tensors) {
    if (!written.has(id) || role === 'temp') continue;
    const view = loaded.view(name);
    outputs[name] = new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice();
  }
  loaded.close();
  return { outcome, outputs };
}

/** The first difference between two runs in words, or null. */
export function difference(a: Ran, b: Ran): string | null {
  // Of several faults in one instruction any may be named (kernel-spec.md F2); the instruction must be the same.
  const where = ({ outcome }: Ran) => (outcome.ok ? 'ok' : `refused at ${outcome.instruction} (${outcome.op})`);
  const [left, right] = [where(a), where(b)];
  if (left !== right) return `outcomes ${left} and ${right}`;
  if (!a.outcome.ok) return null;
  for (const [name, bytes] of Object.entries(a.outputs)) {
    const other = present(b.outputs[name], name);
    const at = bytes.findIndex((byte, i) => byte !== other[i]);
    if (at < 0) continue;
    const element = Math.floor(at / 4);
    const value = (run: Uint8Array) => new DataView(run.buffer, run.byteOffset).getFloat32(4 * element, true);
    return `${name}[${element}]: ${value(bytes)} and ${value(other)}`;
  }
  return null;
}
