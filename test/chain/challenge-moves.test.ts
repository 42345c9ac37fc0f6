// Owns what a challenge refuses: moves out of turn, late, replayed, by others, about other challenges, of wrong lengths; and what
// becomes of a challenge nobody proves or nobody answers. An honest trainer keeps its stake through all of it.

import test from 'ava';
import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { prng } from '../../base/prng.ts';
import { ONE_POL } from '../../base/units.ts';
import type { ContractCall } from '../../chain/system/api.ts';
import { requestExitCall, withdrawCall } from '../../chain/system/calls.ts';
import {
  CHALLENGES_ADDRESS,
  answerCall,
  askCall,
  challengeCall,
  collectCall,
  proveCall,
  proveFinalStateCall,
  readChallenge,
  readChallengeCredit,
  revealCall,
  settleCall,
} from '../../chain/system/challenges.ts';
import { readRound, readSupply, readTrainer } from '../../chain/system/views.ts';
import { openTraceLeaf } from '../../trainer/dispute-answer.ts';
import { findDifference } from '../../trainer/dispute-find.ts';
import { RULES, tables } from '../trainer/dispute-fixture.ts';
import { BOND, CHALLENGER, type Game, eventOf, honestAnswer, honestMoves, openGame } from './challenge-game.ts';
import { STAKE, trainerAt } from './system-life.ts';
import { type World, accountOf } from './system-world.ts';

const STRANGER = accountOf('stranger');

async function refused(
  t: { is(a: unknown, b: unknown, m?: string): void },
  game: Game,
  from: Hex,
  call: ContractCall,
  error: string,
) {
  const sent = await game.world.send(from, call);
  t.is(sent.error, error, `${error}: ${JSON.stringify(sent.args.map(String))}`);
}

/** Lets a round run out of its time, whatever is still missing. */
async function settled(world: World, round: number): Promise<void> {
  for (let i = 0; i < 200 && (await readRound(world.view, round)).phase !== 'done'; i++) await world.block();
}

async function challenged(game: Game, step: number): Promise<number> {
  const call = challengeCall(game.round.round, game.trainer, step, BOND);
  return eventOf(await game.world.ok(CHALLENGER, call), 'challenged').id;
}

test('an honest trainer that is challenged keeps its stake and gains a fifth of the bond', async (t) => {
  const game = await openGame(null);
  const { world, trainer } = game;
  const burned = (await readSupply(world.view)).burnedWei;
  const id = await challenged(game, 1);
  const { own, said, answered } = honestMoves(game, 1);
  await world.ok(trainer, answerCall(id, said.answer));
  t.is(findDifference(own, answered).difference.kind, 'none');
  await refused(t, game, STRANGER, settleCall(id), 'DeadlineAhead');
  await world.blocks(5);
  await refused(t, game, CHALLENGER, collectCall(), 'NothingToCollect');
  await world.ok(STRANGER, settleCall(id));
  await refused(t, game, STRANGER, settleCall(id), 'WrongState');
  t.like(await readChallenge(world.view, id), { state: 'dismissed' });
  t.like(await readTrainer(world.view, trainer), { status: 'active', stakeWei: STAKE });
  t.is((await readSupply(world.view)).burnedWei - burned, 4n * ONE_POL);
  t.is(await readChallengeCredit(world.view, trainer), ONE_POL);
  await world.ok(trainer, collectCall());
  t.is(await world.balance(CHALLENGES_ADDRESS), 0n);
  await game.executor.close();
});

