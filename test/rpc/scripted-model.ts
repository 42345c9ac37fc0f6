// Owns a language model for tests of the HTTP side: it says what its script holds, one token a piece, deterministically.

import { utf8 } from '../../base/bytes.ts';
import type { ChatModel, GenerateEvent, GenerateRequest, Prompt } from '../../rpc/ports.ts';

export const MODEL_ROOT = `0x${'ab'.repeat(32)}` as const;
export const CONTEXT = 128;

export type ScriptedModel = ChatModel & {
  /** Requests as the server passed them on. */
  readonly requests: GenerateRequest[];
  /** Signals of the generations, in order. */
  readonly signals: AbortSignal[];
  /** Tokens to say, as bytes; the end of the list is the model's own end. */
  script: readonly Uint8Array[];
  /** Waits before each token. */
  pause: () => Promise<void>;
};

/** Pieces of text as tokens. */
export function tokens(...pieces: readonly string[]): readonly Uint8Array[] {
  return pieces.map(utf8);
}

/** One token a word, so that tests can count. */
function count(prompt: Prompt): number {
  if (prompt.kind === 'tokens') return prompt.tokens.length;
  if (prompt.kind === 'text') return prompt.text.split(' ').length;
  return prompt.messages.reduce((total, message) => total + message.content.split(' ').length + 1, 1);
}

export function scriptedModel(script: readonly Uint8Array[]): ScriptedModel {
  const model: ScriptedModel = {
    requests: [],
    signals: [],
    script,
    pause: () => Promise.resolve(),
    info: () => ({
      modelRoot: MODEL_ROOT,
      round: 7,
      created: 1_790_000_000,
      contextTokens: CONTEXT,
      vocabularySize: 1_024,
      parameters: 3_430_000,
    }),
    countTokens: (prompt) => Promise.resolve(count(prompt)),
    async *generate(request, signal): AsyncGenerator<GenerateEvent> {
      model.requests.push(request);
      model.signals.push(signal);
      yield { kind: 'start', modelRoot: MODEL_ROOT, promptTokens: count(request.prompt) };
      for (const [i, bytes] of model.script.entries()) {
        if (i === request.maxTokens) return void (yield { kind: 'end', reason: 'length' });
        await model.pause();
        if (signal.aborted) return;
        const top = Array.from({ length: request.topLogprobs }, (_, k) => ({ id: k, bytes, logprob: -0.5 - k }));
        yield { kind: 'token', id: i, bytes, logprob: -0.5, top };
      }
      yield { kind: 'end', reason: 'stop' };
    },
  };
  return model;
}
