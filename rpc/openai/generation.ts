// Owns one generation: the model's events turned into text pieces with an end reason, under a time limit and an abort signal.

import { check } from '../../base/check.ts';
import type { Hex } from '../../base/bytes.ts';
import type { ChatModel, GenerateRequest } from '../ports.ts';
import { type Piece, textStream } from './text-stream.ts';

export type FinishReason = 'stop' | 'length';

export type GenerationEvent =
  | Readonly<{ kind: 'start'; modelRoot: Hex; promptTokens: number }>
  | (Readonly<{ kind: 'piece' }> & Piece)
  | Readonly<{ kind: 'end'; reason: FinishReason; completionTokens: number }>;

export type GenerationOptions = Readonly<{
  model: ChatModel;
  request: GenerateRequest;
  stops: readonly string[];
  /** The client: aborted when it leaves. */
  signal: AbortSignal;
  /** Wall time after which the answer is cut off as if it had reached its length. */
  limitMs: number;
}>;

/** `start`, then pieces, then `end`; after an abort it ends without `end`. */
export async function* generation(options: GenerationOptions): AsyncGenerator<GenerationEvent> {
  const { model, request, stops, signal, limitMs } = options;
  const text = textStream(stops);
  const stop = new AbortController();
  let completionTokens = 0;
  let reason: FinishReason | null = null;
  let started = false;
  const timer = setTimeout(() => {
    reason = 'length';
    stop.abort();
  }, limitMs);
  try {
    for await (const event of model.generate(request, AbortSignal.any([signal, stop.signal]))) {
      if (signal.aborted) return;
      if (event.kind === 'start') {
        started = true;
        yield event;
      } else if (event.kind === 'token') {
        completionTokens++;
        const { text: shown, tokens, stopped } = text.push(event);
        if (shown !== '' || tokens.length > 0) yield { kind: 'piece', text: shown, tokens };
        if (stopped) {
          reason = 'stop';
          break;
        }
      } else {
        reason ??= event.reason;
        break;
      }
    }
    if (signal.aborted) return;
    check(started, 'the model begins with a start event');
    check(reason !== null, 'the model ends with an end event');
    const rest = text.flush();
    if (rest.text !== '' || rest.tokens.length > 0) yield { kind: 'piece', ...rest };
    yield { kind: 'end', reason, completionTokens };
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}
