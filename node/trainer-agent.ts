// Owns a trainer's conduct: registers, takes its slot of each round, trains in its engine thread, commits, serves states.
// What a round computes is trainer/round.ts; what the chain accepts is the contracts'.

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Hex } from '../base/bytes.ts';
import { ONE_POL } from '../base/units.ts';
import type { Chain } from '../chain/api.ts';
import { LEAF_BYTES, type RoundRecord, type ViewCall } from '../chain/system/api.ts';
import { CALL_GAS, commitCall, commitGas, registerCall, resumeCall } from '../chain/system/calls.ts';
import { readTrainer } from '../chain/system/views.ts';
import { type Carried, isFinalState } from '../trainer/moments.ts';
import { createCanaries } from './canaries.ts';
import type { Clock } from './clock.ts';
import type { TrainAnswer } from './engine-calls.ts';
import type { EngineThread } from './engine-thread.ts';
import { carriedBefore, finalStateFile, forgetFinalStates } from './final-states.ts';
import { ROUNDS_KEPT } from './limits.ts';
import type { Logger } from './logger.ts';
import type { ModelKeeper } from './model-keeper.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import { ownResidual, residualRootBefore } from './residuals.ts';
import { commitmentOf, roundSpec, slotOf } from './round-words.ts';
import { type StateFetch, roundFolder } from './state-exchange.ts';

/** Progress of the round this trainer is in. */
export type TrainerProgress = Readonly<{
  round: number;
  step: number;
  steps: number;
  loss: number | null;
  tokensPerSecond: number | null;
}>;

export type TrainerAgent = Readonly<{
  onHead(record: RoundRecord | null, view: ViewCall): Promise<void>;
  progress(): TrainerProgress | null;
  tokensTrained(): number;
  stop(): void;
}>;

type Finished = Extract<TrainAnswer, { ok: true }>;

export type TrainerAgentOptions = Readonly<{
  chain: Chain;
  definition: NetworkDefinition;
  address: Hex;
  secretKey: Uint8Array;
  /** Whether to take part in canaries when the lot falls on this trainer. */
  canaries: boolean;
  capacity: number;
  /** Whole POL. */
  stake: number;
  dataDir: string;
  thread: EngineThread;
  keeper: ModelKeeper;
  sender: ProtocolSender;
  fetchStates: StateFetch;
  /** Keeps an update where peers can fetch it. */
  storeUpdate: (bytes: Uint8Array) => Promise<void>;
  clock: Clock;
  log: Logger;
  /** Changes what is committed; only for trying attacks in tests. */
  tamper?: (answer: Finished) => Finished | Promise<Finished>;
}>;

