// `npm run check`: the one gate: types, format and lint, dead code, tests.

import { join } from 'node:path';
import { root, run, setUp } from './setup.mjs';

const bin = (...path) => join(root, 'node_modules', ...path);
setUp();
run(process.execPath, [bin('typescript', 'bin', 'tsc'), '-p', '.', '--noEmit']);
run(process.execPath, [bin('@biomejs', 'biome', 'bin', 'biome'), 'ci', '.']);
run(process.execPath, [bin('knip', 'bin', 'knip.js')]);
run(process.execPath, [join(root, 'scripts', 'test.mjs'), ...process.argv.slice(2)]);
