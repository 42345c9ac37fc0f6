// Checks the tracing front end: what it records, that TensorFlow.js autodiff works through it, and what it refuses.

import test from 'ava';
import { type TensorProgram, findTensor } from '../../engine/program.ts';
import * as ops from '../../engine/trace/ops.ts';
import { type TfTensor, type TfTensor1D, type TfTensor2D, tfjs } from '../../engine/trace/tfjs.ts';
import { type Tracer, traceProgram } from '../../engine/trace/tracer.ts';

/** TensorFlow.js keeps its engine in a global: it is there once the package was loaded. */
const loadedAtImport = Object.hasOwn(globalThis, '_tfengine');

const opsOf = (program: TensorProgram): string => program.instructions.map(({ op }) => op).join(' ');

function namesOf(program: TensorProgram, role: string): string[] {
  return program.tensors.filter((tensor) => tensor.role === role).map(({ name }) => name);
}

function layer({ state, input }: Tracer): { x: TfTensor2D; w: TfTensor2D; targets: TfTensor1D } {
  return {
    x: input<TfTensor2D>('x', [4, 8], 'f32'),
    w: state<TfTensor2D>('w', [8, 16]),
    targets: input<TfTensor1D>('targets', [4], 'i32'),
  };
}

test.serial('TensorFlow.js is not loaded before the first trace', (t) => {
  t.false(loadedAtImport);
  traceProgram('first', (tracer) => tracer.output('y', tracer.input('x', [1], 'f32')));
  t.true(Object.hasOwn(globalThis, '_tfengine'));
});

test.serial('a forward pass becomes its instructions, in order, with the roles declared', (t) => {
  const program = traceProgram('forward', (tracer) => {
    const { x, w, targets } = layer(tracer);
    tracer.output('loss', ops.crossEntropy(ops.linear(x, w), targets));
  });
  t.is(opsOf(program), 'linear crossEntropy');
  t.deepEqual(namesOf(program, 'state'), ['w']);
  t.deepEqual(namesOf(program, 'input'), ['x', 'targets']);
  t.deepEqual(namesOf(program, 'output'), ['loss']);
  t.is(program.stateBytes, 8 * 16 * 4);
});

test.serial(
  'gradients of TensorFlow.js core record gradient instructions, and the seed only when rounding needs it',
  (t) => {
    const program = traceProgram('grads', (tracer) => {
      const { x, w, targets } = layer(tracer);
      const [dw] = tracer.tf.grads((weights) => ops.crossEntropy(ops.linear(x, weights as TfTensor2D), targets))([w]);
      tracer.output('dw', dw as TfTensor);
    });
    t.is(opsOf(program), 'linear crossEntropy crossEntropyGrad linearGradW');
    t.deepEqual(namesOf(program, 'input'), ['x', 'targets', 'seed']);
  },
);

test.serial('variableGrads works on variables made of state', (t) => {
  const program = traceProgram('variables', (tracer) => {
    const { x, w, targets } = layer(tracer);
    const variable = tracer.tf.variable(w, true, 'weights');
    const run = () => ops.crossEntropy(ops.linear(x, variable as unknown as TfTensor2D), targets);
    const { value, grads } = tracer.tf.variableGrads(run, [variable]);
    tracer.output('loss', value);
    tracer.output('dw', grads.weights as TfTensor);
    variable.dispose();
  });
  t.is(opsOf(program), 'linear crossEntropy crossEntropyGrad linearGradW');
});

test.serial('a value used twice gets the sum of its gradients', (t) => {
  const program = traceProgram('fan-out', (tracer) => {
    const { x, w, targets } = layer(tracer);
    const body = (weights: TfTensor): TfTensor => {
      const y = ops.linear(x, weights as TfTensor2D);
      return ops.crossEntropy(ops.swiglu(y, y), targets);
    };
    tracer.output('dw', tracer.tf.grad(body)(w));
  });
  t.is(opsOf(program), 'linear swiglu crossEntropy crossEntropyGrad swigluGrad add linearGradW');
});

