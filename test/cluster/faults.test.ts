// Owns seven authorities, two of which may fail at any time: kill -9, a stopped process, a wiped disk, a wrong clock and a second
// node with the same key, one after another, on one network. `npm run test:cluster-faults` draws such faults for minutes.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { present } from '../../base/check.ts';
import { type Field, offencesIn, openField } from './fault-field.ts';
import { logTails, openStage, waitFor } from './harness.ts';

const AUTHORITIES = 7;
const stage = openStage('faults');
let field: Field;

test.before(async () => {
  field = await openField(stage, AUTHORITIES);
  await waitFor('the first blocks', 120_000, async () => ((await field.height()) >= 2 ? true : null));
});
test.after.always(() => stage.close());
test.afterEach.always((t) => {
  if (!t.passed) t.log(logTails(stage));
});

test.serial('two of seven are killed: blocks go on, and both come back to the same chain', async (t) => {
  await Promise.all([field.killHard(0), field.killHard(1)]);
  await field.grows(2);
  field.start(0);
  field.start(1);
  await field.agree(await field.grows(1));
  t.pass();
});

test.serial(
  'a process that stands still for seconds catches up, and a wiped disk is filled again by the others',
  async (t) => {
    const frozen = field.freeze(2, 5_000);
    await field.wipe(3);
    await field.grows(2);
    await frozen;
    await field.agree(await field.grows(1));
    const log = readFileSync(join(stage.directory, 'authority_3.log'), 'utf8');
    t.regex(log, /"msg":"synced"/);
  },
);

test.serial('a clock that is 20 s off proposes nothing and says so; set right, it takes part again', async (t) => {
  const { here, skew, hereAt } = field;
  const proposals: number[] = [];
  const stop = here.chain.onHead(({ block }) => {
    if (block.header.coinbase === here.address) proposals.push(block.header.number);
  });
  t.teardown(stop);
  const log = join(stage.directory, `${present(field.nodes[hereAt], 'node').name}.log`);
  skew.ms = 20_000;
  await waitFor('the log line', 30_000, async () => (/clock is off/.test(readFileSync(log, 'utf8')) ? true : null));
  const from = await field.grows(1, 0);
  // Seven heights hold a turn of each authority.
  const until = await field.grows(AUTHORITIES, 0);
  t.deepEqual(
    proposals.filter((height) => height > from && height <= until),
    [],
  );
  skew.ms = 0;
  await waitFor('a block of its own', 120_000, async () => (proposals.some((height) => height > until) ? true : null));
  t.regex(readFileSync(log, 'utf8'), /clock agrees with the authorities again/);
});

test.serial('case 36: a second node with the same key refuses to go on, and nobody signs twice', async (t) => {
  const { code, text } = await field.startTwin(4);
  t.is(code, 1, text.slice(-500));
  t.regex(text, /the authority key 0x[0-9a-f]{40} is in use by another node/);
  await field.agree(await field.grows(2));
  t.deepEqual(offencesIn(stage, field.nodes), []);
});
