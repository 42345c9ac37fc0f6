// Owns the fit of prompt and answer into the model's context: a prompt that does not fit is refused, never cut.

import type { ChatModel, ChatModelInfo, Prompt } from '../ports.ts';
import { refuse } from './api-error.ts';

/** Tokens the answer may have: what was asked for, cut to what the context leaves, at least one. */
export async function tokenBudget(
  model: ChatModel,
  info: ChatModelInfo,
  prompt: Prompt,
  asked: number | null,
  param: string,
): Promise<number> {
  const promptTokens = await model.countTokens(prompt);
  const left = info.contextTokens - promptTokens;
  if (left < 1) {
    const message =
      `this model's context is ${info.contextTokens} tokens, of which at least one is for the answer; ` +
      `${param} has ${promptTokens} tokens: shorten it`;
    throw refuse(param, message, 'context_length_exceeded');
  }
  return Math.min(asked ?? left, left);
}
