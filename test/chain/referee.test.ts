// Owns the tests of the referee: pieces of every kind it knows, flipped bits, false witnesses, non-finite numbers, gas.

import test from 'ava';
import { toFunctionSelector } from 'viem';
import { fromHex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { keccak256 } from '../../base/hash.ts';
import { prng } from '../../base/prng.ts';
import { refereeAbi, refereeContract } from '../../chain/system/referee.ts';
import { readFileSync } from 'node:fs';
import { type Cut, cutsOf, judgeBoth, judgeMany, presentCut, turned } from './referee-pieces.ts';
import { openRefereeWorld } from './referee-world.ts';
import { quantizeLine } from '../../engine/scalar-math.ts';

/** Gas of one transaction a dispute may cost at its end. */
const MOST_GAS = 5_000_000;
const REFUSED = {
  opening: toFunctionSelector('OpeningRefused(uint256)'),
  missing: toFunctionSelector('LeafMissing(uint256,uint256)'),
  part: toFunctionSelector('PartUnknown(uint256)'),
  range: toFunctionSelector('ElementOutOfRange(uint256,uint256)'),
};

test('every kind of piece is judged as the scalar oracle computes it, and a flipped bit is caught', async (t) => {
  const { judged, wrong, most } = await judgeMany(await openRefereeWorld(), 3, 2, 'suite');
  t.deepEqual(wrong.slice(0, 3), []);
  t.true(judged >= 50, `${judged} pieces`);
  t.log(`${judged} pieces, each also with a flipped bit; most gas: ${JSON.stringify(most)}`);
});

/** One output element of a linear layer as the specification says it, over lines of this depth. */
function linearCut(depth: number): Cut {
  const random = prng(`depth ${depth}`);
  const floats = () => Float32Array.from({ length: depth }, () => (random.u32() / 2 ** 31 - 1) * 3);
  const [left, right] = [floats(), floats()];
  const [a, b] = [quantizeLine([...left]), quantizeLine([...right])];
  const sum = a.values.reduce((total, q, k) => total + q * present(b.values[k], 'value'), 0);
  const out = Float32Array.of(Math.fround(Math.fround(sum) * Math.fround(a.scale * b.scale)));
  const all = Array.from({ length: depth }, (_, i) => i);
  const operand = (values: Float32Array, elements: readonly number[]) => ({
    bytes: new Uint8Array(values.buffer),
    leafBytes: 4 * values.length,
    elements,
  });
  return {
    part: 'linear',
    outputs: 1,
    operands: [operand(left, all), operand(right, all), operand(out, [0])],
    numbers: [1, 1, depth, 0, 0, 1, 0, 0, 0],
  };
}

test('an element of a linear layer is judged within five million gas at the depths of real layers', async (t) => {
  const world = await openRefereeWorld();
  for (const depth of [256, 688, 1_024, 1_344]) {
    const { wrong, gas } = await judgeBoth(world, linearCut(depth), prng('flip'));
    t.is(wrong, null);
    t.true(gas <= MOST_GAS, `depth ${depth}: ${gas}`);
    t.log(`depth ${depth}: ${gas} gas with its calldata`);
  }
});

test('two layouts of a tensor agree only where their elements do', async (t) => {
  const world = await openRefereeWorld();
  const [rows, columns] = [5, 7];
  const straight = new Uint8Array(Float32Array.from({ length: rows * columns }, (_, i) => i / 3).buffer);
  const cut = (bytes: Uint8Array): Cut => ({
    part: 'turn',
    outputs: 1,
    operands: [
      { bytes: straight, leafBytes: 64, elements: [2 * columns + 4] },
      { bytes, leafBytes: 20, elements: [4 * rows + 2] },
    ],
    numbers: [rows, columns, 2, 4],
  });
  t.is((await judgeBoth(world, cut(turned(straight, rows, columns)), prng('turn'))).wrong, null);
});

test('a witness that does not open its root is refused, not judged', async (t) => {
  const world = await openRefereeWorld();
  const cut = present(cutsOf('add', 'witness', 1)[0], 'cut');
  const { piece, witness } = presentCut(cut);
  const first = present(witness[0], 'opening');
  const leaf = fromHex(first.leaf);
  leaf[0] = (leaf[0] ?? 0) ^ 1;
  const cases = [
    [[{ ...first, leaf: toHex(leaf) }, ...witness.slice(1)], REFUSED.opening],
    [[{ ...first, leaf: toHex(leaf.subarray(4)) }, ...witness.slice(1)], REFUSED.opening],
    [[{ ...first, index: 4_000_000_000 }, ...witness.slice(1)], REFUSED.opening],
    [[{ ...first, operand: 200 }, ...witness.slice(1)], REFUSED.opening],
    [
      [{ ...first, siblings: [...first.siblings, `0x${'00'.repeat(32)}` as const] }, ...witness.slice(1)],
      REFUSED.opening,
    ],
    [witness.slice(1), REFUSED.missing],
  ] as const;
  for (const [openings, error] of cases) t.is((await world.judge(piece, openings)).error, error);
  t.is((await world.judge({ ...piece, part: 99 }, witness)).error, REFUSED.part);
  t.is((await world.judge({ ...piece, numbers: [0xffff_ffff, 1] }, witness)).error, REFUSED.range);
  t.true((await world.judge(piece, witness)).holds);
});

test('a piece that reads or claims a number that is not finite never holds', async (t) => {
  const world = await openRefereeWorld();
  for (const [a, b, out] of [
    [1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    [3e38, 3e38, Number.POSITIVE_INFINITY],
    [Number.NaN, 1, Number.NaN],
  ]) {
    const operand = (x: number | undefined) => ({
      bytes: new Uint8Array(Float32Array.of(x ?? 0).buffer),
      leafBytes: 16_384,
      elements: [0],
    });
    const cut: Cut = { part: 'add', outputs: 1, operands: [operand(a), operand(b), operand(out)], numbers: [0, 1] };
    const { piece, witness } = presentCut({ ...cut, operands: cut.operands.map((one) => ({ ...one, leafBytes: 4 })) });
    t.is((await world.judge(piece, witness)).holds, false);
  }
});

test('the published ABI of the referee is the compiler’s', (t) => {
  type Item = Readonly<{ name: string; type: string; components?: readonly Item[]; inputs?: readonly Item[] }>;
  const line = ({ name, type, components, inputs }: Item): string =>
    `${type} ${name}(${[...(components ?? []), ...(inputs ?? [])].map(line).join(', ')})`;
  const compiled = refereeContract('Referee').abi as readonly Item[];
  t.deepEqual((refereeAbi as readonly Item[]).map(line).sort(), compiled.map(line).sort());
});

test('the referee’s bytecode is the one the protocol names and fits other EVM chains', (t) => {
  const document = readFileSync(new URL('../../../docs/protocol/referee.md', import.meta.url), 'utf8');
  const code = fromHex(refereeContract('Referee').runtimeBytecode);
  t.true(code.length <= 24_576);
  t.true(document.includes(`${code.length} bytes`), `${code.length} bytes`);
  t.true(document.includes(toHex(keccak256(code))), toHex(keccak256(code)));
});
