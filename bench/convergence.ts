// Measures what it costs in learning that k trainers meet only between rounds and send few bits: 1, 2, 4 and 8 trainers against
// one synchronous trainer with the same tokens in every step. `npm run bench -- convergence [tradeoff | one] [PRESET] [name=value ...]`.

import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { canonicalJson } from '../base/canonical-json.ts';
import { check, present } from '../base/check.ts';
import { unwrap } from '../base/fault.ts';
import { createNativeExecutor } from '../engine/native-executor.ts';
import type { ModelConfig } from '../trainer/model.ts';
import { PRESET_NAMES, customModel, preset } from '../trainer/presets.ts';
import { RESIDUAL_DECAY } from '../trainer/residual.ts';
import { SPARSE_SHAPE } from '../trainer/sparse-update.ts';
import { parameterBytes } from '../trainer/train-program.ts';
import { DEFAULT_VOCAB } from '../trainer/tokenizer-training.ts';
import { openText } from './ablation.ts';
import { type RunPlan, type RunResult, runPlan } from './convergence-run.ts';
import { linePlot } from './line-plot.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Finished runs, a line each: a campaign that was stopped goes on where it was. */
const DONE = join(ROOT, '.cache', 'convergence.jsonl');
const PLOT = join(ROOT, 'docs', 'decisions', '007-convergence.svg');
/** The campaign's last line, which the economy report reads. */
const SUMMARY = join(ROOT, 'docs', 'decisions', '007-convergence.json');
const HELD_OUT_SEQUENCES = 128;
/** Trainers and their outer step: about the square root of their number, for what they move is mostly their own noise, and a mean
 * of k has the k-th part of its variance. A given `eta` is that of eight. */
const OUTER_STEPS = [
  { trainers: 1, etaNumerator: 1, etaShift: 0 },
  { trainers: 2, etaNumerator: 3, etaShift: 1 },
  { trainers: 4, etaNumerator: 2, etaShift: 0 },
];

type Named = Readonly<{ name: string; plan: RunPlan }>;

/** Steps, sequences and the outer step of the campaign; each can be given as name=value. */
const DEFAULTS = {
  steps: 1_024,
  round: 4,
  batch: 8,
  capacity: 8,
  seed: 1,
  /** Peak learning rate in 1e-6. */
  rate: 3_000,
  /** eta = eta / 2^shift. */
  eta: 3,
  shift: 0,
  entries: SPARSE_SHAPE.entries,
  bits: SPARSE_SHAPE.valueBits,
  decay: RESIDUAL_DECAY,
  /** Heavy ball on the outer step, in 1/256. */
  momentum: 0,
  /** 1: moments are carried from round to round. */
  carry: 1,
  /** 1: a trainer starts from base less what it has not sent yet. */
  keep: 0,
  /** Eighths of each chunk that are sent as signs in place of codec 2; 0 none. */
  eighths: 0,
  /** 1: dense int8 in place of codec 2. */
  dense: 0,
  /** Rates at which the synchronous trainer runs, from the trainers' own on. */
  peers: 3,
  trainers: 8,
};

function settingOf(args: readonly string[], key: keyof typeof DEFAULTS): number {
  const given = args.find((arg) => arg.startsWith(`${key}=`))?.slice(key.length + 1);
  const value = Number(given ?? DEFAULTS[key]);
  check(Number.isInteger(value) && value >= 0, `${key}: a whole number`);
  return value;
}

function basePlan(args: readonly string[]): RunPlan {
  const of = (key: keyof typeof DEFAULTS): number => settingOf(args, key);
  return {
    preset:
      args.find((arg) => arg.startsWith('widths='))?.slice(7) ??
      PRESET_NAMES.find((each) => args.includes(each)) ??
      '0.3m',
    seed: of('seed'),
    trainers: of('trainers'),
    capacity: of('capacity'),
    batch: of('batch'),
    steps: of('steps'),
    roundSteps: of('round'),
    learningRateNano: 1_000 * of('rate'),
    shape: of('dense') === 1 ? null : { entries: of('entries'), valueBits: of('bits') },
    decay: of('decay'),
    etaNumerator: of('eta'),
    etaShift: of('shift'),
    momentum: of('momentum'),
    carry: of('carry') === 1,
    keep: of('keep') === 1,
    eighths: of('eighths'),
  };
}

