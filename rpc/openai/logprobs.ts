// Owns the two log-probability forms of the API: per token objects of chat and responses, parallel lists of completions.

import type { TokenLogprob } from '../ports.ts';
import type { TokenEvent } from './text-stream.ts';

/** What the API writes for a token that cannot occur: JSON has no minus infinity. */
const LEAST = -9999;

function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : LEAST;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}

function entry(token: TokenLogprob) {
  return { token: text(token.bytes), logprob: finite(token.logprob), bytes: [...token.bytes] };
}

export type ChatLogprob = ReturnType<typeof entry> & Readonly<{ top_logprobs: readonly ReturnType<typeof entry>[] }>;

export function chatLogprobs(tokens: readonly TokenEvent[]): readonly ChatLogprob[] {
  return tokens.map((token) => ({ ...entry(token), top_logprobs: token.top.map(entry) }));
}

export type CompletionLogprobs = Readonly<{
  tokens: readonly string[];
  token_logprobs: readonly number[];
  top_logprobs: readonly Readonly<Record<string, number>>[];
  text_offset: readonly number[];
}>;

/** `offset` is where the first token begins in the choice's text. */
export function completionLogprobs(tokens: readonly TokenEvent[], offset: number): CompletionLogprobs {
  const texts = tokens.map((token) => text(token.bytes));
  let at = offset;
  return {
    tokens: texts,
    token_logprobs: tokens.map((token) => finite(token.logprob)),
    top_logprobs: tokens.map(({ top }) =>
      Object.fromEntries(top.map((other) => [text(other.bytes), finite(other.logprob)])),
    ),
    text_offset: texts.map((piece) => {
      at += piece.length;
      return at - piece.length;
    }),
  };
}
