// Owns how transactions spread between nodes: batches over real connections, and what becomes of those a pool refuses.

import test, { type ExecutionContext } from 'ava';
import { equal } from '../../base/bytes.ts';
import { success, unwrap } from '../../base/fault.ts';
import type { Chain } from '../../chain/api.ts';
import { encodeRlp, type Item } from '../../chain/rlp.ts';
import type { PeerNode, Receive, Verdict } from '../../net/api.ts';
import { systemClock } from '../../node/clock.ts';
import type { Logger } from '../../node/logger.ts';
import { createProofThread } from '../../node/proof-thread.ts';
import { createSenderRecovery } from '../../node/sender-recovery.ts';
import { createTransactionGossip, type TransactionGossip } from '../../node/transaction-gossip.ts';
import { alice, bob, key, signedRaw, testChain } from '../chain/support.ts';
import { startNetwork, until } from '../net/harness.ts';

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

type Member = Readonly<{ chain: Chain; node: PeerNode; gossip: TransactionGossip; sent: readonly Uint8Array[] }>;

/** Connected nodes, each with a pool of its own on the same genesis. */
async function members(t: ExecutionContext, count: number, seed: number): Promise<Member[]> {
  const nodes = await startNetwork(t, count, seed);
  const out: Member[] = [];
  for (const node of nodes) {
    const { chain, dispose } = await testChain({});
    t.teardown(dispose);
    const thread = createProofThread(SILENT);
    t.teardown(() => thread.stop());
    const senders = createSenderRecovery(thread);
    const sent: Uint8Array[] = [];
    const publish: PeerNode['publish'] = (topic, bytes) => {
      sent.push(bytes);
      return node.publish(topic, bytes);
    };
    const gossip = createTransactionGossip(chain, { ...node, publish }, systemClock, senders);
    out.push({ chain, node, gossip, sent });
  }
  return out;
}

const pending = ({ chain }: Member): number => chain.pool.status().pending;
const penaltyOf = (at: Member, of: Member): number =>
  at.node.peers().find(({ peer }) => peer === of.node.peerId)?.penalty ?? 0;

test('transactions sent together reach every pool in a few messages', async (t) => {
  const all = await members(t, 3, 10);
  const [first, second, third] = all as [Member, Member, Member];
  const count = 100;
  for (let nonce = 0; nonce < count; nonce++) {
    unwrap(await first.gossip.submit(signedRaw(alice, nonce, { value: 1n })));
  }
  await until(() => all.every((member) => pending(member) === count), 20_000, 'all pools');
  t.true(first.sent.length <= 10, `${first.sent.length} messages`);
  t.is(penaltyOf(second, first), 0);
  t.is(penaltyOf(third, first), 0);
});

test('of a message with something stale only what is new goes on', async (t) => {
  const [first, second, third] = (await members(t, 3, 20)) as [Member, Member, Member];
  const fresh = signedRaw(alice, 0, { value: 1n });
  const unpaid = signedRaw(key('pauper'), 0, { value: 1n });
  await first.node.publish('transactions', encodeRlp([fresh, unpaid]));
  await until(() => pending(second) === 1 && pending(third) === 1, 20_000, 'the good one');
  const sent = (): readonly Uint8Array[] => [...second.sent, ...third.sent];
  await until(() => sent().length > 0, 20_000, 'a message of their own');
  const without = encodeRlp([fresh]);
  t.true(sent().every((message) => equal(message, without)));
  t.is(penaltyOf(second, first), 0, 'what another pool may take is nobody’s fault');
});

test('verdicts on messages: what no honest node sends is rejected', async (t) => {
  const { chain, dispose } = await testChain({});
  t.teardown(dispose);
  let receive: Receive = () => 'ignore';
  const subscribe: PeerNode['subscribe'] = (_topic, receiver) => {
    receive = receiver;
    return () => undefined;
  };
  const thread = createProofThread(SILENT);
  t.teardown(() => thread.stop());
  const senders = createSenderRecovery(thread);
  const alone = { subscribe, peers: () => [], publish: async () => success(0) };
  createTransactionGossip(chain, alone, systemClock, senders);
  const good = signedRaw(alice, 0, { value: 1n });
  const wrongChain = signedRaw(bob, 0, { chainId: 1 });
  const cases: readonly (readonly [string, Uint8Array, Verdict])[] = [
    ['no list', Uint8Array.of(1, 2, 3), 'reject'],
    ['a bare transaction', good, 'reject'],
    ['an empty list', encodeRlp([]), 'reject'],
    ['a list in the list', encodeRlp([[good]]), 'reject'],
    ['too many', encodeRlp(Array.from({ length: 1_025 }, (): Item => good)), 'reject'],
    ['a transaction of another chain', encodeRlp([wrongChain]), 'reject'],
    ['a sender who cannot pay', encodeRlp([signedRaw(key('pauper'), 0, { value: 1n })]), 'ignore'],
    ['a good one', encodeRlp([good]), 'accept'],
    ['the same again', encodeRlp([good]), 'ignore'],
    ['good ones before a bad one', encodeRlp([signedRaw(alice, 1), wrongChain, signedRaw(alice, 2)]), 'reject'],
  ];
  for (const [name, message, verdict] of cases) t.is(await receive(message, 'peer'), verdict, name);
  t.is(chain.pool.status().pending, 2, 'what came before a bad one was good');
});
