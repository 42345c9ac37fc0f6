// Owns which weights stay packed from one run to the next, and where: behind the state, so that programs with one state
// share them. Packing is lossless for the result: the same int8 values and scales that every run would make anew.

import { check } from '../base/check.ts';
import { packedBytes } from './memory-plan.ts';
import type { TensorProgram } from './program.ts';

/** Places by tensor id, in bytes from the start of the state region. They follow from the state's layout alone. */
export type KeptPlan = Readonly<{ offsets: ReadonlyMap<number, number>; end: number }>;

/** Room for every matrix of the state. */
export function planKeptWeights(program: TensorProgram): KeptPlan {
  const offsets = new Map<number, number>();
  let end = program.stateBytes;
  for (const { id, role, dtype, shape } of program.tensors) {
    const [depth, lines] = shape;
    if (role !== 'state' || dtype !== 'f32' || shape.length !== 2 || depth === undefined || lines === undefined)
      continue;
    offsets.set(id, end);
    end += packedBytes(lines, depth);
  }
  return { offsets, end };
}

/** What one state's kept weights hold: the places packed since its bytes last changed. */
export type KeptState = Readonly<{ packed: Set<number>; end: number }>;

export function keptState(plan: KeptPlan | null, shared: KeptState | undefined): KeptState {
  check(
    plan === null || shared === undefined || shared.end === plan.end,
    'keepWeights: the shared state was loaded without it',
  );
  return shared ?? { packed: new Set(), end: plan?.end ?? 0 };
}

/** Right operands of `linear` that the program leaves alone, by place; empty without a plan. */
export function keptPlaces(program: TensorProgram, plan: KeptPlan | null): ReadonlyMap<number, number> {
  const written = new Set(program.instructions.flatMap(({ outputs }) => outputs));
  const places = new Map<number, number>();
  for (const { op, inputs } of program.instructions) {
    const id = inputs[1];
    const place = id === undefined ? undefined : plan?.offsets.get(id);
    if (op === 'linear' && id !== undefined && place !== undefined && !written.has(id)) places.set(id, place);
  }
  return places;
}

/** Runs with packing where a place is stale, without where all are ready. */
export function runKept<T extends Readonly<{ reason: number }>>(
  places: ReadonlyMap<number, number>,
  state: KeptState,
  run: (ready: boolean) => T,
): T {
  const all = [...places.values()];
  const ready = places.size > 0 && all.every((place) => state.packed.has(place));
  const result = run(ready);
  if (result.reason === 0 && !ready) for (const place of all) state.packed.add(place);
  return result;
}
