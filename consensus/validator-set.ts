// Owns the set of authorities of one height and its hash. Who is in the set is the chain's to say.

import { compare, concat, fromHex } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { keccak256 } from '../base/hash.ts';
import { MAX_AUTHORITIES } from './limits.ts';

/** Authorities in ascending order of address; the position is the index used in certificates. */
export type ValidatorSet = Readonly<{
  addresses: readonly string[];
  weights: ReadonlyMap<string, number>;
  total: number;
}>;

/** Set with the given weights, in name order. The protocol uses weight 1; the specification's traces use others. */
export function weightedSet(entries: Iterable<readonly [string, number]>): ValidatorSet {
  const sorted = [...entries].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  let total = 0;
  for (const [, weight] of sorted) total += weight;
  return { addresses: sorted.map(([address]) => address), weights: new Map(sorted), total };
}

/** What a function gives for a list, made once for each list that cannot change any more. */
function onceForFrozen<T>(make: (addresses: readonly string[]) => T): (addresses: readonly string[]) => T {
  const made = new WeakMap<readonly string[], Readonly<{ value: T }>>();
  return (addresses) => {
    const known = made.get(addresses);
    if (known !== undefined) return known.value;
    const value = make(addresses);
    if (Object.isFrozen(addresses)) made.set(addresses, { value });
    return value;
  };
}

/** Set of equal authorities; the caller guarantees 1..100 distinct addresses of 20 bytes. */
export const validatorSet = onceForFrozen((addresses): ValidatorSet => {
  check(addresses.length >= 1 && addresses.length <= MAX_AUTHORITIES, 'validatorSet: 1 to 100 authorities');
  const names = addresses.map((address) => address.toLowerCase());
  check(new Set(names).size === names.length, 'validatorSet: addresses are distinct');
  return weightedSet(names.map((name) => [name, 1] as const));
});

/** Index of an address in the set, or -1. */
export function indexOf(set: ValidatorSet, address: string): number {
  let low = 0;
  let high = set.addresses.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const at = set.addresses[middle] as string;
    if (at === address) return middle;
    if (at < address) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** keccak256 over the sorted 20-byte addresses: what header.extraData commits to for the next height. */
export const validatorSetHash = onceForFrozen(
  (addresses): Uint8Array => keccak256(concat(...addresses.map((address) => fromHex(address)).sort(compare))),
);
