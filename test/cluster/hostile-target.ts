// Owns the live network the hostile cases are run against: four authorities, one of which also cheats with its key, and all
// cases in order.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { unwrap } from '../../base/fault.ts';
import type { Prng } from '../../base/prng.ts';
import { DEFAULT_CHAIN_ID } from '../../chain/genesis.ts';
import { openKeystore } from '../../node/keystore.ts';
import { type Field, openField } from './fault-field.ts';
import { type Stage, waitFor } from './harness.ts';
import type { HostileCase, Target } from './hostile-cases.ts';
import { CLIENT_CASES } from './hostile-client.ts';
import { PEER_CASES } from './hostile-peer.ts';
import { VOTE_CASES } from './hostile-votes.ts';

const AUTHORITIES = 4;
/** The node that is attacked, and the one of which a twin is started. */
const ATTACKED = 0;
const DOUBLED = 1;

/** Every case of the published list, by number. */
export const HOSTILE_CASES: readonly HostileCase[] = [...PEER_CASES, ...VOTE_CASES, ...CLIENT_CASES].sort(
  (a, b) => a.number - b.number,
);

export async function openTarget(stage: Stage, random: Prng): Promise<Readonly<{ field: Field; target: Target }>> {
  const field = await openField(stage, AUTHORITIES);
  await waitFor('the first blocks', 120_000, async () => ((await field.height()) >= 2 ? true : null));
  const node = present(field.nodes[ATTACKED], 'node');
  const keys = join(stage.directory, 'data', present(field.nodes[field.hereAt], 'authority').name);
  const cheat = unwrap(await openKeystore(join(keys, 'keystore.json'), join(keys, 'password')));
  const target: Target = {
    node,
    genesisHash: fromHex(field.here.chain.genesisHash),
    chainId: DEFAULT_CHAIN_ID,
    authorities: field.here.driver.status().validators,
    cheat,
    random,
    log: () => readFileSync(join(stage.directory, `${node.name}.log`), 'utf8'),
    startTwin: () => field.startTwin(DOUBLED),
  };
  return { field, target };
}
