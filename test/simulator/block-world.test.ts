// Owns that a simulated network agrees on what blocks do, not on their names only: its decisions executed as real blocks.

import test from 'ava';
import { unwrap } from '../../base/fault.ts';
import { systemHooks } from '../../chain/system/hooks.ts';
import { BLOCK_WORLD_GENESIS, BLOCK_WORLD_PARAMETERS, replayBlocks } from './block-world.ts';
import { CORE } from './campaigns.ts';
import { mixed } from './faults.ts';
import type { Entry } from './world-parts.ts';
import { World } from './world.ts';

/** Worlds of four authorities with many blocks, crashes, loss and cut links; in the last two one authority runs twice. */
const SEEDS = [1, 86, 110];

/** What the nodes of a seed do, and how many they are. */
function journalOf(seed: number): Readonly<{ entries: Entry[]; nodes: number; heights: number }> {
  const entries: Entry[] = [];
  const faults = mixed(seed);
  const { violation, heights } = new World(seed, faults, CORE, { journal: (entry) => entries.push(entry) }).run();
  if (violation !== null) throw new Error(`seed ${seed}: ${violation}`);
  return { entries, nodes: faults.count + faults.twins, heights };
}

test('a simulated network that executes real blocks has equal roots everywhere and all coins in the books', async (t) => {
  const total = { built: 0, moves: 0, executed: 0, committed: 0, reopened: 0, rounds: 0 };
  for (const seed of SEEDS) {
    const { entries, nodes, heights } = journalOf(seed);
    const tally = await replayBlocks(entries, nodes);
    t.true(tally.committed >= heights * (nodes - 1), `seed ${seed}: nearly all nodes have all blocks`);
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += tally[name];
  }
  t.log(JSON.stringify(total));
  t.true(total.built > 40 && total.executed > 100 && total.reopened > 3, 'blocks were built, executed and read again');
  t.true(total.moves > 20 && total.rounds > 0, 'coins moved and learning rounds began');
});

test('a node whose chain executes something else is found', async (t) => {
  const { entries, nodes } = journalOf(SEEDS[0] ?? 0);
  const authorities = BLOCK_WORLD_GENESIS.authorities;
  const system = unwrap(await systemHooks(BLOCK_WORLD_PARAMETERS, authorities));
  const other = { ...system, calls: () => [] };
  const found = replayBlocks(entries, nodes, (at) => (at === nodes - 1 ? { system: other } : {}));
  await t.throwsAsync(found, { message: /^I10/ });
});
