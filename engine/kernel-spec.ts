// Owns the identity of the arithmetic: the version and hash that every learning proof names. The rules themselves are
// docs/protocol/kernel-spec.md.
//
// The hash is over what a machine can check: the instruction table, and the conformance vectors (inputs and outputs of every
// instruction, bit by bit). Prose is left out on purpose: a sentence made clearer must not be a new version, and where prose
// and vectors disagree the vectors stand. A rule no vector holds is no rule yet: a change of arithmetic comes with a vector
// that tells old and new apart, and so with another hash.

import { fromHex, toHex, u32be, utf8 } from '../base/bytes.ts';
import { type Fault, fault } from '../base/fault.ts';
import { taggedHash } from '../base/hash.ts';
import { OPS, OP_NAMES } from './instruction.ts';
import { VECTORS_DIGEST } from './kernel-spec-vectors.ts';

const VERSION = 1;

/** Every instruction with code, operands and attributes: a changed table changes the hash by itself. */
function tableText(): string {
  return OP_NAMES.map((op) => {
    const { code, inputs, outputs, attrs } = OPS[op];
    return `${code} ${op} (${inputs.join(', ')}) -> (${outputs.join(', ')}) {${Object.entries(attrs).join(', ')}}`;
  }).join('\n');
}

/** A change of any rule that can change a bit of any result needs a new version, and with it a new hash. */
export const kernelSpec: Readonly<{ version: 1; hash: Uint8Array }> = {
  version: VERSION,
  hash: taggedHash('kernel-spec', u32be(VERSION), utf8(tableText()), fromHex(VECTORS_DIGEST)),
};

/** Null when this software computes the arithmetic of that hash; else a Fault naming both. */
export function unknownKernelSpec(hash: string): Fault | null {
  const own = toHex(kernelSpec.hash);
  if (hash.toLowerCase() === own) return null;
  const why = `kernelSpec ${hash} is not known here: this software computes version ${VERSION}, ${own}`;
  return fault('engine/kernel-spec', why, { wanted: hash, own });
}
