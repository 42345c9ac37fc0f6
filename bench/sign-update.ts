// Owns a codec that was only measured (docs/decisions/007-compressed-updates.md): the sign of every parameter of some eighths of
// each chunk, other eighths in every round, one scale an eighth. Codec 2 loses less, so no network uses this one.

import { present } from '../base/check.ts';
import { CHUNK, LEAST_EXPONENT, MOST_EXPONENT, powerOfTwo } from '../trainer/update-scale.ts';
import type { DenseUpdate } from '../trainer/update.ts';

const EIGHTH = CHUNK / 8;

/** The moves that signs of `eighths` eighths of each chunk stand for, and the bytes they would take. */
export function signUpdate(
  wanted: Float32Array,
  eighths: number,
  round: number,
): Readonly<{ update: DenseUpdate; bytes: number }> {
  const parameters = wanted.length;
  const shifts = new Uint8Array(Math.ceil(parameters / CHUNK));
  const values = new Int8Array(parameters);
  let bits = 0;
  for (let chunk = 0; chunk < shifts.length; chunk++) {
    const parts = Array.from({ length: eighths }, (_, i) => {
      const from = chunk * CHUNK + ((round * eighths + i) % 8) * EIGHTH;
      return { from, part: wanted.subarray(from, from + EIGHTH) };
    });
    // The mean magnitude is the scale with the least squared error.
    const means = parts.map(({ part }) => part.reduce((sum, x) => sum + Math.abs(x), 0) / Math.max(1, part.length));
    let exponent = LEAST_EXPONENT;
    while (exponent < MOST_EXPONENT && Math.max(...means) > 127 * powerOfTwo(exponent)) exponent++;
    shifts[chunk] = exponent - LEAST_EXPONENT;
    for (const [i, { from, part }] of parts.entries()) {
      const scale = Math.min(127, Math.round(present(means[i], 'mean') / powerOfTwo(exponent)));
      for (const [at, x] of part.entries()) values[from + at] = x < 0 ? -scale : scale;
      bits += 8 + part.length;
    }
    bits += 8;
  }
  return { update: { codec: 1, parameters, shifts, values }, bytes: 5 + Math.ceil(bits / 8) };
}
