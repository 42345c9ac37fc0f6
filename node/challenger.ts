// Owns the challenger's side from start to end: finding the false step of a claim by executing it again, and playing the game
// until the claim is proven false. It works for any key with funds, over any access to a chain; the moves are the contract's.

import { type Hex, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { stateRoot } from '../base/merkle.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { ONE_GWEI } from '../base/units.ts';
import type { Claim, Commitment, ContractCall, RoundRecord, SystemLog, ViewCall } from '../chain/system/api.ts';
import { LEARNING_ROUNDS_ADDRESS } from '../chain/system/api.ts';
import { claimCreditCall } from '../chain/system/calls.ts';
import {
  CHALLENGES_ADDRESS,
  type ChallengeEvent,
  type ChallengeRecord,
  askCall,
  challengeCall,
  collectCall,
  proveCall,
  proveFinalStateCall,
  proveInputCall,
  readChallenge,
  readChallengeCredit,
  settleCall,
} from '../chain/system/challenges.ts';
import { type SystemEvent, decodeSystemLog } from '../chain/system/events.ts';
import { readClaim, readRound, readTrainer } from '../chain/system/views.ts';
import type { Executor } from '../engine/executor.ts';
import type { Dataset } from '../trainer/dataset.ts';
import { openTraceLeaf } from '../trainer/dispute-answer.ts';
import { type Answered, findDifference } from '../trainer/dispute-find.ts';
import { fixedAnswer, openDispute } from '../trainer/dispute-proof.ts';
import { disputeShape, disputeTables } from '../trainer/dispute-roots.ts';
import { disputeProofs, disputedStep } from '../trainer/dispute-step.ts';
import { type StepLeaf, completeLeaves, decodeLeaves, traceRoot } from '../trainer/leaf.ts';
import { type Carried, isFinalState } from '../trainer/moments.ts';
import { type SlotTask, createSlotTask, executeStep, startRound, stepData } from '../trainer/replay.ts';
import { createStepRunner } from '../trainer/step-runner.ts';
import { carriedBefore } from './final-states.ts';
import { CHALLENGE_WAIT_MS } from './limits.ts';
import type { NetworkDefinition } from './network-definition.ts';
import { roundSpec, slotOf } from './round-words.ts';

/** What a transaction did. */
export type SentMove = Readonly<{ ok: boolean; gasUsed: number; logs: readonly SystemLog[]; reason: string }>;

/** A chain as the challenger reaches it. */
export type ChallengerChain = Readonly<{
  address: Hex;
  view: ViewCall;
  height(): Promise<number>;
  logs(from: number, to: number, address: Hex): Promise<readonly SystemLog[]>;
  send(call: ContractCall, least: bigint): Promise<SentMove>;
  sleep(ms: number): Promise<void>;
}>;

/**
 * `id` is of a challenge of this claim by the same key that is open already: the game goes on where it stands. `start` is the
 * committed state before the step, when it is known: nothing before the step is then executed.
 */
export type ChallengeWish = Readonly<{
  round: number;
  trainer: Hex;
  step: number | null;
  id: number | null;
  start: Uint8Array | null;
}>;

export type ChallengerOptions = Readonly<{
  chain: ChallengerChain;
  definition: Pick<NetworkDefinition, 'rules' | 'training'>;
  bondWei: bigint;
  dataset: Dataset;
  executor: Executor;
  /** Parameters of a base model by root, or null. */
  params: (root: Hex) => Uint8Array | null | Promise<Uint8Array | null>;
  /** A trainer's final state of a round by root, as far as it is on this disk; null when it has to be computed again. */
  finalState: (round: number, trainer: Hex, root: Uint8Array) => Uint8Array | null | Promise<Uint8Array | null>;
  /** Called with one line for each thing done. */
  say: (line: string) => void;
}>;

export type ChallengeOutcome = Readonly<{
  /** 'right': the claim holds and nothing was posted. */
  outcome: 'right' | 'upheld' | 'dismissed' | 'moot';
  step: number | null;
  moves: number;
  lastGas: number;
}>;

const LEAST_GAS = 400_000n;

type Play = ChallengerOptions &
  Readonly<{
    record: RoundRecord;
    claim: Claim;
    task: SlotTask;
    /** The final state that the round's moments are from; null for zeros. */
    carriedState: Uint8Array | null;
    leaves: readonly StepLeaf[];
    trainer: Hex;
  }>;

/** Challenges a claim when it is false. Faults say what is missing or why the claim cannot be challenged. */
export async function runChallenge(options: ChallengerOptions, wish: ChallengeWish): Promise<Result<ChallengeOutcome>> {
  const prepared = await prepare(options, wish);
  if (!prepared.ok) return prepared;
  const play = prepared.value;
  const { task, leaves, say, claim } = play;
  try {
    if (toHex(traceRoot(leaves)) !== claim.traceRoot)
      say('the leaves in the log do not have the trace root of the claim; the game is about the trace root');
    const last = openTraceLeaf(leaves, leaves.length - 1);
    if (wish.id === null && last.leaf.stateRoot !== claim.finalStateRoot) {
      say("the final state is not the last leaf's: no game is needed");
      const call = proveFinalStateCall(play.record.round, play.trainer, last.leaf, last.siblings);
      const sent = await options.chain.send(call, LEAST_GAS);
      if (!sent.ok) return fault('challenge', `proveFinalState: ${sent.reason}`);
      return success(await ended(play, 'upheld', null, 1, sent.gasUsed));
    }
    const found = falseAt(play, wish) ?? falseStep(play, wish.step);
    if (found === null) {
      say(
        `every step${wish.step === null ? '' : ` up to ${wish.step}`} follows from the one before: the claim is right`,
      );
      return success({ outcome: 'right', step: null, moves: 0, lastGas: 0 });
    }
    if (wish.step !== null && found.step !== wish.step)
      say(`step ${wish.step} rests on step ${found.step}, which is false already; that one is challenged`);
    return await playGame(play, found.step, found.before, wish.id);
  } finally {
    task.runner.close();
  }
}

/** The bond of a genesis in wei; null where nobody can challenge. */
export function challengeBond({ genesis }: Pick<NetworkDefinition, 'genesis'>): bigint | null {
  return genesis.challenges === undefined ? null : BigInt(String(genesis.challenges['bondGwei'] ?? 0)) * ONE_GWEI;
}

/** Round, claim, data and base of a wish. */
async function prepare(options: ChallengerOptions, { round, trainer }: ChallengeWish): Promise<Result<Play>> {
  const { chain, definition, dataset, executor } = options;
  const record = await readRound(chain.view, round);
  const slot = slotOf(record, trainer);
  if (slot < 0) return fault('challenge', `${trainer} is not in the roster of round ${round}`);
  const claim = await readClaim(chain.view, round, trainer);
  const commitment = await commitmentAt(chain, claim);
  if (commitment === null) return fault('challenge', `no commitment of ${trainer} in round ${round}`);
  const base = await options.params(record.baseRoot);
  if (base === null)
    return fault('challenge', `the base model ${record.baseRoot} of round ${round} is not on this disk`);
  const { rules, training } = definition;
  const carried = await carriedBefore(chain.view, rules, round, trainer);
  const carriedState = await carriedStateOf(options, round, trainer, carried);
  if (!carriedState.ok) return carriedState;
  const capacity = present(record.roster[slot], 'slot').capacity;
  const runner = createStepRunner(executor, training.model, disputeShape(rules, capacity));
  const task = createSlotTask({ spec: roundSpec(record), slot, rules, dataset, runner, base, carried });
  const sent = decodeLeaves(commitment.leaves, rules.steps);
  if (!sent.ok) return sent;
  const leaves = completeLeaves(
    sent.value,
    sent.value.map((_, step) => stepData(task, step).root),
  );
  return success({ ...options, record, claim, task, carriedState: carriedState.value, leaves, trainer });
}

/** The final state a round's moments are from: from disk, or by executing the trainer's round before again. */
async function carriedStateOf(
  options: ChallengerOptions,
  round: number,
  trainer: Hex,
  carried: Carried,
): Promise<Result<Uint8Array | null>> {
  if (carried.rounds === 0) return success(null);
  const held = await options.finalState(round - 1, trainer, carried.root);
  if (held !== null) return success(held);
  options.say(`the final state of round ${round - 1} is not on this disk: that round is executed first`);
  const earlier = await prepare(options, { round: round - 1, trainer, step: null, id: null, start: null });
  if (!earlier.ok) return earlier;
  const { runner } = earlier.value.task;
  try {
    if (falseStep(earlier.value, null) === null && isFinalState(carried.root, runner.state, runner.state.length))
      return success(runner.state.slice());
    return fault('challenge', `the claim of round ${round - 1} is false already: challenge that one`);
  } finally {
    runner.close();
  }
}

async function commitmentAt(chain: ChallengerChain, claim: Claim): Promise<Commitment | null> {
  if (claim.committedBlock === 0) return null;
  const logs = await chain.logs(claim.committedBlock, claim.committedBlock, LEARNING_ROUNDS_ADDRESS);
  for (const event of eventsOf(logs))
    if (event.kind === 'committed' && event.trainer === claim.trainer) return event.commitment;
  return null;
}

const eventsOf = (logs: readonly SystemLog[]): SystemEvent[] =>
  logs.flatMap((log) => {
    const event = decodeSystemLog(log);
    return event === null ? [] : [event];
  });

type FalseStep = Readonly<{ step: number; before: Uint8Array }>;

function follows({ task, leaves, say }: Play, step: number): boolean {
  const outcome = executeStep(task, step);
  const stated = present(leaves[step], 'leaf');
  const same =
    outcome.ok &&
    toHex(outcome.leaf.stateRoot) === toHex(stated.stateRoot) &&
    toHex(outcome.leaf.gradRoot) === toHex(stated.gradRoot) &&
    outcome.leaf.lossBits === stated.lossBits;
  say(`step ${step}: ${same ? 'follows' : 'does NOT follow'}`);
  return same;
}

/** The wanted step when it does not follow from a start that the leaf before it commits to. */
function falseAt(play: Play, { step, start }: ChallengeWish): FalseStep | null {
  const { task, leaves } = play;
  if (start === null || step === null || step === 0 || start.length !== task.runner.state.length) return null;
  if (toHex(stateRoot(start)) !== toHex(present(leaves[step - 1], 'leaf before').stateRoot)) return null;
  task.runner.state.set(start);
  return follows(play, step) ? null : { step, before: start };
}

/** The first step whose leaf does not follow, with the state before it; null when all up to the wanted one do. */
function falseStep(play: Play, wanted: number | null): FalseStep | null {
  const { task } = play;
  startRound(task, play.carriedState);
  const last = wanted ?? task.rules.steps - 1;
  for (let step = 0; step <= last; step++) {
    const before = task.runner.state.slice();
    if (!follows(play, step)) return { step, before };
  }
  return null;
}

async function playGame(
  play: Play,
  step: number,
  before: Uint8Array,
  begun: number | null,
): Promise<Result<ChallengeOutcome>> {
  const { chain, definition, say, task, record, trainer, executor } = play;
  const { training, rules } = definition;
  let moves = 0;
  let lastGas = 0;
  async function move(name: string, call: ContractCall, least = LEAST_GAS): Promise<Result<SystemEvent[]>> {
    const sent = await chain.send(call, least);
    if (!sent.ok) return fault('challenge', `${name}: ${sent.reason}`);
    moves++;
    lastGas = sent.gasUsed;
    say(`${name}: ${sent.gasUsed} gas, ${call.data.length} bytes`);
    return success(eventsOf(sent.logs));
  }
  async function begin(): Promise<Result<number>> {
    if (begun !== null) {
      const known = await readChallenge(chain.view, begun);
      if (known.step === step) return success(begun);
      return fault('challenge', `challenge ${begun} is of step ${known.step}, the first false one is ${step}`);
    }
    const started = await move('challenge', challengeCall(record.round, trainer, step, play.bondWei));
    if (!started.ok) return started;
    const event = started.value.find(({ kind }) => kind === 'challenged') as Of<'challenged'> | undefined;
    return success(present(event, 'challenge event').id);
  }

  const opened = await begin();
  if (!opened.ok) return opened;
  const id = opened.value;
  const tables = disputeTables(training.model, rules);
  const carriedState = step === 0 ? play.carriedState : null;
  const own = disputedStep(task, { executor, model: training.model, tables }, step, before, carriedState);
  const settled = async (challenge: ChallengeRecord): Promise<Result<ChallengeOutcome>> => {
    let { state } = challenge;
    if (state === 'challenged' || state === 'asked') {
      say('the trainer did not move in time');
      const closed = await move('settle', settleCall(id));
      if (!closed.ok) return closed;
      state = (await readChallenge(chain.view, id)).state;
    }
    const outcome = state === 'upheld' || state === 'dismissed' ? state : 'moot';
    return success(await ended(play, outcome, step, moves, lastGas));
  };

  const first = await awaitMove(chain, id);
  if (first.state !== 'answered') return settled(first);
  moves++;
  const answered = present((await eventsAbout(play, id, 'answered')).at(-1), 'answer');
  say(`the trainer answered with ${answered.roots.length} roots`);
  const found = findDifference(own, answered satisfies Answered);
  if (found.difference.kind === 'none' || found.difference.kind === 'failed') {
    const why =
      found.difference.kind === 'none' ? 'the leaf it opened is right' : `step fails: ${found.difference.reason}`;
    return fault('challenge', `no piece can be shown: ${why}`);
  }
  const program = tables.programProof(present(task.spec.capacities[task.slot], 'capacity'));
  const fixed = fixedAnswer(answered, program);
  const dispute = openDispute(own, answered, found, disputeProofs(task, step));
  let questions = 0;
  for (let question = dispute.question(); question !== null; question = dispute.question()) {
    let revealed = (await eventsAbout(play, id, 'revealed'))[questions];
    if (revealed === undefined) {
      // Asked already when this goes on with a game.
      const open = (await readChallenge(chain.view, id)).state === 'asked';
      const asked = open ? null : await move('ask', askCall(id, fixed, question));
      if (asked?.ok === false) return asked;
      const now = await awaitMove(chain, id);
      if (now.state !== 'answered') return settled(now);
      revealed = present((await eventsAbout(play, id, 'revealed'))[questions], 'disclosure');
    }
    moves++;
    questions++;
    say(`the trainer disclosed level ${revealed.level}, node ${revealed.index}`);
    dispute.disclosed(revealed.level, revealed.index, revealed.nodes, revealed.leaf);
  }
  say(`false: ${dispute.describe()}`);
  const { kind, proof } = dispute.proof();
  const proven = await move('prove', kind === 'piece' ? proveCall(id, fixed, proof) : proveInputCall(id, fixed, proof));
  if (!proven.ok) return proven;
  return settled(await readChallenge(chain.view, id));
}

/** The challenge once it is the challenger's turn, over, or the trainer late. */
async function awaitMove(chain: ChallengerChain, id: number): Promise<ChallengeRecord> {
  for (;;) {
    const challenge = await readChallenge(chain.view, id);
    const trainersTurn = challenge.state === 'challenged' || challenge.state === 'asked';
    if (!trainersTurn || (await chain.height()) > challenge.deadline) return challenge;
    await chain.sleep(CHALLENGE_WAIT_MS);
  }
}

type Of<K extends ChallengeEvent['kind']> = Extract<ChallengeEvent, { kind: K }>;

/** Events of one kind about a challenge, oldest first. */
async function eventsAbout<K extends ChallengeEvent['kind']>(
  { chain, claim }: Play,
  id: number,
  kind: K,
): Promise<Of<K>[]> {
  const logs = await chain.logs(claim.committedBlock, await chain.height(), CHALLENGES_ADDRESS);
  return eventsOf(logs).filter((event) => event.kind === kind && 'id' in event && event.id === id) as Of<K>[];
}

/** Collects what was won and says what became of the claim. */
async function ended(
  play: Play,
  outcome: ChallengeOutcome['outcome'],
  step: number | null,
  moves: number,
  lastGas: number,
): Promise<ChallengeOutcome> {
  const { chain, say, trainer } = play;
  const record = await readTrainer(chain.view, trainer);
  say(`challenge ${outcome} after ${moves} moves; trainer ${trainer} is ${record.status}`);
  if ((await readChallengeCredit(chain.view, chain.address)) > 0n) await chain.send(collectCall(), 100_000n);
  if ((await readTrainer(chain.view, chain.address)).creditWei > 0n) await chain.send(claimCreditCall(), 100_000n);
  return { outcome, step, moves, lastGas };
}
