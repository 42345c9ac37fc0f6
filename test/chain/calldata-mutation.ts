// Owns the making of bad calls to the system contracts from a seed: random bytes, every function with arguments of its types at
// the edges of their ranges, and calls that were valid once, replayed, cut, lengthened and altered.

import type { Abi, AbiFunction, AbiParameter } from 'viem';
import { encodeFunctionData, toFunctionSelector } from 'viem/utils';
import { type Hex, concat, fromHex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import type { Prng } from '../../base/prng.ts';
import {
  authoritiesAbi,
  bondsAbi,
  challengesAbi,
  learningRoundsAbi,
  rewardsAbi,
  trainersAbi,
} from '../../chain/system/abi.ts';
import {
  AUTHORITIES_ADDRESS,
  BONDS_ADDRESS,
  type ContractCall,
  LEARNING_ROUNDS_ADDRESS,
  REWARDS_ADDRESS,
  TRAINERS_ADDRESS,
} from '../../chain/system/api.ts';
import { CHALLENGES_ADDRESS } from '../../chain/system/challenges.ts';
import { EVIDENCE_ADDRESS, evidenceAbi } from '../../chain/system/evidence.ts';

export type Sender = Readonly<{ from: Hex; call: ContractCall }>;
/** A bad call, and in a few words how it was made. */
export type BadCall = Sender & Readonly<{ how: string }>;

/** What bad calls are made from. */
export type Matter = Readonly<{
  /** Calls that are valid at some time, by their own senders. */
  valid: readonly Sender[];
  senders: readonly Hex[];
}>;

const CONTRACTS: readonly (readonly [Hex, Abi])[] = [
  [AUTHORITIES_ADDRESS, authoritiesAbi],
  [TRAINERS_ADDRESS, trainersAbi],
  [LEARNING_ROUNDS_ADDRESS, learningRoundsAbi],
  [REWARDS_ADDRESS, rewardsAbi],
  [BONDS_ADDRESS, bondsAbi],
  [CHALLENGES_ADDRESS, challengesAbi],
  [EVIDENCE_ADDRESS, evidenceAbi as Abi],
];

type Target = Readonly<{ to: Hex; item: AbiFunction; selector: Hex }>;

/** Every external function of every system contract, views too. */
export const FUNCTIONS: readonly Target[] = CONTRACTS.flatMap(([to, abi]) =>
  abi.flatMap((item) => (item.type === 'function' ? [{ to, item, selector: toFunctionSelector(item) }] : [])),
);

const names = new Map(FUNCTIONS.map(({ to, selector, item }) => [`${to}${selector}`, item.name]));

/** Name of the function that calldata begins with, for counting. */
export function functionName({ to, data }: ContractCall): string {
  return names.get(`${to}${toHex(data.subarray(0, 4))}`) ?? 'none';
}

const views = new Set(
  FUNCTIONS.flatMap(({ to, selector, item }) => (item.stateMutability === 'view' ? [`${to}${selector}`] : [])),
);
export const isView = ({ to, data }: ContractCall): boolean => views.has(`${to}${toHex(data.subarray(0, 4))}`);

const WORD = 32;
const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  31n,
  32n,
  63n,
  64n,
  255n,
  1_024n,
  2n ** 16n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
  2n ** 64n,
  2n ** 128n - 1n,
  2n ** 160n - 1n,
  2n ** 255n,
  2n ** 256n - 1n,
];
const VALUES: readonly bigint[] = [1n, 10n ** 9n, 5n * 10n ** 18n, 10n ** 19n, 2n ** 128n, 2n ** 255n];
const MOST_ITEMS = 400;

export const pick = <T>(random: Prng, list: readonly T[]): T => present(list[random.below(list.length)], 'item');

/** A whole number of so many bits: at an edge, small, or anything. */
function number(random: Prng, bits: number): bigint {
  const most = 2n ** BigInt(bits) - 1n;
  const kind = random.below(4);
  const value = kind < 2 ? BigInt(random.below(6)) : kind === 2 ? pick(random, EDGES) : BigInt(toHex(random.bytes(32)));
  return kind === 2 && value > most ? most : value & most;
}

function items(random: Prng): number {
  return random.below(12) === 0 ? random.below(MOST_ITEMS) : random.below(4);
}

