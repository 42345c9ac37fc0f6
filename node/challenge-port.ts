// Owns a challenger's access to the chain from an engine thread: the questions it asks over the channel, and how the node
// answers them with its own chain, key and models.

import { type Hex, toHex } from '../base/bytes.ts';
import { FaultError, fault } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import type { ContractCall, SystemLog } from '../chain/system/api.ts';
import type { ChallengerChain, SentMove } from './challenger.ts';
import type { Clock } from './clock.ts';
import { CHALLENGE_WAIT_MS } from './limits.ts';
import type { ModelKeeper } from './model-keeper.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import { systemView } from './system-view.ts';

/** What a game in an engine thread needs of its node. Each has one answer; null when there is none. */
export type ChallengeQuestion =
  | Readonly<{ question: 'view'; args: Readonly<{ to: Hex; data: Uint8Array }> }>
  | Readonly<{ question: 'height'; args: null }>
  | Readonly<{ question: 'logs'; args: Readonly<{ from: number; to: number; address: Hex }> }>
  | Readonly<{ question: 'send'; args: Readonly<{ call: ContractCall; least: bigint }> }>
  | Readonly<{ question: 'params'; args: Hex }>
  | Readonly<{ question: 'finalState'; args: Readonly<{ round: number; trainer: Hex; root: Uint8Array }> }>;

type Ask = (question: ChallengeQuestion['question'], args: unknown) => Promise<unknown>;

/** The thread's end. */
export function askedChain(address: Hex, ask: Ask, clock: Pick<Clock, 'sleep'>): ChallengerChain {
  async function must<T>(question: ChallengeQuestion['question'], args: unknown): Promise<T> {
    const answer = await ask(question, args);
    if (answer === null) throw new FaultError(fault('challenge', `the node has no answer to "${question}"`));
    return answer as T;
  }
  return {
    address,
    view: (to, data) => must('view', { to, data }),
    height: () => must('height', null),
    logs: (from, to, of) => must('logs', { from, to, address: of }),
    send: (call, least) => must('send', { call, least }),
    sleep: (ms) => clock.sleep(ms),
  };
}

let moves = 0;

/** The node's end: moves go the way of its other protocol transactions. */
export function answerChallenger(parts: {
  chain: Chain;
  sender: ProtocolSender;
  keeper: ModelKeeper;
  clock: Clock;
  /** A trainer's final state of a round by root, from this disk or from peers. */
  finalState: (round: number, trainer: Hex, root: Uint8Array) => Promise<Uint8Array | null>;
}): (question: ChallengeQuestion) => Promise<unknown> {
  const { chain, sender, keeper, clock } = parts;

  async function send(call: ContractCall, least: bigint): Promise<SentMove> {
    const key = `challenge-move-${moves++}`;
    sender.send(key, call, least);
    while (sender.knows(key)) {
      const hash = sender.included(key);
      const receipt = hash === null ? null : await chain.receipt(hash);
      if (receipt !== null) {
        const logs = receipt.logs.map(({ address, topics, data }) => ({ address, topics, data: toHex(data) }));
        return { ok: true, gasUsed: Number(receipt.gasUsed), logs, reason: '' };
      }
      await clock.sleep(CHALLENGE_WAIT_MS);
    }
    return { ok: false, gasUsed: 0, logs: [], reason: 'given up' };
  }

  async function logs(from: number, to: number, address: Hex): Promise<readonly SystemLog[] | null> {
    const found = await chain.logs({ fromBlock: from, toBlock: to, addresses: [address], topics: [] });
    if (!found.ok) return null;
    return found.value.map((log) => ({ address: log.address, topics: log.topics, data: toHex(log.data) }));
  }

  return async (asked) => {
    switch (asked.question) {
      case 'view':
        return systemView(chain)(asked.args.to, asked.args.data);
      case 'height':
        return chain.head().header.number;
      case 'logs':
        return logs(asked.args.from, asked.args.to, asked.args.address);
      case 'send':
        return send(asked.args.call, asked.args.least);
      case 'params':
        return keeper.params(asked.args);
      case 'finalState':
        return parts.finalState(asked.args.round, asked.args.trainer, asked.args.root);
    }
  };
}
