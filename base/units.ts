// Owns branded numbers and amounts, so that a height is never passed where a round is meant. Time is milliseconds unless named.

import { check } from './check.ts';

declare const unit: unique symbol;
type Unit<Name extends string> = number & { readonly [unit]: Name };

/** Height of a block; genesis is 0. */
export type Height = Unit<'Height'>;
/** Round of the consensus inside one height; the first is 0. */
export type Round = Unit<'Round'>;
/** Number of a learning round; the first is 0. */
export type LearningRound = Unit<'LearningRound'>;
/** Index of an inner optimizer step inside a learning round. */
export type TrainStep = Unit<'TrainStep'>;

/** One POL in its smallest unit (as ether is to wei). */
export const ONE_POL = 10n ** 18n;
/** One gwei in the smallest unit: withdrawals (EIP-4895) carry amounts in it. */
export const ONE_GWEI = 10n ** 9n;

function whole(value: number, what: string): number {
  check(Number.isSafeInteger(value) && value >= 0, `${what}: not a whole number from 0`);
  return value;
}

export const height = (value: number): Height => whole(value, 'height') as Height;
export const round = (value: number): Round => whole(value, 'round') as Round;
export const learningRound = (value: number): LearningRound => whole(value, 'learning round') as LearningRound;
export const trainStep = (value: number): TrainStep => whole(value, 'train step') as TrainStep;

const AMOUNT = /^(\d{1,60})(?:\.(\d{1,18}))?$/;

/** Smallest units of a decimal POL amount such as "10.5", or null when it is not one. */
export function parsePol(text: string): bigint | null {
  const match = AMOUNT.exec(text);
  if (match === null) return null;
  return BigInt(match[1] ?? '0') * ONE_POL + BigInt((match[2] ?? '').padEnd(18, '0'));
}

/** Decimal POL without trailing zeros: 10500000000000000000n is "10.5". */
export function formatPol(amount: bigint): string {
  const sign = amount < 0n ? '-' : '';
  const size = amount < 0n ? -amount : amount;
  const fraction = (size % ONE_POL).toString().padStart(18, '0').replace(/0+$/, '');
  return `${sign}${size / ONE_POL}${fraction === '' ? '' : `.${fraction}`}`;
}
