// Owns the proofs that one party with many addresses cannot surround a node: real nodes on addresses of 127.0.0.0/8, where the
// third number stands for a subnet and 127.0.0.x is a host without a limit, as private networks are.

import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import { present } from '../../base/check.ts';
import { signDigest, addressOfSecret } from '../../base/keys.ts';
import { prng } from '../../base/prng.ts';
import { type AddressBook, createAddressBook } from '../../net/address-book.ts';
import { subnetOf } from '../../net/addresses.ts';
import type { PeerNode, PeerNodeOptions } from '../../net/api.ts';
import { nodeBindingDigest, nodePublicKey } from '../../net/node-binding.ts';
import { NET_LIMITS } from '../../net/limits.ts';
import { publicSubnet } from '../../net/subnets.ts';
import { systemClock } from '../../node/clock.ts';
import { keepKnownPeers, readKnownPeers } from '../../node/known-peers.ts';
import { CHAIN_ID, GENESIS, sleep, startNode, until } from './harness.ts';

/** Subnets of this test. */
const testSubnet = (host: string): string | null => (host.startsWith('127.0.0.') ? null : subnetOf(host));

/** A port whose connections reach `target` from a loopback address of one's choice. */
async function relayFrom(t: ExecutionContext, localAddress: string, target: number): Promise<number> {
  const server = createServer((near) => {
    const far = connect({ port: target, host: '127.0.0.1', localAddress });
    near.pipe(far).pipe(near);
    for (const [one, other] of [[near, far] as const, [far, near] as const]) {
      one.on('error', () => undefined);
      one.once('close', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A node that dials `target` from an address, and nobody else. */
async function dialFrom(
  t: ExecutionContext,
  seed: number,
  from: string,
  target: PeerNode,
  more: Partial<PeerNodeOptions> = {},
) {
  const port = await relayFrom(t, from, target.port);
  return startNode(t, seed, { bootNodes: [`127.0.0.1:${port}`], limits: { maxOutbound: 0 }, ...more });
}

const hostsOf = (node: PeerNode, direction: 'inbound' | 'outbound'): string[] =>
  node.peers().flatMap((peer) => (peer.direction === direction ? (peer.remoteAddress.split('/')[2] ?? []) : []));

test.serial(
  'many addresses of one subnet get their share of inbound places, strangers and authorities the rest',
  async (t) => {
    const secret = new Uint8Array(32).fill(99);
    const limits = { maxInbound: 8, maxPerIp: 2, maxPerSubnet: 3 };
    const victim = await startNode(t, 1, { limits, subnetOf: testSubnet });
    victim.setAuthorities([addressOfSecret(secret)]);
    await Promise.all(Array.from({ length: 10 }, (_, i) => dialFrom(t, 10 + i, `127.6.6.${1 + (i >> 1)}`, victim)));
    await until(() => victim.peers().length === limits.maxPerSubnet, 20_000, 'the attacker fills its share');
    await sleep(1_000);
    t.is(hostsOf(victim, 'inbound').filter((host) => host.startsWith('127.6.6.')).length, limits.maxPerSubnet);
    const honest = await Promise.all([31, 32].map((seed, i) => dialFrom(t, seed, `127.7.${i}.1`, victim)));
    await until(() => honest.every((one) => one.peers().length === 1), 20_000, 'peers of other subnets come in');
    const digest = nodeBindingDigest(CHAIN_ID, GENESIS, nodePublicKey(new Uint8Array(32).fill(33)));
    const binding = { address: addressOfSecret(secret), signature: signDigest(digest, secret) };
    const authorityNode = await dialFrom(t, 33, '127.6.6.77', victim, { binding });
    await until(() => authorityNode.peers().length === 1, 20_000, 'an authority comes in from the crowded subnet');
    t.is(victim.peers().length, limits.maxPerSubnet + 3);
  },
);

test.serial(
  'one subnet gets two of the connections a node makes, and inbound peers do not keep it from making them',
  async (t) => {
    const limits = { maxOutbound: 0 };
    const boot = await startNode(t, 41);
    const bootNodes = [`127.0.0.1:${boot.port}`];
    const attackers = Array.from({ length: 8 }, (_, i) =>
      startNode(t, 50 + i, { bootNodes, limits, listenHost: `127.6.6.${1 + i}` }),
    );
    await Promise.all(attackers);
    await Promise.all([0, 1].map((i) => startNode(t, 60 + i, { bootNodes, limits, listenHost: `127.7.${i}.1` })));
    await until(() => boot.peers().length === 10, 30_000, 'the boot node knows all');
    const victim = await startNode(t, 42, {
      bootNodes,
      limits: { wantPeers: 2 },
      subnetOf: testSubnet,
      chance: prng('eclipse outbound'),
    });
    // Two peers are all it wants, and the attacker provides them: they must not satisfy it.
    await Promise.all([43, 44].map((seed) => dialFrom(t, seed, '127.6.6.99', victim)));
    const subnets = (): Set<string> => new Set(hostsOf(victim, 'outbound').map((host) => subnetOf(host)));
    await until(() => hostsOf(victim, 'outbound').length >= NET_LIMITS.minOutbound, 30_000, 'connections of its own');
    await until(() => subnets().size >= NET_LIMITS.minOutboundSubnets, 30_000, 'in three subnets');
    await sleep(1_000);
    const same = hostsOf(victim, 'outbound').filter((host) => host.startsWith('127.6.6.')).length;
    t.true(same <= NET_LIMITS.maxOutboundPerSubnet, `${same} connections to the attacker`);
  },
);

function openBook(text: string): AddressBook {
  return createAddressBook({
    limits: NET_LIMITS,
    subnetOf: publicSubnet,
    isConnected: () => false,
    chance: prng(text),
  });
}

function hear(book: AddressBook, peer: string, host: string, source: string | null, isAnchor = false): void {
  const entry = { peer, addresses: [`${host}:8000`], source, authority: null, isAnchor };
  book.add(entry, { nextMs: 0, waitMs: 200, dialling: false });
}

test('a liar fills neither the address book nor the place of a peer that was reached', (t) => {
  const book = openBook('book');
  for (let i = 0; i < 20; i++) hear(book, `reached ${i}`, `9.9.${i}.1`, 'somebody');
  for (const known of book.values()) Object.assign(known, { hasJoined: true, wasReached: true });
  for (let i = 0; i < 1_000; i++) hear(book, `lie ${i}`, `8.${i >> 8}.${i & 255}.1`, '6.6.6');
  t.is([...book.values()].filter(({ source }) => source === '6.6.6').length, NET_LIMITS.bookPerSource);
  for (let i = 0; i < 100; i++) hear(book, `near ${i}`, `7.7.7.${i & 255}`, `source ${i}`);
  t.is([...book.values()].filter(({ peer }) => peer.startsWith('near')).length, NET_LIMITS.bookPerSubnet);
  for (let i = 0; i < 1_200; i++) hear(book, `far ${i}`, `5.${i >> 8}.${i & 255}.1`, `source ${i}`);
  t.is([...book.values()].length, NET_LIMITS.addressBook);
  for (let i = 0; i < 20; i++) t.truthy(book.get(`reached ${i}`));
});

test('sixteen addresses of one subnet are tried first no more often than one address of another', (t) => {
  const book = openBook('order');
  for (let i = 0; i < NET_LIMITS.bookPerSubnet; i++) hear(book, `many ${i}`, `6.6.6.${i}`, null);
  for (let i = 0; i < 3; i++) hear(book, `one ${i}`, `9.9.${i}.1`, null);
  let many = 0;
  for (let i = 0; i < 1_000; i++) if (present(book.order()[0], 'first').peer.startsWith('many')) many += 1;
  // One subnet of four: 250 of 1,000, standard deviation 14.
  t.true(many > 180 && many < 320, `${many} of 1,000`);
  hear(book, 'anchor', '6.6.7.1', null, true);
  for (let i = 0; i < 50; i++) t.is(book.order()[0]?.peer, 'anchor');
  t.is(book.order().length, NET_LIMITS.bookPerSubnet + 4);
});

test('one host has one subnet however it is written, and local networks have no limit', (t) => {
  t.is(subnetOf('2001:0db8:0001::5'), subnetOf('2001:db8:1:0:0::9'));
  t.is(subnetOf('::ffff:8.8.4.4'), subnetOf('8.8.4.9'));
  t.is(subnetOf('0:0:0:0:0:ffff:808:404'), subnetOf('8.8.4.9'));
  t.is(subnetOf('Node.Example.org.'), 'node.example.org');
  const local = [
    '127.1.2.3',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.9.9',
    '192.168.1.1',
    '169.254.0.1',
    '::1',
    'fd00::1',
    'fe80::1',
  ];
  for (const host of [...local, '::ffff:10.0.0.1', 'localhost']) t.is(publicSubnet(host), null, host);
  for (const host of ['8.8.8.8', '172.32.0.1', '11.0.0.1', '2001:db8::1', 'example.org'])
    t.not(publicSubnet(host), null, host);
});

test.serial(
  'peers a node reached are saved, the longest known first; a damaged file is left out, and said to be',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'known-peers-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const warned: string[] = [];
    const log = {
      debug: () => undefined,
      info: () => undefined,
      error: () => undefined,
      warn: (text: string) => void warned.push(text),
    };
    t.deepEqual(readKnownPeers(join(folder, 'none'), log), []);
    const reached = await startNode(t, 71);
    const node = await startNode(t, 72, { bootNodes: [`127.0.0.1:${reached.port}`] });
    const came = await startNode(t, 73, { bootNodes: [`127.0.0.1:${node.port}`], limits: { maxOutbound: 0 } });
    await until(() => node.peers().some(({ peer }) => peer === came.peerId), 10_000, 'both joined');
    await until(() => node.peers().some(({ peer }) => peer === reached.peerId), 10_000, 'both joined');
    await keepKnownPeers(folder, node, systemClock, log)();
    const saved = readKnownPeers(folder, log);
    t.true(present(saved[0], 'address').endsWith(reached.peerId));
    t.true(saved.some((text) => text.endsWith(came.peerId)));
    t.deepEqual(warned, []);
    mkdirSync(join(folder, 'bad'));
    writeFileSync(join(folder, 'bad', 'peers.json'), '{"half');
    t.deepEqual(readKnownPeers(join(folder, 'bad'), log), []);
    t.deepEqual(warned, ['saved peers left out']);
  },
);
