// Owns tests of blocks taken from peers: only what its authorities certified and what stands on the head is taken; whoever
// offers anything else is left alone, and another is asked at once.

import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { type Fault, success } from '../../base/fault.ts';
import { keccak256 } from '../../base/hash.ts';
import { certificateOf, encodeCertificate } from '../../consensus/certificate.ts';
import { createCatchUp, judgeCertified } from '../../node/consensus-catch-up.ts';
import type { CertifiedBlock, ConsensusBlocks } from '../../node/consensus-options.ts';
import { DOMAIN, authorities, votes } from './authorities.ts';
import { ToyChain, toyBlock } from './fake-network.ts';

const who = authorities(4);
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function certified(wire: Uint8Array, signers: number, height = 1): CertifiedBlock {
  const ballots = votes(who, signers, 'precommit', height, 0, toHex(keccak256(wire)));
  return { wire, certificate: encodeCertificate(certificateOf(ballots, who.set)) };
}

test('a block without a quorum, of another height, parent or block, or with cut bytes is refused; the true one is taken', async (t) => {
  const chain = new ToyChain();
  const blocks = { head: () => chain.head, identify: (wire: Uint8Array) => chain.identify(wire) } as ConsensusBlocks;
  const judge = (block: CertifiedBlock, asked = 1) =>
    judgeCertified(block, asked, blocks, DOMAIN, () => who.set.addresses);
  const wire = toyBlock(1, 1, chain.head.hash, 'a');
  const good = certified(wire, 3);
  t.true((await judge(good)).ok);
  const forged = good.certificate.slice();
  forged[60] = (forged[60] as number) ^ 1;
  const wrong: readonly (readonly [CertifiedBlock, string])[] = [
    [certified(wire, 2), 'certificate/no-quorum'],
    [{ wire, certificate: forged }, 'certificate/signature'],
    [{ wire, certificate: good.certificate.subarray(0, 100) }, 'certificate/malformed'],
    [{ wire: toyBlock(1, 1, chain.head.hash, 'b'), certificate: good.certificate }, 'certificate/malformed'],
    [certified(wire, 3, 2), 'certificate/malformed'],
    [certified(toyBlock(2, 1, chain.head.hash, 'a'), 3, 2), 'sync/place'],
    [certified(toyBlock(1, 1, toHex(keccak256(wire)), 'a'), 3), 'sync/place'],
    [certified(toyBlock(0, 1, chain.head.hash, 'a'), 3, 0), 'sync/place'],
  ];
  for (const [block, code] of wrong) {
    const judged = await judge(block);
    t.is((judged as Fault).code, code);
  }
  const old = certified(toyBlock(0, 1, chain.head.hash, 'a'), 3, 0);
  t.is(((await judge(old, 0)) as Fault).code, 'sync/known', "a block that came meanwhile is nobody's fault");
});

test('a peer that lied is left alone, and another peer is asked at the next poll', async (t) => {
  const asked: string[] = [];
  const punished: string[] = [];
  let nowMs = 10_000;
  const catchUp = createCatchUp({
    sync: {
      peers: () => [
        { id: 'liar', height: 9 },
        { id: 'honest', height: 9 },
      ],
      fetch: async (peer) => {
        asked.push(peer);
        return success([]);
      },
      examine: async (run) => run,
      punish: (peer) => punished.push(peer),
    },
    clock: { monotonic: () => nowMs } as Parameters<typeof createCatchUp>[0]['clock'],
    log: quiet,
    deliver: () => {},
    fetched: () => {},
    fail: (error) => t.fail(String(error)),
  });
  const view = { height: 4, waiting: 0, highestSeen: 9, isMissing: false, finalMs: nowMs };
  catchUp.punish('liar', 'a certificate without a quorum');
  for (let poll = 0; poll < 3; poll++) {
    catchUp.poll({ ...view, height: 4 + poll });
    await new Promise((done) => setImmediate(done));
    nowMs += 1_500;
  }
  t.deepEqual(punished, ['liar']);
  t.deepEqual([...new Set(asked)], ['honest']);
});

test('a peer whose claim nothing follows is asked ever more rarely, and does not keep the node from those who have less', async (t) => {
  const asked: string[] = [];
  let nowMs = 10_000;
  const catchUp = createCatchUp({
    sync: {
      peers: () => [
        { id: 'boaster', height: 2 ** 50 },
        { id: 'honest', height: 1_000_000 },
      ],
      fetch: async (peer) => {
        asked.push(peer);
        return success(peer === 'boaster' ? [] : [certified(new Uint8Array(1), 3)]);
      },
      examine: async (run) => run,
      punish: () => {},
    },
    clock: { monotonic: () => nowMs } as Parameters<typeof createCatchUp>[0]['clock'],
    log: quiet,
    deliver: () => {},
    fetched: () => {},
    fail: (error) => t.fail(String(error)),
  });
  for (let poll = 0; poll < 200; poll++) {
    catchUp.poll({ height: 4 + poll, waiting: 0, highestSeen: 0, isMissing: false, finalMs: nowMs });
    await new Promise((done) => setImmediate(done));
    nowMs += 500;
  }
  const vain = asked.filter((peer) => peer === 'boaster').length;
  t.true(vain >= 2 && vain <= 8, `${vain} of ${asked.length} requests went to the boaster in 100 s`);
  t.is(asked.length, 200);
});

test('while a run is examined the next is asked for, up to two ahead; runs are delivered in order', async (t) => {
  const run: readonly CertifiedBlock[] = Array.from({ length: 256 }, () => certified(new Uint8Array(1), 3));
  const asked: number[] = [];
  const delivered: number[] = [];
  const examinations: (() => void)[] = [];
  const view = { height: 1, waiting: 0, highestSeen: 0, isMissing: false, finalMs: 0 };
  const catchUp = createCatchUp({
    sync: {
      peers: () => [{ id: 'source', height: 10_000 }],
      fetch: async (_, first) => {
        asked.push(first);
        return success(run);
      },
      examine: (blocks) => new Promise((done) => examinations.push(() => done(blocks))),
      punish: () => {},
    },
    clock: { monotonic: () => 0 } as Parameters<typeof createCatchUp>[0]['clock'],
    log: quiet,
    deliver: (_, from) => delivered.push(from),
    fetched: () => poll(),
    fail: (error) => t.fail(String(error)),
  });
  const poll = (): void => catchUp.poll({ ...view, waiting: delivered.length - taken });
  const settled = (): Promise<void> => new Promise((done) => setImmediate(done));
  let taken = 0;
  poll();
  await settled();
  t.deepEqual(asked, [1, 257], 'the second is asked for while the first is examined, and no third');
  examinations[1]?.();
  await settled();
  t.deepEqual(delivered, [], 'the second is ready first and waits for the first');
  examinations[0]?.();
  await settled();
  t.deepEqual(delivered, [1, 257]);
  poll();
  await settled();
  t.deepEqual(asked, [1, 257], 'two wait to be taken in: no third yet');
  taken = 1;
  view.height = 257;
  poll();
  await settled();
  t.deepEqual(asked, [1, 257, 513], 'one was taken in');
  t.true(catchUp.isFetching());
});
