// Owns which steps an auditor re-executes: drawn privately from its own verifiable random output, without replacement.

import { check } from '../base/check.ts';
import { taggedHash } from '../base/hash.ts';
import { prng } from '../base/prng.ts';
import { MAX_STEPS } from './limits.ts';

/** `count` different steps of `steps`, ascending; all of them when count is not below steps. */
export function drawSample(randomness: Uint8Array, steps: number, count: number): number[] {
  check(Number.isInteger(steps) && steps > 0 && steps <= MAX_STEPS, 'drawSample: steps out of range');
  check(Number.isInteger(count) && count >= 0, 'drawSample: count out of range');
  const random = prng(taggedHash('audit-sample', randomness));
  const all = Array.from({ length: steps }, (_, step) => step);
  const drawn: number[] = [];
  // A partial Fisher-Yates shuffle: each subset of the size is equally likely.
  for (let i = 0; i < Math.min(count, steps); i++) {
    const j = i + random.below(steps - i);
    drawn.push(all[j] as number);
    all[j] = all[i] as number;
  }
  return drawn.sort((a, b) => a - b);
}
