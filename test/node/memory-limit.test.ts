// How much memory an engine may take: the configured number, or a share of what there is.

import { totalmem } from 'node:os';
import test from 'ava';
import { loadConfig } from '../../node/config.ts';
import { memoryLimit } from '../../node/memory-limit.ts';

test('a configured limit is taken as it is and named; else a share of what the system has', (t) => {
  t.deepEqual(memoryLimit(512), { limitBytes: 512 * 2 ** 20, limitSource: 'engine_memory_mb' });
  const { limitBytes, limitSource } = memoryLimit(0);
  t.true(limitBytes > 0 && limitBytes < totalmem());
  t.is(limitSource, '80% of the memory available');
});

test('the configuration key is a whole number of mebibytes', (t) => {
  const given = (value: unknown) => loadConfig({ flags: { engine_memory_mb: value }, environment: {} });
  const good = given(2048);
  t.true(good.ok && good.value.config.engine_memory_mb === 2048);
  for (const wrong of [-1, 1.5, 'much', 2 ** 40]) {
    const refused = given(wrong);
    t.true(!refused.ok && refused.message.startsWith('engine_memory_mb: must be a whole number from 0'));
  }
});
