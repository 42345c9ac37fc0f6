// Owns writing test/vectors/engine: run after a build, only when a new kernelSpec version changes bits on purpose.

import { mkdirSync, writeFileSync } from 'node:fs';
import { createExecutor } from '../build/engine/executor.js';
import { OP_NAMES } from '../build/engine/instruction.js';
import { makeVectors } from '../build/test/engine/vectors.js';

const folder = new URL('../test/vectors/engine/', import.meta.url);
mkdirSync(folder, { recursive: true });
const scalar = await createExecutor({ backend: 'scalar' });
for (const op of OP_NAMES) {
  writeFileSync(new URL(`${op}.json`, folder), `${JSON.stringify(makeVectors(scalar, op), null, 1)}\n`);
}
console.log(`vectors: ${OP_NAMES.length} files written`);
