// Weights that stay packed between runs give the bits of weights packed anew.

import test from 'ava';
import { prng } from '../../base/prng.ts';
import { type Executor, type LoadedProgram, createExecutor } from '../../engine/executor.ts';
import { ProgramBuilder, type TensorProgram } from '../../engine/program.ts';
import { fastBackends } from './backends.ts';

const [WIDTH, INNER] = [40, 70];
const scalar = await createExecutor({ backend: 'scalar' });
const backends = await fastBackends();

test.after.always(async () => {
  for (const backend of backends) await backend.close();
});

/** Two layers over one state, on `rows` rows. */
function twoLayers(rows: number): TensorProgram {
  const b = new ProgramBuilder();
  const up = b.tensor('up', 'f32', [WIDTH, INNER], 'state');
  b.tensor('vector', 'f32', [WIDTH], 'state');
  const down = b.tensor('down', 'f32', [INNER, WIDTH], 'state');
  const x = b.tensor('x', 'f32', [rows, WIDTH], 'input');
  const inner = b.tensor('inner', 'f32', [rows, INNER], 'temp');
  const y = b.tensor('y', 'f32', [rows, WIDTH], 'output');
  b.emit('linear', [x, up], [inner]);
  b.emit('linear', [inner, down], [y]);
  return b.finish(`two-layers-${rows}`);
}

function fill(loaded: LoadedProgram, names: readonly string[], seed: string): void {
  const random = prng(seed);
  for (const name of names) {
    const view = loaded.view(name);
    for (let i = 0; i < view.length; i++) view[i] = random.u32() / 2 ** 31 - 1;
  }
}

function outputOf(loaded: LoadedProgram, seed: string): Float32Array {
  fill(loaded, ['x'], seed);
  const outcome = loaded.run();
  if (!outcome.ok) throw new Error(`${outcome.op} ${outcome.reason}`);
  return (loaded.view('y') as Float32Array).slice();
}

function oracle(rows: number, weights: string, seed: string): Float32Array {
  const loaded = scalar.load(twoLayers(rows));
  fill(loaded, ['up', 'down'], weights);
  return outputOf(loaded, seed);
}

const eachBackend = (work: (backend: Executor) => void): void => {
  for (const backend of backends) work(backend);
};

test('kept weights give equal bits, run after run, for one row and for many, over one state', (t) => {
  eachBackend((backend) => {
    const one = backend.load(twoLayers(1), { keepWeights: true });
    const many = backend.load(twoLayers(19), { keepWeights: true, shareState: one });
    fill(one, ['up', 'down'], 'first');
    for (const seed of ['a', 'b', 'c']) {
      t.deepEqual(outputOf(one, seed), oracle(1, 'first', seed), backend.description);
      t.deepEqual(outputOf(many, seed), oracle(19, 'first', seed), backend.description);
    }
    one.close();
    many.close();
  });
});

test('new weights count once they are announced', (t) => {
  eachBackend((backend) => {
    const loaded = backend.load(twoLayers(3), { keepWeights: true });
    fill(loaded, ['up', 'down'], 'first');
    outputOf(loaded, 'a');
    fill(loaded, ['up', 'down'], 'second');
    loaded.weightsChanged();
    t.deepEqual(outputOf(loaded, 'b'), oracle(3, 'second', 'b'), backend.description);
    loaded.close();
  });
});

test('a weight that is no number is refused at every run, not only when it is packed', (t) => {
  eachBackend((backend) => {
    const loaded = backend.load(twoLayers(1), { keepWeights: true });
    fill(loaded, ['up', 'down', 'x'], 'first');
    loaded.view('down')[7] = Number.NaN;
    for (let run = 0; run < 2; run++) {
      t.deepEqual(loaded.run(), { ok: false, instruction: 1, op: 'linear', reason: 'non-finite' });
    }
    loaded.close();
  });
});
