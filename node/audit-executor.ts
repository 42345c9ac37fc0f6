// Owns putting an audit's question to the engine thread: the slot's task, the base model, states and update from peers.

import type { Hex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import type { Commitment, RoundRecord, ViewCall } from '../chain/system/api.ts';
import type { AuditVerdict } from '../trainer/audit.ts';
import type { TrainingRules } from '../trainer/rules.ts';
import type { BlobExchange } from './blob-exchange.ts';
import type { AuditTask } from './engine-calls.ts';
import type { EngineThread } from './engine-thread.ts';
import { carriedBefore, finalStateFile } from './final-states.ts';
import type { ModelKeeper } from './model-keeper.ts';
import { residualRootBefore } from './residuals.ts';
import { commitRecordOf, roundSpec, slotOf } from './round-words.ts';
import { RESIDUAL_AFTER, type StateAnswers, type StateFetch } from './state-exchange.ts';

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
  rules: TrainingRules;
  dataDir: string;
  fetchStates: StateFetch;
  onFalse: FalseClaimNote;
  signal: AbortSignal;
}): AuditExecutor {
  const { thread, keeper, blobs, view, rules, dataDir, fetchStates, onFalse, signal } = parts;
  return async (record, commitment, trainer, salt, task) => {
    const slot = slotOf(record, trainer);
    const base = keeper.params(record.baseRoot);
    if (base === null) return { verdict: 'unavailable', reason: 'the base model is not here' };
    const capacity = present(record.roster[slot], 'slot of an audited trainer').capacity;
    const commit = commitRecordOf(commitment, capacity);
    const { round } = record;
    const residualRoot = await residualRootBefore(view(), round, trainer);
    const carried = await carriedBefore(view(), rules, round, trainer);
    // Only who approves a claim says with it that the final state is held here.
    const approves = rules.carryMoments && (task.kind === 'audit' || task.kind === 'pass');
    const finalFile = approves ? finalStateFile(dataDir, round, trainer) : null;
    const states = createAnswers(fetchStates);
    let served: Readonly<{ step: number; state: Uint8Array }> | null = null;
    const verdict = await thread.audit(
      { spec: roundSpec(record), slot, base, carried, commit, salt, task, residualRoot, finalFile },
      async (question) => {
        if (question.question === 'state') {
          const state = await states.next(trainer, round, question.step);
          if (state !== null) served = { step: question.step, state };
          return state;
        }
        if (question.question === 'residual') return states.next(trainer, round - 1, RESIDUAL_AFTER);
        if (question.question === 'carried') return states.next(trainer, round - 1, rules.steps);
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

/** The answers to each question of one execution: asked again, the next one. */
function createAnswers(fetchStates: StateFetch) {
  const open = new Map<string, StateAnswers>();
  return {
    async next(trainer: Hex, round: number, step: number): Promise<Uint8Array | null> {
      const key = `${round} ${step}`;
      const answers = open.get(key) ?? fetchStates(trainer, round, step);
      open.set(key, answers);
      const answer = await answers.next();
      return answer.done === true ? null : answer.value;
    },
  };
}
