// The CUDA backend without a device: its kernels' source runs on this processor behind the driver's own calls, and is held to
// the vectors, the oracle and whole training runs; the committed kernels are of these sources and fuse nothing.

import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import koffi from 'koffi';
import { toHex } from '../../base/bytes.ts';
import { FaultError } from '../../base/fault.ts';
import { sha256 } from '../../base/hash.ts';
import { createCudaExecutor } from '../../engine/cuda/cuda-executor.ts';
import { createExecutor } from '../../engine/executor.ts';
import { OP_NAMES } from '../../engine/instruction.ts';
import { ProgramBuilder } from '../../engine/program.ts';
import { passesSelfTest } from '../../engine/self-test.ts';
import { caseOf, difference, runCase } from './cases.ts';
import { buildStandIn } from './cuda-driver-stand-in.ts';
import { TINY, TINY_SHAPE, trainingDigest } from './training-run.ts';
import { type VectorFile, caseOfVector } from './vectors.ts';

const CASES = Number(process.env.ENGINE_CASES ?? 8);
/** 200 in the campaign: ENGINE_STEPS=200. */
const STEPS = Number(process.env.ENGINE_STEPS ?? 30);
const folder = new URL('../../../engine/cuda/', import.meta.url);
const ptx = gunzipSync(readFileSync(new URL('kernels.ptx.gz', folder))).toString('latin1');

const scalar = await createExecutor({ backend: 'scalar' });
const wasm = await createExecutor({ backend: 'wasm' });
/** CUDA_LIBRARY=libcuda.so.1 runs everything on a device instead. */
const real = process.env.CUDA_LIBRARY;
const standIn = real === undefined ? buildStandIn() : { driverFile: real, remove: () => undefined };
const made = typeof standIn === 'string' ? standIn : createCudaExecutor(standIn.driverFile);

test.after.always(async () => {
  if (typeof made !== 'string') await made.close();
  if (typeof standIn !== 'string') standIn.remove();
  await wasm.close();
});

/** Runs only where the kernels could be built for this processor; says so where not. */
function onStandIn(
  title: string,
  body: (t: import('ava').ExecutionContext, cuda: Exclude<typeof made, string>) => unknown,
): void {
  test.serial(title, (t) => {
    if (typeof made === 'string') {
      t.log(`skipped: ${made}`);
      t.pass();
      return;
    }
    body(t, made);
  });
}

onStandIn('the kernels give the bits that the conformance vectors fix', (t, cuda) => {
  t.true(passesSelfTest(cuda));
  for (const op of OP_NAMES) {
    const path = fileURLToPath(new URL(`../../../test/vectors/engine/${op}.json`, import.meta.url));
    for (const [i, vector] of (JSON.parse(readFileSync(path, 'utf8')) as VectorFile).cases.entries()) {
      const ran = runCase(cuda, caseOfVector(op, vector));
      t.deepEqual(ran.outcome, { ok: true }, op);
      for (const { name, sha256: wanted } of vector.outputs)
        t.is(toHex(sha256(ran.outputs[name] ?? new Uint8Array())).slice(2), wanted, `${op} case ${i}, ${name}`);
    }
  }
});

onStandIn("the kernels give the oracle's bits on random shapes and values", (t, cuda) => {
  for (const op of OP_NAMES) {
    for (let i = 0; i < CASES; i++) {
      const one = caseOf(op, `cuda ${i}`);
      t.is(difference(runCase(scalar, one), runCase(cuda, one)), null, `${op}, seed "cuda ${i}"`);
    }
  }
  t.log(`${CASES} cases of each of ${OP_NAMES.length} instructions`);
});

onStandIn(`${STEPS} training steps end in the state of the other backends`, (t, cuda) => {
  t.is(trainingDigest(cuda, TINY, TINY_SHAPE, STEPS, 'cuda'), trainingDigest(wasm, TINY, TINY_SHAPE, STEPS, 'cuda'));
});

