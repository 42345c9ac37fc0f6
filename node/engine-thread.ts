// Owns the node's end of an engine thread: starting it, typed calls, starting it again after it died.

import { Worker } from 'node:worker_threads';
import type { GenerationEvent } from '../trainer/generate.ts';
import type {
  AggregateAnswer,
  AggregateArgs,
  AuditAnswer,
  AuditArgs,
  AuditQuestion,
  ChallengeAnswer,
  ChallengeArgs,
  DisputeAnswerArgs,
  DisputeReply,
  EngineThreadData,
  GenerateArgs,
  HelloAnswer,
  PlanAnswer,
  TrainAnswer,
  TrainArgs,
  TrainStepEvent,
} from './engine-calls.ts';
import type { ChallengeQuestion } from './challenge-port.ts';
import type { Logger } from './logger.ts';
import { revivedWorker } from './worker-channel.ts';

export type EngineThread = Readonly<{
  hello(): Promise<HelloAnswer>;
  /** Plans and allocates steps of a capacity; throws, naming need and limit, when they do not fit into memory. */
  plan(capacity: number): Promise<PlanAnswer>;
  train(args: TrainArgs, onStep: (event: TrainStepEvent) => void, signal: AbortSignal): Promise<TrainAnswer>;
  audit(
    args: AuditArgs,
    answer: (question: AuditQuestion) => Promise<Uint8Array | null>,
    signal: AbortSignal,
  ): Promise<AuditAnswer>;
  aggregate(args: AggregateArgs): Promise<AggregateAnswer>;
  /** Answers a challenge of a step, or discloses a node of one of its trees. */
  dispute(args: DisputeAnswerArgs): Promise<DisputeReply>;
  /** Executes a claim again and, when it is false, challenges it; `say` gets a line for each thing done. */
  challenge(
    args: ChallengeArgs,
    answer: (question: ChallengeQuestion) => Promise<unknown>,
    say: (line: string) => void,
  ): Promise<ChallengeAnswer>;
  /** Held-out loss of a model in micro-nats per token. */
  measure(params: Uint8Array): Promise<number>;
  setModel(params: Uint8Array): Promise<void>;
  generate(args: GenerateArgs, onEvent: (event: GenerationEvent) => void, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}>;

/** Starts a thread named for its job. One that dies is started anew at the next call. */
export function startEngineThread(job: string, data: EngineThreadData, log: Logger): EngineThread {
  const worker = revivedWorker(
    () => new Worker(new URL('./engine-worker.js', import.meta.url), { workerData: data, name: job }),
    (reason) => log.error('engine thread ended', { job, reason }),
  );
  const connected = worker.channel;

  return {
    hello: () => connected().call('hello', null),
    plan: (capacity) => connected().call('plan', { capacity }),
    train: (args, onStep, signal) =>
      connected().call('train', args, { signal, onEvent: onStep as (value: never) => void }),
    audit: (args, answer, signal) =>
      connected().call('audit', args, {
        signal,
        onAsk: (question, step: never) =>
          answer(question === 'state' ? { question, step } : ({ question } as AuditQuestion)),
      }),
    dispute: (args) => connected().call('dispute', args),
    challenge: (args, answer, say) =>
      connected().call('challenge', args, {
        onEvent: say as (value: never) => void,
        onAsk: (question, asked: never) => answer({ question, args: asked } as ChallengeQuestion),
      }),
    aggregate: (args) => connected().call('aggregate', args),
    measure: (params) => connected().call('measure', { params }),
    setModel: async (params) => {
      await connected().call('setModel', { params });
    },
    generate: async (args, onEvent, signal) => {
      await connected().call('generate', args, { signal, onEvent: onEvent as (value: never) => void });
    },
    close: worker.close,
  };
}
