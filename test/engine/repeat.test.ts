// A step of several optimizer updates is those updates one after the other, on one state.

import test from 'ava';
import { present } from '../../base/check.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { ProgramBuilder, type TensorProgram } from '../../engine/program.ts';
import { repeat, updateInput } from '../../engine/repeat.ts';
import type { BatchShape } from '../../trainer/model.ts';
import { INPUTS, buildTrainProgram, fillConstants, gradientNames } from '../../trainer/train-program.ts';
import { fastBackends } from './backends.ts';
import { TINY, TINY_SHAPE } from './training-run.ts';

const UPDATES = 3;
const ROWS = TINY_SHAPE.batch * TINY_SHAPE.seq;
const backends: readonly Executor[] = [await createExecutor({ backend: 'scalar' }), ...(await fastBackends())];

test.after.always(async () => {
  for (const backend of backends) await backend.close();
});

const stepShape = (shape: Partial<BatchShape> = {}): BatchShape => ({
  ...TINY_SHAPE,
  batch: UPDATES * TINY_SHAPE.batch,
  updates: UPDATES,
  ...shape,
});

/** The update with the rounding keys it has as number `update` of a step. */
function keyed(program: TensorProgram, update: number): TensorProgram {
  const builder = new ProgramBuilder();
  for (const { name, dtype, shape, role } of program.tensors) builder.tensor(name, dtype, shape, role);
  const keys = 1 + Math.max(0, ...program.instructions.map(({ attrs }) => attrs.tensorId ?? 0));
  for (const { op, inputs, outputs, attrs } of program.instructions) {
    const { tensorId } = attrs;
    builder.emit(
      op,
      inputs,
      outputs,
      tensorId === undefined ? attrs : { ...attrs, tensorId: tensorId + update * keys },
    );
  }
  return builder.finish('one-update');
}

const numbersOf = (update: number): number[] => [
  2e-3 + update * 1e-3,
  0.9,
  0.95,
  1e-8,
  0.1,
  0.1 + update / 10,
  0.05,
  1,
];
const tokenOf = (update: number, row: number, shift: number): number => (7 * row + 11 * update + shift) % TINY.vocab;

type Ends = Readonly<{ state: Uint8Array; gradients: readonly number[][]; loss: number; norm: number }>;

function start(executor: Executor, program: TensorProgram) {
  const loaded = executor.load(program);
  const words = new Float32Array(loaded.stateBytes().slice().buffer);
  for (let i = 0; i < words.length / 3; i++) words[i] = Math.fround(Math.sin(i * 0.7) * 0.2);
  return { loaded, state: new Uint8Array(words.buffer) };
}

function endsOf(loaded: ReturnType<Executor['load']>): Ends {
  return {
    state: loaded.stateBytes().slice(),
    gradients: gradientNames(TINY).map((name) => [...loaded.view(name)]),
    loss: present(loaded.view('loss')[0], 'loss'),
    norm: present(loaded.view('gradNorm')[0], 'norm'),
  };
}

/** All updates in one program. */
function together(executor: Executor, shape: BatchShape): Ends {
  const { loaded, state } = start(executor, buildTrainProgram(TINY, shape));
  loaded.stateBytes().set(state);
  fillConstants(loaded, TINY, shape);
  loaded.view(INPUTS.seed).set([5, 9]);
  for (let update = 0; update < UPDATES; update++) {
    for (const [shift, name] of [INPUTS.tokens, INPUTS.targets].entries())
      loaded
        .view(updateInput(name, update, UPDATES))
        .set(Int32Array.from({ length: ROWS }, (_, row) => tokenOf(update, row, shift)));
    loaded.view(updateInput(INPUTS.hyper, update, UPDATES)).set(numbersOf(update));
  }
  const outcome = loaded.run();
  if (!outcome.ok) throw new Error(outcome.reason);
  const ends = endsOf(loaded);
  loaded.close();
  return ends;
}

/** The same, a program and a run for each. */
function oneByOne(executor: Executor, shape: BatchShape): Ends {
  let [state, ends] = [null as Uint8Array | null, null as Ends | null];
  const { updates: _, ...alone } = { ...shape, batch: TINY_SHAPE.batch };
  for (let update = 0; update < UPDATES; update++) {
    const { loaded, state: first } = start(executor, keyed(buildTrainProgram(TINY, alone), update));
    loaded.stateBytes().set(state ?? first);
    fillConstants(loaded, TINY, alone);
    loaded.view(INPUTS.seed).set([5, 9]);
    for (const [shift, name] of [INPUTS.tokens, INPUTS.targets].entries())
      loaded.view(name).set(Int32Array.from({ length: ROWS }, (_, row) => tokenOf(update, row, shift)));
    loaded.view(INPUTS.hyper).set(numbersOf(update));
    const outcome = loaded.run();
    if (!outcome.ok) throw new Error(outcome.reason);
    ends = endsOf(loaded);
    state = ends.state;
    loaded.close();
  }
  return present(ends, 'ends');
}

for (const profile of ['i8', 'bf16x'] as const) {
  test(`${UPDATES} updates in one program have the bits of ${UPDATES} programs, ${profile}`, (t) => {
    const wanted = oneByOne(present(backends[0], 'oracle'), stepShape({ profile }));
    for (const backend of backends) {
      t.deepEqual(together(backend, stepShape({ profile })), wanted, backend.description);
      t.deepEqual(oneByOne(backend, stepShape({ profile })), wanted, backend.description);
    }
  });
}

test('no two linear layers of a step share rounding noise, whatever their updates and micro-batches', (t) => {
  const { instructions } = buildTrainProgram(TINY, stepShape({ microBatch: 1 }));
  for (const op of ['linearGradX', 'linearGradW'] as const) {
    const keys = instructions.filter((one) => one.op === op).map(({ attrs }) => attrs.tensorId);
    t.is(keys.length, UPDATES * TINY_SHAPE.batch * (7 * TINY.layers + 1));
    t.is(new Set(keys).size, keys.length);
  }
});

test('a step of one update is the update, and updates share the memory of their temps', (t) => {
  const one = buildTrainProgram(TINY, TINY_SHAPE);
  t.is(repeat(one, { updates: 1, ownInputs: [] }), one);
  t.throws(() => repeat(one, { updates: 0, ownInputs: [] }), { message: /updates from 1/ });
  const three = buildTrainProgram(TINY, stepShape());
  t.is(three.stateBytes, one.stateBytes);
  const inputs = (program: TensorProgram) => program.tensors.filter(({ role }) => role === 'input').length;
  t.true(three.arenaBytes - one.arenaBytes <= 2 ** 10 * (inputs(three) - inputs(one)));
  t.throws(() => buildTrainProgram(TINY, stepShape({ batch: 7 })), { message: /3 updates must divide batch 7/ });
});
