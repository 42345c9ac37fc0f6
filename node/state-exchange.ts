// Owns how auditors get the start state of a step: asked of the peers, served by the trainer whose round it is, from its files.
// Final states of others' rounds are served by whoever keeps them (rule V-5).

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Hex, concat, fromHex, toHex, u32be, u64be } from '../base/bytes.ts';
import { type Result, fault } from '../base/fault.ts';
import type { PeerKey, PeerNode, ProtocolLimits } from '../net/api.ts';
import { residualFile, stateFile } from '../trainer/round-store.ts';
import { answersOf } from './ask-peers.ts';
import type { Clock } from './clock.ts';
import { finalStateFile } from './final-states.ts';
import { FETCH_PEERS, STATE_BYTES } from './limits.ts';

const PROTOCOL = 'step-state';
const REQUEST_MS = 30_000;
const REQUEST_BYTES = 32;

const LIMITS: ProtocolLimits = {
  maxRequestBytes: REQUEST_BYTES,
  maxResponseBytes: STATE_BYTES,
  requestsPerSecond: 20,
  burst: 100,
  concurrentPerPeer: 2,
  timeoutMs: REQUEST_MS,
};

/** Folder of a round's step states. */
export function roundFolder(dataDir: string, round: number): string {
  return join(dataDir, 'rounds', String(round));
}

/** In place of a step: the residual that the round left. No state lies before step 0 but the base. */
export const RESIDUAL_AFTER = 0;

/** What a node has of states: those of its own rounds, and final states of any trainer's. */
export type StateShelf = Readonly<{ dataDir: string; trainer: Hex; steps: number }>;

/** File of the state before a step (`steps`: the final one) or of the residual after a round, when it is here. */
function heldFile({ dataDir, trainer, steps }: StateShelf, owner: Hex, round: number, step: number): string | null {
  const folder = roundFolder(dataDir, round);
  const own = step === RESIDUAL_AFTER ? residualFile(folder) : stateFile(folder, step - 1);
  const files = [
    ...(owner === trainer ? [own] : []),
    ...(step === steps ? [finalStateFile(dataDir, round, owner)] : []),
  ];
  return files.find((path) => existsSync(path)) ?? null;
}

/** Serves what is here. Request: trainer 20 bytes, round u64, step u32; the state before that step, or the residual. */
export function serveStates(peerNode: PeerNode, shelf: StateShelf): void {
  peerNode.handle(PROTOCOL, LIMITS, async (request) => {
    if (request.length !== REQUEST_BYTES)
      return fault('state-request', `a request is ${REQUEST_BYTES} bytes: trainer 20, round u64, step u32`);
    const owner = toHex(request.subarray(0, 20));
    const view = new DataView(request.buffer, request.byteOffset, request.length);
    const [round, step] = [view.getBigUint64(20), view.getUint32(28)];
    if (round > BigInt(Number.MAX_SAFE_INTEGER)) return fault('state-request', 'round out of range');
    const file = heldFile(shelf, owner, Number(round), step);
    return file === null ? fault('state-unknown', 'that state is not kept') : new Uint8Array(await readFile(file));
  });
}

/** States as they are had, one after the other. Not yet checked: a wrong one must not hide the right one behind it. */
export type StateAnswers = AsyncGenerator<Uint8Array, void, undefined>;
export type StateFetch = (trainer: Hex, round: number, step: number) => StateAnswers;

/** Whom to ask for states of a trainer: its own node, authorities (they keep final states), nodes that say they train, others. */
function holders(peerNode: PeerNode, trainer: Hex): PeerKey[] {
  const peers = peerNode.peers();
  const own = peers.filter(({ account }) => account === trainer);
  const rest = peers.filter(({ account }) => account !== trainer);
  const authorities = rest.filter(({ authority }) => authority !== null).slice(0, FETCH_PEERS);
  const strangers = rest.filter(({ authority }) => authority === null);
  const trainers = strangers.filter(({ status }) => status.role === 'trainer').slice(0, FETCH_PEERS);
  const others = strangers.filter(({ status }) => status.role !== 'trainer').slice(0, FETCH_PEERS);
  return [...own.slice(0, FETCH_PEERS), ...authorities, ...trainers, ...others].map(({ peer }) => peer);
}

/** The state on this disk first, then what peers serve. */
export async function* fetchStates(
  peerNode: PeerNode,
  shelf: StateShelf,
  clock: Clock,
  trainer: Hex,
  round: number,
  step: number,
): StateAnswers {
  const file = heldFile(shelf, trainer, round, step);
  if (file !== null) yield new Uint8Array(await readFile(file));
  const request = concat(fromHex(trainer), u64be(round), u32be(step));
  const ask = (peer: PeerKey): Promise<Result<Uint8Array>> =>
    peerNode.request(peer, PROTOCOL, request, { timeoutMs: REQUEST_MS, maxBytes: STATE_BYTES });
  for await (const { answer } of answersOf(holders(peerNode, trainer), ask, clock)) {
    if (answer.ok) yield answer.value;
  }
}
