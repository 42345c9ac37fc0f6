// Owns the build: TypeScript, the engine's kernels, the system contracts and the page, in that order, into build/.

import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './setup.mjs';

run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.']);
for (const step of ['build-engine.mjs', 'build-contracts.mjs', 'copy-web.mjs']) {
  const script = join(root, 'scripts', step);
  if (existsSync(script)) run(process.execPath, [script]);
}
// Kernels for NVIDIA devices are committed (scripts/build-cuda.mjs): the driver reads them as they are.
copyFileSync(join(root, 'engine', 'cuda', 'kernels.ptx.gz'), join(root, 'build', 'engine', 'cuda', 'kernels.ptx.gz'));
