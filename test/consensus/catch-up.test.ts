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
  const judge = (block: CertifiedBlock) => judgeCertified(block, blocks, DOMAIN, () => who.set.addresses);
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
    [certified(toyBlock(0, 1, chain.head.hash, 'a'), 3, 0), 'sync/known'],
  ];
  for (const [block, code] of wrong) {
    const judged = await judge(block);
    t.is((judged as Fault).code, code);
  }
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
      punish: (peer) => punished.push(peer),
    },
    clock: { monotonic: () => nowMs } as Parameters<typeof createCatchUp>[0]['clock'],
    log: quiet,
    deliver: () => {},
    fail: (error) => t.fail(String(error)),
  });
  const view = { height: 4, highestSeen: 9, isMissing: false, finalMs: nowMs };
  catchUp.punish('liar', 'a certificate without a quorum');
  for (let poll = 0; poll < 3; poll++) {
    catchUp.poll({ ...view, height: 4 + poll });
    await new Promise((done) => setImmediate(done));
    nowMs += 1_500;
  }
  t.deepEqual(punished, ['liar']);
  t.deepEqual([...new Set(asked)], ['honest']);
});
