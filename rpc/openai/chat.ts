// Owns POST /v1/chat/completions: its request fields, its answer and its chunks.

import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { type JsonObject, isObject } from '../json.ts';
import type { ChatMessage, Prompt } from '../ports.ts';
import { refuse } from './api-error.ts';
import { tokenBudget } from './budget.ts';
import { contentText } from './content.ts';
import {
  type EventStream,
  type Exchange,
  type Handler,
  type OpenAiContext,
  identifier,
  postRoute,
} from './exchange.ts';
import { flagOf, listOf, objectOf, refuseUnsupported, textOf, wholeIn } from './fields.ts';
import { type FinishReason, type GenerationEvent, generation } from './generation.ts';
import { type ChatLogprob, chatLogprobs } from './logprobs.ts';
import { checkModel } from './model-id.ts';
import { FOREIGN_SAMPLING, MAX_TOKENS_NAMED, type Sampling, sampling } from './sampling.ts';

type ChatRequest = Sampling &
  Readonly<{ model: string; prompt: Prompt; maxTokens: number; logprobs: boolean; topLogprobs: number }>;

/** Fields of the API whose effect this server does not have. */
const UNSUPPORTED = ['functions', 'audio', 'prediction', 'web_search_options', 'store', ...FOREIGN_SAMPLING];

const ROLES: ReadonlyMap<unknown, ChatMessage['role']> = new Map([
  ['system', 'system'],
  ['developer', 'system'],
  ['user', 'user'],
  ['assistant', 'assistant'],
]);

export function chatRoute(context: OpenAiContext): Handler {
  return postRoute(context, async (exchange) => {
    const request = await chatRequest(exchange, context);
    const turn = context.queue.enter(exchange.signal);
    const id = identifier('chatcmpl-', context.ports.entropy);
    const created = Math.floor(context.ports.clock.nowMs() / 1_000);
    if (request.stream) await streamed(exchange, context, request, turn, { id, created, model: request.model });
    else await whole(exchange, context, request, turn, { id, created, model: request.model });
  });
}

type Head = Readonly<{ id: string; created: number; model: string }>;

async function chatRequest({ body, model, info }: Exchange, { ports, limits }: OpenAiContext): Promise<ChatRequest> {
  const id = checkModel(textOf(body, 'model'), info);
  const prompt: Prompt = { kind: 'chat', messages: messagesOf(body, limits) };
  refuseUnsupported(body, UNSUPPORTED);
  refuseTools(body);
  refuseFormat(objectOf(body, 'response_format'), 'response_format');
  const modalities = listOf(body, 'modalities', 4) ?? ['text'];
  if (modalities.length !== 1 || modalities[0] !== 'text') {
    throw refuse('modalities', 'modalities: only ["text"] is supported', 'unsupported_value');
  }
  const logprobs = flagOf(body, 'logprobs');
  const topLogprobs = wholeIn(body, 'top_logprobs', 0, limits.topLogprobs);
  if (topLogprobs !== null && topLogprobs > 0 && !logprobs) {
    throw refuse('top_logprobs', 'top_logprobs: logprobs must be true when it is given');
  }
  const older = wholeIn(body, 'max_tokens', 1, MAX_TOKENS_NAMED);
  const asked = wholeIn(body, 'max_completion_tokens', 1, MAX_TOKENS_NAMED) ?? older;
  return {
    ...sampling(body, ports.entropy, limits),
    model: id,
    prompt,
    maxTokens: await tokenBudget(model, info, prompt, asked, 'messages'),
    logprobs,
    topLogprobs: topLogprobs ?? 0,
  };
}

/** Tools are welcome as long as the model is not to call them: it cannot. */
function refuseTools(body: JsonObject): void {
  if (body.tool_choice === 'none') return;
  refuseUnsupported(body, ['tools']);
}

export function refuseFormat(format: JsonObject | null, param: string): void {
  if (format === null || format.type === 'text') return;
  const named = typeof format.type === 'string' ? JSON.stringify(format.type.slice(0, 40)) : 'a missing type';
  throw refuse(`${param}.type`, `${param}.type: ${named} is not supported, only "text"`, 'unsupported_value');
}

function messagesOf(body: JsonObject, limits: OpenAiContext['limits']): readonly ChatMessage[] {
  const list = listOf(body, 'messages', limits.chatMessages);
  if (list === null) throw refuse('messages', 'messages: missing', 'missing_required_parameter');
  if (list.length === 0) throw refuse('messages', 'messages: at least one message is needed');
  return list.map((message, i) => {
    const at = `messages[${i}]`;
    if (!isObject(message)) throw refuse(at, `${at}: expected an object`, 'invalid_type');
    const role = ROLES.get(message.role);
    if (role === undefined) {
      throw refuse(`${at}.role`, `${at}.role: expected system, developer, user or assistant`, 'unsupported_value');
    }
    return { role, content: contentText(message.content, `${at}.content`, limits) };
  });
}

