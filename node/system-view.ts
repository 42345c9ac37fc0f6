// Owns reads of the system contracts at one block of the chain, as ordinary calls without gas price.

import type { Hex } from '../base/bytes.ts';
import { FaultError, unwrap } from '../base/fault.ts';
import { fault } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import type { ViewCall } from '../chain/system/api.ts';

/** View calls on the post-state of block `number` (the head when left out). FaultError when one reverts. */
export function systemView(chain: Chain, number: number = chain.head().header.number): ViewCall {
  return async (to: Hex, data: Uint8Array) => {
    const outcome = unwrap(await chain.call({ to, data }, number));
    if (outcome.failure !== null) {
      throw new FaultError(fault('system-view', `call of ${to} failed: ${outcome.failure.message}`));
    }
    return outcome.returned;
  };
}
