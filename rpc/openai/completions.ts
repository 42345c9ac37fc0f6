// Owns POST /v1/completions: plain text continuation of strings or token lists.

import { present } from '../../base/check.ts';
import type { Hex } from '../../base/bytes.ts';
import type { RpcLimits } from '../limits.ts';
import type { Prompt } from '../ports.ts';
import { refuse } from './api-error.ts';
import { tokenBudget } from './budget.ts';
import { type Exchange, type Handler, type OpenAiContext, identifier, postRoute } from './exchange.ts';
import { flagOf, refuseUnsupported, textOf, wholeIn } from './fields.ts';
import { type FinishReason, type GenerationEvent, generation } from './generation.ts';
import { completionLogprobs } from './logprobs.ts';
import { checkModel } from './model-id.ts';
import { FOREIGN_SAMPLING, MAX_TOKENS_NAMED, type Sampling, sampling } from './sampling.ts';
import type { TokenEvent } from './text-stream.ts';

/** One choice to generate: its prompt, budget and place. */
type Job = Readonly<{ index: number; prompt: Prompt; maxTokens: number; echo: string; seed: number }>;
type CompletionRequest = Sampling & Readonly<{ model: string; jobs: readonly Job[]; logprobs: number | null }>;

/** The API's own default of max_tokens for this route. */
const DEFAULT_MAX_TOKENS = 16;

export function completionsRoute(context: OpenAiContext): Handler {
  return postRoute(context, async (exchange) => {
    const request = await completionRequest(exchange, context);
    const turn = context.queue.enter(exchange.signal);
    const head = {
      id: identifier('cmpl-', context.ports.entropy),
      object: 'text_completion',
      created: Math.floor(context.ports.clock.nowMs() / 1_000),
      model: request.model,
    };
    if (request.stream) await streamed(exchange, context, request, turn, head);
    else await whole(exchange, context, request, turn, head);
  });
}

type Head = Readonly<{ id: string; object: string; created: number; model: string }>;

async function completionRequest(exchange: Exchange, { ports, limits }: OpenAiContext): Promise<CompletionRequest> {
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
  const jobs: Job[] = [];
  for (const prompt of prompts) {
    if (echo && prompt.kind !== 'text')
      throw refuse('echo', 'echo: only supported for text prompts', 'unsupported_value');
    const maxTokens = await tokenBudget(model, info, prompt, asked, 'prompt');
    for (let i = 0; i < shared.n; i++) {
      const index = jobs.length;
      const seed = (shared.seed + index) >>> 0;
      jobs.push({ index, prompt, maxTokens, echo: echo && prompt.kind === 'text' ? prompt.text : '', seed });
    }
  }
  return { ...shared, model: id, jobs, logprobs };
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

function choiceOf(exchange: Exchange, { limits }: OpenAiContext, request: CompletionRequest, job: Job) {
  return generation({
    model: exchange.model,
    request: {
      prompt: job.prompt,
      maxTokens: job.maxTokens,
      temperature: request.temperature,
      topP: request.topP,
      seed: job.seed,
      frequencyPenalty: request.frequencyPenalty,
      presencePenalty: request.presencePenalty,
      logitBias: request.logitBias,
      topLogprobs: request.logprobs ?? 0,
    },
    stops: request.stop,
    signal: exchange.signal,
    limitMs: limits.generationMs,
  });
}

/** Counts over all choices; each prompt counts once, however many choices it gets. */
function usageOf(promptTokens: ReadonlyMap<Prompt, number>, completionTokens: number) {
  let prompt = 0;
  for (const tokens of promptTokens.values()) prompt += tokens;
  return { prompt_tokens: prompt, completion_tokens: completionTokens, total_tokens: prompt + completionTokens };
}

async function whole(
  exchange: Exchange,
  context: OpenAiContext,
  request: CompletionRequest,
  turn: Promise<() => void>,
  head: Head,
): Promise<void> {
  const release = await turn;
  try {
    let fingerprint: Hex | null = null;
    const promptTokens = new Map<Prompt, number>();
    let completionTokens = 0;
    const choices: unknown[] = [];
    for (const job of request.jobs) {
      let text = job.echo;
      let finish: FinishReason | null = null;
      const tokens: TokenEvent[] = [];
      for await (const event of choiceOf(exchange, context, request, job)) {
        if (event.kind === 'start') {
          fingerprint = event.modelRoot;
          promptTokens.set(job.prompt, event.promptTokens);
        } else if (event.kind === 'piece') {
          text += event.text;
          tokens.push(...event.tokens);
        } else {
          finish = event.reason;
          completionTokens += event.completionTokens;
        }
      }
      if (finish === null) return;
      const logprobs = request.logprobs === null ? null : completionLogprobs(tokens, 0);
      choices.push({ index: job.index, text, logprobs, finish_reason: finish });
    }
    exchange.sendJson({
      ...head,
      system_fingerprint: present(fingerprint, 'model root'),
      choices,
      usage: usageOf(promptTokens, completionTokens),
    });
  } finally {
    release();
  }
}

async function streamed(
  exchange: Exchange,
  context: OpenAiContext,
  request: CompletionRequest,
  turn: Promise<() => void>,
  head: Head,
): Promise<void> {
  const stream = exchange.openStream();
  const release = await turn;
  try {
    let fingerprint = exchange.info.modelRoot;
    const promptTokens = new Map<Prompt, number>();
    let completionTokens = 0;
    const chunk = (choices: readonly unknown[], usage: unknown = null): string =>
      JSON.stringify({ ...head, system_fingerprint: fingerprint, choices, ...(request.includeUsage ? { usage } : {}) });
    for (const job of request.jobs) {
      let offset = 0;
      for await (const event of choiceOf(exchange, context, request, job)) {
        if (event.kind === 'start') {
          fingerprint = event.modelRoot;
          promptTokens.set(job.prompt, event.promptTokens);
        } else if (event.kind === 'end') completionTokens += event.completionTokens;
        const choice = chunkChoice(event, job, request.logprobs !== null, offset);
        if (event.kind === 'piece') offset += event.text.length;
        if (choice !== null) await stream.send(chunk([choice]));
      }
      if (exchange.signal.aborted) return;
    }
    if (request.includeUsage) await stream.send(chunk([], usageOf(promptTokens, completionTokens)));
    await stream.send('[DONE]');
    stream.end();
  } finally {
    release();
  }
}

/** The choice of a chunk; the start only shows when the prompt is echoed. */
function chunkChoice(event: GenerationEvent, job: Job, logprobs: boolean, offset: number) {
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
