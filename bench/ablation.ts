// Measures what int8 costs in learning: the engine as it is against the same engine with f32 products, same weights, data
// and steps, held-out loss on real text. `npm run bench -- ablation [preset ...] [arms=i8,bf16x,f32] [steps=N] [seeds=N] [batch=N]
// [points=N] [curve=FILE] [plot=SVG] [keep=FOLDER]`; the file gets a line for each of the points of every curve as it is
// measured, all its curves are drawn, and a run that was ended goes on from its last point where its state is in the folder.

import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { utf8 } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { unwrap } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import type { Executor } from '../engine/executor.ts';
import { createNativeExecutor } from '../engine/native-executor.ts';
import { buildVariant } from '../test/engine/variant.ts';
import { loadCorpus } from '../trainer/corpus.ts';
import { createDataOrder } from '../trainer/data-order.ts';
import { type Dataset, buildDataset, openDataset } from '../trainer/dataset.ts';
import { createHeldOutMeter } from '../trainer/held-out.ts';
import { initialWeights } from '../trainer/initial-weights.ts';
import { PRESET_NAMES, type PresetName, preset } from '../trainer/presets.ts';
import { DEFAULT_OPTIMIZER, type Schedule, hyperParameters, roundingSeed } from '../trainer/schedule.ts';
import { createStepRunner, startFromBase } from '../trainer/step-runner.ts';
import { DEFAULT_VOCAB, trainTokenizer } from '../trainer/tokenizer-training.ts';
import { linePlot } from './line-plot.ts';

const HELD_OUT_SEQUENCES = 128;
const PEAK_NANO = 2_000_000;
const EDITS = [
  { file: 'run.c', from: '#include "linear-bf16.c"', to: '#include "linear-bf16.c"\n#include "linear-f32.c"' },
  { file: 'run.c', from: 'k_linear(ctx, w)', to: 'f_linear(ctx, w)' },
  { file: 'run.c', from: 'k_linear_grad_x(ctx, w)', to: 'f_linear_grad_x(ctx, w)' },
  { file: 'run.c', from: 'k_linear_grad_w(ctx, w)', to: 'f_linear_grad_w(ctx, w)' },
];

const ARMS = ['i8', 'bf16x', 'f32'] as const;
type Arm = (typeof ARMS)[number];
type Plan = Readonly<{
  profile: Arm;
  steps: number;
  batch: number;
  every: number;
  note: (line: string) => void;
  /** Where the state stands between runs; null when it is not kept. */
  kept: string | null;
}>;
type Curve = Readonly<{ train: number; heldOut: readonly number[] }>;

export function openText(sequence: number): Dataset {
  const corpus = loadCorpus();
  const tokenizer = unwrap(
    trainTokenizer(
      corpus.train.slice(0, 60).map(({ text }) => text),
      DEFAULT_VOCAB,
    ),
  );
  const { manifest, bytes } = buildDataset(corpus, tokenizer, sequence);
  return unwrap(openDataset(manifest, bytes));
}

/** Step count, then the state; whole or not at all. */
function keep(file: string, step: number, state: Uint8Array): void {
  writeFileSync(`${file}.new`, Buffer.concat([new Uint8Array(Int32Array.of(step).buffer), state]));
  renameSync(`${file}.new`, file);
}

/** Takes up a kept state, where there is one; answers the steps it has taken. */
function goOn(file: string, state: Uint8Array): number {
  if (!existsSync(file)) return 0;
  const bytes = readFileSync(file);
  state.set(bytes.subarray(4));
  return bytes.readInt32LE(0);
}

/** Mean loss of the last tenth of the steps, and held-out losses on the way, the last one at the end; nats a token. */
async function train(executor: Executor, name: PresetName, data: Dataset, seed: number, plan: Plan): Promise<Curve> {
  const { profile, steps, batch, every, note, kept } = plan;
  const config = preset(name, data.manifest.tokenizer.vocab);
  const runner = createStepRunner(executor, config, {
    batch,
    seq: config.context,
    ...(profile === 'bf16x' ? { profile } : {}),
  });
  const meter = createHeldOutMeter({ executor, config, dataset: data, batch: 8, sequences: HELD_OUT_SEQUENCES });
  const key = sha256(utf8(`ablation ${seed}`));
  startFromBase(runner, initialWeights(config, key));
  const order = createDataOrder(key, data.sequences);
  const schedule: Schedule = {
    learningRateNano: PEAK_NANO,
    warmupSteps: Math.floor(steps / 20) + 1,
    decaySteps: steps,
    floorBps: 1000,
  };
  const heldOut: number[] = [];
  const tail: number[] = [];
  for (let step = kept === null ? 0 : goOn(kept, runner.state); step < steps; step++) {
    const sequences = Array.from({ length: batch }, (_, i) => data.sequence(order.sequenceAt(step * batch + i)));
    const hyper = hyperParameters(schedule, DEFAULT_OPTIMIZER, 0, step);
    const outcome = runner.step({ sequences, seed: roundingSeed(key, 0, step), hyper });
    if (!outcome.ok) throw new Error(`step ${step}: ${outcome.op} ${outcome.reason}`);
    if (step >= steps - steps / 10) tail.push(runner.loss());
    if ((step + 1) % every !== 0 && step !== steps - 1) continue;
    heldOut.push(unwrap(await meter.measure(runner.state.subarray(0, runner.parameterBytes))) / 1e6);
    if (kept !== null) keep(kept, step + 1, runner.state);
    note(`${step + 1} train ${runner.loss().toFixed(4)} held-out ${present(heldOut.at(-1), 'loss').toFixed(4)}`);
  }
  meter.close();
  runner.close();
  if (kept !== null) rmSync(kept, { force: true });
  return { train: tail.reduce((sum, loss) => sum + loss, 0) / tail.length, heldOut };
}

