// Owns the roots that a proof of a false step is checked against: program, schedule and data set, from the network's definition
// alone, so that every node computes them for itself.

import { type Hex, fromHex, toHex, u32be, concat } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { STATE_LEAF_BYTES, leafHash, leafHashes, merkleRoot, open } from '../base/merkle.ts';
import { DEFAULT_CHALLENGE_RULES, type ChallengeParameters } from '../chain/system/challenge-parameters.ts';
import type { ProgramProof, ScheduleProof } from '../chain/system/challenges.ts';
import { ropeTable } from '../engine/rope-table.ts';
import {
  type DisputeLayout,
  type StepConstants,
  disputeLayout,
  programAtCapacity,
  programLeaf,
  recordHashes,
} from './dispute-layout.ts';
import { lossBitsOf } from './leaf.ts';
import { MAX_CAPACITY, MAX_DISPUTE_ENTRIES, MAX_SCHEDULE_RATES } from './limits.ts';
import { type BatchShape, type ModelConfig, headWidth, updateShape } from './model.ts';
import type { TrainingRules } from './rules.ts';
import { type Optimizer, type Schedule, biasTable, hyperParameters, learningRate } from './schedule.ts';
import { buildTrainProgram, parameterBytes } from './train-program.ts';

/** The layouts of all capacities; those nobody can train at are null. */
export type DisputeTables = Readonly<{
  layout(capacity: number): DisputeLayout | null;
  programProof(capacity: number): ProgramProof;
  programRoot: Uint8Array;
}>;

type TableRules = Pick<TrainingRules, 'batch' | 'updates' | 'sequenceLength'>;

/** Steps at one capacity, as the referee knows them: no micro-batches, int8. */
export function disputeShape({ batch, updates, sequenceLength: seq }: TableRules, capacity: number): BatchShape {
  return { batch: capacity * batch, seq, ...(updates === 1 ? {} : { updates }) };
}

/** Inputs of a step that never change, at one capacity. */
export function stepConstants(model: ModelConfig, rules: TableRules, capacity: number): StepConstants {
  const { sequenceLength } = rules;
  const rows = updateShape(disputeShape(rules, capacity)).batch * sequenceLength;
  return {
    positions: Int32Array.from({ length: rows }, (_, row) => row % sequenceLength),
    ropeTable: ropeTable(model.context, headWidth(model), model.ropeTheta),
  };
}

/** Layouts and program root of a model: two traces, the other capacities in proportion. */
export function disputeTables(model: ModelConfig, rules: TableRules): DisputeTables {
  const traced = [1, 2].map((capacity) => buildTrainProgram(model, disputeShape(rules, capacity)));
  const [one, two] = [present(traced[0], 'program'), present(traced[1], 'program')];
  const layout = (capacity: number): DisputeLayout | null => {
    const program = programAtCapacity(one, two, capacity);
    return program === null ? null : disputeLayout(program, stepConstants(model, rules, capacity), rules.updates);
  };
  const programs = Array.from({ length: MAX_CAPACITY }, (_, index) => {
    const made = layout(index + 1);
    if (made === null) return { records: new Uint8Array(32), recordCount: 0, entries: 0 };
    return { records: merkleRoot(recordHashes(made)), recordCount: made.records.length, entries: made.entries.length };
  });
  const leaves = programs.map(({ records, recordCount, entries }) => programLeaf(records, recordCount, entries));
  return {
    layout,
    programRoot: merkleRoot(leaves),
    programProof(capacity) {
      const { records, recordCount, entries } = present(programs[capacity - 1], 'capacity');
      const { siblings } = open(leaves, capacity - 1);
      return { records: toHex(records), recordCount, entries, siblings: siblings.map((hash) => toHex(hash)) };
    },
  };
}

/** Length of a step's dispute list, the same at every capacity. */
function entriesOf(model: ModelConfig, rules: TableRules): number {
  const program = buildTrainProgram(model, disputeShape(rules, 1));
  return disputeLayout(program, stepConstants(model, rules, 1), rules.updates).entries.length;
}

/** Learning rates before the rate stays the same: one for each update of rise and decay, and the last. */
function rateLeaves(schedule: Schedule): Uint8Array[] {
  const count = schedule.warmupSteps + schedule.decaySteps + 1;
  check(count <= MAX_SCHEDULE_RATES, 'rateLeaves: schedule within its limit');
  return Array.from({ length: count }, (_, step) => leafHash(u32be(lossBitsOf(learningRate(schedule, step)))));
}

type BiasRules = Pick<TrainingRules, 'optimizer' | 'steps' | 'updates' | 'carryMoments'>;

/** Bias corrections by the updates the moments have seen: no more than a round's where every round starts from zeros. */
function biasesOf({ optimizer, steps, updates, carryMoments }: BiasRules): ReturnType<typeof biasTable> {
  return biasTable(optimizer, carryMoments ? MAX_SCHEDULE_RATES : steps * updates);
}

