// Owns the fused kernels of the tracing backend and their gradients, so that TensorFlow.js autodiff works through them.
// Each records instructions of ../instruction.ts; the calls that models use are ops.ts.

import { check, present } from '../../base/check.ts';
import type { Op } from '../instruction.ts';
import { activeRecorder, infoOf, onRegister, registerTraceKernel, programValue } from './backend.ts';
import type { Attrs, Target, Value } from './recorder.ts';
import { type TfAttributes, type TfTensor, type TfTensorInfo, tfjs } from './tfjs.ts';

/** Name of the input that carries the seed of stochastic rounding, i32[2]; traces with linear gradients declare it. */
const SEED_INPUT = 'seed';

const kernelName = (op: Op): string => `TensorProgram.${op}`;

/** Runs a fused op as a TensorFlow.js kernel, so that it lands on the gradient tape. */
export function runFused(op: Op, inputs: Record<string, TfTensor>, attrs: Attrs = {}): TfTensor {
  return tfjs()
    .engine()
    .runKernel(kernelName(op), inputs, attrs as TfAttributes) as TfTensor;
}

/** Records an instruction that no gradient passes through and returns its results. */
export function emit(op: Op, operands: readonly Value[], targets: readonly Target[], attrs: Attrs = {}): TfTensor[] {
  return activeRecorder()
    .record(op, operands, targets, attrs)
    .map((value) => tfjs().engine().makeTensorFromTensorInfo(infoOf(value)) as TfTensor);
}

/** Another result of the instruction that wrote `value`: row statistics that a gradient needs again. */
export function companion(value: Value, index: number): Value {
  return present(value.producer?.outputs[index], `trace: result ${index} of the instruction behind ${value.name}`);
}

export function dim(value: Value | undefined, axis: number): number {
  return present(value?.shape[axis], `trace: dimension ${axis} of ${value?.name}`);
}

type Fused = Readonly<{
  op: Op;
  inputs: readonly string[];
  /** Shapes written; TensorFlow.js sees the first tensor only, the rest stay behind it as companions. */
  targets: (values: readonly Value[], attrs: Attrs) => readonly (readonly number[])[];
  /** Gradients by input name, from the gradient of the output, the inputs, and the output. */
  gradients: (dOut: Value, values: readonly Value[], out: Value, attrs: Attrs) => Record<string, () => TfTensor>;
}>;

const shape = (values: readonly Value[], index: number): readonly number[] => present(values[index], 'operand').shape;
const pick = (values: readonly Value[], index: number): Value => present(values[index], 'operand');
const first = (tensors: readonly TfTensor[]): TfTensor => present(tensors[0], 'instruction result');
const seed = (): Value => activeRecorder().shared(SEED_INPUT, 'i32', [2]);

