// Owns the reading of request fields: each function takes a body and a field name and refuses naming the field.
// Null counts as left out everywhere, as in OpenAI's own API.

import { type JsonObject, isObject } from '../json.ts';
import { refuse } from './api-error.ts';

function given(body: JsonObject, name: string): unknown {
  const value = body[name];
  return value === null ? undefined : value;
}

export function numberIn(body: JsonObject, name: string, low: number, high: number): number | null {
  const value = given(body, name);
  if (value === undefined) return null;
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw refuse(name, `${name}: expected a number`, 'invalid_type');
  if (value < low || value > high) throw refuse(name, `${name}: ${value} is outside ${low} to ${high}`);
  return value;
}

export function wholeIn(body: JsonObject, name: string, low: number, high: number): number | null {
  const value = numberIn(body, name, low, high);
  if (value !== null && !Number.isSafeInteger(value)) {
    throw refuse(name, `${name}: expected a whole number`, 'invalid_type');
  }
  return value;
}

export function flagOf(body: JsonObject, name: string): boolean {
  const value = given(body, name);
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw refuse(name, `${name}: expected true or false`, 'invalid_type');
  return value;
}

export function textOf(body: JsonObject, name: string): string | null {
  const value = given(body, name);
  if (value === undefined) return null;
  if (typeof value !== 'string') throw refuse(name, `${name}: expected a string`, 'invalid_type');
  return value;
}

export function objectOf(body: JsonObject, name: string): JsonObject | null {
  const value = given(body, name);
  if (value === undefined) return null;
  if (!isObject(value)) throw refuse(name, `${name}: expected an object`, 'invalid_type');
  return value;
}

export function listOf(body: JsonObject, name: string, limit: number): readonly unknown[] | null {
  const value = given(body, name);
  if (value === undefined) return null;
  if (!Array.isArray(value)) throw refuse(name, `${name}: expected a list`, 'invalid_type');
  if (value.length > limit) throw refuse(name, `${name}: ${value.length} entries, at most ${limit} are allowed`);
  return value;
}

/** Refuses fields that would change the answer if they were honoured; empty values pass. */
export function refuseUnsupported(body: JsonObject, names: readonly string[]): void {
  for (const name of names) {
    const value = given(body, name);
    if (value === undefined || value === false || value === '') continue;
    if (Array.isArray(value) && value.length === 0) continue;
    throw refuse(name, `${name}: not supported by this server`, 'unsupported_parameter');
  }
}
