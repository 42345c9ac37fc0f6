// Owns the challenge game on the contracts: claims that every authority approved and that are false in one place, each proven
// false by anyone; and what a false challenge comes to. Moves that are refused are challenge-moves.test.ts.

import test from 'ava';
import { present } from '../../base/check.ts';
import { ONE_POL } from '../../base/units.ts';
import { readChallengeCredit } from '../../chain/system/challenges.ts';
import { readTrainer } from '../../chain/system/views.ts';
import type { Value } from '../../engine/scalar-ops.ts';
import type { Cheat } from '../trainer/dispute-fixture.ts';
import { CHALLENGER, type Liar, openGame, playGame } from './challenge-game.ts';
import { STAKE } from './system-life.ts';

const MOST_MOVES = 12;
const MOST_GAS = 5_000_000;

function flip(value: Value | undefined, element: number): void {
  const { data } = present(value, 'output');
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  words[element] = (words[element] as number) ^ 1;
}

const flipEverything = (outputs: readonly Value[]): void => {
  for (const value of outputs) for (let i = 0; i < value.data.length; i += 3) flip(value, i);
};

const only =
  (wanted: number, change: (outputs: readonly Value[]) => void) =>
  (at: number, outputs: readonly Value[]): void => {
    if (at === wanted) change(outputs);
  };

const floatsOf = (bytes: Uint8Array): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);

/** A claim whose result is not that of its step: what it made up must be disclosed by the liar. */
function madeUp(change: (result: { stateAfter: Uint8Array; gradients: Uint8Array; lossBits: number }) => void) {
  const trees: Uint8Array[] = [];
  const result: Cheat['result'] = (made) => {
    change(made);
    trees.push(made.stateAfter.slice(), made.gradients.slice());
  };
  return { result, liar: { trees } };
}

type Case = readonly [name: string, what: RegExp, cheat: Cheat, liar?: Liar];

function cases(): readonly Case[] {
  const gradient = madeUp(({ gradients }) => {
    floatsOf(gradients)[40] = 0.5;
  });
  const loss = madeUp((made) => {
    made.lossBits ^= 1;
  });
  const wholeState = madeUp(({ stateAfter }) => {
    for (const [i, x] of floatsOf(stateAfter).entries()) if (x !== 0) floatsOf(stateAfter)[i] = x * 1.5;
  });
  const parameters = madeUp(({ stateAfter }) => {
    floatsOf(stateAfter)[700] = 1;
  });
  return [
    ['one bit of one activation', /rope.*element 77/, { step: 1, alter: only(3, (out) => flip(out[0], 77)) }],
    ['one bit in the first step', /\(linear\)/, { step: 0, alter: only(2, (out) => flip(out[0], 5)) }],
    ['both outputs of swigluGrad', /swigluGrad/, { step: 1, alter: only(26, flipEverything) }],
    ['all outputs of attentionGrad', /attentionGrad/, { step: 1, alter: only(37, flipEverything) }],
    ['all of p, m and v of one tensor', /adamW/, { step: 2, alter: only(55, flipEverything) }],
    [
      'a token of its own choice',
      /token 3 is not/,
      { step: 1, given: (given) => ({ ...given, tokens: given.tokens.with(3, (given.tokens[3] as number) ^ 1) }) },
    ],
    [
      'a target of its own choice',
      /target 9 is not/,
      { step: 1, given: (given) => ({ ...given, targets: given.targets.with(9, 7) }) },
    ],
    [
      'twice the learning rate',
      /adamW/,
      { step: 1, given: (given) => ({ ...given, hyper: given.hyper.with(0, 2 * (given.hyper[0] as number)) }) },
    ],
    [
      'another seed of stochastic rounding',
      /linearGrad/,
      { step: 1, given: (given) => ({ ...given, seed: given.seed.with(0, 12) }) },
    ],
    ['made-up gradients', /instruction/, { step: 1, result: gradient.result }, gradient.liar],
    ['a made-up loss', /crossEntropy/, { step: 1, result: loss.result }, loss.liar],
    ['a made-up state', /adamW/, { step: 1, result: wholeState.result }, wholeState.liar],
    ['made-up parameters', /adamW/, { step: 1, result: parameters.result }, parameters.liar],
  ];
}

for (const [name, what, cheat, liar] of cases()) {
  test.serial(`a claim with ${name}, approved by every authority, ends in a slash`, async (t) => {
    const game = await openGame(cheat);
    const played = await playGame(game, cheat.step, liar);
    const most = Math.max(...played.moves.map(({ gas }) => gas));
    t.log(`${played.describe}: ${played.moves.length} moves, most gas ${most}`);
    t.regex(played.describe, what);
    t.like(played.closed, { kind: 'closed', state: 'upheld' });
    t.like(await readTrainer(game.world.view, game.trainer), { status: 'slashed', stakeWei: 0n });
    t.is((await readTrainer(game.world.view, CHALLENGER)).creditWei, STAKE / 5n);
    t.is(await readChallengeCredit(game.world.view, CHALLENGER), 5n * ONE_POL);
    t.true(played.moves.length <= MOST_MOVES);
    t.true(most <= MOST_GAS);
    await game.executor.close();
  });
}
