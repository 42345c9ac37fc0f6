// Owns random sequences of calls to the system contracts. The world asserts supply, stakes, transitions and payouts after each;
// here stands what no sequence may do: slash without a quorum of judges, or stop the rounds.

import fc from 'fast-check';
import test from 'ava';
import type { Hex } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { ONE_POL } from '../../base/units.ts';
import {
  addStakeCall,
  attestCall,
  claimCreditCall,
  commitCall,
  registerCall,
  releaseVestedCall,
  requestExitCall,
  resumeCall,
  setCapacityCall,
  withdrawCall,
} from '../../chain/system/calls.ts';
import { readCurrentRound } from '../../chain/system/views.ts';
import {
  STAKE,
  attestationOf,
  authority,
  commitmentOf,
  giveJudgement,
  giveVerdict,
  honestRound,
  register,
  trainerAt,
} from './system-life.ts';
import { type Sent, type World, openWorld } from './system-world.ts';

const AUTHORITIES = 4;
const TRAINERS = 4;

type Move = Readonly<{ kind: string; who: number; whom: number; step: number; odd: boolean }>;

// Single moves of single parties, and moves of all together that carry a round on to audits, disputes and pay.
const SINGLE = [
  'commit',
  'valid',
  'invalid',
  'unavailable',
  'judge',
  'attest',
  'register',
  'addStake',
  'exit',
  'withdraw',
  'resume',
  'capacity',
  'claimCredit',
  'release',
];
const TOGETHER = [
  'block',
  'block',
  'block',
  'commitAll',
  'commitAll',
  'approveAll',
  'approveAll',
  'judgeAll',
  'attestAll',
  'attestAll',
];

const move: fc.Arbitrary<Move> = fc.record({
  kind: fc.oneof(fc.constantFrom(...SINGLE), fc.constantFrom(...TOGETHER)),
  who: fc.nat(3),
  whom: fc.nat(3),
  step: fc.nat(1),
  odd: fc.boolean(),
});

const ALL = [0, 1, 2, 3];

async function play(world: World, { kind, who, whom, step, odd }: Move): Promise<readonly Sent[]> {
  const round = await readCurrentRound(world.view);
  if (round === null) return [await world.block()];
  const number = round.round;
  const trainer = trainerAt(who);
  const sent: Sent[] = [];
  const commit = async (from: Hex) => sent.push(await world.send(from, commitCall(commitmentOf(world, round, from))));
  const disputed = round.roster.find(({ status }) => status === 'disputed')?.trainer ?? trainerAt(whom);
  const judge = async (by: number) => {
    for (const named of kind === 'judgeAll' ? [0, 1] : [step])
      sent.push(await giveJudgement(world, by, number, disputed, named, odd));
  };
  const attest = async (by: number) =>
    sent.push(
      await world.send(
        authority(world, by),
        attestCall(attestationOf(number, odd ? {} : { heldOutMicroNats: 9_000_000 })),
      ),
    );
  switch (kind) {
    case 'commit':
      await commit(trainer);
      break;
    case 'commitAll':
      for (const entry of round.roster) await commit(entry.trainer);
      break;
    case 'valid':
    case 'invalid':
    case 'unavailable':
      sent.push(await giveVerdict(world, who, number, trainerAt(whom), kind, kind === 'invalid' ? step : 0));
      break;
    case 'approveAll':
      for (const by of ALL) sent.push(await giveVerdict(world, by, number, trainerAt(whom), 'valid'));
      break;
    case 'judge':
      await judge(who);
      break;
    case 'judgeAll':
      for (const by of ALL) await judge(by);
      break;
    case 'attest':
      await attest(who);
      break;
    case 'attestAll':
      for (const by of ALL) await attest(by);
      break;
    case 'claimCredit':
      sent.push(await world.send(authority(world, who), claimCreditCall()));
      break;
    default:
      sent.push(await (STAKE_MOVES[kind]?.(world, trainer, whom) ?? world.block()));
  }
  return sent;
}

