// Owns the genesis file: it reads back as written, each wrong field is named, and every field moves the genesis hash.

import test from 'ava';
import { unwrap } from '../../base/fault.ts';
import { ONE_POL } from '../../base/units.ts';
import type { Genesis } from '../../chain/api.ts';
import { canonicalJson, formatGenesis, parseGenesis } from '../../chain/genesis.ts';
import { genesisHashOf } from '../../chain/open.ts';
import { alice, authority, bob, NO_SYSTEM, testGenesis } from './support.ts';

const slot = `0x${'00'.repeat(31)}01` as const;
const full: Genesis = testGenesis({
  alloc: {
    [alice.address]: { balance: 5n * ONE_POL },
    [bob.address]: { balance: 0n, nonce: 3, code: '0x6001', storage: { [slot]: slot } },
  },
  learning: { steps: 4, nested: { b: [1, 'x', null], a: true } },
  dataset: { name: 'sample' },
});

test('a genesis file reads back as it was written', (t) => {
  const text = formatGenesis(full);
  t.is(formatGenesis(unwrap(parseGenesis(text))), text);
});

test('each wrong field is refused by name', (t) => {
  const base = JSON.parse(formatGenesis(full)) as Record<string, unknown>;
  const cases: readonly (readonly [Record<string, unknown>, RegExp])[] = [
    [{ format: 'other' }, /genesis\.format/],
    [{ chainId: 31_337 }, /genesis\.chainId: 31337 is a simulator/],
    [{ chainId: '5' }, /genesis\.chainId/],
    [{ timestamp: 1.5 }, /genesis\.timestamp/],
    [{ gasLimit: '1000' }, /genesis\.gasLimit: from/],
    [{ gasLimit: 30_000_000 }, /genesis\.gasLimit: a decimal string/],
    [{ baseFeePerGas: '0' }, /genesis\.baseFeePerGas/],
    [{ authorities: [] }, /genesis\.authorities: a list/],
    [
      { authorities: [{ address: authority.address, publicKey: `0x02${'00'.repeat(31)}05` }] },
      /authorities\[0\]\.publicKey/,
    ],
    [
      { authorities: [...(base['authorities'] as []), ...(base['authorities'] as [])] },
      /authorities\[1\]\.address: listed twice/,
    ],
    [{ alloc: { '0x12': {} } }, /alloc\.0x12/],
    [{ alloc: { [alice.address]: { balance: '-1' } } }, /balance/],
    [{ alloc: { [alice.address]: { balance: '1', colour: 1 } } }, /colour: unknown field/],
    [{ alloc: { [alice.address]: { code: '0x123' } } }, /code/],
    [{ alloc: { [alice.address]: { storage: { '0x1': '0x2' } } } }, /storage/],
    [{ learning: [] }, /genesis\.learning/],
    [{ dataset: null }, /genesis\.dataset/],
    [{ extra: 1 }, /genesis\.extra: unknown field/],
  ];
  for (const [change, expected] of cases) {
    const result = parseGenesis(JSON.stringify({ ...base, ...change }));
    t.regex(result.ok ? 'accepted' : result.message, expected, JSON.stringify(change));
  }
  for (const text of ['', 'null', '[1]', '{', '"x"']) t.false(parseGenesis(text).ok, text);
  t.false(parseGenesis(formatGenesis(full).replace('"alloc"', '"__proto__"')).ok);
});

test('every field moves the genesis hash, and the order of names does not', async (t) => {
  const hash = (genesis: Genesis) => genesisHashOf(genesis, NO_SYSTEM);
  const seen = new Set([await hash(full)]);
  const changes: Partial<Genesis>[] = [
    { chainId: 7_777 },
    { timestamp: full.timestamp + 1 },
    { gasLimit: 20_000_000n },
    { baseFeePerGas: 7n },
    { alloc: { [alice.address]: { balance: 1n } } },
    { learning: { steps: 5 } },
    { dataset: {} },
    { authorities: [] },
  ];
  for (const change of changes) seen.add(await hash({ ...full, ...change }));
  t.is(seen.size, changes.length + 1);
  t.is(canonicalJson({ b: 1, a: { d: [2], c: null } }), '{"a":{"c":null,"d":[2]},"b":1}');
  const reordered = { ...full, learning: { nested: { a: true, b: [1, 'x', null] }, steps: 4 } };
  t.is(await hash(reordered), await hash(full));
});
