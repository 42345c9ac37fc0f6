// Owns tests of the point evaluation precompile: proofs over the ceremony's setup are accepted, and nothing else is: no other value,
// no second encoding of a point, no point outside the group. The published cases are in the state tests.

import test from 'ava';
import { fromHex, toHex } from '../../base/bytes.ts';
import { sha256 } from '../../base/hash.ts';
import { prepareKzg, verifyKzgProof } from '../../chain/kzg.ts';
import { createCommon, createMachine, evmAddress } from '../../chain/evm.ts';

/** g1_monomial[0] and [1] of trusted_setup_4096.json: commitments to the polynomials 1 and x. */
const ONE = '0x97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb';
const X = '0xad3eb50121139aa34db1d545093ac9374ab7bca2c0f3bf28e27c8dcd8fc7cb42d25926fc0c97b336e9f0fb35e5a04c81';
const INFINITY = `0xc0${'00'.repeat(47)}`;
const ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001n;
const scalar = (value: bigint): `0x${string}` => `0x${value.toString(16).padStart(64, '0')}`;

test.before(() => prepareKzg());

test('x is z at z, by the proof 1; a constant is itself everywhere, by the proof 0', (t) => {
  for (const z of [0n, 1n, 77n, ORDER - 1n]) {
    t.true(verifyKzgProof(X, scalar(z), scalar(z), ONE));
    t.false(verifyKzgProof(X, scalar(z), scalar((z + 1n) % ORDER), ONE));
    t.true(verifyKzgProof(ONE, scalar(z), scalar(1n), INFINITY));
    t.false(verifyKzgProof(ONE, scalar(z), scalar(1n), ONE));
    t.true(verifyKzgProof(INFINITY, scalar(z), scalar(0n), INFINITY));
  }
});

test('malformed points and scalars are no proof, whatever they would decode to', (t) => {
  const z = scalar(5n);
  t.true(verifyKzgProof(X, z, z, ONE));
  const changed = (hex: string, at: number, bits: number): string => {
    const bytes = fromHex(hex);
    bytes[at] = (bytes[at] as number) ^ bits;
    return toHex(bytes);
  };
  const field = `0x${(0x1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaabn).toString(16)}`;
  const wrong: Readonly<Record<string, string>> = {
    'not compressed': changed(X, 0, 0x80),
    'infinity with an x': changed(X, 0, 0x40),
    'the other y': changed(X, 0, 0x20),
    'infinity with a sign': changed(INFINITY, 0, 0x20),
    'infinity with a last byte': changed(INFINITY, 47, 1),
    'x on no point': changed(X, 47, 1),
    'x of the field': changed(field, 0, 0x80),
    'outside the group': `0x80${'00'.repeat(47)}`,
    'too short': X.slice(0, -2),
    'too long': `${X}00`,
    empty: '0x',
    'no hex': `0xzz${X.slice(4)}`,
  };
  for (const [name, point] of Object.entries(wrong)) {
    t.false(verifyKzgProof(point, z, z, ONE), `${name}: commitment`);
    t.false(verifyKzgProof(X, z, z, point), `${name}: proof`);
    t.false(verifyKzgProof(point, z, scalar(0n), INFINITY), `${name}: commitment to nothing`);
  }
  for (const value of [scalar(5n + ORDER), scalar(ORDER), '0x05', `0x${'00'.repeat(33)}`, '0x']) {
    t.false(verifyKzgProof(X, value, z, ONE), `z ${value}`);
    t.false(verifyKzgProof(X, z, value, ONE), `y ${value}`);
  }
});

test('the precompile answers 4096 and the modulus for 50,000 gas, and takes all gas for a false claim', async (t) => {
  const machine = await createMachine(createCommon(1), () => null);
  const versioned = sha256(fromHex(X));
  versioned[0] = 1;
  const call = async (y: bigint) => {
    const data = fromHex(`${toHex(versioned)}${scalar(9n).slice(2)}${scalar(y).slice(2)}${X.slice(2)}${ONE.slice(2)}`);
    const to = evmAddress(`0x${'00'.repeat(19)}0a`);
    return (await machine.evm.runCall({ to, data, gasLimit: 100_000n })).execResult;
  };
  const good = await call(9n);
  t.is(good.executionGasUsed, 50_000n);
  t.is(toHex(good.returnValue), `${scalar(4_096n)}${scalar(ORDER).slice(2)}`);
  const bad = await call(10n);
  t.truthy(bad.exceptionError);
  t.is(bad.executionGasUsed, 100_000n);
});
