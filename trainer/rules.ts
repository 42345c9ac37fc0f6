// Owns what every party of a learning round must agree on before it starts: the rules from genesis and the round as opened.

import { utf8 } from '../base/bytes.ts';
import { type Json, canonicalJson } from '../base/canonical-json.ts';
import { check } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { sha256, taggedHash } from '../base/hash.ts';
import type { OuterStep } from './aggregate.ts';
import type { RoundShare } from './data-order.ts';
import { MAX_BATCH, MAX_CAPACITY, MAX_SEQUENCE_LENGTH, MAX_SLOTS, MAX_STEPS, MAX_UPDATES } from './limits.ts';
import { type BatchShape, type ModelConfig, checkModelConfig } from './model.ts';
import type { Optimizer, Schedule } from './schedule.ts';
import type { Codec } from './update.ts';

/** Rules of all rounds: chain parameters and the training configuration they name by hash. */
export type TrainingRules = Readonly<{
  /** Inner steps of a round. */
  steps: number;
  /** Sequences of a step at capacity 1. */
  batch: number;
  /** Optimizer updates of a step, each on as many of its sequences (rule P-3d). */
  updates: number;
  sequenceLength: number;
  schedule: Schedule;
  optimizer: Optimizer;
  outer: OuterStep;
  /** Share of the model's last move that the outer step makes again, in 1/256 (rule A-8); 0 never. */
  outerMomentum: number;
  /** Form of every update. */
  codec: Codec;
  /** Whether a trainer's round goes on with the moments of its accepted one before (V rules); else it starts from zeros. */
  carryMoments: boolean;
  /** Hash of the arithmetic (engine kernelSpec). */
  kernelSpec: Uint8Array;
  /** Hash of the training program at capacity 1. */
  programHash: Uint8Array;
}>;

/** A round as the chain opened it. Roster order is slot order. */
export type RoundSpec = Readonly<{
  round: number;
  seed: Uint8Array;
  /** Model root of the base. */
  baseRoot: Uint8Array;
  /** How often the base moved since genesis: base version x steps inner steps lie before this round's. */
  baseVersion: number;
  /** Sequences used before this round since genesis. */
  dataStart: number;
  capacities: readonly number[];
}>;

/** The round's claim on the data order. */
export function roundShare(spec: RoundSpec, rules: TrainingRules): RoundShare {
  const { round, dataStart, capacities } = spec;
  return { round, dataStart, capacities, steps: rules.steps, batch: rules.batch };
}

/** Throws unless rules and round are within limits and the slot exists: both come from the chain, which checked them. */
export function checkRound(spec: RoundSpec, slot: number, rules: TrainingRules): void {
  const within = (value: number, least: number, most: number) =>
    Number.isInteger(value) && value >= least && value <= most;
  check(within(rules.steps, 1, MAX_STEPS), `round: steps ${rules.steps} not from 1 to ${MAX_STEPS}`);
  check(within(rules.batch, 1, MAX_BATCH), `round: batch ${rules.batch} not from 1 to ${MAX_BATCH}`);
  check(
    within(rules.updates, 1, MAX_UPDATES) && rules.batch % rules.updates === 0,
    `round: ${rules.updates} updates not from 1 to ${MAX_UPDATES}, or no divisor of batch ${rules.batch}`,
  );
  check(within(rules.sequenceLength, 2, MAX_SEQUENCE_LENGTH), `round: sequence length ${rules.sequenceLength}`);
  check(spec.capacities.length <= MAX_SLOTS, `round: more than ${MAX_SLOTS} slots`);
  check(within(slot, 0, spec.capacities.length - 1), `round: no slot ${slot}`);
  check(
    spec.capacities.every((capacity) => within(capacity, 1, MAX_CAPACITY)),
    'round: a capacity is out of range',
  );
  check(spec.seed.length === 32 && spec.baseRoot.length === 32, 'round: seed and base root are 32 bytes');
  check(Number.isSafeInteger(spec.dataStart) && spec.dataStart >= 0, 'round: data start is a whole number');
}

/** What names one slot's work of one round exactly: two tasks with equal identity have equal traces. */
export function taskIdentity(spec: RoundSpec, slot: number, rules: TrainingRules, datasetRoot: Uint8Array): Uint8Array {
  // The outer step and the codec come after the trace.
  const { kernelSpec, programHash, outer: _outer, outerMomentum: _momentum, codec: _codec, ...numbers } = rules;
  const { seed, baseRoot, ...place } = spec;
  const text = canonicalJson({ numbers, place, slot } as unknown as Json);
  return taggedHash('round-task', seed, baseRoot, kernelSpec, programHash, datasetRoot, utf8(text));
}

