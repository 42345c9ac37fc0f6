// Owns moments carried from round to round: what the chain says a round starts from, and how its bytes are had and checked.
// Rules V-1 to V-6 of docs/protocol/learning-round.md. Who serves and keeps final states is node/.

import { equal } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { stateRoot } from '../base/merkle.ts';

/** What a trainer's round goes on from. */
export type Carried = Readonly<{
  /** Root of the final state of its accepted claim of the round before; zero when the round starts from zeros. */
  root: Uint8Array;
  /** Rounds in a row whose steps the moments have seen; 0 when they start from zeros. */
  rounds: number;
}>;

export const NOTHING_CARRIED: Carried = { root: new Uint8Array(32), rounds: 0 };

/** Most rounds that are counted: what a claim on chain has room for. */
export const MAX_CARRIED_ROUNDS = 2 ** 24 - 1;

export function checkCarried({ root, rounds }: Carried): void {
  check(Number.isInteger(rounds) && rounds >= 0 && rounds <= MAX_CARRIED_ROUNDS, 'carried: rounds out of range');
  check(root.length === 32 && rounds > 0 === root.some((byte) => byte !== 0), 'carried: a root with its rounds');
}

/** True when these bytes are the final state the chain names. */
export function isFinalState(root: Uint8Array, bytes: Uint8Array | null, stateBytes: number): bytes is Uint8Array {
  return bytes !== null && bytes.length === stateBytes && equal(stateRoot(bytes), root);
}

/** The final state a round goes on from; null for zeros; 'unserved' when nobody gives bytes of its root: no one's fault. */
export async function fetchCarried(
  carried: Carried,
  stateBytes: number,
  fetch: (() => Promise<Uint8Array | null>) | undefined,
): Promise<Uint8Array | null | 'unserved'> {
  if (carried.rounds === 0) return null;
  const bytes = (await fetch?.()) ?? null;
  return isFinalState(carried.root, bytes, stateBytes) ? bytes : 'unserved';
}
