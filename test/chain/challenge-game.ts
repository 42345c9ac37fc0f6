// Owns playing challenges on the contracts: a round with one cheat that the authorities all approve, and both sides' moves.

import { type Hex, fromHex, toHex } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { open, stateRoot } from '../../base/merkle.ts';
import { ONE_POL } from '../../base/units.ts';
import type { ContractCall, RoundRecord } from '../../chain/system/api.ts';
import { commitCall } from '../../chain/system/calls.ts';
import {
  type ChallengeEvent,
  type Disclosure,
  type ProgramProof,
  type TreeNode,
  answerCall,
  askCall,
  challengeCall,
  proveCall,
  proveInputCall,
  revealCall,
} from '../../chain/system/challenges.ts';
import { type Executor, createExecutor } from '../../engine/executor.ts';
import { answerStep } from '../../trainer/dispute-answer.ts';
import { type Answered, findDifference } from '../../trainer/dispute-find.ts';
import { fixedAnswer, openDispute } from '../../trainer/dispute-proof.ts';
import { encodeRecord, recordHashes } from '../../trainer/dispute-layout.ts';
import { scheduleProof } from '../../trainer/dispute-roots.ts';
import { discloseNode, holdTree, rootOfTree } from '../../trainer/dispute-tree.ts';
import { disputeProofs, disputedStep } from '../../trainer/dispute-step.ts';
import { traceRoot } from '../../trainer/leaf.ts';
import { NOTHING_CARRIED } from '../../trainer/moments.ts';
import type { SlotTask } from '../../trainer/replay.ts';
import type { TrainingRules } from '../../trainer/rules.ts';
import { disclosureOf } from '../../chain/system/challenges.ts';
import {
  BASE_ROOT,
  type Cheat,
  MODEL,
  RULES,
  type Trace,
  cheatedStep,
  parametersOf,
  tables,
  taskOf,
  traceOf,
} from '../trainer/dispute-fixture.ts';
import {
  type Finding,
  attest,
  attestationOf,
  auditRound,
  commitmentOf,
  giveJudgement,
  openRound,
  register,
  trainerAt,
} from './system-life.ts';
import { type Sent, type World, accountOf, hashOf, openWorld } from './system-world.ts';

export const CHALLENGER: Hex = accountOf('challenger');
export const BOND = 5n * ONE_POL;

export type Game = Readonly<{
  world: World;
  executor: Executor;
  task: SlotTask;
  trace: Trace;
  round: RoundRecord;
  /** The final state the round's moments are from, where the trainer was accepted before. */
  carriedState: Uint8Array | null;
  trainer: Hex;
  cheat: Cheat | null;
}>;

/** Gas of a whole transaction: its 21,000, calldata, execution, or the floor of EIP-7623. */
export function transactionGas(data: Uint8Array, execution: number): number {
  const tokens = data.reduce((sum, byte) => sum + (byte === 0 ? 1 : 4), 0);
  return 21_000 + Math.max(4 * tokens + execution, 10 * tokens);
}

const SLOT = 1;

/**
 * Who decides over the claim: the first `accusers` find the step false, the others judge it true. With `falseEnd` the claim
 * names a final state that is not its last leaf's.
 */
export type Bench = Readonly<{ authorities: number; accusers: number; step: number; falseEnd?: boolean }>;

/** Everybody commits, trainer 1 to this trace. */
async function commitTrace(world: World, round: RoundRecord, trace: Trace, falseEnd: boolean): Promise<void> {
  for (const [seat, entry] of round.roster.entries()) {
    const last = present(trace.leaves.at(-1), 'leaf');
    const finalStateRoot = falseEnd ? hashOf('another end') : toHex(last.stateRoot);
    const changes = seat === SLOT ? { traceRoot: toHex(traceRoot(trace.leaves)), finalStateRoot } : {};
    await world.ok(entry.trainer, commitCall(commitmentOf(world, round, entry.trainer, changes)));
  }
}

/**
 * A world in which trainer 1 (of two) made this claim and everybody approved it, or what the bench made of it. Where moments are
 * carried it is the trainer's second in a row, whose moments go on from an honest first one.
 */