function argument(random: Prng, parameter: AbiParameter, matter: Matter): unknown {
  const { type } = parameter;
  const array = /^(.*)\[(\d*)\]$/.exec(type);
  if (array !== null) {
    const item = { ...parameter, type: array[1] as string };
    const length = array[2] === '' ? items(random) : Number(array[2]);
    return Array.from({ length }, () => argument(random, item, matter));
  }
  if (type === 'tuple') {
    const { components } = parameter as AbiParameter & { components: readonly AbiParameter[] };
    return Object.fromEntries(components.map((part) => [part.name ?? '', argument(random, part, matter)]));
  }
  if (type === 'address') return random.below(8) === 0 ? toHex(random.bytes(20)) : pick(random, matter.senders);
  if (type === 'bool') return random.below(2) === 0;
  if (type === 'bytes') return toHex(random.bytes(pick(random, [0, 1, 32, 33, 38, 76, 81, 1_000])));
  if (type.startsWith('bytes')) return hashOfMatter(random, matter);
  const bits = Number(type.replace(/^u?int/, '') || '256');
  const value = number(random, bits);
  return bits <= 48 ? Number(value) : value;
}

/** Zero, anything, or a word of a valid call. */
function hashOfMatter(random: Prng, { valid }: Matter): Hex {
  const { data } = pick(random, valid).call;
  const words = Math.floor((data.length - 4) / WORD);
  if (words === 0 || random.below(4) === 0) return toHex(random.below(2) === 0 ? new Uint8Array(32) : random.bytes(32));
  const at = 4 + WORD * random.below(words);
  return toHex(data.slice(at, at + WORD));
}

function value(random: Prng, usual: bigint): bigint {
  return random.below(6) === 0 ? pick(random, VALUES) : usual;
}

function typed(random: Prng, matter: Matter): ContractCall {
  const { to, item } = pick(random, FUNCTIONS);
  const args = item.inputs.map((input) => argument(random, input, matter));
  const data = encodeFunctionData({ abi: [item], functionName: item.name, args });
  return { to, data: fromHex(data), value: value(random, item.stateMutability === 'payable' ? 5n * 10n ** 18n : 0n) };
}

/** A known selector and words at the edges: offsets and lengths that lead nowhere or everywhere. */
function wild(random: Prng): ContractCall {
  const { to, selector } = pick(random, FUNCTIONS);
  const words = Array.from({ length: random.below(14) }, () =>
    random.below(3) === 0 ? random.bytes(WORD) : wordOf(pick(random, EDGES)),
  );
  return { to, data: concat(fromHex(selector), ...words, random.bytes(random.below(3))), value: value(random, 0n) };
}

const wordOf = (number_: bigint): Uint8Array => fromHex(`0x${number_.toString(16).padStart(64, '0')}` as Hex);

/** One to three changes of valid calldata. */
function altered(random: Prng, valid: Uint8Array, matter: Matter): Uint8Array {
  let data: Uint8Array = valid.slice();
  for (let times = 1 + random.below(3); times > 0; times--) {
    const words = Math.floor((data.length - 4) / WORD);
    const at = words > 0 ? 4 + WORD * random.below(words) : 0;
    switch (random.below(7)) {
      case 0:
        data = data.slice(0, random.below(data.length + 1));
        break;
      case 1:
        data = concat(data, random.bytes(1 + random.below(100)));
        break;
      case 2:
        if (words > 0) data.set(wordOf(pick(random, EDGES)), at);
        break;
      case 3:
        if (words > 0) data.set(fromHex(hashOfMatter(random, matter)), at);
        break;
      case 4:
        if (words > 0) data.copyWithin(at, 4 + WORD * random.below(words), 4 + WORD * words);
        break;
      case 5:
        if (words > 0) data.set(nudged(random, data.subarray(at, at + WORD)), at);
        break;
      default:
        if (data.length > 0) {
          const byte = random.below(data.length);
          data[byte] = (data[byte] as number) ^ (1 << random.below(8));
        }
    }
  }
  return data;
}

/** A word one or two away. */
function nudged(random: Prng, word: Uint8Array): Uint8Array {
  const by = pick(random, [1n, -1n, 2n, 32n, -32n]);
  return wordOf((BigInt(toHex(word)) + by) & (2n ** 256n - 1n));
}

export function badCall(random: Prng, matter: Matter): BadCall {
  const sender = pick(random, matter.senders);
  switch (random.below(10)) {
    case 0: {
      const [to] = pick(random, CONTRACTS);
      return {
        from: sender,
        call: { to, data: random.bytes(random.below(200)), value: value(random, 0n) },
        how: 'bytes',
      };
    }
    case 1:
    case 2:
      return { from: sender, call: wild(random), how: 'wild' };
    case 3:
    case 4:
    case 5:
      return { from: sender, call: typed(random, matter), how: 'typed' };
    case 6: {
      const { from, call } = pick(random, matter.valid);
      return { from, call, how: 'replay' };
    }
    case 7:
      return { from: sender, call: pick(random, matter.valid).call, how: 'foreign' };
    default: {
      const { from, call } = pick(random, matter.valid);
      const data = altered(random, call.data, matter);
      const by = random.below(3) === 0 ? sender : from;
      return { from: by, call: { to: call.to, data, value: value(random, call.value) }, how: 'altered' };
    }
  }
}
