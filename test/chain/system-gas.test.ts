// Owns the measured gas of the system contracts at their largest size: 64 trainers and 100 authorities.

import test from 'ava';
import {
  CALL_GAS,
  attestCall,
  claimCreditCall,
  commitCall,
  commitGas,
  registerCall,
  revealGas,
} from '../../chain/system/calls.ts';
import { readRound } from '../../chain/system/views.ts';
import {
  STAKE,
  attestationOf,
  authority,
  commitmentOf,
  current,
  giveJudgement,
  openRound,
  register,
  revealCall,
  sealCall,
  trainerAt,
} from './system-life.ts';
import { openWorld, testParameters } from './system-world.ts';

/** Gas: a sixth of a block's 30 million, so that a system call never crowds out a block's time. */
const MOST_ON_BLOCK = 5_000_000;

function limitOf(name: string, steps: number, claims: number): number {
  if (name === 'commit') return Number(commitGas(steps));
  return Number(name === 'reveal' ? revealGas(claims) : CALL_GAS[name as keyof typeof CALL_GAS]);
}

/** Most gas of each call over a whole round in which one claim is rejected and the others are accepted. */
async function measureRound(authorities: number, trainers: number): Promise<Record<string, number>> {
  const slow = { trainBlocks: 1_000, auditBlocks: 2, revealBlocks: 1_000, disputeBlocks: 1_000, attestBlocks: 1_000 };
  const world = await openWorld(authorities, { minTrainers: trainers, ...slow }, false);
  const quorum = Math.floor((2 * authorities) / 3) + 1;
  const most: Record<string, number> = {};
  const note = (name: string, gas: number): void => {
    most[name] = Math.max(most[name] ?? 0, gas);
  };
  await register(
    world,
    trainers,
    Array.from({ length: trainers }, (_, index) => (index % 64) + 1),
  );
  await world.fund(trainerAt(99), 2n * STAKE);
  note('onBlock freeze', (await world.block()).gas);
  note('onBlock open', (await world.block()).gas);
  const round = await current(world);
  for (const { trainer } of round.roster)
    note('commit', (await world.ok(trainer, commitCall(commitmentOf(world, round, trainer)))).gas);
  const cheat = trainerAt(trainers - 1);
  const open = await current(world);
  const found = [{ trainer: cheat, verdict: 'invalid', step: 1 } as const];
  const said = (by: number) => (by === 0 ? found : []);
  for (let by = 0; by < quorum; by++)
    note('commitVerdicts', (await world.ok(authority(world, by), sealCall(world, by, open, said(by)))).gas);
  while ((await current(world)).phase === 'auditing') note('onBlock audit', (await world.block()).gas);
  for (let by = 0; by < quorum; by++)
    note('reveal', (await world.ok(authority(world, by), revealCall(by, open, said(by)))).gas);
  while ((await current(world)).phase === 'revealing') note('onBlock reveals', (await world.block()).gas);
  for (let by = 1; by < quorum; by++) note('judge', (await giveJudgement(world, by, 0, cheat, 1, true)).gas);
  note('claimCredit', (await world.ok(authority(world, 0), claimCreditCall())).gas);
  for (let by = 0; by < quorum; by++)
    note('attest', (await world.ok(authority(world, by), attestCall(attestationOf(0)))).gas);
  while ((await current(world)).phase === 'settling') note('onBlock settle', (await world.block()).gas);
  note('register', (await world.ok(trainerAt(99), registerCall(1, STAKE))).gas);
  await world.checkInvariants();
  note('onBlock next freeze', (await world.block()).gas);
  return most;
}

// POL_LARGEST=1 measures both at once (4,221 verdicts, a minute); apart they bound it from both sides in seconds.
const sizes: readonly (readonly [number, number])[] =
  process.env.POL_LARGEST === '1'
    ? [[100, 64]]
    : [
        [4, 64],
        [100, 5],
      ];

for (const [authorities, trainers] of sizes) {
  test(`every call stays under its stated limit with ${trainers} trainers and ${authorities} authorities`, async (t) => {
    const most = await measureRound(authorities, trainers);
    for (const [name, gas] of Object.entries(most)) {
      t.log(`${name}: ${gas} gas`);
      if (name.startsWith('onBlock')) t.true(gas < MOST_ON_BLOCK, `${name} takes ${gas}`);
      else t.true(gas + 100_000 < limitOf(name, testParameters.steps, trainers), `${name} takes ${gas}`);
    }
  });
}

test('a reveal that accuses every claim at a step of its own stays under its limit, and so do all rejected at once', async (t) => {
  const world = await openWorld(1, { minTrainers: 64 }, false);
  await register(world, 64);
  await openRound(world);
  const round = await current(world);
  for (const { trainer } of round.roster) await world.ok(trainer, commitCall(commitmentOf(world, round, trainer)));
  const open = await current(world);
  const all = open.roster.map(({ trainer }, seat) => ({ trainer, verdict: 'invalid', step: seat % 4 }) as const);
  await world.ok(authority(world, 0), sealCall(world, 0, open, all));
  const { gas } = await world.ok(authority(world, 0), revealCall(0, open, all));
  t.log(`reveal of 64 accusations: ${gas} gas`);
  t.true(gas + 100_000 < Number(revealGas(64)));
  let most = 0;
  while ((await current(world)).phase !== 'done') most = Math.max(most, (await world.block()).gas);
  t.log(`onBlock that rejects: at most ${most} gas`);
  t.true(most < MOST_ON_BLOCK);
  t.is((await current(world)).roster.filter(({ status }) => status === 'rejected').length, 64);
  await world.checkInvariants();
});

test('the deadlines of a full round cost the chain no more: nobody commits, or nobody audits', async (t) => {
  const world = await openWorld(100, { minTrainers: 64, trainBlocks: 2, auditBlocks: 2 }, false);
  await register(world, 64);
  let most = 0;
  const tick = async (): Promise<void> => {
    most = Math.max(most, (await world.block()).gas);
  };
  for (let i = 0; i < 5; i++) await tick();
  t.is((await readRound(world.view, 0)).outcome, 'void');
  const round = await openRound(world);
  for (const { trainer } of round.roster) await world.ok(trainer, commitCall(commitmentOf(world, round, trainer)));
  for (let i = 0; i < 5; i++) await tick();
  t.is((await readRound(world.view, 1)).outcome, 'void');
  await world.checkInvariants();
  t.log(`onBlock at deadlines: at most ${most} gas`);
  t.true(most < MOST_ON_BLOCK);
});
