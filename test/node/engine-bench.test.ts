// The measurement a person runs: rows for models that fit, a reason for those that do not.

import test from 'ava';
import { systemClock } from '../../node/clock.ts';
import { type EngineBenchRow, type EngineMachine, benchEngine } from '../../node/engine-bench.ts';

async function bench(memoryMb: number): Promise<{ machine: EngineMachine | null; rows: EngineBenchRow[] }> {
  const seen: { machine: EngineMachine | null; rows: EngineBenchRow[] } = { machine: null, rows: [] };
  await benchEngine(
    { engine: 'auto', threads: 1, memoryMb, presets: ['0.3m'], eachMs: 1, clock: systemClock },
    (machine) => {
      seen.machine = machine;
    },
    (row) => seen.rows.push(row),
  );
  return seen;
}

test('a model that fits is trained and its speed told with the share of roots', async (t) => {
  const { machine, rows } = await bench(0);
  t.regex(machine?.backend ?? '', /^(native|wasm) /);
  const [row] = rows;
  t.true(row?.ok);
  if (row?.ok !== true) return;
  t.is(row.tokens, 1024);
  t.true(row.steps >= 3 && row.tokensPerSecond > 0 && row.hashShare > 0 && row.hashShare < 1);
  t.regex(row.plan, /^batch of 8, no value computed twice, \d+ MiB of memory$/);
});

test('a model that does not fit is told with need and limit', async (t) => {
  const { rows } = await bench(8);
  t.true(rows[0]?.ok === false && /needs \d+ MiB of memory .* limit 8 MiB \(engine_memory_mb\)/.test(rows[0].reason));
});
