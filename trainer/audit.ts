// Owns judging a committed round by re-execution: structure, sampled steps, the update. A verdict is a pure function of the
// commitment and the data, or it is 'unavailable'. Rules J-1 to J-10 of docs/protocol/learning-round.md.

import { concat, equal, u32be } from '../base/bytes.ts';
import { check, present } from '../base/check.ts';
import { sha256, taggedHash } from '../base/hash.ts';
import { stateRoot } from '../base/merkle.ts';
import type { CommitRecord } from './commit.ts';
import { fetchCarried, isFinalState } from './moments.ts';
import { type StepLeaf, chainHead, completeLeaves, decodeLeaves, traceRoot } from './leaf.ts';
import { type SlotTask, breathe, executeStep, startRound, stepData } from './replay.ts';
import { NO_RESIDUAL, type ResidualSource, fetchResidual, roundUpdate } from './residual.ts';
import { decodeUpdate, updateSize } from './update.ts';

/** Step of a verdict about the commitment as a whole and no single step (system contracts: the same number). */
export const STRUCTURE_STEP = 0xffff_ffff;

export type AuditVerdict =
  /** `digest` holds what only an execution of the sampled steps produces, under the auditor's salt. */
  | Readonly<{ verdict: 'valid'; digest: Uint8Array }>
  /** Not drawn: its form is right and its update is served. */
  | Readonly<{ verdict: 'passed' }>
  | Readonly<{ verdict: 'invalid'; step: number; reason: string }>
  | Readonly<{ verdict: 'unavailable'; reason: string }>;

export type AuditOptions = Readonly<{
  commit: CommitRecord;
  /** Steps to re-execute, ascending (sample.ts). */
  sample: readonly number[];
  /** The auditor's own (sample.ts): digests of two auditors never agree. */
  salt: Uint8Array;
  /** State before a step as a peer serves it (step `steps`: the final state), or null. It is checked against its root. */
  fetchState?: (step: number) => Promise<Uint8Array | null>;
  /** The residual before the round; zeros when left out. */
  residual?: ResidualSource;
  /** The final state that the task's moments are from, as a peer serves it, or null. It is checked against its root. */
  fetchCarried?: () => Promise<Uint8Array | null>;
  /** Takes the committed final state where moments are carried: a VALID or PASSED says that it is held here (rule V-5). */
  keepFinal?: (state: Uint8Array) => void;
  /** The encoded update as a peer or blob store serves it, or null. */
  fetchUpdate: () => Promise<Uint8Array | null>;
  /** Rebuild what nobody serves by replay from the base; without it such a step is unavailable. Default true. */
  replay?: boolean;
  signal?: AbortSignal;
}>;

/** A judge needs no sample, and no update: accusations are about what was committed. */
export type JudgeOptions = Omit<AuditOptions, 'sample' | 'fetchUpdate'>;

type Invalid = Extract<AuditVerdict, { verdict: 'invalid' }>;
type Refusal = Extract<AuditVerdict, { verdict: 'invalid' | 'unavailable' }>;

/** Audits one commitment: first its structure, then the sampled steps in order, then that the update is the final state's. */
export async function auditCommit(task: SlotTask, options: AuditOptions): Promise<AuditVerdict> {
  const structure = checkStructure(task, options.commit);
  if ('verdict' in structure) return structure;
  const walk = createWalk(task, structure.leaves, options);
  const executed = await executeSample(task, walk, options);
  if (executed.verdict !== 'valid') return executed;
  return (await checkUpdate(task, options.commit, walk, options)) ?? executed;
}

/**
 * The digest of sampled steps alone, for whoever checks another's VALID: 'invalid' when one of them is false, so that no honest
 * execution has a digest at all.
 */
export async function recheckSample(
  task: SlotTask,
  options: JudgeOptions & Pick<AuditOptions, 'sample'>,
): Promise<AuditVerdict> {
  const structure = checkStructure(task, options.commit);
  if ('verdict' in structure) return structure;
  return executeSample(task, createWalk(task, structure.leaves, options), options);
}

/** What is checked of a claim that was not drawn: its form, and that an update of the right hash and form is served. */
export async function passCommit(
  task: SlotTask,
  options: Pick<AuditOptions, 'commit' | 'fetchUpdate' | 'fetchState' | 'keepFinal'>,
): Promise<AuditVerdict> {
  const { commit } = options;
  const structure = checkStructure(task, commit);
  if ('verdict' in structure) return structure;
  const served = await options.fetchUpdate();
  if (served === null) return { verdict: 'unavailable', reason: 'update is not served' };
  if (!equal(sha256(served), commit.updateHash))
    return { verdict: 'unavailable', reason: 'served update does not have the committed hash' };
  const decoded = decodeUpdate(served, task.runner.parameterBytes / 4);
  // Bytes of this hash that no final state encodes to: a judge finds the same by J-6.
  if (!decoded.ok) return { verdict: 'invalid', step: STRUCTURE_STEP, reason: decoded.message };
  if (decoded.value.codec !== task.rules.codec)
    return { verdict: 'invalid', step: STRUCTURE_STEP, reason: 'update is of another codec' };
  if (!task.rules.carryMoments) return { verdict: 'passed' };
  const final = (await options.fetchState?.(task.rules.steps)) ?? null;
  if (!isFinalState(commit.finalStateRoot, final, task.runner.state.length))
    return { verdict: 'unavailable', reason: 'final state is not served' };
  options.keepFinal?.(final);
  return { verdict: 'passed' };
}