const biasLeaves = (biases: ReturnType<typeof biasTable>): Uint8Array[] =>
  biases.map((pair) => leafHash(concat(...pair.map((bias) => u32be(lossBitsOf(bias))))));

/** Words of the schedule with their openings, for an update of a step of a round on base version `baseVersion`. */
export function scheduleProof(
  rules: BiasRules & Pick<TrainingRules, 'schedule'>,
  baseVersion: number,
  step: number,
  update: number,
  carriedRounds = 0,
): ScheduleProof {
  const { schedule, steps, updates } = rules;
  const rates = rateLeaves(schedule);
  const index = Math.min((baseVersion * steps + step) * updates + update, rates.length - 1);
  const biases = biasesOf(rules);
  const seen = Math.min((carriedRounds * steps + step) * updates + update, biases.length - 1);
  const [first, second] = present(biases[seen], 'bias corrections');
  const opened = (leaves: Uint8Array[], at: number): Hex[] => open(leaves, at).siblings.map((hash) => toHex(hash));
  return {
    rate: lossBitsOf(learningRate(schedule, index)),
    rateSiblings: opened(rates, index),
    bias: [lossBitsOf(first), lossBitsOf(second)],
    biasSiblings: opened(biasLeaves(biases), seen),
  };
}

/** Bits of the constants of AdamW, in the order of the hyper tensor. */
function optimizerBits(optimizer: Optimizer): Pick<ChallengeParameters, 'beta1' | 'beta2' | 'eps' | 'decay' | 'clip'> {
  const hyper = hyperParameters({ learningRateNano: 0, warmupSteps: 0, decaySteps: 0, floorBps: 0 }, optimizer, 0, 0);
  const [, beta1, beta2, eps, decay, , , clip] = [...hyper].map(lossBitsOf) as number[];
  return { beta1, beta2, eps, decay, clip } as ReturnType<typeof optimizerBits>;
}

/** Root of so many zero bytes in leaves of a state. */
export function zeroTree(bytes: number): Uint8Array[] {
  const whole = leafHash(new Uint8Array(STATE_LEAF_BYTES));
  const rest = bytes % STATE_LEAF_BYTES;
  const leaves = Array.from({ length: Math.floor(bytes / STATE_LEAF_BYTES) }, () => whole);
  return rest === 0 ? leaves : [...leaves, ...leafHashes(new Uint8Array(rest))];
}

export type DisputeDefinition = Readonly<{
  model: ModelConfig;
  rules: TableRules & BiasRules & Pick<TrainingRules, 'schedule'>;
  training: Readonly<{ root: Hex; sequences: number }>;
}>;

/** The genesis parameters of Challenges. Fault 'challenges' when schedule, model or updates are beyond a limit. */
export function challengeParameters(
  { model, rules, training }: DisputeDefinition,
  chosen: Readonly<
    Pick<ChallengeParameters, 'bondGwei' | 'answerBlocks' | 'proveBlocks' | 'windowBlocks'>
  > = DEFAULT_CHALLENGE_RULES,
): Result<ChallengeParameters> {
  const { schedule, optimizer } = rules;
  const rates = schedule.warmupSteps + schedule.decaySteps + 1;
  if (rates > MAX_SCHEDULE_RATES)
    return fault('challenges', `schedule of ${rates} steps, more than ${MAX_SCHEDULE_RATES}`);
  const biases = biasesOf(rules);
  if (biases.length === MAX_SCHEDULE_RATES)
    return fault('challenges', `bias corrections that change for more than ${MAX_SCHEDULE_RATES} steps`);
  const bytes = parameterBytes(model);
  const entries = entriesOf(model, rules);
  if (entries > MAX_DISPUTE_ENTRIES) {
    const why = `${rules.updates} updates of this model are ${entries} tensors that an answer has a root for, more than ${MAX_DISPUTE_ENTRIES}`;
    return fault('challenges', `${why}: fewer updates a step`, { entries });
  }
  if (3 * bytes >= 2 ** 32) return fault('challenges', `state of ${3 * bytes} bytes, not below 2^32`);
  return success({
    ...chosen,
    updates: rules.updates,
    sequences: training.sequences,
    rates,
    biases: biases.length,
    carryMoments: rules.carryMoments,
    parameterBytes: bytes,
    ...optimizerBits(optimizer),
    programRoot: toHex(disputeTables(model, rules).programRoot),
    trainingRoot: toHex(fromHex(training.root)),
    rateRoot: toHex(merkleRoot(rateLeaves(schedule))),
    biasRoot: toHex(merkleRoot(biasLeaves(biases))),
    zeroRoot: toHex(merkleRoot(zeroTree(bytes))),
  });
}
