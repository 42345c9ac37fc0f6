// Small rounds for tests: a dataset of a few chapters, rules, and a step that stands in for the engine where many rounds are
// wanted. Its arithmetic is simple but exact, and every state depends on all data, seeds and states before it.

import { utf8 } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import { sha256, taggedHash } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { prng } from '../../base/prng.ts';
import { DEFAULT_OUTER_STEP } from '../../trainer/aggregate.ts';
import { mobyDick, splitCorpus } from '../../trainer/corpus.ts';
import { type Dataset, buildDataset, openDataset } from '../../trainer/dataset.ts';
import { type SlotTask, createSlotTask } from '../../trainer/replay.ts';
import type { Carried } from '../../trainer/moments.ts';
import type { RoundSpec, TrainingRules } from '../../trainer/rules.ts';
import { DEFAULT_OPTIMIZER } from '../../trainer/schedule.ts';
import type { StepRunner } from '../../trainer/step-runner.ts';
import { trainTokenizer } from '../../trainer/tokenizer-training.ts';
import type { Codec } from '../../trainer/update.ts';

export function smallDataset(sequenceLength: number, vocab: number): Dataset {
  const corpus = splitCorpus('moby-dick, in part', mobyDick().slice(25, 40), []);
  const tokenizer = unwrap(
    trainTokenizer(
      corpus.train.map((document) => document.text),
      vocab,
    ),
  );
  const { manifest, bytes } = buildDataset(corpus, tokenizer, sequenceLength);
  return unwrap(openDataset(manifest, bytes));
}

export function smallRules(steps: number, batch: number, sequenceLength: number): TrainingRules {
  return {
    steps,
    batch,
    updates: 1,
    sequenceLength,
    schedule: { learningRateNano: 3_000_000, warmupSteps: 4, decaySteps: 100, floorBps: 1_000 },
    optimizer: DEFAULT_OPTIMIZER,
    outer: DEFAULT_OUTER_STEP,
    outerMomentum: 0,
    codec: 1,
    carryMoments: false,
    kernelSpec: sha256(utf8('kernel')),
    programHash: sha256(utf8('program')),
  };
}

/** A stand-in for the training program with `parameters` parameters. */
export function standInRunner(rows: number, parameters: number): StepRunner {
  const memory = new Float32Array(4 * parameters);
  const [params, first, second, gradients] = [0, 1, 2, 3].map((part) =>
    memory.subarray(part * parameters, (part + 1) * parameters),
  ) as [Float32Array, Float32Array, Float32Array, Float32Array];
  let loss = 0;
  return {
    rows,
    parameterBytes: 4 * parameters,
    state: new Uint8Array(memory.buffer, 0, 12 * parameters),
    gradients: new Uint8Array(memory.buffer, 12 * parameters),
    loss: () => loss,
    step({ sequences, seed, hyper }) {
      const data = sequences.map(
        (sequence) => new Uint8Array(sequence.buffer, sequence.byteOffset, sequence.byteLength),
      );
      const words = new Uint32Array(taggedHash('stand-in', new Uint8Array(seed.buffer), ...data).buffer);
      let sum = 0;
      for (let i = 0; i < parameters; i++) {
        const noise = (Math.imul((words[i % 8] as number) ^ i, 0x9e3779b1) >>> 0) / 2 ** 32 - 0.5;
        const gradient = Math.fround((params[i] as number) * 0.1 + noise);
        gradients[i] = gradient;
        first[i] = (first[i] as number) * 0.9 + gradient * 0.1;
        second[i] = (second[i] as number) * 0.95 + gradient * gradient * 0.05;
        params[i] =
          (params[i] as number) -
          ((hyper[0] as number) / (hyper[6] as number)) *
            ((first[i] as number) / (Math.sqrt(second[i] as number) + 1e-8));
        sum += params[i] as number;
      }
      loss = Math.fround(sum / parameters);
      return Number.isFinite(loss) ? { ok: true } : { ok: false, instruction: 0, op: 'adamW', reason: 'non-finite' };
    },
    close: () => {},
  };
}

export type FixtureOptions = Readonly<{
  seed?: string;
  slot?: number;
  capacities?: readonly number[];
  round?: number;
  parameters?: number;
  codec?: Codec;
  /** What the moments before the round are; a network that carries none when left out. */
  carried?: Carried;
  /** Parameters of the base; drawn from the seed when left out. */
  base?: Uint8Array;
}>;

const SEQUENCE = 16;
export const STEPS = 8;
const BATCH = 2;
export const dataset = smallDataset(SEQUENCE, 300);
export const rules = smallRules(STEPS, BATCH, SEQUENCE);

/** A round of stand-in steps; equal options give equal tasks, each with a runner of its own. */
export function standInTask(options: FixtureOptions = {}): SlotTask {
  const { seed = 'seed', slot = 0, capacities = [1, 2, 1], round = 7, parameters = 5_000, codec = 1 } = options;
  const { carried } = options;
  const random = prng(`base ${seed}`);
  const params = Float32Array.from({ length: parameters }, () => (random.u32() / 2 ** 32 - 0.5) * 0.1);
  const base = options.base ?? new Uint8Array(params.buffer);
  const spec: RoundSpec = {
    round,
    seed: sha256(utf8(`round ${seed}`)),
    baseRoot: stateRoot(base),
    baseVersion: 3,
    dataStart: 96,
    capacities,
  };
  const rows = present(capacities[slot], 'capacity') * BATCH;
  return createSlotTask({
    spec,
    slot,
    rules: { ...rules, codec, carryMoments: carried !== undefined },
    ...(carried === undefined ? {} : { carried }),
    dataset,
    runner: standInRunner(rows, parameters),
    base,
  });
}
