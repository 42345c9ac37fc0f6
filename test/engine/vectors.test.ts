// Conformance vectors: files that fix the bits of kernelSpec 1, checked on every backend.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { sha256 } from '../../base/hash.ts';
import { toHex } from '../../base/bytes.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { OP_NAMES } from '../../engine/instruction.ts';
import { fastBackends } from './backends.ts';
import { runCase } from './cases.ts';
import { type VectorFile, caseOfVector } from './vectors.ts';

/** The compiled test runs in build/test/engine; the files stand beside the sources. */
const folder = new URL('../../../test/vectors/engine/', import.meta.url);
const backends: readonly Executor[] = [await createExecutor({ backend: 'scalar' }), ...(await fastBackends())];

test.after.always(async () => {
  for (const backend of backends) await backend.close();
});

for (const op of OP_NAMES) {
  test(`${op} gives the bits its conformance vectors fix`, (t) => {
    const text = readFileSync(fileURLToPath(new URL(`${op}.json`, folder)), 'utf8');
    const file = JSON.parse(text) as VectorFile;
    t.is(file.instruction, op);
    t.is(file.kernelSpec, 1);
    t.true(file.cases.length >= 3);
    for (const [i, vector] of file.cases.entries()) {
      for (const backend of backends) {
        const ran = runCase(backend, caseOfVector(op, vector));
        t.deepEqual(ran.outcome, { ok: true });
        for (const { name, sha256: wanted } of vector.outputs) {
          const got = toHex(sha256(ran.outputs[name] ?? new Uint8Array())).slice(2);
          t.is(got, wanted, `case ${i}, ${name}, ${backend.description}`);
        }
      }
    }
  });
}
