// Owns the bindings of the Challenges contract: its code, calls, events and views. The game is docs/protocol/challenges.md;
// what is proven is made in trainer/dispute-*.ts.

import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Hex, fromHex, isHex, toHex } from '../../base/bytes.ts';
import { check } from '../../base/check.ts';
import { challengesAbi, decodeLog, decodeReturn, encodeCall } from './abi.ts';
import type { ContractCall, SystemLog, ViewCall } from './api.ts';
import { CONTRACTS_FILE_BYTES } from './limits.ts';
import type { RefereeOpening } from './referee.ts';

export const CHALLENGES_ADDRESS: Hex = '0x504f4c0000000000000000000000000000000006';

export type ChallengeState = 'none' | 'challenged' | 'answered' | 'asked' | 'upheld' | 'dismissed' | 'moot';
const STATES: readonly ChallengeState[] = ['none', 'challenged', 'answered', 'asked', 'upheld', 'dismissed', 'moot'];

export type ChallengeRecord = Readonly<{
  id: number;
  challenger: Hex;
  trainer: Hex;
  round: number;
  step: number;
  state: ChallengeState;
  capacity: number;
  asks: number;
  deadline: number;
}>;

/** A leaf of a trace without its step. */
export type TraceLeaf = Readonly<{ stateRoot: Hex; dataRoot: Hex; gradRoot: Hex; lossBits: number }>;
/** A leaf of the program root: records and list entries of one capacity. */
export type ProgramProof = Readonly<{ records: Hex; recordCount: number; entries: number; siblings: readonly Hex[] }>;
export type StepAnswer = Readonly<{
  program: ProgramProof;
  leaf: TraceLeaf;
  siblings: readonly Hex[];
  /** The leaf before; at step 0 any. */
  earlier: TraceLeaf;
  earlierSiblings: readonly Hex[];
  roots: readonly Hex[];
}>;
/** What an answer fixed; every later move repeats it. */
export type FixedAnswer = Readonly<{
  stateBefore: Hex;
  stateAfter: Hex;
  gradRoot: Hex;
  lossBits: number;
  list: Hex;
  records: Hex;
  recordCount: number;
  entries: number;
}>;
export type EntryProof = Readonly<{ root: Hex; siblings: readonly Hex[] }>;
export type RecordProof = Readonly<{ record: Hex; index: number; siblings: readonly Hex[] }>;
export type ScheduleProof = Readonly<{
  rate: number;
  rateSiblings: readonly Hex[];
  bias: readonly [number, number];
  biasSiblings: readonly Hex[];
}>;
export type TreeNode = Readonly<{ root: Hex; leaves: number; level: number; index: number; leafBytes: number }>;
export type Disclosure = Readonly<{ nodes: readonly Hex[]; leaf: Hex; siblings: readonly Hex[] }>;
export type Question = Readonly<{
  proof: RecordProof;
  operand: number;
  entries: readonly EntryProof[];
  level: number;
  index: number;
}>;
export type PieceProof = Readonly<{
  proof: RecordProof;
  selected: readonly number[];
  entries: readonly EntryProof[];
  schedule: ScheduleProof;
  witness: readonly RefereeOpening[];
}>;
export type InputProof = Readonly<{
  targets: boolean;
  element: number;
  entry: EntryProof;
  leaf: Hex;
  siblings: readonly Hex[];
  sequence: Hex;
  sequenceSiblings: readonly Hex[];
}>;

export type ChallengeEvent =
  | Readonly<{
      kind: 'challenged';
      id: number;
      round: number;
      trainer: Hex;
      challenger: Hex;
      step: number;
      deadline: number;
    }>
  | Readonly<{
      kind: 'answered';
      id: number;
      leaf: TraceLeaf;
      stateBefore: Hex;
      roots: readonly Hex[];
      deadline: number;
    }>
  | Readonly<{ kind: 'asked'; id: number; node: TreeNode; deadline: number }>
  | Readonly<{
      kind: 'revealed';
      id: number;
      root: Hex;
      level: number;
      index: number;
      nodes: readonly Hex[];
      leaf: Hex;
    }>
  | Readonly<{ kind: 'closed'; id: number; state: ChallengeState; reason: string }>
  | Readonly<{ kind: 'finalStateRefuted'; round: number; trainer: Hex; challenger: Hex }>
  | Readonly<{ kind: 'judgeHeld'; authority: Hex; step: number }>
  | Readonly<{ kind: 'collected'; account: Hex; amountWei: bigint }>;

/** Levels of a tree that one disclosure covers: at most 128 hashes. */
export const REVEAL_LEVELS = 7;

/** The compiled contract. Throws when the build did not make it. */
export function challengesContract(): Readonly<{
  abi: readonly unknown[];
  creationBytecode: Hex;
  runtimeBytecode: Hex;
}> {
  const path = fileURLToPath(new URL('../challenges.json', import.meta.url));
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  check(size !== undefined, 'Challenges is not compiled: run npm run build');
  check(size <= CONTRACTS_FILE_BYTES, `challenges.json is larger than ${CONTRACTS_FILE_BYTES} bytes`);
  const contract = JSON.parse(readFileSync(path, 'utf8')).contracts?.['Challenges'];
  check(isHex(contract?.runtimeBytecode), 'challenges.json: Challenges has no bytecode');
  return contract;
}

const call = (data: Uint8Array, value = 0n): ContractCall => ({ to: CHALLENGES_ADDRESS, data, value });

export function challengeCall(round: number, trainer: Hex, step: number, bondWei: bigint): ContractCall {
  return call(encodeCall(challengesAbi, 'challenge', [BigInt(round), trainer, step]), bondWei);
}

