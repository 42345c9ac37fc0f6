// Measures the engine beside its peers in one run, each in turn: training steps of a reference model, int8 products,
// hashing, front end, decoding. `npm run bench -- engine [preset ...] [rounds=N] [profile] [only-us]`; last line JSON.

import { present } from '../base/check.ts';
import { type Executor, type LoadedProgram, createExecutor } from '../engine/executor.ts';
import { createNativeExecutor, nativeLevels } from '../engine/native-executor.ts';
import type { NumericProfile } from '../engine/profile.ts';
import { ProgramBuilder } from '../engine/program.ts';
import { updateInput } from '../engine/repeat.ts';
import type { ModelConfig } from '../trainer/model.ts';
import { type PresetName, PRESET_NAMES, preset } from '../trainer/presets.ts';
import { createRootHasher } from '../trainer/root-hasher.ts';
import { createStepRunner } from '../trainer/step-runner.ts';
import { INPUTS, buildTrainProgram, fillConstants, gradientBytes } from '../trainer/train-program.ts';
import { decodeFigures } from './engine-decode.ts';
import { type Peers, giveModel, startPeers } from './engine-peers.ts';
import { fillRandom, profile, runStep } from './engine-profile.ts';
import { type Clock, type Times, append, median, noTimes, ratio, round2, time, trustedClock } from './timing.ts';

const VOCABULARY = 1024;
const TOKENS_PER_STEP = 1024;
const HYPER = Float32Array.of(1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 1);
const MATRIX = 1024;
/** A peer that needs longer than the first for a run takes part in two rounds, than the second in none but the warm-up. */
const SLOW_MS = 4_000;
const SLOWEST_MS = 20_000;
const SLOW_ROUNDS = 2;

type Contestant = Readonly<{
  label: string;
  threads: number;
  times: Times;
  /** Updates that a run makes; 0 for what is no step. */
  updates: number;
  turn(round: number): Promise<void>;
}>;
type Figures = Readonly<Record<string, number | null>>;

function ours(label: string, threads: number, work: () => void, updates = 1): Contestant {
  const times = noTimes();
  return { label, threads, times, updates, turn: async () => time(times, work) };
}

function theirs(label: string, threads: number, kind: string, peer: Peers['torch'], rounds: number): Contestant {
  const times = noTimes();
  let last: Times | null = null;
  const turn = async (round: number) => {
    const ms = last === null ? 0 : median(last.wall);
    if (typeof peer === 'string' || round >= (ms > SLOW_MS ? SLOW_ROUNDS : rounds)) return;
    if (last === null || ms <= SLOWEST_MS) last = await peer.run(kind, threads, 1);
    append(times, last);
  };
  return { label, threads, times, updates: 1, turn };
}

/** One round unmeasured, then every contestant once a round. */
async function compete(contestants: readonly Contestant[], rounds: number): Promise<void> {
  for (const { turn } of contestants) await turn(0);
  for (const { times } of contestants) for (const list of [times.wall, times.cpu]) list.length = 0;
  for (let round = 0; round < rounds; round++) for (const { turn } of contestants) await turn(round);
}

async function executors(): Promise<ReadonlyMap<string, Executor>> {
  const map = new Map<string, Executor>();
  for (const threads of [1, 2]) map.set(`wasm ${threads}`, await createExecutor({ backend: 'wasm', threads }));
  for (const level of nativeLevels().slice(-2)) {
    for (const threads of [1, 2]) {
      const executor = createNativeExecutor(threads, level);
      if (typeof executor !== 'string') map.set(`native-${level} ${threads}`, executor);
    }
  }
  return map;
}

function loadStep(
  executor: Executor,
  config: ModelConfig,
  batch: number,
  profile: NumericProfile = 'i8',
  updates = 1,
): LoadedProgram {
  const shape = { batch: updates * batch, seq: config.context, updates, profile };
  const loaded = executor.load(buildTrainProgram(config, shape));
  fillRandom(loaded, 'bench engine');
  fillConstants(loaded, config, shape);
  for (let update = 0; update < updates; update++) loaded.view(updateInput(INPUTS.hyper, update, updates)).set(HYPER);
  return loaded;
}

/** Updates of a step that is rooted once for all of them, as against one of a single update. */
const UPDATES = 4;

/** Roots of a step's state and gradients, as a contestant. */
function roots(step: LoadedProgram, config: ModelConfig): Contestant {
  const hasher = createRootHasher(1);
  const work = () => {
    hasher.root(step.stateBytes());
    hasher.root(gradientBytes(step.program, step, config));
  };
  return ours('state and gradient roots', 1, work, 0);
}

type Context = Readonly<{ engines: ReadonlyMap<string, Executor>; peers: Peers; rounds: number; best: string | null }>;

