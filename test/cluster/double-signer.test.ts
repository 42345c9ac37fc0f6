// Owns what becomes of an authority that signs two votes for one place in a whole network: the others see it, prove it, and it
// is fined and leaves the set, while blocks go on.

import { join } from 'node:path';
import test from 'ava';
import { fromHex, toHex, utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { keccak256 } from '../../base/hash.ts';
import { signDigest } from '../../base/keys.ts';
import { ONE_POL } from '../../base/units.ts';
import { type ProvenEvent, decodeProven } from '../../chain/system/evidence.ts';
import { readAuthoritySet, readBond } from '../../chain/system/views.ts';
import { encodeMessage } from '../../consensus/codec.ts';
import { ballotDigest } from '../../consensus/sign-bytes.ts';
import { openKeystore } from '../../node/keystore.ts';
import type { RunningNode } from '../../node/node.ts';
import { systemView } from '../../node/system-view.ts';
import { foundSmallNetwork, logTails, openStage, startHere, waitFor } from './harness.ts';

const AUTHORITIES = 5;
const CHEAT = 4;
const WAIT_MS = 120_000;
const BOND = 100n * ONE_POL;
const FINE = BOND / 20n;

const stage = openStage('double');
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

/** From now on the node says, before its own vote of each height, that it is for a block nobody made. */
function signTwice({ chain, peerNode, address }: RunningNode, secretKey: Uint8Array): () => void {
  const domain = { chainId: chain.chainId, genesisHash: fromHex(chain.genesisHash) };
  return chain.onHead(({ block }) => {
    const height = block.header.number + 1;
    const value = toHex(keccak256(utf8(`no block of height ${height}`)));
    const ballot = { type: 'prevote', height, round: 0, value } as const;
    const vote = { ...ballot, voter: address, signature: signDigest(ballotDigest(domain, ballot), secretKey) };
    void peerNode.publish('consensus', encodeMessage({ kind: 'vote', vote }));
  });
}

async function provenOf({ chain }: RunningNode): Promise<ProvenEvent | null> {
  for (let number = chain.head().header.number; number > 0; number--) {
    for (const { logs } of (await chain.receipts(number)) ?? [])
      for (const log of logs) {
        const event = decodeProven({ ...log, data: toHex(log.data) });
        if (event !== null) return event;
      }
  }
  return null;
}

test('an authority that signs twice is proven to by the others, fined 5% and out of the set two blocks later', async (t) => {
  t.timeout(6 * 60_000);
  const network = await foundSmallNetwork(stage, { authorities: AUTHORITIES, regularNodes: 0 });
  const nodes: RunningNode[] = [];
  for (const founded of network.nodes) nodes.push(await startHere(stage, founded));
  const watched = present(nodes[0], 'node');
  const cheat = present(nodes[CHEAT], 'cheat');
  const keys = join(stage.directory, 'data', present(network.nodes[CHEAT], 'authority').name);
  const { secretKey } = unwrap(await openKeystore(join(keys, 'keystore.json'), join(keys, 'password')));
  const height = (): number => watched.chain.head().header.number;
  await waitFor('the first blocks', WAIT_MS, async () => (height() >= 2 ? true : null));
  const stop = signTwice(cheat, secretKey);
  const proven = await waitFor('the proof', WAIT_MS, () => provenOf(watched));
  stop();
  t.is(proven.signer, cheat.address);
  t.true(proven.expelled);
  t.not(proven.submitter, cheat.address);

  const expelledBy = height();
  await waitFor('three more blocks', WAIT_MS, async () => (height() >= expelledBy + 3 ? true : null));
  const view = systemView(watched.chain);
  const set = await readAuthoritySet(view);
  const honest = nodes.filter((node) => node !== cheat).map(({ address }) => address);
  honest.sort();
  t.deepEqual(set.members.map(({ address }) => address).sort(), honest);
  t.deepEqual([...watched.driver.status().validators].sort(), honest);
  // At four members further proof of other heights would fine, not expel: what was taken is whole fines.
  const left = (await readBond(view, cheat.address)).bondWei;
  t.true(left <= BOND - FINE && left > 0n, `${left}`);
  t.true((await readBond(view, proven.submitter)).creditWei >= FINE / 5n);
  for (const address of honest) t.is((await readBond(view, address)).bondWei, BOND);
});
