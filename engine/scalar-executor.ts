// Owns the scalar oracle as an executor: slow, plain, and independent of the kernels. Tensors that are no state have
// buffers of their own, so the memory plan is not trusted either.

import { check, present } from '../base/check.ts';
import { FaultError, fault } from '../base/fault.ts';
import type { Executor, LoadedProgram, RunOutcome } from './executor.ts';
import { type Instruction, OPS } from './instruction.ts';
import { checkSharedState } from './loaded-program.ts';
import { type TensorProgram, elementCount, findTensor } from './program.ts';
import { type Reason, Refused, SCALAR_OPS, type Value } from './scalar-ops.ts';

export function createScalarExecutor(): Executor {
  return {
    backend: 'scalar',
    description: 'scalar oracle, 1 thread (slow: for checking other backends)',
    threads: 1,
    load: (program, options) => load(program, options?.shareState),
    close: async () => undefined,
  };
}

const states = new WeakMap<LoadedProgram, ArrayBuffer>();

function take(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch {
    throw new FaultError(fault('engine/memory', `arena of ${bytes} bytes cannot be had`, { bytes }));
  }
}

function load(program: TensorProgram, shareState: LoadedProgram | undefined): LoadedProgram {
  if (shareState !== undefined) checkSharedState(program, shareState.program);
  const state = shareState === undefined ? take(program.stateBytes) : states.get(shareState);
  check(state !== undefined, 'load: shared state belongs to another executor');
  const values = program.tensors.map(({ dtype, role, shape, offset }): Value => {
    const length = elementCount(shape);
    const [buffer, at] = role === 'state' ? [state, offset] : [take(4 * length), 0];
    return { shape, data: dtype === 'f32' ? new Float32Array(buffer, at, length) : new Int32Array(buffer, at, length) };
  });
  const loaded: LoadedProgram = {
    program,
    view(name) {
      const tensor = findTensor(program, name);
      check(tensor !== undefined && tensor.role !== 'temp', `view: no state, input or output tensor named ${name}`);
      return present(values[tensor.id], name).data;
    },
    stateBytes: () => new Uint8Array(state),
    run: () => run(program, values),
    weightsChanged: () => undefined,
    close: () => undefined,
  };
  states.set(loaded, state);
  return loaded;
}

function run(program: TensorProgram, values: readonly Value[]): RunOutcome {
  for (const [at, instruction] of program.instructions.entries()) {
    const reason = runOne(instruction, values);
    if (reason !== null) return { ok: false, instruction: at, op: instruction.op, reason };
  }
  return { ok: true };
}

function runOne({ op, inputs, outputs, attrs }: Instruction, values: readonly Value[]): Reason | null {
  const pick = (ids: readonly number[]) => ids.map((id) => present(values[id], 'tensor'));
  const [ins, outs] = [pick(inputs), pick(outputs)];
  try {
    if (!OPS[op].seesNonFinite && !ins.every(isFiniteValue)) return 'non-finite';
    SCALAR_OPS[op](ins, outs, attrs);
  } catch (error) {
    if (error instanceof Refused) return error.reason;
    throw error;
  }
  return outs.every(isFiniteValue) ? null : 'non-finite';
}

function isFiniteValue({ data }: Value): boolean {
  return data.every((x: number) => Number.isFinite(x));
}
