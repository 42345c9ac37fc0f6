// Measures training steps per second of every backend on the reference model (design: d 256, 4 layers, 1,024 tokens a
// step), backends in turn inside one run. Options: preset name, rounds, 'profile' for time by instruction.

import { present } from '../base/check.ts';
import { prng } from '../base/prng.ts';
import { type Executor, type LoadedProgram, createExecutor } from '../engine/executor.ts';
import { type Instruction, OPS } from '../engine/instruction.ts';
import { createNativeExecutor, nativeLevels } from '../engine/native-executor.ts';
import { ProgramBuilder, type TensorProgram } from '../engine/program.ts';
import { type PresetName, PRESET_NAMES, preset } from '../trainer/presets.ts';
import { INPUTS, buildTrainProgram, fillConstants } from '../trainer/train-program.ts';

const VOCABULARY = 1024;
const BATCH = 8;
const WARM_UP_STEPS = 2;
const HYPER = Float32Array.of(1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 1);

function fill(loaded: LoadedProgram, seed: string): void {
  const random = prng(seed);
  // A cheap generator seeded by the strong one: millions of weights.
  let word = random.u32() | 1;
  const next = () => {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    return word / 2 ** 32;
  };
  for (const { name, role, dtype, shape } of loaded.program.tensors) {
    if (role === 'temp' || role === 'output') continue;
    const view = loaded.view(name);
    for (let i = 0; i < view.length; i++) {
      if (dtype === 'i32') view[i] = Math.floor(next() * VOCABULARY);
      else if (name.startsWith('m.') || name.startsWith('v.')) view[i] = 0;
      else view[i] = shape.length === 1 ? 1 : (next() - 0.5) * 0.1;
    }
  }
}

async function executors(): Promise<readonly Executor[]> {
  const list: Executor[] = [];
  for (const threads of [1, 2]) list.push(await createExecutor({ backend: 'wasm', threads }));
  for (const level of nativeLevels()) {
    for (const threads of [1, 2]) {
      const executor = createNativeExecutor(threads, level);
      if (typeof executor !== 'string') list.push(executor);
    }
  }
  return list;
}

const median = (values: readonly number[]): number =>
  present([...values].sort((a, b) => a - b)[values.length >> 1], 'run');

/** `npm run bench -- engine [preset] [rounds] [profile]`. The last line is JSON: tokens a second by backend. */
export async function main(args: readonly string[] = []): Promise<void> {
  const name = (PRESET_NAMES.find((known) => known === args[0]) ?? '3.4m') satisfies PresetName;
  const rounds = Number(args[1] ?? 5);
  const config = preset(name, VOCABULARY);
  const shape = { batch: BATCH, seq: config.context };
  const tokens = BATCH * config.context;
  const program = buildTrainProgram(config, shape);
  console.log(
    `${name}: ${program.instructions.length} instructions, arena ${(program.arenaBytes / 2 ** 20).toFixed(0)} MiB`,
  );
  const list = await executors();
  if (args.includes('profile')) for (const executor of list) profile(executor, program);
  const loaded = list.map((executor) => {
    const one = executor.load(program);
    fill(one, 'bench engine');
    fillConstants(one, config, shape);
    one.view(INPUTS.hyper).set(HYPER);
    for (let i = 0; i < WARM_UP_STEPS; i++) timed(one);
    return one;
  });
  const times = loaded.map((): number[] => []);
  const work = loaded.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, one] of loaded.entries()) {
      const before = process.cpuUsage();
      times[i]?.push(timed(one));
      const { user, system } = process.cpuUsage(before);
      work[i]?.push((user + system) / 1000);
    }
  }
  const rates = new Map<string, number>();
  for (const [i, { description }] of list.entries()) {
    const ms = median(times[i] ?? []);
    rates.set(description, Math.round((1000 * tokens) / ms));
    const busy = median(work[i] ?? []);
    console.log(
      `${description.padEnd(44)} ${ms.toFixed(1).padStart(8)} ms a step, ${rates.get(description)} tokens/s; ${busy.toFixed(1)} ms of processor`,
    );
  }
  for (const executor of list) await executor.close();
  console.log(JSON.stringify({ preset: name, tokensPerStep: tokens, tokensPerSecond: Object.fromEntries(rates) }));
}

function timed(loaded: LoadedProgram): number {
  const start = performance.now();
  const outcome = loaded.run();
  if (!outcome.ok) throw new Error(`step failed: ${outcome.op} ${outcome.reason}`);
  return performance.now() - start;
}

/** Time by instruction name: each distinct instruction alone, times how often it occurs. */
function profile(executor: Executor, program: TensorProgram): void {
  const totals = new Map<string, number>();
  const seen = new Map<string, number>();
  for (const instruction of program.instructions) {
    const shapes = [...instruction.inputs, ...instruction.outputs].map((id) => program.tensors[id]?.shape.join('x'));
    const key = `${instruction.op} ${shapes.join(' ')}`;
    const ms = seen.get(key) ?? alone(executor, program, instruction);
    seen.set(key, ms);
    totals.set(instruction.op, (totals.get(instruction.op) ?? 0) + ms);
  }
  console.log(`by instruction, ${executor.description}:`);
  for (const [op, ms] of [...totals].sort((a, b) => b[1] - a[1])) console.log(`  ${op.padEnd(18)} ${ms.toFixed(2)} ms`);
}

function alone(executor: Executor, program: TensorProgram, { op, inputs, outputs, attrs }: Instruction): number {
  const builder = new ProgramBuilder();
  const ids = new Map<number, number>();
  for (const id of [...inputs, ...outputs]) {
    if (ids.has(id)) continue;
    const { name, dtype, shape } = present(program.tensors[id], 'tensor');
    ids.set(id, builder.tensor(name, dtype, shape, outputs.includes(id) ? 'state' : 'input'));
  }
  const map = (list: readonly number[]) => list.map((id) => present(ids.get(id), 'operand'));
  builder.emit(op, map(inputs), map(outputs), attrs);
  const loaded = executor.load(builder.finish(`only-${OPS[op].code}`));
  fill(loaded, 'profile');
  if (op === 'rope') loaded.view(present(program.tensors[inputs[2] ?? 0], 'positions').name).fill(0);
  const times = Array.from({ length: 3 }, () => timed(loaded));
  loaded.close();
  return Math.min(...times);
}
