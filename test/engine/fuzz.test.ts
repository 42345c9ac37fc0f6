// A sample of the fuzzing campaign (fuzz.ts), and what refusals say of corrupted models and steps that leave their range.

import test from 'ava';
import { toHex, utf8 } from '../../base/bytes.ts';
import { sha256 } from '../../base/hash.ts';
import { stateRoot } from '../../base/merkle.ts';
import { createExecutor } from '../../engine/executor.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../trainer/checkpoint.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import { DEFAULT_OPTIMIZER, hyperParameters, roundingSeed } from '../../trainer/schedule.ts';
import { createStepRunner, floats, startFromBase } from '../../trainer/step-runner.ts';
import { fuzz } from './fuzz.ts';
import { TINY, TINY_SHAPE } from './training-run.ts';

const INPUTS = Number(process.env.FUZZ_INPUTS ?? 4_000);
const SEED = process.env.FUZZ_SEED ?? 'suite';

test('no decoder throws, reads past its input, or accepts bytes that are not canonical', async (t) => {
  const { accepted, refused, wrong } = await fuzz(SEED, INPUTS);
  t.deepEqual(wrong, [], `seed ${SEED}`);
  t.true(accepted > INPUTS / 50 && refused > INPUTS / 4);
  t.log(`${INPUTS} inputs, seed ${SEED}: ${accepted} accepted, ${refused} refused`);
});

const key = sha256(utf8('corrupt'));
const params = initialWeights(TINY, key);
const zero = toHex(new Uint8Array(32));
const hashes = { baseRoot: zero, datasetHash: zero, tokenizerHash: zero, kernelSpec: zero, programHash: zero };
const file = encodeCheckpoint(TINY, params, { chainId: 1n, round: 0, version: 0, ...hashes });

test('a checkpoint with one changed bit in a weight, or of another shape, is refused by what is wrong', (t) => {
  const root = stateRoot(params);
  t.true(decodeCheckpoint(TINY, file, root).ok);
  const changed = file.slice();
  changed[changed.length - 3] = (changed.at(-3) ?? 0) ^ 1;
  const bit = decodeCheckpoint(TINY, changed, root);
  t.true(!bit.ok && /^checkpoint: model root is 0x[0-9a-f]{64}, not 0x[0-9a-f]{64}$/.test(bit.message));
  const wider = decodeCheckpoint({ ...TINY, vocab: 33 }, file, root);
  t.true(!wider.ok && /^checkpoint: tensor model.embed_tokens.weight has shape 32,24, not 33,24$/.test(wider.message));
  const deeper = decodeCheckpoint({ ...TINY, layers: 3 }, file, root);
  t.true(!deeper.ok && /^checkpoint: \d+ tensors, the model has \d+$/.test(deeper.message));
  const short = decodeCheckpoint(TINY, file.subarray(0, file.length - 4), root);
  t.true(!short.ok && short.message !== '');
});

type Change = (state: Float32Array, sequences: Uint16Array[]) => void;
const CHANGES: readonly (readonly [string, Change, string, string])[] = [
  ['a NaN in the embedding', (state) => state.fill(Number.NaN, 0, 24 * 32), 'embed', 'non-finite'],
  ['an infinite moment', (state) => state.fill(Number.POSITIVE_INFINITY, params.length / 4), 'adamW', 'non-finite'],
  [
    'weights so large that products leave f32',
    (state) => state.fill(3e38, 0, params.length / 4),
    'rmsNormGradX',
    'non-finite',
  ],
  ['a token outside the vocabulary', (_, sequences) => sequences[0]?.fill(40, 0, 1), 'embed', 'bad-index'],
];

for (const [title, change, op, reason] of CHANGES) {
  test(`a training step with ${title} is refused at ${op}: ${reason}`, async (t) => {
    for (const backend of ['wasm', 'auto'] as const) {
      const executor = await createExecutor({ backend });
      const runner = createStepRunner(executor, TINY, TINY_SHAPE);
      startFromBase(runner, params);
      const sequences = Array.from({ length: 2 }, () => Uint16Array.from({ length: 10 }, (_, i) => (3 * i) % 32));
      change(floats(runner.state), sequences);
      const schedule = { learningRateNano: 1_000_000, warmupSteps: 0, decaySteps: 0, floorBps: 0 };
      const hyper = hyperParameters(schedule, DEFAULT_OPTIMIZER, 0, 0);
      const outcome = runner.step({ sequences, seed: roundingSeed(key, 0, 0), hyper });
      t.true(
        !outcome.ok && outcome.op === op && outcome.reason === reason,
        `${executor.description}: ${JSON.stringify(outcome)}`,
      );
      runner.close();
      await executor.close();
    }
  });
}
