// The identity of the arithmetic: what its hash covers, and what a node refuses.

import { readFileSync } from 'node:fs';
import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import type { Op } from '../../engine/instruction.ts';
import { VECTORS_DIGEST } from '../../engine/kernel-spec-vectors.ts';
import { kernelSpec, unknownKernelSpec } from '../../engine/kernel-spec.ts';
import { type VectorFile, vectorsDigest } from './vectors.ts';

const read = (op: Op): VectorFile =>
  JSON.parse(readFileSync(new URL(`../../../test/vectors/engine/${op}.json`, import.meta.url), 'utf8')) as VectorFile;

test('the hash commits to the conformance vectors as they lie in the files', (t) => {
  t.is(vectorsDigest(read), VECTORS_DIGEST);
});

test('one flipped bit of one output, another attribute or a missing case is another digest', (t) => {
  const changed = (change: (file: VectorFile) => VectorFile): string =>
    vectorsDigest((op) => (op === 'scale' ? change(read(op)) : read(op)));
  t.is(
    changed((file) => JSON.parse(JSON.stringify(file)) as VectorFile),
    VECTORS_DIGEST,
  );
  const flip = (text: string): string => (text.startsWith('0') ? `1${text.slice(1)}` : `0${text.slice(1)}`);
  const inFirst = (edit: (one: VectorFile['cases'][number]) => VectorFile['cases'][number]) =>
    changed((file) => ({ ...file, cases: file.cases.map((one, i) => (i === 0 ? edit(one) : one)) }));
  const digests = [
    inFirst((one) => ({ ...one, outputs: one.outputs.map((out) => ({ ...out, data: flip(out.data) })) })),
    inFirst((one) => ({ ...one, inputs: one.inputs.map((input) => ({ ...input, data: flip(input.data) })) })),
    inFirst((one) => ({ ...one, attributes: { factor: 0.75 } })),
    changed((file) => ({ ...file, cases: file.cases.slice(1) })),
  ];
  t.is(new Set([VECTORS_DIGEST, ...digests]).size, 5);
});

test('arithmetic of another hash is refused, naming both', (t) => {
  const own = toHex(kernelSpec.hash);
  t.is(unknownKernelSpec(own), null);
  const other = `0x${'ab'.repeat(32)}`;
  t.regex(unknownKernelSpec(other)?.message ?? '', new RegExp(`${other}.*version 1, ${own}`));
});