/** The table of one model, and its figures. */
async function steps(context: Context, name: PresetName, first: boolean): Promise<Figures> {
  const { engines, peers, rounds, best } = context;
  const config = preset(name, VOCABULARY);
  const batch = Math.max(1, TOKENS_PER_STEP / config.context);
  await giveModel(peers, config, batch, first);
  const loaded = [...engines].map(([label, executor]) => [label, executor, loadStep(executor, config, batch)] as const);
  const list = loaded.map(([label, { threads }, step]) => ours(label, threads, () => runStep(step)));
  const exact = [1, 2].map((threads) => {
    const label = `${best ?? 'wasm'} ${threads}`;
    const step = loadStep(present(engines.get(label), label), config, batch, 'bf16x');
    list.push(ours(`bf16x ${label}`, threads, () => runStep(step)));
    return step;
  });
  const main = present(
    loaded.find(([label]) => label === `${best ?? 'wasm'} 1`),
    'main engine',
  );
  const several = loadStep(main[1], config, batch, 'i8', UPDATES);
  list.push(ours(`step of ${UPDATES} updates`, 1, () => runStep(several), UPDATES));
  list.push(roots(main[2], config));
  for (const threads of [1, 2]) {
    list.push(theirs(`torch f32 ${threads}`, threads, 'f32', peers.torch, rounds));
    list.push(theirs(`torch bf16 ${threads}`, threads, 'bf16', peers.torch, rounds));
  }
  if (first) list.push(theirs('tfjs wasm 1', 1, 'f32', peers.tfjs, rounds));
  await compete(list, rounds);
  const clock = trustedClock(
    list.filter(({ threads, times }) => threads === 1 && times.wall.length > 0).map((c) => c.times),
  );
  printSteps(name, batch * config.context, list, clock);
  const of = (label: string): Times | undefined => list.find((one) => one.label === label)?.times;
  const figures = {
    stepVsTorchF32: ratio(of('torch f32 1'), of(`${best ?? 'wasm'} 1`), clock),
    stepVsTorchBf16: ratio(of('torch bf16 1'), of(`${best ?? 'wasm'} 1`), clock),
    bf16xVsTorchF32: ratio(of('torch f32 1'), of(`bf16x ${best ?? 'wasm'} 1`), clock),
    stepVsTorchF32TwoThreads: ratio(of('torch f32 2'), of(`${best ?? 'wasm'} 2`), 'wall'),
    wasmVsTfjsWasm: ratio(of('tfjs wasm 1'), of('wasm 1'), clock),
    wasmVsTorchF32: ratio(of('torch f32 1'), of('wasm 1'), clock),
    hashShare: share(of('state and gradient roots'), of(`${best ?? 'wasm'} 1`), clock),
    hashShareFourUpdates: share(of('state and gradient roots'), of(`step of ${UPDATES} updates`), clock),
    twoThreads: ratio(of(`${best ?? 'wasm'} 1`), of(`${best ?? 'wasm'} 2`), 'wall'),
    twoThreadsWasm: ratio(of('wasm 1'), of('wasm 2'), 'wall'),
    twoThreadsBf16x: ratio(of(`bf16x ${best ?? 'wasm'} 1`), of(`bf16x ${best ?? 'wasm'} 2`), 'wall'),
    clockIsCpu: clock === 'cpu' ? 1 : 0,
  };
  for (const step of [...loaded.map(([, , one]) => one), ...exact, several]) step.close();
  return figures;
}

function printSteps(name: string, tokens: number, list: readonly Contestant[], clock: Clock): void {
  console.log(
    `\n${name}: one training step of ${tokens} tokens, median of each; ratios by ${clock} time at one thread`,
  );
  for (const { label, times, threads, updates } of list) {
    if (times.wall.length === 0) continue;
    const [wall, cpu] = [median(times.wall), median(times.cpu)];
    const rate = Math.round((1000 * tokens * updates) / (threads === 1 ? median(times[clock]) : wall));
    console.log(
      `  ${label.padEnd(26)} ${wall.toFixed(1).padStart(9)} ms wall ${cpu.toFixed(1).padStart(9)} ms cpu ${updates === 0 ? '' : `${String(rate).padStart(8)} tokens/s`}`,
    );
  }
}

/** Share of hashing in a step with it, by medians. */
function share(hashing: Times | undefined, step: Times | undefined, clock: Clock): number | null {
  if (hashing === undefined || step === undefined) return null;
  const [part, rest] = [median(hashing[clock]), median(step[clock])];
  return Math.round((1000 * part) / (part + rest)) / 1000;
}

