// Owns the digest of the conformance vectors. Written by scripts/make-vectors.mjs; test/engine/kernel-spec.test.ts
// computes it anew from the files.

export const VECTORS_DIGEST = '0x9615abba9ce1db74d358c6e68d86d1432c8577f5d75ee224b4be5a358ac24cbe';