test('a stake stays while a challenge against its trainer is open, and goes when all are closed', async (t) => {
  const game = await openGame(null, { answerBlocks: 300, proveBlocks: 4, windowBlocks: 40 });
  const { world, trainer } = game;
  const id = await challenged(game, 1);
  await world.ok(trainer, requestExitCall());
  await settled(world, game.round.round);
  t.is((await readTrainer(world.view, trainer)).locked, false);
  await world.blocks(world.parameters.unbondingBlocks);
  const refusal = await world.send(trainer, withdrawCall());
  t.deepEqual([refusal.error, ...refusal.args], ['UnderChallenge', 1n]);
  t.is((await readTrainer(world.view, trainer)).stakeWei, STAKE);
  await world.ok(trainer, answerCall(id, honestAnswer(game, 1).said.answer));
  await refused(t, game, trainer, withdrawCall(), 'UnderChallenge');
  await world.blocks(5);
  await world.ok(STRANGER, settleCall(id));
  const before = await world.balance(trainer);
  await world.ok(trainer, withdrawCall());
  t.is((await world.balance(trainer)) - before, STAKE);
  await game.executor.close();
});

test('a trainer that does not answer, or does not disclose, loses its stake; the challenger has its bond back', async (t) => {
  const game = await openGame(null);
  const { world, trainer } = game;
  const silent = await challenged(game, 0);
  const asked = await challenged(game, 1);
  const { said, fixed, question } = honestMoves(game, 1);
  await world.ok(trainer, answerCall(asked, said.answer));
  await world.ok(CHALLENGER, askCall(asked, fixed, question));
  await world.blocks(5);
  await refused(t, game, trainer, answerCall(silent, said.answer), 'DeadlinePassed');
  await world.ok(STRANGER, settleCall(asked));
  t.like(await readChallenge(world.view, asked), { state: 'upheld' });
  t.like(await readTrainer(world.view, trainer), { status: 'slashed', stakeWei: 0n });
  await world.ok(STRANGER, settleCall(silent));
  t.like(await readChallenge(world.view, silent), { state: 'moot' });
  t.is(await readChallengeCredit(world.view, CHALLENGER), 2n * BOND);
  await refused(t, game, CHALLENGER, challengeCall(game.round.round, trainer, 2, BOND), 'AlreadyProven');
  await game.executor.close();
});

