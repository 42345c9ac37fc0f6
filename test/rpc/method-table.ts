// Owns the table of methods as documentation: what docs/json-rpc.md must hold between its two marks.

import { methods } from '../../rpc/methods/table.ts';

export const TABLE_BEGIN = '<!-- methods: generated from rpc/methods/ -->';
export const TABLE_END = '<!-- end of methods -->';

/** Markdown table of every method: name, parameters, meaning, rate cost. */
export function methodsTable(): string {
  const rows = [...methods].map(([name, { params, summary, cost }]) => {
    const shown = params === '' ? '' : `\`${params.replaceAll('|', '\\|')}\``;
    return `| \`${name}\` | ${shown} | ${summary} | ${cost ?? 1} |`;
  });
  return ['| Method | Parameters | Meaning | Cost |', '|---|---|---|---|', ...rows].join('\n');
}

/** The text with what stands between the marks replaced by the table; null when it lacks a mark. */
export function withMethodsTable(text: string): string | null {
  const begin = text.indexOf(TABLE_BEGIN);
  const end = text.indexOf(TABLE_END);
  if (begin < 0 || end < begin) return null;
  return `${text.slice(0, begin + TABLE_BEGIN.length)}\n${methodsTable()}\n${text.slice(end)}`;
}
