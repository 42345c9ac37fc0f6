// Owns tests of whole authorities: real drivers, signatures, sign-state and log files, over a toy chain and message bus.

import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { prng } from '../../base/prng.ts';
import { decodeCertificate, verifyCertificate } from '../../consensus/certificate.ts';
import { decodeMessage, encodeMessage } from '../../consensus/codec.ts';
import { validatorSet } from '../../consensus/validator-set.ts';
import { systemClock } from '../../node/clock.ts';
import { hash } from './authorities.ts';
import { CHAIN_ID, GENESIS_HASH, ToyNetwork } from './fake-network.ts';

function agree(network: ToyNetwork): boolean {
  const chains = network.nodes.map((node) => node.chain.hashes);
  const longest = chains.reduce((a, b) => (b.length > a.length ? b : a));
  return chains.every((chain) => chain.every((hash, index) => hash === longest[index]));
}

test('votes cast while a key had to wait are signed afterwards, or nobody would get on', async (t) => {
  const network = new ToyNetwork(4);
  t.teardown(() => network.close());
  const [waiting, others] = [network.nodes.slice(0, 2), network.nodes.slice(2)];
  const untilMs = systemClock.monotonic() + 3_000;
  for (const node of others) t.true((await network.start(node.index)).ok);
  network.overrides = { maySign: () => systemClock.monotonic() >= untilMs };
  for (const node of waiting) t.true((await network.start(node.index)).ok);
  // Two of four is no quorum, so no timer of this round leads on: what decides it are the votes of the two that had to wait.
  t.true(await network.until(() => network.nodes.every((node) => node.chain.head.height >= 2), 15_000));
  t.true(agree(network));
});

test('four authorities decide a block a second, agree, and every certificate verifies on its own', async (t) => {
  const network = new ToyNetwork(4, 1);
  t.teardown(() => network.close());
  for (const node of network.nodes) t.true((await network.start(node.index)).ok);
  t.true(await network.until(() => network.nodes.every((node) => node.chain.head.height >= 4), 15_000));
  t.true(agree(network));
  t.deepEqual(
    network.nodes.flatMap((node) => node.failures.map(String)),
    [],
  );
  const validators = validatorSet(network.authorities);
  const domain = { chainId: CHAIN_ID, genesisHash: GENESIS_HASH };
  for (const [index, block] of network.node(4).chain.blocks.entries()) {
    const certificate = decodeCertificate(block.certificate);
    t.true(certificate.ok);
    if (!certificate.ok) continue;
    const blockHash = network.node(4).chain.hashes[index] as `0x${string}`;
    t.true(
      verifyCertificate(certificate.value, { domain, validators, type: 'precommit', height: index + 1, blockHash }).ok,
    );
  }
  const intervals = network
    .node(0)
    .reports.slice(1)
    .map((report) => report.intervalMs);
  // One interval may be short after a late one, on a machine that is busy; together they keep the pace.
  const together = intervals.reduce((sum, ms) => sum + ms, 0);
  t.true(together > 1_000 * intervals.length - 900, `heights keep their pace: ${intervals.join(' ')}`);
  t.log(
    `proposal to final, ms: ${network
      .node(0)
      .reports.map((report) => report.finalityMs?.toFixed(1))
      .join(' ')}`,
  );
});

test('with one of four down blocks go on, and the killed authority rejoins and agrees', async (t) => {
  const network = new ToyNetwork(4);
  t.teardown(() => network.close());
  for (const node of network.nodes) await network.start(node.index);
  t.true(await network.until(() => network.node(3).chain.head.height >= 2, 10_000));
  await network.stop(3);
  const before = network.node(0).chain.head.height;
  t.true(await network.until(() => network.node(0).chain.head.height >= before + 4, 20_000));
  t.true((await network.start(3)).ok);
  t.true(
    await network.until(() => network.node(3).chain.head.height >= before + 5, 15_000),
    'the restarted node catches up',
  );
  t.true(agree(network));
  t.deepEqual(
    network.nodes.flatMap((node) => node.failures.map(String)),
    [],
  );
});