function modelOf(plan: RunPlan): ModelConfig {
  const name = PRESET_NAMES.find((each) => each === plan.preset);
  return name === undefined ? unwrap(customModel(plan.preset, DEFAULT_VOCAB)).config : preset(name, DEFAULT_VOCAB);
}

/** Multiples of the trainers' peak rate that the synchronous trainer is given; the best of them is the peer. */
const PEER_RATES = [1, 1.5, 2];

/** What is not used by a run does not name it. */
function synchronous(plan: RunPlan, peers: number): Named[] {
  const unused = {
    roundSteps: plan.steps,
    shape: null,
    decay: 0,
    etaNumerator: 1,
    etaShift: 0,
    momentum: 0,
    carry: true,
    keep: false,
    eighths: 0,
  };
  return PEER_RATES.slice(0, peers).map((multiple) => {
    const learningRateNano = multiple * plan.learningRateNano;
    return {
      name: `synchronous, rate ${(learningRateNano / 1e9).toFixed(4)}`,
      plan: { ...plan, ...unused, learningRateNano, trainers: 0 },
    };
  });
}

function campaign(plan: RunPlan, peers: number): Named[] {
  return [
    ...synchronous(plan, peers),
    ...[...OUTER_STEPS, { trainers: 8 }].map((given) => ({
      name: `${given.trainers} trainer${given.trainers === 1 ? '' : 's'}`,
      plan: { ...plan, ...given },
    })),
    { name: '8 trainers, dense int8', plan: { ...plan, shape: null, decay: 0 } },
  ];
}

/** The plan that was asked for and nothing else, beside its peers. */
function one(plan: RunPlan, peers: number): Named[] {
  const before = plan.trainers === 0 ? [] : synchronous(plan, peers);
  const kind = plan.shape === null ? 'dense int8' : plan.eighths > 0 ? 'signs' : 'codec 2';
  return [...before, { name: plan.trainers === 0 ? 'synchronous' : `${plan.trainers}, ${kind}`, plan }];
}

/** Eight trainers under other shapes, outer steps and rounds: what each choice costs. */
function tradeOff(plan: RunPlan, peers: number): Named[] {
  const shapes = [
    [64, 2],
    [128, 2],
    [256, 2],
    [256, 3],
    [336, 2],
    [512, 2],
  ] as const;
  return [
    ...synchronous(plan, peers),
    { name: 'dense int8', plan: { ...plan, shape: null, decay: 0 } },
    ...shapes.map(([entries, valueBits]) => ({
      name: `${entries} of 4096, ${valueBits} bits`,
      plan: { ...plan, shape: { entries, valueBits } },
    })),
    ...[208, 256].map((decay) => ({ name: `decay ${decay}/256`, plan: { ...plan, decay } })),
    ...[1, 2, 4].map((etaNumerator) => ({ name: `eta ${etaNumerator}`, plan: { ...plan, etaNumerator, etaShift: 0 } })),
    ...[2, 8, 16].map((roundSteps) => ({ name: `${roundSteps} steps a round`, plan: { ...plan, roundSteps } })),
  ];
}

function readDone(): Map<string, RunResult> {
  const done = new Map<string, RunResult>();
  if (!existsSync(DONE)) return done;
  for (const line of readFileSync(DONE, 'utf8').split('\n')) {
    if (line === '') continue;
    const { plan, result } = JSON.parse(line) as { plan: RunPlan; result: RunResult };
    done.set(canonicalJson({ ...plan }), result);
  }
  return done;
}

