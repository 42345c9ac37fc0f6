// Owns putting an audit's question to the engine thread: the slot's task, the base model, states and update from peers.

import type { Hex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import type { Commitment, RoundRecord, ViewCall } from '../chain/system/api.ts';
import type { AuditVerdict } from '../trainer/audit.ts';
import type { BlobExchange } from './blob-exchange.ts';
import type { AuditTask } from './engine-calls.ts';
import type { EngineThread } from './engine-thread.ts';
import type { ModelKeeper } from './model-keeper.ts';
import { residualRootBefore } from './residuals.ts';
import { commitRecordOf, roundSpec, slotOf } from './round-words.ts';
import { RESIDUAL_AFTER } from './state-exchange.ts';

/** What an execution says of a trainer's commitment; digests are salted. */
export type AuditExecutor = (
  record: RoundRecord,
  commitment: Commitment,
  trainer: Hex,
  salt: Uint8Array,
  task: AuditTask,
) => Promise<AuditVerdict>;

/** A step of a claim that an execution here gave other bits for, with the committed state before it when that was served. */
export type FalseClaimNote = (
  claim: Readonly<{ round: number; trainer: Hex; step: number }>,
  start: Uint8Array | null,
) => void;

export function createAuditExecutor(parts: {
  thread: EngineThread;
  keeper: ModelKeeper;
  blobs: BlobExchange;
  /** The chain's state at the head. */
  view: () => ViewCall;
  fetchState: (trainer: Hex, round: number, step: number) => Promise<Uint8Array | null>;
  onFalse: FalseClaimNote;
  signal: AbortSignal;
}): AuditExecutor {
  const { thread, keeper, blobs, view, fetchState, onFalse, signal } = parts;
  return async (record, commitment, trainer, salt, task) => {
    const slot = slotOf(record, trainer);
    const base = keeper.params(record.baseRoot);
    if (base === null) return { verdict: 'unavailable', reason: 'the base model is not here' };
    const capacity = present(record.roster[slot], 'slot of an audited trainer').capacity;
    const commit = commitRecordOf(commitment, capacity);
    const residualRoot = await residualRootBefore(view(), record.round, trainer);
    let served: Readonly<{ step: number; state: Uint8Array }> | null = null;
    const verdict = await thread.audit(
      { spec: roundSpec(record), slot, base, commit, salt, task, residualRoot },
      async (question) => {
        if (question.question === 'state') {
          const state = await fetchState(trainer, record.round, question.step);
          if (state !== null) served = { step: question.step, state };
          return state;
        }
        if (question.question === 'residual') return fetchState(trainer, record.round - 1, RESIDUAL_AFTER);
        const bytes = await blobs.fetch(commitment.updateHash, Number(commitment.updateSize));
        return bytes.ok ? bytes.value : null;
      },
      signal,
    );
    // What was only looked at was not executed.
    if (verdict.verdict === 'invalid' && task.kind !== 'pass') {
      const { step } = verdict;
      const from = served as Readonly<{ step: number; state: Uint8Array }> | null;
      onFalse({ round: record.round, trainer, step }, from?.step === step ? from.state : null);
    }
    return verdict;
  };
}
