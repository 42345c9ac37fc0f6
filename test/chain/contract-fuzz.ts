// Owns the fuzz of the system contracts: between the calls of a whole life, bad calls by the hundred, each tried on the state as
// it stands and undone, or left in place when it came from a crook. What none of them may do is checked after each.

import type { Hex } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { type Prng, prng } from '../../base/prng.ts';
import { type ContractCall, SYSTEM_ADDRESS, TRAINERS_ADDRESS } from '../../chain/system/api.ts';
import {
  answerCall,
  askCall,
  challengeCall,
  collectCall,
  proveCall,
  revealCall,
  settleCall,
} from '../../chain/system/challenges.ts';
import type { SystemEvent } from '../../chain/system/events.ts';
import { readTrainer } from '../../chain/system/views.ts';
import type { Cheat } from '../trainer/dispute-fixture.ts';
import { type Matter, type Sender, badCall, functionName, isView } from './calldata-mutation.ts';
import { BOND, CHALLENGER, type Game, eventOf, honestMoves, openGame, playGame } from './challenge-game.ts';
import { crooks, honestAuthorities, honestTrainers, openLife, playLife } from './contract-lives.ts';
import { authority, trainerAt } from './system-life.ts';
import { type Sent, type World, accountOf } from './system-world.ts';

/** Most gas of a bad call in these worlds of few parties; a length that was believed would cost all there is. */
const MOST_GAS = 4_000_000;
/** Functions that only the chain or a contract may call. */
const CLOSED = new Set([
  'onBlock',
  'markPaid',
  'append',
  'freeze',
  'release',
  'finishRound',
  'slash',
  'renewCanaryLayer',
  'rejectByReferee',
  'expel',
  'begin',
]);
const isClosed = (call: ContractCall): boolean =>
  CLOSED.has(functionName(call)) || (call.to === TRAINERS_ADDRESS && functionName(call) === 'settle');
/** How the EVM itself ends a call that a contract should have refused. */
const WORDS_OF_THE_EVM = /^(out of gas|invalid opcode|stack|static state|internal|out of range|code)/;

export type Counts = {
  calls: number;
  kept: number;
  succeeded: number;
  mostGas: number;
  mostGasBy: string;
  functions: Map<string, number>;
  refusals: Map<string, number>;
  made: Map<string, number>;
};

export const noCounts = (): Counts => ({
  calls: 0,
  kept: 0,
  succeeded: 0,
  mostGas: 0,
  mostGasBy: '',
  functions: new Map(),
  refusals: new Map(),
  made: new Map(),
});

const note = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1);

type Innocent = ReadonlySet<Hex>;

/** What may happen to nobody who was honest. */
function wronged(event: SystemEvent, innocent: Innocent): string | null {
  if (event.kind === 'slashed' && innocent.has(event.trainer)) return event.trainer;
  if (event.kind === 'bondSlashed' && innocent.has(event.account)) return event.account;
  if (event.kind === 'disputeClosed' && event.state === 'upheld' && innocent.has(event.trainer)) return event.trainer;
  if (event.kind === 'expelled' && innocent.has(event.account)) return event.account;
  return null;
}

function judge(counts: Counts, innocent: Innocent, from: Hex, call: ContractCall, sent: Sent, how: string): void {
  const name = functionName(call);
  const told = (): string =>
    `${how} ${name} by ${from}: 0x${Buffer.from(call.data).toString('hex')} value ${call.value}`;
  counts.calls++;
  note(counts.functions, name);
  note(counts.made, how);
  if (sent.gas > counts.mostGas) [counts.mostGas, counts.mostGasBy] = [sent.gas, `${how} ${name} ${sent.error}`];
  check(sent.gas <= MOST_GAS, `${sent.gas} gas, limit ${MOST_GAS}: ${told()}`);
  for (const event of sent.events) check(wronged(event, innocent) === null, `${event.kind} of the honest: ${told()}`);
  if (sent.error === null) {
    counts.succeeded++;
    check(!isClosed(call), `${name} is closed: ${told()}`);
  } else {
    note(counts.refusals, sent.error);
    check(!WORDS_OF_THE_EVM.test(sent.error), `${sent.error}: ${told()}`);
    // A view may end at an index that is not there; what changes state must say why it does not.
    check(sent.error !== 'Panic' || isView(call), `Panic(${sent.args.join()}): ${told()}`);
  }
}

export type FuzzPlan = Readonly<{
  random: Prng;
  counts: Counts;
  matter: Matter;
  innocent: Innocent;
  /** Whose bad calls stay in place. */
  kept: readonly Hex[];
  /** Bad calls before each call of the life. */
  each: number;
}>;

