// Measures what execution plans cost and save: one step of a model plain, in pieces computed twice, and in micro-batches, on
// the best backend, each in turn, and PyTorch's step of the same batch beside them.
// `npm run bench -- engine-plans [preset ...] [rounds=N] [only-us]`; the last line is JSON, names of plans to figures.

import { present } from '../base/check.ts';
import { createExecutor } from '../engine/executor.ts';
import { type ExecutionPlan, planOf } from '../trainer/execution-plan.ts';
import type { BatchShape, ModelConfig } from '../trainer/model.ts';
import { PRESET_NAMES, type PresetName, preset } from '../trainer/presets.ts';
import { fillConstants } from '../trainer/train-program.ts';
import { giveModel, startPeers } from './engine-peers.ts';
import { fillRandom, runStep } from './engine-profile.ts';
import { type Times, append, median, noTimes, ratio, round2, time, trustedClock } from './timing.ts';

const VOCABULARY = 1024;
const TOKENS = 1024;
const HYPER = Float32Array.of(1e-3, 0.9, 0.95, 1e-8, 0.1, 0.1, 0.05, 1);

function plansOf(config: ModelConfig): ReadonlyMap<string, ExecutionPlan> {
  const batch = Math.max(2, TOKENS / config.context);
  const whole: BatchShape = { batch, seq: config.context };
  const halves: BatchShape = { ...whole, microBatch: batch / 2 };
  return new Map([
    ['plain', planOf(config, whole, { atOnce: 1, segments: 1 })],
    ['2 pieces', planOf(config, whole, { atOnce: 1, segments: 2 })],
    ['4 pieces', planOf(config, whole, { atOnce: 1, segments: 4 })],
    ['most pieces', planOf(config, whole, { atOnce: 1, segments: 99 })],
    ['2 micro-batches', planOf(config, halves, { atOnce: 1, segments: 1 })],
    ['2 micro-batches at once', planOf(config, halves, { atOnce: 2, segments: 1 })],
  ]);
}

/** Milliseconds and mebibytes of each plan of one model; ratios are to the plain plan. */
async function measure(name: PresetName, rounds: number, alone: boolean): Promise<Record<string, unknown>> {
  const config = preset(name, VOCABULARY);
  const executor = await createExecutor();
  const peers = alone ? { torch: 'not asked for', tfjs: 'not asked for' } : await startPeers();
  await giveModel(peers, config, Math.max(2, TOKENS / config.context), false);
  const rows = [...plansOf(config)].map(([label, plan]) => {
    const loaded = executor.load(plan.program);
    fillRandom(loaded, 'bench plans');
    fillConstants(loaded, config, { batch: 1, seq: config.context });
    loaded.view('hyper').set(HYPER);
    return { label, plan, loaded, times: noTimes() };
  });
  const torch: Times = noTimes();
  for (let round = 0; round <= rounds; round++) {
    for (const { loaded, times } of rows) time(round === 0 ? noTimes() : times, () => runStep(loaded));
    if (typeof peers.torch !== 'string') append(round === 0 ? noTimes() : torch, await peers.torch.run('f32', 1, 1));
  }
  const clock = trustedClock(rows.map(({ times }) => times));
  const plain = present(rows[0], 'plain plan');
  console.log(`\n${name} on ${executor.description}, by ${clock} time`);
  const figures: Record<string, unknown> = { clock };
  for (const { label, plan, times } of rows) {
    const [ms, work] = [median(times[clock]), Math.round(plan.need.work / 2 ** 20)];
    const slower = round2(ms / median(plain.times[clock]));
    console.log(`  ${label.padEnd(26)} ${ms.toFixed(1).padStart(9)} ms  x${slower}  work ${work} MiB`);
    figures[label] = { ms: round2(ms), ofPlain: slower, workMiB: work };
  }
  figures.stepVsTorchF32 = ratio(torch, plain.times, clock);
  if (torch.wall.length > 0)
    console.log(`  torch f32                  ${median(torch[clock]).toFixed(1).padStart(9)} ms`);
  else figures.torchWhy = peers.torch;
  for (const peer of Object.values(peers)) if (typeof peer !== 'string') peer.close();
  await executor.close();
  return figures;
}

export async function main(args: readonly string[] = []): Promise<void> {
  const chosen = PRESET_NAMES.filter((name) => args.includes(name));
  const rounds = Number(args.find((arg) => arg.startsWith('rounds='))?.slice(7) ?? 5);
  const results: Record<string, unknown> = {};
  for (const name of chosen.length > 0 ? chosen : (['3.4m', '30m'] as const))
    results[name] = await measure(name, rounds, args.includes('only-us'));
  console.log(JSON.stringify(results));
}
