// The real OpenAI client against the server: what its users do first.

import test from 'ava';
import OpenAI from 'openai';
import { serve } from './fixture.ts';
import { tokens } from './scripted-model.ts';

const messages = [{ role: 'user' as const, content: 'Hello, how are you?' }];

test('chat: whole, streamed with usage, and through the stream helper', async (t) => {
  const { url } = await serve(t);
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  const whole = await client.chat.completions.create({ model: 'pol-gpt', messages, max_tokens: 100 });
  t.is(whole.choices[0]?.message.content, 'Hello there.');
  t.is(whole.usage?.completion_tokens, 3);
  let text = '';
  let usage = 0;
  const options = { model: 'pol-gpt', messages, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create({ ...options, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
    usage += chunk.usage?.total_tokens ?? 0;
  }
  t.is(text, 'Hello there.');
  t.is(usage, 9);
  const helper = client.chat.completions.stream(options);
  t.is(await helper.finalContent(), 'Hello there.');
});

test('completions, responses and models', async (t) => {
  const { url, model } = await serve(t);
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  t.is((await client.completions.create({ model: 'pol-gpt', prompt: 'Once' })).choices[0]?.text, 'Hello there.');
  model.script = tokens('日', '本');
  t.is((await client.responses.create({ model: 'pol-gpt', input: 'hi' })).output_text, '日本');
  const stream = client.responses.stream({ model: 'pol-gpt', input: 'hi' });
  t.is((await stream.finalResponse()).output_text, '日本');
  const ids: string[] = [];
  for await (const { id } of client.models.list()) ids.push(id);
  t.deepEqual(ids, ['pol-gpt', 'pol-gpt@round-7']);
});

test('errors arrive as the classes users catch, and busy is retried', async (t) => {
  const { url, model } = await serve(t, { apiKey: 'key', limits: { generationsRunning: 1, generationsWaiting: 0 } });
  const wrong = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  await t.throwsAsync(wrong.models.list(), { instanceOf: OpenAI.AuthenticationError });
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'key', maxRetries: 2 });
  const tooHot = client.chat.completions.create({ model: 'pol-gpt', messages, temperature: 3 });
  const refusal = await t.throwsAsync(tooHot, { instanceOf: OpenAI.BadRequestError });
  t.is((refusal as InstanceType<typeof OpenAI.BadRequestError>).param, 'temperature');
  await t.throwsAsync(client.models.retrieve('gpt-4o'), { instanceOf: OpenAI.NotFoundError });
  let open = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  model.pause = () => gate;
  const first = client.chat.completions.create({ model: 'pol-gpt', messages });
  while (model.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const second = client.chat.completions.create({ model: 'pol-gpt', messages });
  setTimeout(open, 300);
  t.is((await first).choices[0]?.finish_reason, 'stop');
  t.is((await second).choices[0]?.finish_reason, 'stop');
});
