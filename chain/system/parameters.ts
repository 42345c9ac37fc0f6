// Owns the learning parameters: their ranges, defaults and JSON form. What each means, with unit and reason, is the table in
// docs/protocol/system-contracts.md.

import { type Hex, isHex } from '../../base/bytes.ts';
import { type Fault, type Result, fault, success } from '../../base/fault.ts';
import type { CheckpointRef, LearningParameters } from './api.ts';

type Range = readonly [least: number, most: number];
type BigRange = readonly [least: bigint, most: bigint];

const U32 = 0xffff_ffff;
/** Blocks: a year of 1 s blocks, so that no deadline overflows. */
const MOST_BLOCKS = 31_536_000;

type NumberField = {
  [K in keyof LearningParameters]: LearningParameters[K] extends number ? K : never;
}[keyof LearningParameters];
type BigField = {
  [K in keyof LearningParameters]: LearningParameters[K] extends bigint ? K : never;
}[keyof LearningParameters];
type HashField = {
  [K in keyof LearningParameters]: LearningParameters[K] extends Hex ? K : never;
}[keyof LearningParameters];

const NUMBERS: Readonly<Record<NumberField, Range>> = {
  minTrainers: [1, 64],
  maxTrainers: [1, 64],
  unbondingBlocks: [0, MOST_BLOCKS],
  missLimit: [1, 255],
  trainBlocks: [1, MOST_BLOCKS],
  auditBlocks: [1, MOST_BLOCKS],
  graceBlocks: [0, MOST_BLOCKS],
  revealBlocks: [1, MOST_BLOCKS],
  canaryBlocks: [0, 3_600],
  disputeBlocks: [1, 86_400],
  attestBlocks: [1, MOST_BLOCKS],
  steps: [1, 1_024],
  batch: [1, 65_536],
  sequenceLength: [1, 1_048_576],
  samplesPerAudit: [1, 1_024],
  learningRateNano: [1, 1_000_000_000],
  warmupSteps: [0, U32],
  decaySteps: [0, U32],
  floorBps: [0, 10_000],
  outerEtaNumerator: [1, U32],
  outerEtaShift: [0, 31],
  outerMomentum: [0, 255],
  weightCapBps: [1, 10_000],
  clipBps: [1, U32],
  codec: [1, 65_535],
  gateMicroNats: [0, 100_000_000],
  halvingRounds: [1, U32],
  trainerShareBps: [0, 10_000],
  auditorShareBps: [0, 10_000],
  canaryShareBps: [0, 10_000],
  canaryBps: [0, 10_000],
  auditFloorBps: [0, 10_000],
  auditCostBps: [0, 10_000],
  deepReplayBps: [0, 10_000],
  recheckBps: [0, 10_000],
  auditWeight: [1, 1_000],
  recheckWindowBlocks: [1, MOST_BLOCKS],
  vestingRounds: [1, 10_000],
  burnBps: [0, 10_000],
  genesisHeldOutMicroNats: [0, 1_000_000_000],
};

/** Gwei amounts stay so low that no sum of a round's pay leaves 64 bits, a withdrawal's width (EIP-4895). */
const BIGS: Readonly<Record<BigField, BigRange>> = {
  minStakeGwei: [0n, 10n ** 18n],
  maxUpdateBytes: [1n, 1n << 40n],
  authorityBondGwei: [0n, 10n ** 18n],
  accusationBondGwei: [0n, 10n ** 18n],
  rewardPerTokenGwei: [0n, 10n ** 15n],
  roundCapGwei: [0n, 10n ** 15n],
};

const HASHES: readonly HashField[] = [
  'kernelSpec',
  'programHash',
  'datasetHash',
  'trainingConfigHash',
  'genesisModelRoot',
];

const NO_HASH: Hex = `0x${'00'.repeat(32)}`;

/** Everything that has a default; the hashes are a network's own. */
export const defaultLearningParameters: Omit<LearningParameters, HashField> = {
  minTrainers: 1,
  maxTrainers: 64,
  minStakeGwei: 10_000_000_000n,
  unbondingBlocks: 3_600,
  missLimit: 3,
  trainBlocks: 600,
  auditBlocks: 120,
  graceBlocks: 30,
  revealBlocks: 20,
  canaryBlocks: 2,
  disputeBlocks: 60,
  attestBlocks: 120,
  steps: 32,
  batch: 8,
  sequenceLength: 128,
  samplesPerAudit: 1,
  learningRateNano: 3_000_000,
  warmupSteps: 64,
  decaySteps: 20_000,
  floorBps: 1_000,
  outerEtaNumerator: 1,
  outerEtaShift: 0,
  outerMomentum: 0,
  weightCapBps: 5_000,
  clipBps: 20_000,
  codec: 1,
  maxUpdateBytes: 67_108_864n,
  gateMicroNats: 50_000,
  rewardPerTokenGwei: 100_000n,
  roundCapGwei: 100_000_000_000n,
  halvingRounds: 1_000_000,
  trainerShareBps: 7_500,
  auditorShareBps: 1_200,
  canaryShareBps: 800,
  canaryBps: 200,
  auditFloorBps: 4_000,
  auditCostBps: 7_000,
  deepReplayBps: 5,
  recheckBps: 300,
  auditWeight: 8,
  authorityBondGwei: 100_000_000_000n,
  accusationBondGwei: 5_000_000_000n,
  recheckWindowBlocks: 600,
  vestingRounds: 32,
  burnBps: 8_000,
  genesisHeldOutMicroNats: 0,
  genesisCheckpoint: { blobId: NO_HASH, sha256: NO_HASH, size: 0n },
};

