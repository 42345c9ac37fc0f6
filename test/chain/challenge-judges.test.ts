// Owns what an upheld challenge does to those who judged the step true in its dispute: they lose their bonds when the referee
// found it false, and nothing when the trainer was merely late. A claim that was left undecided can be challenged as well.

import test, { type ExecutionContext } from 'ava';
import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { ONE_POL } from '../../base/units.ts';
import { STRUCTURE_STEP } from '../../chain/system/api.ts';
import {
  challengeCall,
  proveFinalStateCall,
  readChallenge,
  readChallengeCredit,
  settleCall,
} from '../../chain/system/challenges.ts';
import { readBond, readClaim, readRound, readTrainer } from '../../chain/system/views.ts';
import { openTraceLeaf } from '../../trainer/dispute-answer.ts';
import { type Cheat, RULES } from '../trainer/dispute-fixture.ts';
import { BOND, CHALLENGER, type Game, eventOf, openGame, playGame } from './challenge-game.ts';
import { authority } from './system-life.ts';
import { accountOf } from './system-world.ts';

const WHOLE = 100n * ONE_POL;
const STRANGER = accountOf('stranger');
const BLOCKS = { answerBlocks: 4, proveBlocks: 4, windowBlocks: 40 };
/** Step 1 with one bit of one activation flipped. */
const CHEAT: Cheat = {
  step: 1,
  alter(at, outputs) {
    const { data } = present(outputs[0], 'output');
    const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
    if (at === 3) words[77] = (words[77] as number) ^ (1 << 20);
  },
};

async function bondsAre(t: ExecutionContext, { world }: Game, expected: readonly bigint[]): Promise<void> {
  for (const [index, bond] of expected.entries())
    t.is((await readBond(world.view, authority(world, index))).bondWei, bond, `authority ${index}`);
}

const bountyOf = async ({ world }: Game, account: Hex): Promise<bigint> =>
  (await readBond(world.view, account)).creditWei;

test('two that judged an undecided step true lose their bonds to its challenger when it is proven false', async (t) => {
  const game = await openGame(CHEAT, BLOCKS, { authorities: 4, accusers: 2, step: 1 });
  const { world, trainer, round } = game;
  t.is((await readClaim(world.view, round.round, trainer)).status, 'unresolved');
  const before = await readRound(world.view, round.round);
  t.is(before.phase, 'attesting');
  const played = await playGame(game, 1);
  t.like(played.closed, { kind: 'closed', state: 'upheld' });
  t.is((await readClaim(world.view, round.round, trainer)).status, 'rejected');
  const after = await readRound(world.view, round.round);
  t.is(after.attempt, before.attempt, 'the claim was no part of the sum');
  t.is(after.acceptedCount, before.acceptedCount);
  t.like(await readTrainer(world.view, trainer), { status: 'slashed', stakeWei: 0n });
  await bondsAre(t, game, [WHOLE, WHOLE, 0n, 0n]);
  t.is(await bountyOf(game, CHALLENGER), (2n * WHOLE) / 5n);
  await game.executor.close();
});

test('a quorum that dismissed the dispute of a false step loses three bonds', async (t) => {
  const game = await openGame(CHEAT, BLOCKS, { authorities: 4, accusers: 1, step: 1 });
  const { world, trainer, round } = game;
  t.is((await readClaim(world.view, round.round, trainer)).status, 'accepted');
  t.like((await playGame(game, 1)).closed, { state: 'upheld' });
  t.is((await readClaim(world.view, round.round, trainer)).status, 'rejected');
  t.is((await readRound(world.view, round.round)).attempt, 1, 'attestations of the sum with it fall away');
  await bondsAre(t, game, [WHOLE, 0n, 0n, 0n]);
  t.is(await bountyOf(game, CHALLENGER), (3n * WHOLE) / 5n);
  await game.executor.close();
});

test('honest judges of a trainer that does not answer keep their bonds', async (t) => {
  const game = await openGame(null, BLOCKS, { authorities: 4, accusers: 1, step: 1 });
  const { world, trainer, round } = game;
  const { id } = eventOf(await world.ok(CHALLENGER, challengeCall(round.round, trainer, 1, BOND)), 'challenged');
  await world.blocks(5);
  await world.ok(STRANGER, settleCall(id));
  t.like(await readChallenge(world.view, id), { state: 'upheld' });
  t.like(await readTrainer(world.view, trainer), { status: 'slashed' });
  await bondsAre(t, game, [WHOLE, WHOLE, WHOLE, WHOLE]);
  await game.executor.close();
});

test('a sham challenge of another step does not cover the judges: the one under way still holds them', async (t) => {
  const blocks = { ...BLOCKS, proveBlocks: 40 };
  const game = await openGame(CHEAT, blocks, { authorities: 4, accusers: 2, step: 1 });
  const { world, trainer, round } = game;
  // A friend challenges another step, which the trainer leaves unanswered.
  await world.fund(STRANGER, 100n * ONE_POL);
  const sham = eventOf(await world.ok(STRANGER, challengeCall(round.round, trainer, 2, BOND)), 'challenged').id;
  const played = await playGame(game, 1, {}, async () => {
    await world.blocks(6);
    await world.ok(STRANGER, settleCall(sham));
    t.like(await readChallenge(world.view, sham), { state: 'upheld' });
    t.like(await readTrainer(world.view, trainer), { status: 'slashed' });
    const refused = await world.send(STRANGER, settleCall(sham + 1));
    t.is(refused.error, 'DeadlineAhead', 'nobody else ends it while its judges can be held');
  });
  t.like(played.closed, { state: 'moot' });
  await bondsAre(t, game, [WHOLE, WHOLE, 0n, 0n]);
  t.is(await bountyOf(game, CHALLENGER), (2n * WHOLE) / 5n);
  t.is(await readChallengeCredit(world.view, CHALLENGER), BOND);
  await game.executor.close();
});

test('a challenger whose claim was proven false elsewhere may give up and has its bond back', async (t) => {
  const game = await openGame(CHEAT, BLOCKS, { authorities: 4, accusers: 2, step: 1 });
  const { world, trainer, round } = game;
  const first = eventOf(await world.ok(CHALLENGER, challengeCall(round.round, trainer, 2, BOND)), 'challenged').id;
  await world.blocks(3);
  const { id } = eventOf(await world.ok(CHALLENGER, challengeCall(round.round, trainer, 1, BOND)), 'challenged');
  await world.blocks(2);
  await world.ok(STRANGER, settleCall(first));
  await world.ok(CHALLENGER, settleCall(id));
  t.like(await readChallenge(world.view, id), { state: 'moot' });
  t.is(await readChallengeCredit(world.view, CHALLENGER), 2n * BOND);
  await bondsAre(t, game, [WHOLE, WHOLE, WHOLE, WHOLE]);
  await game.executor.close();
});

test('judges of a claim whose final state is not its last leaf are held without a game', async (t) => {
  const game = await openGame(null, BLOCKS, { authorities: 4, accusers: 1, step: STRUCTURE_STEP, falseEnd: true });
  const { world, trainer, round } = game;
  const { leaf, siblings } = openTraceLeaf(game.trace.leaves, RULES.steps - 1);
  await world.ok(STRANGER, proveFinalStateCall(round.round, trainer, leaf, siblings));
  t.like(await readTrainer(world.view, trainer), { status: 'slashed' });
  await bondsAre(t, game, [WHOLE, 0n, 0n, 0n]);
  t.is(await bountyOf(game, STRANGER), (3n * WHOLE) / 5n);
  await game.executor.close();
});
