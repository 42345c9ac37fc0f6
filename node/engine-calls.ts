// Owns the words between the node's main thread and its engine threads: what can be asked of one, and what comes back.

import type { Hex } from '../base/bytes.ts';
import type { Result } from '../base/fault.ts';
import type { Disclosure, StepAnswer, TreeNode } from '../chain/system/challenges.ts';
import type { AuditVerdict } from '../trainer/audit.ts';
import type { CommitRecord } from '../trainer/commit.ts';
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

export type TrainArgs = Readonly<{
  spec: RoundSpec;
  slot: number;
  base: Uint8Array;
  folder: string;
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
export type AuditArgs = Readonly<{
  spec: RoundSpec;
  slot: number;
  base: Uint8Array;
  commit: CommitRecord;
  salt: Uint8Array;
  task: AuditTask;
  /** Root of the trainer's residual before the round; its bytes are asked for. */
  residualRoot: Uint8Array;
}>;
export type AuditAnswer = AuditVerdict;
/** Questions an audit asks on its way. */
export type AuditQuestion =
  | Readonly<{ question: 'state'; step: number }>
  | Readonly<{ question: 'update' | 'residual' }>;

export type AggregateArgs = Readonly<{
  base: Uint8Array;
  updates: readonly Readonly<{ bytes: Uint8Array; capacity: number }>[];
}>;
/** `heldOutMicroNats` is of the new model. */
export type AggregateAnswer = Readonly<{ params: Uint8Array; modelRoot: Uint8Array }>;

/** The trainer's side of a challenge of one of its steps. `folder` holds the states it kept of the round. */
export type DisputeArgs = Readonly<{ spec: RoundSpec; slot: number; base: Uint8Array; folder: string; step: number }>;
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
