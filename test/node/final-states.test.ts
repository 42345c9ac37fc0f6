// Owns the files of final states and the way of states between peers: what is kept and forgotten, who is believed.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Hex, concat, fromHex, u32be, u64be } from '../../base/bytes.ts';
import { present } from '../../base/check.ts';
import { fault, success } from '../../base/fault.ts';
import { stateRoot } from '../../base/merkle.ts';
import type { PeerNode } from '../../net/api.ts';
import { writeFileDurably } from '../../node/files.ts';
import { systemClock } from '../../node/clock.ts';
import { finalStateFile, forgetFinalStates, heldFinalState } from '../../node/final-states.ts';
import { fetchStates, roundFolder, serveStates } from '../../node/state-exchange.ts';
import { stateFile } from '../../trainer/round-store.ts';

const OWN: Hex = `0x${'11'.repeat(20)}`;
const OTHER: Hex = `0x${'22'.repeat(20)}`;
const STEPS = 4;
const state = Uint8Array.from({ length: 40_000 }, (_, i) => i % 251);

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'final-states-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

type Handler = (request: Uint8Array) => Promise<unknown>;

/** A peer node of which only requests are used: `answers` are what its peers say, in turn. */
function peerNode(answers: readonly (Uint8Array | null)[]): Readonly<{ node: PeerNode; handler: () => Handler }> {
  let handle: Handler | null = null;
  const node = {
    handle: (_name: string, _limits: unknown, handler: Handler) => {
      handle = handler;
    },
    peers: () => answers.map((_, peer) => ({ peer: String(peer), status: { role: 'authority' } })),
    request: async (peer: string) => {
      const answer = answers[Number(peer)] ?? null;
      return answer === null ? fault('state-unknown', 'not here') : success(answer);
    },
  } as unknown as PeerNode;
  return { node, handler: () => present(handle, 'handler') };
}

test('a final state counts only with its root; old rounds are forgotten, the newest and the small stay', (t) => {
  const dataDir = folder(t);
  const root = stateRoot(state);
  for (let round = 0; round < 80; round++) writeFileDurably(finalStateFile(dataDir, round, OTHER), state);
  t.deepEqual(heldFinalState(dataDir, 79, OTHER, root), state);
  t.is(heldFinalState(dataDir, 79, OTHER, stateRoot(state.subarray(1))), null);
  t.is(heldFinalState(dataDir, 79, OWN, root), null);
  t.is(heldFinalState(dataDir, -1, OTHER, root), null);
  forgetFinalStates(dataDir, 80);
  const kept = Array.from({ length: 80 }, (_, round) => existsSync(finalStateFile(dataDir, round, OTHER)));
  t.deepEqual([kept.indexOf(true), kept.filter(Boolean).length], [15, 65]);
  forgetFinalStates(folder(t), 5);
});

test('a node serves its own states, and any final state it holds; nothing else', async (t) => {
  const dataDir = folder(t);
  writeFileDurably(stateFile(roundFolder(dataDir, 3), 1), state);
  writeFileDurably(finalStateFile(dataDir, 3, OTHER), state.subarray(4));
  const { node, handler } = peerNode([]);
  serveStates(node, { dataDir, trainer: OWN, steps: STEPS });
  const ask = (trainer: Hex, round: number, step: number) =>
    handler()(concat(fromHex(trainer), u64be(round), u32be(step)));
  t.deepEqual(await ask(OWN, 3, 2), state);
  t.deepEqual(await ask(OTHER, 3, STEPS), state.slice(4));
  for (const [trainer, round, step] of [
    [OTHER, 3, 2],
    [OWN, 3, STEPS],
    [OTHER, 2, STEPS],
    [OTHER, 3, 2 ** 32 - 1],
  ] as const)
    t.like(await ask(trainer, round, step), { ok: false, code: 'state-unknown' });
  t.like(await handler()(new Uint8Array(31)), { ok: false, code: 'state-request' });
  t.like(await ask(OTHER, 2 ** 53 - 1, STEPS), { ok: false });
});

test('a wrong answer does not hide the right one behind it, and what is held here comes first', async (t) => {
  const dataDir = folder(t);
  const wrong = state.with(7, 0xff);
  const { node } = peerNode([null, wrong, state]);
  const shelf = { dataDir, trainer: OWN, steps: STEPS };
  const all = async (): Promise<Uint8Array[]> => {
    const seen: Uint8Array[] = [];
    for await (const bytes of fetchStates(node, shelf, systemClock, OTHER, 3, STEPS)) seen.push(bytes);
    return seen;
  };
  t.deepEqual(await all(), [wrong, state]);
  writeFileDurably(finalStateFile(dataDir, 3, OTHER), state);
  t.deepEqual(await all(), [state, wrong, state]);
});
