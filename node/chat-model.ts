// Owns the network's model as the chat endpoint sees it: template and tokens on this side, decoding in the chat thread, the
// newest accepted model always in it.

import type { Hex } from '../base/bytes.ts';
import { FaultError, fault, unwrap } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import type { ChatModel, GenerateEvent, GenerateRequest, Prompt, TokenLogprob } from '../rpc/ports.ts';
import { encodeChat, stopTokens } from '../trainer/chat-template.ts';
import type { GenerationEvent } from '../trainer/generate.ts';
import { parameterCount } from '../trainer/model.ts';
import type { Tokenizer } from '../trainer/tokenizer.ts';
import type { EngineThread } from './engine-thread.ts';
import { CHAT_EVENTS } from './limits.ts';
import type { Logger } from './logger.ts';
import type { ModelKeeper } from './model-keeper.ts';
import type { NetworkDefinition } from './network-definition.ts';

export type ChatModelOptions = Readonly<{
  chain: Chain;
  definition: NetworkDefinition;
  keeper: ModelKeeper;
  thread: EngineThread;
  tokenizer: Tokenizer;
  log: Logger;
}>;

/** Events handed from the thread's callbacks to an async iteration, in order. */
function eventBuffer<T>(): { push(event: T): void; end(error?: Error): void; read(): AsyncGenerator<T> } {
  const events: T[] = [];
  let ended = false;
  let failure: Error | null = null;
  let wake: (() => void) | null = null;
  const signal = (): void => {
    wake?.();
    wake = null;
  };
  return {
    push(event) {
      if (events.length < CHAT_EVENTS) events.push(event);
      signal();
    },
    end(error) {
      ended = true;
      failure = error ?? null;
      signal();
    },
    async *read() {
      for (;;) {
        const event = events.shift();
        if (event !== undefined) yield event;
        else if (failure !== null) throw failure;
        else if (ended) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

export async function createChatModel(options: ChatModelOptions): Promise<ChatModel> {
  const { chain, definition, keeper, thread, tokenizer, log } = options;
  const { model } = definition.training;
  /** Root of the model the thread answers with; requests name it. */
  let served: { root: Hex; round: number | null; created: number };

  /** Requests made after this call, even before it has settled, are answered by the new model. */
  async function adopt(): Promise<void> {
    const { record, params } = keeper.current();
    const round = record.round < 0 ? null : record.round;
    served = { root: record.root, round, created: chain.head().header.timestamp };
    await thread.setModel(params);
  }
  await adopt();
  keeper.onChange(() => {
    adopt().catch((error: unknown) => log.error('chat model not swapped', { reason: String(error) }));
  });

  function tokensOf(prompt: Prompt): readonly number[] {
    switch (prompt.kind) {
      case 'tokens':
        return prompt.tokens;
      case 'text':
        return tokenizer.encode(prompt.text);
      case 'chat':
        return unwrap(
          encodeChat(prompt.messages, { encode: (text) => tokenizer.encode(text), special: tokenizer.special }),
        );
    }
  }

  const shown = (token: number, logprob: number): TokenLogprob => ({
    id: token,
    bytes: tokenizer.bytesOf(token),
    logprob,
  });

  return {
    info: () => ({
      modelRoot: served.root,
      round: served.round,
      created: served.created,
      contextTokens: model.context,
      vocabularySize: model.vocab,
      parameters: parameterCount(model),
    }),
    countTokens: async (prompt) => tokensOf(prompt).length,
    async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
      const prompt = tokensOf(request.prompt);
      const buffer = eventBuffer<GenerationEvent>();
      const { maxTokens, temperature, topP, frequencyPenalty, presencePenalty, topLogprobs } = request;
      const { root } = served;
      thread
        .generate(
          {
            prompt,
            maxTokens,
            temperature,
            topP,
            frequencyPenalty,
            presencePenalty,
            topLogprobs,
            seed: BigInt(request.seed),
            logitBias: [...request.logitBias],
            stopTokens: stopTokens({ encode: (text) => tokenizer.encode(text), special: tokenizer.special }),
          },
          (event) => buffer.push(event),
          signal,
        )
        .then(
          () => buffer.end(),
          (error: unknown) =>
            buffer.end(new FaultError(fault('generation', error instanceof Error ? error.message : String(error)))),
        );
      yield { kind: 'start', modelRoot: root, promptTokens: prompt.length };
      for await (const event of buffer.read()) {
        if (event.kind === 'end') {
          if (event.reason !== 'aborted') yield { kind: 'end', reason: event.reason };
          return;
        }
        const top = event.top.map(({ token, logprob }) => shown(token, logprob));
        yield { kind: 'token', ...shown(event.token, event.logprob), top };
      }
    },
  };
}
