// Presets and sizes: their parameter counts, the nearest one, and models of given widths.

import test from 'ava';
import { checkModelConfig, parameterCount } from '../../trainer/model.ts';
import {
  PRESET_NAMES,
  type PresetName,
  customModel,
  parseModelSize,
  preset,
  presetFor,
} from '../../trainer/presets.ts';

const COUNTS: Readonly<Record<PresetName, number>> = {
  '0.3m': 328_256,
  '1m': 1_000_576,
  '3.4m': 3_426_560,
  '10m': 10_228_608,
  '30m': 30_550_528,
  '124m': 125_854_464,
  '350m': 348_177_408,
  '1b': 977_340_416,
};

/** Counted from the widths alone: embedding and head, four attention matrices, three of the gated layer, gains. */
function counted(name: PresetName): number {
  const { vocab, dim, layers, heads, kvHeads, ffn } = preset(name, 1024);
  const kv = (dim / heads) * kvHeads;
  return 2 * vocab * dim + layers * (2 * dim * dim + 2 * dim * kv + 3 * dim * ffn + 2 * dim) + dim;
}

test('every preset is a sound model with the number of parameters its widths give, near its name', (t) => {
  for (const name of PRESET_NAMES) {
    const config = preset(name, 1024);
    t.true(checkModelConfig(config).ok, name);
    t.is(parameterCount(config), counted(name), name);
    t.is(parameterCount(config), COUNTS[name], name);
    const named = parseModelSize(name);
    t.true(named.ok && Math.abs(parameterCount(config) / named.value - 1) < 0.15, name);
  }
});

test('presets go from a third of a million to a billion parameters, each at most five times the one before', (t) => {
  const counts = PRESET_NAMES.map((name) => parameterCount(preset(name, 1024)));
  for (const [i, count] of counts.entries()) {
    const before = counts[i - 1] ?? count / 2;
    t.true(count > before && count <= 5 * before);
  }
  t.true((counts[0] ?? 0) < 1e6 && (counts.at(-1) ?? 0) > 0.95e9);
});

test('the nearest preset is taken in ratio, and the note says which', (t) => {
  const cases: readonly [number, PresetName][] = [
    [10_000, '0.3m'],
    [1_000_000, '1m'],
    [5_000_000, '3.4m'],
    [60_000_000, '30m'],
    [10_000_000_000, '1b'],
  ];
  for (const [size, name] of cases) {
    const choice = presetFor(size, 1024);
    t.is(choice.name, name);
    t.regex(choice.note, new RegExp(`^model_size ${size}: taking preset ${name} with ${choice.parameters} parameters`));
  }
});

test('sizes are read as people write them', (t) => {
  for (const [text, size] of [
    ['1000000', 1e6],
    ['30m', 3e7],
    ['1.3B', 1.3e9],
    ['300k', 3e5],
  ] as const)
    t.deepEqual(parseModelSize(text), { ok: true, value: size });
  for (const text of ['', '0', 'm', '-3', '1e9', '30 m', '30mm', '9999999999']) {
    const read = parseModelSize(text);
    t.true(!read.ok && read.message.startsWith('model_size: must be a number of parameters'), text);
  }
});

test('widths of a model of one’s own are taken as they are, or refused by name', (t) => {
  const good = customModel('dim=96,layers=3,heads=6,kvHeads=2,ffn=256,context=64', 512);
  t.true(good.ok && good.value.parameters === parameterCount(good.value.config) && good.value.config.ffn === 256);
  const refusals: readonly [string, RegExp][] = [
    ['dim=96,layers=3,heads=6,kvHeads=2,ffn=256', /context is no whole number/],
    ['dim=96,layers=3,heads=6,kvHeads=2,ffn=256,context=64,depth=4', /unknown width depth/],
    ['dim=97,layers=3,heads=6,kvHeads=2,ffn=256,context=64', /model dim 97 must be heads 6/],
    ['dim=96,layers=3,heads=6,kvHeads=4,ffn=256,context=64', /heads 6 must be a multiple of kvHeads 4/],
    ['dim=96,layers=0,heads=6,kvHeads=2,ffn=256,context=64', /model layers must be a whole number from 1/],
    ['x'.repeat(300), /longer than 200/],
  ];
  for (const [text, message] of refusals) {
    const refused = customModel(text, 512);
    t.true(!refused.ok && message.test(refused.message), `${text}: ${refused.ok ? 'accepted' : refused.message}`);
  }
});