/** The world with bad calls before each of its calls. */
export function fuzzed(world: World, plan: FuzzPlan): World {
  const { random, counts, matter, innocent, kept, each } = plan;
  const innocents = async (sent: Promise<Sent>): Promise<Sent> => {
    const done = await sent;
    for (const event of done.events) check(wronged(event, innocent) === null, `${event.kind} of the honest`);
    return done;
  };
  async function between(): Promise<void> {
    for (let i = 0; i < each; i++) {
      const { from, call, how } = badCall(random, matter);
      // From the chain itself these are the calls of a block.
      if (from === SYSTEM_ADDRESS && isClosed(call)) continue;
      const stays = kept.includes(from);
      if (stays) counts.kept++;
      judge(counts, innocent, from, call, await (stays ? world.send(from, call) : world.probe(from, call)), how);
    }
  }
  return new Proxy(world, {
    get(target, key) {
      if (key === 'send' || key === 'ok') {
        return async (from: Hex, call: ContractCall) => {
          await between();
          return innocents(target[key](from, call));
        };
      }
      if (key === 'block') return () => innocents(target.block());
      if (key === 'blocks')
        return async (n: number) => {
          for (let i = 0; i < n; i++) await innocents(target.block());
        };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The world noting the calls that succeed. */
export function recorded(world: World, into: Sender[]): World {
  return new Proxy(world, {
    get(target, key) {
      if (key === 'send' || key === 'ok') {
        return async (from: Hex, call: ContractCall) => {
          const sent = await target[key](from, call);
          if (sent.error === null) into.push({ from, call });
          return sent;
        };
      }
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

export const STRANGER: Hex = accountOf('stranger');

let life: readonly Sender[] | null = null;

/** The calls of a life that nobody disturbs. */
async function validCalls(): Promise<readonly Sender[]> {
  if (life !== null) return life;
  const calls: Sender[] = [];
  await playLife(recorded(await openLife(false), calls));
  life = calls;
  return calls;
}

/** One life under fire. `leave`: what crooks get through stays in place. Replays from the seed. */
export async function fuzzLife(seed: string, each: number, leave: boolean, counts: Counts): Promise<void> {
  const world = await openLife();
  const valid = await validCalls();
  const innocent = new Set([...honestTrainers(), ...honestAuthorities(world)]);
  const senders = [...innocent, ...crooks(world), STRANGER, SYSTEM_ADDRESS];
  const plan = { random: prng(seed), counts, matter: { valid, senders }, innocent, each };
  await playLife(fuzzed(world, { ...plan, kept: leave ? crooks(world) : [] }));
}

/** Challenges under fire: one of a true claim, whose trainer must lose nothing, and one of a false claim, which must end in a slash. */
export async function fuzzGames(seed: string, each: number, counts: Counts): Promise<void> {
  const valid: Sender[] = [];
  const record = await openGame(null, BLOCKS);
  await playHonest({ ...record, world: recorded(record.world, valid) });
  await record.executor.close();
  const random = prng(seed);
  const game = await openGame(null, BLOCKS);
  const innocent = new Set([game.trainer, trainerAt(0), authority(game.world, 0)]);
  const senders = [...innocent, CHALLENGER, STRANGER, SYSTEM_ADDRESS];
  const plan = { random, counts, matter: { valid, senders }, innocent, kept: [], each };
  await playHonest({ ...game, world: fuzzed(game.world, plan) });
  check((await readTrainer(game.world.view, game.trainer)).status === 'active', 'a challenged honest trainer stays');
  await game.executor.close();
  const cheat = await openGame(CHEAT, BLOCKS);
  const others = new Set([trainerAt(0), authority(cheat.world, 0)]);
  const played = await playGame({ ...cheat, world: fuzzed(cheat.world, { ...plan, innocent: others }) }, CHEAT.step);
  check(played.closed?.kind === 'closed' && played.closed.state === 'upheld', 'the cheat is slashed under fire');
  await cheat.executor.close();
}

const BLOCKS = { answerBlocks: 30, proveBlocks: 4, windowBlocks: 60 };
const CHEAT: Cheat = {
  step: 1,
  alter: (at, outputs) => {
    if (at !== 3) return;
    const { data } = present(outputs[0], 'output');
    const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
    words[77] = (words[77] as number) ^ 1;
  },
};

/** All moves about a true claim; proofs of it are refused, and it ends dismissed. */
async function playHonest(game: Game): Promise<void> {
  const { world, trainer, round } = game;
  const { said, fixed, question, piece } = honestMoves(game, 1);
  const challenged = await world.ok(CHALLENGER, challengeCall(round.round, trainer, 1, BOND));
  const { id } = eventOf(challenged, 'challenged');
  await world.ok(trainer, answerCall(id, said.answer));
  check((await world.send(CHALLENGER, proveCall(id, fixed, piece))).error !== null, 'a true piece is not proven false');
  const asked = eventOf(await world.ok(CHALLENGER, askCall(id, fixed, question)), 'asked');
  await world.ok(trainer, revealCall(id, asked.node, present(said.disclose(asked.node), 'disclosure')));
  await world.blocks(BLOCKS.proveBlocks + 1);
  await world.ok(CHALLENGER, settleCall(id));
  await world.ok(trainer, collectCall());
}
