// Owns the cases of execution-apis' rpc-compat: reading .io files, sending their requests, comparing by value, by error
// code, or by shape where a case says that only its shape counts.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Exchange = Readonly<{ request: Json; expected: Json }>;
export type Case = Readonly<{ method: string; name: string; shapeOnly: boolean; exchanges: readonly Exchange[] }>;
type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

export function readCases(directory: string): Case[] {
  const tests = join(directory, 'tests');
  return readdirSync(tests)
    .sort()
    .flatMap((method) =>
      readdirSync(join(tests, method))
        .filter((file) => file.endsWith('.io'))
        .sort()
        .map((file) => parseCase(method, file.slice(0, -3), readFileSync(join(tests, method, file), 'utf8'))),
    );
}

function parseCase(method: string, name: string, text: string): Case {
  const exchanges: Exchange[] = [];
  let request: Json = null;
  for (const line of text.split('\n')) {
    if (line.startsWith('>> ')) request = JSON.parse(line.slice(3)) as Json;
    if (line.startsWith('<< ')) exchanges.push({ request, expected: JSON.parse(line.slice(3)) as Json });
  }
  return { method, name, shapeOnly: /^\/\/ speconly/m.test(text), exchanges };
}

const NUMBER = /^0x(?:0|[1-9a-f][0-9a-f]*)$/i;

function isObject(value: Json | undefined): value is { readonly [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** First difference, as `path: expected, got`, or null. Hex is compared without regard to case. */
function difference(expected: Json, got: Json | undefined, path: string): string | null {
  if (Array.isArray(expected)) {
    if (!Array.isArray(got)) return `${path}: expected a list, got ${short(got)}`;
    if (got.length !== expected.length) return `${path}: expected ${expected.length} entries, got ${got.length}`;
    for (const [i, item] of expected.entries()) {
      const found = difference(item, got[i], `${path}[${i}]`);
      if (found !== null) return found;
    }
    return null;
  }
  if (isObject(expected)) {
    if (!isObject(got)) return `${path}: expected an object, got ${short(got)}`;
    for (const name of new Set([...Object.keys(expected), ...Object.keys(got)])) {
      const wanted = expected[name];
      if (wanted === undefined) return `${path}.${name}: not expected, got ${short(got[name])}`;
      const found = difference(wanted, got[name], `${path}.${name}`);
      if (found !== null) return found;
    }
    return null;
  }
  const same =
    typeof expected === 'string' && typeof got === 'string'
      ? expected.toLowerCase() === got.toLowerCase()
      : expected === got;
  return same ? null : `${path}: expected ${short(expected)}, got ${short(got)}`;
}

/** As `difference`, for shapes: same kinds, same names; lists by their first entries, hex numbers by being hex. */
function misshapen(expected: Json, got: Json | undefined, path: string): string | null {
  if (Array.isArray(expected)) {
    if (!Array.isArray(got)) return `${path}: expected a list, got ${short(got)}`;
    const [wanted] = expected;
    return wanted === undefined || got.length === 0 ? null : misshapen(wanted, got[0], `${path}[0]`);
  }
  if (isObject(expected)) {
    if (!isObject(got)) return `${path}: expected an object, got ${short(got)}`;
    // Names that are data (accounts, nonces, transaction hashes) may differ; field names may not.
    for (const [name, wanted] of Object.entries(expected)) {
      if (/^(0x|\d)/.test(name)) continue;
      const found = misshapen(wanted, got[name], `${path}.${name}`);
      if (found !== null) return found;
    }
    return null;
  }
  if (typeof expected === 'string' && NUMBER.test(expected)) {
    return typeof got === 'string' && /^0x[0-9a-f]*$/i.test(got) ? null : `${path}: expected hex, got ${short(got)}`;
  }
  return typeof expected === typeof got ? null : `${path}: expected ${typeof expected}, got ${short(got)}`;
}

function short(value: Json | undefined): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 120 ? `${text.slice(0, 120)}...` : text;
}

/** What is wrong with an answer, or null. Error messages differ between clients; codes and data do not. */
export function judge(expected: Json, got: Json, shapeOnly: boolean): string | null {
  if (!isObject(expected) || !isObject(got)) return 'not an object';
  const { error, result } = expected;
  if (isObject(error)) {
    const actual = got['error'];
    if (!isObject(actual)) return `expected error ${error['code']}, got ${short(got['result'])}`;
    if (actual['code'] !== error['code']) {
      return `error code: expected ${short(error['code'])}, got ${short(actual['code'])} (${short(actual['message'])})`;
    }
    return error['data'] === undefined ? null : difference(error['data'], actual['data'], 'error.data');
  }
  if (got['error'] !== undefined) return `unexpected error ${short(got['error'])}`;
  const compare = shapeOnly ? misshapen : difference;
  return compare(result ?? null, got['result'], 'result');
}

export type Verdict = Readonly<{ one: Case; failure: string | null }>;

/** Sends a case's requests in their order. */
export async function runCase(one: Case, send: (request: unknown) => Promise<unknown>): Promise<Verdict> {
  for (const { request, expected } of one.exchanges) {
    const failure = judge(expected, (await send(request)) as Json, one.shapeOnly);
    if (failure !== null) return { one, failure };
  }
  return { one, failure: null };
}
