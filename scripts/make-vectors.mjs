// Owns writing test/vectors/engine: run after a build, only when a new kernelSpec version changes bits on purpose.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createExecutor } from '../build/engine/executor.js';
import { OP_NAMES } from '../build/engine/instruction.js';
import { makeVectors, vectorsDigest } from '../build/test/engine/vectors.js';

const folder = new URL('../test/vectors/engine/', import.meta.url);
mkdirSync(folder, { recursive: true });
const scalar = await createExecutor({ backend: 'scalar' });
const files = new Map(OP_NAMES.map((op) => [op, makeVectors(scalar, op)]));
for (const [op, file] of files) writeFileSync(new URL(`${op}.json`, folder), `${JSON.stringify(file, null, 1)}\n`);
const digest = vectorsDigest((op) => files.get(op));
const owner = new URL('../engine/kernel-spec-vectors.ts', import.meta.url);
const source = readFileSync(owner, 'utf8');
writeFileSync(owner, source.replace(/'0x[0-9a-f]*'/, `'${digest}'`));
console.log(`vectors: ${OP_NAMES.length} files written, digest ${digest} in engine/kernel-spec-vectors.ts`);
