// Owns the export of a model to GGUF version 3 (the container of ggml's specification, docs/gguf.md there) with Q8_0
// weights, as other inference programs read it. The values are rounded for export; proofs never come from them.

import { utf8 } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { type ModelConfig, NORM_EPS, headWidth } from './model.ts';
import { tokenNames } from './tokenizer-export.ts';
import { SPECIAL_TOKENS, type Tokenizer } from './tokenizer.ts';
import { parameterBytes, parameterPlaces } from './train-program.ts';

const ALIGNMENT = 32;
const BLOCK = 32;
/** Bytes of a Q8_0 block: an f16 scale and 32 values. */
const BLOCK_BYTES = 34;
const F32 = 0;
const F16 = 1;
const Q8_0 = 8;
/** general.file_type of mostly Q8_0. */
const FILE_TYPE = 7;

class Writer {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  bytes(part: Uint8Array): void {
    this.#parts.push(part);
    this.length += part.length;
  }
  #number(size: number, put: (view: DataView) => void): void {
    const part = new Uint8Array(size);
    put(new DataView(part.buffer));
    this.bytes(part);
  }
  u32(value: number): void {
    this.#number(4, (view) => view.setUint32(0, value, true));
  }
  u64(value: number): void {
    this.#number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }
  f32(value: number): void {
    this.#number(4, (view) => view.setFloat32(0, value, true));
  }
  string(text: string): void {
    const encoded = utf8(text);
    this.u64(encoded.length);
    this.bytes(encoded);
  }
  align(): void {
    this.bytes(new Uint8Array((ALIGNMENT - (this.length % ALIGNMENT)) % ALIGNMENT));
  }
  take(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts));
  }
}

type Value =
  | Readonly<{ kind: 'u32' | 'f32'; value: number }>
  | Readonly<{ kind: 'string'; value: string }>
  | Readonly<{ kind: 'bool'; value: boolean }>
  | Readonly<{ kind: 'strings'; value: readonly string[] }>
  | Readonly<{ kind: 'i32s'; value: readonly number[] }>;
const TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

function writeValue(to: Writer, one: Value): void {
  if (one.kind === 'strings' || one.kind === 'i32s') {
    to.u32(TYPE.array);
    to.u32(one.kind === 'strings' ? TYPE.string : TYPE.i32);
    to.u64(one.value.length);
    for (const item of one.value) {
      if (typeof item === 'string') to.string(item);
      else to.u32(item >>> 0);
    }
    return;
  }
  to.u32(TYPE[one.kind]);
  if (one.kind === 'u32') to.u32(one.value);
  else if (one.kind === 'f32') to.f32(one.value);
  else if (one.kind === 'string') to.string(one.value);
  else to.bytes(Uint8Array.of(Number(one.value)));
}

function metadata(config: ModelConfig, tokenizer: Tokenizer, name: string): readonly (readonly [string, Value])[] {
  const { tokens, merges } = tokenNames(tokenizer);
  const [NORMAL, CONTROL] = [1, 3];
  const u32 = (value: number): Value => ({ kind: 'u32', value });
  const text = (value: string): Value => ({ kind: 'string', value });
  const ordinary = tokens.length - SPECIAL_TOKENS.length;
  return [
    ['general.architecture', text('llama')],
    ['general.name', text(name)],
    ['general.alignment', u32(ALIGNMENT)],
    ['general.file_type', u32(FILE_TYPE)],
    ['llama.vocab_size', u32(config.vocab)],
    ['llama.context_length', u32(config.context)],
    ['llama.embedding_length', u32(config.dim)],
    ['llama.block_count', u32(config.layers)],
    ['llama.feed_forward_length', u32(config.ffn)],
    ['llama.attention.head_count', u32(config.heads)],
    ['llama.attention.head_count_kv', u32(config.kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', { kind: 'f32', value: NORM_EPS }],
    ['llama.rope.dimension_count', u32(headWidth(config))],
    ['llama.rope.freq_base', { kind: 'f32', value: config.ropeTheta }],
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text('gpt-2')],
    ['tokenizer.ggml.tokens', { kind: 'strings', value: tokens }],
    ['tokenizer.ggml.token_type', { kind: 'i32s', value: tokens.map((_, id) => (id < ordinary ? NORMAL : CONTROL)) }],
    ['tokenizer.ggml.merges', { kind: 'strings', value: merges }],
    ['tokenizer.ggml.bos_token_id', u32(tokenizer.special['<|endoftext|>'])],
    ['tokenizer.ggml.eos_token_id', u32(tokenizer.special['<|endoftext|>'])],
    ['tokenizer.ggml.eot_token_id', u32(tokenizer.special['<|im_end|>'])],
    ['tokenizer.ggml.add_bos_token', { kind: 'bool', value: false }],
  ];
}

/** GGUF names by our last name parts; the layer number goes between. */
const LAYER_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  q_proj: 'attn_q',
  k_proj: 'attn_k',
  v_proj: 'attn_v',
  o_proj: 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  gate_proj: 'ffn_gate',
  up_proj: 'ffn_up',
  down_proj: 'ffn_down',
};
const TOP_NAMES: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
};

