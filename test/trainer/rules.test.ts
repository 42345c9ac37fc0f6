// Shows that training configurations are read strictly, and pins the protocol's derived values: a change here is a change of
// the protocol, and breaks every network that runs.

import test from 'ava';
import { toHex, utf8 } from '../../base/bytes.ts';
import { unwrap } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { DEFAULT_OUTER_STEP, aggregate } from '../../trainer/aggregate.ts';
import { loadCorpus } from '../../trainer/corpus.ts';
import { createDataOrder } from '../../trainer/data-order.ts';
import { buildDataset, manifestHash } from '../../trainer/dataset.ts';
import {
  chainNext,
  chainStart,
  decodeLeaves,
  encodeLeaves,
  lossBitsOf,
  lossOfBits,
  stepLeafHash,
} from '../../trainer/leaf.ts';
import {
  type TrainingConfig,
  checkRound,
  parseTrainingConfig,
  trainingConfigHash,
  trainingConfigText,
} from '../../trainer/rules.ts';
import { drawSample } from '../../trainer/sample.ts';
import { DEFAULT_OPTIMIZER, hyperParameters, roundingSeed } from '../../trainer/schedule.ts';
import { trainTokenizer } from '../../trainer/tokenizer-training.ts';
import { decodeUpdate, encodeUpdate } from '../../trainer/update.ts';
import { rules, standInTask } from './round-fixture.ts';

const config: TrainingConfig = {
  version: 1,
  model: { vocab: 1_024, dim: 64, layers: 4, heads: 4, kvHeads: 2, ffn: 192, context: 128, ropeTheta: 10_000 },
  optimizer: DEFAULT_OPTIMIZER,
  updateCodec: 1,
};
const one = sha256(utf8('one'));
const two = sha256(utf8('two'));
const short = (bytes: Uint8Array) => toHex(bytes.subarray(0, 8));

test('a training configuration reads back; anything else is refused by the name of the field', (t) => {
  const text = trainingConfigText(config);
  t.deepEqual(unwrap(parseTrainingConfig(text)), config);
  const carrying = { ...config, carryMoments: true } as const;
  t.deepEqual(unwrap(parseTrainingConfig(trainingConfigText(carrying))), carrying);
  const refusals: [string, RegExp][] = [
    ['', /not JSON/],
    ['null', /version/],
    ['{"version":1}', /model/],
    [text.replace('"version":1', '"version":2'), /version/],
    [text.replace('"dim":64', '"dim":65'), /dim/],
    [text.replace('"epsNano":10', '"epsNano":-1'), /optimizer.epsNano/],
    [text.replace('"beta1Nano":900000000', '"beta1Nano":1000000000'), /beta/],
    [text.replace('"updateCodec":1', '"updateCodec":3'), /updateCodec/],
    [text.replace('{"model"', '{"carryMoments":false,"model"'), /carryMoments/],
    [text.replace('{"model"', '{"extra":1,"model"'), /canonical/],
    [`${text}${' '.repeat(5_000)}`, /longer/],
  ];
  for (const [input, message] of refusals) {
    const result = parseTrainingConfig(input);
    t.false(result.ok, input.slice(0, 60));
    if (!result.ok) t.regex(result.message, message);
  }
});

test('rounds outside the limits are defects', (t) => {
  const { spec } = standInTask();
  t.notThrows(() => checkRound(spec, 0, rules));
  for (const wrong of [
    () => checkRound(spec, 3, rules),
    () => checkRound(spec, -1, rules),
    () => checkRound({ ...spec, capacities: [65] }, 0, rules),
    () => checkRound({ ...spec, capacities: new Array<number>(65).fill(1) }, 0, rules),
    () => checkRound({ ...spec, seed: new Uint8Array(31) }, 0, rules),
    () => checkRound({ ...spec, dataStart: -1 }, 0, rules),
    () => checkRound(spec, 0, { ...rules, steps: 1_025 }),
    () => checkRound(spec, 0, { ...rules, batch: 0 }),
  ]) {
    t.throws(wrong);
  }
});

