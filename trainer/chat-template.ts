// Owns how a conversation becomes tokens (ChatML): <|im_start|>role newline content <|im_end|> newline. The tokenizer is
// passed in; text of users never turns into a special token.

import { type Result, fault, success } from '../base/fault.ts';

type ChatRole = 'system' | 'developer' | 'user' | 'assistant' | 'tool';
export type ChatMessage = Readonly<{ role: ChatRole; content: string }>;

/** What the template needs of a tokenizer. `encode` must treat special tokens inside text as plain text. */
export type ChatTokenizer = Readonly<{
  encode(text: string): readonly number[];
  special: Readonly<Record<'<|im_start|>' | '<|im_end|>' | '<|endoftext|>', number>>;
}>;

const ROLES: readonly string[] = ['system', 'developer', 'user', 'assistant', 'tool'] satisfies readonly ChatRole[];

/** The same conversation as text, for people and for exports. */
export function renderChat(messages: readonly ChatMessage[]): string {
  const turns = messages.map(({ role, content }) => `<|im_start|>${shownRole(role)}\n${content}<|im_end|>\n`);
  return `${turns.join('')}<|im_start|>assistant\n`;
}

/** Tokens of the conversation and of the opening of the assistant's turn. Refuses an empty list or an unknown role. */
export function encodeChat(messages: readonly ChatMessage[], tokenizer: ChatTokenizer): Result<number[]> {
  if (messages.length === 0) return fault('chat', 'messages must not be empty', { field: 'messages' });
  const { '<|im_start|>': imStart, '<|im_end|>': imEnd } = tokenizer.special;
  const tokens: number[] = [];
  const say = (text: string): void => {
    for (const token of tokenizer.encode(text)) tokens.push(token);
  };
  for (const [index, { role, content }] of messages.entries()) {
    if (!ROLES.includes(role)) return fault('chat', `messages[${index}].role is not known`, { field: 'messages' });
    tokens.push(imStart);
    say(`${shownRole(role)}\n${content}`);
    tokens.push(imEnd);
    say('\n');
  }
  tokens.push(imStart);
  say('assistant\n');
  return success(tokens);
}

/** Tokens that end the assistant's turn. */
export function stopTokens({ special }: ChatTokenizer): readonly number[] {
  return [special['<|im_end|>'], special['<|endoftext|>']];
}

/** The developer role is the newer name of the system role. */
const shownRole = (role: ChatRole): string => (role === 'developer' ? 'system' : role);
