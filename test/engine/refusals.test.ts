// What a running program refuses, and how it names the instruction.

import test from 'ava';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { ProgramBuilder } from '../../engine/program.ts';
import { fastBackends } from './backends.ts';

const backends: readonly Executor[] = [await createExecutor({ backend: 'scalar' }), ...(await fastBackends())];

test.after.always(async () => {
  for (const backend of backends) await backend.close();
});

function twoStep() {
  const b = new ProgramBuilder();
  const table = b.tensor('table', 'f32', [8, 16], 'state');
  const ids = b.tensor('ids', 'i32', [4], 'input');
  const w = b.tensor('w', 'f32', [16, 8], 'state');
  const rows = b.tensor('rows', 'f32', [4, 16], 'temp');
  const y = b.tensor('y', 'f32', [4, 8], 'output');
  b.emit('embed', [table, ids], [rows]);
  b.emit('linear', [rows, w], [y]);
  return b.finish('two-step');
}

test('a NaN weight is refused by the instruction that reads it', (t) => {
  for (const backend of backends) {
    const loaded = backend.load(twoStep());
    loaded.view('w')[5] = Number.NaN;
    t.deepEqual(loaded.run(), { ok: false, instruction: 1, op: 'linear', reason: 'non-finite' }, backend.description);
    loaded.close();
  }
});

test('an infinite embedding row is refused only when a token reads it', (t) => {
  for (const backend of backends) {
    const loaded = backend.load(twoStep());
    loaded.view('table')[7 * 16] = Number.NEGATIVE_INFINITY;
    t.deepEqual(loaded.run(), { ok: true });
    loaded.view('ids')[2] = 7;
    t.deepEqual(loaded.run(), { ok: false, instruction: 0, op: 'embed', reason: 'non-finite' }, backend.description);
    loaded.view('ids')[2] = 1;
    t.deepEqual(loaded.run(), { ok: true }, 'a refusal does not spoil the next run');
    loaded.close();
  }
});

test('a token outside the table is refused without reading there', (t) => {
  for (const backend of backends) {
    for (const id of [8, -1, 2 ** 31 - 1, -(2 ** 31)]) {
      const loaded = backend.load(twoStep());
      loaded.view('ids')[3] = id;
      t.deepEqual(loaded.run(), { ok: false, instruction: 0, op: 'embed', reason: 'bad-index' }, backend.description);
      loaded.close();
    }
  }
});

test('an attention operand above 2^60 is refused by name', (t) => {
  const b = new ProgramBuilder();
  const [q, k, v] = ['q', 'k', 'v'].map((name) => b.tensor(name, 'f32', [4, 8], 'input')) as [number, number, number];
  const out = b.tensor('out', 'f32', [4, 8], 'output');
  const stats = b.tensor('stats', 'f32', [4, 2], 'output');
  b.emit('attention', [q, k, v], [out, stats], { batch: 1, seq: 4, heads: 1, kvHeads: 1 });
  const program = b.finish('large');
  for (const backend of backends) {
    const loaded = backend.load(program);
    loaded.view('k')[9] = 2 ** 60;
    t.deepEqual(loaded.run(), { ok: true }, 'the bound itself is allowed');
    loaded.view('k')[9] = -(2 ** 61);
    t.deepEqual(
      loaded.run(),
      { ok: false, instruction: 0, op: 'attention', reason: 'bf16-range' },
      backend.description,
    );
    loaded.close();
  }
});

test('values that vanish in the arithmetic are still refused when infinite', (t) => {
  const b = new ProgramBuilder();
  const logits = b.tensor('logits', 'f32', [2, 4], 'input');
  const targets = b.tensor('targets', 'i32', [2], 'input');
  const loss = b.tensor('loss', 'f32', [1], 'output');
  const tokenLoss = b.tensor('tokenLoss', 'f32', [2], 'output');
  const stats = b.tensor('stats', 'f32', [2, 2], 'output');
  b.emit('crossEntropy', [logits, targets], [loss, tokenLoss, stats]);
  const program = b.finish('loss');
  for (const backend of backends) {
    const loaded = backend.load(program);
    loaded.view('logits')[3] = Number.NEGATIVE_INFINITY;
    t.deepEqual(loaded.run(), { ok: false, instruction: 0, op: 'crossEntropy', reason: 'non-finite' });
    loaded.close();
  }
});

test('a linear result beyond f32 is refused', (t) => {
  for (const backend of backends) {
    const loaded = backend.load(twoStep());
    loaded.view('table').fill(3e38);
    loaded.view('w').fill(3e38);
    t.deepEqual(loaded.run(), { ok: false, instruction: 1, op: 'linear', reason: 'non-finite' }, backend.description);
    loaded.close();
  }
});