export function answerCall(id: number, answer: StepAnswer): ContractCall {
  const { program, leaf, siblings, earlier, earlierSiblings, roots } = answer;
  const args = [BigInt(id), program, leaf, siblings, earlier, earlierSiblings, roots] as const;
  return call(encodeCall(challengesAbi, 'answer', args));
}

export function askCall(id: number, answer: FixedAnswer, question: Question): ContractCall {
  const { proof, operand, entries, level, index } = question;
  return call(encodeCall(challengesAbi, 'ask', [BigInt(id), answer, proof, BigInt(operand), entries, level, index]));
}

export function revealCall(id: number, node: TreeNode, { nodes, leaf, siblings }: Disclosure): ContractCall {
  return call(encodeCall(challengesAbi, 'reveal', [BigInt(id), node, nodes, leaf, siblings]));
}

export function proveCall(id: number, answer: FixedAnswer, piece: PieceProof): ContractCall {
  const { proof, selected, entries, schedule, witness } = piece;
  const args = [BigInt(id), answer, proof, selected, entries, schedule, witness] as const;
  return call(encodeCall(challengesAbi, 'prove', args));
}

export function proveInputCall(id: number, answer: FixedAnswer, proof: InputProof): ContractCall {
  return call(encodeCall(challengesAbi, 'proveInput', [BigInt(id), answer, proof]));
}

export function proveFinalStateCall(
  round: number,
  trainer: Hex,
  leaf: TraceLeaf,
  siblings: readonly Hex[],
): ContractCall {
  return call(encodeCall(challengesAbi, 'proveFinalState', [BigInt(round), trainer, leaf, siblings]));
}

/** Ends a challenge whose mover is late; anyone may send it. */
export function settleCall(id: number): ContractCall {
  return call(encodeCall(challengesAbi, 'settle', [BigInt(id)]));
}

/** Pays out bonds given back and shares won. */
export function collectCall(): ContractCall {
  return call(encodeCall(challengesAbi, 'collect', []));
}

const low = (address: Hex): Hex => address.toLowerCase() as Hex;

export async function readChallenge(view: ViewCall, id: number): Promise<ChallengeRecord> {
  const data = encodeCall(challengesAbi, 'challengeAt', [BigInt(id)]);
  const found = decodeReturn(challengesAbi, 'challengeAt', await view(CHALLENGES_ADDRESS, data));
  return {
    id,
    challenger: low(found.challenger),
    trainer: low(found.trainer),
    round: Number(found.round),
    step: found.step,
    state: STATES[found.state] ?? 'none',
    capacity: found.capacity,
    asks: found.asks,
    deadline: Number(found.deadline),
  };
}

export async function readChallengeCount(view: ViewCall): Promise<number> {
  const data = encodeCall(challengesAbi, 'challengeCount', []);
  return Number(decodeReturn(challengesAbi, 'challengeCount', await view(CHALLENGES_ADDRESS, data)));
}

/** Wei an account can collect here. */
export async function readChallengeCredit(view: ViewCall, account: Hex): Promise<bigint> {
  const data = encodeCall(challengesAbi, 'credit', [account]);
  return decodeReturn(challengesAbi, 'credit', await view(CHALLENGES_ADDRESS, data));
}

/** The event a log of Challenges carries; null for any other log. */
export function decodeChallengeLog(log: SystemLog): ChallengeEvent | null {
  if (low(log.address) !== CHALLENGES_ADDRESS) return null;
  const decoded = decodeLog(challengesAbi, log);
  if (decoded === null) return null;
  const { eventName, args } = decoded;
  switch (eventName) {
    case 'Challenged': {
      const { id, round, trainer, challenger, step, deadline } = args;
      const named = { trainer: low(trainer), challenger: low(challenger) };
      return { kind: 'challenged', id: Number(id), round: Number(round), ...named, step, deadline: Number(deadline) };
    }
    case 'Answered': {
      const { id, leaf, stateBefore, roots, deadline } = args;
      return { kind: 'answered', id: Number(id), leaf, stateBefore, roots, deadline: Number(deadline) };
    }
    case 'Asked': {
      const { id, node, deadline } = args;
      return { kind: 'asked', id: Number(id), node, deadline: Number(deadline) };
    }
    case 'Revealed': {
      const { id, root, level, index, nodes, leaf } = args;
      return { kind: 'revealed', id: Number(id), root, level, index, nodes, leaf };
    }
    case 'Closed': {
      const reason = Buffer.from(fromHex(args.reason)).toString('latin1').replaceAll('\0', '');
      return { kind: 'closed', id: Number(args.id), state: STATES[args.state] ?? 'none', reason };
    }
    case 'FinalStateRefuted': {
      const { round, trainer, challenger } = args;
      const named = { trainer: low(trainer), challenger: low(challenger) };
      return { kind: 'finalStateRefuted', round: Number(round), ...named };
    }
    case 'JudgeHeld':
      return { kind: 'judgeHeld', authority: low(args.authority), step: args.step };
    case 'Collected':
      return { kind: 'collected', account: low(args.account), amountWei: args.amountWei };
  }
}

/** A disclosure as bytes become calldata. */
export function disclosureOf(
  nodes: readonly Uint8Array[],
  leaf: Uint8Array,
  siblings: readonly Uint8Array[],
): Disclosure {
  return { nodes: nodes.map((node) => toHex(node)), leaf: toHex(leaf), siblings: siblings.map((hash) => toHex(hash)) };
}
