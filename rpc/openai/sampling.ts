// Owns the sampling fields that chat completions, completions and responses share: ranges, defaults, stop strings, seeds.

import { toBigInt } from '../../base/bytes.ts';
import type { JsonObject } from '../json.ts';
import type { RpcLimits } from '../limits.ts';
import type { Entropy } from '../ports.ts';
import { refuse } from './api-error.ts';
import { flagOf, numberIn, objectOf, wholeIn } from './fields.ts';

export type Sampling = Readonly<{
  temperature: number;
  topP: number;
  frequencyPenalty: number;
  presencePenalty: number;
  logitBias: ReadonlyMap<number, number>;
  stop: readonly string[];
  seed: number;
  n: number;
  stream: boolean;
  /** A last chunk with token counts (stream_options.include_usage). */
  includeUsage: boolean;
}>;

/** Highest token count a client may name; what does not fit the context is cut to it. */
export const MAX_TOKENS_NAMED = 1_000_000;

/** Sampling knobs of other servers: to drop them silently would give another distribution than asked for. */
export const FOREIGN_SAMPLING: readonly string[] = [
  'top_k',
  'min_p',
  'typical_p',
  'repetition_penalty',
  'mirostat',
  'grammar',
  'guided_json',
  'guided_regex',
  'guided_choice',
  'use_beam_search',
];

/** Half a UTF-16 pair: as a stop string it would split characters. */
const LONE_SURROGATE = /\p{Surrogate}/u;

export function sampling(body: JsonObject, entropy: Entropy, limits: RpcLimits): Sampling {
  const stream = flagOf(body, 'stream');
  const options = objectOf(body, 'stream_options');
  if (options !== null && !stream) throw refuse('stream_options', 'stream_options: only allowed when stream is true');
  return {
    temperature: numberIn(body, 'temperature', 0, 2) ?? 1,
    topP: topP(body),
    frequencyPenalty: numberIn(body, 'frequency_penalty', -2, 2) ?? 0,
    presencePenalty: numberIn(body, 'presence_penalty', -2, 2) ?? 0,
    logitBias: logitBias(body, limits),
    stop: stopStrings(body, limits),
    seed: seedOf(body) ?? Number(toBigInt(entropy(4))),
    n: wholeIn(body, 'n', 1, limits.choices) ?? 1,
    stream,
    includeUsage: options !== null && flagOf(options, 'include_usage'),
  };
}

/** Zero would leave no token to draw: the smallest positive double keeps the likeliest one. */
function topP(body: JsonObject): number {
  return Math.max(numberIn(body, 'top_p', 0, 1) ?? 1, Number.MIN_VALUE);
}

/** Any 64-bit integer is allowed by the API; its low 32 bits seed the sampler. */
function seedOf(body: JsonObject): number | null {
  const seed = numberIn(body, 'seed', -(2 ** 63), 2 ** 63);
  if (seed === null) return null;
  if (!Number.isInteger(seed)) throw refuse('seed', 'seed: expected a whole number', 'invalid_type');
  return Number(BigInt.asUintN(32, BigInt(seed)));
}

function stopStrings(body: JsonObject, limits: RpcLimits): readonly string[] {
  const value = body.stop;
  if (value === undefined || value === null) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > limits.stopStrings) {
    throw refuse('stop', `stop: ${list.length} strings, at most ${limits.stopStrings} are allowed`);
  }
  return list.map((item) => {
    if (typeof item !== 'string') throw refuse('stop', 'stop: expected a string or a list of strings', 'invalid_type');
    if (item === '') throw refuse('stop', 'stop: a stop string may not be empty');
    if (LONE_SURROGATE.test(item)) throw refuse('stop', 'stop: a stop string must be valid Unicode');
    if (item.length > limits.stopCharacters) {
      throw refuse('stop', `stop: a stop string has at most ${limits.stopCharacters} characters`);
    }
    return item;
  });
}

function logitBias(body: JsonObject, limits: RpcLimits): ReadonlyMap<number, number> {
  const entries = Object.entries(objectOf(body, 'logit_bias') ?? {});
  if (entries.length > limits.logitBiasEntries) {
    throw refuse('logit_bias', `logit_bias: ${entries.length} entries, at most ${limits.logitBiasEntries} are allowed`);
  }
  const bias = new Map<number, number>();
  for (const [token, value] of entries) {
    if (!/^\d{1,9}$/.test(token)) throw refuse('logit_bias', 'logit_bias: keys are token ids');
    if (typeof value !== 'number' || !(value >= -100 && value <= 100)) {
      throw refuse('logit_bias', 'logit_bias: values are numbers from -100 to 100');
    }
    bias.set(Number(token), value);
  }
  return bias;
}
