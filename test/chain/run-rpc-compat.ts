// Owns `npm run test:rpc-compat`: all of execution-apis' cases (RPC_COMPAT_DIR names their folder), each failure with its
// reason, a tally by method; it fails below 95% of the cases of implemented methods.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { sharedData } from '../shared-data.ts';
import { LEFT_FAILING, runCases } from './rpc-compat-run.ts';

const BAR = 0.95;

const directory = process.env['RPC_COMPAT_DIR'] ?? sharedData('rpc-compat');
if (directory === null || !existsSync(directory)) {
  console.error('rpc-compat: no cases found; RPC_COMPAT_DIR names the folder with chain.rlp, genesis.json and tests/');
  process.exit(2);
}
const { verdicts, absent } = await runCases(resolve(directory), () => true);
const tally = new Map<string, { passed: number; failed: number }>();
for (const { one, failure } of verdicts) {
  const counts = tally.get(one.method) ?? { passed: 0, failed: 0 };
  tally.set(one.method, counts);
  if (failure === null) counts.passed++;
  else {
    counts.failed++;
    const reason = LEFT_FAILING.get(`${one.method}/${one.name}`) ?? 'no reason: a defect';
    console.log(`FAILED ${one.method}/${one.name}: ${failure.slice(0, 160)}; ${reason}`);
  }
}
for (const [method, { passed, failed }] of tally) console.log(`${method}: ${passed} passed, ${failed} failed`);
for (const one of absent) console.log(`not implemented: ${one.method}/${one.name}`);
const passed = verdicts.filter(({ failure }) => failure === null).length;
const share = passed / verdicts.length;
console.log(`${passed} of ${verdicts.length} passed (${(100 * share).toFixed(1)}%), ${absent.length} not implemented`);
process.exit(share >= BAR ? 0 : 1);
