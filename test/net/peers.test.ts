import test from 'ava';
import { addressOfSecret, signDigest } from '../../base/keys.ts';
import type { PeerEvent, PeerNode } from '../../net/api.ts';
import { nodeBindingDigest, nodePublicKey } from '../../net/node-binding.ts';
import { createPeerNode } from '../../net/peer-node.ts';
import {
  CHAIN_ID,
  GENESIS,
  freePort,
  now,
  optionsFor,
  sleep,
  startNetwork,
  startNode,
  statusAt,
  until,
} from './harness.ts';

test.serial('a boot node dialled before it is up is connected once it is', async (t) => {
  const port = await freePort();
  const early = await startNode(t, 170, { bootNodes: [`localhost:${port}`, `127.0.0.1:${port}`] });
  await sleep(1_500);
  t.is(early.peers().length, 0);
  await startNode(t, 171, { port });
  const took = await until(() => early.peers().length === 1, 15_000, 'connection after the boot node started');
  t.log(`joined ${took.toFixed(0)} ms after the boot node was up`);
});

test.serial('a node that restarts on its port is found again by those that knew it, and by itself', async (t) => {
  const nodes = await startNetwork(t, 3, 172);
  const [first, second, third] = nodes as [PeerNode, PeerNode, PeerNode];
  const left: string[] = [];
  second.onPeer((event) => {
    if (event.kind === 'left') left.push(event.peer);
  });
  const { port } = first;
  await first.stop();
  await until(() => second.peers().length === 1 && third.peers().length === 1, 5_000, 'departure noticed');
  t.deepEqual(left, [first.peerId]);
  const again = await startNode(t, 172, { port });
  t.is(again.peerId, first.peerId, 'the identity is the seed');
  const took = await until(
    () => [again, second, third].every((node) => node.peers().length === 2),
    8_000,
    'full mesh after the restart',
  );
  t.log(`full mesh ${took.toFixed(0)} ms after the restart`);
  let got = 0;
  third.subscribe('consensus', () => {
    got += 1;
    return 'accept';
  });
  await again.publish('consensus', Uint8Array.of(1, 2, 3));
  await until(() => got === 1, 3_000, 'gossip after the restart');
});

test.serial('a node of another genesis or chain id is refused, with the reason, and honest nodes stay', async (t) => {
  const lines: string[] = [];
  const [a, b] = (await startNetwork(t, 2, 176)) as [PeerNode, PeerNode];
  const log = (_level: string, message: string, fields?: object): void => {
    lines.push(`${message} ${JSON.stringify(fields)}`);
  };
  const bootNodes = [`127.0.0.1:${a.port}`];
  // The prefix of protocols holds 4 bytes of the genesis hash; the status exchange compares all 32.
  const twin = new Uint8Array(GENESIS);
  twin[31] = 1;
  const other = await startNode(t, 178, { bootNodes, genesisHash: twin, log });
  const fork = await startNode(t, 179, { bootNodes, chainId: CHAIN_ID + 1, log });
  const alien = await startNode(t, 180, { bootNodes, genesisHash: new Uint8Array(32).fill(9), log });
  await until(() => lines.filter((line) => line.startsWith('peer refused')).length >= 3, 8_000, 'three refusals');
  for (const node of [other, fork, alien]) t.is(node.peers().length, 0);
  t.true(lines.some((line) => line.includes('status.genesisHash is')));
  t.true(lines.some((line) => line.includes(`status.chainId is ${CHAIN_ID + 1}`)));
  t.true(lines.some((line) => line.includes('unsupported-protocol')));
  t.is(a.peers().length, 1);
  t.is(b.peers().length, 1);
});

test.serial('an authority is known by its signature for its node key, and a false one is refused', async (t) => {
  const secret = new Uint8Array(32).fill(181);
  const address = addressOfSecret(secret);
  const bindingFor = (seed: number) => ({
    address,
    signature: signDigest(nodeBindingDigest(CHAIN_ID, GENESIS, nodePublicKey(new Uint8Array(32).fill(seed))), secret),
  });
  const a = await startNode(t, 182);
  a.setAuthorities([address]);
  const bootNodes = [`127.0.0.1:${a.port}`];
  const authority = await startNode(t, 183, { bootNodes, binding: bindingFor(183) });
  const thief = await startNode(t, 184, { bootNodes, binding: bindingFor(183) });
  await until(() => a.peers().length === 1, 5_000, 'the authority joined');
  await sleep(500);
  const seen = () => a.peers().map(({ peer, account, authority: key }) => [peer, account, key]);
  t.deepEqual(seen(), [[authority.peerId, address, address]]);
  a.setAuthorities([]);
  t.deepEqual(seen(), [[authority.peerId, address, null]], 'anyone has keys: an account alone is no authority');
  t.false(thief.peers().some(({ peer }) => peer === a.peerId));
});

test.serial('claims of height and role reach the others, and listeners are told', async (t) => {
  const limits = { statusEveryMs: 300 };
  const a = await startNode(t, 186, { limits });
  const b = await startNode(t, 187, { limits, bootNodes: [`ws://127.0.0.1:${a.port}`] });
  const events: PeerEvent[] = [];
  b.onPeer((event) => events.push(event));
  await until(() => b.peers().length === 1, 5_000, 'joined');
  a.setStatus({ ...statusAt(1_234), role: 'authority', apiUrl: 'http://127.0.0.1:8080' });
  await until(() => b.peers()[0]?.status.height === 1_234, 3_000, 'the new height');
  t.is(b.peers()[0]?.status.apiUrl, 'http://127.0.0.1:8080');
  t.true(events.some((event) => event.kind === 'status' && event.peer.status.role === 'authority'));
  t.true((b.peers()[0]?.roundTripMs ?? -1) >= 0);
});