/** The model, its optimizer and the form of updates: what the chain's trainingConfigHash is the hash of. */
export type TrainingConfig = Readonly<{
  version: 1;
  model: ModelConfig;
  optimizer: Optimizer;
  updateCodec: Codec;
  /** Optimizer updates of a step, a divisor of the rules' batch; left out, one. */
  updates?: number;
  /** Sequences of one micro-batch, a divisor of those of an update; left out, an update goes over all at once. */
  microBatch?: number;
  /** Arithmetic of the linear layers; left out, 'i8'. */
  profile?: 'bf16x';
  /** A trainer goes on with the moments of its last accepted round; left out, every round starts from zeros. */
  carryMoments?: true;
}>;

/** The batch of one step of so many sequences under this configuration. */
export function stepShape({ updates, microBatch, profile }: TrainingConfig, batch: number, seq: number): BatchShape {
  return {
    batch,
    seq,
    ...(updates === undefined ? {} : { updates }),
    ...(microBatch === undefined ? {} : { microBatch }),
    ...(profile === undefined ? {} : { profile }),
  };
}

export function trainingConfigText(config: TrainingConfig): string {
  return canonicalJson(config as unknown as Json);
}

export function trainingConfigHash(config: TrainingConfig): Uint8Array {
  return sha256(utf8(trainingConfigText(config)));
}

const OPTIMIZER_FIELDS = ['beta1Nano', 'beta2Nano', 'epsNano', 'weightDecayNano', 'clipNormNano'] as const;
const MAX_CONFIG_CHARACTERS = 4_096;

/** Reads a training configuration. Fault 'training-config' names the field. */
export function parseTrainingConfig(text: string): Result<TrainingConfig> {
  const refuse = (why: string) => fault('training-config', `training configuration: ${why}`);
  if (text.length > MAX_CONFIG_CHARACTERS) return refuse(`longer than ${MAX_CONFIG_CHARACTERS} characters`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return refuse('not JSON');
  }
  const { version, model, optimizer, updates, microBatch, updateCodec, profile, carryMoments } = (json ?? {}) as Record<
    string,
    unknown
  >;
  if (version !== 1) return refuse('version is not 1');
  if (typeof model !== 'object' || model === null) return refuse('model: not an object');
  const checked = checkModelConfig(model as ModelConfig);
  if (!checked.ok) return checked;
  if (typeof optimizer !== 'object' || optimizer === null) return refuse('optimizer: not an object');
  const numbers = optimizer as Record<string, unknown>;
  for (const field of OPTIMIZER_FIELDS) {
    const value = numbers[field];
    // Up to 2^32 in units of 1e-9: every constant of the optimizer lies below 4.
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
      return refuse(`optimizer.${field}: not a whole number below 2^32`);
    }
  }
  if ((numbers.beta1Nano as number) >= 1e9 || (numbers.beta2Nano as number) >= 1e9) {
    return refuse('optimizer: a beta is not below 1');
  }
  if (updates !== undefined && !(Number.isInteger(updates) && Number(updates) >= 2 && Number(updates) <= MAX_UPDATES))
    return refuse(`updates: not a whole number from 2 to ${MAX_UPDATES}`);
  if (
    microBatch !== undefined &&
    !(Number.isInteger(microBatch) && Number(microBatch) >= 1 && Number(microBatch) <= MAX_BATCH)
  ) {
    return refuse(`microBatch: not a whole number from 1 to ${MAX_BATCH}`);
  }
  if (updateCodec !== 1 && updateCodec !== 2) return refuse('updateCodec: not 1 or 2');
  if (profile !== undefined && profile !== 'bf16x') return refuse("profile: 'bf16x' or left out");
  if (carryMoments !== undefined && carryMoments !== true) return refuse('carryMoments: true or left out');
  const config = json as TrainingConfig;
  const picked = {
    version: 1 as const,
    model: pickModel(config.model),
    optimizer: Object.fromEntries(OPTIMIZER_FIELDS.map((field) => [field, config.optimizer[field]])) as Optimizer,
    updateCodec: config.updateCodec,
    ...(config.updates === undefined ? {} : { updates: config.updates }),
    ...(config.microBatch === undefined ? {} : { microBatch: config.microBatch }),
    ...(config.profile === undefined ? {} : { profile: config.profile }),
    ...(config.carryMoments === undefined ? {} : { carryMoments: config.carryMoments }),
  };
  return trainingConfigText(picked) === text ? success(picked) : refuse('not in canonical form');
}

function pickModel({ vocab, dim, layers, heads, kvHeads, ffn, context, ropeTheta }: ModelConfig): ModelConfig {
  return { vocab, dim, layers, heads, kvHeads, ffn, context, ropeTheta };
}