const number = (args: readonly string[], key: string, otherwise: number): number =>
  Number(args.find((arg) => arg.startsWith(`${key}=`))?.slice(key.length + 1) ?? otherwise);

/** Draws the held-out losses of a file that `curve` wrote. */
function drawCurves(from: string, to: string): void {
  const lines = new Map<string, { x: number; y: number }[]>();
  for (const line of readFileSync(from, 'utf8').split('\n')) {
    const [, name, step, loss] = line.match(/^(.* seed .*) step (\d+) train .* held-out (.*)$/) ?? [];
    if (name === undefined) continue;
    lines.set(name, [...(lines.get(name) ?? []), { x: Number(step), y: Number(loss) }]);
  }
  const drawn = [...lines].map(([name, points]) => ({ name, points }));
  const most = Math.max(...drawn.flatMap(({ points }) => points.map(({ y }) => y)));
  writeFileSync(to, linePlot('held-out loss, nats a token', 'steps of 1,024 tokens', drawn, most));
}

const rounded = (x: number): number => Math.round(1e5 * x) / 1e5;

/** bf16x takes part when asked for: what is decided by it is only whether `i8` is harmless. */
function chosenArms(args: readonly string[]): readonly Arm[] {
  const asked = args.find((arg) => arg.startsWith('arms='))?.slice(5) ?? 'i8,f32';
  return ARMS.filter((arm) => asked.split(',').includes(arm));
}

/** An executor for each arm; the f32 kernels are built for it beside the real ones. */
async function enginesOf(arms: readonly Arm[]) {
  const executors = new Map<Arm, Executor>();
  const use = (executor: Executor | string, some: readonly Arm[]) => {
    if (typeof executor === 'string') throw new Error(executor);
    for (const arm of some) if (arms.includes(arm)) executors.set(arm, executor);
  };
  use(createNativeExecutor(1), ['i8', 'bf16x']);
  let remove = () => {};
  if (arms.includes('f32')) {
    const source = readFileSync(new URL('../../bench/variants/linear-f32.c', import.meta.url), 'utf8');
    const variant = await buildVariant('ablation', { edits: EDITS, added: { 'linear-f32.c': source } }, false);
    use(variant.native.createNativeExecutor(1), ['f32']);
    remove = () => variant.remove();
  }
  const close = async () => {
    for (const executor of new Set(executors.values())) await executor.close();
    remove();
  };
  return { executors, close };
}

/** Prints a line a run and the mean difference of held-out loss, i8 minus f32, for each size. The last line is JSON. */
export async function main(args: readonly string[] = []): Promise<void> {
  const chosen = PRESET_NAMES.filter((name) => args.includes(name));
  const names: readonly PresetName[] = chosen.length > 0 ? chosen : ['0.3m', '1m'];
  const steps = number(args, 'steps', 400);
  const curve = args.find((arg) => arg.startsWith('curve='))?.slice(6);
  const every = Math.max(1, Math.floor(steps / number(args, 'points', 4)));
  const folder = args.find((arg) => arg.startsWith('keep='))?.slice(5);
  const plan = { steps, batch: number(args, 'batch', 8), every };
  const arms = chosenArms(args);
  const engines = await enginesOf(arms);
  const results: Record<string, unknown> = {};
  for (const name of names) {
    const data = openText(preset(name, DEFAULT_VOCAB).context);
    const last: Record<Arm, number[]> = { i8: [], bf16x: [], f32: [] };
    for (let seed = 1; seed <= number(args, 'seeds', 3); seed++) {
      for (const profile of arms) {
        const executor = present(engines.executors.get(profile), profile);
        const note = (line: string) => {
          if (curve !== undefined) appendFileSync(curve, `${name} seed ${seed} ${profile} step ${line}\n`);
        };
        const kept = folder === undefined ? null : join(folder, `${name}-${seed}-${profile}`);
        const { train: loss, heldOut } = await train(executor, name, data, seed, { ...plan, profile, note, kept });
        last[profile].push(present(heldOut.at(-1), 'held-out loss'));
        console.log(
          `${name} seed ${seed} ${profile.padEnd(5)} train ${loss.toFixed(4)} held-out ${heldOut.map((x) => x.toFixed(4)).join(' ')}`,
        );
      }
    }
    const minusF32 = (arm: Arm) => last[arm].map((loss, i) => rounded(loss - (last.f32[i] ?? Number.NaN)));
    const differences = minusF32('i8');
    const mean = rounded(differences.reduce((sum, x) => sum + x, 0) / differences.length);
    if (arms.includes('i8') && arms.includes('f32'))
      console.log(`${name}: held-out loss of i8 minus f32: ${differences.join(' ')}, mean ${mean}`);
    results[name] = { mean, each: differences, bf16xMinusF32: minusF32('bf16x'), last };
  }
  await engines.close();
  const plot = args.find((arg) => arg.startsWith('plot='))?.slice(5);
  if (plot !== undefined && curve !== undefined) drawCurves(curve, plot);
  console.log(JSON.stringify({ steps, tokensPerStep: plan.batch * 128, i8MinusF32: results }));
}