export async function openGame(
  cheat: Cheat | null,
  blocks = { answerBlocks: 4, proveBlocks: 4, windowBlocks: 40 },
  bench: Bench = { authorities: 1, accusers: 0, step: 0 },
  rules: TrainingRules = RULES,
): Promise<Game> {
  const world = await openWorld(
    bench.authorities,
    {
      minTrainers: 2,
      steps: RULES.steps,
      batch: RULES.batch,
      sequenceLength: RULES.sequenceLength,
      genesisModelRoot: toHex(BASE_ROOT),
      samplesPerAudit: 1,
      auditBlocks: 20,
      attestBlocks: 60,
    },
    true,
    parametersOf(blocks, rules),
  );
  await register(world, 2, [1, 1]);
  await world.fund(CHALLENGER, 100n * ONE_POL);
  const executor = await createExecutor({ backend: 'wasm' });
  const trainer = trainerAt(SLOT);
  let round = await openRound(world);
  let [carried, carriedState] = [NOTHING_CARRIED, null as Uint8Array | null];
  if (rules.carryMoments) {
    const first = traceOf(executor, taskOf(executor, specOf(round), SLOT, rules), null);
    await commitTrace(world, round, first, false);
    await auditRound(world);
    await attest(world, attestationOf(round.round, { modelRoot: toHex(BASE_ROOT) }));
    round = await openRound(world);
    carriedState = present(first.states.at(-1), 'final state');
    carried = { root: stateRoot(carriedState), rounds: 1 };
  }
  const task = taskOf(executor, specOf(round), SLOT, rules, carried);
  const trace = traceOf(executor, task, cheat, carriedState);
  await commitTrace(world, round, trace, bench.falseEnd === true);
  const finding: Finding = { trainer, verdict: 'invalid', step: bench.step };
  await auditRound(world, Object.fromEntries(Array.from({ length: bench.accusers }, (_, by) => [by, [finding]])));
  for (let by = bench.accusers; by < bench.authorities && bench.accusers > 0; by++)
    await giveJudgement(world, by, round.round, trainer, bench.step, false);
  return { world, executor, task, trace, round, carriedState, trainer, cheat };
}

function specOf(round: RoundRecord) {
  return {
    round: round.round,
    seed: fromHex(round.seed),
    baseRoot: fromHex(round.baseRoot),
    baseVersion: round.baseVersion,
    dataStart: round.dataStart,
    capacities: round.roster.map(({ capacity }) => capacity),
  };
}

export type Move = Readonly<{ move: string; gas: number; bytes: number }>;
export type Played = Readonly<{ moves: readonly Move[]; id: number; closed: ChallengeEvent | null; describe: string }>;

/** Sends a move that must succeed and notes its gas. */
async function play(world: World, moves: Move[], move: string, from: Hex, call: ContractCall): Promise<Sent> {
  const sent = await world.ok(from, call);
  moves.push({ move, gas: transactionGas(call.data, sent.gas), bytes: call.data.length });
  return sent;
}

export function eventOf<K extends ChallengeEvent['kind']>(sent: Sent, kind: K): Extract<ChallengeEvent, { kind: K }> {
  const found = sent.events.find((event) => event.kind === kind);
  return present(found, `event ${kind}`) as Extract<ChallengeEvent, { kind: K }>;
}

/** What the cheat discloses: from the step it claims to have run, or from trees it made up. */
export type Liar = Readonly<{ trees?: readonly Uint8Array[] }>;

