// Owns polled log filters over more logs than one answer may hold.

import test from 'ava';
import type { Address, SystemHooks } from '../../chain/api.ts';
import { filterStore } from '../../rpc/filters.ts';
import { rpcLimits } from '../../rpc/limits.ts';
import { alice, mine, NO_SYSTEM, signed, testChain } from '../chain/support.ts';

const LOGGER: Address = '0x00000000000000000000000000000000000c0de1';
const system: SystemHooks = { ...NO_SYSTEM, alloc: { [LOGGER]: { balance: 0n, nonce: 1, code: '0x5f5fa0' } } };

test('a filter gives every log once, over several polls when they are many', async (t) => {
  const { chain, dispose } = await testChain({ system, limits: { logsResults: 5 } });
  t.teardown(dispose);
  const clock = { nowMs: () => 0, monotonicMs: () => 0 };
  const filters = filterStore(chain, clock, (length) => new Uint8Array(length).fill(1), rpcLimits);
  const id = filters.addLogs({ filter: { addresses: [LOGGER], topics: [] }, fromBlock: null, untilBlock: 99 });
  for (let nonce = 0; nonce < 12; nonce += 2) {
    await mine(
      chain,
      [nonce, nonce + 1].map((one) => signed(alice, one, { to: LOGGER, gas: 60_000n })),
    );
  }
  const heights: unknown[] = [];
  let polls = 0;
  for (let logs = await filters.changes(id); logs.length > 0; logs = await filters.changes(id)) {
    t.true(logs.length <= 5);
    heights.push(...logs.map((log) => (log as { blockNumber: string }).blockNumber));
    polls++;
  }
  t.deepEqual(
    heights,
    [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6].map((height) => `0x${height}`),
  );
  t.true(polls > 1);
  filters.close();
});
