// Owns POST /v1/responses, stateless: the request's fields and the run from created to completed. Wire forms are
// response-events.ts.

import { type JsonObject, isObject } from '../json.ts';
import type { RpcLimits } from '../limits.ts';
import type { ChatMessage, Prompt } from '../ports.ts';
import { refuse } from './api-error.ts';
import { tokenBudget } from './budget.ts';
import { refuseFormat } from './chat.ts';
import { contentText } from './content.ts';
import { type Exchange, type Handler, type OpenAiContext, identifier, postRoute } from './exchange.ts';
import { flagOf, listOf, numberIn, objectOf, refuseUnsupported, textOf, wholeIn } from './fields.ts';
import { type GenerationEvent, generation } from './generation.ts';
import { chatLogprobs } from './logprobs.ts';
import { checkModel } from './model-id.ts';
import { type Outcome, type ResponseFrame, emptyOutcome, responseEvents, responseJson } from './response-events.ts';
import { FOREIGN_SAMPLING, MAX_TOKENS_NAMED, sampling } from './sampling.ts';

type ResponsesRequest = Readonly<{
  frame: ResponseFrame;
  prompt: Prompt;
  budget: number;
  stream: boolean;
  generationFields: ReturnType<typeof sampling>;
}>;

const LOGPROBS_INCLUDE = 'message.output_text.logprobs';

export function responsesRoute(context: OpenAiContext): Handler {
  return postRoute(context, async (exchange) => {
    const request = await responsesRequest(exchange, context);
    const turn = context.queue.enter(exchange.signal);
    if (request.stream) await streamed(exchange, context, request, turn);
    else await whole(exchange, context, request, turn);
  });
}

async function responsesRequest(exchange: Exchange, context: OpenAiContext): Promise<ResponsesRequest> {
  const { body, model, info } = exchange;
  const { ports, limits } = context;
  const id = checkModel(textOf(body, 'model'), info);
  refuseState(body);
  refuseUnsupported(body, ['background', 'prompt', 'max_tool_calls', ...FOREIGN_SAMPLING]);
  if (body.tool_choice !== 'none') refuseUnsupported(body, ['tools']);
  const text = objectOf(body, 'text');
  refuseFormat(text === null ? null : objectOf(text, 'format'), 'text.format');
  const truncation = textOf(body, 'truncation');
  if (truncation !== null && truncation !== 'disabled') {
    throw refuse('truncation', 'truncation: only "disabled" is supported, a prompt is never cut', 'unsupported_value');
  }
  const instructions = textOf(body, 'instructions');
  const prompt: Prompt = { kind: 'chat', messages: inputMessages(body.input, instructions, limits) };
  const topLogprobs = wholeIn(body, 'top_logprobs', 0, limits.topLogprobs) ?? 0;
  const asked = wholeIn(body, 'max_output_tokens', 1, MAX_TOKENS_NAMED);
  const fields = sampling(samplingFields(body), ports.entropy, limits);
  return {
    frame: {
      responseId: identifier('resp_', ports.entropy),
      messageId: identifier('msg_', ports.entropy),
      createdAt: Math.floor(ports.clock.nowMs() / 1_000),
      model: id,
      modelRoot: info.modelRoot,
      instructions,
      maxOutputTokens: asked,
      temperature: fields.temperature,
      topP: numberIn(body, 'top_p', 0, 1) ?? 1,
      topLogprobs,
      logprobs: topLogprobs > 0 || includes(body).has(LOGPROBS_INCLUDE),
      metadata: metadataOf(body, limits),
    },
    prompt,
    budget: await tokenBudget(model, info, prompt, asked, 'input'),
    stream: flagOf(body, 'stream'),
    generationFields: fields,
  };
}

/** The sampling fields this route has; the others of chat do not exist here. */
function samplingFields(body: JsonObject): JsonObject {
  return { temperature: body.temperature, top_p: body.top_p };
}

/** This server keeps no answers: whatever builds on an earlier one must send it along. */
function refuseState(body: JsonObject): void {
  for (const field of ['previous_response_id', 'conversation']) {
    if (body[field] === undefined || body[field] === null) continue;
    throw refuse(
      field,
      `${field}: this server keeps no responses; send the whole conversation as input`,
      'unsupported_parameter',
    );
  }
}

function includes(body: JsonObject): ReadonlySet<unknown> {
  const list = listOf(body, 'include', 16) ?? [];
  for (const item of list) {
    if (item === LOGPROBS_INCLUDE || item === 'reasoning.encrypted_content') continue;
    throw refuse(
      'include',
      `include: ${JSON.stringify(String(item).slice(0, 60))} is not supported`,
      'unsupported_value',
    );
  }
  return new Set(list);
}