async function executeSample(
  task: SlotTask,
  walk: Walk,
  { sample, salt }: Pick<AuditOptions, 'sample' | 'salt'>,
): Promise<Exclude<AuditVerdict, { verdict: 'passed' }>> {
  const digests: Uint8Array[] = [];
  for (const step of sample) {
    check(Number.isInteger(step) && step >= 0 && step < task.rules.steps, 'audit: sampled step out of range');
    const refusal = (await walk.reach(step)) ?? (await walk.advance());
    if (refusal !== null) return refusal;
    digests.push(u32be(step), taggedHash('audit-interior', salt, task.runner.gradients));
  }
  return { verdict: 'valid', digest: taggedHash('audit-digest', salt, ...digests) };
}

/** Judges one accusation: the accused step, or with {@link STRUCTURE_STEP} the commitment's structure and update. */
export async function judgeStep(task: SlotTask, step: number, options: JudgeOptions): Promise<AuditVerdict> {
  if (step !== STRUCTURE_STEP && (!Number.isInteger(step) || step < 0 || step >= task.rules.steps)) {
    // The accusation names a step that no round has: nothing can be wrong with it.
    return { verdict: 'valid', digest: taggedHash('audit-digest', options.salt) };
  }
  const structure = checkStructure(task, options.commit);
  if ('verdict' in structure) return structure;
  const walk = createWalk(task, structure.leaves, options);
  if (step === STRUCTURE_STEP) {
    // Whether the update is served is no part of the accusation: its hash is right or wrong by itself.
    const { refusal } = await expectedUpdate(task, options.commit, walk, options);
    return refusal ?? { verdict: 'valid', digest: taggedHash('audit-digest', options.salt) };
  }
  const refusal = (await walk.reach(step)) ?? (await walk.advance());
  if (refusal !== null) return refusal;
  const interior = taggedHash('audit-interior', options.salt, task.runner.gradients);
  return { verdict: 'valid', digest: taggedHash('audit-digest', options.salt, u32be(step), interior) };
}

/** What needs no execution: every field that follows from the round or from other fields. */
function checkStructure(task: SlotTask, commit: CommitRecord): Invalid | Readonly<{ leaves: readonly StepLeaf[] }> {
  const { spec, slot, rules, runner } = task;
  check(equal(stateRoot(task.base), spec.baseRoot), "checkStructure: our base does not have the round's base root");
  const refuse = (reason: string): Invalid => ({ verdict: 'invalid', step: STRUCTURE_STEP, reason });
  if (commit.round !== spec.round) return refuse(`round is ${commit.round}, not ${spec.round}`);
  if (commit.capacity !== spec.capacities[slot])
    return refuse(`capacity is ${commit.capacity}, not ${spec.capacities[slot]}`);
  if (!equal(commit.baseRoot, spec.baseRoot)) return refuse("base root is not the round's");
  if (!equal(commit.kernelSpec, rules.kernelSpec)) return refuse("kernel specification is not the round's");
  if (!equal(commit.programHash, rules.programHash)) return refuse("program hash is not the round's");
  const size = updateSize(runner.parameterBytes / 4, rules.codec);
  if (commit.updateSize !== size) return refuse(`update size is ${commit.updateSize}, not ${size}`);
  if (rules.codec === 1 && !equal(commit.residualRoot, NO_RESIDUAL)) return refuse('residual root is not zero');
  const sent = decodeLeaves(commit.leaves, rules.steps);
  if (!sent.ok) return refuse(sent.message);
  const last = present(sent.value.at(-1), 'last leaf');
  if (!equal(commit.finalStateRoot, last.stateRoot)) return refuse("final state root is not the last leaf's");
  if (!equal(commit.gradChainHead, chainHead({ ...spec, slot }, sent.value)))
    return refuse('gradient chain head differs');
  const leaves = completeLeaves(
    sent.value,
    sent.value.map((_, step) => stepData(task, step).root),
  );
  if (!equal(commit.traceRoot, traceRoot(leaves))) return refuse('trace root differs');
  return { leaves };
}

