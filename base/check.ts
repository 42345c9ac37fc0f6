// Owns the assertion of invariants: a broken one is a bug, so it throws. Refusals of outside input are base/fault.ts.

/** An invariant did not hold: a defect of this program, never of its input. */
export class BrokenInvariant extends Error {
  override readonly name = 'BrokenInvariant';
}

/** Throws {@link BrokenInvariant} unless `condition` holds. */
export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new BrokenInvariant(message);
}

/** The value, or a throw when it is null or undefined: for look-ups an invariant guarantees. */
export function present<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new BrokenInvariant(`${what} is missing`);
  return value;
}

/** Marks a switch as exhaustive: fails to compile when a case is left out. */
export function never(value: never): never {
  throw new BrokenInvariant(`unexpected variant ${JSON.stringify(value)}`);
}
