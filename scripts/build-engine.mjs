// Owns the build of the kernels: WebAssembly always, a native library where a C compiler is. Skips what is up to date;
// never fails for want of a compiler. Prints one line per engine. Arguments: folder of sources, folder of results.

import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const sources = process.argv[2] ?? join(root, 'engine', 'kernels');
const out = process.argv[3] ?? join(root, 'build', 'engine');

const EXACT = [
  '-O3',
  '-ffp-contract=off',
  '-fno-fast-math',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-std=gnu11',
  '-Wall',
  '-Werror=implicit-function-declaration',
];

const files = Object.fromEntries(
  readdirSync(sources)
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
    .map((name) => [name, readFileSync(join(sources, name), 'utf8')]),
);

const digest = (value) => createHash('sha256').update(JSON.stringify(value)).digest('hex');
const sourceStamp = digest(files);
const stampOf = (recipe) => `${sourceStamp} ${digest(recipe)}`;

const fresh = (file, stamp) =>
  existsSync(file) && existsSync(`${file}.stamp`) && readFileSync(`${file}.stamp`, 'utf8') === stamp;

function put(file, bytes, stamp) {
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, bytes);
  renameSync(temporary, file);
  writeFileSync(`${file}.stamp`, stamp);
}

async function buildWasm(name, extra) {
  const file = join(out, name);
  const flags = [
    'clang',
    '--target=wasm32',
    '-nostdlib',
    ...EXACT,
    '-msimd128',
    ...extra,
    '-matomics',
    '-mbulk-memory',
    '-mmutable-globals',
    '-Wl,--no-entry',
    '-Wl,--import-memory',
    '-Wl,--shared-memory',
    '-Wl,--max-memory=4294967296',
    '-Wl,-z,stack-size=262144',
    '-Wl,--export=__stack_pointer',
    '-Wl,--export=__heap_base',
    'run.c',
    'wasm.c',
    '-o',
    name,
  ];
  const stamp = stampOf(flags);
  if (fresh(file, stamp)) return 'up to date';
  const { runClang } = await import('@yowasp/clang');
  // What it throws carries all sources; its own words on them are on the error output by then.
  const built = await runClang(flags, files).catch((error) => {
    throw new Error(`${name}: the WebAssembly compiler refused the kernels: ${error.message}`);
  });
  put(file, built[name], stamp);
  return 'built';
}

const AVX2 = ['-mavx2', '-mfma'];
const AVX512 = [
  ...AVX2,
  ...['f', 'bw', 'vl', 'dq', 'vnni'].map((part) => `-mavx512${part}`),
  '-mprefer-vector-width=512',
];

/** Levels of native.c beyond the base, by processor; a compiler too old for one builds the others. */
const LEVELS = {
  x64: {
    avx2: AVX2,
    avx_vnni: [...AVX2, '-mavxvnni'],
    avx512: AVX512,
    amx: [...AVX512, '-mamx-tile', '-mamx-int8'],
  },
  arm64: { neon_dot: ['-march=armv8.2-a+dotprod'] },
};

/** The same kernels on instructions of twin.h, offered to every processor with AVX2: for their check where they cannot run. */
const TWINS = {
  avx2: AVX2,
  avx_vnni: [...AVX2, '-DTWIN', '-DVNNI256'],
  avx512: [...AVX2, '-DTWIN', '-DVNNI512'],
  amx: [...AVX2, '-DTWIN', '-DVNNI512', '-DAMX_TILES'],
};

function findCompiler() {
  for (const name of process.env.CC ? [process.env.CC] : ['clang', 'cc', 'gcc']) {
    try {
      return { name, version: execFileSync(name, ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] }).toString() };
    } catch {
      // Not installed: try the next one.
    }
  }
  return null;
}

/** A library of other sources must not be found by the executor. */
function removeStale(file) {
  const stamp = existsSync(`${file}.stamp`) ? readFileSync(`${file}.stamp`, 'utf8') : '';
  if (!stamp.startsWith(sourceStamp)) rmSync(file, { force: true });
}

function buildNative() {
  const file = join(out, 'libkernels.so');
  removeStale(file);
  const compiler = process.env.ENGINE_NATIVE === '0' ? null : findCompiler();
  if (compiler === null) return 'skipped: no C compiler found (wasm runs everything)';
  const twins = process.env.ENGINE_TWINS === '1' && process.arch === 'x64';
  const levels = twins ? TWINS : (LEVELS[process.arch] ?? {});
  const flags = [...EXACT, '-fno-thread-jumps', '-fPIC', '-fvisibility=default', '-w'];
  const stamp = stampOf([compiler, flags, levels]);
  if (fresh(file, stamp)) return 'up to date';
  const temporary = join(out, `native.${process.pid}`);
  mkdirSync(temporary, { recursive: true });
  const compile = (source, object, extra) =>
    execFileSync(compiler.name, [...flags, ...extra, '-c', join(sources, source), '-o', join(temporary, object)], {
      stdio: 'pipe',
    });
  const made = ['base'];
  const missing = [];
  try {
    compile('run.c', 'base.o', ['-DRUN_NAME=run_base']);
    for (const [level, extra] of Object.entries(levels)) {
      try {
        compile('run.c', `${level}.o`, [...extra, `-DRUN_NAME=run_${level}`]);
        made.push(level);
      } catch (error) {
        if (level === 'avx2') throw error;
        missing.push(level);
      }
    }
    const defines = made.slice(1).map((level) => `-DHAVE_${level.toUpperCase()}`);
    compile('native.c', 'native.o', twins ? [...defines, '-DTWIN'] : defines);
    compile('leaf-hash.c', 'leaf-hash.o', process.arch === 'x64' ? ['-msha', '-msse4.1'] : []);
    const objects = [...made, 'native', 'leaf-hash'].map((name) => join(temporary, `${name}.o`));
    execFileSync(compiler.name, ['-shared', ...objects, '-lpthread', '-o', join(temporary, 'lib.so')], {
      stdio: 'pipe',
    });
    put(file, readFileSync(join(temporary, 'lib.so')), stamp);
    const without = missing.length > 0 ? `, which knows no ${missing.join(', ')}` : '';
    return `built with ${compiler.version.split('\n')[0]}${without}`;
  } catch (error) {
    return `skipped: ${compiler.name} failed: ${(String(error.stderr ?? error).match(/error: .*/) ?? ['unknown error'])[0]}`;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

mkdirSync(out, { recursive: true });
// The relaxed kernels may be asked for by their twin: the same with an exact dot product, for hosts that fail the probe.
const relaxed = process.env.ENGINE_TWINS === '1' ? '-DRELAXED_TWIN' : '-mrelaxed-simd';
if (process.env.ENGINE_WASM === '0') console.log('engine: wasm not asked for');
else {
  console.log(`engine: wasm ${await buildWasm('kernels.wasm', [])}`);
  console.log(`engine: wasm with relaxed SIMD ${await buildWasm('kernels-relaxed.wasm', [relaxed])}`);
}
console.log(`engine: native ${buildNative()}`);
