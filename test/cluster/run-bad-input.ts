// Owns the long run of the bad inputs: all cases in drawn order, again and again for so many minutes, against a live network of
// four. Heights keep coming and memory stays. `--minutes N --seed S`; the last line is JSON.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { prng } from '../../base/prng.ts';
import { systemClock } from '../../node/clock.ts';
import { logTails, openStage } from './harness.ts';
import { HOSTILE_CASES, openTarget } from './hostile-target.ts';

const MOST_GROWTH_MIB = 256;
/** The chain may not stand still for longer, whatever is sent. */
const STALL_MS = 60_000;

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } } });
const seed = values.seed ?? String(process.pid);
const minutes = Number(values.minutes);
console.log(`seed ${seed}: npm run test:bad-input -- --minutes ${minutes} --seed ${seed}`);
const random = prng(`bad input ${seed}`);
const stage = openStage('bad-input-loop');
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void stage.close().then(() => process.exit(1)));
}

/** Resident MiB of a process. */
function residentMib(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1024;
}

function shuffled<T>(list: readonly T[]): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}

async function main(): Promise<void> {
  const { field, target } = await openTarget(stage, random);
  const nodes = stage.children.slice(0, field.hereAt).map(({ process: child }) => child.pid ?? 0);
  const measure = (): number[] => nodes.map(residentMib);
  const start = systemClock.monotonic();
  const failures: string[] = [];
  let [rounds, runs, slowestMs, seen, seenMs] = [0, 0, 0, await field.height(), start];
  let first: number[] = [];
  const watch = systemClock.every(1_000, () => {
    void field.height().then((height) => {
      const now = systemClock.monotonic();
      if (height > seen) slowestMs = Math.max(slowestMs, now - seenMs);
      if (height > seen) [seen, seenMs] = [height, now];
    });
  });
  const began = seen;
  while (systemClock.monotonic() - start < minutes * 60_000) {
    for (const { number, what, run } of shuffled(HOSTILE_CASES)) {
      if (systemClock.monotonic() - start > minutes * 60_000) break;
      runs++;
      await run(target).catch((error: unknown) => {
        failures.push(`case ${number} (${what}): ${error instanceof Error ? error.message : String(error)}`);
        console.log(failures.at(-1));
      });
    }
    rounds++;
    // Buffers and caches fill in the first round; growth is counted from there.
    if (first.length === 0) first = measure();
    console.log(`round ${rounds}, height ${seen}, resident MiB ${measure().map(Math.round).join(' ')}`);
  }
  watch.cancel();
  await field.agree(await field.grows(2));
  const growthMib = Math.round(Math.max(...measure().map((now, i) => now - (first[i] ?? now))));
  const stallMs = Math.round(Math.max(slowestMs, systemClock.monotonic() - seenMs));
  console.log(
    JSON.stringify({
      seed,
      minutes,
      rounds,
      runs,
      heights: (await field.height()) - began,
      slowestBlockMs: stallMs,
      growthMib,
      failures: failures.length,
    }),
  );
  if (failures.length > 0 || growthMib > MOST_GROWTH_MIB || slowestMs > STALL_MS) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.log(logTails(stage));
  console.log(String(error instanceof Error ? error.stack : error));
  process.exitCode = 1;
} finally {
  await stage.close();
}
process.exit();
