// Owns a short training run as a digest: the same on every backend or somebody is wrong.

import { toHex, utf8 } from '../../base/bytes.ts';
import { check } from '../../base/check.ts';
import { sha256 } from '../../base/hash.ts';
import { prng } from '../../base/prng.ts';
import type { Executor } from '../../engine/executor.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import type { BatchShape, ModelConfig } from '../../trainer/model.ts';
import { buildTrainProgram, fillConstants } from '../../trainer/train-program.ts';

/** SHA-256 over every loss and norm and the final state of `steps` steps on tokens fixed by the seed. */
export function trainingDigest(
  executor: Executor,
  config: ModelConfig,
  shape: BatchShape,
  steps: number,
  seed: string,
): string {
  const data = prng(`${seed} training`);
  const loaded = executor.load(buildTrainProgram(config, shape));
  loaded.stateBytes().set(initialWeights(config, sha256(utf8(seed))));
  fillConstants(loaded, config, shape);
  const seen: string[] = [];
  let [beta1Power, beta2Power] = [1, 1];
  for (let step = 0; step < steps; step++) {
    beta1Power *= 0.9;
    beta2Power *= 0.95;
    const [tokens, targets] = [loaded.view('tokens'), loaded.view('targets')];
    // The next token follows from the one before, so there is something to learn and gradients keep their size.
    for (let i = 0; i < tokens.length; i++) {
      const token = i % shape.seq === 0 ? data.below(config.vocab) : (targets[i - 1] ?? 0);
      tokens[i] = token;
      targets[i] = (token * 5 + 1 + data.below(2)) % config.vocab;
    }
    loaded.view('seed').set([data.u32() | 0, data.u32() | 0]);
    loaded.view('hyper').set([3e-3, 0.9, 0.95, 1e-8, 0.1, 1 - beta1Power, 1 - beta2Power, 1]);
    const outcome = loaded.run();
    check(outcome.ok, `step ${step}: ${outcome.ok ? '' : `${outcome.op} ${outcome.reason}`}`);
    seen.push(`${loaded.view('loss')[0]} ${loaded.view('gradNorm')[0]}`);
  }
  const digest = toHex(sha256(utf8(seen.join('\n')), loaded.stateBytes().slice()));
  loaded.close();
  return digest;
}
