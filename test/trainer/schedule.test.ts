// Shows that the step numbers follow their formulas and are f32 values.

import test from 'ava';
import { sha256 } from '../../base/hash.ts';
import { utf8 } from '../../base/bytes.ts';
import { DEFAULT_OUTER_STEP } from '../../trainer/aggregate.ts';
import {
  DEFAULT_OPTIMIZER,
  biasCorrection,
  fallingHalfCosine,
  hyperParameters,
  learningRate,
  roundingSeed,
} from '../../trainer/schedule.ts';

const schedule = { learningRateNano: 3_000_000, warmupSteps: 10, decaySteps: 100, floorBps: 1_000 };

test('the half cosine is the cosine within 1e-9 and falls all the way', (t) => {
  let before = 2;
  for (let i = 0; i <= 1_000; i++) {
    const value = fallingHalfCosine(i / 1_000);
    t.true(Math.abs(value - (1 + Math.cos((Math.PI * i) / 1_000)) / 2) < 1e-9);
    t.true(value < before);
    before = value;
  }
});

test('the learning rate rises, falls by half a cosine, and stays at the floor', (t) => {
  t.is(learningRate(schedule, 0), Math.fround(0.0003));
  t.is(learningRate(schedule, 9), Math.fround(0.003));
  t.true(Math.abs(learningRate(schedule, 60) - 0.00165) < 1e-9);
  t.is(learningRate(schedule, 110), Math.fround(0.0003));
  t.is(learningRate(schedule, 1e9), Math.fround(0.0003));
  t.is(learningRate({ ...schedule, decaySteps: 0 }, 1e9), Math.fround(0.003));
  t.is(learningRate({ ...schedule, warmupSteps: 0, decaySteps: 0 }, 0), Math.fround(0.003));
});

test('hyper-parameters are eight f32 numbers, bias corrections by repeated f32 products', (t) => {
  const hyper = hyperParameters(schedule, DEFAULT_OPTIMIZER, 100, 2);
  t.is(hyper.length, 8);
  const beta = Math.fround(0.9);
  t.is(hyper[5], Math.fround(1 - Math.fround(Math.fround(beta * beta) * beta)));
  t.is(biasCorrection(beta, 1), Math.fround(1 - beta));
  t.is(hyper[0], learningRate(schedule, 102));
  t.is(DEFAULT_OUTER_STEP.outerEtaNumerator, 1);
});

test('rounding seeds differ by round, slot and step', (t) => {
  const seed = sha256(utf8('round'));
  const seen = new Set<string>();
  for (let slot = 0; slot < 8; slot++) {
    for (let step = 0; step < 8; step++) seen.add(roundingSeed(seed, slot, step).join());
  }
  seen.add(roundingSeed(sha256(seed), 0, 0).join());
  t.is(seen.size, 65);
});
