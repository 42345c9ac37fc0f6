// Owns the identity of the arithmetic: the version and hash that every learning proof names. The rules themselves are
// docs/protocol/kernel-spec.md.

import { u32be, utf8 } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';
import { OPS, OP_NAMES } from './instruction.ts';

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
  hash: taggedHash('kernel-spec', u32be(VERSION), utf8(tableText())),
};
