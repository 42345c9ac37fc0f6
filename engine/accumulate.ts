// Owns gradient accumulation: from the program of one step on a small batch, the program of one step on several such
// batches, their gradients kept apart and added in ascending order (docs/protocol/kernel-spec.md, T4).

import { check, present } from '../base/check.ts';
import type { Instruction } from './instruction.ts';
import { ProgramBuilder, type Tensor, type TensorProgram } from './program.ts';

export type Accumulation = Readonly<{
  /** Batches of a step. */
  parts: number;
  /** Inputs each part has its own of; they are named `name.0`, `name.1` and so on, the first dimension as before. */
  ownInputs: readonly string[];
  /** Parts that advance together, instruction by instruction: more memory, weights packed once for all of them. No bits. */
  atOnce?: number;
}>;

/** Name of an own input of part `part`, where a step has so many parts. */
export const partInput = (name: string, part: number, parts: number): string =>
  parts === 1 ? name : `${name}.${part}`;

/** Instructions up to the last that no optimizer instruction comes before: forward and backward of one part. */
function updateStart(program: TensorProgram): number {
  const at = program.instructions.findIndex(({ op }) => op === 'gradNorm' || op === 'adamW');
  check(at > 0, 'accumulate: the program has no update');
  return at;
}

type Copier = Readonly<{
  builder: ProgramBuilder;
  program: TensorProgram;
  declare: (id: number, suffix: string) => number;
}>;

function declareIn(builder: ProgramBuilder, program: TensorProgram): Copier {
  const declare = (id: number, suffix: string): number => {
    const { name, dtype, shape, role } = present(program.tensors[id], 'tensor');
    return builder.tensor(`${name}${suffix}`, dtype, shape, suffix === '' ? role : 'temp');
  };
  return { builder, program, declare };
}

/**
 * The step on `parts` batches: every output of forward and backward (gradients, loss) becomes the mean over the parts, the
 * sum taken from part 0 on and multiplied by f32(1 / parts); the update then runs once. The rounding key of a linear layer
 * of part i is its tensorId + i * (1 + the greatest tensorId), so that no two parts share noise. With one part the program
 * itself. Throws a FaultError when the result is over a limit.
 */
export function accumulate(program: TensorProgram, { parts, ownInputs, atOnce = 1 }: Accumulation): TensorProgram {
  check(Number.isInteger(parts) && parts >= 1 && Number.isInteger(atOnce) && atOnce >= 1, 'accumulate: parts from 1');
  if (parts === 1) return program;
  const split = updateStart(program);
  const body = program.instructions.slice(0, split);
  const builder = new ProgramBuilder();
  const { declare } = declareIn(builder, program);
  const shared = new Map<number, number>();
  const own: Map<number, number>[] = Array.from({ length: parts }, () => new Map<number, number>());
  const isOwn = ({ name, role }: Tensor): boolean => role === 'input' && ownInputs.includes(name);
  for (const tensor of program.tensors) {
    if (tensor.role === 'temp') continue;
    if (!isOwn(tensor)) shared.set(tensor.id, declare(tensor.id, ''));
    else
      for (const [part, ids] of own.entries()) {
        const name = partInput(tensor.name, part, parts);
        ids.set(tensor.id, builder.tensor(name, tensor.dtype, tensor.shape, 'input'));
      }
  }
  const keys = 1 + Math.max(0, ...body.map(({ attrs }) => attrs.tensorId ?? 0));
  const sums = new Map<number, number>();
  const emitPart = ({ op, inputs, outputs, attrs }: Instruction, part: number) => {
    const ids = present(own[part], 'part');
    const from = inputs.map((id) => ids.get(id) ?? present(shared.get(id), 'shared operand'));
    for (const id of outputs) ids.set(id, declare(id, `.${part}`));
    const rekeyed = attrs.tensorId === undefined ? attrs : { ...attrs, tensorId: attrs.tensorId + part * keys };
    builder.emit(
      op,
      from,
      outputs.map((id) => present(ids.get(id), 'result')),
      rekeyed,
    );
    for (const id of outputs) if (program.tensors[id]?.role === 'output') addTo(id, part);
  };
  const addTo = (id: number, part: number) => {
    const value = present(own[part]?.get(id), 'result');
    const before = sums.get(id);
    if (before === undefined) {
      sums.set(id, value);
      return;
    }
    const sum = declare(id, `.sum${part}`);
    builder.emit('add', [before, value], [sum]);
    sums.set(id, sum);
    if (part === parts - 1) builder.emit('scale', [sum], [present(shared.get(id), 'output')], { factor: 1 / parts });
  };
  for (let first = 0; first < parts; first += atOnce) {
    const group = Array.from({ length: Math.min(atOnce, parts - first) }, (_, i) => first + i);
    for (const instruction of body) for (const part of group) emitPart(instruction, part);
  }
  for (const { op, inputs, outputs, attrs } of program.instructions.slice(split)) {
    const map = (list: readonly number[]) => list.map((id) => present(shared.get(id), 'operand of the update'));
    builder.emit(op, map(inputs), map(outputs), attrs);
  }
  return builder.finish(program.name);
}
