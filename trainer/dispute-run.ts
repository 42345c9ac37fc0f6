// Owns running one training step instruction by instruction, with every tensor in sight: what a disputed step is compared with.
// The bits are those of the whole program (docs/protocol/kernel-spec.md); memory is that of the tensors still needed.

import { present } from '../base/check.ts';
import type { Executor, RunOutcome } from '../engine/executor.ts';
import { type Instruction, OPS } from '../engine/instruction.ts';
import { ProgramBuilder, type TensorProgram, elementCount } from '../engine/program.ts';
import { updateInput } from '../engine/repeat.ts';
import type { Value } from '../engine/scalar-ops.ts';
import { fillBatch } from './dataset.ts';
import type { StepConstants } from './dispute-layout.ts';
import { lossBitsOf } from './leaf.ts';
import { type SlotTask, stepData, stepNumbers } from './replay.ts';
import { roundingSeed } from './schedule.ts';
import { GRADIENT_PREFIX, INPUTS, OUTPUTS } from './train-program.ts';

/**
 * What a step is given. `state` is params ‖ m ‖ v before it and is not changed; tokens, targets and the eight numbers of each
 * update stand one after the other.
 */
export type StepGiven = Readonly<{
  state: Uint8Array;
  updates: number;
  tokens: Int32Array;
  targets: Int32Array;
  seed: Int32Array;
  hyper: Float32Array;
}>;

/** Sees each instruction with its operands; 'stop' ends the walk. Outputs may be changed: later instructions read the change. */
export type StepVisitor = (
  at: number,
  instruction: Instruction,
  inputs: readonly Value[],
  outputs: readonly Value[],
) => 'stop' | undefined;

export type WalkOutcome =
  | Readonly<{ ok: true; stateAfter: Uint8Array; gradients: Uint8Array; lossBits: number }>
  | Readonly<{ ok: false; stopped: true }>
  | Readonly<{ ok: false; stopped: false; outcome: Exclude<RunOutcome, { ok: true }> }>;

/** What the step of a slot is given, from the round and the data. */
export function givenOf(task: SlotTask, step: number, state: Uint8Array): StepGiven {
  const { spec, slot, rules } = task;
  const { sequences } = stepData(task, step);
  const rows = sequences.length * rules.sequenceLength;
  const [tokens, targets] = [new Int32Array(rows), new Int32Array(rows)];
  fillBatch(sequences, tokens, targets);
  return {
    state,
    updates: rules.updates,
    tokens,
    targets,
    seed: roundingSeed(spec.seed, slot, step),
    hyper: stepNumbers(task, step),
  };
}

export function walkStep(
  executor: Executor,
  program: TensorProgram,
  given: StepGiven,
  constants: StepConstants,
  visit: StepVisitor,
): WalkOutcome {
  const { tensors, instructions } = program;
  const values = startValues(program, given, constants);
  const lastUse = new Map<number, number>();
  for (const [at, { inputs, outputs }] of instructions.entries())
    for (const id of [...inputs, ...outputs]) lastUse.set(id, at);
  const stateAfter = given.state.slice();
  const gradients = new Uint8Array(given.state.length / 3);
  const firstGradient = Math.min(
    ...tensors.filter(({ name, role }) => isGradient(name, role)).map(({ offset }) => offset),
  );
  let lossBits = 0;
  for (const [at, instruction] of instructions.entries()) {
    const inputs = instruction.inputs.map((id) => present(values.get(id), 'operand'));
    const done = runAlone(executor, program, instruction, inputs);
    if (!done.ok) return { ok: false, stopped: false, outcome: { ...done.outcome, instruction: at } };
    if (visit(at, instruction, inputs, done.outputs) === 'stop') return { ok: false, stopped: true };
    for (const [index, id] of instruction.outputs.entries()) {
      const tensor = present(tensors[id], 'output');
      const value = present(done.outputs[index], 'value');
      values.set(id, value);
      const bytes = bytesOf(value);
      if (tensor.role === 'state') stateAfter.set(bytes, tensor.offset);
      if (isGradient(tensor.name, tensor.role)) gradients.set(bytes, tensor.offset - firstGradient);
      if (tensor.name === OUTPUTS.loss) lossBits = lossBitsOf(present(value.data[0], 'loss'));
    }
    for (const id of [...instruction.inputs, ...instruction.outputs]) if (lastUse.get(id) === at) values.delete(id);
  }
  return { ok: true, stateAfter, gradients, lossBits };
}

