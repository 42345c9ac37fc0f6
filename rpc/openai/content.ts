// Owns message content: a string or a list of text parts, whichever of the API's names the parts carry.

import { isObject } from '../json.ts';
import type { RpcLimits } from '../limits.ts';
import { refuse } from './api-error.ts';

/** Part types that carry text: chat's, and those of responses. */
const TEXT_TYPES: ReadonlySet<unknown> = new Set(['text', 'input_text', 'output_text']);

/** Joined text of a content value at `param`; anything but text is refused, naming where it stands. */
export function contentText(value: unknown, param: string, limits: RpcLimits): string {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) throw refuse(param, `${param}: expected a string or a list of parts`, 'invalid_type');
  if (value.length > limits.chatParts) throw refuse(param, `${param}: at most ${limits.chatParts} parts are allowed`);
  return value.map((part: unknown, i) => partText(part, `${param}[${i}]`)).join('');
}

function partText(part: unknown, param: string): string {
  if (!isObject(part)) throw refuse(param, `${param}: expected an object`, 'invalid_type');
  const type = part.type;
  if (type === 'refusal') return typeof part.refusal === 'string' ? part.refusal : '';
  if (!TEXT_TYPES.has(type)) {
    const named = typeof type === 'string' ? JSON.stringify(type.slice(0, 40)) : 'a missing type';
    throw refuse(
      `${param}.type`,
      `${param}.type: ${named} is not supported, this model reads text`,
      'unsupported_value',
    );
  }
  const text = part.text;
  if (typeof text !== 'string') throw refuse(`${param}.text`, `${param}.text: expected a string`, 'invalid_type');
  return text;
}
