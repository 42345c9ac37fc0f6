// Owns which kernels an instruction becomes, with what grid and words. The kernels are the .cu files beside it; their
// operands stand in comments there.

import { present } from '../../base/check.ts';
import { type Instruction, OPS } from '../instruction.ts';
import { reference, scratchReference } from '../lower.ts';
import { packedBytes } from '../memory-plan.ts';
import { type TensorProgram, elementCount } from '../program.ts';

/** `offset` is where the launch's words begin, `at` the instruction it belongs to. */
export type Launch = Readonly<{ kernel: string; grid: number; block: number; at: number; offset: number }>;
export type Launches = Readonly<{ list: readonly Launch[]; words: Int32Array<ArrayBuffer> }>;

const ELEMENTS_PER_BLOCK = 256;
/** Of kernel.cuh: sixteen threads a row, eight rows a block. */
const [ROW_THREADS, ROWS_PER_BLOCK] = [16, 8];
const PACK_THREADS = 128;
const TILE = 64;
const BF16_TILE = 32;
const ATTENTION_THREADS = 128;
const SUM_CHUNK = 4096;

const FLOAT = new DataView(new ArrayBuffer(4));
function floatBits(value: number): number {
  FLOAT.setFloat32(0, value);
  return FLOAT.getInt32(0);
}
const blocks = (n: number, each: number): number => Math.ceil(n / each);
const padded = (n: number): number => blocks(n, TILE) * TILE;

/** One launch over elements or rows: kernel, how many, words. */
type Plain = readonly [shape: 'elements' | 'rows', kernel: string, n: number, operands: readonly number[]];

/** All launches of a program, in order. */
export function launchesOf(program: TensorProgram): Launches {
  const list: Launch[] = [];
  const words: number[] = [];
  const checked = new Set<number>();
  for (const [at, instruction] of program.instructions.entries()) {
    const writer = new Writer(program, at, list, words);
    for (const id of instruction.inputs) {
      if (program.tensors[id]?.dtype !== 'f32' || checked.has(id) || OPS[instruction.op].seesNonFinite) continue;
      writer.elements('k_check', writer.count(id), [writer.ref(id), writer.count(id)]);
    }
    writer.write(instruction);
    for (const id of instruction.outputs) checked.add(id);
  }
  return { list, words: Int32Array.from(words) };
}

/** Writes the launches of one instruction. */
class Writer {
  readonly #program: TensorProgram;
  readonly #at: number;
  readonly #list: Launch[];
  readonly #words: number[];

  constructor(program: TensorProgram, at: number, list: Launch[], words: number[]) {
    this.#program = program;
    this.#at = at;
    this.#list = list;
    this.#words = words;
  }

  #tensor(id: number | undefined) {
    return present(this.#program.tensors[id ?? -1], 'operand');
  }
  ref(id: number | undefined): number {
    return reference(this.#program, this.#tensor(id));
  }
  count(id: number | undefined): number {
    return elementCount(this.#tensor(id).shape);
  }
  dim(id: number | undefined, axis: number): number {
    return present(this.#tensor(id).shape[axis], 'dimension');
  }
  launch(kernel: string, grid: number, block: number, operands: readonly number[]): void {
    this.#list.push({ kernel, grid, block, at: this.#at, offset: this.#words.length });
    this.#words.push(...operands);
  }
  /** A thread an element. */
  elements(kernel: string, n: number, operands: readonly number[]): void {
    this.launch(kernel, blocks(n, ELEMENTS_PER_BLOCK), ELEMENTS_PER_BLOCK, operands);
  }
  /** Sixteen threads a row. */
  rows(kernel: string, n: number, operands: readonly number[]): void {
    this.launch(kernel, blocks(n, ROWS_PER_BLOCK), ROW_THREADS * ROWS_PER_BLOCK, operands);
  }

  /** Lines are rows of `src` [rows, depth]; salt 0 rounds to nearest, else `seed` and `tensorId` key the noise. */
  #packRows(src: number, to: number, [rows, depth]: readonly [number, number], noise: readonly number[]): void {
    this.launch('k_pack_rows', padded(rows), PACK_THREADS, [src, to, rows, depth, ...noise]);
  }
  /** Lines are columns of `src` [depth, columns]. */
  #packColumns(src: number, to: number, [depth, columns]: readonly [number, number], noise: readonly number[]): void {
    this.launch('k_column_scales', padded(columns) / 32, ELEMENTS_PER_BLOCK, [src, to, depth, columns]);
    this.elements('k_pack_columns', (padded(columns) * padded(depth)) / 4, [src, to, depth, columns, ...noise]);
  }
  #product(left: number, right: number, out: number, rows: number, depth: number, columns: number): void {
    const grid = blocks(rows, TILE) * blocks(columns, TILE);
    this.launch('k_product', grid, 128, [left, right, out, rows, depth, columns]);
  }
  #scratch(bytes: number): number {
    return scratchReference(this.#program, bytes);
  }

