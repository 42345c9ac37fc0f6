// Owns the build of the kernels: WebAssembly always, a native library where a C compiler is. Skips what is up to date;
// never fails for want of a compiler. Prints one line per engine.

import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const sources = join(root, 'engine', 'kernels');
const out = join(root, 'build', 'engine');

const EXACT = ['-O3', '-ffp-contract=off', '-fno-fast-math', '-fno-math-errno', '-fno-trapping-math', '-std=gnu11', '-Wall', '-Werror=implicit-function-declaration'];

const files = Object.fromEntries(
  readdirSync(sources)
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
    .map((name) => [name, readFileSync(join(sources, name), 'utf8')]),
);

function stampOf(recipe) {
  const hash = createHash('sha256').update(JSON.stringify(recipe));
  for (const [name, text] of Object.entries(files)) hash.update(name).update('\0').update(text).update('\0');
  return hash.digest('hex');
}

const fresh = (file, stamp) => existsSync(file) && existsSync(`${file}.stamp`) && readFileSync(`${file}.stamp`, 'utf8') === stamp;

function put(file, bytes, stamp) {
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, bytes);
  renameSync(temporary, file);
  writeFileSync(`${file}.stamp`, stamp);
}

async function buildWasm() {
  const file = join(out, 'kernels.wasm');
  const flags = [
    'clang', '--target=wasm32', '-nostdlib', ...EXACT, '-msimd128', '-matomics', '-mbulk-memory', '-mmutable-globals',
    '-Wl,--no-entry', '-Wl,--import-memory', '-Wl,--shared-memory', '-Wl,--max-memory=4294967296', '-Wl,-z,stack-size=262144',
    '-Wl,--export=__stack_pointer', '-Wl,--export=__heap_base', 'run.c', 'wasm.c', '-o', 'kernels.wasm',
  ];
  const stamp = stampOf(flags);
  if (fresh(file, stamp)) return 'up to date';
  const { runClang } = await import('@yowasp/clang');
  const built = await runClang(flags, files);
  put(file, built['kernels.wasm'], stamp);
  return 'built';
}

mkdirSync(out, { recursive: true });
console.log(`engine: wasm ${await buildWasm()}`);
