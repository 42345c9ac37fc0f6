// Owns building the CUDA kernels for this processor behind the driver's calls (cuda/cuda-shim.cpp), for machines without an
// NVIDIA device: same kernel source, same launches, same host code.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const FLAGS = ['-O2', '-std=gnu++17', '-ffp-contract=off', '-fno-fast-math', '-fno-math-errno', '-fno-strict-aliasing'];

/** Path of the library and its removal, or why it cannot be built. */
export function buildStandIn(): Readonly<{ driverFile: string; remove(): void }> | string {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the stand-in for the driver is for x86-64 Linux';
  const folder = mkdtempSync(join(tmpdir(), 'cuda-stand-in-'));
  const library = join(folder, 'libcuda-stand-in.so');
  const source = join(root, 'test', 'engine', 'cuda');
  const args = [...FLAGS, '-fPIC', '-shared', '-w', `-I${source}`, `-I${join(root, 'engine', 'cuda')}`];
  for (const compiler of ['g++', 'clang++']) {
    const ran = spawnSync(compiler, [...args, join(source, 'cuda-shim.cpp'), '-o', library], { encoding: 'utf8' });
    if (ran.status === 0)
      return { driverFile: library, remove: () => rmSync(folder, { recursive: true, force: true }) };
    if (ran.error === undefined) return `${compiler}: ${ran.stderr.slice(0, 400)}`;
  }
  rmSync(folder, { recursive: true, force: true });
  return 'no C++ compiler';
}