test.serial('each linear layer keys its rounding by its place in the trace', (t) => {
  const program = traceProgram('keys', (tracer) => {
    const { x, targets } = layer(tracer);
    const w = [0, 1, 2].map((i) => tracer.state<TfTensor2D>(`w${i}`, i === 2 ? [8, 5] : [8, 8]));
    const run = (...all: TfTensor[]) =>
      ops.crossEntropy(
        all.reduce((h, weights) => ops.linear(h as TfTensor2D, weights as TfTensor2D), x) as TfTensor2D,
        targets,
      );
    const gradients = tracer.tf.grads(run)(w);
    gradients.forEach((gradient, i) => {
      tracer.output(`g${i}`, gradient);
    });
  });
  const keyed = program.instructions.filter(({ attrs }) => attrs.tensorId !== undefined);
  t.deepEqual(
    keyed.map(({ op, attrs }) => `${op} ${attrs.tensorId}`),
    ['linearGradX 2', 'linearGradW 2', 'linearGradX 1', 'linearGradW 1', 'linearGradW 0'],
  );
});

test.serial('what no output needs is left out', (t) => {
  const program = traceProgram('dead-code', (tracer) => {
    const { x, w } = layer(tracer);
    const y = ops.linear(x, w);
    ops.swiglu(y, y);
    tracer.output('y', y);
  });
  t.is(opsOf(program), 'linear');
});

test.serial('reshape, clone and cast to the same type are other names for the same storage', (t) => {
  const program = traceProgram('aliases', (tracer) => {
    const { tf } = tracer;
    const { x, w } = layer(tracer);
    const y = tf.reshape(tf.reshape(tf.cast(tf.clone(x), 'float32'), [2, 16]), [4, 8]) as TfTensor2D;
    tracer.output('y', ops.linear(y, w));
  });
  t.is(opsOf(program), 'linear');
});

test.serial('a product with a constant is a scaling, and its gradient too', (t) => {
  const program = traceProgram('scaling', (tracer) => {
    const { x, w, targets } = layer(tracer);
    const run = (weights: TfTensor) =>
      ops.crossEntropy(tracer.tf.mul(ops.linear(x, weights as TfTensor2D), 0.5) as TfTensor2D, targets);
    tracer.output('dw', tracer.tf.grad(run)(w));
  });
  t.is(opsOf(program), 'linear scale crossEntropy crossEntropyGrad scale linearGradW');
  t.true(program.instructions.every(({ op, attrs }) => op !== 'scale' || attrs.factor === 0.5));
});

test.serial('an input or a result named twice as output is copied, and zeros are an instruction', (t) => {
  const program = traceProgram('copies', (tracer) => {
    const { x } = layer(tracer);
    const sum = tracer.tf.add(x, x);
    tracer.output('first', sum);
    tracer.output('second', sum);
    tracer.output('third', x);
    tracer.output('zeros', tracer.tf.zerosLike(x));
  });
  t.is(opsOf(program), 'add copy copy zero copy');
});

test.serial('equal code gives equal programs', (t) => {
  const trace = () =>
    traceProgram('same', (tracer) => {
      const { x, w, targets } = layer(tracer);
      tracer.output('loss', ops.crossEntropy(ops.linear(x, w), targets));
    });
  t.deepEqual(trace(), trace());
});

test.serial('optimizer and cache instructions change state in place', (t) => {
  const program = traceProgram('in-place', (tracer) => {
    const [p, m, v] = ['p', 'm', 'v'].map((name) => tracer.state(name, [8])) as [TfTensor, TfTensor, TfTensor];
    const cache = tracer.state('cache', [3, 5, 8]);
    const g = tracer.input('g', [8], 'f32');
    const rows = tracer.input('rows', [2, 8], 'f32');
    const slots = tracer.input<TfTensor1D>('slots', [2], 'i32');
    const positions = tracer.input<TfTensor1D>('positions', [2], 'i32');
    ops.adamW({ p, m, v }, g, ops.gradNorm([g]), tracer.input('hyper', [8], 'f32'), true);
    ops.cacheWrite(rows, { slots, positions }, cache);
  });
  t.is(opsOf(program), 'gradNorm adamW cacheWrite');
  const ids = ['p', 'm', 'v'].map((name) => findTensor(program, name)?.id);
  t.deepEqual(program.instructions[1]?.outputs, ids as number[]);
});