  write(instruction: Instruction): void {
    if (instruction.op.startsWith('linearBf16')) this.#linearBf16(instruction);
    else if (instruction.op.startsWith('linear')) this.#linear(instruction);
    else if (instruction.op.startsWith('attention')) this.#attention(instruction);
    else if (instruction.op.startsWith('crossEntropy')) this.#crossEntropy(instruction);
    else if (instruction.op === 'gradNorm') this.#gradNorm(instruction);
    else {
      const [shape, kernel, n, operands] = this.#plain(instruction);
      this[shape](kernel, n, operands);
    }
  }

  #linear({ op, inputs, outputs, attrs }: Instruction): void {
    const [a, b] = inputs;
    const [left, right, out] = [this.ref(a), this.ref(b), this.ref(outputs[0])];
    const nearest = [0, 0, 0];
    const noise = (salt: number) => [this.ref(inputs[2]), attrs.tensorId ?? 0, salt];
    const first = this.#scratch(0);
    if (op === 'linear') {
      const [t, k, n] = [this.dim(a, 0), this.dim(a, 1), this.dim(b, 1)];
      const second = this.#scratch(packedBytes(t, k));
      this.#packRows(left, first, [t, k], nearest);
      this.#packColumns(right, second, [k, n], nearest);
      this.#product(first, second, out, t, k, n);
    } else if (op === 'linearGradX') {
      const [t, n, k] = [this.dim(a, 0), this.dim(a, 1), this.dim(b, 0)];
      const second = this.#scratch(packedBytes(t, n));
      this.#packRows(left, first, [t, n], noise(1));
      this.#packRows(right, second, [k, n], nearest);
      this.#product(first, second, out, t, n, k);
    } else {
      const [t, k, n] = [this.dim(a, 0), this.dim(a, 1), this.dim(b, 1)];
      const second = this.#scratch(packedBytes(k, t));
      this.#packColumns(left, first, [t, k], nearest);
      this.#packColumns(right, second, [t, n], noise(2));
      this.#product(first, second, out, k, t, n);
    }
  }

  /** Profile bf16x: operands are read where they lie, by strides. */
  #linearBf16({ op, inputs, outputs }: Instruction): void {
    const [a, b] = inputs;
    const [t, k] = [this.dim(a, 0), this.dim(a, 1)];
    const [first, second] = [this.dim(b, 0), this.dim(b, 1)];
    const shapes: Readonly<Record<string, readonly number[]>> = {
      // Rows, depth, columns; strides of the left's rows and depth, of the right's depth and columns.
      linearBf16: [t, k, second, k, 1, second, 1],
      linearBf16GradX: [t, k, first, k, 1, 1, second],
      linearBf16GradW: [k, t, second, 1, k, second, 1],
    };
    const shape = present(shapes[op], op);
    const grid = blocks(shape[0] ?? 0, BF16_TILE) * blocks(shape[2] ?? 0, BF16_TILE);
    const operands = [this.ref(a), this.ref(b), this.ref(outputs[0]), ...shape];
    this.launch('k_product_bf16', grid, ELEMENTS_PER_BLOCK, operands);
  }

  #attention({ op, inputs, outputs, attrs }: Instruction): void {
    const [ins, outs] = [inputs.map((id) => this.ref(id)), outputs.map((id) => this.ref(id))];
    const { batch = 0, seq = 0, heads = 1, kvHeads = 1 } = attrs;
    const width = this.dim(inputs[0], 1) / heads;
    if (op === 'attentionDecode') {
      const [rows, slots, positions] = [this.dim(inputs[0], 0), this.dim(inputs[1], 0), this.dim(inputs[1], 1)];
      const operands = [...ins, ...outs, rows, heads, kvHeads, width, slots, positions];
      this.launch('k_attention_decode', rows * heads, ATTENTION_THREADS, operands);
      return;
    }
    const rows = batch * seq;
    const shape = [batch, seq, heads, kvHeads, width];
    if (op === 'attention') {
      this.launch('k_attention', rows * heads, ATTENTION_THREADS, [...ins, ...outs, ...shape]);
      return;
    }
    const [dOut = 0, q = 0, k = 0, v = 0, out = 0, stats = 0] = ins;
    const [dq = 0, dk = 0, dv = 0] = outs;
    const dots = this.#scratch(0);
    this.rows('k_head_dots', rows * heads, [dOut, out, dots, rows * heads, width]);
    const given = [dOut, q, k, v, stats, dots];
    this.launch('k_attention_grad_q', rows * heads, ATTENTION_THREADS, [...given, dq, ...shape]);
    this.launch('k_attention_grad_kv', rows * kvHeads, ATTENTION_THREADS, [...given, dk, dv, ...shape]);
  }

  #crossEntropy({ op, inputs, outputs }: Instruction): void {
    const [logits = 0, targets = 0, stats = 0] = inputs.map((id) => this.ref(id));
    const [rows, vocab] = [this.dim(inputs[0], 0), this.dim(inputs[0], 1)];
    this.launch('k_count_targets', 1, ELEMENTS_PER_BLOCK, [targets, rows]);
    if (op === 'crossEntropyGrad') {
      const operands = [logits, targets, stats, this.ref(outputs[0]), rows, vocab];
      this.elements('k_cross_entropy_grad', rows * vocab, operands);
      return;
    }
    const [loss = 0, tokenLoss = 0, made = 0] = outputs.map((id) => this.ref(id));
    this.rows('k_cross_entropy', rows, [logits, targets, tokenLoss, made, rows, vocab]);
    this.launch('k_mean_loss', 1, ROW_THREADS, [tokenLoss, loss, rows]);
  }

  #gradNorm({ inputs, outputs }: Instruction): void {
    const partial = this.#scratch(0);
    let chunks = 0;
    for (const id of inputs) {
      const own = blocks(this.count(id), SUM_CHUNK);
      this.rows('k_square_sums', own, [this.ref(id), partial, this.count(id), chunks]);
      chunks += own;
    }
    this.launch('k_norm', 1, ELEMENTS_PER_BLOCK, [partial, this.ref(outputs[0]), chunks]);
  }

  #plain({ op, inputs, outputs, attrs }: Instruction): Plain {
    const [a, b] = inputs;
    const all = [...inputs.map((id) => this.ref(id)), ...outputs.map((id) => this.ref(id))];
    const n = this.count(outputs[0]);
    switch (op) {
      case 'embed':
        return ['elements', 'k_embed', n, [...all, this.dim(a, 0), this.dim(a, 1), this.count(b)]];
      case 'embedGrad':
        return ['elements', 'k_embed_grad', n, [...all, this.dim(outputs[0], 0), this.dim(a, 1), this.count(b)]];
      case 'rmsNorm':
        return ['rows', 'k_rms_norm', this.dim(a, 0), [...all, ...this.#shape(a), floatBits(attrs.eps ?? 0)]];
      case 'rmsNormGradX':
        return ['rows', 'k_rms_norm_grad_x', this.dim(a, 0), [...all, ...this.#shape(a)]];
      case 'rmsNormGradGain':
        return ['elements', 'k_rms_norm_grad_gain', n, [...all, ...this.#shape(a)]];
      case 'rope': {
        const { heads = 1, inverse = 0 } = attrs;
        const operands = [...all, this.dim(a, 0), this.dim(b, 0), heads, this.dim(b, 1), inverse];
        return ['elements', 'k_rope', n / 2, operands];
      }
      case 'swiglu':
        return ['elements', 'k_swiglu', n, [...all, n]];
      case 'swigluGrad':
        return ['elements', 'k_swiglu_grad', n, [...all, n]];
      case 'add':
        return ['elements', 'k_add', n, [...all, n]];
      case 'scale':
        return ['elements', 'k_scale', n, [...all, n, floatBits(attrs.factor ?? 0)]];
      case 'copy':
        return ['elements', 'k_scale', n, [...all, n, floatBits(1)]];
      case 'zero':
        return ['elements', 'k_zero', n, [...all, n]];
      case 'adamW':
        return ['elements', 'k_adamw', n, [...inputs.map((id) => this.ref(id)), n, attrs.decay ?? 0]];
      case 'cacheWrite': {
        const ins = inputs.map((id) => this.ref(id));
        const dims = [...this.#shape(a), this.dim(inputs[3], 0), this.dim(inputs[3], 1)];
        return ['elements', 'k_cache_write', this.dim(a, 1), [...ins, ...dims]];
      }
      default:
        throw new Error(`cuda: no kernels for instruction ${op}`);
    }
  }

  #shape(id: number | undefined): readonly number[] {
    return [this.dim(id, 0), this.dim(id, 1)];
  }
}
