// Owns the public call of the tracing front end: run a model's TensorFlow.js code once and get a tensor program.
// After that no TensorFlow.js code runs in a step.

import type { DType, TensorProgram } from '../program.ts';
import { infoOf, programValue, withRecorder } from './backend.ts';
import { createRecorder, type Recorder } from './recorder.ts';
import { type Tf, type TfTensor, tfjs } from './tfjs.ts';
import './fused-kernels.ts';

/** What the traced code declares. Tensors are symbolic: they have shapes and no values. */
export type Tracer = Readonly<{
  tf: Tf;
  /** A tensor of the state, which lies at the start of the arena in the order of these calls. Always f32. */
  state<T extends TfTensor = TfTensor>(name: string, shape: readonly number[]): T;
  /** A tensor the host fills before a run. */
  input<T extends TfTensor = TfTensor>(name: string, shape: readonly number[], dtype: DType): T;
  /** Names a result the host reads after a run; outputs lie in the order of these calls. */
  output(name: string, tensor: TfTensor): void;
}>;

/**
 * Records `body` into a program. It is called once, synchronously, with the tracing backend in place; the backend that was
 * set before is set again afterwards. Throws, naming the kernel, when a TensorFlow.js op has no instruction.
 */
export function traceProgram(name: string, body: (tracer: Tracer) => void): TensorProgram {
  const recorder = createRecorder();
  withRecorder(recorder, () => body(tracerOf(recorder)));
  return recorder.finish(name);
}

function tracerOf(recorder: Recorder): Tracer {
  const tensorOf = (name: string, dtype: DType, shape: readonly number[], role: 'state' | 'input'): TfTensor =>
    tfjs()
      .engine()
      .makeTensorFromTensorInfo(infoOf(recorder.declare(name, dtype, shape, role))) as TfTensor;
  return {
    tf: tfjs(),
    state: <T extends TfTensor>(name: string, shape: readonly number[]) => tensorOf(name, 'f32', shape, 'state') as T,
    input: <T extends TfTensor>(name: string, shape: readonly number[], dtype: DType) =>
      tensorOf(name, dtype, shape, 'input') as T,
    output: (name, tensor) => recorder.output(name, programValue(tensor, `output ${name}`)),
  };
}
