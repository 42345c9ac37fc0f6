// Owns the recording of one trace: symbolic values, the instructions between them, removal of what nothing needs, and the
// hand-over to the program builder. It knows nothing of TensorFlow.js and plans no memory.

import { check, present } from '../../base/check.ts';
import type { Op } from '../instruction.ts';
import { type DType, ProgramBuilder, type Role, type TensorProgram } from '../program.ts';

/** A tensor of the program being recorded. It has a shape and a producer, never numbers. */
export type Value = {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Every element equals this number when the value is a constant, else null. */
  readonly fill: number | null;
  /** The instruction that wrote it first; null for state, inputs and constants. */
  readonly producer: Recorded | null;
  role: Role;
  name: string;
};

type Recorded = {
  readonly op: Op;
  readonly inputs: readonly Value[];
  readonly outputs: Value[];
  readonly attrs: Readonly<Record<string, number>>;
};

export type Attrs = Readonly<Record<string, number>>;

/** What an instruction writes: a new tensor of a shape, or a state tensor changed in place. */
export type Target = Value | readonly number[];

export type Recorder = Readonly<{
  declare(name: string, dtype: DType, shape: readonly number[], role: 'state' | 'input'): Value;
  /** The input of this name, declared on first use: for inputs that many instructions read. */
  shared(name: string, dtype: DType, shape: readonly number[]): Value;
  /** A running number for each linear layer in the order of the trace: keys its rounding noise. */
  nextLinear(): number;
  constant(fill: number, dtype: DType, shape: readonly number[]): Value;
  record(op: Op, inputs: readonly Value[], targets: readonly Target[], attrs?: Attrs): readonly Value[];
  /** Names `value` as an output; outputs lie in the order of these calls. */
  output(name: string, value: Value): void;
  finish(programName: string): TensorProgram;
}>;

const isValue = (target: Target): target is Value => !Array.isArray(target);

/** An empty trace. */
export function createRecorder(): Recorder {
  const declared: Value[] = [];
  const outputs: Value[] = [];
  const instructions: Recorded[] = [];
  const names = new Set<string>();
  let nextId = 0;
  let linears = 0;

  function claim(name: string): void {
    check(!names.has(name), `trace: tensor name ${name} is declared twice`);
    names.add(name);
  }

  function make(dtype: DType, shape: readonly number[], role: Role, rest: Partial<Value> = {}): Value {
    const id = nextId++;
    return { id, dtype, shape, role, fill: null, producer: null, name: `t${id}`, ...rest };
  }

  function record(op: Op, inputs: readonly Value[], targets: readonly Target[], attrs: Attrs = {}): readonly Value[] {
    const instruction: Recorded = { op, inputs: inputs.map(materialise), outputs: [], attrs };
    for (const target of targets) {
      if (isValue(target))
        check(target.role === 'state', `trace: ${op} writes ${target.name} in place, which is no state`);
      instruction.outputs.push(isValue(target) ? target : make('f32', target, 'temp', { producer: instruction }));
    }
    instructions.push(instruction);
    return instruction.outputs;
  }

  /** Constants have no storage: zero becomes an instruction, anything else has no place in a program. */
  function materialise(value: Value): Value {
    if (value.fill === null) return value;
    check(
      value.fill === 0 && value.dtype === 'f32',
      `trace: a constant ${value.fill} cannot be an operand; declare an input`,
    );
    return present(record('zero', [], [value.shape])[0], 'zero output');
  }

  function declare(name: string, dtype: DType, shape: readonly number[], role: 'state' | 'input'): Value {
    claim(name);
    const value = make(dtype, shape, role, { name });
    declared.push(value);
    return value;
  }

  return {
    declare,
    shared: (name, dtype, shape) =>
      declared.find((value) => value.name === name) ?? declare(name, dtype, shape, 'input'),
    nextLinear: () => linears++,
    constant: (fill, dtype, shape) => make(dtype, shape, 'temp', { fill }),
    record,
    output(name, value) {
      claim(name);
      const fresh = value.fill === null && value.role === 'temp';
      const target = fresh ? value : present(record('copy', [value], [value.shape])[0], 'copy output');
      target.role = 'output';
      target.name = name;
      outputs.push(target);
    },
    finish: (programName) => build(programName, declared, outputs, live(instructions)),
  };
}

/** Instructions whose results reach an output or change state, in order. */
function live(instructions: readonly Recorded[]): readonly Recorded[] {
  const needed = new Set<Value>();
  const kept: Recorded[] = [];
  for (const instruction of instructions.toReversed()) {
    if (!instruction.outputs.some((value) => value.role !== 'temp' || needed.has(value))) continue;
    for (const value of instruction.inputs) needed.add(value);
    kept.push(instruction);
  }
  return kept.reverse();
}

function build(
  name: string,
  declared: readonly Value[],
  outputs: readonly Value[],
  instructions: readonly Recorded[],
): TensorProgram {
  const builder = new ProgramBuilder();
  const ids = new Map<Value, number>();
  const declare = (value: Value): void => {
    if (!ids.has(value)) ids.set(value, builder.tensor(value.name, value.dtype, value.shape, value.role));
  };
  for (const role of ['state', 'input'] as const) declared.filter((value) => value.role === role).forEach(declare);
  outputs.forEach(declare);
  for (const instruction of instructions) instruction.outputs.forEach(declare);
  const idOf = (value: Value): number => present(ids.get(value), `trace: tensor ${value.name}`);
  for (const { op, inputs, outputs: written, attrs } of instructions) {
    builder.emit(op, inputs.map(idOf), written.map(idOf), attrs);
  }
  return builder.finish(name);
}
