// execution-apis' conformance cases against our server over an imported chain: a part of them, spread over all methods.

import test from 'ava';
import { sharedData } from '../shared-data.ts';
import { LEFT_FAILING, runCases } from './rpc-compat-run.ts';

/** One of so many cases runs in the suite; `npm run test:rpc-compat` runs all. */
const SHARE = 4;

test('the imported test chain has the recorded head, and a quarter of its cases are answered as recorded', async (t) => {
  const directory = sharedData('rpc-compat');
  if (directory === null) {
    t.log('skipped: the rpc-compat cases are not on this machine');
    t.pass();
    return;
  }
  const { verdicts } = await runCases(directory, (index) => index % SHARE === 0);
  const failed = verdicts.filter(
    ({ one, failure }) => failure !== null && !LEFT_FAILING.has(`${one.method}/${one.name}`),
  );
  t.deepEqual(
    failed.map(({ one, failure }) => `${one.method}/${one.name}: ${failure}`),
    [],
  );
  t.true(verdicts.length >= 30, String(verdicts.length));
});
