// Owns error feedback: what a trainer wanted to move and codec 2 left out is kept, lowered a little, and wanted again in its
// next round. Rules U-10 to U-14 of docs/protocol/learning-round.md. The bytes of an update are update.ts and sparse-update.ts.

import { equal } from '../base/bytes.ts';
import { check } from '../base/check.ts';
import { unwrap } from '../base/fault.ts';
import { stateRoot } from '../base/merkle.ts';
import { SPARSE, SPARSE_SHAPE, type SparseShape, decodeSparse, encodeSparse } from './sparse-update.ts';
import { floats } from './step-runner.ts';
import { type Codec, encodeUpdate, updateValues } from './update.ts';

/** The share of a residual that is wanted again, in 1/256: exact in f32. */
export const RESIDUAL_DECAY = 243;
const DECAY_UNIT = 256;

/** How codec 2 is used; other numbers than the chain's exist only to be measured. */
export type SparseRule = Readonly<{ shape: SparseShape; decay: number }>;
const CHAIN_RULE: SparseRule = { shape: SPARSE_SHAPE, decay: RESIDUAL_DECAY };

type SparseResult = Readonly<{ bytes: Uint8Array; residual: Float32Array }>;

/**
 * Codec 2 of a round and the residual it leaves, from the residual before (null: zeros). Null when a number is not finite,
 * which makes the round invalid. Every operation is one f32 operation, in this order (error feedback: Seide et al. 2014;
 * with chunked top-k and decay: SparseLoCo, arXiv 2508.15706).
 */
export function encodeWithResidual(
  base: Float32Array,
  final: Float32Array,
  before: Float32Array | null,
  { shape, decay }: SparseRule = CHAIN_RULE,
): SparseResult | null {
  check(final.length === base.length && (before ?? base).length === base.length, 'encodeWithResidual: sizes differ');
  const wanted = new Float32Array(base.length);
  const factor = decay / DECAY_UNIT;
  for (let i = 0; i < wanted.length; i++) {
    const kept = before === null ? 0 : Math.fround((before[i] as number) * factor);
    const sum = Math.fround(kept + Math.fround((base[i] as number) - (final[i] as number)));
    if (!Number.isFinite(sum)) return null;
    wanted[i] = sum;
  }
  const bytes = encodeSparse(wanted, shape);
  const sent = updateValues(unwrap(decodeSparse(bytes, wanted.length, shape)));
  // The stores into f32 are the rounding.
  for (let i = 0; i < wanted.length; i++) wanted[i] = (wanted[i] as number) - (sent[i] as number);
  return { bytes, residual: wanted };
}

/** Root of a residual that is not kept, and of the one before a trainer's first round: it stands for zeros. */
export const NO_RESIDUAL: Uint8Array = new Uint8Array(32);

export type RoundUpdate = Readonly<{
  bytes: Uint8Array;
  /** f32 bytes, as long as the parameters; null with a codec that leaves none. */
  residual: Uint8Array | null;
  /** State root of the residual, or {@link NO_RESIDUAL}. */
  residualRoot: Uint8Array;
}>;

/**
 * The one right update of a round and the residual after it. `before` is the residual bytes that the trainer's previous
 * accepted claim left, null for zeros. Null when a number is not finite: nothing can then be committed.
 */
export function roundUpdate(
  codec: Codec,
  base: Uint8Array,
  final: Uint8Array,
  before: Uint8Array | null,
): RoundUpdate | null {
  if (codec !== SPARSE) {
    const bytes = encodeUpdate(floats(base), floats(final));
    return bytes === null ? null : { bytes, residual: null, residualRoot: NO_RESIDUAL };
  }
  const result = encodeWithResidual(floats(base), floats(final), before === null ? null : floats(before));
  if (result === null) return null;
  const residual = new Uint8Array(result.residual.buffer);
  return { bytes: result.bytes, residual, residualRoot: stateRoot(residual) };
}

/** Where the residual before a round is had from: its root on chain, and whoever serves the bytes. */
export type ResidualSource = Readonly<{
  /** {@link NO_RESIDUAL}: zeros, nothing is fetched. */
  root: Uint8Array;
  fetch: () => Promise<Uint8Array | null>;
}>;

/** Residual bytes of a root; null for zeros; 'unserved' when nobody gives bytes of that root, which accuses nobody. */
export async function fetchResidual(
  source: ResidualSource | undefined,
  parameterBytes: number,
): Promise<Uint8Array | null | 'unserved'> {
  if (source === undefined || equal(source.root, NO_RESIDUAL)) return null;
  const bytes = await source.fetch();
  if (bytes === null || bytes.length !== parameterBytes || !equal(stateRoot(bytes), source.root)) return 'unserved';
  return bytes;
}
