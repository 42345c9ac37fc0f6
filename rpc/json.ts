// Owns the reading of untrusted JSON text: depth, number length and keys are checked before the parser sees it.

import { type Result, fault, success } from '../base/fault.ts';

/** Digits of one number: a 256-bit one has 78. */
const NUMBER_CHARACTERS = 400;

const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN_LIST = 91;
const BACKSLASH = 92;
const CLOSE_LIST = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The value of JSON text. Faults: `parseError` for text that is not JSON, is nested deeper than `maxDepth`, has a number
 * longer than 400 characters, a key twice in one object, or the key `__proto__`.
 */
export function parseJson(text: string, maxDepth: number): Result<unknown> {
  const reason = inspect(text, maxDepth);
  if (reason !== null) return fault('parseError', reason);
  try {
    return success(JSON.parse(text));
  } catch {
    return fault('parseError', 'the body is not valid JSON');
  }
}

/** Keys seen so far of each open object, null for a list. */
type Frame = Set<string> | null;

/** Reason to refuse the text, or null. Only looks at structure: what it lets through may still not be JSON. */
function inspect(text: string, maxDepth: number): string | null {
  const frames: Frame[] = [];
  let plain = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > COLON && code !== OPEN_LIST && code !== CLOSE_LIST && code !== OPEN_OBJECT && code !== CLOSE_OBJECT) {
      if (++plain > NUMBER_CHARACTERS) return `a number is longer than ${NUMBER_CHARACTERS} characters`;
      continue;
    }
    if (code === QUOTE) {
      const end = stringEnd(text, at);
      if (end < 0) return 'the body is not valid JSON';
      const reason = keyReason(text, at, end, frames);
      if (reason !== null) return reason;
      at = end;
      plain = 0;
    } else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      if (frames.length >= maxDepth) return `the body is nested deeper than ${maxDepth} levels`;
      frames.push(code === OPEN_OBJECT ? new Set() : null);
      plain = 0;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) {
      frames.pop();
      plain = 0;
    } else if (code <= 32 || code === COMMA || code === COLON) {
      plain = 0;
    } else if (++plain > NUMBER_CHARACTERS) {
      return `a number is longer than ${NUMBER_CHARACTERS} characters`;
    }
  }
  return null;
}

/** Index of the quote that closes the string opened at `start`, or -1. */
function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return -1;
}

/** Records the string from `start` to `end` when it is a key of the innermost object; the reason when it may not be one. */
function keyReason(text: string, start: number, end: number, frames: readonly Frame[]): string | null {
  const keys = frames[frames.length - 1];
  if (keys === undefined || keys === null) return null;
  let next = end + 1;
  while (text.charCodeAt(next) <= 32) next++;
  if (text.charCodeAt(next) !== COLON) return null;
  let key = text.slice(start + 1, end);
  if (key.includes('\\')) {
    try {
      key = JSON.parse(`"${key}"`) as string;
    } catch {
      return 'the body is not valid JSON';
    }
  }
  if (key === '__proto__') return 'the key "__proto__" is not allowed';
  if (keys.has(key)) return `the key ${JSON.stringify(key.slice(0, 64))} stands twice in one object`;
  keys.add(key);
  return null;
}
