// Owns the tests of stakes: joining, leaving, pausing, rotation of a full list, and contracts that try to re-enter.

import test from 'ava';
import { type Hex, concat, fromHex } from '../../base/bytes.ts';
import { ONE_POL } from '../../base/units.ts';
import { encodeCall, trainersAbi } from '../../chain/system/abi.ts';
import { TRAINERS_ADDRESS } from '../../chain/system/api.ts';
import {
  addStakeCall,
  registerCall,
  requestExitCall,
  resumeCall,
  setCapacityCall,
  withdrawCall,
} from '../../chain/system/calls.ts';
import { readCurrentRound, readTrainer, readTrainerCount, readTrainers } from '../../chain/system/views.ts';
import { STAKE, openRound, register, trainerAt } from './system-life.ts';
import { accountOf, openWorld } from './system-world.ts';

test('a stake goes in, grows, and comes back whole after unbonding; then the trainer may join again', async (t) => {
  const world = await openWorld(4);
  await register(world, 1);
  const trainer = trainerAt(0);
  await world.ok(trainer, addStakeCall(5n * ONE_POL));
  await world.ok(trainer, setCapacityCall(8));
  const active = await readTrainer(world.view, trainer);
  t.is(active.status, 'active');
  t.is(active.stakeWei, STAKE + 5n * ONE_POL);
  t.is(active.capacity, 8);
  await world.ok(trainer, requestExitCall());
  t.is((await readTrainer(world.view, trainer)).exitBlock, world.number() + world.parameters.unbondingBlocks);
  t.is(await readTrainerCount(world.view), 0);
  await world.blocks(world.parameters.unbondingBlocks);
  await world.ok(trainer, withdrawCall());
  t.is(await world.balance(trainer), 100n * ONE_POL);
  t.is((await readTrainer(world.view, trainer)).status, 'none');
  await world.ok(trainer, registerCall(1, STAKE));
  t.is((await readTrainer(world.view, trainer)).status, 'active');
});

test('a paused trainer resumes and stands in the next roster', async (t) => {
  const world = await openWorld(4, { minTrainers: 1, missLimit: 1 });
  await register(world, 1);
  await openRound(world);
  await world.blocks(world.parameters.trainBlocks + 2);
  t.is((await readTrainer(world.view, trainerAt(0))).status, 'paused');
  await world.blocks(3);
  t.is((await readCurrentRound(world.view))?.round, 0, 'nobody is left to train');
  await world.ok(trainerAt(0), resumeCall());
  t.is((await openRound(world)).round, 1);
});

test('with more trainers than a roster holds, the window moves on each round', async (t) => {
  const world = await openWorld(1, { minTrainers: 1, maxTrainers: 3, trainBlocks: 1, missLimit: 200 });
  await register(world, 7);
  const seen: number[][] = [];
  for (let number = 0; number < 3; number++) {
    const round = await openRound(world);
    seen.push(
      round.roster.map(({ trainer }) => [0, 1, 2, 3, 4, 5, 6].findIndex((index) => trainerAt(index) === trainer)),
    );
    await world.blocks(2);
  }
  t.deepEqual(seen, [
    [0, 1, 2],
    [3, 4, 5],
    [6, 0, 1],
  ]);
});

test('active trainers are listed by pages, and the list stays whole when one in the middle leaves', async (t) => {
  const world = await openWorld(4, { minTrainers: 64 });
  await register(world, 5);
  await world.ok(trainerAt(1), requestExitCall());
  const pages = [...(await readTrainers(world.view, 0, 3)), ...(await readTrainers(world.view, 3, 3))];
  t.deepEqual(
    pages.map(({ address }) => address),
    [0, 4, 2, 3].map(trainerAt),
  );
  t.deepEqual(await readTrainers(world.view, 4, 10), []);
  await world.ok(trainerAt(4), requestExitCall());
  t.deepEqual(
    (await readTrainers(world.view, 0, 9)).map(({ address }) => address),
    [0, 3, 2].map(trainerAt),
  );
});

const byte = (value: number): string => value.toString(16).padStart(2, '0');

/** Code that passes its calldata and value on to Trainers and reverts as it does; paid without calldata it runs `onPaid`. */
function contractTrainer(onPaid: Uint8Array): Uint8Array {
  const dispatch = (receiver: number): string => `361560${byte(receiver)}57`;
  const forward = `365f5f375f5f365f3473${TRAINERS_ADDRESS.slice(2)}5af1`;
  const finish = (fail: number): string => `1560${byte(fail)}5700`;
  const receiver = (dispatch(0).length + forward.length + finish(0).length) / 2;
  const paid = concat(Uint8Array.of(0x5b), onPaid, Uint8Array.of(0x00));
  const head = fromHex(`0x${dispatch(receiver)}${forward}${finish(receiver + paid.length)}`);
  return concat(head, paid, fromHex('0x5b3d5f5f3e3d5ffd'));
}

/** Calls Trainers with a function of four selector bytes and drops the outcome. */
function callBack(name: 'withdraw' | 'claimCredit'): Uint8Array {
  const selector = Buffer.from(encodeCall(trainersAbi, name, [])).toString('hex');
  return fromHex(`0x63${selector}60e01b5f525f5f60045f5f73${TRAINERS_ADDRESS.slice(2)}5af150`);
}

test('a contract that calls withdraw again while it is being paid gets its stake once', async (t) => {
  const world = await openWorld(4);
  const thief = accountOf('thief');
  const owner: Hex = accountOf('owner');
  await register(world, 2);
  await world.putCode(thief, contractTrainer(callBack('withdraw')));
  await world.fund(thief, ONE_POL);
  await world.fund(owner, 2n * STAKE);
  await world.ok(owner, { ...registerCall(1, STAKE), to: thief });
  t.is((await readTrainer(world.view, thief)).stakeWei, STAKE);
  await world.ok(owner, { ...requestExitCall(), to: thief });
  await world.blocks(world.parameters.unbondingBlocks + world.parameters.trainBlocks + 6);
  await world.ok(owner, { ...withdrawCall(), to: thief });
  t.is(await world.balance(thief), ONE_POL + STAKE);
  t.is(await world.balance(TRAINERS_ADDRESS), 2n * STAKE, 'the others’ stakes are untouched');
  t.is((await world.send(owner, { ...withdrawCall(), to: thief })).error, 'WrongStatus');
});

test('a contract that refuses to be paid keeps its stake in the contract and can try again', async (t) => {
  const world = await openWorld(4, { minTrainers: 64 });
  const refuser = accountOf('refuser');
  const owner = accountOf('owner');
  await world.putCode(refuser, contractTrainer(fromHex('0x5f5ffd')));
  await world.fund(refuser, 0n);
  await world.fund(owner, 2n * STAKE);
  await world.ok(owner, { ...registerCall(1, STAKE), to: refuser });
  await world.ok(owner, { ...requestExitCall(), to: refuser });
  await world.blocks(world.parameters.unbondingBlocks);
  const sent = await world.send(owner, { ...withdrawCall(), to: refuser });
  t.is(sent.error, 'TransferFailed');
  t.is((await readTrainer(world.view, refuser)).stakeWei, STAKE);
  t.is((await readTrainer(world.view, refuser)).status, 'exiting');
});
