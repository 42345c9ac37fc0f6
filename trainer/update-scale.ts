// Owns the grid that all update codecs share: chunks of parameters with one power-of-two scale each. Rules U-1 and U-2 of
// docs/protocol/learning-round.md.

/** Parameters that share one scale. */
export const CHUNK = 4_096;
/**
 * Scales are 2^e with e in this range: values reach 127/64, steps are 2^-30. A sum of 64 updates with 16-bit weights on
 * the grid of 2^-30 then stays below 2^53, so aggregation is exact in a double (aggregate.ts).
 */
export const LEAST_EXPONENT = -30;
export const MOST_EXPONENT = -6;

/** 2^exponent by products of 2 or 1/2: exact, and no library's pow is asked. */
export function powerOfTwo(exponent: number): number {
  let power = 1;
  for (let i = 0; i < exponent; i++) power *= 2;
  for (let i = 0; i > exponent; i--) power /= 2;
  return power;
}