test('moves out of turn, by others, replayed or about other things are refused', async (t) => {
  const game = await openGame(null);
  const { world, trainer, round } = game;
  const start = (changes: Partial<{ round: number; trainer: Hex; step: number; bond: bigint }>) => {
    const { round: number = round.round, trainer: whom = trainer, step = 1, bond = BOND } = changes;
    return challengeCall(number, whom, step, bond);
  };
  await refused(t, game, CHALLENGER, start({ bond: BOND - 1n }), 'WrongBond');
  await refused(t, game, CHALLENGER, start({ bond: 0n }), 'WrongBond');
  await refused(t, game, CHALLENGER, start({ step: RULES.steps }), 'StepOutOfRange');
  await refused(t, game, CHALLENGER, start({ round: 9 }), 'RoundForgotten');
  await refused(t, game, CHALLENGER, start({ trainer: STRANGER }), 'NotInRoster');

  const { said, fixed, question, piece } = honestMoves(game, 1);
  const node = { root: present(question.entries[0], 'entry').root, leaves: 1, level: 0, index: 0, leafBytes: 128 };
  const shown = { nodes: [], leaf: '0x' as Hex, siblings: [] };
  const id = await challenged(game, 1);
  const other = await challenged(game, 2);
  await refused(t, game, trainer, revealCall(id, node, shown), 'WrongState');
  await refused(t, game, CHALLENGER, askCall(id, fixed, question), 'WrongState');
  await refused(t, game, CHALLENGER, proveCall(id, fixed, piece), 'WrongState');
  await refused(t, game, CHALLENGER, proveCall(77, fixed, piece), 'WrongState');
  await refused(t, game, CHALLENGER, answerCall(id, said.answer), 'NotYourMove');
  await refused(t, game, trainerAt(0), answerCall(id, said.answer), 'NotYourMove');
  await refused(t, game, trainer, answerCall(other, said.answer), 'ProofRefused');
  const short = { ...said.answer, roots: said.answer.roots.slice(1) };
  await refused(t, game, trainer, answerCall(id, short), 'AnswerRefused');
  await refused(t, game, trainer, answerCall(id, { ...said.answer, siblings: [] }), 'ProofRefused');
  const foreign = { ...said.answer, program: tables().programProof(2) };
  await refused(t, game, trainer, answerCall(id, foreign), 'RecordRefused');
  await world.ok(trainer, answerCall(id, said.answer));
  await refused(t, game, trainer, answerCall(id, said.answer), 'WrongState');
  await refused(t, game, STRANGER, askCall(id, fixed, question), 'NotYourMove');
  await refused(
    t,
    game,
    CHALLENGER,
    askCall(id, { ...fixed, lossBits: fixed.lossBits ^ 1 }, question),
    'AnswerRefused',
  );
  await refused(t, game, CHALLENGER, askCall(id, fixed, { ...question, index: 99 }), 'QuestionRefused');
  await refused(t, game, CHALLENGER, askCall(id, fixed, { ...question, entries: [] }), 'QuestionRefused');
  const bent = { ...question.proof, record: `${question.proof.record}00` as Hex };
  await refused(t, game, CHALLENGER, askCall(id, fixed, { ...question, proof: bent }), 'RecordRefused');
  await refused(t, game, CHALLENGER, askCall(other, fixed, question), 'WrongState');
  const asked = eventOf(await world.ok(CHALLENGER, askCall(id, fixed, question)), 'asked');
  await refused(t, game, CHALLENGER, proveCall(id, fixed, piece), 'WrongState');
  await refused(t, game, trainer, revealCall(id, { ...asked.node, index: 1 }, shown), 'QuestionRefused');
  await refused(t, game, trainer, revealCall(id, asked.node, shown), 'NodeRefused');
  const right = present(said.disclose(asked.node), 'disclosure');
  await refused(t, game, STRANGER, revealCall(id, asked.node, right), 'NotYourMove');
  const wrong = { ...right, leaf: `0x01${right.leaf.slice(4)}` as Hex };
  await refused(t, game, trainer, revealCall(id, asked.node, wrong), 'AnswerRefused');
  await world.ok(trainer, revealCall(id, asked.node, right));
  await refused(t, game, trainer, revealCall(id, asked.node, right), 'WrongState');
  for (let i = 1; i < 5; i++) {
    await world.ok(CHALLENGER, askCall(id, fixed, question));
    await world.ok(trainer, revealCall(id, asked.node, right));
  }
  await refused(t, game, CHALLENGER, askCall(id, fixed, question), 'QuestionRefused');
  const { leaf, siblings } = openTraceLeaf(game.trace.leaves, RULES.steps - 1);
  await refused(t, game, STRANGER, proveFinalStateCall(round.round, trainer, leaf, siblings), 'NotFalse');
  t.like(await readTrainer(world.view, trainer), { status: 'active', stakeWei: STAKE });
  await game.executor.close();
});

test('random bytes in the place of any move are refused and nobody is slashed', async (t) => {
  const game = await openGame(null, { answerBlocks: 900, proveBlocks: 900, windowBlocks: 900 });
  const { world, trainer } = game;
  const random = prng('challenge moves');
  const { said, fixed, question, piece } = honestMoves(game, 1);
  const first = await challenged(game, 1);
  const second = await challenged(game, 1);
  await world.ok(trainer, answerCall(second, said.answer));
  const calls = [
    answerCall(first, said.answer),
    askCall(second, fixed, question),
    proveCall(second, fixed, piece),
    proveCall(second, fixed, { ...piece, selected: [0, 1, 2, 3] }),
  ];
  for (let i = 0; i < 200; i++) {
    const { to, data, value } = present(calls[i % calls.length], 'call');
    const bent = data.slice(0, random.below(4) === 0 ? 4 + random.below(data.length - 4) : data.length);
    for (let k = 0; k < 3; k++) bent[4 + random.below(bent.length - 4)] = random.below(256);
    const sent = await world.send(random.below(2) === 0 ? trainer : CHALLENGER, { to, data: bent, value });
    if (sent.error === null) t.true(sent.events.every(({ kind }) => kind === 'answered' || kind === 'asked'));
  }
  t.like(await readTrainer(world.view, trainer), { status: 'active', stakeWei: STAKE });
  await game.executor.close();
});
