// Owns repetition: from the program of one optimizer update, the program of several in a row on inputs of their own, so that
// the state is committed to once for all of them (docs/protocol/kernel-spec.md, T5).

import { check, present } from '../base/check.ts';
import { ProgramBuilder, type TensorProgram } from './program.ts';

export type Repetition = Readonly<{
  /** Updates of a step. */
  updates: number;
  /** Inputs each update has its own of; they are named as {@link updateInput} says, with the same shape. */
  ownInputs: readonly string[];
}>;

/** Name of an own input of an update, where a step has so many updates. */
export const updateInput = (name: string, update: number, updates: number): string =>
  updates === 1 ? name : `${name}/${update}`;

/**
 * `program` run `updates` times on one state. Outputs are those of the last run. The rounding key of a linear layer of update
 * u is its tensorId + u * (1 + the greatest tensorId), so that no two updates share noise. With one update the program itself.
 * Throws a FaultError when the result is over a limit.
 */
export function repeat(program: TensorProgram, { updates, ownInputs }: Repetition): TensorProgram {
  check(Number.isInteger(updates) && updates >= 1, 'repeat: updates from 1');
  if (updates === 1) return program;
  const builder = new ProgramBuilder();
  const ids: Map<number, number>[] = Array.from({ length: updates }, () => new Map<number, number>());
  for (const { id, name, dtype, shape, role } of program.tensors) {
    if (role === 'temp') continue;
    if (role === 'input' && ownInputs.includes(name)) {
      for (const [update, own] of ids.entries())
        own.set(id, builder.tensor(updateInput(name, update, updates), dtype, shape, role));
      continue;
    }
    const shared = builder.tensor(name, dtype, shape, role);
    for (const own of ids) own.set(id, shared);
  }
  const keys = 1 + Math.max(0, ...program.instructions.map(({ attrs }) => attrs.tensorId ?? 0));
  for (const [update, own] of ids.entries()) {
    for (const { id, name, dtype, shape, role } of program.tensors)
      if (role === 'temp') own.set(id, builder.tensor(updateInput(name, update, updates), dtype, shape, role));
    const place = (id: number): number => present(own.get(id), 'operand');
    for (const { op, inputs, outputs, attrs } of program.instructions) {
      const rekeyed = attrs.tensorId === undefined ? attrs : { ...attrs, tensorId: attrs.tensorId + update * keys };
      builder.emit(op, inputs.map(place), outputs.map(place), rekeyed);
    }
  }
  return builder.finish(program.name);
}
