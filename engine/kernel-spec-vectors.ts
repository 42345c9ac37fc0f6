// Owns the digest of the conformance vectors. Written by scripts/make-vectors.mjs; test/engine/kernel-spec.test.ts
// computes it anew from the files.

export const VECTORS_DIGEST = '0x3cecb42f6e01f7d6c4a2286cbaac27dc9202812daa4f859a1cea1c2882c442fd';
