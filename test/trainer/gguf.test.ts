// The GGUF export: header, names and shapes as readers expect them, and weights within half a step of their block's scale.

import test from 'ava';
import { sha256 } from '../../base/hash.ts';
import { present } from '../../base/check.ts';
import { utf8 } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { encodeGguf, halfBits } from '../../trainer/gguf.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import type { ModelConfig } from '../../trainer/model.ts';
import { trainTokenizer } from '../../trainer/tokenizer-training.ts';
import { parameterPlaces } from '../../trainer/train-program.ts';

const tokenizer = unwrap(trainTokenizer(['the whale and the sea and the ship that sailed on the sea'], 268));
const CONFIG: ModelConfig = {
  vocab: tokenizer.vocab,
  dim: 64,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  ffn: 48,
  context: 16,
  ropeTheta: 10_000,
};
const params = initialWeights(CONFIG, sha256(utf8('gguf')));

type Info = Readonly<{ dims: number[]; type: number; at: number }>;

/** A small reader of the container, written from its specification. */
function read(
  bytes: Uint8Array,
): Readonly<{ version: number; keys: Map<string, unknown>; tensors: Map<string, Info> }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let at = 4;
  const skip = (size: number): number => {
    at += size;
    return at - size;
  };
  const u32 = () => view.getUint32(skip(4), true);
  const u64 = () => Number(view.getBigUint64(skip(8), true));
  const text = () => {
    const length = u64();
    at += length;
    return new TextDecoder().decode(bytes.subarray(at - length, at));
  };
  const value = (type: number): unknown => {
    if (type === 8) return text();
    if (type === 9) {
      const inner = u32();
      return Array.from({ length: u64() }, () => value(inner));
    }
    if (type === 7) return bytes[at++] === 1;
    return type === 6 ? view.getFloat32(skip(4), true) : u32();
  };
  const version = u32();
  const [count, pairs] = [u64(), u64()];
  const keys = new Map(Array.from({ length: pairs }, () => [text(), value(u32())] as const));
  const infos = Array.from({ length: count }, () => {
    const name = text();
    const dims = Array.from({ length: u32() }, u64);
    return [name, { dims, type: u32(), at: u64() }] as const;
  });
  const data = Math.ceil(at / 32) * 32;
  return { version, keys, tensors: new Map(infos.map(([name, info]) => [name, { ...info, at: info.at + data }])) };
}

test('a GGUF file names architecture, sizes, tokens and every tensor of the model', (t) => {
  const bytes = encodeGguf(CONFIG, params, tokenizer, 'test model');
  t.is(new TextDecoder().decode(bytes.subarray(0, 4)), 'GGUF');
  const { version, keys, tensors } = read(bytes);
  t.is(version, 3);
  t.is(keys.get('general.architecture'), 'llama');
  t.is(keys.get('llama.block_count'), 2);
  t.is(keys.get('llama.attention.head_count_kv'), 2);
  t.is((keys.get('tokenizer.ggml.tokens') as string[]).length, CONFIG.vocab);
  t.is(tensors.size, parameterPlaces(CONFIG).length);
  t.deepEqual(tensors.get('token_embd.weight')?.dims, [64, CONFIG.vocab]);
  t.deepEqual(tensors.get('blk.1.attn_k.weight')?.dims, [64, 32]);
  t.is(tensors.get('blk.0.ffn_down.weight')?.type, 1, 'rows of 48 are no whole blocks: f16');
  t.is(tensors.get('blk.0.ffn_up.weight')?.type, 8);
});

test('weights come back within half a step, turned over, with rotary rows in pairs', (t) => {
  const bytes = encodeGguf(CONFIG, params, tokenizer, 'test model');
  const { tensors } = read(bytes);
  const place = present(
    parameterPlaces(CONFIG).find(({ name }) => name.endsWith('0.self_attn.q_proj.weight')),
    'q',
  );
  const ours = new Float32Array(params.buffer, place.offset, place.elements);
  const { at } = present(tensors.get('blk.0.attn_q.weight'), 'q tensor');
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const half = (bits: number) => (1024 + (bits & 1023)) * 2 ** (((bits >> 10) & 31) - 25);
  for (let row = 0; row < 64; row++) {
    // Heads are 16 wide: rows 0, 1, 2 .. of a head are our columns 0, 8, 1 ..
    const column = row - (row % 16) + (row % 2) * 8 + Math.floor((row % 16) / 2);
    for (let i = 0; i < 64; i++) {
      const block = at + (row * 2 + Math.floor(i / 32)) * 34;
      const scale = half(view.getUint16(block, true));
      const got = scale * view.getInt8(block + 2 + (i % 32));
      t.true(Math.abs(got - present(ours[i * 64 + column], 'weight')) <= scale * 0.51);
    }
  }
});

test('half precision rounds to nearest even, subnormals too', (t) => {
  t.is(halfBits(1), 0x3c00);
  t.is(halfBits(-2), 0xc000);
  t.is(halfBits(1 + 2 ** -11), 0x3c00);
  t.is(halfBits(1 + 3 * 2 ** -11), 0x3c02);
  t.is(halfBits(2 ** -24), 1);
  t.is(halfBits(2 ** -14), 0x0400);
  t.is(halfBits(0), 0);
});
