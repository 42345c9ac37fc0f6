// Owns how auditors get the start state of a step: asked of the peers, served by the trainer whose round it is, from its files.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Hex, concat, fromHex, toHex, u32be, u64be } from '../base/bytes.ts';
import { fault } from '../base/fault.ts';
import type { PeerNode, ProtocolLimits } from '../net/api.ts';
import { residualFile, stateFile } from '../trainer/round-store.ts';
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

/**
 * Serves the states of this trainer's rounds. Request: trainer 20 bytes, round u64, step u32; the state before that step, or the
 * residual after the round.
 */
export function serveStates(peerNode: PeerNode, dataDir: string, trainer: Hex): void {
  peerNode.handle(PROTOCOL, LIMITS, async (request) => {
    if (request.length !== REQUEST_BYTES)
      return fault('state-request', `a request is ${REQUEST_BYTES} bytes: trainer 20, round u64, step u32`);
    if (toHex(request.subarray(0, 20)) !== trainer) return fault('state-unknown', "another trainer's round");
    const view = new DataView(request.buffer, request.byteOffset, request.length);
    const [round, step] = [view.getBigUint64(20), view.getUint32(28)];
    if (round > BigInt(Number.MAX_SAFE_INTEGER)) return fault('state-request', 'round out of range');
    const folder = roundFolder(dataDir, Number(round));
    const file = step === RESIDUAL_AFTER ? residualFile(folder) : stateFile(folder, step - 1);
    return existsSync(file) ? new Uint8Array(await readFile(file)) : fault('state-unknown', 'that state is not kept');
  });
}

/** The state before a step as some peer serves it, or null. Not yet checked: the auditor compares its root. */
export async function fetchState(
  peerNode: PeerNode,
  trainer: Hex,
  round: number,
  step: number,
): Promise<Uint8Array | null> {
  const request = concat(fromHex(trainer), u64be(round), u32be(step));
  const trainersFirst = [...peerNode.peers()].sort(
    (a, b) => Number(b.status.role === 'trainer') - Number(a.status.role === 'trainer'),
  );
  for (const { peer } of trainersFirst.slice(0, FETCH_PEERS)) {
    const answer = await peerNode.request(peer, PROTOCOL, request, { timeoutMs: REQUEST_MS, maxBytes: STATE_BYTES });
    if (answer.ok) return answer.value;
  }
  return null;
}