/** The runner's state on its way through a trace. It holds the committed state before step `at()`, or nothing known. */
type Walk = Readonly<{
  /** Brings the committed state before a step into the runner. */
  reach(step: number): Promise<Refusal | null>;
  /** Executes the step whose start is in the runner and compares its leaf. */
  advance(): Promise<Refusal | null>;
}>;

function createWalk(task: SlotTask, leaves: readonly StepLeaf[], options: JudgeOptions): Walk {
  let at: number | null = null;
  let carried: Readonly<{ state: Uint8Array | null | 'unserved' }> | null = null;
  async function advance(): Promise<Refusal | null> {
    const step = present(at, 'start state');
    at = null;
    await breathe();
    if (options.signal?.aborted === true) return { verdict: 'unavailable', reason: 'aborted' };
    const outcome = executeStep(task, step);
    if (!outcome.ok) {
      const reason = `re-execution left its range: ${outcome.reason} at instruction ${outcome.instruction} (${outcome.op})`;
      return { verdict: 'invalid', step, reason };
    }
    const difference = leafDifference(present(leaves[step], 'leaf'), outcome.leaf);
    if (difference !== null) return { verdict: 'invalid', step, reason: `${difference} differs in re-execution` };
    at = step + 1;
    return null;
  }
  async function reach(step: number): Promise<Refusal | null> {
    if (at === step) return null;
    if (step > 0) {
      const served = (await options.fetchState?.(step)) ?? null;
      const root = present(leaves[step - 1], 'leaf before').stateRoot;
      if (served !== null && served.length === task.runner.state.length && equal(stateRoot(served), root)) {
        task.runner.state.set(served);
        at = step;
        return null;
      }
      if (options.replay === false)
        return { verdict: 'unavailable', reason: `state before step ${step} is not served` };
    }
    // Replay compares every leaf on its way, so a state it reaches is the committed one.
    if (at === null || at > step) {
      carried ??= { state: await fetchCarried(task.carried, task.runner.state.length, options.fetchCarried) };
      if (carried.state === 'unserved')
        return { verdict: 'unavailable', reason: 'the moments before the round are not served' };
      startRound(task, carried.state);
      at = 0;
    }
    while (at < step) {
      const refusal = await advance();
      if (refusal !== null) return refusal;
    }
    return null;
  }
  return { reach, advance };
}

function leafDifference(stated: StepLeaf, found: StepLeaf): string | null {
  if (!equal(stated.gradRoot, found.gradRoot)) return 'gradient root';
  if (!equal(stated.stateRoot, found.stateRoot)) return 'state root';
  return stated.lossBits === found.lossBits ? null : 'loss';
}

/** The committed update must be the codec of base minus the committed final state; its bytes, or what is wrong. */
async function expectedUpdate(
  task: SlotTask,
  commit: CommitRecord,
  walk: Walk,
  { residual }: JudgeOptions,
): Promise<Readonly<{ refusal: Refusal; bytes: null } | { refusal: null; bytes: Uint8Array }>> {
  const refusal = await walk.reach(task.rules.steps);
  if (refusal !== null) return { refusal, bytes: null };
  const { runner, rules, base } = task;
  const before = await fetchResidual(residual, runner.parameterBytes);
  if (before === 'unserved') {
    return { refusal: { verdict: 'unavailable', reason: 'residual before the round is not served' }, bytes: null };
  }
  const right = roundUpdate(rules.codec, base, runner.state.subarray(0, runner.parameterBytes), before);
  if (
    right !== null &&
    equal(sha256(right.bytes), commit.updateHash) &&
    equal(right.residualRoot, commit.residualRoot)
  ) {
    return { refusal: null, bytes: right.bytes };
  }
  const reason = 'update or residual is not the codec of base minus final state';
  return { refusal: { verdict: 'invalid', step: STRUCTURE_STEP, reason }, bytes: null };
}

/** Bytes that do not have the committed hash are somebody's wrong answer, not the trainer's: unavailable. */
async function checkUpdate(
  task: SlotTask,
  commit: CommitRecord,
  walk: Walk,
  options: AuditOptions,
): Promise<Refusal | null> {
  const { refusal, bytes } = await expectedUpdate(task, commit, walk, options);
  if (refusal !== null) return refusal;
  const served = await options.fetchUpdate();
  if (served === null) return { verdict: 'unavailable', reason: 'update is not served' };
  if (!equal(served, bytes))
    return { verdict: 'unavailable', reason: 'served update does not have the committed hash' };
  // The walk stands at the end of the round.
  if (task.rules.carryMoments) options.keepFinal?.(task.runner.state);
  return null;
}

/** Digest of a verdict that is not VALID: its reason, so that logs can be matched to transactions. */
export function refusalDigest(verdict: Refusal): Uint8Array {
  return taggedHash('audit-refusal', concat(Buffer.from(verdict.verdict, 'utf8'), Buffer.from(verdict.reason, 'utf8')));
}
