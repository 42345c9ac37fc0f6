// Owns the comparison of kernels built for 64-bit ARM, run under qemu-user, with this machine, at both levels: random cases
// against the oracle and every step of a training run. `npm run test:engine-arm64 -- --cases 1000 --seed S`.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { check, present } from '../../base/check.ts';
import { prng } from '../../base/prng.ts';
import { type Executor, type RunOutcome, createExecutor } from '../../engine/executor.ts';
import { type Op, OP_NAMES } from '../../engine/instruction.ts';
import { lowerProgram } from '../../engine/lower.ts';
import { type TensorProgram, elementCount } from '../../engine/program.ts';
import { type Case, type Ran, caseOf, difference, runCase } from './cases.ts';
import { trainingCases } from './training-run.ts';

const COMPILER = 'aarch64-linux-gnu-gcc';
const EMULATOR = 'qemu-aarch64';
const INSTALL = 'apt-get install -y --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user';
const FLAGS = [
  '-O3',
  '-ffp-contract=off',
  '-fno-fast-math',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-std=gnu11',
  '-w',
];
const root = fileURLToPath(new URL('../../..', import.meta.url));
const BATCH = 100;
const REASONS = ['non-finite', 'bad-index', 'bf16-range'] as const;

function available(): boolean {
  return [COMPILER, EMULATOR].every((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

/** Levels of kernels/native.c by their number, and a processor that must not be offered the second. */
const ARM_LEVELS = [
  { name: 'base', number: 0, kernels: 'run_base', extra: [] },
  { name: 'neon-dot', number: 5, kernels: 'run_neon_dot', extra: ['-march=armv8.2-a+dotprod'] },
] as const;
const WITHOUT_DOT = 'cortex-a53';

type Foreign = Readonly<{ file: string; level: number }>;

function compile(folder: string): string {
  const kernels = join(root, 'engine', 'kernels');
  const build = (source: string, object: string, extra: readonly string[]) => {
    execFileSync(COMPILER, [...FLAGS, ...extra, '-c', source, '-o', join(folder, object)]);
    return join(folder, object);
  };
  const objects = ARM_LEVELS.map(({ kernels: name, extra }) =>
    build(join(kernels, 'run.c'), `${name}.o`, [...extra, `-DRUN_NAME=${name}`]),
  );
  objects.push(build(join(kernels, 'native.c'), 'native.o', ['-DHAVE_NEON_DOT']));
  objects.push(build(join(root, 'test', 'engine', 'foreign-driver.c'), 'driver.o', []));
  const file = join(folder, 'driver');
  execFileSync(COMPILER, ['-static', ...objects, '-lpthread', '-o', file]);
  return file;
}

/** Bits of the levels the library offers on an emulated processor. */
function offered(file: string, processor: string): number {
  return Number(execFileSync(EMULATOR, ['-cpu', processor, file]).toString());
}

/** Where a tensor lies: in the state, or in the work region behind it. */
function place(program: TensorProgram, name: string) {
  const tensor = present(
    program.tensors.find((one) => one.name === name),
    name,
  );
  const state = tensor.role === 'state';
  return {
    state,
    at: state ? tensor.offset : tensor.offset - program.stateBytes,
    bytes: 4 * elementCount(tensor.shape),
  };
}

function encode({ program, data }: Case): Buffer {
  const words = lowerProgram(program, { places: new Map(), ready: false });
  const state = Buffer.alloc(program.stateBytes);
  const work = Buffer.alloc(program.arenaBytes - program.stateBytes);
  for (const [name, values] of Object.entries(data)) {
    const { state: inState, at } = place(program, name);
    Buffer.from(values.buffer, values.byteOffset, values.byteLength).copy(inState ? state : work, at);
  }
  const head = Buffer.from(Int32Array.of(words.length, state.length, work.length).buffer);
  return Buffer.concat([head, Buffer.from(words.buffer), state, work]);
}

function decode({ program }: Case, bytes: Buffer): Ran {
  const [reason, at] = [bytes.readInt32LE(0), bytes.readInt32LE(4)];
  const state = bytes.subarray(8, 8 + program.stateBytes);
  const work = bytes.subarray(8 + program.stateBytes);
  const op = program.instructions[at]?.op;
  const outcome: RunOutcome =
    reason === 0 || op === undefined
      ? { ok: true }
      : { ok: false, instruction: at, op, reason: present(REASONS[reason - 1], 'reason') };
  const written = new Set(program.instructions.flatMap(({ outputs }) => outputs));
  const outputs: Record<string, Uint8Array> = {};
  for (const { id, name, role } of program.tensors) {
    if (!written.has(id) || role === 'temp') continue;
    const { state: inState, at: start, bytes: length } = place(program, name);
    outputs[name] = new Uint8Array((inState ? state : work).subarray(start, start + length));
  }
  return { outcome, outputs };
}

/** Runs cases on the foreign kernels, in one process. */
function runForeign({ file, level }: Foreign, cases: readonly Case[]): Ran[] {
  const input = Buffer.concat(cases.map(encode));
  const { stdout, status, error } = spawnSync(EMULATOR, ['-cpu', 'max', file, String(level)], {
    input,
    maxBuffer: 2 ** 31 - 1,
  });
  check(status === 0, `${EMULATOR} ended with ${status}: ${error?.message ?? ''}`);
  let at = 0;
  return cases.map((one) => {
    const length = 8 + one.program.arenaBytes;
    at += length;
    return decode(one, stdout.subarray(at - length, at));
  });
}

function compare(foreign: Foreign, oracle: Executor, cases: readonly Case[], label: string): string[] {
  const wrong: string[] = [];
  for (let from = 0; from < cases.length; from += BATCH) {
    const some = cases.slice(from, from + BATCH);
    for (const [i, ran] of runForeign(foreign, some).entries()) {
      const one = present(some[i], 'case');
      const found = difference(runCase(oracle, one), ran);
      if (found !== null) wrong.push(`level ${foreign.level}, ${label} ${from + i} (${one.op}): ${found}`);
    }
  }
  return wrong;
}

/** Ends the process with 1 when any bit differs. The last line is JSON. */
export async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      cases: { type: 'string', default: '1000' },
      seed: { type: 'string', default: 'arm64' },
      steps: { type: 'string', default: '200' },
    },
  });
  if (!available()) {
    console.log(`skipped: needs ${COMPILER} and ${EMULATOR}; as root: ${INSTALL}`);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'engine-arm64-'));
  const scalar = await createExecutor({ backend: 'scalar' });
  const wasm = await createExecutor({ backend: 'wasm' });
  const { seed } = values;
  try {
    const file = compile(folder);
    const choice = prng(`${seed} choice`);
    const random = Array.from({ length: Number(values.cases) }, (_, i) =>
      caseOf(OP_NAMES[choice.below(OP_NAMES.length)] as Op, `${seed} ${i}`),
    );
    // Each step starts from the state the step before left here: equal steps make an equal run.
    const steps = trainingCases(wasm, Number(values.steps), seed);
    const [all, few] = [offered(file, 'max'), offered(file, WITHOUT_DOT)];
    check(all === 0b100001 && few === 1, `levels offered: ${all}, and ${few} without dot products`);
    const wrong: string[] = [];
    for (const { name, number: level } of ARM_LEVELS) {
      const foreign = { file, level };
      const [a, b] = [compare(foreign, scalar, random, 'case'), compare(foreign, wasm, steps, 'step')];
      console.log(
        `arm64 ${name} under ${EMULATOR}, seed ${seed}: ${random.length} random cases, ${a.length} different; ${steps.length} training steps, ${b.length} different`,
      );
      wrong.push(...a, ...b);
    }
    for (const line of wrong.slice(0, 20)) console.log(`DIFFERENT ${line}`);
    console.log(JSON.stringify({ seed, cases: random.length, steps: steps.length, different: wrong.length }));
    if (wrong.length > 0) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await wasm.close();
    await scalar.close();
  }
}
