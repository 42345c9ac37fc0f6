// Owns tests of whole authorities: real drivers, signatures, sign-state and log files, over a toy chain and message bus.

import test from 'ava';
import { decodeCertificate, verifyCertificate } from '../../consensus/certificate.ts';
import { validatorSet } from '../../consensus/validator-set.ts';
import { CHAIN_ID, GENESIS_HASH, ToyNetwork } from './fake-network.ts';

function agree(network: ToyNetwork): boolean {
  const chains = network.nodes.map((node) => node.chain.hashes);
  const longest = chains.reduce((a, b) => (b.length > a.length ? b : a));
  return chains.every((chain) => chain.every((hash, index) => hash === longest[index]));
}

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
  t.true(
    intervals.every((ms) => ms > 700),
    `heights keep their pace: ${intervals.join(' ')}`,
  );
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