function metadataOf(body: JsonObject, limits: RpcLimits): Readonly<Record<string, string>> {
  const entries = Object.entries(objectOf(body, 'metadata') ?? {});
  if (entries.length > limits.metadataEntries) {
    throw refuse('metadata', `metadata: at most ${limits.metadataEntries} entries are allowed`);
  }
  return Object.fromEntries(
    entries.map(([key, value]) => {
      if (typeof value !== 'string' || value.length > 512 || key.length > 64) {
        throw refuse('metadata', 'metadata: keys have at most 64 characters, values are strings of at most 512');
      }
      return [key, value];
    }),
  );
}

function inputMessages(input: unknown, instructions: string | null, limits: RpcLimits): readonly ChatMessage[] {
  const system: readonly ChatMessage[] = instructions === null ? [] : [{ role: 'system', content: instructions }];
  if (input === undefined || input === null) throw refuse('input', 'input: missing', 'missing_required_parameter');
  if (typeof input === 'string') return [...system, { role: 'user', content: input }];
  if (!Array.isArray(input)) throw refuse('input', 'input: expected a string or a list of messages', 'invalid_type');
  if (input.length === 0) throw refuse('input', 'input: at least one message is needed');
  if (input.length > limits.chatMessages)
    throw refuse('input', `input: at most ${limits.chatMessages} items are allowed`);
  return [...system, ...input.map((item: unknown, i) => inputMessage(item, `input[${i}]`, limits))];
}

function inputMessage(item: unknown, at: string, limits: RpcLimits): ChatMessage {
  if (!isObject(item)) throw refuse(at, `${at}: expected an object`, 'invalid_type');
  const type = item.type ?? 'message';
  if (type !== 'message') {
    throw refuse(
      `${at}.type`,
      `${at}.type: ${JSON.stringify(String(type).slice(0, 40))} is not supported`,
      'unsupported_value',
    );
  }
  const role = item.role === 'developer' ? 'system' : item.role;
  if (role !== 'system' && role !== 'user' && role !== 'assistant') {
    throw refuse(`${at}.role`, `${at}.role: expected system, developer, user or assistant`, 'unsupported_value');
  }
  return { role, content: contentText(item.content, `${at}.content`, limits) };
}

function eventsOf(exchange: Exchange, { limits }: OpenAiContext, request: ResponsesRequest) {
  const { frame, generationFields } = request;
  return generation({
    model: exchange.model,
    request: {
      prompt: request.prompt,
      maxTokens: request.budget,
      temperature: generationFields.temperature,
      topP: generationFields.topP,
      seed: generationFields.seed,
      frequencyPenalty: 0,
      presencePenalty: 0,
      logitBias: new Map(),
      topLogprobs: frame.topLogprobs,
    },
    stops: [],
    signal: exchange.signal,
    limitMs: limits.generationMs,
  });
}

/** The outcome after one more event. */
function grown(outcome: Outcome, event: GenerationEvent, logprobs: boolean): Outcome {
  switch (event.kind) {
    case 'start':
      return { ...outcome, inputTokens: event.promptTokens };
    case 'piece':
      return {
        ...outcome,
        text: outcome.text + event.text,
        logprobs: logprobs ? [...outcome.logprobs, ...chatLogprobs(event.tokens)] : [],
      };
    case 'end':
      return { ...outcome, outputTokens: event.completionTokens, finish: event.reason };
  }
}

async function whole(
  exchange: Exchange,
  context: OpenAiContext,
  request: ResponsesRequest,
  turn: Promise<() => void>,
): Promise<void> {
  const release = await turn;
  try {
    let outcome = emptyOutcome;
    for await (const event of eventsOf(exchange, context, request)) {
      outcome = grown(outcome, event, request.frame.logprobs);
    }
    if (outcome.finish !== null) exchange.sendJson(responseJson(request.frame, outcome));
  } finally {
    release();
  }
}

async function streamed(
  exchange: Exchange,
  context: OpenAiContext,
  request: ResponsesRequest,
  turn: Promise<() => void>,
): Promise<void> {
  const stream = exchange.openStream();
  const events = responseEvents(request.frame);
  const emit = async (list: readonly Readonly<{ type: string }>[]): Promise<void> => {
    for (const event of list) await stream.send(JSON.stringify(event), event.type);
  };
  const release = await turn;
  try {
    let outcome = emptyOutcome;
    await emit(events.begin());
    for await (const event of eventsOf(exchange, context, request)) {
      outcome = grown(outcome, event, request.frame.logprobs);
      if (event.kind === 'piece') await emit(events.delta(event.text, request.frame.logprobs ? event.tokens : []));
    }
    if (outcome.finish === null) return;
    await emit(events.end(outcome));
    stream.end();
  } finally {
    release();
  }
}
