// Owns the thresholds of agreement and why they intersect. Counting votes is vote-keeper.ts.

/**
 * More than two thirds of the weight. With equal weights this is floor(2n/3)+1, which equals ceil(0.67 n) for n in 4..100.
 * Two quorums share more than a third, hence one correct authority (arXiv 1807.04938, section 3.1).
 */
export function isQuorum(weight: number, total: number): boolean {
  return 3 * weight > 2 * total;
}

/** More than one third of the weight: at least one correct authority is among the senders (line 55). */
export function isSkip(weight: number, total: number): boolean {
  return 3 * weight > total;
}

/** Authorities a quorum needs out of `count` with equal weights. */
export function quorumOf(count: number): number {
  return Math.floor((2 * count) / 3) + 1;
}

/** Authorities of which at least one is correct: f + 1. */
export function skipOf(count: number): number {
  return Math.floor(count / 3) + 1;
}