const percent = (loss: number, base: number): string => `${((100 * (loss - base)) / base).toFixed(2)}%`;

type Finished = Named & Readonly<{ result: RunResult }>;

/** The best of the synchronous runs that are done. */
const peerLoss = (results: readonly Finished[]): number =>
  Math.min(...results.filter(({ plan }) => plan.trainers === 0).map(({ result }) => result.loss));

async function runAll(runs: readonly Named[], config: ModelConfig): Promise<Finished[]> {
  const data = openText(config.context);
  const executor = createNativeExecutor(1);
  if (typeof executor === 'string') throw new Error(executor);
  const clock = (): number => process.cpuUsage().user / 1e6;
  const done = readDone();
  mkdirSync(join(ROOT, '.cache'), { recursive: true });
  console.log(`data of ${data.sequences} sequences`);
  const f32Bytes = parameterBytes(config);
  const results: Finished[] = [];
  for (const { name, plan } of runs) {
    const key = canonicalJson({ ...plan });
    let result = done.get(key);
    if (result === undefined) {
      result = await runPlan(plan, { executor, config, data, heldOut: HELD_OUT_SEQUENCES, clock });
      appendFileSync(DONE, `${JSON.stringify({ plan, result })}\n`);
      done.set(key, result);
    }
    results.push({ name, plan, result });
    const ratio = result.updateBytes === 0 ? '-' : (f32Bytes / result.updateBytes).toFixed(1);
    console.log(
      `${name.padEnd(26)} held-out ${result.loss.toFixed(4)}  gap ${percent(result.loss, peerLoss(results)).padStart(7)}  update ${ratio.padStart(5)} times smaller  ${result.seconds.toFixed(0)} s of processor`,
    );
  }
  await executor.close();
  return results;
}

/** Prints a line a run and the gap of each to the best synchronous trainer. The campaign also draws the curves. Last line: JSON. */
export async function main(args: readonly string[] = []): Promise<void> {
  const plan = basePlan(args);
  const config = modelOf(plan);
  const tokens = plan.steps * plan.capacity * plan.batch * config.context;
  console.log(`${plan.preset}: ${plan.steps} steps, ${tokens} tokens, seed ${plan.seed}`);
  const part = args.find((arg) => arg === 'one' || arg === 'tradeoff') ?? 'campaign';
  const runs = { one, tradeoff: tradeOff, campaign }[part](plan, settingOf(args, 'peers'));
  const results = await runAll(runs, config);
  const base = peerLoss(results);
  const f32Bytes = parameterBytes(config);
  if (part !== 'campaign') {
    const rows = results.map(({ name, result }) => ({
      name,
      loss: result.loss,
      gap: (result.loss - base) / base,
      ratio: result.updateBytes === 0 ? null : f32Bytes / result.updateBytes,
    }));
    console.log(JSON.stringify({ rows }));
    return;
  }
  const lines = results.map(({ name, result }) => ({
    name,
    points: result.curve.filter(({ step }) => step > 0).map(({ step, loss }) => ({ x: step, y: loss })),
  }));
  writeFileSync(PLOT, linePlot('held-out loss, nats a token', 'steps', lines, base + 1.5));
  const ofTrainers = results.filter(({ plan: each }) => each.trainers > 0 && each.shape !== null);
  const eight = present(ofTrainers.at(-1), 'eight trainers').result;
  const summary = JSON.stringify({
    trainers: ofTrainers.map(({ plan: each }) => each.trainers),
    losses: ofTrainers.map(({ result }) => result.loss),
    synchronousLoss: base,
    lossGapAt8Trainers: Math.round((1e4 * (eight.loss - base)) / base) / 1e4,
    updateRatio: Math.round((10 * f32Bytes) / eight.updateBytes) / 10,
    tokens,
  });
  writeFileSync(SUMMARY, `${summary}\n`);
  console.log(summary);
}
