// Owns the variables of one authority in one height (arXiv 1807.04938, line 1), all of them and nothing else.

import type { ValueId } from './message.ts';

/** `new` before the first round, `unstarted` between leaving a round and starting the next, `commit` once decided. */
export type Step = 'new' | 'unstarted' | 'propose' | 'prevote' | 'precommit' | 'commit';

export type RoundState = Readonly<{
  height: number;
  round: number;
  step: Step;
  lockedValue: ValueId | null;
  lockedRound: number;
  validValue: ValueId | null;
  validRound: number;
}>;

/** Lines 1-9: nothing is locked, and no round has begun. */
export function initialRoundState(height: number): RoundState {
  return { height, round: -1, step: 'new', lockedValue: null, lockedRound: -1, validValue: null, validRound: -1 };
}
