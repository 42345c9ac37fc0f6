// Owns a trainer's conduct when one of its steps is challenged: it answers and discloses in time, and ends what the challenger
// let go by. What it says is trainer/dispute-answer.ts; the rules are docs/protocol/challenges.md.

import type { Hex } from '../base/bytes.ts';
import type { Chain } from '../chain/api.ts';
import type { RoundRecord, ViewCall } from '../chain/system/api.ts';
import {
  CHALLENGES_ADDRESS,
  type ChallengeRecord,
  type TreeNode,
  answerCall,
  readChallenge,
  readChallengeCount,
  revealCall,
  settleCall,
} from '../chain/system/challenges.ts';
import { type SystemEvent, decodeSystemLog } from '../chain/system/events.ts';
import { readRound } from '../chain/system/views.ts';
import { toHex } from '../base/bytes.ts';
import type { DisputeReply } from './engine-calls.ts';
import type { Carried } from '../trainer/moments.ts';
import type { TrainingRules } from '../trainer/rules.ts';
import type { EngineThread } from './engine-thread.ts';
import { carriedBefore, heldFinalState } from './final-states.ts';
import { CHALLENGES_FOLLOWED, CHALLENGE_LOG_BLOCKS } from './limits.ts';
import type { Logger } from './logger.ts';
import type { ModelKeeper } from './model-keeper.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import { roundSpec, slotOf } from './round-words.ts';
import { roundFolder } from './state-exchange.ts';

/** Least gas of the moves: an answer carries a root for every tensor, a disclosure up to a leaf of a state. */
const ANSWER_GAS = 3_000_000n;
const REVEAL_GAS = 1_500_000n;
const SETTLE_GAS = 500_000n;

export type ChallengeAgent = Readonly<{
  onHead(view: ViewCall, events: readonly SystemEvent[]): Promise<void>;
  /** Challenges of this trainer that are open now. */
  open(): number;
}>;

/** The round a challenge is about, and what this trainer went on from in it. */
type Subject = Readonly<{ record: RoundRecord; carried: Carried }>;

export type ChallengeAgentOptions = Readonly<{
  chain: Chain;
  address: Hex;
  dataDir: string;
  rules: TrainingRules;
  thread: EngineThread;
  keeper: ModelKeeper;
  sender: ProtocolSender;
  log: Logger;
}>;

export function createChallengeAgent(options: ChallengeAgentOptions): ChallengeAgent {
  const { chain, address, thread, keeper, sender, log } = options;
  /** Open challenges of this trainer with what each is about. */
  const mine = new Map<number, Subject>();
  let known: number | null = null;
  let working = false;

  /** New challenges of this trainer; after a restart the newest are looked through. */
  async function look(view: ViewCall): Promise<void> {
    const count = await readChallengeCount(view);
    for (let id = Math.max(known ?? 0, count - CHALLENGES_FOLLOWED) + 1; id <= count; id++) {
      const challenge = await readChallenge(view, id);
      if (challenge.trainer !== address || isOver(challenge)) continue;
      const carried = await carriedBefore(view, options.rules, challenge.round, address);
      mine.set(id, { record: await readRound(view, challenge.round), carried });
      const { round, step, challenger, deadline } = challenge;
      log.warn('this trainer is challenged', { id, round, step, challenger, deadline });
    }
    known = count;
  }

  const isOver = ({ state }: ChallengeRecord): boolean =>
    state !== 'challenged' && state !== 'answered' && state !== 'asked';

  async function askedNode(id: number): Promise<TreeNode | null> {
    const head = chain.head().header.number;
    const logs = await chain.logs({
      fromBlock: Math.max(1, head - CHALLENGE_LOG_BLOCKS),
      toBlock: head,
      addresses: [CHALLENGES_ADDRESS],
      topics: [],
    });
    if (!logs.ok) return null;
    const asked = logs.value.flatMap(({ address: from, topics, data }) => {
      const event = decodeSystemLog({ address: from, topics, data: toHex(data) });
      return event?.kind === 'asked' && event.id === id ? [event.node] : [];
    });
    return asked.at(-1) ?? null;
  }

  async function reply(
    challenge: ChallengeRecord,
    { record, carried }: Subject,
    node: TreeNode | null,
  ): Promise<DisputeReply> {
    const base = keeper.params(record.baseRoot);
    const slot = slotOf(record, address);
    if (base === null || slot < 0) {
      log.error('challenge cannot be answered: the base model is not here', {
        id: challenge.id,
        root: record.baseRoot,
      });
      return null;
    }
    const before = heldFinalState(options.dataDir, record.round - 1, address, carried.root);
    const carriedState = carried.rounds === 0 ? null : before;
    if (carried.rounds > 0 && carriedState === null) {
      log.error('challenge cannot be answered: the final state of the round before is not here', { id: challenge.id });
      return null;
    }
    const folder = roundFolder(options.dataDir, record.round);
    const { step } = challenge;
    return thread.dispute({ spec: roundSpec(record), slot, base, carried, carriedState, folder, step, node });
  }

  async function move(view: ViewCall, id: number, subject: Subject): Promise<void> {
    const challenge = await readChallenge(view, id);
    if (isOver(challenge)) {
      mine.delete(id);
      log.info('challenge over', { id, round: challenge.round, state: challenge.state });
      return;
    }
    const { state, asks, deadline } = challenge;
    if (state === 'answered') {
      if (chain.head().header.number > deadline) sender.send(`challenge-settle-${id}`, settleCall(id), SETTLE_GAS);
      return;
    }
    const key = state === 'challenged' ? `challenge-answer-${id}` : `challenge-reveal-${id}-${asks}`;
    if (sender.knows(key) || chain.head().header.number > deadline) return;
    const node = state === 'asked' ? await askedNode(id) : null;
    if (state === 'asked' && node === null) return;
    const said = await reply(challenge, subject, node);
    if (said === null) log.error('challenge not answered', { id, round: challenge.round, step: challenge.step });
    else if (said.kind === 'answer') sender.send(key, answerCall(id, said.answer), ANSWER_GAS);
    else if (node !== null) sender.send(key, revealCall(id, node, said.disclosure), REVEAL_GAS);
  }

  return {
    open: () => mine.size,
    async onHead(view, events) {
      if (!events.some(({ kind }) => kind === 'challenged') && known !== null && mine.size === 0) return;
      await look(view);
      if (working || mine.size === 0) return;
      working = true;
      // Not awaited: blocks go on while a step is run again.
      void (async () => {
        try {
          for (const [id, subject] of [...mine]) await move(view, id, subject);
        } catch (error) {
          log.error('challenge work failed', { reason: String(error) });
        } finally {
          working = false;
        }
      })();
    },
  };
}
