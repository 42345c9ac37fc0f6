// Owns the way of residuals on a node: which root a trainer's round starts from by the chain, and this node's own bytes of a root.
// What a residual is, is trainer/residual.ts; who serves it to auditors is state-exchange.ts.

import { type Hex, equal, fromHex } from '../base/bytes.ts';
import { stateRoot } from '../base/merkle.ts';
import type { ViewCall } from '../chain/system/api.ts';
import { readClaim, readRound } from '../chain/system/views.ts';
import { NO_RESIDUAL } from '../trainer/residual.ts';
import { readResidual } from '../trainer/round-store.ts';
import { roundFolder } from './state-exchange.ts';

/** Root of the residual before a trainer's round: what its accepted claim of the round before left (rule U-12). */
export async function residualRootBefore(view: ViewCall, round: number, trainer: Hex): Promise<Uint8Array> {
  if (round === 0) return NO_RESIDUAL;
  const { roster } = await readRound(view, round - 1);
  if (!roster.some((entry) => entry.trainer === trainer && entry.status === 'accepted')) return NO_RESIDUAL;
  const { residualRoot } = await readClaim(view, round - 1, trainer);
  return fromHex(residualRoot);
}

/** This trainer's own residual before a round: null for zeros, 'lost' when the bytes of that root are not on its disk. */
export function ownResidual(dataDir: string, round: number, root: Uint8Array): Uint8Array | null | 'lost' {
  if (equal(root, NO_RESIDUAL)) return null;
  const bytes = readResidual(roundFolder(dataDir, round - 1));
  return bytes !== null && equal(stateRoot(bytes), root) ? bytes : 'lost';
}
