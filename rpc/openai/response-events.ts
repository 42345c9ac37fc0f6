// Owns the wire forms of /v1/responses: the response object and its stream events, in order and numbered.

import type { Hex } from '../../base/bytes.ts';
import type { FinishReason } from './generation.ts';
import { type ChatLogprob, chatLogprobs } from './logprobs.ts';
import type { TokenEvent } from './text-stream.ts';

/** What a response says whatever is generated. */
export type ResponseFrame = Readonly<{
  responseId: string;
  messageId: string;
  createdAt: number;
  model: string;
  modelRoot: Hex;
  instructions: string | null;
  maxOutputTokens: number | null;
  temperature: number;
  topP: number;
  topLogprobs: number;
  logprobs: boolean;
  metadata: Readonly<Record<string, string>>;
}>;

/** What was generated; `finish` null while it goes on. */
export type Outcome = Readonly<{
  text: string;
  logprobs: readonly ChatLogprob[];
  inputTokens: number;
  outputTokens: number;
  finish: FinishReason | null;
}>;

export const emptyOutcome: Outcome = { text: '', logprobs: [], inputTokens: 0, outputTokens: 0, finish: null };

type Status = 'in_progress' | 'completed' | 'incomplete';

function statusOf(outcome: Outcome): Status {
  if (outcome.finish === null) return 'in_progress';
  return outcome.finish === 'stop' ? 'completed' : 'incomplete';
}

function partJson(outcome: Outcome) {
  return { type: 'output_text', text: outcome.text, annotations: [], logprobs: outcome.logprobs };
}

function itemJson(frame: ResponseFrame, outcome: Outcome) {
  return {
    id: frame.messageId,
    type: 'message',
    status: statusOf(outcome),
    role: 'assistant',
    content: outcome.finish === null ? [] : [partJson(outcome)],
  };
}

function usageJson(outcome: Outcome) {
  return {
    input_tokens: outcome.inputTokens,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: outcome.outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: outcome.inputTokens + outcome.outputTokens,
  };
}

/** The response object; `store` is always false: nothing is kept. */
export function responseJson(frame: ResponseFrame, outcome: Outcome): Readonly<Record<string, unknown>> {
  const done = outcome.finish !== null;
  return {
    id: frame.responseId,
    object: 'response',
    created_at: frame.createdAt,
    status: statusOf(outcome),
    background: false,
    error: null,
    incomplete_details: outcome.finish === 'length' ? { reason: 'max_output_tokens' } : null,
    instructions: frame.instructions,
    max_output_tokens: frame.maxOutputTokens,
    max_tool_calls: null,
    metadata: frame.metadata,
    model: frame.model,
    system_fingerprint: frame.modelRoot,
    output: done ? [itemJson(frame, outcome)] : [],
    parallel_tool_calls: false,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    service_tier: 'default',
    store: false,
    temperature: frame.temperature,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: frame.topLogprobs,
    top_p: frame.topP,
    truncation: 'disabled',
    ...(done ? { usage: usageJson(outcome) } : {}),
  };
}

type ResponseEvent = Readonly<{ type: string; sequence_number: number }> & Readonly<Record<string, unknown>>;

export type ResponseEvents = Readonly<{
  begin(): readonly ResponseEvent[];
  delta(text: string, tokens: readonly TokenEvent[]): readonly ResponseEvent[];
  end(outcome: Outcome): readonly ResponseEvent[];
}>;

/** The events of one response, numbered from 0 in the order the API gives them. */
export function responseEvents(frame: ResponseFrame): ResponseEvents {
  let number = 0;
  const event = (type: string, fields: Readonly<Record<string, unknown>>): ResponseEvent => ({
    type,
    sequence_number: number++,
    ...fields,
  });
  const place = { item_id: frame.messageId, output_index: 0, content_index: 0 };
  return {
    begin: () => [
      event('response.created', { response: responseJson(frame, emptyOutcome) }),
      event('response.in_progress', { response: responseJson(frame, emptyOutcome) }),
      event('response.output_item.added', { output_index: 0, item: itemJson(frame, emptyOutcome) }),
      event('response.content_part.added', { ...place, part: partJson(emptyOutcome) }),
    ],
    delta: (text, tokens) => [
      event('response.output_text.delta', { ...place, delta: text, logprobs: chatLogprobs(tokens) }),
    ],
    end: (outcome) => [
      event('response.output_text.done', { ...place, text: outcome.text, logprobs: outcome.logprobs }),
      event('response.content_part.done', { ...place, part: partJson(outcome) }),
      event('response.output_item.done', { output_index: 0, item: itemJson(frame, outcome) }),
      event(outcome.finish === 'stop' ? 'response.completed' : 'response.incomplete', {
        response: responseJson(frame, outcome),
      }),
    ],
  };
}
