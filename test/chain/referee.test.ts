// Owns the tests of the referee: pieces of every kind it knows, flipped bits, false witnesses, non-finite numbers, gas.

import { readFileSync } from 'node:fs';
import test from 'ava';
import { toFunctionSelector } from 'viem';
import { fromHex, toHex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { keccak256 } from '../../base/hash.ts';
import { prng } from '../../base/prng.ts';
import {
  CODE_BLOCK,
  REFEREE_ADDRESSES,
  REFEREE_NAMES,
  REFEREE_PARTS,
  type RefereeOpening,
  refereeAbi,
  refereeContract,
} from '../../chain/system/referee.ts';
import { SCALAR_OPS, type Value } from '../../engine/scalar-ops.ts';
import { preset } from '../../trainer/presets.ts';
import { buildTrainProgram } from '../../trainer/train-program.ts';
import { disputeOf } from '../../trainer/referee-templates.ts';
import { type TensorRef, input, ledger, output, sameRef } from '../../trainer/referee-frame.ts';
import { bothPieces, JUDGED_OPS, judgeBoth, judgeMany, judgedCase, judgedOf, presentPiece } from './referee-pieces.ts';
import { openRefereeWorld } from './referee-world.ts';

/** Gas of one transaction a dispute may cost at its end. */
const MOST_GAS = 5_000_000;
const REFUSED = {
  piece: toFunctionSelector('PieceRefused()'),
  opening: toFunctionSelector('OpeningRefused(uint256)'),
  missing: toFunctionSelector('LeafMissing(uint256,uint256)'),
  part: toFunctionSelector('PartUnknown(uint256)'),
  range: toFunctionSelector('ElementOutOfRange(uint256,uint256)'),
};

test('random words of every tensor of every instruction are judged as the oracle has them, and with a bit flipped are not', async (t) => {
  const { judged, wrong, most } = await judgeMany(await openRefereeWorld(), 3, 5, 'suite');
  t.deepEqual(wrong.slice(0, 3), []);
  t.true(judged >= 300, `${judged} pieces`);
  t.log(`${judged} pieces, each also with a flipped bit; most gas: ${JSON.stringify(most)}`);
});

test('each of the words of small disputes is proved by a piece', async (t) => {
  const world = await openRefereeWorld();
  for (const op of ['crossEntropy', 'linearGradW', 'embedGrad'] as const) {
    let judged = null;
    for (let i = 0; judged === null; i++) {
      const one = judgedCase(op, `each ${i}`);
      const words = one?.dispute.tensors.reduce((sum, { ref }) => sum + one.of(ref).words.length, 0) ?? 0;
      if (one !== null && words > 30 && words < 100) judged = one;
    }
    for (const { ref } of judged.dispute.tensors) {
      for (let element = 0; element < judged.of(ref).words.length; element++) {
        const { wrong } = await judgeBoth(world, bothPieces(judged, ref, element, (5 * element) % 32));
        t.is(wrong, null, `${op} ${JSON.stringify(ref)} ${element}`);
      }
    }
  }
});

/** A linear layer of one element over lines of this depth. */
function deepLinear(depth: number) {
  const random = prng(`depth ${depth}`);
  const floats = () => Float32Array.from({ length: depth }, () => (random.u32() / 2 ** 31 - 1) * 3);
  const inputs: Value[] = [
    { shape: [1, depth], data: floats() },
    { shape: [depth, 1], data: floats() },
  ];
  const out: Value = { shape: [1, 1], data: new Float32Array(1) };
  SCALAR_OPS.linear(inputs, [out], {});
  return judgedOf({ op: 'linear', inputs: [0, 1], outputs: [2], attrs: {} }, inputs, [out]);
}

test('an element of a linear layer is judged within five million gas at any depth of a contraction', async (t) => {
  const world = await openRefereeWorld();
  const flip = async (depth: number, ref: TensorRef, element: number) => {
    const { wrong, gas } = await judgeBoth(world, bothPieces(deepLinear(depth), ref, element, 3));
    t.is(wrong, null, `depth ${depth}`);
    t.true(gas <= MOST_GAS, `depth ${depth}: ${gas}`);
    t.log(`depth ${depth}, ${ref.kind === 'ledger' ? ref.name : 'output'}: ${gas} gas with its calldata`);
  };
  for (const depth of [256, 1_024, 4_097, CODE_BLOCK]) await flip(depth, output(0), 0);
  for (const element of [0, 1, 2]) await flip(2 * CODE_BLOCK + 5, ledger('sums'), element);
  await flip(2 * CODE_BLOCK + 5, output(0), 0);
  await flip(131_072, ledger('sums'), 7);
});

function additions() {
  const random = prng('additions');
  const floats = (): Value => ({
    shape: [300],
    data: Float32Array.from({ length: 300 }, () => random.u32() / 2 ** 20),
  });
  const [a, b, out] = [floats(), floats(), floats()];
  SCALAR_OPS.add([a, b], [out], {});
  return judgedOf({ op: 'add', inputs: [0, 1], outputs: [2], attrs: {} }, [a, b], [out]);
}

test('a witness that does not open its root is refused, not judged', async (t) => {
  const world = await openRefereeWorld();
  const [{ piece, witness }] = bothPieces(additions(), output(0), 200, 0);
  const first = present(witness[0], 'opening');
  const leaf = fromHex(first.leaf);
  leaf[0] = (leaf[0] ?? 0) ^ 1;
  const other = (change: Partial<RefereeOpening>) => [{ ...first, ...change }, ...witness.slice(1)];
  const cases = [
    [other({ leaf: toHex(leaf) }), REFUSED.opening],
    [other({ leaf: toHex(leaf.subarray(4)) }), REFUSED.opening],
    [other({ index: 4_000_000_000 }), REFUSED.opening],
    [other({ operand: 200 }), REFUSED.opening],
    [other({ siblings: [...first.siblings, `0x${'00'.repeat(32)}`] }), REFUSED.opening],
    [witness.slice(1), REFUSED.missing],
  ] as const;
  for (const [openings, error] of cases) t.is((await world.judge(piece, openings)).error, error);
  for (const part of [0, 99, 176, 256 + REFEREE_PARTS.add, 65_535]) {
    t.is((await world.judge({ ...piece, part }, witness)).error, REFUSED.part);
  }
  t.is((await world.judge({ ...piece, numbers: [0xffff_ffff, 1] }, witness)).error, REFUSED.range);
  t.is((await world.judge({ ...piece, numbers: [200] }, witness)).error, REFUSED.piece);
  t.true((await world.judge(piece, witness)).holds);
});

test('numbers that select a place beside the tensor never make a true claim false', async (t) => {
  const world = await openRefereeWorld();
  const random = prng('selections');
  let tried = 0;
  for (const op of JUDGED_OPS) {
    const judged = judgedCase(op, 'selections 1') ?? judgedCase(op, 'selections 2');
    if (judged === null) continue;
    for (const one of judged.dispute.templates) {
      const drawn = judged.of(one.proves).words.length;
      const selected = one.select(random.below(drawn), 0, 1) ?? one.select(0, 0, 1);
      if (selected === null) continue;
      for (const [i, value] of selected.entries()) {
        for (const wrong of [value + 16, 0xffff_ffff]) {
          const numbers = selected.map((x, k) => (k === i ? wrong : x));
          const { piece, witness } = presentPiece(one, numbers, judged.of, true);
          const { holds } = await world.judge(piece, witness);
          t.not(holds, false, `${one.name} ${JSON.stringify(piece.numbers)}`);
          tried += 1;
        }
      }
    }
  }
  t.true(tried > 150, `${tried}`);
});

test('a piece that reads or claims a number that is not finite never holds', async (t) => {
  const world = await openRefereeWorld();
  for (const [a, b, out] of [
    [1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    [3e38, 3e38, Number.POSITIVE_INFINITY],
    [Number.NaN, 1, Number.NaN],
  ]) {
    const value = (x = 0): Value => ({ shape: [1], data: Float32Array.of(x) });
    const judged = judgedOf({ op: 'add', inputs: [0, 1], outputs: [2], attrs: {} }, [value(a), value(b)], [value(out)]);
    const [{ piece, witness }] = bothPieces(judged, output(0), 0, 0);
    t.is((await world.judge(piece, witness)).holds, false);
  }
});

test('a claimed place or id that points nowhere makes a piece false, it does not stop the judgement', async (t) => {
  const world = await openRefereeWorld();
  const cases = [
    ['linear', ledger('left'), 0],
    ['embedGrad', ledger('previous'), 0],
    ['embedGrad', ledger('last'), 0],
    ['crossEntropy', ledger('maxima'), 0],
    ['cacheWrite', ledger('writers'), 0],
    ['embed', input(1), 0],
    ['rope', input(2), 0],
    ['crossEntropyGrad', input(1), 0],
    ['embedGrad', input(1), 0],
  ] as const;
  for (const [op, ref, element] of cases) {
    const judged = present(judgedCase(op, 'nowhere') ?? judgedCase(op, 'nowhere else'), op);
    for (const far of [0x7fff_ffff, 0x8000_0000, 0xffff_fffe]) {
      if (ref.kind === 'input' && op === 'crossEntropyGrad' && far > 0x7fff_ffff) continue;
      const right = judged.of(ref);
      const words = right.words.slice();
      words[element] = far;
      const of = (other: TensorRef) => (sameRef(other, ref) ? { ...right, words } : judged.of(other));
      const template = present(
        judged.dispute.templates.find(({ proves, operands }) =>
          ref.kind === 'ledger' ? sameRef(proves, ref) : operands.some((operand) => sameRef(operand, ref)),
        ),
        'template',
      );
      const selected = present(template.select(0, 0, 1), 'selection');
      const { piece, witness } = presentPiece(template, selected, of);
      t.is((await world.judge(piece, witness)).holds, false, `${op} ${far}`);
    }
  }
});

test('every part has its place behind the door, and every instruction of a training step its dispute', (t) => {
  const program = buildTrainProgram(preset('0.3m', 512), { batch: 2, seq: 16 });
  const parts = new Set<string>();
  for (const { op, attrs, inputs, outputs } of program.instructions) {
    const shapes = (ids: readonly number[]) => ids.map((id) => present(program.tensors[id], 'tensor').shape);
    const { tensors, templates } = disputeOf({ op, attrs }, shapes(inputs), shapes(outputs));
    for (const { ref } of tensors) t.true(templates.some(({ proves }) => sameRef(proves, ref)));
    for (const { name } of templates) parts.add(name);
    const made = (ref: TensorRef) => tensors.findIndex((tensor) => sameRef(tensor.ref, ref));
    for (const { operands, proves } of templates) {
      for (const ref of operands) t.true(ref.kind === 'input' || made(ref) <= made(proves), op);
    }
  }
  t.log(`parts a training step uses: ${[...parts].join(', ')}`);
});

test('the published ABI of the referee is the compiler’s', (t) => {
  type Item = Readonly<{ name: string; type: string; components?: readonly Item[]; inputs?: readonly Item[] }>;
  const line = ({ name, type, components, inputs }: Item): string =>
    `${type} ${name}(${[...(components ?? []), ...(inputs ?? [])].map(line).join(', ')})`;
  const compiled = refereeContract('Referee').abi as readonly Item[];
  t.deepEqual((refereeAbi as readonly Item[]).map(line).sort(), compiled.map(line).sort());
});

test('the bytecode of the referee is the one the protocol names and fits other EVM chains', (t) => {
  const document = readFileSync(new URL('../../../docs/protocol/referee.md', import.meta.url), 'utf8');
  for (const name of REFEREE_NAMES) {
    const code = fromHex(refereeContract(name).runtimeBytecode);
    t.true(code.length <= 24_576);
    const row = `| ${name} | \`${REFEREE_ADDRESSES[name]}\` | ${code.length} | \`${toHex(keccak256(code))}\` |`;
    t.true(document.includes(row), row);
  }
});
