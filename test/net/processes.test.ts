import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { percentile, sleep, until } from './harness.ts';
import type { Order, Report } from './peer-process.ts';

type Peer = {
  readonly child: ChildProcess;
  port: number;
  peers: number;
  readonly got: Map<number, number[]>;
  order(order: Order): void;
};

async function spawnPeer(t: ExecutionContext, seed: number, port: number, boots: readonly number[]): Promise<Peer> {
  const file = fileURLToPath(new URL('./peer-process.js', import.meta.url));
  const args = [String(seed), String(port), ...boots.map((boot) => `127.0.0.1:${boot}`)];
  const child = fork(file, args, { execArgv: [] });
  t.teardown(() => void child.kill('SIGKILL'));
  const peer: Peer = { child, port: 0, peers: 0, got: new Map(), order: (order) => void child.send(order) };
  child.on('message', (report: Report) => {
    if (report.kind === 'up') peer.port = report.port;
    if (report.kind === 'peers') peer.peers = report.count;
    if (report.kind === 'got') {
      peer.got.set(report.serial, [...(peer.got.get(report.serial) ?? []), report.latencyMs]);
    }
  });
  await until(() => peer.port !== 0, 60_000, `process ${seed} up`);
  return peer;
}

test('four processes mesh, lose no message, survive kill -9 of one, and take it back', async (t) => {
  const first = await spawnPeer(t, 31, 0, []);
  const others = await Promise.all([32, 33, 34].map((seed) => spawnPeer(t, seed, 0, [first.port])));
  const all = [first, ...others];
  await until(() => all.every((peer) => peer.peers === 3), 60_000, 'full mesh of processes');

  const publish = async (peers: readonly Peer[], from: number, count: number): Promise<number[]> => {
    for (const [i, peer] of peers.entries()) {
      peer.order({ kind: 'publish', from: from + i * 1_000, count, gapMs: 15, bytes: 700 });
    }
    const serials = peers.map((_, i) => Array.from({ length: count }, (_v, k) => from + i * 1_000 + k));
    const complete = (): boolean =>
      peers.every((peer, i) => serials.every((own, j) => i === j || own.every((serial) => peer.got.has(serial))));
    await until(complete, 60_000, 'all messages at all processes');
    return peers.flatMap((peer) => serials.flat().flatMap((serial) => peer.got.get(serial) ?? []));
  };
  await publish(all, 0, 20);
  const latencies = await publish(all, 100_000, 100);
  t.is(latencies.length, 4 * 100 * 3, 'each message once at each other process');
  const [p50, p99] = [0.5, 0.99].map((share) => percentile(latencies, share).toFixed(1));
  t.log(`4 processes, 700-byte messages, warm: p50 ${p50} ms, p99 ${p99} ms`);

  const stopped = others[2] as Peer;
  stopped.child.kill('SIGSTOP');
  await publish([first, others[0] as Peer, others[1] as Peer], 150_000, 20);
  stopped.child.kill('SIGCONT');
  await publish(all, 160_000, 10);
  t.is(stopped.got.size >= 3 * (20 + 100 + 20 + 10), true, 'a stopped process gets what it missed');

  const [victim, ...survivors] = [others[0] as Peer, first, others[1] as Peer, others[2] as Peer];
  victim.child.kill('SIGKILL');
  await until(() => survivors.every((peer) => peer.peers === 2), 60_000, 'the loss noticed');
  await publish(survivors, 200_000, 20);
  const again = await spawnPeer(t, 32, victim.port, [first.port]);
  const took = await until(() => again.peers === 3, 60_000, 'the killed one back');
  t.log(`rejoined ${took.toFixed(0)} ms after its restart`);
  await publish([...survivors, again], 300_000, 20);

  const exits = [...survivors, again].map(async (peer) => {
    peer.order({ kind: 'stop' });
    const [code] = (await once(peer.child, 'exit')) as [number | null];
    return code;
  });
  const codes = await Promise.race([Promise.all(exits), sleep(20_000)]);
  t.deepEqual(codes, [0, 0, 0, 0], 'each process ends by itself after stop()');
});