onStandIn('a failing instruction is named, later ones do not run, and the next run is unharmed', (t, cuda) => {
  const b = new ProgramBuilder();
  const table = b.tensor('table', 'f32', [8, 16], 'state');
  const ids = b.tensor('ids', 'i32', [4], 'input');
  const w = b.tensor('w', 'f32', [16, 8], 'state');
  const rows = b.tensor('rows', 'f32', [4, 16], 'output');
  const y = b.tensor('y', 'f32', [4, 8], 'output');
  b.emit('embed', [table, ids], [rows]);
  b.emit('linear', [rows, w], [y]);
  const loaded = cuda.load(b.finish('two-step'));
  for (const id of [8, -1, 2 ** 31 - 1]) {
    loaded.view('ids')[3] = id;
    t.deepEqual(loaded.run(), { ok: false, instruction: 0, op: 'embed', reason: 'bad-index' });
  }
  loaded.view('ids')[3] = 7;
  loaded.view('y').fill(7);
  loaded.view('table')[7 * 16] = Number.NaN;
  t.deepEqual(loaded.run(), { ok: false, instruction: 0, op: 'embed', reason: 'non-finite' });
  t.true(loaded.view('y').every((value: number) => value === 7));
  loaded.view('table')[7 * 16] = 0;
  loaded.view('w')[3] = Number.POSITIVE_INFINITY;
  t.deepEqual(loaded.run(), { ok: false, instruction: 1, op: 'linear', reason: 'non-finite' });
  loaded.view('w')[3] = 0;
  t.deepEqual(loaded.run(), { ok: true });
  loaded.close();
});

onStandIn('memory that cannot be had is refused by size, and all of it is given back', (t, cuda) => {
  if (real !== undefined) return t.pass();
  const b = new ProgramBuilder();
  const parts = Array.from({ length: 3 }, (_, i) => b.tensor(`x${i}`, 'f32', [2 ** 20, 17], 'state'));
  const [x = 0] = parts;
  b.emit('copy', [x], [b.tensor('y', 'f32', [2 ** 20, 17], 'output')]);
  const program = b.finish('large');
  const refused = t.throws(() => cuda.load(program), { instanceOf: FaultError });
  t.is((refused as FaultError).fault.code, 'engine/memory');
  t.regex(refused?.message ?? '', /\d+ bytes cannot be had/);
  const allocated = koffi.load(typeof standIn === 'string' ? '' : standIn.driverFile).func('long shim_allocated()');
  return t.is(Number(allocated()), 0);
});

test('where there is no driver, the processor runs and the line says why', async (t) => {
  t.is(createCudaExecutor('libcuda-of-nobody.so'), 'no NVIDIA driver (libcuda-of-nobody.so does not load)');
  const asked = await createExecutor({ backend: 'cuda' });
  if (asked.backend === 'cuda') t.log(`a device is here: ${asked.description}`);
  else t.regex(asked.description, /^(native|wasm) .* \(cuda was asked for: .+\)$/);
  await asked.close();
});

test('the committed kernels are made from these sources', (t) => {
  const stamp = createHash('sha256');
  for (const name of readdirSync(folder)
    .filter((file) => /\.cuh?$/.test(file))
    .sort())
    stamp.update(name).update(readFileSync(new URL(name, folder)));
  t.is(ptx.split('\n')[0], `// sources ${stamp.digest('hex')}`, 'run node scripts/build-cuda.mjs');
});

test('no float operation of the committed kernels may be fused, flushed or approximated', (t) => {
  const allowed = new Set([
    'add.rn.f32',
    'sub.rn.f32',
    'mul.rn.f32',
    'div.rn.f32',
    'sqrt.rn.f32',
    'neg.f32',
    'mov.f32',
    'selp.f32',
    'cvt.rn.f32.s32',
    'cvt.rni.s32.f32',
    'cvt.rmi.s32.f32',
    'ld.global.f32',
    'st.global.f32',
    'ld.shared.f32',
    'st.shared.f32',
  ]);
  const seen = new Map<string, number>();
  for (const line of ptx.split('\n')) {
    const code = /^\s+(?:@!?%p\d+\s+)?([a-z0-9_.]*\.f(?:16|32|64)[a-z0-9_.]*)\s/.exec(line)?.[1];
    if (code === undefined || code.startsWith('setp.')) continue;
    seen.set(code, (seen.get(code) ?? 0) + 1);
    t.true(allowed.has(code), line);
  }
  t.true((seen.get('mul.rn.f32') ?? 0) > 100 && (seen.get('add.rn.f32') ?? 0) > 100);
  t.is(/\.ftz|\.approx|\bfma\.|\bmad\.f|\batom\.[a-z.]*f32|\bred\.[a-z.]*f32/.exec(ptx), null);
  t.true(/mma\.sync\.aligned\.m16n8k32\.row\.col\.s32\.s8\.s8\.s32/.test(ptx));
});
