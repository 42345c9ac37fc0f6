// Owns asking several peers for one thing. The next is asked when one fails or lets the node wait: a silent peer costs seconds, not
// the time a request may take, and whoever fills the places before an honest one keeps nothing from anybody.

import { type Result, fault } from '../base/fault.ts';
import type { PeerKey } from '../net/api.ts';
import type { Clock } from './clock.ts';
import { ASKED_ABREAST, ASK_NEXT_MS } from './limits.ts';

export type PeerAnswer = Readonly<{ peer: PeerKey; answer: Result<Uint8Array> }>;

/** The answers of `peers` as they come. Those asked first are the first of the list; whoever stops reading stops the asking. */
export async function* answersOf(
  peers: readonly PeerKey[],
  ask: (peer: PeerKey) => Promise<Result<Uint8Array>>,
  clock: Pick<Clock, 'after'>,
): AsyncGenerator<PeerAnswer, void, undefined> {
  const open = new Map<PeerKey, Promise<PeerAnswer>>();
  const asked = async (peer: PeerKey): Promise<PeerAnswer> => {
    const answer = await ask(peer).catch((error: unknown) => fault('request-failed', String(error)));
    return { peer, answer };
  };
  for (let next = 0; next < peers.length || open.size > 0; ) {
    const peer = peers[next];
    if (peer !== undefined && open.size < ASKED_ABREAST) {
      open.set(peer, asked(peer));
      next++;
    }
    const mayAsk = next < peers.length && open.size < ASKED_ABREAST;
    const come = await firstOf([...open.values()], mayAsk ? ASK_NEXT_MS : null, clock);
    if (come === null) continue;
    open.delete(come.peer);
    yield come;
  }
}

/** The first answer, or null when none has come after `ms`. */
async function firstOf(
  answers: readonly Promise<PeerAnswer>[],
  ms: number | null,
  clock: Pick<Clock, 'after'>,
): Promise<PeerAnswer | null> {
  if (ms === null) return Promise.race(answers);
  let cancel = (): void => {};
  const late = new Promise<null>((resolve) => {
    const timer = clock.after(ms, () => resolve(null));
    cancel = () => timer.cancel();
  });
  try {
    return await Promise.race([...answers, late]);
  } finally {
    cancel();
  }
}
