// Owns the named model sizes, the choice among them, and widths given one by one. What the widths mean is model.ts.

import { present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { type ModelConfig, checkModelConfig, parameterCount } from './model.ts';

export type PresetName = '0.3m' | '1m' | '3.4m' | '10m' | '30m' | '124m' | '350m' | '1b';

type Widths = Omit<ModelConfig, 'vocab' | 'ropeTheta'>;

/** Sizes with a vocabulary of 1024; 3.4m is the reference model of all published figures. Widths are multiples of 16. */
const PRESETS: Readonly<Record<PresetName, Widths>> = {
  '0.3m': { dim: 64, layers: 4, heads: 4, kvHeads: 2, ffn: 192, context: 128 },
  '1m': { dim: 128, layers: 4, heads: 4, kvHeads: 2, ffn: 352, context: 128 },
  '3.4m': { dim: 256, layers: 4, heads: 4, kvHeads: 2, ffn: 688, context: 128 },
  '10m': { dim: 384, layers: 6, heads: 6, kvHeads: 2, ffn: 1024, context: 256 },
  '30m': { dim: 512, layers: 10, heads: 8, kvHeads: 4, ffn: 1408, context: 512 },
  '124m': { dim: 768, layers: 16, heads: 12, kvHeads: 4, ffn: 2688, context: 1024 },
  '350m': { dim: 1024, layers: 24, heads: 16, kvHeads: 4, ffn: 3840, context: 2048 },
  '1b': { dim: 2048, layers: 16, heads: 32, kvHeads: 8, ffn: 8192, context: 2048 },
};

export const PRESET_NAMES = Object.keys(PRESETS) as PresetName[];

const ROPE_THETA = 10_000;

/** The configuration of a preset with `vocab` tokens. */
export function preset(name: PresetName, vocab: number): ModelConfig {
  return { vocab, ...PRESETS[name], ropeTheta: ROPE_THETA };
}

/** `note` is a line for a log that says which preset was taken for the size asked for; no name where widths were given. */
export type PresetChoice = Readonly<{ name: PresetName | null; config: ModelConfig; parameters: number; note: string }>;

/** The preset nearest in ratio to `modelSize`, a number of parameters above 0; the smaller one of a tie. */
export function presetFor(modelSize: number, vocab: number): PresetChoice {
  const choices = PRESET_NAMES.map((name) => {
    const config = preset(name, vocab);
    return { name, config, parameters: parameterCount(config) };
  });
  const distance = (parameters: number): number =>
    Math.max(parameters, modelSize) / Math.max(1, Math.min(parameters, modelSize));
  const nearest = choices.reduce((best, next) => (distance(next.parameters) < distance(best.parameters) ? next : best));
  const choice = present(nearest, 'preset');
  const { name, parameters } = choice;
  const note = `model_size ${modelSize}: taking preset ${name} with ${parameters} parameters, the nearest there is`;
  return { ...choice, note };
}

const SIZE = /^(\d{1,9}(?:\.\d{1,3})?)([kmb]?)$/i;
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, b: 1e9 };

/** Parameters of a size as people write it: 1000000, 30m, 1.3B, or the name of a preset. Fault 'model/size'. */
export function parseModelSize(text: string): Result<number> {
  const match = SIZE.exec(text);
  const size = Math.round(Number(match?.[1] ?? 0) * (UNITS[(match?.[2] ?? '').toLowerCase()] ?? 0));
  if (size >= 1) return success(size);
  return fault(
    'model/size',
    `model_size: must be a number of parameters such as 1000000, 30m or 1b, not ${text.slice(0, 40)}`,
  );
}

const WIDTHS = ['dim', 'layers', 'heads', 'kvHeads', 'ffn', 'context'] as const;

/**
 * A model of widths written `dim=512,layers=8,heads=8,kvHeads=4,ffn=1408,context=512`, all of them. Faults name what is
 * missing, unknown or out of bounds.
 */
export function customModel(text: string, vocab: number): Result<PresetChoice> {
  const refuse = (why: string) => fault('model/widths', `model_widths: ${why}; write ${WIDTHS.join('=N,')}=N`);
  if (text.length > 200) return refuse('longer than 200 characters');
  const widths = new Map(text.split(',').map((part) => [part.split('=')[0] ?? '', part.split('=')[1]] as const));
  for (const name of widths.keys())
    if (!(WIDTHS as readonly string[]).includes(name)) return refuse(`unknown width ${name.slice(0, 40)}`);
  const numbers = WIDTHS.map((name) => [name, Number(widths.get(name) ?? Number.NaN)] as const);
  const missing = numbers.find(([, value]) => !Number.isInteger(value));
  if (missing !== undefined) return refuse(`${missing[0]} is no whole number`);
  const config = { vocab, ...(Object.fromEntries(numbers) as Widths), ropeTheta: ROPE_THETA };
  const checked = checkModelConfig(config);
  if (!checked.ok) return checked;
  const parameters = parameterCount(config);
  return success({ name: null, config, parameters, note: `model of given widths with ${parameters} parameters` });
}
