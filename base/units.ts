// Owns amounts of the coin: its units, and decimal text to and from the smallest one.

/** One POL in its smallest unit (as ether is to wei). */
export const ONE_POL = 10n ** 18n;
/** One gwei in the smallest unit: withdrawals (EIP-4895) carry amounts in it. */
export const ONE_GWEI = 10n ** 9n;

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
