// Owns the TensorFlow.js backend whose tensors are symbolic: its kernels write instructions instead of numbers.
// The fused kernels and their gradients are fused-kernels.ts; the public call is tracer.ts.

import { check, present } from '../../base/check.ts';
import type { Recorder, Value } from './recorder.ts';
import {
  type TfAttributes,
  type TfDataId,
  type TfKernelInputs,
  type TfTensor,
  type TfTensorInfo,
  tfjs,
} from './tfjs.ts';

export const TRACE_BACKEND = 'tensor-program';

type Cell = { readonly value: Value; references: number };

const cells = new WeakMap<TfDataId, Cell>();
let cellCount = 0;
let recorder: Recorder | null = null;

/** The trace that is running; throws outside of one. */
export function activeRecorder(): Recorder {
  return present(recorder, `trace: no trace is running on backend ${TRACE_BACKEND}; recorder`);
}

/** A TensorFlow.js tensor description bound to `value`, seen under `shape` (same element count). */
export function infoOf(value: Value, shape: readonly number[] = value.shape): TfTensorInfo {
  const dataId: TfDataId = {};
  cells.set(dataId, { value, references: 1 });
  cellCount++;
  return { dataId, shape: [...shape], dtype: value.dtype === 'f32' ? 'float32' : 'int32' };
}

/** The program value behind a tensor, which must be seen under the shape it was written with. */
export function programValue(info: TfTensorInfo | undefined, what: string): Value {
  const value = boundValue(info, what);
  const seen = present(info, what).shape;
  const same = seen.length === value.shape.length && seen.every((size, axis) => size === value.shape[axis]);
  const scalar = seen.length === 0 && value.shape.length === 1 && value.shape[0] === 1;
  check(
    same || scalar,
    `trace: ${what} is a reshaped view [${seen}] of [${value.shape}]; instructions take whole tensors`,
  );
  return value;
}

function boundValue(info: TfTensorInfo | undefined, what: string): Value {
  const cell = cells.get(present(info, `trace: input ${what}`).dataId);
  return present(cell, `trace: ${what} was made outside of this trace; symbolic value`).value;
}

/** Runs `body` with the tracing backend in place and puts the caller's backend back, whatever happens. */
export function withRecorder<T>(active: Recorder, body: () => T): T {
  const tf = tfjs();
  check(recorder === null, 'trace: traces do not nest');
  ensureRegistered();
  const engine = tf.engine();
  const previous: string | null = engine.backendName ?? null;
  recorder = active;
  switchBackend(TRACE_BACKEND);
  engine.startScope();
  try {
    return body();
  } finally {
    engine.endScope();
    recorder = null;
    if (previous !== null && previous !== TRACE_BACKEND) switchBackend(previous);
  }
}

/** Backends that start without waiting are in place when this returns; the tracing one is. */
function switchBackend(name: string): void {
  void tfjs().setBackend(name);
  check(tfjs().engine().backendName === name, `trace: TensorFlow.js backend ${name} did not start`);
}

type Handler = (inputs: TfKernelInputs, attrs: TfAttributes) => TfTensorInfo | TfTensorInfo[];

export function registerTraceKernel(kernelName: string, handler: Handler): void {
  tfjs().registerKernel({
    kernelName,
    backendName: TRACE_BACKEND,
    kernelFunc: ({ inputs, attrs }) => handler(inputs, attrs ?? {}),
  });
}

let registered = false;
const registrations: (() => void)[] = [];

/** Adds kernels to install when the backend is first needed. */
export function onRegister(install: () => void): void {
  registrations.push(install);
}

function ensureRegistered(): void {
  if (registered) return;
  registered = true;
  const tf = tfjs();
  tf.registerBackend(TRACE_BACKEND, makeBackend);
  for (const name of [tf.Identity, tf.Reshape, tf.Cast]) registerTraceKernel(name, alias);
  registerTraceKernel(tf.Add, ({ a, b }) => addValues([a, b]));
  registerTraceKernel(tf.AddN, (inputs) => addValues(Object.values(inputs)));
  registerTraceKernel(tf.Multiply, multiply);
  registerTraceKernel(tf.ZerosLike, ({ x }) => infoOf(activeRecorder().constant(0, 'f32', present(x, 'x').shape)));
  for (const install of registrations) install();
  refuseOtherKernels();
  registerPlainGradients();
}

/** Every other kernel TensorFlow.js knows is a refusal naming it. */
function refuseOtherKernels(): void {
  const tf = tfjs();
  for (const [key, value] of Object.entries(tf)) {
    if (key !== value || !/^_?[A-Z]/.test(key) || tf.getKernel(key, TRACE_BACKEND) !== undefined) continue;
    registerTraceKernel(key, () => {
      throw new Error(`trace: TensorFlow.js kernel ${key} has no tensor-program instruction; use the fused ops`);
    });
  }
}