const STAKE_MOVES: Readonly<Record<string, (world: World, trainer: Hex, whom: number) => Promise<Sent>>> = {
  register: (world, trainer, whom) => world.send(trainer, registerCall(1 + whom, STAKE)),
  addStake: (world, trainer) => world.send(trainer, addStakeCall(ONE_POL)),
  exit: (world, trainer) => world.send(trainer, requestExitCall()),
  withdraw: (world, trainer) => world.send(trainer, withdrawCall()),
  resume: (world, trainer) => world.send(trainer, resumeCall()),
  capacity: (world, trainer, whom) => world.send(trainer, setCapacityCall(1 + whom)),
  release: (world, trainer, whom) => world.send(trainer, releaseVestedCall(trainerAt(whom))),
};

/** Judges per (round, trainer, step); an upheld dispute must have three of the four. */
function noteJudges(judges: Map<string, Set<string>>, sent: Sent): void {
  for (const event of sent.events) {
    if (event.kind === 'judged' && event.invalid) {
      const key = `${event.round} ${event.trainer} ${event.step}`;
      judges.set(key, (judges.get(key) ?? new Set()).add(event.authority));
    }
    if (event.kind === 'disputeClosed' && event.state === 'upheld') {
      const key = `${event.round} ${event.trainer} ${event.step}`;
      if ((judges.get(key)?.size ?? 0) < 3) throw new Error(`slashed by ${judges.get(key)?.size} judges: ${key}`);
    }
  }
}

const reached = { disputes: 0, slashes: 0, payouts: 0, rounds: 0 };

function count(sent: Sent): void {
  for (const { kind } of sent.events) {
    if (kind === 'disputeOpened') reached.disputes++;
    if (kind === 'slashed') reached.slashes++;
    if (kind === 'minted') reached.payouts++;
    if (kind === 'roundSettled') reached.rounds++;
  }
}

test('no sequence of calls breaks an invariant or stops the rounds', async (t) => {
  const runs = Number(process.env.POL_RANDOM_RUNS ?? 8);
  const seed = Number(process.env.POL_RANDOM_SEED ?? 20_261_121);
  t.log(`seed ${seed}, ${runs} sequences (POL_RANDOM_SEED, POL_RANDOM_RUNS)`);
  const sequence = fc.array(move, { minLength: 40, maxLength: 90, size: 'max' });
  await fc.assert(
    fc.asyncProperty(sequence, async (moves) => {
      const world = await openWorld(AUTHORITIES, { minTrainers: 2 });
      await register(world, TRAINERS);
      await world.blocks(2);
      const judges = new Map<string, Set<string>>();
      for (const next of moves) {
        for (const sent of await play(world, next)) {
          noteJudges(judges, sent);
          count(sent);
        }
      }
      // Whatever happened, with two fresh trainers and time the rounds go on.
      for (const name of [90, 91]) {
        await world.fund(trainerAt(name), 2n * STAKE);
        await world.ok(trainerAt(name), registerCall(1, STAKE));
      }
      const before = present(await readCurrentRound(world.view), 'round').round;
      const current = async () => present(await readCurrentRound(world.view), 'round').round;
      for (let i = 0; i < 40 && (await current()) <= before; i++) await world.block();
      if ((await current()) <= before) throw new Error('rounds stopped');
    }),
    { numRuns: runs, seed, endOnFailure: runs > 50 },
  );
  t.log(`reached: ${JSON.stringify(reached)}`);
  t.true(reached.disputes > 0 && reached.slashes > 0 && reached.payouts > 0 && reached.rounds > 0);
});

test('a long honest life keeps minted equal to paid plus pending', async (t) => {
  const world = await openWorld(AUTHORITIES);
  await register(world, 3, [1, 2, 4]);
  for (let number = 0; number < 4; number++) await honestRound(world);
  await world.blocks(4);
  t.is((await readCurrentRound(world.view))?.round, 4);
});