function choiceOf(exchange: Exchange, { limits }: OpenAiContext, request: ChatRequest, index: number) {
  return generation({
    model: exchange.model,
    request: {
      prompt: request.prompt,
      maxTokens: request.maxTokens,
      temperature: request.temperature,
      topP: request.topP,
      seed: (request.seed + index) >>> 0,
      frequencyPenalty: request.frequencyPenalty,
      presencePenalty: request.presencePenalty,
      logitBias: request.logitBias,
      topLogprobs: request.logprobs ? request.topLogprobs : 0,
    },
    stops: request.stop,
    signal: exchange.signal,
    limitMs: limits.generationMs,
  });
}

function usageJson(promptTokens: number, completionTokens: number) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

async function whole(
  exchange: Exchange,
  context: OpenAiContext,
  request: ChatRequest,
  turn: Promise<() => void>,
  head: Head,
): Promise<void> {
  const release = await turn;
  try {
    let fingerprint: Hex | null = null;
    let promptTokens = 0;
    let completionTokens = 0;
    const choices: unknown[] = [];
    for (let index = 0; index < request.n; index++) {
      let content = '';
      let finish: FinishReason | null = null;
      const logprobs: ChatLogprob[] = [];
      for await (const event of choiceOf(exchange, context, request, index)) {
        if (event.kind === 'start') {
          fingerprint = event.modelRoot;
          promptTokens = event.promptTokens;
        } else if (event.kind === 'piece') {
          content += event.text;
          if (request.logprobs) logprobs.push(...chatLogprobs(event.tokens));
        } else {
          finish = event.reason;
          completionTokens += event.completionTokens;
        }
      }
      if (finish === null) return;
      choices.push({
        index,
        message: { role: 'assistant', content, refusal: null, annotations: [] },
        logprobs: request.logprobs ? { content: logprobs, refusal: null } : null,
        finish_reason: finish,
      });
    }
    exchange.sendJson({
      ...head,
      object: 'chat.completion',
      system_fingerprint: present(fingerprint, 'model root'),
      choices,
      usage: usageJson(promptTokens, completionTokens),
    });
  } finally {
    release();
  }
}

async function streamed(
  exchange: Exchange,
  context: OpenAiContext,
  request: ChatRequest,
  turn: Promise<() => void>,
  head: Head,
): Promise<void> {
  const stream = exchange.openStream();
  const release = await turn;
  try {
    let fingerprint = exchange.info.modelRoot;
    let promptTokens = 0;
    let completionTokens = 0;
    const chunk = (choices: readonly unknown[], usage: unknown = null): string =>
      JSON.stringify({
        ...head,
        object: 'chat.completion.chunk',
        system_fingerprint: fingerprint,
        choices,
        ...(request.includeUsage ? { usage } : {}),
      });
    for (let index = 0; index < request.n; index++) {
      for await (const event of choiceOf(exchange, context, request, index)) {
        if (event.kind === 'start') {
          fingerprint = event.modelRoot;
          promptTokens = event.promptTokens;
        } else if (event.kind === 'end') completionTokens += event.completionTokens;
        await stream.send(chunk([deltaOf(event, index, request.logprobs)]));
      }
      if (exchange.signal.aborted) return;
    }
    await finishStream(stream, request.includeUsage ? chunk([], usageJson(promptTokens, completionTokens)) : null);
  } finally {
    release();
  }
}

async function finishStream(stream: EventStream, usage: string | null): Promise<void> {
  if (usage !== null) await stream.send(usage);
  await stream.send('[DONE]');
  stream.end();
}

/** The choice of a chunk: the role first, then text, then the reason alone. */
function deltaOf(event: GenerationEvent, index: number, logprobs: boolean): Readonly<Record<string, unknown>> {
  switch (event.kind) {
    case 'start':
      return { index, delta: { role: 'assistant', content: '', refusal: null }, logprobs: null, finish_reason: null };
    case 'piece':
      return {
        index,
        delta: { content: event.text },
        logprobs: logprobs ? { content: chatLogprobs(event.tokens), refusal: null } : null,
        finish_reason: null,
      };
    case 'end':
      return { index, delta: {}, logprobs: null, finish_reason: event.reason };
  }
}
