import test from 'ava';
import { fromHex, isHex, toBigInt, toHex, u256be } from '../../base/bytes.ts';
import { keccak256, sha256, taggedHash } from '../../base/hash.ts';
import { formatPol, ONE_POL, parsePol } from '../../base/units.ts';
import { prng } from '../../base/prng.ts';

test('POL amounts are read and written exactly', (t) => {
  t.is(parsePol('10.5'), 105n * 10n ** 17n);
  t.is(parsePol('0.000000000000000001'), 1n);
  for (const bad of ['', '-1', '1e3', '.5', '1.', '1.0000000000000000001', 'ten', '1'.repeat(61)])
    t.is(parsePol(bad), null);
  t.is(formatPol(105n * 10n ** 17n), '10.5');
  t.is(formatPol(ONE_POL), '1');
  t.is(formatPol(-1n), '-0.000000000000000001');
});

test('hex is checked, and whole', (t) => {
  t.true(isHex('0x'));
  t.false(isHex('0x0'));
  t.false(isHex('00'));
  t.false(isHex(null));
  t.throws(() => fromHex('0xzz'));
  t.is(toHex(fromHex('0x00ff')), '0x00ff');
  t.is(toBigInt(u256be(12_345n)), 12_345n);
});

test('hashes match their published vectors', (t) => {
  t.is(toHex(sha256(new Uint8Array())), '0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  t.is(toHex(keccak256(new Uint8Array())), '0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470');
  t.notDeepEqual(taggedHash('a', fromHex('0x62')), taggedHash('ab', fromHex('0x')));
});

test('a seeded generator repeats itself and stays in bounds', (t) => {
  const [a, b] = [prng('seed'), prng('seed')];
  for (let i = 0; i < 1_000; i++) {
    const value = a.below(7);
    t.is(value, b.below(7));
    t.true(value >= 0 && value < 7);
  }
  t.notDeepEqual(prng('seed').bytes(8), prng('other').bytes(8));
});
