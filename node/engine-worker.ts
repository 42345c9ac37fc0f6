// Owns an engine thread: one executor, and the heavy work of a node on it (rounds, audits, aggregation, evaluation, chat).
// Work on step runners is done one task at a time; chat requests share their own programs.

import { mkdirSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { equal, toHex, u32be } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { FaultError, fault, unwrap } from '../base/fault.ts';
import { taggedHash } from '../base/hash.ts';
import { stateRoot } from '../base/merkle.ts';
import { lowerThreadPriority } from '../base/thread-priority.ts';
import { createExecutor } from '../engine/executor.ts';
import { programHash } from '../engine/program.ts';
import { aggregate } from '../trainer/aggregate.ts';
import { auditCommit, judgeStep, passCommit, recheckSample } from '../trainer/audit.ts';
import { choosePlan } from '../trainer/execution-plan.ts';
import { type Dataset, openDataset, parseManifest } from '../trainer/dataset.ts';
import { type DisputeAnswer, answerStep } from '../trainer/dispute-answer.ts';
import { type DisputeTables, disputeTables } from '../trainer/dispute-roots.ts';
import { disputedStep } from '../trainer/dispute-step.ts';
import { type Generator, createGenerator } from '../trainer/generate.ts';
import { type HeldOutMeter, createHeldOutMeter } from '../trainer/held-out.ts';
import { LEAF_BYTES } from '../trainer/leaf.ts';
import { type SlotTask, createSlotTask } from '../trainer/replay.ts';
import { type RoundStore, openRoundStore, saveResidual } from '../trainer/round-store.ts';
import { runLearningRound, stateBefore } from '../trainer/round.ts';
import { stepShape, taskIdentity } from '../trainer/rules.ts';
import { type StepRunner, createStepRunner, floats } from '../trainer/step-runner.ts';
import { decodeUpdate } from '../trainer/update.ts';
import type {
  AggregateAnswer,
  AggregateArgs,
  AuditAnswer,
  AuditArgs,
  ChallengeAnswer,
  ChallengeArgs,
  DisputeAnswerArgs,
  DisputeArgs,
  DisputeReply,
  EngineThreadData,
  GenerateArgs,
  HelloAnswer,
  MeasureArgs,
  ModelArgs,
  PlanAnswer,
  PlanArgs,
  SlotArgs,
  TrainAnswer,
  TrainArgs,
  TrainStepEvent,
} from './engine-calls.ts';
import { askedChain } from './challenge-port.ts';
import { systemClock } from './clock.ts';
import { writeFileDurably } from './files.ts';
import { ROUND_STATE_BYTES } from './limits.ts';
import { memoryLimit } from './memory-limit.ts';
import { type CallContext, serveCalls } from './worker-channel.ts';

const data = workerData as EngineThreadData;
const { training, rules } = data;
// Before the executor: its helper threads inherit the priority.
const priority = data.nice > 0 ? lowerThreadPriority(data.nice) : 'as started';
const executor = await createExecutor({ backend: data.backend, threads: data.threads });

let openedDataset: Dataset | null = null;
const runners = new Map<number, StepRunner>();
let meter: HeldOutMeter | null = null;
let generator: Generator | null = null;
let turn: Promise<unknown> = Promise.resolve();

function dataset(): Dataset {
  openedDataset ??= unwrap(openDataset(unwrap(parseManifest(data.manifestText)), new Uint8Array(data.dataset)));
  return openedDataset;
}

function runnerFor(capacity: number): StepRunner {
  const batch = capacity * rules.batch;
  let runner = runners.get(batch);
  if (runner === undefined) {
    runner = makeRunner(batch);
    runners.set(batch, runner);
  }
  return runner;
}

/** Notes of the plans taken, by sequences of a step. */
const notes = new Map<number, string>();

/** A runner by the fastest plan that fits; a FaultError 'engine/memory' before anything is allocated when none does. */
function makeRunner(batch: number): StepRunner {
  const shape = stepShape(training, batch, rules.sequenceLength);
  const host = {
    ...memoryLimit(data.memoryMb),
    threads: data.threads,
    wasm: executor.backend === 'wasm',
    carriesMoments: rules.carryMoments,
  };
  const plan = unwrap(choosePlan(training.model, shape, host));
  const hash = programHash(plan.canonical);
  if (batch === rules.batch && !equal(hash, rules.programHash)) {
    const why = `the training program of this software is ${toHex(hash)}, the genesis names ${toHex(rules.programHash)}`;
    throw new FaultError(fault('engine/program', why));
  }
  const runner = createStepRunner(executor, training.model, shape, plan);
  notes.set(batch, plan.note);
  return runner;
}

function plan({ capacity }: PlanArgs): PlanAnswer {
  runnerFor(capacity);
  return { note: present(notes.get(capacity * rules.batch), 'note of the plan') };
}

function slotTask({ spec, slot, base, carried }: SlotArgs): SlotTask {
  const capacity = present(spec.capacities[slot], 'capacity of the slot');
  return createSlotTask({ spec, slot, rules, dataset: dataset(), runner: runnerFor(capacity), base, carried });
}

/** Runs tasks that use a step runner one after the other. */
function inTurn<T>(action: () => Promise<T>): Promise<T> {
  const next = turn.then(action, action);
  turn = next.catch(() => null);
  return next;
}

/** A canary's states are of another trace: neither goes on from the other's after a crash. */
function storeIdentity({ spec, slot, canaryStep }: StoredTask, datasetRoot: Uint8Array): Uint8Array {
  const identity = taskIdentity(spec, slot, rules, datasetRoot);
  return canaryStep === null ? identity : taggedHash('canary-task', identity, u32be(canaryStep));
}

type StoredTask = Pick<TrainArgs, 'spec' | 'slot' | 'folder' | 'canaryStep'>;

function roundStore(args: StoredTask, task: SlotTask): RoundStore {
  return openRoundStore({
    folder: args.folder,
    identity: storeIdentity(args, task.dataset.root),
    steps: rules.steps,
    stateBytes: task.runner.state.length,
    maxBytes: ROUND_STATE_BYTES,
  });
}

async function train(args: TrainArgs, context: CallContext): Promise<TrainAnswer> {
  const task = slotTask(args);
  mkdirSync(args.folder, { recursive: true });
  const store = roundStore(args, task);
  const result = await runLearningRound(task, {
    store,
    ...(args.canaryStep === null ? {} : { canaryStep: args.canaryStep }),
    residual: args.residual,
    carriedState: args.carriedState,
    signal: context.signal,
    onStep: (report) => context.event(report satisfies TrainStepEvent),
  });
  if (!result.ok) return { ok: false, reason: result.reason, step: result.step };
  if (result.residual !== null) saveResidual(args.folder, result.residual);
  if (args.finalFile !== null) writeFileDurably(args.finalFile, result.finalState);
  return { ok: true, commit: result.commit, update: result.update, resumedAt: result.resumedAt };
}

/** Asks until an answer has the root: a peer's wrong one must not hide another's right one. Null when there are no more. */
async function stateOf(
  context: CallContext,
  root: Uint8Array,
  question: string,
  step: number | null = null,
): Promise<Uint8Array | null> {
  for (;;) {
    const bytes = (await context.ask(question, step)) as Uint8Array | null;
    if (bytes === null || equal(stateRoot(bytes), root)) return bytes;
  }
}

async function audit(args: AuditArgs, context: CallContext): Promise<AuditAnswer> {
  const task = slotTask(args);
  const { commit, finalFile } = args;
  const options = {
    commit,
    salt: args.salt,
    signal: context.signal,
    fetchState: async (step: number) => {
      const before = commit.leaves.subarray(LEAF_BYTES * (step - 1), LEAF_BYTES * (step - 1) + 32);
      return stateOf(context, before, 'state', step);
    },
    residual: { root: args.residualRoot, fetch: () => stateOf(context, args.residualRoot, 'residual') },
    fetchCarried: () => stateOf(context, args.carried.root, 'carried'),
    ...(finalFile === null ? {} : { keepFinal: (state: Uint8Array) => writeFileDurably(finalFile, state) }),
    fetchUpdate: async () => (await context.ask('update', null)) as Uint8Array | null,
  };
  switch (args.task.kind) {
    case 'audit':
      return auditCommit(task, { ...options, sample: args.task.sample });
    case 'recheck':
      return recheckSample(task, { ...options, sample: args.task.sample });
    case 'pass':
      return passCommit(task, options);
    case 'judge':
      return judgeStep(task, args.task.step, options);
  }
}

let disputes: DisputeTables | null = null;
let answered: Readonly<{ key: string; answer: DisputeAnswer }> | null = null;

/** A disputed step is run once and kept: questions about it follow its answer. */
async function dispute(args: DisputeAnswerArgs): Promise<DisputeReply> {
  const key = `${args.spec.round} ${args.slot} ${args.step}`;
  if (answered?.key !== key) {
    const made = await answerTo(args);
    if (made === null) return null;
    answered = { key, answer: made };
  }
  if (args.node === null) return { kind: 'answer', answer: answered.answer.answer };
  const disclosure = answered.answer.disclose(args.node);
  return disclosure === null ? null : { kind: 'disclosure', disclosure };
}

async function answerTo(args: DisputeArgs): Promise<DisputeAnswer | null> {
  const task = slotTask(args);
  mkdirSync(args.folder, { recursive: true });
  // A canary is never accepted, so what is challenged is an ordinary trace.
  const store = roundStore({ ...args, canaryStep: null }, task);
  const { carriedState } = args;
  const round = await runLearningRound(task, { store, carriedState });
  const state = round.ok ? await stateBefore(task, args.step, store, carriedState) : null;
  if (!round.ok || state === null) return null;
  disputes ??= disputeTables(training.model, rules);
  const parts = { executor, model: training.model, tables: disputes };
  const step = disputedStep(task, parts, args.step, state, args.step === 0 ? carriedState : null);
  const capacity = present(args.spec.capacities[args.slot], 'capacity of the slot');
  return answerStep(step, round.leaves, disputes.programProof(capacity));
}

/** Not in turn with the other work: a game waits for the trainer's moves, and its steps run between those. */
async function challenge({ wish, address, bondWei }: ChallengeArgs, context: CallContext): Promise<ChallengeAnswer> {
  // Loaded when there is a game: no other thread needs it.
  const { runChallenge } = await import('./challenger.ts');
  return runChallenge(
    {
      chain: askedChain(address, context.ask, systemClock),
      definition: { rules, training },
      bondWei,
      dataset: dataset(),
      executor,
      params: async (root) => (await context.ask('params', root)) as Uint8Array | null,
      finalState: async (round, trainer, root) =>
        (await context.ask('finalState', { round, trainer, root })) as Uint8Array | null,
      say: (line) => context.event(line),
    },
    wish,
  );
}

async function sum({ base, before, updates }: AggregateArgs): Promise<AggregateAnswer> {
  const accepted = updates.map(({ bytes, capacity }) => ({
    update: unwrap(decodeUpdate(bytes, base.length / 4)),
    capacity,
  }));
  const momentum = before === null ? null : { before: floats(before), share: rules.outerMomentum };
  const { params, modelRoot } = aggregate(floats(base), accepted, rules.outer, momentum);
  return { params: new Uint8Array(params.buffer, params.byteOffset, params.byteLength), modelRoot };
}

async function measure({ params }: MeasureArgs): Promise<number> {
  meter ??= createHeldOutMeter({
    executor,
    config: training.model,
    dataset: dataset(),
    batch: rules.batch / rules.updates,
    sequences: data.heldOutSequences,
  });
  return unwrap(await meter.measure(params));
}

async function setModel({ params }: ModelArgs): Promise<null> {
  if (generator === null) generator = createGenerator({ executor, config: training.model, params });
  else await generator.setParams(params);
  return null;
}

async function generate(args: GenerateArgs, context: CallContext): Promise<null> {
  const { temperature, topP, seed, frequencyPenalty, presencePenalty, topLogprobs } = args;
  const sampling = {
    temperature,
    topP,
    seed,
    frequencyPenalty,
    presencePenalty,
    topLogprobs,
    logitBias: new Map(args.logitBias),
  };
  const events = unwrap(
    present(generator, 'model of the chat thread').generate({
      prompt: args.prompt,
      maxTokens: args.maxTokens,
      stopTokens: args.stopTokens,
      sampling,
      signal: context.signal,
    }),
  );
  for await (const event of events) context.event(event);
  return null;
}

serveCalls(present(parentPort, 'parent of the engine thread'), {
  hello: async (): Promise<HelloAnswer> => ({ description: executor.description, priority }),
  plan: (args: PlanArgs) => inTurn(async () => plan(args)),
  train: (args: TrainArgs, context: CallContext) => inTurn(() => train(args, context)),
  audit: (args: AuditArgs, context: CallContext) => inTurn(() => audit(args, context)),
  challenge: (args: ChallengeArgs, context: CallContext) => challenge(args, context),
  dispute: (args: DisputeAnswerArgs) => inTurn(() => dispute(args)),
  aggregate: (args: AggregateArgs) => inTurn(() => sum(args)),
  measure: (args: MeasureArgs) => inTurn(() => measure(args)),
  setModel: (args: ModelArgs) => setModel(args),
  generate: (args: GenerateArgs, context: CallContext) => generate(args, context),
});
