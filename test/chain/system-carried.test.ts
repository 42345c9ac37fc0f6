// Owns what the chain keeps for the next round: how many rounds in a row a trainer's claims were accepted, and the model before
// the base. What nodes make of it is trainer/moments.ts and the outer step.

import test from 'ava';
import { commitCall } from '../../chain/system/calls.ts';
import { readClaim, readEarlierModel, readModel } from '../../chain/system/views.ts';
import {
  type Findings,
  attest,
  attestationOf,
  auditRound,
  commitmentOf,
  current,
  openRound,
  register,
  trainerAt,
} from './system-life.ts';
import { type World, openWorld } from './system-world.ts';

/** A round to its end in which these trainers commit. */
async function playRound(world: World, who: readonly number[], findings: Findings = {}): Promise<number> {
  const round = await openRound(world);
  for (const index of who) {
    const trainer = trainerAt(index);
    await world.ok(trainer, commitCall(commitmentOf(world, round, trainer)));
  }
  while ((await current(world)).phase === 'training') await world.block();
  await auditRound(world, findings);
  await attest(world, attestationOf(round.round));
  while ((await current(world)).round === round.round) await world.block();
  return round.round;
}

async function carriedRounds(world: World, round: number, index: number): Promise<number> {
  return (await readClaim(world.view, round, trainerAt(index))).carriedRounds;
}

test('accepted rounds in a row are counted; a missed or unresolved one ends the count', async (t) => {
  const world = await openWorld(1, { minTrainers: 2, missLimit: 9, trainBlocks: 6 });
  await register(world, 2);
  const unavailable: Findings = { 0: [{ trainer: trainerAt(0), verdict: 'unavailable' }] };
  const both = [0, 1];
  for (const [who, findings, expected] of [
    [both, {}, [0, 0]],
    [[0], {}, [1, 0]],
    [both, {}, [2, 0]],
    [both, unavailable, [3, 1]],
    [both, {}, [0, 2]],
    [both, {}, [1, 3]],
  ] as const) {
    const round = await playRound(world, who, findings);
    t.deepEqual([await carriedRounds(world, round, 0), await carriedRounds(world, round, 1)], expected, `${round}`);
  }
});

test('the model that the base followed can be read, and stays while the base does', async (t) => {
  const world = await openWorld(1, { minTrainers: 1 });
  await register(world, 1);
  t.is(await readEarlierModel(world.view), null);
  const models = [await readModel(world.view)];
  for (let i = 0; i < 2; i++) {
    await playRound(world, [0]);
    models.push(await readModel(world.view));
    t.deepEqual(await readEarlierModel(world.view), models[i]);
  }
  const round = await openRound(world);
  await world.ok(trainerAt(0), commitCall(commitmentOf(world, round, trainerAt(0))));
  await auditRound(world);
  await attest(world, attestationOf(round.round, { heldOutMicroNats: 900_000_000 }));
  t.deepEqual(await readModel(world.view), models[2]);
  t.deepEqual(await readEarlierModel(world.view), models[1]);
});
