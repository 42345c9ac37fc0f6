// Owns the choice of the next token from logits: a pure function of logits, settings, seed and position, with the same
// result on every machine. Running the model is generate.ts.

import { concat, u32be, u64be } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Fault, type Result, fault, success } from '../base/fault.ts';
import { taggedHash } from '../base/hash.ts';
import { fixedExp, fixedLog } from './fixed-math.ts';
import { MAX_LOGIT_BIASES, MAX_TOP_LOGPROBS } from './model-limits.ts';

/** Meanings and ranges are those of the OpenAI chat API. */
export type Sampling = Readonly<{
  /** 0 takes the most likely token. */
  temperature: number;
  /** Smallest set of likely tokens that holds this much probability; 1 is all. */
  topP: number;
  /** Number of likely tokens; 0 is all. */
  topK: number;
  /** Equal seeds and prompts give equal replies; 64 bits. */
  seed: bigint;
  /** Added to logits, by token. */
  logitBias: ReadonlyMap<number, number>;
  /** Taken off the logit of a token once when it was in the reply. */
  presencePenalty: number;
  /** Taken off the logit of a token for each time it was in the reply. */
  frequencyPenalty: number;
  /** Number of most likely tokens to report beside the one taken. */
  topLogprobs: number;
}>;

export const DEFAULT_SAMPLING: Sampling = {
  temperature: 1,
  topP: 1,
  topK: 0,
  seed: 0n,
  logitBias: new Map(),
  presencePenalty: 0,
  frequencyPenalty: 0,
  topLogprobs: 0,
};

type Range = readonly [field: keyof Sampling, outside: string, low: number, high: number, whole: boolean];
const RANGES: readonly Range[] = [
  ['temperature', 'temperature', 0, 2, false],
  ['topP', 'top_p', 0, 1, false],
  ['topK', 'top_k', 0, 1_000_000, true],
  ['presencePenalty', 'presence_penalty', -2, 2, false],
  ['frequencyPenalty', 'frequency_penalty', -2, 2, false],
  ['topLogprobs', 'top_logprobs', 0, MAX_TOP_LOGPROBS, true],
];

/** Settings with defaults for what is left out, or a Fault whose field is named as in the API. */
export function samplingOf(given: Partial<Sampling>): Result<Sampling> {
  const sampling: Sampling = { ...DEFAULT_SAMPLING, ...given };
  for (const [field, outside, low, high, whole] of RANGES) {
    const value = sampling[field] as number;
    const inside = typeof value === 'number' && value >= low && value <= high;
    if (!inside || (whole && !Number.isInteger(value))) {
      return refuse(outside, `${outside} must be a ${whole ? 'whole ' : ''}number from ${low} to ${high}`);
    }
  }
  if (sampling.seed < 0n || sampling.seed >= 1n << 64n) return refuse('seed', 'seed must fit 64 bits');
  if (sampling.logitBias.size > MAX_LOGIT_BIASES) {
    return refuse('logit_bias', `logit_bias has more than ${MAX_LOGIT_BIASES} entries`);
  }
  for (const bias of sampling.logitBias.values()) {
    if (!(bias >= -100 && bias <= 100)) return refuse('logit_bias', 'logit_bias values must be from -100 to 100');
  }
  return success(sampling);
}

const refuse = (field: string, message: string): Fault => fault('sampling', message, { field });

/** A log probability in nats under the model itself, before temperature, penalties and biases. */
type TokenLogprob = Readonly<{ token: number; logprob: number }>;
export type Sampled = TokenLogprob & Readonly<{ top: readonly TokenLogprob[] }>;

/**
 * The token at `position` of a reply (docs/protocol/model.md G-1 to G-6). `logits` are finite, one per token; `counts` says how often each token was in the
 * reply so far. Ties go to the lower token.
 */
export function sampleToken(
  logits: Float32Array,
  sampling: Sampling,
  counts: ReadonlyMap<number, number>,
  position: number,
): Sampled {
  const adjusted = adjust(logits, sampling, counts);
  const token = sampling.temperature === 0 ? largest(adjusted) : draw(adjusted, sampling, position);
  const normaliser = logSumExp(logits);
  const report = (id: number): TokenLogprob => ({ token: id, logprob: present(logits[id], 'logit') - normaliser });
  const top = sampling.topLogprobs === 0 ? [] : ranked(Float64Array.from(logits)).slice(0, sampling.topLogprobs);
  return { ...report(token), top: top.map(report) };
}

function adjust(logits: Float32Array, sampling: Sampling, counts: ReadonlyMap<number, number>): Float64Array {
  const adjusted = Float64Array.from(logits);
  for (const [token, count] of counts) {
    if (token >= adjusted.length) continue;
    adjusted[token] = at(adjusted, token) - sampling.presencePenalty - count * sampling.frequencyPenalty;
  }
  for (const [token, bias] of sampling.logitBias) {
    if (token >= 0 && token < adjusted.length) adjusted[token] = at(adjusted, token) + bias;
  }
  return adjusted;
}

const at = (values: Float64Array | Float32Array, index: number): number => values[index] as number;

function largest(logits: Float64Array): number {
  let best = 0;
  for (let token = 1; token < logits.length; token++) if (at(logits, token) > at(logits, best)) best = token;
  return best;
}

function ranked(logits: Float64Array): number[] {
  return Array.from(logits.keys()).sort((a, b) => at(logits, b) - at(logits, a) || a - b);
}

/** Inverse of the cumulative distribution over the kept tokens, most likely first. */
function draw(logits: Float64Array, { temperature, topP, topK, seed }: Sampling, position: number): number {
  const order = ranked(logits).slice(0, topK === 0 ? undefined : topK);
  const best = at(logits, present(order[0], 'most likely token'));
  const weights = order.map((token) => fixedExp((at(logits, token) - best) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let kept = 0;
  let mass = 0;
  while (kept < order.length && (kept === 0 || mass < topP * total)) mass += weights[kept++] as number;
  let left = uniform(seed, position) * mass;
  for (let rank = 0; rank < kept; rank++) {
    left -= weights[rank] as number;
    if (left < 0) return order[rank] as number;
  }
  return order[kept - 1] as number;
}

/** Uniform in [0, 1) with 53 bits, fixed by seed and position. */
function uniform(seed: bigint, position: number): number {
  const digest = taggedHash('sample', concat(u64be(seed), u32be(position)));
  const view = new DataView(digest.buffer, digest.byteOffset);
  return (view.getUint32(0) * 2_097_152 + (view.getUint32(4) >>> 11)) / 9_007_199_254_740_992;
}

function logSumExp(logits: Float32Array): number {
  let best = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > best) best = logit;
  let sum = 0;
  for (const logit of logits) sum += fixedExp(logit - best);
  return best + fixedLog(sum);
}
