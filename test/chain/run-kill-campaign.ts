// Owns `npm run test:kill`: so many kill -9 of a process that commits blocks as fast as it can, at moments drawn from a
// printed seed (KILL_SEED, KILL_RUNS). After each, nothing acknowledged may be missing; every 50th time all is recomputed.
// With KILL_FOLDER the chain and the count are kept there, and a campaign that was ended goes on where it stood.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { check } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { prng } from '../../base/prng.ts';
import { auditBlocks, auditState } from '../../chain/audit.ts';
import { systemClock } from '../../node/clock.ts';
import { alice, temporaryFolder, testChain } from './support.ts';

const RUNS = Number(process.env['KILL_RUNS'] ?? 1_000);
const SEED = process.env['KILL_SEED'] ?? '1';
const AUDIT_EVERY = 50;
/** Longest life of a process after its first block, in milliseconds. */
const LIFE_MS = 300;

const worker = fileURLToPath(new URL('./crash-worker.js', import.meta.url));
const folder = process.env['KILL_FOLDER'] ?? null;
const directory = folder === null ? await temporaryFolder() : join(folder, 'chain');
const notes = folder === null ? null : join(folder, 'progress.json');
type Progress = Readonly<{ seed: string; runs: number; acknowledged: number }>;

function readProgress(): Progress {
  if (folder !== null) mkdirSync(folder, { recursive: true });
  if (notes === null || !existsSync(notes)) return { seed: SEED, runs: 0, acknowledged: 0 };
  const known = JSON.parse(readFileSync(notes, 'utf8')) as Progress;
  check(known.seed === SEED, `${notes} is of seed ${known.seed}`);
  return known;
}

function note(progress: Progress): void {
  if (notes === null) return;
  writeFileSync(`${notes}.new`, JSON.stringify(progress));
  renameSync(`${notes}.new`, notes);
}

const begun = readProgress();
let isEnded = false;
let isDone = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    isEnded = true;
  });
}
console.log(`kill campaign: ${RUNS} runs, seed ${SEED}, ${begun.runs} done`);
const start = systemClock.monotonic();

/** A process that has loaded everything and waits for a byte before it opens the database. */
function ready(): ChildProcessByStdio<Writable, Readable, null> {
  return spawn(process.execPath, [worker, directory, '--wait'], { stdio: ['pipe', 'pipe', 'inherit'] });
}

function report(runs: number, blocks: number): void {
  const minutes = (systemClock.monotonic() - start) / 60_000;
  const pace = ((runs - begun.runs) / minutes).toFixed(0);
  console.log(`${runs} kills, ${blocks} blocks, all whole, ${pace} kills a minute`);
}

let next = ready();
let { acknowledged } = begun;
try {
  for (let run = begun.runs + 1; run <= RUNS && !isEnded; run++) {
    const child = next;
    child.stdin.write('\n');
    if (run < RUNS) next = ready();
    const [byte = 0] = prng(`kill ${SEED} ${run}`).bytes(1);
    let armed = false;
    child.stdout.on('data', (data: Buffer) => {
      for (const line of data.toString().trim().split('\n')) acknowledged = Math.max(acknowledged, Number(line));
      if (!armed) setTimeout(() => child.kill('SIGKILL'), (byte / 256) * LIFE_MS);
      armed = true;
    });
    await once(child, 'exit');
    const { chain } = await testChain({ directory, create: false });
    const { number } = chain.head().header;
    check(number >= acknowledged, `run ${run}: block ${acknowledged} was acknowledged, the head is ${number}`);
    check(
      (await unwrap(chain.state(number)).nonce(alice.address)) === number,
      `run ${run}: state is not that of ${number}`,
    );
    const whole = run % AUDIT_EVERY === 0 || run === RUNS;
    if (whole) unwrap(await auditBlocks(chain));
    const { stateRoot } = chain.head().header;
    await chain.close();
    note({ seed: SEED, runs: run, acknowledged: number });
    if (whole) {
      unwrap(await auditState(directory, stateRoot));
      report(run, number);
    }
  }
  isDone = !isEnded;
} finally {
  next.kill('SIGKILL');
  // What a failed or ended campaign worked on stays where it was asked to be.
  if (folder === null || isDone) await rm(folder ?? directory, { recursive: true, force: true });
}
