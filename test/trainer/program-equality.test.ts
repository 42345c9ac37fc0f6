// Checks that whole training steps and decode runs have equal bits on every backend and thread count, over random models.

import test from 'ava';
import { sha256 } from '../../base/hash.ts';
import { toHex, utf8 } from '../../base/bytes.ts';
import { type Prng, prng } from '../../base/prng.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import type { TensorProgram } from '../../engine/program.ts';
import { SLOT_INPUT, buildDecodeProgram, fillDecodeConstants } from '../../trainer/decode-program.ts';
import { initialWeights } from '../../trainer/initial-weights.ts';
import type { BatchShape, ModelConfig } from '../../trainer/model.ts';
import { buildTrainProgram, fillConstants } from '../../trainer/train-program.ts';
import { SHAPE, TINY, seedOf } from './tiny-model.ts';

const SEED = 'program equality 1';
const STEPS = 3;

let executors: readonly Executor[] = [];
test.before(async () => {
  executors = await Promise.all([
    createExecutor({ backend: 'scalar' }),
    createExecutor({ backend: 'wasm', threads: 1 }),
    createExecutor({ backend: 'wasm', threads: 2 }),
    createExecutor({ backend: 'auto', threads: 1 }),
  ]);
});
test.after.always(() => Promise.all(executors.map((executor) => executor.close())));

function randomModel(random: Prng): ModelConfig {
  const kvHeads = 1 + random.below(3);
  const heads = kvHeads * (1 + random.below(3));
  const dim = heads * 2 * (1 + random.below(6));
  const [vocab, layers, ffn] = [5 + random.below(60), 1 + random.below(2), 1 + random.below(70)];
  return { vocab, dim, layers, heads, kvHeads, ffn, context: 17, ropeTheta: 100 + random.below(10_000) };
}

/** Digests of all state after some steps, losses included. */
function trainDigest(executor: Executor, config: ModelConfig, shape: BatchShape, data: Prng): string {
  const loaded = executor.load(buildTrainProgram(config, shape));
  loaded.stateBytes().set(initialWeights(config, seedOf('equal')));
  fillConstants(loaded, config, shape);
  const seen: Uint8Array[] = [];
  let [beta1Power, beta2Power] = [1, 1];
  for (let step = 0; step < STEPS; step++) {
    beta1Power *= 0.9;
    beta2Power *= 0.95;
    for (const name of ['tokens', 'targets']) fillTokens(loaded.view(name), config, data);
    loaded.view('seed').set([data.u32() | 0, data.u32() | 0]);
    loaded.view('hyper').set([1e-2, 0.9, 0.95, 1e-8, 0.1, 1 - beta1Power, 1 - beta2Power, 1]);
    const outcome = loaded.run();
    if (!outcome.ok) throw new Error(`${outcome.op} ${outcome.reason}`);
    seen.push(loaded.stateBytes().slice(), utf8(`${loaded.view('loss')[0]} ${loaded.view('gradNorm')[0]}`));
  }
  loaded.close();
  return toHex(sha256(...seen));
}

function fillTokens(view: Float32Array | Int32Array, { vocab }: ModelConfig, data: Prng): void {
  for (let i = 0; i < view.length; i++) view[i] = data.below(vocab);
}

function decodeDigest(executor: Executor, config: ModelConfig, data: Prng): string {
  const shape = { rows: 3, slots: 2 };
  const loaded = executor.load(buildDecodeProgram(config, shape));
  loaded.stateBytes().set(initialWeights(config, seedOf('equal')));
  fillDecodeConstants(loaded, config);
  const seen: Uint8Array[] = [];
  for (let position = 0; position < 6; position++) {
    fillTokens(loaded.view('tokens'), config, data);
    loaded.view('positions').fill(position);
    loaded.view(SLOT_INPUT).set([0, 1, 2]);
    const outcome = loaded.run();
    if (!outcome.ok) throw new Error(`${outcome.op} ${outcome.reason}`);
    seen.push(new Uint8Array(loaded.view('logits').slice().buffer));
  }
  loaded.close();
  return toHex(sha256(...seen));
}

test.serial('random models train and decode to equal bits on every backend and thread count', (t) => {
  const random = prng(SEED);
  const cases = 12;
  for (let i = 0; i < cases; i++) {
    const config = randomModel(random);
    const shape = { batch: 1 + random.below(3), seq: 1 + random.below(17) };
    const digests = executors.map((executor) => [
      trainDigest(executor, config, shape, prng(`${SEED} ${i}`)),
      decodeDigest(executor, config, prng(`${SEED} ${i}`)),
    ]);
    for (const digest of digests) t.deepEqual(digest, digests[0], JSON.stringify({ config, shape }));
  }
  const names = executors.map(({ description }) => description).join('; ');
  t.log(`${cases} models, seed "${SEED}", ${STEPS} steps each on: ${names}`);
});

const listing = ({ tensors, instructions }: TensorProgram): string =>
  JSON.stringify([tensors.map(({ name, shape, role }) => [name, shape, role]), instructions]);

test('the instructions of a step and of a decode run are part of the protocol: a change of either shows here', (t) => {
  t.is(
    toHex(sha256(utf8(listing(buildTrainProgram(TINY, SHAPE))))),
    '0xd109f27a1cf5049a68d84b1739ec9d0fe2d9addca14c93bf3d1879307152a732',
  );
  t.is(
    toHex(sha256(utf8(listing(buildDecodeProgram(TINY, { rows: 4, slots: 2 }))))),
    '0x08f4c0b85f4d0d524c115c48e57b130649a92a0b3c2247f4bbdfe8c03cb239b0',
  );
});
