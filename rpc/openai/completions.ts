// Owns POST /v1/completions: plain text continuation of strings or token lists.

import type { RpcLimits } from '../limits.ts';
import type { Prompt } from '../ports.ts';
import { refuse } from './api-error.ts';
import { tokenBudget } from './budget.ts';
import { type Answer, type Job, choicesRoute } from './choices.ts';
import type { Exchange, Handler, OpenAiContext } from './exchange.ts';
import { flagOf, refuseUnsupported, textOf, wholeIn } from './fields.ts';
import type { GenerationEvent } from './generation.ts';
import { completionLogprobs } from './logprobs.ts';
import { checkModel } from './model-id.ts';
import { FOREIGN_SAMPLING, MAX_TOKENS_NAMED, sampling } from './sampling.ts';

type EchoJob = Job & Readonly<{ echo: string }>;

/** The API's own default of max_tokens for this route. */
const DEFAULT_MAX_TOKENS = 16;

export function completionsRoute(context: OpenAiContext): Handler {
  return choicesRoute(context, (exchange) => completionAnswer(exchange, context));
}

async function completionAnswer(exchange: Exchange, { ports, limits }: OpenAiContext): Promise<Answer<EchoJob>> {
  const { body, model, info } = exchange;
  const id = checkModel(textOf(body, 'model'), info);
  const prompts = promptsOf(body.prompt, info.vocabularySize, limits);
  refuseUnsupported(body, ['suffix', ...FOREIGN_SAMPLING]);
  const shared = sampling(body, ports.entropy, limits);
  const bestOf = wholeIn(body, 'best_of', 1, limits.choices);
  if (bestOf !== null && bestOf !== shared.n) throw refuse('best_of', 'best_of: only the value of n is supported');
  if (prompts.length * shared.n > limits.completionPrompts) {
    throw refuse('n', `n: prompts times n is at most ${limits.completionPrompts}`);
  }
  const logprobs = wholeIn(body, 'logprobs', 0, limits.completionLogprobs);
  const echo = flagOf(body, 'echo');
  if (echo && logprobs !== null)
    throw refuse('echo', 'echo: not supported together with logprobs', 'unsupported_value');
  const asked = wholeIn(body, 'max_tokens', 1, MAX_TOKENS_NAMED) ?? DEFAULT_MAX_TOKENS;
  const jobs: EchoJob[] = [];
  for (const prompt of prompts) {
    if (echo && prompt.kind !== 'text')
      throw refuse('echo', 'echo: only supported for text prompts', 'unsupported_value');
    const maxTokens = await tokenBudget(model, info, prompt, asked, 'prompt');
    for (let i = 0; i < shared.n; i++) {
      const shown = echo && prompt.kind === 'text' ? prompt.text : '';
      jobs.push({ index: jobs.length, prompt, maxTokens, topLogprobs: logprobs ?? 0, echo: shown });
    }
  }
  return {
    model: id,
    sampling: shared,
    jobs,
    names: { id: 'cmpl-', whole: 'text_completion', chunk: 'text_completion' },
    wholeChoice: (job, { text, tokens, reason }) => ({
      index: job.index,
      text: job.echo + text,
      logprobs: logprobs === null ? null : completionLogprobs(tokens, 0),
      finish_reason: reason,
    }),
    chunkChoice: (job, event, offset) => chunkChoice(event, job, logprobs !== null, offset),
    usage: usageJson,
  };
}

function promptsOf(value: unknown, vocabularySize: number, limits: RpcLimits): readonly Prompt[] {
  if (value === undefined || value === null) throw refuse('prompt', 'prompt: missing', 'missing_required_parameter');
  if (typeof value === 'string') return [{ kind: 'text', text: value }];
  if (!Array.isArray(value) || value.length === 0) {
    throw refuse('prompt', 'prompt: expected a string, a list of strings, or token ids', 'invalid_type');
  }
  if (value.every((item) => typeof item === 'number')) return [tokensOf(value, vocabularySize)];
  if (value.length > limits.completionPrompts) {
    throw refuse('prompt', `prompt: at most ${limits.completionPrompts} prompts are allowed`);
  }
  return value.map((item: unknown): Prompt => {
    if (typeof item === 'string') return { kind: 'text', text: item };
    if (Array.isArray(item) && item.length > 0) return tokensOf(item, vocabularySize);
    throw refuse('prompt', 'prompt: expected a string, a list of strings, or token ids', 'invalid_type');
  });
}

function tokensOf(list: readonly unknown[], vocabularySize: number): Prompt {
  const tokens = list.map((token) => {
    if (typeof token !== 'number' || !Number.isInteger(token) || token < 0 || token >= vocabularySize) {
      throw refuse('prompt', `prompt: token ids are whole numbers from 0 to ${vocabularySize - 1}`);
    }
    return token;
  });
  return { kind: 'tokens', tokens };
}

function usageJson(promptTokens: number, completionTokens: number) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

/** The choice of a chunk; the start only shows when the prompt is echoed. */
function chunkChoice(event: GenerationEvent, job: EchoJob, logprobs: boolean, offset: number) {
  const { index } = job;
  switch (event.kind) {
    case 'start':
      return job.echo === '' ? null : { index, text: job.echo, logprobs: null, finish_reason: null };
    case 'piece':
      return {
        index,
        text: event.text,
        logprobs: logprobs ? completionLogprobs(event.tokens, offset) : null,
        finish_reason: null,
      };
    case 'end':
      return { index, text: '', logprobs: null, finish_reason: event.reason };
  }
}
