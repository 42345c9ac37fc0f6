// Owns the words between the node's main thread and its engine threads: what can be asked of one, and what comes back.

import type { Hex } from '../base/bytes.ts';
import type { Result } from '../base/fault.ts';
import type { Disclosure, StepAnswer, TreeNode } from '../chain/system/challenges.ts';
import type { AuditVerdict } from '../trainer/audit.ts';
import type { CommitRecord } from '../trainer/commit.ts';
import type { Carried } from '../trainer/moments.ts';
import type { RoundSpec, TrainingConfig, TrainingRules } from '../trainer/rules.ts';
import type { ChallengeOutcome, ChallengeWish } from './challenger.ts';

/** What a thread is started with. The dataset's bytes are shared memory, so every thread reads the same copy. */
export type EngineThreadData = Readonly<{
  backend: 'auto' | 'native' | 'wasm' | 'cuda';
  threads: number;
  /** Nice value of the thread and of those it starts (base/thread-priority.ts); 0 leaves it as it is. */
  nice: number;
  /** Mebibytes this engine may take for training and auditing; 0 asks the system. */
  memoryMb: number;
  training: TrainingConfig;
  rules: TrainingRules;
  manifestText: string;
  dataset: SharedArrayBuffer;
  heldOutSequences: number;
}>;

/** A slot's work: what a thread makes a task of. */
export type SlotArgs = Readonly<{ spec: RoundSpec; slot: number; base: Uint8Array; carried: Carried }>;

export type TrainArgs = SlotArgs &
  Readonly<{
    folder: string;
    /** Where the final state is kept besides; null where no moments are carried. */
    finalFile: string | null;
    /** The final state that the moments are from; null for zeros. */
    carriedState: Uint8Array | null;
    /** Step to make knowingly wrong, or null. */
    canaryStep: number | null;
    /** Residual before the round; null for zeros. */
    residual: Uint8Array | null;
  }>;
/** Told after each step; `loss` in nats per token, `tokens` trained by the step. */
export type TrainStepEvent = Readonly<{ step: number; steps: number; loss: number; tokens: number }>;
export type TrainAnswer =
  | Readonly<{ ok: true; commit: CommitRecord; update: Uint8Array; resumedAt: number }>
  | Readonly<{ ok: false; reason: string; step: number }>;

/** What is asked: an audit of steps, the checks of a claim that was passed, another's digest again, one accused step. */
export type AuditTask =
  | Readonly<{ kind: 'audit' | 'recheck'; sample: readonly number[] }>
  | Readonly<{ kind: 'pass' }>
  | Readonly<{ kind: 'judge'; step: number }>;
export type AuditArgs = SlotArgs &
  Readonly<{
    commit: CommitRecord;
    salt: Uint8Array;
    task: AuditTask;
    /** Root of the trainer's residual before the round; its bytes are asked for. */
    residualRoot: Uint8Array;
    /** Where the committed final state is kept by whoever approves the claim; null where no moments are carried, and for others. */
    finalFile: string | null;
  }>;
export type AuditAnswer = AuditVerdict;
/** Questions an audit asks on its way. Of states it asks again while the answers are wrong; null when there is none left. */
export type AuditQuestion =
  | Readonly<{ question: 'state'; step: number }>
  | Readonly<{ question: 'update' | 'residual' | 'carried' }>;

export type AggregateArgs = Readonly<{
  base: Uint8Array;
  /** The model that the base followed, where the outer step has momentum; null otherwise, and for the genesis model. */
  before: Uint8Array | null;
  updates: readonly Readonly<{ bytes: Uint8Array; capacity: number }>[];
}>;
/** `heldOutMicroNats` is of the new model. */
export type AggregateAnswer = Readonly<{ params: Uint8Array; modelRoot: Uint8Array }>;

/** The trainer's side of a challenge of one of its steps. `folder` holds the states it kept of the round. */
export type DisputeArgs = SlotArgs & Readonly<{ folder: string; step: number; carriedState: Uint8Array | null }>;
export type DisputeAnswerArgs = DisputeArgs & Readonly<{ node: TreeNode | null }>;
/** The answer, or with a node what is disclosed of it; null when this node cannot. */
export type DisputeReply =
  | Readonly<{ kind: 'answer'; answer: StepAnswer }>
  | Readonly<{ kind: 'disclosure'; disclosure: Disclosure }>
  | null;

/** A challenge played by this thread; what it needs of the chain it asks its node. */
export type ChallengeArgs = Readonly<{ wish: ChallengeWish; address: Hex; bondWei: bigint }>;
export type ChallengeAnswer = Result<ChallengeOutcome>;

export type MeasureArgs = Readonly<{ params: Uint8Array }>;
export type ModelArgs = Readonly<{ params: Uint8Array }>;

export type GenerateArgs = Readonly<{
  prompt: readonly number[];
  maxTokens: number;
  temperature: number;
  topP: number;
  seed: bigint;
  frequencyPenalty: number;
  presencePenalty: number;
  logitBias: readonly (readonly [number, number])[];
  topLogprobs: number;
  stopTokens: readonly number[];
}>;

/** Description of the engine in the thread: which backend runs and why; the priority the thread has. */
export type HelloAnswer = Readonly<{ description: string; priority: string }>;
/** How steps of a capacity run here (trainer/execution-plan.ts): one line for the log. */
export type PlanAnswer = Readonly<{ note: string }>;
export type PlanArgs = Readonly<{ capacity: number }>;
