// Owns which of the faults a seed draws take effect: all of them, or only a given list. What took effect can be listed, so that
// a failing world is reduced to the few faults that break it.

export type FaultKind = 'loss' | 'delay' | 'cut' | 'crash' | 'lie' | 'flood' | 'skew' | 'sync';

export type FaultGate = Readonly<{
  /** True when the drawn fault at this place takes effect. Places are the numbers it was drawn from. */
  admits(kind: FaultKind, a: number, b?: number, c?: number, d?: number, e?: number): boolean;
}>;

/** Lets everything through. */
export const OPEN_GATE: FaultGate = { admits: () => true };

/** Lets through what is in `only` (everything when null) and adds what it let through to `taken`. */
export function recordingGate(only: ReadonlySet<string> | null, taken: Set<string>): FaultGate {
  return {
    admits(kind, a, b = 0, c = 0, d = 0, e = 0) {
      const name = `${kind}:${a}:${b}:${c}:${d}:${e}`;
      if (only !== null && !only.has(name)) return false;
      taken.add(name);
      return true;
    },
  };
}
