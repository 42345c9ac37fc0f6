// The OpenAI routes: every field checked, streams well formed, queue and disconnect, against a scripted model.

import { request as httpRequest } from 'node:http';
import test from 'ava';
import { type Answer, ask, post, serve } from './fixture.ts';
import { CONTEXT, MODEL_ROOT, tokens } from './scripted-model.ts';

const user = (content: unknown) => ({ model: 'pol-gpt', messages: [{ role: 'user', content }] });
type Json = Record<string, unknown>;
type Choice = {
  index: number;
  message: { content: string };
  finish_reason: string;
  delta: { content?: string; role?: string };
  text: string;
  logprobs: { content: { token: string }[] } | null;
};
type ChatAnswer = { choices: Choice[]; usage: Json; system_fingerprint: string };
type ApiError = { error: { message: string; type: string; param: string | null; code: string } };

/** The data lines of an event stream, parsed but for [DONE]. */
function events(text: string): readonly (ChatAnswer | '[DONE]')[] {
  return text
    .split('\n\n')
    .filter((block) => block.includes('data: '))
    .map((block) => block.slice(block.indexOf('data: ') + 6))
    .map((data) => (data === '[DONE]' ? data : (JSON.parse(data) as ChatAnswer)));
}

const choicesOf = (answer: Answer): Choice[] => (answer.json as ChatAnswer).choices;

test('a chat completion has content, reason, usage and the model root', async (t) => {
  const { url, model } = await serve(t);
  const { status, json, headers } = await post(`${url}/v1/chat/completions`, { ...user('Hello you'), max_tokens: 100 });
  t.is(status, 200);
  t.like(json, {
    object: 'chat.completion',
    model: 'pol-gpt',
    system_fingerprint: MODEL_ROOT,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'Hello there.', refusal: null },
        finish_reason: 'stop',
        logprobs: null,
      },
    ],
    usage: { prompt_tokens: 4, completion_tokens: 3, total_tokens: 7 },
  });
  t.is(headers.get('x-model-root'), MODEL_ROOT);
  t.regex(headers.get('x-request-id') ?? '', /^req_/);
  t.like(model.requests[0], { maxTokens: 100, temperature: 1, topP: 1 });
});

test('the answer length: both names, null, one token, and cut to the context', async (t) => {
  const { url, model } = await serve(t);
  const ends = async (fields: Json) =>
    choicesOf(await post(`${url}/v1/chat/completions`, { ...user('hi'), ...fields }))[0];
  t.like(await ends({ max_tokens: 1 }), { finish_reason: 'length', message: { content: 'Hello' } });
  t.like(await ends({ max_completion_tokens: 2 }), { finish_reason: 'length', message: { content: 'Hello there' } });
  t.like(await ends({ max_tokens: null, max_completion_tokens: null, temperature: null }), { finish_reason: 'stop' });
  t.like(await ends({ max_tokens: 50_000 }), { finish_reason: 'stop' });
  t.deepEqual(
    model.requests.map(({ maxTokens }) => maxTokens),
    [1, 2, CONTEXT - 3, CONTEXT - 3],
  );
});

test('a prompt over the context is refused, never cut', async (t) => {
  const { url, model } = await serve(t);
  const { status, json } = await post(`${url}/v1/chat/completions`, user(Array(200).fill('word').join(' ')));
  t.is(status, 400);
  t.like((json as ApiError).error, {
    code: 'context_length_exceeded',
    param: 'messages',
    type: 'invalid_request_error',
  });
  t.is(model.requests.length, 0);
});

test('content parts and all roles are read', async (t) => {
  const { url, model } = await serve(t);
  const messages = [
    { role: 'developer', content: 'Be brief.' },
    {
      role: 'system',
      content: [
        { type: 'text', text: 'Be ' },
        { type: 'text', text: 'kind.' },
      ],
    },
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
    { role: 'user', content: '__proto__ {}' },
  ];
  t.is((await post(`${url}/v1/chat/completions`, { model: 'pol-gpt', messages })).status, 200);
  t.deepEqual(model.requests[0]?.prompt, {
    kind: 'chat',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: '__proto__ {}' },
    ],
  });
});