/** int8 product with quantization of both operands at 1024^3 against torch's f32 product, one thread. */
async function products({ engines, peers, best, rounds }: Context): Promise<Figures> {
  const list: Contestant[] = [];
  for (const label of ['wasm 1', ...(best === null ? [] : [`${best} 1`])]) {
    const builder = new ProgramBuilder();
    const x = builder.tensor('x', 'f32', [MATRIX, MATRIX], 'input');
    const w = builder.tensor('w', 'f32', [MATRIX, MATRIX], 'input');
    builder.emit('linear', [x, w], [builder.tensor('y', 'f32', [MATRIX, MATRIX], 'output')]);
    const loaded = present(engines.get(label), label).load(builder.finish('product'));
    fillRandom(loaded, 'product');
    list.push(ours(label, 1, () => runStep(loaded)));
  }
  list.push(theirs('torch f32 1', 1, 'matmul', peers.torch, Number.POSITIVE_INFINITY));
  await compete(list, 2 * rounds);
  const clock = trustedClock(list.filter(({ times }) => times.wall.length > 0).map(({ times }) => times));
  console.log(`\nproduct ${MATRIX}^3 with quantization, one thread, by ${clock} time`);
  for (const { label, times } of list) {
    if (times.wall.length > 0) console.log(`  ${label.padEnd(24)} ${median(times[clock]).toFixed(2)} ms`);
  }
  const of = (label: string) => list.find((one) => one.label === label)?.times;
  return { productVsTorchF32: ratio(of('torch f32 1'), of(`${best ?? 'wasm'} 1`), clock) };
}

/** Host work of a step (batch in, call, loss out) as a share of the step, and the time to trace the program once. */
function frontEnd(executor: Executor, stepMs: number): Figures {
  const config = preset('3.4m', VOCABULARY);
  const shape = { batch: TOKENS_PER_STEP / config.context, seq: config.context };
  const tracing = noTimes();
  for (let i = 0; i < 3; i++) time(tracing, () => void buildTrainProgram(config, shape));
  const idle: Executor = {
    ...executor,
    load: (program, options) => ({ ...executor.load(program, options), run: () => ({ ok: true }) }),
  };
  const runner = createStepRunner(idle, config, shape);
  const sequences = Array.from({ length: shape.batch }, () => new Uint16Array(shape.seq + 1));
  const host = noTimes();
  for (let i = 0; i < 50; i++) {
    time(host, () => {
      runner.step({ sequences, seed: new Int32Array(2), hyper: HYPER });
      runner.loss();
    });
  }
  runner.close();
  const share = median(host.wall) / stepMs;
  console.log(
    `\nfront end: tracing once ${median(tracing.cpu).toFixed(0)} ms; host work ${(100 * share).toFixed(3)}% of a step`,
  );
  return { frontEndShare: Math.round(1e5 * share) / 1e5, traceMs: Math.round(median(tracing.cpu)) };
}

/** The last line is JSON: ratios above 1 mean that we are faster. Figures of further models carry the model's name. */
export async function main(args: readonly string[] = []): Promise<void> {
  const chosen = PRESET_NAMES.filter((name) => args.includes(name));
  const names: readonly PresetName[] = chosen.length > 0 ? chosen : ['3.4m', '30m'];
  const rounds = Number(args.find((arg) => arg.startsWith('rounds='))?.slice(7) ?? 5);
  const alone = args.includes('only-us');
  const peers: Peers = alone ? { torch: 'not asked for', tfjs: 'not asked for' } : await startPeers();
  for (const [name, peer] of Object.entries(peers)) {
    console.log(`${name}: ${typeof peer === 'string' ? peer : JSON.stringify(peer.about)}`);
  }
  const engines = await executors();
  const level = nativeLevels().at(-1);
  const context: Context = { engines, peers, rounds, best: level === undefined ? null : `native-${level}` };
  const figures: Record<string, unknown> = { engine: context.best ?? 'wasm' };
  for (const [i, name] of names.entries()) {
    if (args.includes('profile')) {
      const config = preset(name, VOCABULARY);
      const batch = Math.max(1, TOKENS_PER_STEP / config.context);
      for (const executor of engines.values())
        profile(executor, buildTrainProgram(config, { batch, seq: config.context }));
    }
    const some = await steps(context, name, i === 0);
    for (const [key, value] of Object.entries(some)) figures[i === 0 ? key : `${key}@${name}`] = value;
  }
  Object.assign(figures, await products(context));
  const fastest = present(engines.get(`${context.best ?? 'wasm'} 1`), 'engine');
  const started = noTimes();
  const step = loadStep(fastest, preset('3.4m', VOCABULARY), 8);
  for (let i = 0; i < 3; i++) time(started, () => runStep(step));
  Object.assign(figures, frontEnd(fastest, round2(median(started.cpu))));
  for (const peer of Object.values(peers)) if (typeof peer !== 'string') peer.close();
  Object.assign(figures, await decodeFigures(engines, context.best ?? 'wasm', alone));
  for (const executor of engines.values()) await executor.close();
  console.log(JSON.stringify(figures));
}
