// Owns what the proof thread finds of a run of blocks: what the node would find itself, refused where the node would refuse.

import { rm } from 'node:fs/promises';
import test from 'ava';
import { fromHex, toHex, u256be } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { addressOfSecret, compressPublicKey, secp256k1, signDigest } from '../../base/keys.ts';
import type { Chain, Genesis } from '../../chain/api.ts';
import { decodeBlock, encodeBlock } from '../../chain/block-codec.ts';
import { openChain } from '../../chain/chain.ts';
import { certificateOf, encodeCertificate } from '../../consensus/certificate.ts';
import type { Vote } from '../../consensus/message.ts';
import { ballotDigest } from '../../consensus/sign-bytes.ts';
import { validatorSet, validatorSetHash } from '../../consensus/validator-set.ts';
import { createAuthoritySets } from '../../node/authority-sets.ts';
import { systemClock } from '../../node/clock.ts';
import { createConsensusBlocks } from '../../node/consensus-blocks.ts';
import { judgeCertified } from '../../node/consensus-catch-up.ts';
import type { CertifiedBlock, ConsensusBlocks } from '../../node/consensus-options.ts';
import type { Logger } from '../../node/logger.ts';
import { createProofThread } from '../../node/proof-thread.ts';
import { learningParametersJson } from '../../chain/system/parameters.ts';
import { testParameters } from '../chain/system-world.ts';
import { alice, signedRaw, temporaryFolder, testGenesis } from '../chain/support.ts';

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const SECRETS = [1n, 2n, 3n, 4n].map(u256be);
const ADDRESSES = SECRETS.map(addressOfSecret).sort();
const BLOCKS = 6;

type Side = Readonly<{ chain: Chain; blocks: ConsensusBlocks; sets: ReturnType<typeof createAuthoritySets> }>;

async function side(t: { teardown(end: () => unknown): void }, author: Uint8Array | null): Promise<Side> {
  const authorities = SECRETS.map((secret) => ({
    address: addressOfSecret(secret),
    publicKey: toHex(compressPublicKey(secp256k1.publicKey(secret))),
  }));
  const genesis: Genesis = testGenesis({ authorities, learning: learningParametersJson(testParameters) });
  const firstSetHash = toHex(validatorSetHash(ADDRESSES));
  const directory = await temporaryFolder();
  const chain = unwrap(await openChain({ directory, genesis, create: true, firstSetHash }));
  t.teardown(async () => {
    await chain.close();
    await rm(directory, { recursive: true, force: true });
  });
  const sets = createAuthoritySets(chain);
  const key = author === null ? null : { secretKey: author, address: addressOfSecret(author) };
  return {
    chain,
    sets,
    blocks: createConsensusBlocks({ chain, sets, author: key, clock: systemClock, log: SILENT }),
  };
}

const domainOf = (chain: Chain) => ({ chainId: chain.chainId, genesisHash: fromHex(chain.genesisHash) });

/** A run of blocks with transfers, each certified by three of the four. */
async function makeRun({ chain, blocks }: Side): Promise<CertifiedBlock[]> {
  const run: CertifiedBlock[] = [];
  for (let height = 1; height <= BLOCKS; height++) {
    unwrap(chain.pool.add(signedRaw(alice, height - 1, { value: 1n }), 0));
    const built = unwrap(await blocks.build({ height, round: 0, timestamp: chain.head().header.timestamp + 1 }));
    const ballot = { type: 'precommit', height, round: 0, value: built.hash } as const;
    const digest = ballotDigest(domainOf(chain), ballot);
    const votes = SECRETS.slice(0, 3).map(
      (secret): Vote => ({ ...ballot, voter: addressOfSecret(secret), signature: signDigest(digest, secret) }),
    );
    const certificate = encodeCertificate(certificateOf(votes, validatorSet(ADDRESSES)));
    unwrap(await blocks.commit(built, certificate));
    run.push({ wire: built.wire, certificate });
  }
  return run;
}

async function taskOf({ chain, sets }: Side) {
  const { members } = await sets.at(1);
  const keys = new Map(members.map(({ address, publicKey }) => [address, publicKey]));
  return { bounds: chain.limits, domain: domainOf(chain), keys };
}

