// Owns a trainer's canaries: the secret layers, which follow from its key, whether the lot of a round fell on it, and opening
// what it committed. How a step is spoilt is trainer/round.ts; what a canary is worth is the contracts'.

import { type Hex, fromHex, toHex, u32be, u64be } from '../base/bytes.ts';
import { taggedHash } from '../base/hash.ts';
import type { Chain } from '../chain/api.ts';
import type { RoundRecord, ViewCall } from '../chain/system/api.ts';
import { CALL_GAS, openCanaryCall, setCanaryLayerCall } from '../chain/system/calls.ts';
import { NO_DIGEST, canaryHash, canaryLayerHash, ownsCanary } from '../chain/system/verdicts.ts';
import { readCanaryLayer, readClaim } from '../chain/system/views.ts';
import { CANARY_LAYERS } from './limits.ts';
import type { Logger } from './logger.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { ProtocolSender } from './protocol-sender.ts';
import { systemView } from './system-view.ts';

type Canary = Readonly<{ step: number; layer: Hex; nextLayerHash: Hex; hash: Hex }>;

export type Canaries = Readonly<{
  /** Registers the first layer when the chain knows none. */
  register(registered: Hex): void;
  /** The canary of a round, or null when the lot did not fall on this trainer. The same after a restart. */
  draw(record: RoundRecord): Promise<Canary | null>;
  /** What a commitment without a canary carries: nobody can tell it from one with. */
  blind(round: number): Hex;
  /** Opens the canary that was committed to in a round, when there is one. */
  open(record: RoundRecord, view: ViewCall): Promise<void>;
}>;

export function createCanaries(parts: {
  chain: Chain;
  definition: NetworkDefinition;
  address: Hex;
  secretKey: Uint8Array;
  canaries: boolean;
  sender: ProtocolSender;
  log: Logger;
}): Canaries {
  const { chain, definition, address, secretKey, sender, log } = parts;
  const { canaryBps, steps } = definition.parameters;
  const chainId = u64be(Number(chain.chainId));
  const active = parts.canaries && canaryBps > 0;
  let index = 0;

  const layerAt = (at: number): Hex => toHex(taggedHash('canary-layer', secretKey, chainId, u32be(at)));

  /** Place of the layer with this hash among this key's, or null when it is none of them. */
  function indexOf(hash: Hex): number | null {
    // Layers are used in order, so the search starts where the last one was found.
    for (let tried = 0; tried < CANARY_LAYERS; tried++) {
      const at = (index + tried) % CANARY_LAYERS;
      if (canaryLayerHash(layerAt(at)) !== hash) continue;
      index = at;
      return at;
    }
    return null;
  }

  async function draw(record: RoundRecord, view: ViewCall = systemView(chain)): Promise<Canary | null> {
    if (!active) return null;
    const registered = await readCanaryLayer(view, address, record.round);
    const at = registered === NO_DIGEST ? null : indexOf(registered);
    if (at === null || !ownsCanary(record.seed, address, layerAt(at), canaryBps)) return null;
    const layer = layerAt(at);
    const random = taggedHash('canary-step', fromHex(layer), fromHex(record.seed));
    const step = new DataView(random.buffer, random.byteOffset, random.length).getUint32(0) % steps;
    const nextLayerHash = canaryLayerHash(layerAt((at + 1) % CANARY_LAYERS));
    return { step, layer, nextLayerHash, hash: canaryHash(record.round, address, step, layer) };
  }

  return {
    register(registered) {
      if (active && registered === NO_DIGEST)
        sender.send('canary-layer', setCanaryLayerCall(canaryLayerHash(layerAt(0))), CALL_GAS.openCanary);
    },
    draw: (record) => draw(record),
    blind: (round) => toHex(taggedHash('no-canary', secretKey, chainId, u64be(round))),
    async open(record, view) {
      const key = `canary-${record.round}`;
      const mine = record.roster.some(({ trainer, status }) => trainer === address && status === 'committed');
      if (!mine || sender.knows(key)) return;
      const canary = await draw(record, view);
      if (canary === null || (await readClaim(view, record.round, address)).canaryHash !== canary.hash) return;
      const { step, layer, nextLayerHash } = canary;
      sender.send(key, openCanaryCall(record.round, step, layer, nextLayerHash), CALL_GAS.openCanary);
      log.info('canary opened', { round: record.round, step });
    },
  };
}
