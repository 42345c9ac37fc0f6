// Every answer of the OpenAI routes against OpenAI's own schemas, where shared/data has them.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import test, { type ExecutionContext } from 'ava';
import { sharedData } from '../shared-data.ts';
import { ask, post, serve } from './fixture.ts';

const path = sharedData('openai-schema/openai-openapi-cut.json.gz');

function schemas(): (name: string) => ValidateFunction {
  const { components } = JSON.parse(gunzipSync(readFileSync(path as string)).toString()) as { components: unknown };
  const ajv = new Ajv2020({ strict: false, logger: false });
  ajv.addSchema({ $id: 'openai', components } as object);
  return (name) => ajv.getSchema(`openai#/components/schemas/${name}`) as ValidateFunction;
}

function valid(t: ExecutionContext<unknown>, validate: ValidateFunction, value: unknown): void {
  t.true(validate(value), JSON.stringify(validate.errors?.slice(0, 3)));
}

function data(text: string): readonly unknown[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)));
}

/** Schema of each event a text response runs through. */
const EVENTS: Readonly<Record<string, string>> = {
  'response.created': 'ResponseCreatedEvent',
  'response.in_progress': 'ResponseInProgressEvent',
  'response.output_item.added': 'ResponseOutputItemAddedEvent',
  'response.content_part.added': 'ResponseContentPartAddedEvent',
  'response.output_text.delta': 'ResponseTextDeltaEvent',
  'response.output_text.done': 'ResponseTextDoneEvent',
  'response.content_part.done': 'ResponseContentPartDoneEvent',
  'response.output_item.done': 'ResponseOutputItemDoneEvent',
  'response.completed': 'ResponseCompletedEvent',
  'response.incomplete': 'ResponseIncompleteEvent',
};

test('answers, chunks, events and errors are what the API specifies', async (t) => {
  if (path === null) {
    t.log('skipped: shared/data/openai-schema is not there');
    t.pass();
    return;
  }
  const schema = schemas();
  const { url } = await serve(t);
  const messages = [{ role: 'user', content: 'hi' }];
  const chat = { model: 'pol-gpt', messages, logprobs: true, top_logprobs: 2, n: 2 };
  const plain = await post(`${url}/v1/chat/completions`, chat);
  valid(t, schema('CreateChatCompletionResponse'), plain.json);
  const usage = { stream: true, stream_options: { include_usage: true } };
  for (const chunk of data((await post(`${url}/v1/chat/completions`, { ...chat, ...usage })).text)) {
    valid(t, schema('CreateChatCompletionStreamResponse'), chunk);
  }
  const completion = { model: 'pol-gpt', prompt: ['a', 'b'], logprobs: 2 };
  valid(t, schema('CreateCompletionResponse'), (await post(`${url}/v1/completions`, completion)).json);
  // The schema has no chunk of its own, and does not know the nulls of all chunks but the last.
  const chunks = (await post(`${url}/v1/completions`, { ...completion, ...usage })).text;
  for (const chunk of data(
    chunks.replaceAll('"finish_reason":null', '"finish_reason":"stop"').replaceAll(',"usage":null', ''),
  )) {
    valid(t, schema('CreateCompletionResponse'), chunk);
  }
  const response = { model: 'pol-gpt', input: 'hi', top_logprobs: 2, instructions: 'Be brief.' };
  valid(t, schema('Response'), (await post(`${url}/v1/responses`, response)).json);
  valid(t, schema('Response'), (await post(`${url}/v1/responses`, { ...response, max_output_tokens: 1 })).json);
  for (const event of data((await post(`${url}/v1/responses`, { ...response, stream: true })).text)) {
    valid(t, schema(EVENTS[(event as { type: string }).type] ?? 'ResponseErrorEvent'), event);
  }
  valid(t, schema('ListModelsResponse'), (await ask(`${url}/v1/models`)).json);
  valid(t, schema('Model'), (await ask(`${url}/v1/models/pol-gpt`)).json);
  valid(t, schema('ErrorResponse'), (await post(`${url}/v1/chat/completions`, {})).json);
  t.false(schema('CreateChatCompletionResponse')({ ...(plain.json as object), choices: 5 }));
});
