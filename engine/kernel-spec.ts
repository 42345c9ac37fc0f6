// Owns the identity of the arithmetic: kernelSpec version and hash, carried by every learning proof.

import { u32be } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';

export const kernelSpec: Readonly<{ version: 1; hash: Uint8Array }> = { version: 1, hash: taggedHash('kernel-spec', u32be(1)) };