const isNumberField = (name: string): name is NumberField => Object.hasOwn(NUMBERS, name);
const isBigField = (name: string): name is BigField => Object.hasOwn(BIGS, name);
const isHashField = (name: string): name is HashField => (HASHES as readonly string[]).includes(name);

function refuse(field: string, why: string): Fault {
  return fault('learning-parameters', `learning.${field}: ${why}`, { field });
}

/**
 * Parameters of a genesis file's `learning` section. Fields left out take their defaults, except the five hashes; gwei and
 * byte counts are whole numbers or decimal strings. A Fault names the first field refused and its limit.
 */
export function parseLearningParameters(json: unknown): Result<LearningParameters> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return refuse('', 'must be an object');
  const out: Record<string, unknown> = { ...defaultLearningParameters };
  for (const [field, value] of Object.entries(json)) {
    const parsed = parseField(field, value);
    if (!parsed.ok) return parsed;
    out[field] = parsed.value;
  }
  for (const field of HASHES) if (!Object.hasOwn(out, field)) return refuse(field, 'is missing');
  return checkLearningParameters(out as LearningParameters);
}

function parseField(field: string, value: unknown): Result<unknown> {
  if (isNumberField(field)) return success(value);
  if (isBigField(field)) return parseBig(field, value);
  if (isHashField(field)) return success(typeof value === 'string' ? value.toLowerCase() : value);
  if (field === 'genesisCheckpoint') return parseCheckpoint(value);
  return refuse(field.slice(0, 64), 'is no parameter');
}

function parseBig(field: string, value: unknown): Result<bigint> {
  if (typeof value === 'bigint') return success(value);
  if (typeof value === 'number' && Number.isSafeInteger(value)) return success(BigInt(value));
  if (typeof value === 'string' && /^\d{1,30}$/.test(value)) return success(BigInt(value));
  return refuse(field, 'must be a whole number or a decimal string');
}

function parseCheckpoint(value: unknown): Result<CheckpointRef> {
  if (typeof value !== 'object' || value === null) return refuse('genesisCheckpoint', 'must be an object');
  const { blobId, sha256, size } = value as Record<string, unknown>;
  const parsed = parseBig('genesisCheckpoint.size', size);
  if (!parsed.ok) return parsed;
  return success({ blobId: blobId as Hex, sha256: sha256 as Hex, size: parsed.value });
}

/** The parameters when every field is in range and they agree with one another. */
export function checkLearningParameters(parameters: LearningParameters): Result<LearningParameters> {
  for (const [field, [least, most]] of Object.entries(NUMBERS)) {
    const value = parameters[field as NumberField];
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      return refuse(field, `must be a whole number from ${least} to ${most}`);
    }
  }
  for (const [field, [least, most]] of Object.entries(BIGS)) {
    const value = parameters[field as BigField];
    if (typeof value !== 'bigint' || value < least || value > most)
      return refuse(field, `must be from ${least} to ${most}`);
  }
  for (const field of HASHES) {
    if (!isHex(parameters[field], 32)) return refuse(field, 'must be 0x and 32 bytes of hex');
  }
  const { blobId, sha256, size } = parameters.genesisCheckpoint;
  if (!isHex(blobId, 32)) return refuse('genesisCheckpoint.blobId', 'must be 0x and 32 bytes of hex');
  if (!isHex(sha256, 32)) return refuse('genesisCheckpoint.sha256', 'must be 0x and 32 bytes of hex');
  if (size < 0n || size >= 1n << 64n) return refuse('genesisCheckpoint.size', `must be from 0 to ${(1n << 64n) - 1n}`);
  return checkTogether(parameters);
}

function checkTogether(parameters: LearningParameters): Result<LearningParameters> {
  const { minTrainers, maxTrainers, samplesPerAudit, steps, canaryBlocks, revealBlocks } = parameters;
  const shares = parameters.trainerShareBps + parameters.auditorShareBps + parameters.canaryShareBps;
  if (minTrainers > maxTrainers) return refuse('minTrainers', `must be at most maxTrainers (${maxTrainers})`);
  if (samplesPerAudit > steps) return refuse('samplesPerAudit', `must be at most steps (${steps})`);
  if (shares > 10_000) {
    return refuse('auditorShareBps', `must leave trainerShareBps + auditorShareBps + canaryShareBps at most 10000`);
  }
  if (canaryBlocks >= revealBlocks) return refuse('canaryBlocks', `must be below revealBlocks (${revealBlocks})`);
  if (BigInt(parameters.genesisModelRoot) === 0n) return refuse('genesisModelRoot', 'must not be zero');
  return success(parameters);
}

/** The JSON form that {@link parseLearningParameters} reads: bigints as decimal strings. */
export function learningParametersJson(parameters: LearningParameters): Readonly<Record<string, unknown>> {
  const { genesisCheckpoint, ...rest } = parameters;
  const out: Record<string, unknown> = {
    genesisCheckpoint: { ...genesisCheckpoint, size: `${genesisCheckpoint.size}` },
  };
  for (const [field, value] of Object.entries(rest)) out[field] = typeof value === 'bigint' ? `${value}` : value;
  return out;
}