const FUSED: readonly Fused[] = [
  {
    op: 'embed',
    inputs: ['table', 'ids'],
    targets: ([table, ids]) => [[dim(ids, 0), dim(table, 1)]],
    gradients: (dOut, v) => ({ table: () => first(emit('embedGrad', [dOut, pick(v, 1)], [shape(v, 0)])) }),
  },
  {
    op: 'rmsNorm',
    inputs: ['x', 'gain'],
    targets: (v) => [shape(v, 0), [dim(v[0], 0)]],
    gradients: (dOut, v, out) => {
      const [x, gain, rstd] = [pick(v, 0), pick(v, 1), companion(out, 1)];
      return {
        x: () => first(emit('rmsNormGradX', [dOut, x, gain, rstd], [x.shape])),
        gain: () => first(emit('rmsNormGradGain', [dOut, x, rstd], [gain.shape])),
      };
    },
  },
  {
    op: 'linear',
    inputs: ['x', 'w'],
    targets: ([x, w]) => [[dim(x, 0), dim(w, 1)]],
    gradients: (dy, v, _, { tensorId = 0 }) => ({
      x: () => first(emit('linearGradX', [dy, pick(v, 1), seed()], [shape(v, 0)], { tensorId })),
      w: () => first(emit('linearGradW', [pick(v, 0), dy, seed()], [shape(v, 1)], { tensorId })),
    }),
  },
  {
    op: 'rope',
    inputs: ['x', 'table', 'positions'],
    targets: (v) => [shape(v, 0)],
    gradients: (dOut, v, _, { heads = 0, inverse = 0 }) => {
      const back = { heads, inverse: 1 - inverse };
      return { x: () => first(emit('rope', [dOut, pick(v, 1), pick(v, 2)], [shape(v, 0)], back)) };
    },
  },
  {
    op: 'attention',
    inputs: ['q', 'k', 'v'],
    targets: (v, { heads = 0 }) => [shape(v, 0), [dim(v[0], 0), 2 * heads]],
    gradients: (dOut, v, out, attrs) =>
      parts(['q', 'k', 'v'], () => {
        const shapes = [shape(v, 0), shape(v, 1), shape(v, 2)];
        return activeRecorder().record('attentionGrad', [dOut, ...v, out, companion(out, 1)], shapes, attrs);
      }),
  },
  {
    op: 'swiglu',
    inputs: ['gate', 'up'],
    targets: (v) => [shape(v, 0)],
    gradients: (dOut, v) =>
      parts(['gate', 'up'], () => activeRecorder().record('swigluGrad', [dOut, ...v], [shape(v, 0), shape(v, 1)])),
  },
  {
    op: 'crossEntropy',
    inputs: ['logits', 'targets'],
    targets: ([logits]) => [[1], [dim(logits, 0)], [dim(logits, 0), 2]],
    gradients: (dLoss, v, loss) => ({
      logits: () => {
        check(
          dLoss.fill === 1,
          'trace: crossEntropy must be the last op: its gradient is that of the mean loss itself',
        );
        return first(emit('crossEntropyGrad', [...v, companion(loss, 2)], [shape(v, 0)]));
      },
    }),
  },
];

/** Results of one instruction for several inputs; it is recorded when the first of them is asked for. */
function parts(names: readonly string[], record: () => readonly Value[]): Record<string, () => TfTensor> {
  let results: readonly Value[] | null = null;
  const part = (index: number) => (): TfTensor => {
    results ??= record();
    return tfjs()
      .engine()
      .makeTensorFromTensorInfo(infoOf(pick(results, index))) as TfTensor;
  };
  return Object.fromEntries(names.map((name, index) => [name, part(index)]));
}

/** A mean loss is a scalar to TensorFlow.js and a tensor [1] to the program. */
const shownShape = (op: Op, out: Value): readonly number[] => (op === 'crossEntropy' ? [] : out.shape);

/** Attributes of the kernel that are only for its gradient. */
function forwardAttrs(op: Op, attrs: Attrs): Attrs {
  return op === 'linear' ? {} : attrs;
}

function install({ op, inputs: names, targets, gradients }: Fused): void {
  registerTraceKernel(kernelName(op), (inputs, attributes): TfTensorInfo => {
    const attrs = attributes as Attrs;
    const values = names.map((name) => programValue(inputs[name], `${op} ${name}`));
    const out = pick(activeRecorder().record(op, values, targets(values, attrs), forwardAttrs(op, attrs)), 0);
    return infoOf(out, shownShape(op, out));
  });
  tfjs().registerGradient({
    kernelName: kernelName(op),
    inputsToSave: [...names],
    outputsToSave: [true],
    gradFunc: (dOut, saved, attrs) => {
      const values = saved.map((tensor) => programValue(tensor, `${op} saved tensor`));
      const dValue = programValue(dOut as TfTensor, `gradient of ${op}`);
      return gradients(dValue, values.slice(0, -1), pick(values, values.length - 1), attrs as Attrs);
    },
  });
}

onRegister(() => FUSED.forEach(install));