/** TensorFlow.js core alone brings no gradients: the few ops that trace get theirs, unless the full package is loaded. */
function registerPlainGradients(): void {
  const tf = tfjs();
  const gradients: Readonly<Record<string, GradFunc>> = {
    [tf.Identity]: (dy) => ({ x: () => dy }),
    [tf.Cast]: (dy) => ({ x: () => dy }),
    [tf.Reshape]: (dy, [x]) => ({ x: () => tf.reshape(dy, present(x, 'reshape input').shape) }),
    [tf.Add]: (dy) => ({ a: () => tf.clone(dy), b: () => tf.clone(dy) }),
    [tf.AddN]: (dy, saved) => Object.fromEntries(saved.map((_, i) => [i, () => tf.clone(dy)])),
    [tf.Multiply]: (dy, [a, b]) => ({
      a: () => tf.mul(dy, present(b, 'factor')),
      b: () => tf.mul(dy, present(a, 'factor')),
    }),
  };
  const saves: Readonly<Record<string, Partial<GradConfig>>> = {
    [tf.Reshape]: { inputsToSave: ['x'] },
    [tf.AddN]: { saveAllInputs: true },
    [tf.Multiply]: { inputsToSave: ['a', 'b'] },
  };
  for (const [kernelName, make] of Object.entries(gradients)) {
    if (tf.getGradient(kernelName) !== undefined) continue;
    const gradFunc = (dy: TfTensor | TfTensor[], saved: TfTensor[]) => make(dy as TfTensor, saved);
    tf.registerGradient({ kernelName, gradFunc, ...saves[kernelName] });
  }
}

type GradConfig = Parameters<ReturnType<typeof tfjs>['registerGradient']>[0];
type GradFunc = (dy: TfTensor, saved: TfTensor[]) => Record<string, () => TfTensor>;

/** Another name and shape for the same storage. */
function alias({ x }: TfKernelInputs, attrs: TfAttributes): TfTensorInfo {
  const info = present(x, 'alias input');
  const shape = (attrs.shape as number[] | undefined) ?? info.shape;
  const wanted = attrs.dtype as string | undefined;
  check(
    wanted === undefined || wanted === info.dtype,
    `trace: Cast from ${info.dtype} to ${wanted} has no instruction`,
  );
  return infoOf(boundValue(info, 'alias input'), shape);
}

function addValues(infos: readonly (TfTensorInfo | undefined)[]): TfTensorInfo {
  const [first, ...rest] = infos.map((info) => programValue(info, 'Add operand'));
  let sum = present(first, 'trace: AddN of nothing; first operand');
  for (const next of rest) {
    const equal = `${next.shape}` === `${sum.shape}`;
    check(equal, `trace: Add of [${sum.shape}] and [${next.shape}] would broadcast, which has no instruction`);
    sum = present(activeRecorder().record('add', [sum, next], [sum.shape])[0], 'add output');
  }
  return infoOf(sum, present(infos[0], 'Add operand').shape);
}

/** A product with one constant factor is a scaling; any other product has no instruction. */
function multiply({ a, b }: TfKernelInputs): TfTensorInfo {
  const left = boundValue(a, 'Multiply a');
  const right = boundValue(b, 'Multiply b');
  if (left.fill !== null && right.fill !== null) {
    const shape = left.shape.length > right.shape.length ? left.shape : right.shape;
    return infoOf(activeRecorder().constant(left.fill * right.fill, 'f32', shape));
  }
  const [factor, info] = left.fill !== null ? [left.fill, b] : [right.fill, a];
  check(factor !== null, 'trace: TensorFlow.js kernel Multiply of two tensors has no tensor-program instruction');
  const value = programValue(info, 'Multiply operand');
  const [scaled] = activeRecorder().record('scale', [value], [value.shape], { factor });
  return infoOf(present(scaled, 'scale output'), present(info, 'Multiply operand').shape);
}

/** Constants enter through here (TensorFlow.js makes ones and zeros in its gradients): only uniform ones are known. */
function write(values: ArrayLike<number>, shape: number[], dtype: string): TfDataId {
  check(dtype === 'float32' || dtype === 'int32', `trace: a constant of type ${dtype} has no place in a program`);
  const fill = values?.[0] ?? 0;
  for (let i = 0; i < (values?.length ?? 0); i++) {
    check(values[i] === fill, 'trace: a constant of unequal values has no place in a program; declare an input');
  }
  return infoOf(activeRecorder().constant(fill, dtype === 'float32' ? 'f32' : 'i32', shape)).dataId;
}

function release(dataId: TfDataId, force = false): boolean {
  const cell = cells.get(dataId);
  if (cell === undefined) return true;
  cell.references--;
  if (cell.references > 0 && !force) return false;
  cells.delete(dataId);
  cellCount--;
  return true;
}

function makeBackend(): InstanceType<ReturnType<typeof tfjs>['KernelBackend']> {
  const backend = new (tfjs().KernelBackend)();
  const noValues = (): never => {
    throw new Error('trace: a symbolic tensor has no values; mark it as an output and read it after a run');
  };
  return Object.assign(backend, {
    write,
    numDataIds: () => cellCount,
    refCount: (dataId: TfDataId) => cells.get(dataId)?.references ?? 0,
    incRef: (dataId: TfDataId) => {
      present(cells.get(dataId), 'trace: data id').references++;
    },
    disposeData: release,
    read: noValues,
    readSync: noValues,
    floatPrecision: () => 32 as const,
    epsilon: () => 1e-7,
    memory: () => ({ unreliable: true }),
    timerAvailable: () => false,
    dispose: () => undefined,
  });
}
