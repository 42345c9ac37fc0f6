// Checks the table of rotary angles against the exact values and pins its bits.

import test from 'ava';
import { toHex } from '../../base/bytes.ts';
import { sha256 } from '../../base/hash.ts';
import { ropeTable } from '../../engine/rope-table.ts';

/** cos and sin of 1 and of 100 radians to 17 digits. */
const COS_1 = 0.5403023058681398;
const SIN_1 = 0.8414709848078965;
const COS_100 = 0.8623188722876839;
const SIN_100 = -0.5063656411097588;

test('position times frequency is turned by, to the last bit of f32', (t) => {
  const table = ropeTable(128, 4, 10_000);
  t.deepEqual([...table.subarray(0, 4)], [1, 1, 0, 0]);
  t.is(table[4], Math.fround(COS_1));
  t.is(table[6], Math.fround(SIN_1));
  t.is(table[400], Math.fround(COS_100));
  t.is(table[402], Math.fround(SIN_100));
  t.is(table[401], Math.fround(COS_1), 'the second frequency is 1 / 100');
  t.is(table[403], Math.fround(SIN_1));
});

test('far positions keep their length', (t) => {
  const [positions, width] = [16_384, 64];
  const table = ropeTable(positions, width, 500_000);
  for (let p = 0; p < positions; p += 331) {
    for (let i = 0; i < width / 2; i++) {
      const [cos, sin] = [table[p * width + i] ?? 0, table[p * width + width / 2 + i] ?? 0];
      t.true(Math.abs(cos * cos + sin * sin - 1) < 3e-7);
    }
  }
});

test('the bits of the table of the reference model never change', (t) => {
  t.is(
    toHex(sha256(new Uint8Array(ropeTable(128, 64, 10_000).buffer))),
    '0xc816b80b79b38dbc0421b7daa146c9d5c1294182d4f07a030aa6952446fadd15',
  );
});
