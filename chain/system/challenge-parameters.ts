// Owns the genesis parameters of Challenges: what a proof of a false step is checked against, with limits and JSON form. They
// follow from program, schedule and data set (trainer/dispute-roots.ts); what they mean is docs/protocol/challenges.md.

import { type Hex, isHex } from '../../base/bytes.ts';
import { type Result, fault, success } from '../../base/fault.ts';

export type ChallengeParameters = Readonly<{
  /** Bond of a challenge. */
  bondGwei: bigint;
  /** Blocks a trainer has for an answer, a challenger for a proof. */
  answerBlocks: number;
  proveBlocks: number;
  /** Blocks after its commit in which a claim can be challenged. */
  windowBlocks: number;
  /** Optimizer updates of a step. */
  updates: number;
  /** Training sequences of the data set. */
  sequences: number;
  /** Learning rates and bias corrections of the tables; later steps have the last. */
  rates: number;
  biases: number;
  /** Moments go on from a trainer's accepted round to its next. */
  carryMoments: boolean;
  /** Bytes of the parameters; the state is three times as long. */
  parameterBytes: number;
  /** Constants of AdamW as f32 bits. */
  beta1: number;
  beta2: number;
  eps: number;
  decay: number;
  clip: number;
  /** Root over the programs of capacity 1 to 64. */
  programRoot: Hex;
  trainingRoot: Hex;
  rateRoot: Hex;
  biasRoot: Hex;
  zeroRoot: Hex;
}>;

/** The bond and the timers: chosen, where the rest follows. */
export const DEFAULT_CHALLENGE_RULES = {
  bondGwei: 5_000_000_000n,
  answerBlocks: 600,
  proveBlocks: 600,
  windowBlocks: 1_800,
} as const;

const U32 = 0xffff_ffff;
const MOST_BLOCKS = 1_000_000;

const NUMBERS = {
  answerBlocks: [1, MOST_BLOCKS],
  proveBlocks: [1, MOST_BLOCKS],
  windowBlocks: [1, MOST_BLOCKS],
  updates: [1, 16],
  sequences: [1, 2 ** 31],
  rates: [1, 2 ** 20],
  biases: [1, 2 ** 20],
  // Byte offsets in the state are 32-bit numbers.
  parameterBytes: [4, Math.floor(U32 / 3)],
  beta1: [0, U32],
  beta2: [0, U32],
  eps: [0, U32],
  decay: [0, U32],
  clip: [0, U32],
} as const;

const HASHES = ['programRoot', 'trainingRoot', 'rateRoot', 'biasRoot', 'zeroRoot'] as const;

/** Reads the `challenges` section of a genesis file. Faults name the field and its limit. */
export function parseChallengeParameters(json: unknown): Result<ChallengeParameters> {
  const refuse = (field: string, why: string) =>
    fault('challenge-parameters', `challenges.${field}: ${why}`, { field });
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return refuse('', 'must be an object');
  const fields = json as Record<string, unknown>;
  const known = ['bondGwei', 'carryMoments', ...Object.keys(NUMBERS), ...HASHES];
  for (const name of Object.keys(fields))
    if (!known.includes(name)) return refuse(name.slice(0, 64), 'is no parameter');
  for (const [name, [least, most]] of Object.entries(NUMBERS)) {
    const value = fields[name];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
      return refuse(name, `must be a whole number from ${least} to ${most}`);
    }
  }
  for (const name of HASHES) if (!isHex(fields[name], 32)) return refuse(name, 'must be 0x and 32 bytes of hex');
  if (typeof fields['carryMoments'] !== 'boolean') return refuse('carryMoments', 'must be true or false');
  const bond = fields['bondGwei'];
  if (typeof bond !== 'string' || !/^\d{1,18}$/.test(bond))
    return refuse('bondGwei', 'must be a decimal string of gwei');
  return success({ ...fields, bondGwei: BigInt(bond) } as unknown as ChallengeParameters);
}

/** The JSON form that {@link parseChallengeParameters} reads. */
export function challengeParametersJson(parameters: ChallengeParameters): Readonly<Record<string, unknown>> {
  return { ...parameters, bondGwei: parameters.bondGwei.toString() };
}
