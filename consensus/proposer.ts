// Owns whose turn it is to propose. Stateless on purpose: evidence of a wrong proposer stays checkable for ever.

import { present } from '../base/check.ts';
import type { ValidatorSet } from './validator-set.ts';

/** Address that may propose in a round. A function of agreed data only. */
export type ProposerOf = (height: number, round: number) => string;

/** Rotation over the sorted authorities: index (height + round) mod n. */
export function rotation(set: ValidatorSet): ProposerOf {
  return (height, round) => present(set.addresses[(height + round) % set.addresses.length], 'proposer');
}
