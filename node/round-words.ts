// Owns translating between the chain's words for rounds and commitments and the trainer's.

import { type Hex, fromHex, toHex } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import type { Commitment, RoundRecord } from '../chain/system/api.ts';
import type { CommitRecord } from '../trainer/commit.ts';
import type { RoundSpec } from '../trainer/rules.ts';

/** The round as trainers and auditors need it; only of a round that was opened. */
export function roundSpec(record: RoundRecord): RoundSpec {
  check(record.openedBlock > 0, 'roundSpec: the round is open');
  return {
    round: record.round,
    seed: fromHex(record.seed),
    baseRoot: fromHex(record.baseRoot),
    baseVersion: record.baseVersion,
    dataStart: record.dataStart,
    capacities: record.roster.map(({ capacity }) => capacity),
  };
}

export function slotOf(record: RoundRecord, trainer: string): number {
  return record.roster.findIndex((entry) => entry.trainer === trainer);
}

/** `canaryHash` is the trainer's own: of a canary, or of nothing. */
export function commitmentOf(commit: CommitRecord, canaryHash: Hex): Commitment {
  return {
    round: commit.round,
    baseRoot: toHex(commit.baseRoot),
    traceRoot: toHex(commit.traceRoot),
    gradChainHead: toHex(commit.gradChainHead),
    finalStateRoot: toHex(commit.finalStateRoot),
    updateHash: toHex(commit.updateHash),
    updateSize: BigInt(commit.updateSize),
    residualRoot: toHex(commit.residualRoot),
    canaryHash,
    kernelSpec: toHex(commit.kernelSpec),
    programHash: toHex(commit.programHash),
    leaves: commit.leaves,
  };
}

/** The commitment as judged; its capacity is the one the roster froze. */
export function commitRecordOf(commitment: Commitment, capacity: number): CommitRecord {
  return {
    round: commitment.round,
    capacity,
    baseRoot: fromHex(commitment.baseRoot),
    traceRoot: fromHex(commitment.traceRoot),
    gradChainHead: fromHex(commitment.gradChainHead),
    finalStateRoot: fromHex(commitment.finalStateRoot),
    updateHash: fromHex(commitment.updateHash),
    residualRoot: fromHex(commitment.residualRoot),
    updateSize: Number(commitment.updateSize),
    kernelSpec: fromHex(commitment.kernelSpec),
    programHash: fromHex(commitment.programHash),
    leaves: commitment.leaves,
  };
}
