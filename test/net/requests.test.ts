import test from 'ava';
import { utf8 } from '../../base/bytes.ts';
import { fault } from '../../base/fault.ts';
import { prng } from '../../base/prng.ts';
import type { PeerNode, ProtocolLimits } from '../../net/api.ts';
import { now, sleep, startNetwork, startNode } from './harness.ts';

const ROOMY: ProtocolLimits = {
  maxRequestBytes: 64 * 1024 * 1024,
  maxResponseBytes: 64 * 1024 * 1024,
  requestsPerSecond: 1_000,
  burst: 1_000,
  concurrentPerPeer: 16,
  timeoutMs: 120_000,
};
const ASK = { timeoutMs: 120_000, maxBytes: 64 * 1024 * 1024 };

test.serial('requests of every size up to 64 MiB come back bit for bit', async (t) => {
  const [a, b] = (await startNetwork(t, 2, 160)) as [PeerNode, PeerNode];
  b.handle('echo', ROOMY, async (bytes) => bytes);
  const random = prng('echo sizes').bytes(1_024);
  for (const size of [0, 1, 4, 5, 65_530, 65_536, 65_537, 1_000_003, 64 * 1024 * 1024]) {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 1_024) bytes.set(random.subarray(0, Math.min(1_024, size - at)), at);
    const start = now();
    const answer = await a.request(b.peerId, 'echo', bytes, ASK);
    t.true(answer.ok, answer.ok ? '' : answer.message);
    if (answer.ok) t.is(Buffer.compare(answer.value, bytes), 0);
    if (size > 10_000_000) t.log(`64 MiB there and back in ${(now() - start).toFixed(0)} ms`);
  }
});

test.serial('many requests at a time are answered each with its own answer', async (t) => {
  const [a, b] = (await startNetwork(t, 2, 162)) as [PeerNode, PeerNode];
  b.handle('double', ROOMY, async (bytes) => {
    await sleep((bytes[0] ?? 0) % 7);
    return Uint8Array.of(bytes[0] ?? 0, bytes[0] ?? 0);
  });
  const answers = await Promise.all(
    Array.from({ length: 16 }, (_, i) => a.request(b.peerId, 'double', Uint8Array.of(i), ASK)),
  );
  for (const [i, answer] of answers.entries()) t.deepEqual(answer.ok && [...answer.value], [i, i]);
});

test.serial('every refusal of a request is a Fault that says what it was', async (t) => {
  const [a, b] = (await startNetwork(t, 2, 164)) as [PeerNode, PeerNode];
  const small = { ...ROOMY, maxRequestBytes: 100, maxResponseBytes: 100, timeoutMs: 400 };
  b.handle('refuse', ROOMY, async () => fault('no-such-block', 'height 9 is above the head 3'));
  b.handle('defect', ROOMY, () => Promise.reject(new Error('secret detail')));
  b.handle('silent', ROOMY, () => new Promise(() => undefined));
  b.handle('small', small, async () => new Uint8Array(101));
  b.handle('large', ROOMY, async () => new Uint8Array(5_000));
  b.handle('once', { ...ROOMY, requestsPerSecond: 0.001, burst: 1 }, async () => new Uint8Array(1));
  const code = async (name: string, bytes = utf8('x'), more = {}): Promise<string> => {
    const answer = await a.request(b.peerId, name, bytes, { ...ASK, ...more });
    return answer.ok ? 'ok' : `${answer.code}: ${answer.message}`;
  };
  t.is(await code('refuse'), 'peer-no-such-block: peer refused: height 9 is above the head 3');
  t.is(await code('defect'), 'peer-handler-failed: peer refused: defect: the handler failed');
  t.regex(await code('silent', utf8('x'), { timeoutMs: 200 }), /^request-timeout: silent: no answer in 200 ms/);
  t.regex(await code('small', new Uint8Array(101)), /^peer-too-large: .*frame.length 101 is over 100 bytes/);
  t.regex(await code('small'), /^peer-answer-too-large/);
  t.regex(await code('large', utf8('x'), { maxBytes: 4_999 }), /^response-too-large: .*5000 is over 4999/);
  t.regex(await code('unheard-of'), /^unsupported-protocol/);
  t.is(await code('once'), 'ok');
  t.regex(await code('once'), /^peer-rate-limited/);
  const stranger = await startNode(t, 166);
  const lost = await a.request(stranger.peerId, 'refuse', utf8('x'), ASK);
  t.is(lost.ok ? '' : lost.code, 'not-connected');
});

test.serial('a caller can give a request up, and stopping ends those under way', async (t) => {
  const [a, b] = (await startNetwork(t, 2, 168)) as [PeerNode, PeerNode];
  b.handle('silent', ROOMY, () => new Promise(() => undefined));
  const controller = new AbortController();
  const given = a.request(b.peerId, 'silent', utf8('x'), { ...ASK, signal: controller.signal });
  setTimeout(() => controller.abort(), 100);
  const result = await given;
  t.is(result.ok ? '' : result.code, 'aborted');
  const pending = a.request(b.peerId, 'silent', utf8('x'), ASK);
  await sleep(50);
  const start = now();
  await a.stop();
  t.true(now() - start < 2_000);
  const ended = await pending;
  t.is(ended.ok ? '' : ended.code, 'stopped');
  const late = await a.publish('learning', utf8('x'));
  t.is(late.ok ? '' : late.code, 'stopped');
});
