// Owns what loaded programs of all memory-backed executors share: views, outcomes, the check of shared state.

import { check } from '../base/check.ts';
import type { LoadedProgram, RunOutcome } from './executor.ts';
import { type Tensor, type TensorProgram, elementCount, findTensor } from './program.ts';

type Place = Readonly<{ buffer: ArrayBufferLike; at: number }>;

/** What a backend gives: where the two regions are, and how to run. Reasons are those of kernels/kernel.h. */
export type Arena = Readonly<{
  state: Place;
  work: Place;
  run(): Readonly<{ reason: number; at: number }>;
  weightsChanged(): void;
  close(): void;
}>;

const REASONS = ['non-finite', 'bad-index', 'bf16-range'] as const;

export function loadedProgram(program: TensorProgram, arena: Arena): LoadedProgram {
  let open = true;
  return {
    program,
    view(name) {
      check(open, 'view: the program is closed');
      const tensor = findTensor(program, name);
      check(tensor !== undefined && tensor.role !== 'temp', `view: no state, input or output tensor named ${name}`);
      return viewOf(tensor, program, arena);
    },
    stateBytes() {
      check(open, 'stateBytes: the program is closed');
      return new Uint8Array(arena.state.buffer, arena.state.at, program.stateBytes);
    },
    run() {
      check(open, 'run: the program is closed');
      return outcome(program, arena.run());
    },
    weightsChanged() {
      check(open, 'weightsChanged: the program is closed');
      arena.weightsChanged();
    },
    close() {
      if (open) arena.close();
      open = false;
    },
  };
}

function viewOf(tensor: Tensor, program: TensorProgram, arena: Arena): Float32Array | Int32Array {
  const inState = tensor.role === 'state';
  const { buffer, at } = inState ? arena.state : arena.work;
  const start = at + (inState ? tensor.offset : tensor.offset - program.stateBytes);
  const length = elementCount(tensor.shape);
  return tensor.dtype === 'f32' ? new Float32Array(buffer, start, length) : new Int32Array(buffer, start, length);
}

function outcome(program: TensorProgram, { reason, at }: Readonly<{ reason: number; at: number }>): RunOutcome {
  if (reason === 0) return { ok: true };
  const [name, failed] = [REASONS[reason - 1], program.instructions[at]];
  check(name !== undefined && failed !== undefined, `run: kernel answered reason ${reason} at ${at}`);
  return { ok: false, instruction: at, op: failed.op, reason: name };
}

/** State may be shared only by programs whose state tensors agree in everything. */
export function checkSharedState(program: TensorProgram, other: TensorProgram): void {
  const layout = ({ tensors }: TensorProgram) =>
    tensors
      .filter(({ role }) => role === 'state')
      .map(({ name, dtype, shape, offset }) => `${name} ${dtype} [${shape.join(',')}] @${offset}`)
      .join('\n');
  check(layout(program) === layout(other), `shareState: state of ${program.name} differs from that of ${other.name}`);
}