export function createTrainerAgent(options: TrainerAgentOptions): TrainerAgent {
  const { address, thread, keeper, sender, clock, log } = options;
  const canaries = createCanaries(options);
  const abort = new AbortController();
  let progress: TrainerProgress | null = null;
  let tokens = 0;
  let running: number | null = null;
  const finished = new Set<number>();
  let said = '';

  function sayOnce(text: string, fields: Record<string, string | number>): void {
    if (said !== text) log.info(text, fields);
    said = text;
  }

  async function join_(view: ViewCall): Promise<boolean> {
    const trainer = await readTrainer(view, address);
    if (trainer.status === 'active') {
      canaries.register(trainer.canaryLayer);
      return true;
    }
    if (trainer.status === 'none') {
      sender.send('register', registerCall(options.capacity, BigInt(options.stake) * ONE_POL), CALL_GAS.register);
      sayOnce('registering as trainer', { capacity: options.capacity, stake: options.stake });
    } else if (trainer.status === 'paused') {
      sender.send(`resume-${trainer.missed}`, resumeCall(), CALL_GAS.register);
      sayOnce('resuming after missed rounds', { missed: trainer.missed });
    } else {
      sayOnce('not training: this account is no longer an active trainer', { status: trainer.status });
    }
    return false;
  }

  /** This trainer's own final state of the round before, from its disk or from who audited it (rule V-6). */
  async function finalStateBefore(round: number, { root }: Carried): Promise<Uint8Array | 'lost'> {
    for await (const bytes of options.fetchStates(address, round - 1, options.definition.rules.steps))
      if (isFinalState(root, bytes, bytes.length)) return bytes;
    return 'lost';
  }

  async function train(record: RoundRecord, slot: number, base: Uint8Array, view: ViewCall): Promise<void> {
    const { round } = record;
    const residual = ownResidual(options.dataDir, round, await residualRootBefore(view, round, address));
    if (residual === 'lost') {
      // Any update from zeros would be a false one; the round after starts from zeros by rule.
      finished.add(round);
      log.warn('round left out: the residual of the last round is not on this disk', { round });
      return;
    }
    const { rules } = options.definition;
    const carried = await carriedBefore(view, rules, round, address);
    const carriedState = carried.rounds === 0 ? null : await finalStateBefore(round, carried);
    if (carriedState === 'lost') {
      // Asked for again at the next block: peers that hold it may come. Without it the round passes, and the next is from zeros.
      sayOnce('round waits: the final state of the last round is neither on this disk nor with a peer', { round });
      return;
    }
    const folder = roundFolder(options.dataDir, round);
    const finalFile = rules.carryMoments ? finalStateFile(options.dataDir, round, address) : null;
    forgetOldRounds(options.dataDir, round);
    forgetFinalStates(options.dataDir, round);
    const canary = await canaries.draw(record);
    let at = clock.monotonic();
    const answer = await thread.train(
      {
        ...{ spec: roundSpec(record), slot, base, carried, folder, finalFile, residual, carriedState },
        canaryStep: canary?.step ?? null,
      },
      ({ step, steps, loss, tokens: count }) => {
        const now = clock.monotonic();
        tokens += count;
        progress = { round, step: step + 1, steps, loss, tokensPerSecond: (count * 1_000) / Math.max(now - at, 1) };
        at = now;
        log.debug('step', { round, step: step + 1, steps, loss });
      },
      abort.signal,
    );
    if (!answer.ok) {
      log.warn('round not finished', { round, step: answer.step, reason: answer.reason });
      return;
    }
    const result = options.tamper === undefined ? answer : await options.tamper(answer);
    await options.storeUpdate(result.update);
    finished.add(round);
    sender.send(
      `commit-${round}`,
      commitCall(commitmentOf(result.commit, canary?.hash ?? canaries.blind(round))),
      commitGas(result.commit.leaves.length / LEAF_BYTES),
    );
    log.info('round trained', { round, slot, loss: progress?.loss ?? null, resumedAt: answer.resumedAt });
  }

  return {
    progress: () => progress,
    tokensTrained: () => tokens,
    stop: () => abort.abort(),
    async onHead(record, view) {
      const active = await join_(view);
      if (record?.phase === 'revealing') await canaries.open(record, view);
      if (record === null || record.phase !== 'training' || running !== null || finished.has(record.round)) return;
      const slot = slotOf(record, address);
      if (slot < 0 || record.roster[slot]?.status !== 'awaited') {
        if (active && slot < 0) sayOnce('waiting for the next roster', { round: record.round });
        return;
      }
      const base = keeper.params(record.baseRoot);
      if (base === null) {
        sayOnce('waiting for the base model', { round: record.round, root: record.baseRoot });
        return;
      }
      said = '';
      running = record.round;
      train(record, slot, base, view)
        .catch((error: unknown) => log.error('round failed', { round: record.round, reason: String(error) }))
        .finally(() => {
          running = null;
        });
    },
  };
}

function forgetOldRounds(dataDir: string, round: number): void {
  const rounds = join(dataDir, 'rounds');
  try {
    for (const name of readdirSync(rounds)) {
      if (/^\d{1,15}$/.test(name) && Number(name) <= round - ROUNDS_KEPT)
        rmSync(join(rounds, name), { recursive: true, force: true });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