function ggufName(name: string): string {
  const parts = name.split('.');
  const layer = LAYER_NAMES[parts.at(-2) ?? ''];
  return TOP_NAMES[name] ?? `blk.${parts[2]}.${present(layer, name)}.weight`;
}

/** Nearest-even binary16 bits of a finite number below 65,504 in size. */
export function halfBits(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size < 2 ** -25) return sign;
  const exponent = size < 2 ** -14 ? -14 : exponentOf(size);
  const scaled = size * 2 ** (10 - exponent);
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const whole = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  // A carry out of the significand raises the exponent by itself.
  return sign + ((exponent + 14) << 10) + whole;
}

function exponentOf(x: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  return ((view.getUint16(0) >> 4) & 0x7ff) - 1023;
}

/** Value of binary16 bits. */
function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 31;
  return exponent === 0 ? (bits & 1023) * 2 ** -24 : (1024 + (bits & 1023)) * 2 ** (exponent - 25);
}

/** Q8_0 blocks of a row: scale amax / 127 as f16, values rounded to nearest. */
function putQuantized(row: Float32Array, to: DataView, at: number): void {
  for (let b = 0; b < row.length / BLOCK; b++) {
    let most = 0;
    for (let i = 0; i < BLOCK; i++) most = Math.max(most, Math.abs(row[b * BLOCK + i] ?? 0));
    const bits = halfBits(most / 127);
    const scale = halfValue(bits);
    to.setUint16(at + b * BLOCK_BYTES, bits, true);
    for (let i = 0; i < BLOCK; i++) {
      const q = scale === 0 ? 0 : Math.round((row[b * BLOCK + i] ?? 0) / scale);
      to.setInt8(at + b * BLOCK_BYTES + 2 + i, Math.max(-127, Math.min(127, q)));
    }
  }
}

type Packed = Readonly<{ name: string; dims: readonly number[]; type: number; bytes: Uint8Array }>;

/** Where row `r` of a rotated matrix comes from: GGUF's Llama pairs neighbours, ours the two halves of a head. */
function rotatedRow(r: number, width: number): number {
  const inHead = r % width;
  return r - inHead + (inHead % 2) * (width / 2) + Math.floor(inHead / 2);
}

/** Rows are outputs: our [in, out] matrices are turned over, the embedding is not. */
function packMatrix(name: string, values: Float32Array, shape: readonly number[], width: number): Packed {
  const [a, b] = [present(shape[0], 'rows'), present(shape[1], 'columns')];
  const lookUp = name === 'model.embed_tokens.weight';
  const [inner, rows] = lookUp ? [b, a] : [a, b];
  const rotated = /\.(q|k)_proj\./.test(name);
  const type = inner % BLOCK === 0 ? Q8_0 : F16;
  const rowBytes = type === Q8_0 ? (inner / BLOCK) * BLOCK_BYTES : 2 * inner;
  const bytes = new Uint8Array(rows * rowBytes);
  const view = new DataView(bytes.buffer);
  const row = new Float32Array(inner);
  for (let r = 0; r < rows; r++) {
    const from = rotated ? rotatedRow(r, width) : r;
    for (let i = 0; i < inner; i++) row[i] = present(values[lookUp ? from * inner + i : i * rows + from], 'weight');
    if (type === Q8_0) putQuantized(row, view, r * rowBytes);
    else for (let i = 0; i < inner; i++) view.setUint16(r * rowBytes + 2 * i, halfBits(row[i] ?? 0), true);
  }
  return { name: ggufName(name), dims: [inner, rows], type, bytes };
}

/** A GGUF file of a model's parameter bytes. Matrices whose rows are no multiple of 32 long are kept as f16. */
export function encodeGguf(config: ModelConfig, params: Uint8Array, tokenizer: Tokenizer, name: string): Uint8Array {
  check(params.length === parameterBytes(config), 'encodeGguf: parameters of another model');
  check(tokenizer.vocab === config.vocab, 'encodeGguf: tokenizer of another vocabulary');
  const tensors = parameterPlaces(config).map(({ name: own, shape, offset, elements }): Packed => {
    const values = new Float32Array(params.slice(offset, offset + 4 * elements).buffer);
    if (shape.length === 2) return packMatrix(own, values, shape, headWidth(config));
    return { name: ggufName(own), dims: shape, type: F32, bytes: new Uint8Array(values.buffer) };
  });
  const file = new Writer();
  file.bytes(utf8('GGUF'));
  file.u32(3);
  file.u64(tensors.length);
  const pairs = metadata(config, tokenizer, name);
  file.u64(pairs.length);
  for (const [key, value] of pairs) {
    file.string(key);
    writeValue(file, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    file.string(tensor.name);
    file.u32(tensor.dims.length);
    for (const length of tensor.dims) file.u64(length);
    file.u32(tensor.type);
    file.u64(offset);
    offset += Math.ceil(tensor.bytes.length / ALIGNMENT) * ALIGNMENT;
  }
  for (const tensor of tensors) {
    file.align();
    file.bytes(tensor.bytes);
  }
  return file.take();
}
