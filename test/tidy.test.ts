// Owns the rules the code is held to that no compiler checks: layers, lengths, file heads, banned words, dead files.

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** What each folder may import besides itself: the groups to its right in docs/ARCHITECTURE.md. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  base: [],
  engine: ['base'],
  chain: ['base'],
  consensus: ['base', 'engine', 'chain'],
  trainer: ['base', 'engine', 'chain'],
  net: ['base', 'engine', 'chain', 'trainer', 'consensus'],
  rpc: ['base', 'engine', 'chain', 'trainer', 'consensus'],
  bridge: ['base', 'engine', 'chain', 'trainer', 'consensus'],
  node: ['base', 'engine', 'chain', 'trainer', 'consensus', 'net', 'rpc', 'bridge'],
  cli: ['base', 'engine', 'chain', 'trainer', 'consensus', 'net', 'rpc', 'bridge', 'node'],
};
const FOLDERS = Object.keys(BELOW);
const FILE_LINES = 500;
const FUNCTION_LINES = 70;

/** Words that would bring hidden time, chance or engine-dependent arithmetic, and the files that own them. */
const BANNED: readonly { word: RegExp; why: string; owners: readonly string[] }[] = [
  { word: /\bDate\b(?!')/, why: 'time comes from node/clock.ts', owners: ['node/clock.ts'] },
  { word: /\bperformance\.now\b/, why: 'time comes from node/clock.ts', owners: ['node/clock.ts'] },
  { word: /\bMath\.random\b/, why: 'chance comes from a seed (base/prng.ts)', owners: [] },
  {
    word: /\bMath\.(exp|expm1|log|log2|log10|log1p|pow|sin|cos|tan|tanh|sinh|cosh|asin|acos|atan|atan2|cbrt|hypot)\b/,
    why: 'engines differ in these: use the exact kernels',
    owners: [],
  },
  { word: /\bTODO\b|\bFIXME\b|\bXXX\b/, why: 'finish it or open an issue', owners: [] },
  { word: /^export default\b/m, why: 'exports have names', owners: [] },
  { word: /^\s*(export\s+)?(const\s+)?enum\s/m, why: 'use a union', owners: [] },
];

function files(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return files(path);
    return entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts') ? [path] : [];
  });
}

const sources = FOLDERS.flatMap((folder) => files(folder));
const text = new Map(sources.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
/** Code without comments and string contents, line numbers kept. */
const bare = new Map([...text].map(([path, code]) => [path, withoutComments(code)]));

function withoutComments(code: string): string {
  return code
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:'"`])\/\/.*$/gm, '$1');
}

const IMPORT = /(?:from|import)\s*\(?\s*'(\.[^']+)'/g;

function importsOf(path: string): string[] {
  const out: string[] = [];
  for (const match of (text.get(path) ?? readFileSync(join(root, path), 'utf8')).matchAll(IMPORT)) {
    out.push(relative(root, resolve(root, dirname(path), match[1] as string)));
  }
  return out;
}

test('a folder imports only from the layers below it', (t) => {
  const wrong: string[] = [];
  for (const path of sources) {
    const folder = path.split('/')[0] as string;
    for (const target of importsOf(path)) {
      const other = target.split('/')[0] as string;
      if (other !== folder && !BELOW[folder]?.includes(other)) wrong.push(`${path} imports ${target}`);
    }
  }
  t.deepEqual(wrong, []);
});

