import { Worker } from 'node:worker_threads';
import test from 'ava';
import { type WorkerChannel, connectWorker } from '../../node/worker-channel.ts';

function open(onDeath: (reason: string) => void = () => {}): WorkerChannel {
  return connectWorker(new Worker(new URL('./channel-worker.js', import.meta.url)), onDeath);
}

test('calls return, fail with their reason, and run beside each other', async (t) => {
  const channel = open();
  const [sum, refused] = await Promise.all([
    channel.call<number>('add', { a: 2, b: 3 }),
    t.throwsAsync(channel.call('fail', { reason: 'no such thing' })),
  ]);
  t.is(sum, 5);
  t.regex(refused?.message ?? '', /no such thing/);
  await t.throwsAsync(channel.call('constructor', null), { message: /worker method constructor is missing/ });
  await channel.close();
});

test('events arrive in order, questions are answered, an unanswerable one is null', async (t) => {
  const channel = open();
  const seen: number[] = [];
  const answers = await channel.call<unknown[]>(
    'ask',
    { count: 3 },
    {
      onEvent: (value: never) => seen.push(value),
      onAsk: async (question, value: never) => {
        if (value === 1) throw new Error('cannot');
        return `${question}${value}`;
      },
    },
  );
  t.deepEqual(seen, [0, 1, 2]);
  t.deepEqual(answers, ['double0', null, 'double2']);
  await channel.close();
});

test('an abort reaches the method', async (t) => {
  const channel = open();
  const abort = new AbortController();
  const waiting = channel.call<string>('wait', null, { signal: abort.signal });
  abort.abort();
  t.is(await waiting, 'aborted');
  await channel.close();
});

test('a thread that dies rejects what is in flight and what follows, naming why', async (t) => {
  let death = '';
  const channel = open((reason) => {
    death = reason;
  });
  await t.throwsAsync(channel.call('die', null), { message: /worker ended: exit code 7/ });
  await t.throwsAsync(channel.call('add', { a: 1, b: 1 }), { message: /worker ended/ });
  t.is(death, 'exit code 7');
});