/** The whole game: challenge, answer, questions, proof. The cheat plays along as long as it can. */
export async function playGame(
  game: Game,
  step: number,
  liar: Liar = {},
  beforeProof: () => Promise<void> = async () => undefined,
): Promise<Played> {
  const { world, executor, task, trace, trainer, cheat, round } = game;
  const carriedState = step === 0 ? game.carriedState : null;
  const moves: Move[] = [];
  const challenged = await play(world, moves, 'challenge', CHALLENGER, challengeCall(round.round, trainer, step, BOND));
  const { id } = eventOf(challenged, 'challenged');
  const before = present(trace.states[step], 'state');
  const theirs = cheatedStep(executor, task, step, before, cheat);
  const program = tables(task.rules).programProof(1);
  const said = present(answerStep(theirs, trace.leaves, program), 'answer');
  const answeredBy = await play(world, moves, 'answer', trainer, answerCall(id, said.answer));
  const answered: Answered = eventOf(answeredBy, 'answered');

  const parts = { executor, model: MODEL, tables: tables(task.rules) };
  const own = disputedStep(task, parts, step, before, carriedState);
  const found = findDifference(own, answered);
  check(found.difference.kind !== 'none', 'the cheat is found');
  const dispute = openDispute(own, answered, found, disputeProofs(task, step));
  const fixed = fixedAnswer(answered, program);
  for (let question = dispute.question(); question !== null; question = dispute.question()) {
    const asked = eventOf(await play(world, moves, 'ask', CHALLENGER, askCall(id, fixed, question)), 'asked');
    const shown = present(disclose(asked.node, said.disclose, liar), 'disclosure');
    const revealed = eventOf(
      await play(world, moves, 'reveal', trainer, revealCall(id, asked.node, shown)),
      'revealed',
    );
    dispute.disclosed(revealed.level, revealed.index, revealed.nodes, revealed.leaf);
  }
  await beforeProof();
  const { kind, proof } = dispute.proof();
  const call = kind === 'piece' ? proveCall(id, fixed, proof) : proveInputCall(id, fixed, proof);
  const proven = await play(world, moves, 'prove', CHALLENGER, call);
  return { moves, id, closed: eventOf(proven, 'closed'), describe: dispute.describe() };
}

function disclose(node: TreeNode, honest: (node: TreeNode) => Disclosure | null, liar: Liar): Disclosure | null {
  for (const bytes of liar.trees ?? []) {
    const tree = holdTree(bytes, 16_384);
    if (toHex(rootOfTree(tree)) !== node.root) continue;
    const { nodes, leaf, siblings } = discloseNode(tree, node.level, node.index);
    return disclosureOf(nodes, leaf, siblings);
  }
  return honest(node);
}

export function honestAnswer(game: Game, step: number) {
  const { executor, task, trace } = game;
  const own = cheatedStep(executor, task, step, present(trace.states[step], 'state'), null);
  const said = present(answerStep(own, trace.leaves, tables(task.rules).programProof(1)), 'answer');
  return { own, said };
}

/** A question about list entry 2 and the piece over it, as the rules would have them. */
export function honestMoves(game: Game, step: number) {
  const { own, said } = honestAnswer(game, step);
  const { answer } = said;
  const program: ProgramProof = answer.program;
  const answered = { leaf: answer.leaf, stateBefore: answer.earlier.stateRoot, roots: answer.roots };
  const fixed = fixedAnswer(answered, program);
  const hashes = recordHashes(own.layout);
  const index = own.layout.records.findIndex(({ operands }) => operands.some(({ home }) => home.kind === 'list'));
  const record = present(own.layout.records[index], 'record');
  const operand = record.operands.findIndex(({ home }) => home.kind === 'list');
  const listed = record.operands.flatMap(({ home }) => (home.kind === 'list' ? [home.entry] : []));
  const roots = answer.roots.map((root) => Buffer.from(root.slice(2), 'hex'));
  const entries = listed.map((entry) => ({
    root: present(answer.roots[entry], 'root'),
    siblings: open(roots, entry).siblings.map((hash) => toHex(hash)),
  }));
  const proof = {
    record: toHex(encodeRecord(record)),
    index,
    siblings: open(hashes, index).siblings.map((hash) => toHex(hash)),
  };
  const question = { proof, operand, entries: entries.slice(0, 1), level: 0, index: 0 };
  const schedule = scheduleProof(game.task.rules, 0, step, 0);
  return { own, said, answered, fixed, question, piece: { proof, selected: [], entries, schedule, witness: [] } };
}