test('every bad field is refused by its name', async (t) => {
  const { url } = await serve(t);
  const cases: readonly (readonly [Json, string])[] = [
    [{ model: undefined }, 'model'],
    [{ messages: undefined }, 'messages'],
    [{ messages: [] }, 'messages'],
    [{ messages: ['hi'] }, 'messages[0]'],
    [{ messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user', content: 5 }] }, 'messages[0].content'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages[0].content[0].type'],
    [{ temperature: 2.1 }, 'temperature'],
    [{ temperature: 'hot' }, 'temperature'],
    [{ top_p: -0.1 }, 'top_p'],
    [{ n: 0 }, 'n'],
    [{ n: 1.5 }, 'n'],
    [{ n: 100 }, 'n'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_completion_tokens: -1 }, 'max_completion_tokens'],
    [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'],
    [{ stop: [''] }, 'stop'],
    [{ stop: 5 }, 'stop'],
    [{ frequency_penalty: 3 }, 'frequency_penalty'],
    [{ presence_penalty: -3 }, 'presence_penalty'],
    [{ logit_bias: { a: 1 } }, 'logit_bias'],
    [{ logit_bias: { 1: 101 } }, 'logit_bias'],
    [{ seed: 1.5 }, 'seed'],
    [{ top_logprobs: 5 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ stream: 'yes' }, 'stream'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ response_format: { type: 'json_object' } }, 'response_format.type'],
    [{ tools: [{ type: 'function' }] }, 'tools'],
    [{ modalities: ['audio'] }, 'modalities'],
    [{ top_k: 5 }, 'top_k'],
  ];
  for (const [fields, param] of cases) {
    const { status, json } = await post(`${url}/v1/chat/completions`, { ...user('hi'), ...fields });
    t.is(status, 400, param);
    const { error } = json as ApiError;
    t.is(error.param, param);
    t.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
  }
  t.is((await post(`${url}/v1/chat/completions`, { ...user('hi'), user: 'me', unheard_of: 1, tools: [] })).status, 200);
});

test('bodies, methods, models and keys are refused in the error form', async (t) => {
  const { url } = await serve(t, { apiKey: 'secret' });
  const auth = { authorization: 'Bearer secret' };
  const chat = `${url}/v1/chat/completions`;
  const kinds: readonly (readonly [Promise<Answer>, number, string])[] = [
    [post(chat, user('x')), 401, 'invalid_api_key'],
    [post(chat, user('x'), { authorization: 'Bearer wrong' }), 401, 'invalid_api_key'],
    [post(chat, '{', auth), 400, 'invalid_json'],
    [post(chat, '[]', auth), 400, 'invalid_json'],
    [post(chat, user('x'), { ...auth, 'content-type': 'text/plain' }), 415, 'invalid_request'],
    [post(chat, user('x'.repeat(1_100_000)), auth), 413, 'invalid_request'],
    [ask(chat, { headers: auth }), 405, 'method_not_allowed'],
    [post(chat, { ...user('x'), model: 'gpt-4o' }, auth), 404, 'model_not_found'],
    [ask(`${url}/v1/models`), 401, 'invalid_api_key'],
    [ask(`${url}/v1/models/gpt-4o`, { headers: auth }), 404, 'model_not_found'],
  ];
  for (const [answer, status, code] of kinds) {
    const { status: got, json } = await answer;
    t.is(got, status, code);
    t.is((json as ApiError).error.code, code);
  }
  t.is((await ask(chat, { method: 'OPTIONS', headers: { origin: 'https://app.example' } })).status, 204);
  t.is((await post(chat, user('x'), auth)).status, 200);
  const none = await serve(t, { ports: { chat: null } });
  t.is((await post(`${none.url}/v1/chat/completions`, user('x'))).status, 503);
});

