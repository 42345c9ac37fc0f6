// Owns POST /v1/chat/completions: its request fields, and how its choices look whole and in chunks.

import { type JsonObject, isObject } from '../json.ts';
import type { ChatMessage, Prompt } from '../ports.ts';
import { refuse } from './api-error.ts';
import { tokenBudget } from './budget.ts';
import { type Answer, choicesRoute } from './choices.ts';
import { contentText } from './content.ts';
import type { Exchange, Handler, OpenAiContext } from './exchange.ts';
import { flagOf, listOf, objectOf, refuseUnsupported, textOf, wholeIn } from './fields.ts';
import type { GenerationEvent } from './generation.ts';
import { chatLogprobs } from './logprobs.ts';
import { checkModel } from './model-id.ts';
import { FOREIGN_SAMPLING, MAX_TOKENS_NAMED, sampling } from './sampling.ts';

/** Fields of the API whose effect this server does not have. */
const UNSUPPORTED = ['functions', 'audio', 'prediction', 'web_search_options', 'store', ...FOREIGN_SAMPLING];

const ROLES: ReadonlyMap<unknown, ChatMessage['role']> = new Map([
  ['system', 'system'],
  ['developer', 'system'],
  ['user', 'user'],
  ['assistant', 'assistant'],
]);

export function chatRoute(context: OpenAiContext): Handler {
  return choicesRoute(context, (exchange) => chatAnswer(exchange, context));
}

async function chatAnswer({ body, model, info }: Exchange, { ports, limits }: OpenAiContext): Promise<Answer> {
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
  const topLogprobs = wholeIn(body, 'top_logprobs', 0, limits.topLogprobs) ?? 0;
  if (topLogprobs > 0 && !logprobs) {
    throw refuse('top_logprobs', 'top_logprobs: logprobs must be true when it is given');
  }
  const older = wholeIn(body, 'max_tokens', 1, MAX_TOKENS_NAMED);
  const asked = wholeIn(body, 'max_completion_tokens', 1, MAX_TOKENS_NAMED) ?? older;
  const fields = sampling(body, ports.entropy, limits);
  const maxTokens = await tokenBudget(model, info, prompt, asked, 'messages');
  return {
    model: id,
    sampling: fields,
    jobs: Array.from({ length: fields.n }, (_, index) => ({ index, prompt, maxTokens, topLogprobs })),
    names: { id: 'chatcmpl-', whole: 'chat.completion', chunk: 'chat.completion.chunk' },
    wholeChoice: ({ index }, { text, tokens, reason }) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null, annotations: [] },
      logprobs: logprobs ? { content: chatLogprobs(tokens), refusal: null } : null,
      finish_reason: reason,
    }),
    chunkChoice: ({ index }, event) => deltaOf(event, index, logprobs),
    usage: usageJson,
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

function usageJson(promptTokens: number, completionTokens: number) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
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
