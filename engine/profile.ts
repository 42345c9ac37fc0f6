// Owns the numeric profiles of a program: which arithmetic its linear layers use. The rest is the same in both
// (kernel-spec.md, sections 5 and 5a).

import { check, present } from '../base/check.ts';
import type { Instruction, Op } from './instruction.ts';
import { ProgramBuilder, type TensorProgram } from './program.ts';

/** `i8`: int8 products with scales; `bf16x`: bf16 operands, f32 sums in order. */
export type NumericProfile = 'i8' | 'bf16x';

const IN_BF16X: Readonly<Partial<Record<Op, Op>>> = {
  linear: 'linearBf16',
  linearGradX: 'linearBf16GradX',
  linearGradW: 'linearBf16GradW',
};

/** The program with its linear layers in another profile, written in `i8`; tensors and their order stay. */
export function inProfile(program: TensorProgram, profile: NumericProfile): TensorProgram {
  if (profile === 'i8') return program;
  const builder = new ProgramBuilder();
  for (const [id, { name, dtype, shape, role }] of program.tensors.entries())
    check(builder.tensor(name, dtype, shape, role) === id, 'inProfile: tensor ids are their order');
  for (const instruction of program.instructions) {
    const { op, inputs, outputs, attrs } = toBf16x(instruction);
    builder.emit(op, inputs, outputs, attrs);
  }
  return builder.finish(program.name);
}

/** Without the seed and tensor id of stochastic rounding, which bf16x has not. */
function toBf16x(instruction: Instruction): Instruction {
  const op = IN_BF16X[instruction.op];
  if (op === undefined) return instruction;
  const [left, right] = instruction.inputs;
  return { op, inputs: [present(left, 'left'), present(right, 'right')], outputs: instruction.outputs, attrs: {} };
}
