// Owns who decides a height in a simulated world where blocks may change the authorities: a change decided in H counts from
// H + 2 on. One authority at a time stands outside, so that sets differ while f stays what it was.

import { type ProposerOf, rotation } from '../../consensus/proposer.ts';
import { type ValidatorSet, weightedSet } from '../../consensus/validator-set.ts';
import { drawText } from './event-queue.ts';

/** Heights between the block that decides a change and the first height it counts for. */
export const SET_DELAY = 2;

export type Membership = Readonly<{ set: ValidatorSet; proposerOf: ProposerOf }>;

/** Answers the set that a decided value asks for. */
export function memberships(names: readonly string[], churn: boolean): (value: string | undefined) => Membership {
  const made = new Map<number, Membership>();
  function without(index: number): Membership {
    let found = made.get(index);
    if (found === undefined) {
      const set = weightedSet(names.filter((_, at) => at !== index).map((name) => [name, 1] as const));
      found = { set, proposerOf: rotation(set) };
      made.set(index, found);
    }
    return found;
  }
  const all = without(-1);
  return (value) => {
    if (!churn || value === undefined) return all;
    const chance = drawText(value) % (2 * names.length);
    return chance < names.length ? without(chance) : all;
  };
}