test('consensus rules know no Node, clock, disk or socket', (t) => {
  const wrong = sources.filter((path) => path.startsWith('consensus/') && /'node:/.test(text.get(path) ?? ''));
  t.deepEqual(wrong, []);
});

test('every file opens with what it owns and stays within its length', (t) => {
  const wrong: string[] = [];
  for (const [path, code] of text) {
    if (!/^(#!.*\n)?(\/\/ |\/\*\*)/.test(code)) wrong.push(`${path}: no head comment`);
    const lines = code.split('\n').length;
    if (lines > FILE_LINES) wrong.push(`${path}: ${lines} lines, over ${FILE_LINES}`);
  }
  t.deepEqual(wrong, []);
});

/** First line of a function, method or arrow function with a block body. */
const FUNCTION_START =
  /^\s*(?:export\s+)?(?:(?:private|public|static|readonly|override)\s+)*(?:async\s+)?(?:function\b.*|(?!if\b|for\b|while\b|switch\b|catch\b|else\b|do\b|return\b)\*?#?[\w$]+\s*(?:<[^>]*>)?\(.*|.*=>\s*)\{$/;

type Span = { readonly start: number; readonly end: number };

/** Functions by line numbers; the end is the first later line that closes at the same indentation. */
function functionsOf(lines: readonly string[]): Span[] {
  return lines.flatMap((line, start) => {
    if (!FUNCTION_START.test(line)) return [];
    const indent = /^\s*/.exec(line)?.[0] ?? '';
    const end = lines.findIndex((later, at) => at > start && later.startsWith(`${indent}}`));
    return end < 0 ? [] : [{ start, end }];
  });
}

test('no function is longer than a screen, functions inside it not counted', (t) => {
  const wrong: string[] = [];
  for (const [path, code] of bare) {
    const lines = code.split('\n');
    const spans = functionsOf(lines);
    for (const { start, end } of spans) {
      const inside = spans.filter((span) => span.start > start && span.end < end);
      const outermost = inside.filter(
        (span) => !inside.some((other) => other.start < span.start && other.end >= span.end),
      );
      const own = end - start + 1 - outermost.reduce((sum, span) => sum + span.end - span.start + 1, 0);
      if (own > FUNCTION_LINES) wrong.push(`${path}:${start + 1}: ${own} lines of its own, over ${FUNCTION_LINES}`);
    }
  }
  t.deepEqual(wrong, []);
});

test('banned words stay in the files that own them', (t) => {
  const wrong: string[] = [];
  for (const [path, code] of bare) {
    for (const { word, why, owners } of BANNED) {
      if (!owners.includes(path) && word.test(code)) wrong.push(`${path}: ${word.source.slice(0, 30)} (${why})`);
    }
  }
  t.deepEqual(wrong, []);
});

test('the console belongs to the commands', (t) => {
  const wrong = [...bare]
    .filter(([path, code]) => !path.startsWith('cli/') && /\bconsole\./.test(code))
    .map(([path]) => path);
  t.deepEqual(wrong, []);
});

test('names are kebab-case', (t) => {
  t.deepEqual(
    sources.filter((path) => !/^([a-z0-9]+(-[a-z0-9]+)*\/)+[a-z0-9]+(-[a-z0-9]+)*(\.d)?\.ts$/.test(path)),
    [],
  );
});

test('no file is dead: each is imported, an entry point, or a worker', (t) => {
  const users = [...sources, ...files('test'), ...files('bench')];
  const used = new Set(users.flatMap((path) => importsOf(path)));
  const mentioned = users.map((path) => text.get(path) ?? readFileSync(join(root, path), 'utf8')).join('\n');
  const dead = sources.filter((path) => {
    if (used.has(path) || path === 'cli/main.ts') return false;
    const compiled = `${(path.split('/').pop() as string).replace(/\.ts$/, '')}.js`;
    return !mentioned.includes(compiled);
  });
  t.deepEqual(dead, []);
});

test('tracked folders hold no build output', (t) => {
  const stray = FOLDERS.filter((folder) => statSync(join(root, folder)).isDirectory()).flatMap((folder) =>
    readdirSync(join(root, folder)).filter((name) => name.endsWith('.js') || name.endsWith('.wasm')),
  );
  t.deepEqual(stray, []);
});

test('files that the docs name are there', (t) => {
  const folders = ['', 'docs', join('docs', 'decisions'), join('docs', 'protocol')];
  const pages = folders.flatMap((folder) =>
    readdirSync(join(root, folder)).flatMap((name) => (name.endsWith('.md') ? [join(folder, name)] : [])),
  );
  const wrong = pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/`([a-z]+\/[\w./-]+\.(?:ts|mjs|sol|py))`/g)].flatMap(
      ([, path]) => (existsSync(join(root, path ?? '')) ? [] : [`${page}: ${path}`]),
    ),
  );
  t.deepEqual(wrong, []);
});
