// Owns the digest of the conformance vectors. Written by scripts/make-vectors.mjs; test/engine/kernel-spec.test.ts
// computes it anew from the files.

export const VECTORS_DIGEST = '0x49bc4cce885853b11ac066b38d52f113b706b496f6ebc62bafb0cb001e78d245';
