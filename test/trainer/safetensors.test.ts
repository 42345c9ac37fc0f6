// Checks the safetensors container: round trips, and refusal of every malformed header.

import test from 'ava';
import { concat, utf8 } from '../../base/bytes.ts';
import { prng } from '../../base/prng.ts';
import { MAX_SAFETENSORS_HEADER } from '../../trainer/model-limits.ts';
import { type SafeTensor, decodeSafetensors, encodeSafetensors } from '../../trainer/safetensors.ts';

function f32(name: string, shape: number[], seed: string): SafeTensor {
  const size = shape.reduce((product, length) => product * length, 4);
  return { name, dtype: 'F32', shape, bytes: prng(seed).bytes(size) };
}

function file(header: unknown, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const text = typeof header === 'string' ? utf8(header) : utf8(JSON.stringify(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return concat(length, text, data);
}

const SAMPLE = [f32('a', [2, 3], 'a'), f32('model.b', [5], 'b'), f32('empty', [0, 4], 'c'), f32('scalar', [], 'd')];

test('tensors and metadata come back as they were written', (t) => {
  const read = decodeSafetensors(encodeSafetensors(SAMPLE, { round: '7', root: '0xab' }));
  if (!read.ok) return t.fail(read.message);
  t.deepEqual([...read.value.tensors.values()], SAMPLE);
  t.deepEqual(
    [...read.value.metadata],
    [
      ['round', '7'],
      ['root', '0xab'],
    ],
  );
  return undefined;
});

test('the same tensors give the same bytes, and tensor data is aligned for f32', (t) => {
  const bytes = encodeSafetensors(SAMPLE, { a: '1' });
  t.deepEqual(bytes, encodeSafetensors(SAMPLE, { a: '1' }));
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  t.is((8 + length) % 64, 0);
});

test('names that mean something to objects are ordinary names', (t) => {
  const odd = ['__proto__', 'constructor', '7', 'toString'].map((name) => f32(name, [1], name));
  const read = decodeSafetensors(encodeSafetensors(odd, {}));
  if (!read.ok) return t.fail(read.message);
  t.deepEqual([...read.value.tensors.keys()].sort(), ['7', '__proto__', 'constructor', 'toString']);
  t.is(({} as Record<string, unknown>).dtype, undefined);
  return undefined;
});

test('two tensors of one name and a wrong byte count are defects of the writer', (t) => {
  t.throws(() => encodeSafetensors([f32('a', [1], 'a'), f32('a', [1], 'b')], {}), { message: /twice/ });
  t.throws(() => encodeSafetensors([{ ...f32('a', [1], 'a'), shape: [2] }], {}), { message: /bytes/ });
});

const entry = (shape: unknown, data_offsets: unknown, dtype: unknown = 'F32') => ({ dtype, shape, data_offsets });
const HOSTILE: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ['an empty file', new Uint8Array(0), /no header length/],
  ['a header longer than the file', file('{}').subarray(0, 9), /over the file/],
  ['a header length near 2^64', new Uint8Array(16).fill(0xff), new RegExp(`over ${MAX_SAFETENSORS_HEADER}`)],
  ['a header that is not JSON', file('{"a"'), /not JSON/],
  ['a header in broken UTF-8', concat(file('{}').subarray(0, 8), Uint8Array.of(0x7b, 0xff)), /not JSON/],
  ['a header that is a list', file('[]'), /begin with/],
  ['a tensor that is a number', file({ a: 1 }), /not an object/],
  ['a tensor that is null', file({ a: null }), /not an object/],
  ['an unknown type', file({ a: entry([1], [0, 4], 'F99') }, new Uint8Array(4)), /dtype/],
  ['an inherited name as type', file({ a: entry([1], [0, 4], 'constructor') }, new Uint8Array(4)), /dtype/],
  ['a negative dimension', file({ a: entry([-1], [0, 4]) }, new Uint8Array(4)), /shape/],
  ['a broken dimension', file({ a: entry([0.5], [0, 4]) }, new Uint8Array(4)), /shape/],
  ['too many dimensions', file({ a: entry(Array(9).fill(1), [0, 4]) }, new Uint8Array(4)), /shape/],
  ['a shape over the data', file({ a: entry([2 ** 40, 2 ** 40], [0, 4]) }, new Uint8Array(4)), /shape needs/],
  ['offsets outside of the file', file({ a: entry([2], [0, 8]) }, new Uint8Array(4)), /outside/],
  ['offsets that run backwards', file({ a: entry([1], [4, 0]) }, new Uint8Array(4)), /outside/],
  ['one offset', file({ a: entry([1], [0]) }, new Uint8Array(4)), /data_offsets/],
  ['bytes before the first tensor', file({ a: entry([1], [4, 8]) }, new Uint8Array(8)), /begins at 4/],
  ['bytes after the last tensor', file({ a: entry([1], [0, 4]) }, new Uint8Array(8)), /after the last/],
  ['overlapping tensors', file({ a: entry([1], [0, 4]), b: entry([1], [0, 4]) }, new Uint8Array(4)), /begins at 0/],
  ['metadata that is no string', file({ __metadata__: { a: 1 } }), /strings/],
  ['metadata that is a list', file({ __metadata__: [] }), /not an object/],
];

for (const [title, bytes, message] of HOSTILE) {
  test(`${title} is refused with its reason`, (t) => {
    const read = decodeSafetensors(bytes);
    t.false(read.ok);
    if (!read.ok) t.regex(read.message, message);
  });
}

test('a flipped byte anywhere in a header is refused or changes nothing but names and notes', (t) => {
  const bytes = encodeSafetensors(SAMPLE, { note: 'x' });
  const random = prng('safetensors fuzz');
  let refused = 0;
  for (let i = 0; i < 2000; i++) {
    const copy = bytes.slice();
    const at = random.below(bytes.length);
    copy[at] = random.u32() & 0xff;
    const read = decodeSafetensors(copy);
    if (!read.ok) refused++;
    else for (const { bytes: part, name } of read.value.tensors.values()) t.true(part.length <= bytes.length, name);
  }
  t.log(`${refused} of 2000 damaged files refused`);
  t.true(refused > 200);
});
