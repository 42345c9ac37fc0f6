// Owns the forms in which a round's result travels: codec 1, the pseudo-gradient base - final as dense int8, and the choice of
// codec by the first byte. Rules U-1 to U-4 of docs/protocol/learning-round.md. Codec 2 is sparse-update.ts.

import { concat, u32be } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { MAX_PARAMETERS } from './limits.ts';
import { SPARSE, type SparseUpdate, decodeSparse, sparseSize } from './sparse-update.ts';
import { CHUNK, LEAST_EXPONENT, MOST_EXPONENT, powerOfTwo } from './update-scale.ts';

const DENSE_INT8 = 1;
/** Codec ids: 1 dense int8, 2 sparse with a residual. */
export type Codec = typeof DENSE_INT8 | typeof SPARSE;

const HEADER_BYTES = 5;

/** Parameter i moves by values[i] * 2^(shifts[floor(i / CHUNK)] + LEAST_EXPONENT). */
export type DenseUpdate = Readonly<{
  codec: typeof DENSE_INT8;
  parameters: number;
  shifts: Uint8Array;
  values: Int8Array;
}>;
export type Update = DenseUpdate | SparseUpdate;

/** Bytes of an update of a model, before anything is fetched. */
export function updateSize(parameters: number, codec: Codec = DENSE_INT8): number {
  if (codec === SPARSE) return sparseSize(parameters);
  return HEADER_BYTES + Math.ceil(parameters / CHUNK) + parameters;
}

/** Codec 1 of base - final, of equal length; null when a difference is not finite, which no valid round ends with. */
export function encodeUpdate(base: Float32Array, final: Float32Array): Uint8Array | null {
  const parameters = base.length;
  check(parameters > 0 && parameters <= MAX_PARAMETERS && final.length === parameters, 'encodeUpdate: sizes differ');
  const shifts = new Uint8Array(Math.ceil(parameters / CHUNK));
  const values = new Int8Array(parameters);
  const delta = new Float32Array(CHUNK);
  for (let chunk = 0; chunk < shifts.length; chunk++) {
    const start = chunk * CHUNK;
    const length = Math.min(CHUNK, parameters - start);
    let most = 0;
    for (let i = 0; i < length; i++) {
      const difference = Math.fround((base[start + i] as number) - (final[start + i] as number));
      if (!Number.isFinite(difference)) return null;
      delta[i] = difference;
      most = Math.max(most, Math.abs(difference));
    }
    const shift = shiftFor(most);
    const unit = powerOfTwo(shift + LEAST_EXPONENT);
    shifts[chunk] = shift;
    // Dividing by a power of two is exact, so there is one rounding: to the nearest integer, ties to even.
    for (let i = 0; i < length; i++) values[start + i] = clamp(roundToEven((delta[i] as number) / unit));
  }
  return concat(Uint8Array.of(DENSE_INT8), u32be(parameters), shifts, new Uint8Array(values.buffer));
}

/** Least scale whose 127 steps reach `most`; the greatest scale when none does (values then saturate). */
function shiftFor(most: number): number {
  for (let exponent = LEAST_EXPONENT; exponent < MOST_EXPONENT; exponent++) {
    if (most <= 127 * powerOfTwo(exponent)) return exponent - LEAST_EXPONENT;
  }
  return MOST_EXPONENT - LEAST_EXPONENT;
}

/** Adding 1.5 x 2^52 leaves no fraction bits in a double: the sum rounds to the nearest integer, ties to even. */
const NO_FRACTION = 6_755_399_441_055_744;

function roundToEven(value: number): number {
  // Saturated values may be far outside the trick's range; they are clamped to 127 either way.
  return Math.abs(value) < 2 ** 31 ? value + NO_FRACTION - NO_FRACTION : value;
}

function clamp(value: number): number {
  return Math.max(-127, Math.min(127, value));
}

/** The update of a model with `parameters` parameters. Fault 'update' names what does not fit; nothing is allocated before. */
export function decodeUpdate(bytes: Uint8Array, parameters: number): Result<Update> {
  const refuse = (why: string) => fault('update', `update: ${why}`, { length: bytes.length, parameters });
  if (bytes.length < HEADER_BYTES) return refuse(`shorter than its header of ${HEADER_BYTES} bytes`);
  if (bytes[0] === SPARSE) return decodeSparse(bytes, parameters);
  if (bytes[0] !== DENSE_INT8) return refuse(`codec ${bytes[0]} is not known`);
  const stated = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (stated !== parameters) return refuse(`for ${stated} parameters, the model has ${parameters}`);
  if (bytes.length !== updateSize(parameters)) return refuse(`${bytes.length} bytes, not ${updateSize(parameters)}`);
  const chunks = Math.ceil(parameters / CHUNK);
  const shifts = bytes.subarray(HEADER_BYTES, HEADER_BYTES + chunks);
  const worst = shifts.findIndex((shift) => shift > MOST_EXPONENT - LEAST_EXPONENT);
  if (worst >= 0) return refuse(`scale of chunk ${worst} is above 2^${MOST_EXPONENT}`);
  const values = new Int8Array(bytes.buffer, bytes.byteOffset + HEADER_BYTES + chunks, parameters);
  const least = values.indexOf(-128);
  if (least >= 0) return refuse(`value ${least} is -128`);
  return success({ codec: DENSE_INT8, parameters, shifts, values });
}

/** The exact f32 differences an update stands for. */
export function updateValues(update: Update): Float32Array {
  const out = new Float32Array(update.parameters);
  for (const [chunk, shift] of update.shifts.entries()) {
    const unit = powerOfTwo(shift + LEAST_EXPONENT);
    eachMove(update, chunk, (at, value) => {
      out[at] = value * unit;
    });
  }
  return out;
}

/** Calls for each parameter of a chunk that an update names, ascending, with its place in the model and its whole value. */
export function eachMove(update: Update, chunk: number, move: (at: number, value: number) => void): void {
  const start = chunk * CHUNK;
  if (update.codec === DENSE_INT8) {
    const end = Math.min(start + CHUNK, update.parameters);
    for (let at = start; at < end; at++) move(at, update.values[at] as number);
    return;
  }
  const end = update.starts[chunk + 1] as number;
  for (let entry = update.starts[chunk] as number; entry < end; entry++) {
    move(start + (update.places[entry] as number), update.values[entry] as number);
  }
}
