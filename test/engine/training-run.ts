// Owns a short training run: as a digest, the same on every backend or somebody is wrong, and as single steps.

import { toHex, utf8 } from '../../base/bytes.ts';
import { check } from '../../base/check.ts';
import { sha256 } from '../../base/hash.ts';
import { type Prng, prng } from '../../base/prng.ts';
import type { Executor, LoadedProgram } from '../../engine/executor.ts';
import { type NumericProfile, inProfile } from '../../engine/profile.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import type { BatchShape, ModelConfig } from '../../trainer/model.ts';
import { buildTrainProgram, fillConstants } from '../../trainer/train-program.ts';
import type { Case } from './cases.ts';

/** Small enough for the scalar oracle and an emulator to follow. */
export const TINY: ModelConfig = {
  vocab: 32,
  dim: 24,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  ffn: 40,
  context: 9,
  ropeTheta: 10_000,
};
export const TINY_SHAPE: BatchShape = { batch: 2, seq: 9 };

function start(
  executor: Executor,
  config: ModelConfig,
  shape: BatchShape,
  seed: string,
  profile: NumericProfile,
): LoadedProgram {
  const loaded = executor.load(inProfile(buildTrainProgram(config, shape), profile));
  loaded.stateBytes().set(initialWeights(config, sha256(utf8(seed))));
  fillConstants(loaded, config, shape);
  return loaded;
}

type Powers = { beta1: number; beta2: number };

/** Inputs of the next step. The next token follows from the one before, so there is something to learn. */
function feed(loaded: LoadedProgram, { vocab }: ModelConfig, { seq }: BatchShape, data: Prng, powers: Powers): void {
  powers.beta1 *= 0.9;
  powers.beta2 *= 0.95;
  const [tokens, targets] = [loaded.view('tokens'), loaded.view('targets')];
  for (let i = 0; i < tokens.length; i++) {
    const token = i % seq === 0 ? data.below(vocab) : (targets[i - 1] ?? 0);
    tokens[i] = token;
    targets[i] = (token * 5 + 1 + data.below(2)) % vocab;
  }
  loaded.view('seed').set([data.u32() | 0, data.u32() | 0]);
  loaded.view('hyper').set([3e-3, 0.9, 0.95, 1e-8, 0.1, 1 - powers.beta1, 1 - powers.beta2, 1]);
}

function run(loaded: LoadedProgram, step: number): void {
  const outcome = loaded.run();
  check(outcome.ok, `step ${step}: ${outcome.ok ? '' : `${outcome.op} ${outcome.reason}`}`);
}

/** SHA-256 over every loss and norm and the final state of `steps` steps on tokens fixed by the seed. */
export function trainingDigest(
  executor: Executor,
  config: ModelConfig,
  shape: BatchShape,
  steps: number,
  seed: string,
  profile: NumericProfile = 'i8',
): string {
  const data = prng(`${seed} training`);
  const loaded = start(executor, config, shape, seed, profile);
  const seen: string[] = [];
  const powers = { beta1: 1, beta2: 1 };
  for (let step = 0; step < steps; step++) {
    feed(loaded, config, shape, data, powers);
    run(loaded, step);
    seen.push(`${loaded.view('loss')[0]} ${loaded.view('gradNorm')[0]}`);
  }
  const digest = toHex(sha256(utf8(seen.join('\n')), loaded.stateBytes().slice()));
  loaded.close();
  return digest;
}

/** The steps of a run of the tiny model, each as a case of its own with the state it starts from. */
export function trainingCases(executor: Executor, steps: number, seed: string): Case[] {
  const data = prng(`${seed} training`);
  const loaded = start(executor, TINY, TINY_SHAPE, seed, 'i8');
  const { program } = loaded;
  const given = program.tensors.filter(({ role }) => role === 'state' || role === 'input');
  const powers = { beta1: 1, beta2: 1 };
  const cases: Case[] = [];
  for (let step = 0; step < steps; step++) {
    feed(loaded, TINY, TINY_SHAPE, data, powers);
    cases.push({
      op: 'adamW',
      program,
      data: Object.fromEntries(given.map(({ name }) => [name, loaded.view(name).slice()])),
    });
    run(loaded, step);
  }
  loaded.close();
  return cases;
}