test('models are listed and found by alias, round and root', async (t) => {
  const { url } = await serve(t);
  const { json } = await ask(`${url}/v1/models`);
  t.like(json, { object: 'list', data: [{ id: 'pol-gpt', owned_by: 'pol-node' }, { id: 'pol-gpt@round-7' }] });
  for (const id of ['pol-gpt', 'pol-gpt@round-7', 'pol-gpt%40round-7', MODEL_ROOT]) {
    t.like((await ask(`${url}/v1/models/${id}`)).json, { object: 'model', created: 1_790_000_000, round: 7 });
  }
});

test('a stream opens with the role, ends with the reason, then usage, then [DONE]', async (t) => {
  const { url, model } = await serve(t);
  model.script = tokens('Gr', 'üß', ' dich');
  const body = { ...user('hi'), stream: true, stream_options: { include_usage: true }, n: 2 };
  const { text, headers } = await post(`${url}/v1/chat/completions`, body);
  t.regex(headers.get('content-type') ?? '', /^text\/event-stream/);
  const list = events(text);
  t.is(list[list.length - 1], '[DONE]');
  const chunks = list.slice(0, -1) as ChatAnswer[];
  t.is(new Set(chunks.map((chunk) => (chunk as unknown as Json).id)).size, 1);
  const usage = chunks[chunks.length - 1];
  t.deepEqual(usage?.choices, []);
  t.like(usage?.usage, { prompt_tokens: 3, completion_tokens: 6 });
  for (const index of [0, 1]) {
    const mine = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
    t.is(mine[0]?.delta.role, 'assistant');
    t.is(mine.map(({ delta }) => delta.content ?? '').join(''), 'Grüß dich');
    t.is(mine[mine.length - 1]?.finish_reason, 'stop');
  }
  t.not(model.requests[0]?.seed, model.requests[1]?.seed);
});

test('stop strings end the answer before them, streamed or not, and are never shown', async (t) => {
  const { url, model } = await serve(t);
  model.script = tokens('one', ' E', 'N', 'D two', ' three');
  const body = { ...user('hi'), stop: ['END'] };
  const plain = choicesOf(await post(`${url}/v1/chat/completions`, body))[0];
  t.like(plain, { finish_reason: 'stop', message: { content: 'one ' } });
  const { text } = await post(`${url}/v1/chat/completions`, { ...body, stream: true });
  const chunks = events(text).slice(0, -1) as ChatAnswer[];
  t.is(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), 'one ');
  t.true(model.signals.every((signal) => signal.aborted));
});

test('log probabilities cover exactly the tokens shown', async (t) => {
  const { url, model } = await serve(t);
  model.script = tokens('one', ' EN', 'D two');
  const body = { ...user('hi'), logprobs: true, top_logprobs: 2, stop: 'END' };
  const plain = choicesOf(await post(`${url}/v1/chat/completions`, body))[0];
  t.deepEqual(
    plain?.logprobs?.content.map(({ token }) => token),
    ['one', ' EN'],
  );
  t.like(plain?.logprobs?.content[0], { bytes: [111, 110, 101], logprob: -0.5 });
  const { text } = await post(`${url}/v1/chat/completions`, { ...body, stream: true });
  const chunks = events(text).slice(0, -1) as ChatAnswer[];
  t.deepEqual(
    chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []).map(({ token }) => token),
    ['one', ' EN'],
  );
});

test('the same seed asks the model for the same draw', async (t) => {
  const { url, model } = await serve(t);
  for (const seed of [5, 5, -1, 2 ** 53]) await post(`${url}/v1/chat/completions`, { ...user('hi'), seed });
  t.deepEqual(
    model.requests.map(({ seed }) => seed),
    [5, 5, 0xffff_ffff, 0],
  );
});

