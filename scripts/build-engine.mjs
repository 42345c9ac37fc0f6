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
  const built = await runClang(flags, files);
  put(file, built[name], stamp);
  return 'built';
}

/** Instruction-set levels of the native library on x86-64; elsewhere only the base is built. */
const X86_LEVELS = {
  avx2: ['-mavx2', '-mfma'],
  avx512: [
    '-mavx2',
    '-mfma',
    '-mavx512f',
    '-mavx512bw',
    '-mavx512vl',
    '-mavx512dq',
    '-mavx512vnni',
    '-mprefer-vector-width=512',
  ],
};

/** VEX-encoded VNNI: of processors without AVX-512. Compilers before 2021 lack it. */
const AVX_VNNI = ['-mavx2', '-mfma', '-mavxvnni'];
const VNNI_TWIN = ['-mavx2', '-mfma', '-mavx512vl', '-mavx512vnni', '-DVNNI256_TWIN'];

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
  const levels = process.arch === 'x64' ? X86_LEVELS : {};
  const flags = [...EXACT, '-fPIC', '-fvisibility=default', '-w'];
  const stamp = stampOf([compiler, flags, levels, AVX_VNNI, process.env.ENGINE_VNNI_TWIN ?? '']);
  if (fresh(file, stamp)) return 'up to date';
  const temporary = join(out, `native.${process.pid}`);
  mkdirSync(temporary, { recursive: true });
  const compile = (source, object, extra) =>
    execFileSync(compiler.name, [...flags, ...extra, '-c', join(sources, source), '-o', join(temporary, object)], {
      stdio: 'pipe',
    });
  const tryCompile = (extra) => {
    try {
      compile('run.c', 'avx_vnni.o', [...extra, '-DRUN_NAME=run_avx_vnni']);
      return true;
    } catch {
      return false;
    }
  };
  try {
    compile('run.c', 'base.o', ['-DRUN_NAME=run_base']);
    for (const [level, extra] of Object.entries(levels))
      compile('run.c', `${level}.o`, [...extra, `-DRUN_NAME=run_${level}`]);
    const made = ['base', ...Object.keys(levels)];
    const defines = Object.keys(levels).length > 0 ? ['-DHAVE_X86_LEVELS'] : [];
    // Where VEX is asked for by its twin, the level is built with AVX-512VL and offered: for the check on other processors.
    const vnni = process.env.ENGINE_VNNI_TWIN === '1' ? VNNI_TWIN : AVX_VNNI;
    if (process.arch === 'x64' && tryCompile(vnni)) {
      made.push('avx_vnni');
      defines.push('-DHAVE_AVX_VNNI', ...(vnni === VNNI_TWIN ? ['-DVNNI256_TWIN'] : []));
    }
    compile('native.c', 'native.o', defines);
    compile('leaf-hash.c', 'leaf-hash.o', process.arch === 'x64' ? ['-msha', '-msse4.1'] : []);
    const objects = [...made, 'native', 'leaf-hash'].map((name) => join(temporary, `${name}.o`));
    execFileSync(compiler.name, ['-shared', ...objects, '-lpthread', '-o', join(temporary, 'lib.so')], {
      stdio: 'pipe',
    });
    put(file, readFileSync(join(temporary, 'lib.so')), stamp);
    return `built with ${compiler.version.split('\n')[0]}`;
  } catch (error) {
    return `skipped: ${compiler.name} failed: ${(String(error.stderr ?? error).match(/error: .*/) ?? ['unknown error'])[0]}`;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

mkdirSync(out, { recursive: true });
// The relaxed kernels may be asked for by their twin: the same with an exact dot product, for hosts that fail the probe.
const relaxed = process.env.ENGINE_RELAXED_TWIN === '1' ? '-DRELAXED_TWIN' : '-mrelaxed-simd';
if (process.env.ENGINE_WASM === '0') console.log('engine: wasm not asked for');
else {
  console.log(`engine: wasm ${await buildWasm('kernels.wasm', [])}`);
  console.log(`engine: wasm with relaxed SIMD ${await buildWasm('kernels-relaxed.wasm', [relaxed])}`);
}
console.log(`engine: native ${buildNative()}`);
