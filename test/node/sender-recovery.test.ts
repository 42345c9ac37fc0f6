// Owns the thread that recovers senders: it finds what the pool would find, and nothing depends on it.

import test from 'ava';
import { unwrap } from '../../base/fault.ts';
import type { Logger } from '../../node/logger.ts';
import { createProofThread } from '../../node/proof-thread.ts';
import { createSenderRecovery } from '../../node/sender-recovery.ts';
import { encodeBatch } from '../../node/transaction-batch.ts';
import { decodeTransaction } from '../../chain/transaction.ts';
import { alice, bob, signedRaw, testChain } from '../chain/support.ts';

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };

test('the thread finds the sender of each sound transaction, which is told once', async (t) => {
  const thread = createProofThread(SILENT);
  t.teardown(() => thread.stop());
  const senders = createSenderRecovery(thread);
  const raws = Array.from({ length: 10 }, (_, nonce) => signedRaw(nonce % 2 === 0 ? alice : bob, nonce, { value: 1n }));
  const torn = (raws[9] as Uint8Array).subarray(0, 50);
  await senders.prepare(encodeBatch([torn, ...raws]), 11);
  for (const [i, raw] of raws.entries()) {
    const { hash, from } = unwrap(decodeTransaction(raw));
    t.is(senders.take(hash), from);
    t.is(from, i % 2 === 0 ? alice.address : bob.address);
    t.is(senders.take(hash), undefined);
  }
  const few = signedRaw(alice, 99);
  await senders.prepare(encodeBatch([few]), 1);
  t.is(senders.take(unwrap(decodeTransaction(few)).hash), undefined, 'too few for a turn to the thread');
});

test('a pool takes prepared transactions as it takes others, and a thread that ended holds nobody up', async (t) => {
  const { chain, dispose } = await testChain({});
  t.teardown(dispose);
  const thread = createProofThread(SILENT);
  const senders = createSenderRecovery(thread);
  const raws = Array.from({ length: 16 }, (_, nonce) => signedRaw(alice, nonce, { value: 1n }));
  const [first, second] = [raws.slice(0, 8), raws.slice(8)];
  await senders.prepare(encodeBatch(first), 8);
  const interrupted = senders.prepare(encodeBatch(second), 8);
  await thread.stop();
  await interrupted;
  await senders.prepare(encodeBatch(second), 8);
  for (const raw of raws) unwrap(chain.pool.add(raw, 0, senders.take));
  t.is(chain.pool.pendingNonce(alice.address), 16);
});
