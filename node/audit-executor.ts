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

export function createAuditExecutor(parts: {
  thread: EngineThread;
  keeper: ModelKeeper;
  blobs: BlobExchange;
  /** The chain's state at the head. */
  view: () => ViewCall;
  fetchState: (trainer: Hex, round: number, step: number) => Promise<Uint8Array | null>;
  signal: AbortSignal;
}): AuditExecutor {
  const { thread, keeper, blobs, view, fetchState, signal } = parts;
  return async (record, commitment, trainer, salt, task) => {
    const slot = slotOf(record, trainer);
    const base = keeper.params(record.baseRoot);
    if (base === null) return { verdict: 'unavailable', reason: 'the base model is not here' };
    const capacity = present(record.roster[slot], 'slot of an audited trainer').capacity;
    const commit = commitRecordOf(commitment, capacity);
    const residualRoot = await residualRootBefore(view(), record.round, trainer);
    return thread.audit(
      { spec: roundSpec(record), slot, base, commit, salt, task, residualRoot },
      async (question) => {
        if (question.question === 'state') return fetchState(trainer, record.round, question.step);
        if (question.question === 'residual') return fetchState(trainer, record.round - 1, RESIDUAL_AFTER);
        const bytes = await blobs.fetch(commitment.updateHash, Number(commitment.updateSize));
        return bytes.ok ? bytes.value : null;
      },
      signal,
    );
  };
}
