// The chat command: one question to the network's model, the answer printed as it is made.

import type { CommandModule } from 'yargs';
import { FaultError, fault } from '../../base/fault.ts';
import { ask, nodeOptions } from '../api-client.ts';

type Arguments = {
  port: number;
  host: string;
  json: boolean;
  prompt: string;
  'max-tokens': number;
  temperature: number;
  seed: number | undefined;
};

const ANSWER_MS = 10 * 60_000;

type Chunk = {
  model?: string;
  system_fingerprint?: string;
  choices: { delta: { content?: string | null } }[];
  error?: { message: string };
};

async function* events(response: Response): AsyncGenerator<Chunk> {
  if (response.body === null) return;
  let rest = '';
  const decoder = new TextDecoder();
  for await (const bytes of response.body) {
    const lines = (rest + decoder.decode(bytes as Uint8Array, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue;
      const data = line.slice('data: '.length);
      if (data === '[DONE]') return;
      yield JSON.parse(data) as Chunk;
    }
  }
}

export const chatCommand: CommandModule<object, Arguments> = {
  command: 'chat',
  describe: "ask the network's model",
  builder: {
    ...nodeOptions,
    prompt: { type: 'string', demandOption: true, describe: 'what to say' },
    'max-tokens': { type: 'number', default: 100, describe: 'longest answer, in tokens' },
    temperature: { type: 'number', default: 0.8, describe: '0 (always the likeliest token) to 2' },
    seed: { type: 'number', describe: 'same seed and model: same answer on every node' },
  } as never,
  async handler(args) {
    const body = {
      model: 'pol-gpt',
      messages: [{ role: 'user', content: args.prompt }],
      max_tokens: args['max-tokens'],
      temperature: args.temperature,
      stream: !args.json,
      ...(args.seed === undefined ? {} : { seed: args.seed }),
    };
    const response = await ask(
      args,
      '/v1/chat/completions',
      { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      ANSWER_MS,
    );
    if (!response.ok) {
      const refused = (await response.json().catch(() => null)) as { error?: { message?: string } } | null;
      throw new FaultError(fault('chat', `the node refused: ${refused?.error?.message ?? `HTTP ${response.status}`}`));
    }
    if (args.json) {
      console.log(JSON.stringify(await response.json()));
      return;
    }
    let fingerprint = '';
    for await (const chunk of events(response)) {
      if (chunk.error !== undefined) throw new FaultError(fault('chat', chunk.error.message));
      fingerprint = chunk.system_fingerprint ?? fingerprint;
      process.stdout.write(chunk.choices[0]?.delta.content ?? '');
    }
    console.log(`\n(model ${fingerprint.slice(0, 18)})`);
  },
};