type Refusal = readonly [title: string, body: (tracer: Tracer) => void, message: RegExp];
const REFUSALS: readonly Refusal[] = [
  [
    'a kernel without an instruction is named',
    ({ tf, input }) => tf.relu(input('x', [2], 'f32')),
    /kernel Relu has no/,
  ],
  [
    'a plain matrix product is named',
    ({ tf, input }) => tf.matMul(input('x', [2, 2], 'f32'), input('y', [2, 2], 'f32')),
    /BatchMatMul/,
  ],
  [
    'a sum that broadcasts is refused',
    ({ tf, input }) => tf.add(input('x', [2, 2], 'f32'), input('y', [2], 'f32')),
    /broadcast/,
  ],
  [
    'a product of two tensors is refused',
    ({ tf, input }) => tf.mul(input('x', [2], 'f32'), input('y', [2], 'f32')),
    /Multiply of two/,
  ],
  ['a constant of unequal values is refused', ({ tf }) => tf.tensor1d([1, 2]), /constant of unequal values/],
  [
    'a constant operand is refused',
    ({ tf, input }) => tf.add(input('x', [2], 'f32'), tf.ones([2])),
    /constant 1 cannot/,
  ],
  ['reading a value is refused', ({ input }) => input('x', [2], 'f32').dataSync(), /no values/],
  [
    'a second declaration of a name is refused',
    ({ input, state }) => [input('x', [2], 'f32'), state('x', [2])],
    /declared twice/,
  ],
  [
    'a change of an input in place is refused',
    ({ input }) => {
      const x = input('x', [8], 'f32');
      ops.adamW({ p: x, m: x, v: x }, x, x, x, true);
    },
    /in place, which is no state/,
  ],
  [
    'a reshaped operand is refused',
    ({ tf, input, state }) => {
      ops.linear(tf.reshape(input('x', [2, 2, 4], 'f32'), [4, 4]), state('w', [4, 4]));
    },
    /reshaped view/,
  ],
  [
    'shapes that do not fit are refused by the engine',
    ({ input, state, output }) => {
      output('y', ops.linear(input('x', [2, 3], 'f32'), state('w', [4, 4])));
    },
    /K/,
  ],
  [
    'a loss that is scaled afterwards is refused',
    (tracer) => {
      const { x, w, targets } = layer(tracer);
      const run = (weights: TfTensor) =>
        tracer.tf.mul(ops.crossEntropy(ops.linear(x, weights as TfTensor2D), targets), 0.5) as TfTensor;
      tracer.output('dw', tracer.tf.grad(run)(w));
    },
    /crossEntropy must be the last op/,
  ],
  ['a trace inside a trace is refused', () => traceProgram('inner', () => undefined), /do not nest/],
];

for (const [title, body, message] of REFUSALS) {
  test.serial(title, (t) => {
    t.throws(() => traceProgram('refused', body), { message });
    t.notThrows(() => traceProgram('next', (tracer) => tracer.output('y', tracer.input('x', [1], 'f32'))));
  });
}

test.serial('a symbolic tensor cannot leave its trace', (t) => {
  let leaked: TfTensor | null = null;
  traceProgram('first', ({ input, tf }) => {
    leaked = tf.keep(input('x', [2], 'f32'));
  });
  t.throws(() => traceProgram('second', ({ tf }) => tf.add(leaked as unknown as TfTensor, 0)), { message: /./ });
});

test.serial('a trace leaves no tensors behind', (t) => {
  const before = tfjs().engine().state.numTensors;
  const cells = tfjs().engine().backend.numDataIds();
  traceProgram('clean', (tracer) => {
    const { x, w, targets } = layer(tracer);
    tracer.output(
      'dw',
      tracer.tf.grad((weights) => ops.crossEntropy(ops.linear(x, weights as TfTensor2D), targets))(w),
    );
  });
  t.is(tfjs().engine().state.numTensors, before);
  t.is(tfjs().engine().backend.numDataIds(), cells);
});
