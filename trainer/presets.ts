// Owns the named model sizes and the choice among them. What the widths mean is model.ts.

import { present } from '../base/check.ts';
import { type ModelConfig, parameterCount } from './model.ts';

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

/** `note` is a line for a log that says which preset was taken for the size asked for. */
export type PresetChoice = Readonly<{ name: PresetName; config: ModelConfig; parameters: number; note: string }>;

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
