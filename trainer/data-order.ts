// Owns which sequence stands at which position of the endless data order, and which (round, slot, step, row) takes it.
// Rules O-1 to O-5 of docs/protocol/learning-round.md. Nobody chooses data: all of it follows from the dataset's root.

import { concat, u32be, u64be } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { taggedHash } from '../base/hash.ts';

/** Balanced Feistel rounds; 4 make a pseudo-random permutation of a strong function (Luby and Rackoff 1988), 6 leave room. */
const FEISTEL_ROUNDS = 6;

export type DataOrder = Readonly<{
  sequences: number;
  /** Sequence at a position; position p lies in epoch floor(p / sequences). */
  sequenceAt(position: number): number;
  /** Position at which an epoch uses a sequence: the inverse of sequenceAt. */
  positionOf(epoch: number, sequence: number): number;
}>;

/** The data order of a dataset: in each epoch a permutation of its sequences keyed by (dataset root, epoch). */
export function createDataOrder(datasetRoot: Uint8Array, sequences: number): DataOrder {
  check(datasetRoot.length === 32, 'createDataOrder: root is 32 bytes');
  check(
    Number.isInteger(sequences) && sequences > 0 && sequences <= 2 ** 31,
    'createDataOrder: sequences out of range',
  );
  let halfBits = 1;
  while ((1 << halfBits) * (1 << halfBits) < sequences) halfBits++;
  // Both walks end: the permutation of the larger domain returns into it, as it returns to its start at the latest.
  function walk(epoch: number, start: number, forward: boolean): number {
    const key = taggedHash('data-order', datasetRoot, u64be(epoch));
    let value = start;
    do value = feistel(key, halfBits, value, forward);
    while (value >= sequences);
    return value;
  }
  return {
    sequences,
    sequenceAt(position) {
      check(Number.isSafeInteger(position) && position >= 0, 'sequenceAt: position out of range');
      return walk(Math.floor(position / sequences), position % sequences, true);
    },
    positionOf(epoch, sequence) {
      check(Number.isInteger(sequence) && sequence >= 0 && sequence < sequences, 'positionOf: sequence out of range');
      return epoch * sequences + walk(epoch, sequence, false);
    },
  };
}

/** Permutation of 0 .. 2^(2 halfBits) - 1, or its inverse. */
function feistel(key: Uint8Array, halfBits: number, value: number, forward: boolean): number {
  const half = 1 << halfBits;
  let left = Math.floor(value / half);
  let right = value % half;
  for (let i = 0; i < FEISTEL_ROUNDS; i++) {
    if (forward) [left, right] = [right, xorBelow(left, feistelWord(key, i, right), half)];
    else [left, right] = [xorBelow(right, feistelWord(key, FEISTEL_ROUNDS - 1 - i, left), half), left];
  }
  return left * half + right;
}

function xorBelow(value: number, word: number, half: number): number {
  return (value ^ (word & (half - 1))) >>> 0;
}

function feistelWord(key: Uint8Array, round: number, half: number): number {
  const hash = taggedHash('data-order-round', key, concat(Uint8Array.of(round), u32be(half)));
  return new DataView(hash.buffer, hash.byteOffset).getUint32(0);
}

/** What of a round decides who takes which positions. */
export type RoundShare = Readonly<{
  round: number;
  /** First position of the round: the number of sequences used since genesis before it. */
  dataStart: number;
  /** Capacity of each slot, in roster order. */
  capacities: readonly number[];
  steps: number;
  /** Sequences of a step at capacity 1. */
  batch: number;
}>;

export type Use = Readonly<{ round: number; slot: number; step: number; row: number }>;

/** Positions a whole round takes: the next round starts that much later. */
export function positionsOfRound(share: RoundShare): number {
  return share.capacities.reduce((sum, capacity) => sum + capacity, 0) * share.steps * share.batch;
}

/** Positions of one step of a slot, in row order: capacity x batch of them. */
export function stepPositions(share: RoundShare, slot: number, step: number): number[] {
  const capacity = present(share.capacities[slot], 'capacity of the slot');
  check(Number.isInteger(step) && step >= 0 && step < share.steps, 'stepPositions: step out of range');
  const before = share.capacities.slice(0, slot).reduce((sum, each) => sum + each, 0) * share.steps * share.batch;
  const first = share.dataStart + before + step * capacity * share.batch;
  return Array.from({ length: capacity * share.batch }, (_, row) => first + row);
}

/** Sequences of one step of a slot, in row order. */
export function stepSequences(order: DataOrder, share: RoundShare, slot: number, step: number): number[] {
  return stepPositions(share, slot, step).map((position) => order.sequenceAt(position));
}

/** Who takes a position in a round, or null when the round does not reach it. */
export function useAt(share: RoundShare, position: number): Use | null {
  let rest = position - share.dataStart;
  if (rest < 0) return null;
  for (const [slot, capacity] of share.capacities.entries()) {
    const size = capacity * share.steps * share.batch;
    if (rest < size) {
      const rows = capacity * share.batch;
      return { round: share.round, slot, step: Math.floor(rest / rows), row: rest % rows };
    }
    rest -= size;
  }
  return null;
}

/** Where an epoch uses a sequence among the rounds given, or null when none of them reaches its position. */
export function useOf(order: DataOrder, rounds: readonly RoundShare[], epoch: number, sequence: number): Use | null {
  const position = order.positionOf(epoch, sequence);
  for (const share of rounds) {
    const use = useAt(share, position);
    if (use !== null) return use;
  }
  return null;
}