const isGradient = (name: string, role: string): boolean => role === 'output' && name.startsWith(GRADIENT_PREFIX);

/** The bytes of a tensor as trees commit to them: little-endian words. */
export function bytesOf({ data }: Value): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function startValues({ tensors }: TensorProgram, given: StepGiven, constants: StepConstants): Map<number, Value> {
  const { updates } = given;
  const inputs: Record<string, Value['data']> = {
    [INPUTS.seed]: given.seed,
    [INPUTS.positions]: constants.positions,
    [INPUTS.ropeTable]: constants.ropeTable,
  };
  for (let update = 0; update < updates; update++)
    for (const name of ['tokens', 'targets', 'hyper'] as const)
      inputs[updateInput(INPUTS[name], update, updates)] = ofUpdate(given, name, update);
  const values = new Map<number, Value>();
  for (const { id, name, shape, role, offset } of tensors) {
    if (role === 'state') {
      const bytes = given.state.slice(offset, offset + 4 * elementCount(shape));
      values.set(id, { shape, data: new Float32Array(bytes.buffer) });
    } else if (role === 'input') {
      values.set(id, { shape, data: present(inputs[name], name) });
    }
  }
  return values;
}

/** The part of an input of a step that one of its updates reads. */
export function ofUpdate<Name extends 'tokens' | 'targets' | 'hyper'>(
  given: StepGiven,
  name: Name,
  update: number,
): StepGiven[Name] {
  const all = given[name];
  const size = all.length / given.updates;
  return all.slice(update * size, (update + 1) * size) as StepGiven[Name];
}

type Alone = Readonly<
  { ok: true; outputs: readonly Value[] } | { ok: false; outcome: Exclude<RunOutcome, { ok: true }> }
>;

/** One instruction as a program of its own, so that its operands can be seen. */
function runAlone(
  executor: Executor,
  program: TensorProgram,
  instruction: Instruction,
  given: readonly Value[],
): Alone {
  const { op, inputs, outputs, attrs } = instruction;
  const builder = new ProgramBuilder();
  const inPlace = OPS[op].inPlace ?? {};
  const tensor = (id: number) => present(program.tensors[id], 'tensor');
  // Outputs that must be an input's tensor live in the state of the small program.
  const shared = new Set(Object.entries(inPlace).flatMap(([out, { must }]) => (must ? [outputs[Number(out)]] : [])));
  const ids = inputs.map((id, i) => {
    const { dtype, shape } = tensor(id);
    return builder.tensor(`in${i}`, dtype, shape, shared.has(id) ? 'state' : 'input');
  });
  const outs = outputs.map((id, i) => {
    if (shared.has(id)) return { name: `in${inputs.indexOf(id)}`, id: present(ids[inputs.indexOf(id)], 'input') };
    const { dtype, shape } = tensor(id);
    return { name: `out${i}`, id: builder.tensor(`out${i}`, dtype, shape, 'output') };
  });
  builder.emit(
    op,
    ids,
    outs.map(({ id }) => id),
    attrs,
  );
  const loaded = executor.load(builder.finish('one-instruction'));
  try {
    for (const [i, value] of given.entries()) loaded.view(`in${i}`).set(value.data);
    const outcome = loaded.run();
    if (!outcome.ok) return { ok: false, outcome };
    const values = outs.map(({ name }, i) => ({
      shape: tensor(outputs[i] ?? -1).shape,
      data: loaded.view(name).slice(),
    }));
    return { ok: true, outputs: values };
  } finally {
    loaded.close();
  }
}
