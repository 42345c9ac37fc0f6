// Owns the one JSON text of a value: keys in code-unit order, no blanks, whole numbers only. What is hashed as JSON is written here.

import { check } from './check.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Canonical JSON text (the RFC 8785 order of keys, restricted to safe whole numbers so no float formatting is involved). */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    check(Number.isSafeInteger(value) && !Object.is(value, -0), 'canonicalJson: numbers are safe whole numbers');
    return String(value);
  }
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const parts: string[] = [];
  // Keys are sorted here, never taken in insertion order: engines put integer-like keys first.
  for (const key of Object.keys(value).sort()) {
    const entry = value[key];
    if (entry !== undefined) parts.push(`${JSON.stringify(key)}:${canonicalJson(entry)}`);
  }
  return `{${parts.join(',')}}`;
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
