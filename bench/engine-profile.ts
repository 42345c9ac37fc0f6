// Owns the time of one training step by instruction: each distinct instruction alone, times how often it occurs.

import { present } from '../base/check.ts';
import { prng } from '../base/prng.ts';
import type { Executor, LoadedProgram } from '../engine/executor.ts';
import { type Instruction, OPS } from '../engine/instruction.ts';
import { ProgramBuilder, type TensorProgram } from '../engine/program.ts';
import { noTimes, time } from './timing.ts';

const TOKENS = 1024;
const REPEATS = 4;

/** Fills state and inputs: moments zero, gains one, everything else small and random. */
export function fillRandom(loaded: LoadedProgram, seed: string): void {
  // A cheap generator seeded by the strong one: millions of weights.
  let word = prng(seed).u32() | 1;
  const next = () => {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    return word / 2 ** 32;
  };
  for (const { name, role, dtype, shape } of loaded.program.tensors) {
    if (role === 'temp' || role === 'output') continue;
    const view = loaded.view(name);
    for (let i = 0; i < view.length; i++) {
      if (dtype === 'i32') view[i] = Math.floor(next() * TOKENS);
      else if (name.startsWith('m.') || name.startsWith('v.')) view[i] = 0;
      else view[i] = shape.length === 1 ? 1 : (next() - 0.5) * 0.1;
    }
  }
}

/** One run that must succeed. */
export function runStep(loaded: LoadedProgram): void {
  const outcome = loaded.run();
  if (!outcome.ok) throw new Error(`step failed: ${outcome.op} ${outcome.reason}`);
}

/** Prints processor milliseconds by instruction name, the greatest first. */
export function profile(executor: Executor, program: TensorProgram): void {
  const totals = new Map<string, number>();
  const seen = new Map<string, number>();
  for (const instruction of program.instructions) {
    const shapes = [...instruction.inputs, ...instruction.outputs].map((id) => program.tensors[id]?.shape.join('x'));
    const key = `${instruction.op} ${shapes.join(' ')}`;
    const ms = seen.get(key) ?? alone(executor, program, instruction);
    seen.set(key, ms);
    totals.set(instruction.op, (totals.get(instruction.op) ?? 0) + ms);
  }
  console.log(`by instruction, ${executor.description}:`);
  for (const [op, ms] of [...totals].sort((a, b) => b[1] - a[1])) console.log(`  ${op.padEnd(18)} ${ms.toFixed(2)} ms`);
}

function alone(executor: Executor, program: TensorProgram, { op, inputs, outputs, attrs }: Instruction): number {
  const builder = new ProgramBuilder();
  const ids = new Map<number, number>();
  for (const id of [...inputs, ...outputs]) {
    if (ids.has(id)) continue;
    const { name, dtype, shape } = present(program.tensors[id], 'tensor');
    ids.set(id, builder.tensor(name, dtype, shape, outputs.includes(id) ? 'state' : 'input'));
  }
  const map = (list: readonly number[]) => list.map((id) => present(ids.get(id), 'operand'));
  builder.emit(op, map(inputs), map(outputs), attrs);
  const loaded = executor.load(builder.finish(`only-${OPS[op].code}`));
  fillRandom(loaded, 'profile');
  if (op === 'rope') loaded.view(present(program.tensors[inputs[2] ?? 0], 'positions').name).fill(0);
  const times = noTimes();
  for (let i = 0; i < REPEATS; i++) time(times, () => runStep(loaded));
  loaded.close();
  return Math.min(...times.cpu);
}