test('a full line is answered 429 with Retry-After, and a free one goes on', async (t) => {
  const { url, model } = await serve(t, { limits: { generationsRunning: 1, generationsWaiting: 1 } });
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  model.pause = () => gate;
  const first = post(`${url}/v1/chat/completions`, user('1'));
  while (model.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const second = post(`${url}/v1/chat/completions`, user('2'));
  const load = async () =>
    ((await ask(`${url}/api/v1/status`)).json as { generations: { waiting: number } }).generations;
  while ((await load()).waiting === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const third = await post(`${url}/v1/chat/completions`, user('3'));
  t.is(third.status, 429);
  t.regex(third.headers.get('retry-after') ?? '', /^\d+$/);
  t.is((third.json as ApiError).error.code, 'rate_limit_exceeded');
  open();
  t.is((await first).status, 200);
  t.is((await second).status, 200);
});

test('a client that leaves ends its generation, streamed or not', async (t) => {
  const { server, model } = await serve(t);
  for (const stream of [true, false]) {
    model.requests.length = 0;
    model.signals.length = 0;
    model.pause = () => new Promise((resolve) => setTimeout(resolve, 20));
    model.script = tokens(...Array<string>(500).fill('word '));
    const body = JSON.stringify({ ...user('hi'), stream });
    const headers = { 'content-type': 'application/json' };
    const client = httpRequest({ port: server.port, method: 'POST', path: '/v1/chat/completions', headers });
    client.on('error', () => undefined);
    client.end(body);
    while (model.signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    client.destroy();
    const signal = model.signals[0] as AbortSignal;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    t.true(signal.aborted);
  }
});

test('a model that fails is a 500 without details, in the stream as an error event', async (t) => {
  const { url, model, logged } = await serve(t);
  model.pause = () => Promise.reject(new Error('secret path'));
  const plain = await post(`${url}/v1/chat/completions`, user('hi'));
  t.is(plain.status, 500);
  t.false(plain.text.includes('secret'));
  const { text } = await post(`${url}/v1/chat/completions`, { ...user('hi'), stream: true });
  t.regex(text, /"type":"server_error"/);
  t.false(text.includes('[DONE]'));
  t.is(logged.length, 2);
});

test('a generation that takes too long ends with length', async (t) => {
  const { url, model } = await serve(t, { limits: { generationMs: 100 } });
  model.pause = () => new Promise((resolve) => setTimeout(resolve, 30));
  model.script = tokens(...Array<string>(100).fill('w '));
  const choice = choicesOf(await post(`${url}/v1/chat/completions`, user('hi')))[0];
  t.is(choice?.finish_reason, 'length');
});

test('completions take strings, lists and tokens, echo, and default to 16 tokens', async (t) => {
  const { url, model } = await serve(t);
  const ask1 = (fields: Json) => post(`${url}/v1/completions`, { model: 'pol-gpt', ...fields });
  t.like((await ask1({ prompt: 'Once' })).json, {
    object: 'text_completion',
    choices: [{ text: 'Hello there.', index: 0 }],
  });
  t.is(model.requests[0]?.maxTokens, 16);
  t.like((await ask1({ prompt: ['a', 'b'], n: 2 })).json, { choices: { length: 4 }, usage: { prompt_tokens: 2 } });
  t.like((await ask1({ prompt: 'Once', echo: true })).json, { choices: [{ text: 'OnceHello there.' }] });
  t.like((await ask1({ prompt: [1, 2, 3], logprobs: 2 })).json, {
    choices: [{ logprobs: { tokens: ['Hello', ' there', '.'], text_offset: [0, 5, 11] } }],
  });
  for (const [fields, param] of [
    [{}, 'prompt'],
    [{ prompt: [1, 5_000] }, 'prompt'],
    [{ prompt: 'x', suffix: 'y' }, 'suffix'],
    [{ prompt: 'x', best_of: 3 }, 'best_of'],
    [{ prompt: 'x', logprobs: 6 }, 'logprobs'],
    [{ prompt: Array(200).fill('x').join(' ') }, 'prompt'],
  ] as const) {
    t.is(((await ask1(fields)).json as ApiError).error.param, param);
  }
  const { text } = await ask1({ prompt: 'Once', stream: true });
  const chunks = events(text).slice(0, -1) as ChatAnswer[];
  t.is(chunks.map(({ choices }) => choices[0]?.text ?? '').join(''), 'Hello there.');
});

test('responses run the whole event order under one message id', async (t) => {
  const { url } = await serve(t);
  const body = {
    model: 'pol-gpt',
    input: [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }],
    stream: true,
  };
  const { text } = await post(`${url}/v1/responses`, body);
  const list = events(text) as unknown as readonly (Json & {
    type: string;
    sequence_number: number;
    item_id?: string;
  })[];
  t.deepEqual(
    list.map(({ type }) => type),
    [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...Array<string>(3).fill('response.output_text.delta'),
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ],
  );
  t.deepEqual(
    list.map(({ sequence_number }) => sequence_number),
    list.map((_, i) => i),
  );
  t.is(new Set(list.flatMap(({ item_id }) => (item_id === undefined ? [] : [item_id]))).size, 1);
  t.regex(text, /^event: response.created\ndata: /);
});

test('responses are stateless and say so', async (t) => {
  const { url } = await serve(t);
  const ask1 = (fields: Json) => post(`${url}/v1/responses`, { model: 'pol-gpt', input: 'hi', ...fields });
  t.like((await ask1({ instructions: 'Be brief.', metadata: { a: 'b' } })).json, {
    object: 'response',
    status: 'completed',
    store: false,
    metadata: { a: 'b' },
    output: [{ type: 'message', content: [{ type: 'output_text', text: 'Hello there.' }] }],
  });
  t.like((await ask1({ max_output_tokens: 1 })).json, {
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
  });
  for (const [fields, param] of [
    [{ input: null }, 'input'],
    [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
    [{ background: true }, 'background'],
    [{ truncation: 'auto' }, 'truncation'],
    [{ text: { format: { type: 'json_object' } } }, 'text.format.type'],
    [{ input: [{ type: 'item_reference', id: 'x' }] }, 'input[0].type'],
    [{ tools: [{ type: 'web_search' }] }, 'tools'],
    [{ include: ['file_search_call.results'] }, 'include'],
  ] as const) {
    const { status, json } = await ask1(fields);
    t.is(status, 400, param);
    t.is((json as ApiError).error.param, param);
  }
});

test('a client that does not read its stream is cut off and frees its slot', async (t) => {
  const { server, url, model } = await serve(t, { limits: { streamStallMs: 200 } });
  model.script = tokens(...Array<string>(60).fill('x'.repeat(400_000)));
  const headers = { 'content-type': 'application/json' };
  const client = httpRequest({ port: server.port, method: 'POST', path: '/v1/chat/completions', headers }, (answer) =>
    answer.pause(),
  );
  client.on('error', () => undefined);
  client.end(JSON.stringify({ ...user('hi'), stream: true }));
  while (model.signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const signal = model.signals[0] as AbortSignal;
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  model.script = tokens('free');
  t.like(choicesOf(await post(`${url}/v1/chat/completions`, user('hi')))[0], { message: { content: 'free' } });
  client.destroy();
});

test('closing the server ends what is being generated', async (t) => {
  const { server, url, model } = await serve(t);
  model.pause = () => new Promise((resolve) => setTimeout(resolve, 20));
  model.script = tokens(...Array<string>(500).fill('word '));
  const running = post(`${url}/v1/chat/completions`, user('hi')).catch(() => null);
  while (model.signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await server.close();
  t.true(model.signals[0]?.aborted);
  t.is(await running, null);
});
