// Owns the making of engine/cuda/kernels.ptx.gz from the kernels beside it, with NVIDIA's compiler; run by hand after they
// change. The result is committed: machines with a device need the driver only. It is checked here and in the tests.

import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { root } from './setup.mjs';

const folder = join(root, 'engine', 'cuda');
const FLAGS = ['-ptx', '-arch=compute_80', '-O3', '-fmad=false', '-ftz=false', '-prec-div=true', '-prec-sqrt=true'];
/** The compiler writes its own version of the language; nothing used is newer than 7.0, which drivers from 450 on read. */
const LANGUAGE = '.version 7.0';
const PROCESSORS = ['sm_80', 'sm_86', 'sm_89', 'sm_90'];

const sources = readdirSync(folder)
  .filter((name) => /\.cuh?$/.test(name))
  .sort();
const stamp = createHash('sha256');
for (const name of sources) stamp.update(name).update(readFileSync(join(folder, name)));
const digest = stamp.digest('hex');

const temporary = mkdtempSync(join(tmpdir(), 'cuda-'));
try {
  const file = join(temporary, 'kernels.ptx');
  execFileSync('nvcc', [...FLAGS, join(folder, 'all.cu'), '-o', file], { stdio: 'inherit' });
  const ptx = readFileSync(file, 'utf8').replace(/^\.version .*$/m, LANGUAGE);
  writeFileSync(file, ptx);
  for (const processor of PROCESSORS)
    execFileSync('ptxas', [`-arch=${processor}`, file, '-o', join(temporary, `${processor}.cubin`)], {
      stdio: 'inherit',
    });
  const bytes = gzipSync(`// sources ${digest}\n${ptx}`, { level: 9 });
  // The time in the header would change the bytes of an unchanged result.
  bytes.writeUInt32LE(0, 4);
  writeFileSync(join(folder, 'kernels.ptx.gz'), bytes);
  console.log(
    `cuda: ${sources.length} sources, ${ptx.length} characters, ${bytes.length} bytes; assembled for ${PROCESSORS.join(', ')}`,
  );
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
