// Owns what may be found out about a final block from its bytes alone, before the block under it is known: types only. Whoever
// uses a finding has found it itself, from the very bytes it stands beside; none ever comes from a peer.

import type { Hex } from '../base/bytes.ts';

export type Findings = Readonly<{
  /** Who signed the certificate, in its order; null where a signature belongs to no key. */
  signers: readonly (Hex | null)[];
  /** Senders of the block's transactions, in its order. */
  senders: readonly Hex[];
  /** The mix that the beacon proof leads to if the parent's mix and the author's key are these; null for no valid proof. */
  beacon: Readonly<{ parentMix: Hex; publicKey: Hex; mix: Hex | null }> | null;
}>;
