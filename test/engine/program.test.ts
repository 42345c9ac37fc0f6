// Programs: refusals at build, canonical bytes, fuzzed decoding, memory planning.

import test from 'ava';
import { prng } from '../../base/prng.ts';
import { FaultError } from '../../base/fault.ts';
import { OP_NAMES } from '../../engine/instruction.ts';
import {
  ProgramBuilder,
  type TensorProgram,
  decodeProgram,
  elementCount,
  encodeProgram,
  programHash,
} from '../../engine/program.ts';
import { caseOf } from './cases.ts';

function refusalOf(build: (b: ProgramBuilder) => void): string {
  try {
    const b = new ProgramBuilder();
    build(b);
    b.finish('p');
  } catch (error) {
    if (error instanceof FaultError) return error.message;
    throw error;
  }
  return 'accepted';
}

test('a wrong shape is refused naming instruction, operand and dimension', (t) => {
  const message = refusalOf((b) => {
    const x = b.tensor('x', 'f32', [4, 8], 'input');
    const w = b.tensor('w', 'f32', [9, 2], 'state');
    b.emit('linear', [x, w], [b.tensor('y', 'f32', [4, 2], 'output')]);
  });
  t.is(message, 'instruction 0 (linear): input 1 (w) is [9,2], needs K = 8 in dimension 0');
});

test('limits are refused by name', (t) => {
  t.regex(
    refusalOf((b) => b.tensor('x', 'f32', [2 ** 24 + 1], 'temp')),
    /dimension of 16777217/,
  );
  t.regex(
    refusalOf((b) => b.tensor('x', 'f32', [2 ** 20, 2 ** 20], 'temp')),
    /elements, more than/,
  );
  t.regex(
    refusalOf((b) => b.tensor('x', 'f32', [1, 1, 1, 1, 1], 'temp')),
    /5 dimensions/,
  );
  t.regex(
    refusalOf((b) => b.tensor('x'.repeat(129), 'f32', [1], 'temp')),
    /longer than 128/,
  );
  t.regex(
    refusalOf((b) => {
      const x = b.tensor('x', 'f32', [1, 131_073], 'input');
      const w = b.tensor('w', 'f32', [131_073, 1], 'input');
      b.emit('linear', [x, w], [b.tensor('y', 'f32', [1, 1], 'output')]);
    }),
    /contraction K = 131073 above 131072/,
  );
});

test('reading before writing, writing an input, and aliasing are refused', (t) => {
  const order = refusalOf((b) => {
    const x = b.tensor('x', 'f32', [4], 'temp');
    b.emit('copy', [x], [b.tensor('y', 'f32', [4], 'output')]);
  });
  t.is(order, 'instruction 0 (copy) reads x before it is written');
  const input = refusalOf((b) => {
    const x = b.tensor('x', 'f32', [4], 'input');
    b.emit('zero', [], [x]);
  });
  t.is(input, 'instruction 0 (zero) writes input x');
  const alias = refusalOf((b) => {
    const x = b.tensor('x', 'f32', [4], 'state');
    b.emit('copy', [x], [x]);
  });
  t.is(alias, 'instruction 0 (copy): output 0 may not be the tensor of input 0');
});

test('bytes decode to the same program and hash, and equal programs have equal bytes', (t) => {
  for (const op of OP_NAMES) {
    const { program } = caseOf(op, 'codec');
    const bytes = encodeProgram(program);
    const decoded = decodeProgram(bytes);
    t.true(decoded.ok, op);
    if (!decoded.ok) continue;
    t.deepEqual(decoded.value, program);
    t.deepEqual(programHash(decoded.value), programHash(program));
  }
});

test('changed bytes are refused or decode to a program with exactly those bytes', (t) => {
  const random = prng('fuzz programs');
  let accepted = 0;
  let refused = 0;
  const whole = OP_NAMES.map((op) => encodeProgram(caseOf(op, 'fuzz').program));
  for (let i = 0; i < 4000; i++) {
    let bytes = whole[i % whole.length] ?? new Uint8Array();
    for (let changes = 1 + random.below(3); changes > 0; changes--) bytes = mutate(bytes, random);
    const decoded = decodeProgram(bytes);
    if (!decoded.ok) {
      refused++;
      continue;
    }
    accepted++;
    if (Buffer.compare(encodeProgram(decoded.value), bytes) !== 0) t.fail(`not canonical: case ${i}`);
  }
  t.true(refused > 1000 && accepted > 10);
  t.log(`${refused} refused, ${accepted} accepted of 4000`);
});

function mutate(bytes: Uint8Array, random: ReturnType<typeof prng>): Uint8Array {
  const at = random.below(Math.max(1, bytes.length));
  const kind = random.below(4);
  if (kind === 0) return bytes.slice(0, at);
  const out = bytes.slice();
  if (kind === 1) out[at] = random.below(256);
  if (kind === 2) out[at] = (out[at] ?? 0) ^ (1 << random.below(8));
  if (kind === 3) return Uint8Array.of(...bytes.slice(0, at), random.below(256), ...bytes.slice(at));
  return out;
}

/** A chain of linear layers whose temps come and go. */
function chain(depth: number): TensorProgram {
  const b = new ProgramBuilder();
  const random = prng(`chain ${depth}`);
  let width = 32;
  let x = b.tensor('x', 'f32', [3, width], 'input');
  for (let i = 0; i < depth; i++) {
    const next = 1 + random.below(90);
    const w = b.tensor(`w${i}`, 'f32', [width, next], 'state');
    const y = b.tensor(`y${i}`, 'f32', [3, next], i === depth - 1 ? 'output' : 'temp');
    b.emit('linear', [x, w], [y]);
    [x, width] = [y, next];
  }
  return b.finish('chain');
}

test('live tensors never overlap, temps share space, state lies first in declared order', (t) => {
  const program = chain(40);
  const life = program.tensors.map(({ id, role }) => {
    const uses = program.instructions.flatMap(({ inputs, outputs }, at) =>
      [...inputs, ...outputs].includes(id) ? [at] : [],
    );
    return role === 'temp'
      ? { first: uses[0] ?? 0, last: uses.at(-1) ?? 0 }
      : { first: 0, last: Number.POSITIVE_INFINITY };
  });
  const end = (id: number) => (program.tensors[id]?.offset ?? 0) + 4 * elementCount(program.tensors[id]?.shape ?? []);
  for (const a of program.tensors) {
    t.is(a.offset % 64, 0);
    t.true(end(a.id) <= program.scratchOffset);
    for (const b of program.tensors) {
      const [p, q] = [life[a.id], life[b.id]];
      if (a.id >= b.id || p === undefined || q === undefined || p.last < q.first || q.last < p.first) continue;
      t.true(end(a.id) <= b.offset || end(b.id) <= a.offset, `${a.name} and ${b.name} overlap`);
    }
  }
  const state = program.tensors.filter(({ role }) => role === 'state');
  t.true(state.every(({ offset }, i) => i === 0 || offset > (state[i - 1]?.offset ?? 0)));
  const temps = program.tensors.filter(({ role }) => role === 'temp');
  const sum = temps.reduce((bytes, { shape }) => bytes + 4 * elementCount(shape), 0);
  t.true(program.scratchOffset - (temps[0]?.offset ?? 0) < sum / 4, 'forty temps in the space of a few');
});
