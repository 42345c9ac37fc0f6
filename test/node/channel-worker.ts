// A thread with small methods, for the tests of node/worker-channel.ts.

import { parentPort } from 'node:worker_threads';
import { present } from '../../base/check.ts';
import { type CallContext, serveCalls } from '../../node/worker-channel.ts';

serveCalls(present(parentPort, 'parent'), {
  add: async ({ a, b }: { a: number; b: number }) => a + b,
  fail: async ({ reason }: { reason: string }) => {
    throw new Error(reason);
  },
  ask: async ({ count }: { count: number }, context: CallContext) => {
    const answers: unknown[] = [];
    for (let i = 0; i < count; i++) {
      context.event(i);
      answers.push(await context.ask('double', i));
    }
    return answers;
  },
  wait: (_: null, context: CallContext) =>
    new Promise((resolve) => {
      context.signal.addEventListener('abort', () => resolve('aborted'));
    }),
  die: async () => process.exit(7),
});