test('leaves travel in 68 bytes each, and loss bits are those of the f32', (t) => {
  const leaves = [
    { stateRoot: one, gradRoot: two, lossBits: lossBitsOf(Math.fround(6.93)) },
    { stateRoot: two, gradRoot: one, lossBits: 0xffff_ffff },
  ];
  const bytes = encodeLeaves(leaves);
  t.is(bytes.length, 136);
  t.deepEqual(unwrap(decodeLeaves(bytes, 2)), leaves);
  for (const steps of [1, 3]) t.false(decodeLeaves(bytes, steps).ok);
  t.is(lossOfBits(lossBitsOf(1.5)), 1.5);
});

test('derived values are pinned', (t) => {
  const origin = { round: 3, seed: one, baseRoot: two, slot: 1 };
  const leaf = { step: 5, stateRoot: one, dataRoot: two, gradRoot: one, lossBits: 0x40dd_c28f };
  const order = createDataOrder(one, 31_224);
  const schedule = { learningRateNano: 3_000_000, warmupSteps: 64, decaySteps: 20_000, floorBps: 1_000 };
  const base = Float32Array.from({ length: 5_000 }, (_, i) => Math.fround(((i * 37) % 101) / 1_000));
  const updates = [3, 7, 11].map((factor, slot) => {
    const final = base.map((value, i) => value - ((i * factor) % 13) / 4_096);
    return { update: unwrap(decodeUpdate(encodeUpdate(base, final) ?? new Uint8Array(0), 5_000)), capacity: slot + 1 };
  });
  t.deepEqual(
    {
      config: short(trainingConfigHash(config)),
      leaf: short(stepLeafHash(leaf)),
      chain: short(chainNext(chainStart(origin), two)),
      order: [0, 1, 2, 31_224, 62_448].map((position) => order.sequenceAt(position)),
      seed: [...roundingSeed(one, 2, 3)],
      hyper: short(
        sha256(
          ...[0, 63, 64, 10_000, 30_000].map((step) => bytesOf(hyperParameters(schedule, DEFAULT_OPTIMIZER, step, 9))),
        ),
      ),
      sample: drawSample(one, 32, 4),
      update: short(
        sha256(
          encodeUpdate(
            base,
            base.map((value, i) => value * (i % 7)),
          ) ?? new Uint8Array(0),
        ),
      ),
      model: short(aggregate(base, updates, DEFAULT_OUTER_STEP).modelRoot),
    },
    {
      config: '0xca169e9146ccd10d',
      leaf: '0x5baf2db1187dbfbb',
      chain: '0xa8dfb90279b1f77c',
      order: [2_686, 29_709, 30_207, 2_197, 8_067],
      seed: [1_909_334_506, -2_133_599_718],
      hyper: '0x169eb3e0d265ed98',
      sample: [3, 11, 19, 30],
      update: '0x80dbf3fc107c1d2f',
      model: '0xc3c5f50abd0d7079',
    },
  );
});

test('the default corpus, its tokenizer and its roots are pinned', (t) => {
  const corpus = loadCorpus();
  const tokenizer = unwrap(
    trainTokenizer(
      corpus.train.map((document) => document.text),
      1_024,
    ),
  );
  const { manifest } = buildDataset(corpus, tokenizer, 128);
  t.deepEqual(
    {
      tokenizer: short(tokenizer.hash),
      manifest: short(manifestHash(manifest)),
      train: [manifest.train.sequences, manifest.train.root.slice(0, 18)],
      heldOut: [manifest.heldOut.sequences, manifest.heldOut.root.slice(0, 18)],
    },
    {
      tokenizer: '0xd86e21dcca202a8f',
      manifest: '0x101d29e2704ed34d',
      train: [31_224, '0x7cfcb4b926383642'],
      heldOut: [912, '0x4e628005d9822c8e'],
    },
  );
});

function bytesOf(floats: Float32Array): Uint8Array {
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}
