// Owns the long campaign on seven authorities as processes: faults drawn from a printed seed for so many minutes, at most two at
// a time, after each of which blocks go on and every node has the same chain. `--minutes N --seed S`; the last line is JSON.

import { parseArgs } from 'node:util';
import { present } from '../../base/check.ts';
import { type Prng, prng } from '../../base/prng.ts';
import { systemClock } from '../../node/clock.ts';
import { type Field, offencesIn, openField } from './fault-field.ts';
import { logTails, openStage, waitFor } from './harness.ts';

const AUTHORITIES = 7;
const FROZEN_MS = 30_000;

/** One fault at a node, until it runs again. The last authority runs in this process: only its clock goes wrong. */
const FAULTS: Readonly<Record<string, (field: Field, index: number, random: Prng) => Promise<void>>> = {
  'kill -9': async (field, index, random) => {
    await field.killHard(index);
    await systemClock.sleep(random.below(10_000));
    field.start(index);
  },
  'kill -9 at the start': async (field, index, random) => {
    for (let i = 0; i < 3; i++) {
      await field.killHard(index);
      field.start(index);
      await systemClock.sleep(500 + random.below(4_000));
    }
  },
  restart: (field, index) => field.restart(index),
  SIGSTOP: (field, index) => field.freeze(index, FROZEN_MS),
  'wiped disk': (field, index) => field.wipe(index),
  'wrong clock': async ({ skew }, _index, random) => {
    skew.ms = (random.below(2) === 0 ? -1 : 1) * (6_000 + random.below(3_600_000));
    await systemClock.sleep(5_000 + random.below(10_000));
    skew.ms = 0;
  },
  'second node of a key': async (field, index) => {
    const { code, text } = await field.startTwin(index);
    if (code !== 1 || !text.includes('in use by another node'))
      throw new Error(`the twin of ${index} ended with ${code}: ${text.slice(-300)}`);
  },
};

async function campaign(field: Field, minutes: number, random: Prng): Promise<Record<string, number>> {
  const done: Record<string, number> = {};
  const names = Object.keys(FAULTS);
  const end = systemClock.monotonic() + minutes * 60_000;
  while (systemClock.monotonic() < end) {
    const first = random.below(field.hereAt);
    const places =
      random.below(2) === 0 ? [first] : [first, (first + 1 + random.below(field.hereAt - 1)) % field.hereAt];
    const before = await field.height();
    const begun = systemClock.monotonic();
    const faults = places.map((index) => {
      const name = present(names[random.below(names.length)], 'fault');
      done[name] = (done[name] ?? 0) + 1;
      console.log(`${Math.round(begun / 1_000)} s, height ${before}: ${name} at ${index}`);
      return present(FAULTS[name], name)(field, index, random);
    });
    await Promise.all(faults);
    await field.agree(await field.grows(2));
  }
  return done;
}

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } } });
const seed = values.seed ?? String(process.pid);
console.log(`seed ${seed}: npm run test:cluster-faults -- --minutes ${values.minutes} --seed ${seed}`);
const stage = openStage('cluster-faults');
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stage.close().then(() => process.exit(1)));
}
try {
  const field = await openField(stage, AUTHORITIES);
  await waitFor('the first blocks', 120_000, async () => ((await field.height()) >= 2 ? true : null));
  const faults = await campaign(field, Number(values.minutes), prng(`cluster faults ${seed}`));
  const offences = offencesIn(stage, field.nodes);
  for (const line of offences.slice(0, 20)) console.log(line);
  console.log(
    JSON.stringify({
      seed,
      minutes: Number(values.minutes),
      heights: await field.height(),
      faults,
      offences: offences.length,
    }),
  );
  if (offences.length > 0) process.exitCode = 1;
} catch (error) {
  console.log(logTails(stage));
  console.log(String(error instanceof Error ? error.stack : error));
  process.exitCode = 1;
} finally {
  await stage.close();
}
process.exit();
