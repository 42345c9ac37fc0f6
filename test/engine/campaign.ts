// Owns the long form of the equality test: thousands of random cases and whole training runs on every backend, level and
// thread count. `npm run test:engine-equality -- --cases 10000 --seed S [--steps 200] [--threads 1,2,4]
// [--twin]`; `twin` adds kernels that this host may lack, on an equal form of their instructions (kernels/twin.h): AVX-VNNI,
// AVX-512 VNNI, AMX-INT8 and (from Node 22) relaxed SIMD.

import { parseArgs } from 'node:util';
import { check } from '../../base/check.ts';
import { prng } from '../../base/prng.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { type Op, OP_NAMES } from '../../engine/instruction.ts';
import { createNativeExecutor, nativeLevels } from '../../engine/native-executor.ts';
import type { NumericProfile } from '../../engine/profile.ts';
import type { BatchShape, ModelConfig } from '../../trainer/model.ts';
import { preset } from '../../trainer/presets.ts';
import { caseOf, difference, runCase } from './cases.ts';
import { buildVariant } from './variant.ts';
import { TINY, TINY_SHAPE, trainingDigest } from './training-run.ts';

const SMALL_SHAPE: BatchShape = { batch: 2, seq: 65 };
const REPORT_EVERY = 1000;
const PROFILES: readonly NumericProfile[] = ['i8', 'bf16x'];

async function backends(threads: readonly number[]): Promise<readonly Executor[]> {
  const list: Executor[] = [];
  for (const count of threads) list.push(await createExecutor({ backend: 'wasm', threads: count }));
  for (const level of nativeLevels()) {
    for (const count of threads) {
      const executor = createNativeExecutor(count, level);
      check(typeof executor !== 'string', String(executor));
      list.push(executor);
    }
  }
  return list;
}

const TWINS = ['avx-vnni', 'avx512-vnni', 'amx-int8'] as const;

async function twins(threads: readonly number[]): Promise<readonly Executor[]> {
  process.env.ENGINE_TWINS = '1';
  const { native, wasm, kernels, log } = await buildVariant('twins', { edits: [] }, true);
  delete process.env.ENGINE_TWINS;
  const relaxed = kernels.relaxedKernels();
  const list: Executor[] = [];
  if (typeof relaxed === 'string') console.log(`no twin of relaxed SIMD: ${relaxed}`);
  else for (const count of threads) list.push(await wasm.createWasmExecutor(count, 'twin', relaxed));
  for (const level of TWINS) {
    check(native.nativeLevels().includes(level), `no twin of ${level} here: ${log}`);
    for (const count of threads) {
      const executor = native.createNativeExecutor(count, level);
      check(typeof executor !== 'string', String(executor));
      list.push({ ...executor, description: `${executor.description}, twin` });
    }
  }
  return list;
}

/** Differences of random cases, one line each. */
function randomCases(scalar: Executor, others: readonly Executor[], cases: number, seed: string): string[] {
  const wrong: string[] = [];
  const counts = new Map<Op, number>();
  let refused = 0;
  const choice = prng(`${seed} choice`);
  for (let i = 0; i < cases; i++) {
    const op = OP_NAMES[choice.below(OP_NAMES.length)] as Op;
    const name = `${seed} ${i}`;
    const one = caseOf(op, name);
    const wanted = runCase(scalar, one);
    if (!wanted.outcome.ok) refused++;
    counts.set(op, (counts.get(op) ?? 0) + 1);
    for (const other of others) {
      const found = difference(wanted, runCase(other, one));
      if (found !== null) wrong.push(`${op} "${name}" on ${other.description}: ${found}`);
    }
    if ((i + 1) % REPORT_EVERY === 0) console.log(`${i + 1} cases, ${wrong.length} different`);
  }
  const least = Math.min(...OP_NAMES.map((op) => counts.get(op) ?? 0));
  console.log(
    `${cases} cases x ${others.length} backends (${refused} refused alike, at least ${least} an instruction)`,
  );
  return wrong;
}

type Run = Readonly<{
  name: string;
  config: ModelConfig;
  shape: BatchShape;
  profile: NumericProfile;
  oracle: boolean;
}>;

function trainingRuns(scalar: Executor, others: readonly Executor[], steps: number, seed: string): string[] {
  const tiny = { name: 'tiny', config: TINY, shape: TINY_SHAPE, oracle: true };
  const small = { name: '0.3m', config: preset('0.3m', 256), shape: SMALL_SHAPE, oracle: false };
  const runs = [tiny, small].flatMap((run): Run[] => PROFILES.map((profile) => ({ ...run, profile })));
  const wrong: string[] = [];
  for (const { name, config, shape, profile, oracle } of runs) {
    const list = oracle ? [scalar, ...others] : others;
    let wanted: string | null = null;
    for (const executor of list) {
      const digest = trainingDigest(executor, config, shape, steps, seed, profile);
      wanted ??= digest;
      if (digest !== wanted)
        wrong.push(`${name} ${profile}: ${executor.description} gives ${digest}, wanted ${wanted}`);
    }
    console.log(`${steps} training steps of ${name} ${profile} on ${list.length} backends: ${wanted}`);
  }
  return wrong;
}

/** Ends the process with 1 when any bit differs. The last line is JSON. */
export async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      cases: { type: 'string', default: '10000' },
      seed: { type: 'string', default: 'campaign' },
      steps: { type: 'string', default: '200' },
      threads: { type: 'string', default: '1,2,4' },
      twin: { type: 'boolean', default: false },
    },
  });
  const { seed } = values;
  const [cases, steps] = [Number(values.cases), Number(values.steps)];
  const scalar = await createExecutor({ backend: 'scalar' });
  const threads = values.threads.split(',').map(Number);
  const others = [...(await backends(threads)), ...(values.twin ? await twins(threads) : [])];
  console.log(`node ${process.version} ${process.arch}, seed ${seed}`);
  for (const { description } of others) console.log(`  ${description}`);
  const wrong = [...randomCases(scalar, others, cases, seed), ...trainingRuns(scalar, others, steps, seed)];
  for (const line of wrong) console.log(`DIFFERENT ${line}`);
  for (const other of others) await other.close();
  console.log(JSON.stringify({ seed, cases, backends: others.length, steps, different: wrong.length }));
  if (wrong.length > 0) process.exitCode = 1;
}