test('authorities that all stop at random moments go on from their logs, without a contradiction', async (t) => {
  const network = new ToyNetwork(4);
  t.teardown(() => network.close());
  const statements = new Map<string, string>();
  const contradictions: string[] = [];
  network.bus.isLinked = (bytes) => {
    const decoded = decodeMessage(bytes);
    if (!decoded.ok || decoded.value.kind === 'polka') return true;
    const said = decoded.value.kind === 'vote' ? decoded.value.vote : decoded.value.proposal;
    const who = 'voter' in said ? `${said.type}|${said.voter}` : `proposal|${said.proposer}`;
    const key = `${who}|${said.height}|${said.round}`;
    if ((statements.get(key) ?? String(said.value)) !== String(said.value)) contradictions.push(key);
    statements.set(key, String(said.value));
    return true;
  };
  const random = prng('restarts-1');
  for (const node of network.nodes) await network.start(node.index);
  for (let run = 0; run < 12; run++) {
    await systemClock.sleep(100 + random.below(300));
    const victim = random.below(4);
    await network.stop(victim);
    if (run % 3 === 0) await network.stop((victim + 1) % 4);
    await systemClock.sleep(random.below(80));
    for (const node of network.nodes) if (node.driver === null) t.true((await network.start(node.index)).ok);
  }
  const height = Math.max(...network.nodes.map((node) => node.chain.head.height));
  const isLive = await network.until(() => network.nodes.every((node) => node.chain.head.height >= height + 2), 20_000);
  t.true(isLive, 'all decide again');
  t.true(agree(network));
  t.deepEqual(contradictions, []);
  t.deepEqual(
    network.nodes.flatMap((node) => node.failures.map(String)),
    [],
  );
});

test('an authority whose sign state is lost on a running chain does not start', async (t) => {
  const network = new ToyNetwork(4);
  t.teardown(() => network.close());
  for (const node of network.nodes) await network.start(node.index);
  t.true(await network.until(() => network.node(3).chain.head.height >= 1, 10_000));
  await network.stop(3);
  rmSync(join(network.folder(3), 'sign-state.bin'));
  const refused = await network.start(3);
  t.true(!refused.ok && refused.code === 'sign-guard/missing');
});

test('an authority whose log has lost its end keeps silent for that height, also after another crash', async (t) => {
  const network = new ToyNetwork(4);
  t.teardown(() => network.close());
  let said = 0;
  let warned: string[] = [];
  const note = (code: string) => warned.push(code);
  network.overrides = { log: { debug: () => {}, info: () => {}, warn: note, error: () => {} } };
  network.bus.join(99, () => 'ignore');
  network.bus.isLinked = (bytes) => {
    if (decodeMessage(bytes).ok) said++;
    return true;
  };
  t.true((await network.start(3)).ok);
  t.true(await network.until(() => said > 0, 10_000), 'alone it prevotes nil');
  await network.stop(3);
  t.true((await network.start(3)).ok);
  await network.stop(3);
  t.deepEqual(warned, [], 'a whole log leads to the vote');
  truncateSync(join(network.folder(3), 'consensus.wal'), 20);
  said = 0;
  for (const warning of ['consensus-log-short', 'consensus-log-damaged']) {
    t.true((await network.start(3)).ok);
    await systemClock.sleep(900);
    await network.stop(3);
    t.true(warned.includes(warning), `${warning}: ${warned.join()}`);
    t.is(said, 0);
    warned = [];
  }
});

test('junk, foreign and forged messages are refused and do not stop the chain', async (t) => {
  const network = new ToyNetwork(4);
  t.teardown(() => network.close());
  for (const node of network.nodes) await network.start(node.index);
  t.true(await network.until(() => network.node(0).chain.head.height >= 1, 10_000));
  const random = prng('junk');
  const stranger = {
    type: 'prevote',
    height: 3,
    round: 0,
    value: hash('x'),
    voter: network.authorities[1] as string,
  } as const;
  const forged = encodeMessage({ kind: 'vote', vote: { ...stranger, signature: random.bytes(65) } });
  for (let i = 0; i < 500; i++) network.bus.send(99, i % 2 === 0 ? random.bytes(random.below(400)) : forged);
  const height = network.node(0).chain.head.height;
  t.true(await network.until(() => network.node(0).chain.head.height >= height + 2, 10_000));
  t.true(agree(network));
});
