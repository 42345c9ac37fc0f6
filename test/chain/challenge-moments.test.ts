// Owns challenges of a round that goes on with the moments of the one before: what step 0 started from is opened against the
// final state of the trainer's last accepted claim, and its corrections go on counting.

import test from 'ava';
import { present } from '../../base/check.ts';
import { STATE_LEAF_BYTES } from '../../base/merkle.ts';
import { answerCall, challengeCall, readChallenge, settleCall } from '../../chain/system/challenges.ts';
import { readClaim, readTrainer } from '../../chain/system/views.ts';
import type { Value } from '../../engine/scalar-ops.ts';
import { answerStep } from '../../trainer/dispute-answer.ts';
import { findDifference } from '../../trainer/dispute-find.ts';
import { disputedStep } from '../../trainer/dispute-step.ts';
import { biasCorrection } from '../../trainer/schedule.ts';
import { parameterBytes } from '../../trainer/train-program.ts';
import { CARRYING, type Cheat, MODEL, RULES, tables } from '../trainer/dispute-fixture.ts';
import { BOND, CHALLENGER, eventOf, openGame, playGame } from './challenge-game.ts';

const BLOCKS = { answerBlocks: 4, proveBlocks: 4, windowBlocks: 60 };
const MOST_GAS = 5_000_000;
const bytes = parameterBytes(MODEL);

/** Starts step 0 from a state in which one byte is another. */
const otherStart = (at: number): Cheat => ({
  step: 0,
  given: (given) => ({ ...given, state: given.state.with(at, (given.state[at] as number) ^ 0x20) }),
});
/** Forgets what it had: moments are zero again, as is the count. */
const fromZeros: Cheat = {
  step: 0,
  given: (given) => {
    const state = given.state.slice();
    state.fill(0, bytes);
    return { ...given, state };
  },
};
const freshCorrections: Cheat = {
  step: 1,
  given: (given) => ({
    ...given,
    hyper: given.hyper.with(5, biasCorrection(Math.fround(0.9), 2)).with(6, biasCorrection(Math.fround(0.95), 2)),
  }),
};
const oneBit: Cheat = {
  step: 0,
  alter: (at: number, outputs: readonly Value[]) => {
    const { data } = present(outputs[0], 'output');
    const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
    if (at === 2) words[5] = (words[5] as number) ^ 1;
  },
};

/** The first word of the first moments lies in the leaf that the last parameters lie in, too. */
const onTheBorder = bytes + 2;

const cases: readonly (readonly [name: string, what: RegExp, cheat: Cheat])[] = [
  ['a first moment in the leaf on the border to the parameters', /adamW/, otherStart(onTheBorder)],
  ['a second moment', /adamW/, otherStart(2 * bytes + 2)],
  ['zeros in the place of its moments', /adamW/, fromZeros],
  ['corrections that begin anew', /adamW/, freshCorrections],
  ['one bit in its first step', /\(linear\)/, oneBit],
];

test('the first moments begin in a leaf that holds parameters', (t) => {
  t.not(bytes % STATE_LEAF_BYTES, 0);
});

for (const [name, what, cheat] of cases) {
  test.serial(`a second round with ${name}, approved by every authority, ends in a slash`, async (t) => {
    const game = await openGame(cheat, BLOCKS, undefined, CARRYING);
    const { world, trainer, round } = game;
    t.is((await readClaim(world.view, round.round, trainer)).carriedRounds, 1);
    const played = await playGame(game, cheat.step);
    const most = Math.max(...played.moves.map(({ gas }) => gas));
    t.log(`${played.describe}: ${played.moves.length} moves, most gas ${most}`);
    t.regex(played.describe, what);
    t.like(played.closed, { kind: 'closed', state: 'upheld' });
    t.like(await readTrainer(world.view, trainer), { status: 'slashed', stakeWei: 0n });
    t.true(most <= MOST_GAS);
    await game.executor.close();
  });
}

test('an honest second round shows no difference at any step, and its trainer keeps its stake', async (t) => {
  const game = await openGame(null, BLOCKS, undefined, CARRYING);
  const { world, trainer, trace, task, executor } = game;
  const program = tables().programProof(1);
  for (let step = 0; step < RULES.steps; step++) {
    const challenged = await world.ok(CHALLENGER, challengeCall(game.round.round, trainer, step, BOND));
    const { id } = eventOf(challenged, 'challenged');
    const before = present(trace.states[step], 'state');
    const carriedState = step === 0 ? game.carriedState : null;
    const own = disputedStep(task, { executor, model: MODEL, tables: tables() }, step, before, carriedState);
    const said = present(answerStep(own, trace.leaves, program), 'answer');
    const answered = eventOf(await world.ok(trainer, answerCall(id, said.answer)), 'answered');
    t.is(findDifference(own, answered).difference.kind, 'none');
    await world.blocks(5);
    await world.ok(CHALLENGER, settleCall(id));
    t.like(await readChallenge(world.view, id), { state: 'dismissed' });
  }
  t.like(await readTrainer(world.view, trainer), { status: 'active' });
  await executor.close();
});
