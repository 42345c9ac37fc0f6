// Owns the words of the hostile cases: a number of the published list, what is sent, and how one of them is run against a live
// node. The attacks are hostile-peer.ts, hostile-votes.ts and hostile-client.ts.

import type { Hex } from '../../base/bytes.ts';
import type { Prng } from '../../base/prng.ts';
import { systemClock } from '../../node/clock.ts';
import type { FoundedNode } from '../../node/founding.ts';

/** A live network and the node of it that is attacked. */
export type Target = Readonly<{
  node: FoundedNode;
  genesisHash: Uint8Array;
  chainId: number;
  /** Sorted addresses of the authorities. */
  authorities: readonly string[];
  /** Key of an authority that also cheats. */
  cheat: Readonly<{ secretKey: Uint8Array; address: Hex }>;
  random: Prng;
  /** What the attacked node has logged. */
  log(): string;
  /** Starts a second node with the key of an authority that runs; what it ended with and said. */
  startTwin(): Promise<Readonly<{ code: number | string; text: string }>>;
}>;

/** `run` throws when the node does anything but what the case allows. */
export type HostileCase = Readonly<{ number: number; what: string; run(target: Target): Promise<void> }>;

export function expect(condition: boolean, what: string): void {
  if (!condition) throw new Error(`expected: ${what}`);
}

export async function within(ms: number, what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const start = systemClock.monotonic();
  while (!(await condition())) {
    if (systemClock.monotonic() - start > ms) throw new Error(`${what}: not within ${ms} ms`);
    await systemClock.sleep(20);
  }
}