/** Takes a run as a syncing node does; the first refusal, or null. */
async function take({ chain, blocks, sets }: Side, run: readonly CertifiedBlock[]): Promise<string | null> {
  for (const block of run) {
    const judged = await judgeCertified(block, blocks.head().height + 1, blocks, domainOf(chain), sets.addresses);
    if (!judged.ok) return judged.message;
    const { wire, findings, certificate } = block;
    const done = await blocks.commit({ wire, hash: judged.value.identity.hash, findings }, certificate, true);
    if (!done.ok) return done.message;
  }
  await blocks.settle();
  return null;
}

test('a follower that uses the findings ends on the same head', async (t) => {
  const source = await side(t, SECRETS[0] as Uint8Array);
  const run = await makeRun(source);
  const thread = createProofThread(SILENT);
  t.teardown(() => thread.stop());
  const examined = await thread.examine(run, await taskOf(source));
  for (const [i, { findings }] of examined.entries()) {
    t.deepEqual(findings?.signers, SECRETS.slice(0, 3).map(addressOfSecret).sort());
    t.deepEqual(findings?.senders, [alice.address]);
    // The parent of a run's first block is not in the run.
    t.is(findings?.beacon === null, i === 0);
  }
  const follower = await side(t, null);
  t.is(await take(follower, examined), null);
  t.is(follower.chain.head().hash, source.chain.head().hash);
});

test('what the node would refuse is refused with the findings too', async (t) => {
  const source = await side(t, SECRETS[0] as Uint8Array);
  const run = await makeRun(source);
  const thread = createProofThread(SILENT);
  t.teardown(() => thread.stop());
  const task = await taskOf(source);
  const bend = (at: number, change: (block: CertifiedBlock) => CertifiedBlock): CertifiedBlock[] =>
    run.map((block, i) => (i === at ? change(block) : block));

  const flipped = bend(3, ({ wire, certificate }) => {
    const bytes = certificate.slice();
    bytes[bytes.length - 40] = (bytes[bytes.length - 40] as number) ^ 1;
    return { wire, certificate: bytes };
  });
  const forged = bend(3, ({ wire, certificate }) => {
    const block = unwrap(decodeBlock(wire, source.chain.limits));
    const vrfProof = block.vrfProof.slice();
    vrfProof[60] = (vrfProof[60] as number) ^ 1;
    return { wire: encodeBlock({ ...block, vrfProof }), certificate };
  });
  const garbage = bend(3, ({ certificate }) => ({ wire: Uint8Array.of(1, 2, 3), certificate }));
  const cases = [
    [flipped, /signature of authority \d does not verify/],
    [forged, /vrfProof/],
    [garbage, /block/],
  ] as const;
  for (const [bent, reason] of cases) {
    const follower = await side(t, null);
    t.regex((await take(follower, await thread.examine(bent, task))) ?? '', reason);
    t.is(follower.chain.head().header.number, 3);
  }
});

test('a mix found for another parent is not used, and a thread that ended holds nobody up', async (t) => {
  const source = await side(t, SECRETS[0] as Uint8Array);
  const run = await makeRun(source);
  const thread = createProofThread(SILENT);
  const task = await taskOf(source);
  const [first, ...rest] = run as [CertifiedBlock, ...CertifiedBlock[]];
  // Block 4 behind block 2 in the run: its proof is checked over a mix that is not its parent's.
  const shuffled = await thread.examine([first, rest[0] as CertifiedBlock, rest[2] as CertifiedBlock], task);
  t.is(shuffled[2]?.findings?.beacon?.mix, null);
  const follower = await side(t, null);
  t.is(await take(follower, [...run.slice(0, 3), shuffled[2] as CertifiedBlock]), null);
  const interrupted = thread.examine(run.slice(4), task);
  await thread.stop();
  t.is(await take(follower, await interrupted), null);
  t.deepEqual(await thread.examine(run, task), run);
  t.is(follower.chain.head().hash, source.chain.head().hash);
});