test.serial('inbound slots are limited for strangers and reserved for authorities', async (t) => {
  const secret = new Uint8Array(32).fill(190);
  const hub = await startNode(t, 191, { limits: { maxInbound: 2 } });
  hub.setAuthorities([addressOfSecret(secret)]);
  const bootNodes = [`127.0.0.1:${hub.port}`];
  const limits = { maxOutbound: 0 };
  await Promise.all([192, 193].map((seed) => startNode(t, seed, { bootNodes, limits })));
  await until(() => hub.peers().length === 2, 5_000, 'two strangers');
  const third = await startNode(t, 194, { bootNodes, limits });
  await sleep(700);
  t.is(hub.peers().length, 2);
  t.false(third.peers().some(({ peer }) => peer === hub.peerId));
  const digest = nodeBindingDigest(CHAIN_ID, GENESIS, nodePublicKey(new Uint8Array(32).fill(195)));
  const binding = { address: addressOfSecret(secret), signature: signDigest(digest, secret) };
  await startNode(t, 195, { bootNodes, limits, binding });
  await until(() => hub.peers().length === 3, 5_000, 'the authority in its reserved slot');
});

test.serial('bad options, bad addresses and a busy port are Faults that name them', async (t) => {
  const busy = await startNode(t, 196);
  const codeOf = async (more: object): Promise<string> => {
    const made = await createPeerNode(optionsFor(197, more));
    if (made.ok) await made.value.stop();
    return made.ok ? 'started' : `${made.code}: ${made.message}`;
  };
  t.regex(await codeOf({ port: busy.port }), /^port-in-use: .*already in use/);
  t.regex(await codeOf({ port: 70_000 }), /^bad-option: port 70000/);
  t.regex(await codeOf({ listenHost: 'not a host' }), /^bad-address: listenHost/);
  for (const boot of ['', 'noport', 'host:0', 'host:99999', 'http://x:1', '/ip4/1.2.3.4/udp/1', '[zz]:1', 'a b:1']) {
    t.regex(await codeOf({ bootNodes: [boot] }), /^bad-address: peer address/, boot);
  }
});

test.serial('stopping takes under two seconds, with peers, and twice is once', async (t) => {
  const nodes = await startNetwork(t, 3, 200);
  const start = now();
  await Promise.all(nodes.flatMap((node) => [node.stop(), node.stop()]));
  const took = now() - start;
  t.log(`three nodes stopped in ${took.toFixed(0)} ms`);
  t.true(took < 2_000);
  t.deepEqual(
    nodes.map((node) => node.peers().length),
    [0, 0, 0],
  );
});

test.serial('authorities that all name each other, and themselves, and start at once, form a full mesh', async (t) => {
  const seeds = [205, 206, 207, 208];
  const ports = await Promise.all(seeds.map(() => freePort()));
  const secrets = seeds.map((seed) => new Uint8Array(32).fill(seed));
  const addresses = secrets.map(addressOfSecret);
  const bootNodes = ports.map((port) => `127.0.0.1:${port}`);
  const nodes = await Promise.all(
    seeds.map((seed, i) => {
      const digest = nodeBindingDigest(CHAIN_ID, GENESIS, nodePublicKey(new Uint8Array(32).fill(seed)));
      const secret = secrets[i] as Uint8Array;
      const binding = { address: addressOfSecret(secret), signature: signDigest(digest, secret) };
      return startNode(t, seed, { port: ports[i] ?? 0, bootNodes, binding });
    }),
  );
  for (const node of nodes) node.setAuthorities(addresses);
  const took = await until(() => nodes.every((node) => node.peers().length === 3), 8_000, 'full mesh');
  t.log(`mesh of four that dial each other: ${took.toFixed(0)} ms`);
  const got = [0, 0, 0, 0];
  for (const [i, node] of nodes.entries()) {
    node.subscribe('consensus', () => {
      got[i] = (got[i] ?? 0) + 1;
      return 'accept';
    });
  }
  for (const [i, node] of nodes.entries()) await node.publish('consensus', new Uint8Array(1_000_000).fill(i + 1));
  const spread = await until(() => got.every((count) => count === 3), 30_000, 'a megabyte from each to each');
  t.log(`four messages of a megabyte, each to all: ${spread.toFixed(0)} ms`);
  await sleep(2_500);
  t.deepEqual(
    nodes.map((node) => node.peers().length),
    [3, 3, 3, 3],
    'the mesh is stable',
  );
  t.deepEqual(got, [3, 3, 3, 3]);
});

test.serial('addresses of an earlier run bring a node back without boot nodes', async (t) => {
  const a = await startNode(t, 210, { listenHost: '0.0.0.0' });
  const first = await startNode(t, 211, { bootNodes: [`127.0.0.1:${a.port}`] });
  await until(() => first.peers().length === 1, 5_000, 'joined');
  const knownAddresses = first.knownAddresses();
  t.true(knownAddresses.some((address) => address.endsWith(a.peerId)));
  await first.stop();
  const second = await startNode(t, 211, { knownAddresses });
  await until(() => second.peers().length === 1, 5_000, 'joined by memory');
});
