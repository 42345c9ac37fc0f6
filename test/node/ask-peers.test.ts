// Owns tests of asking several peers for one thing: silent ones cost the wait for the next, and never more than a few are asked
// at a time.

import test from 'ava';
import { type Result, fault, success } from '../../base/fault.ts';
import { answersOf } from '../../node/ask-peers.ts';
import { systemClock } from '../../node/clock.ts';
import { ASKED_ABREAST, ASK_NEXT_MS } from '../../node/limits.ts';

/** A clock a hundred times as fast. */
const HASTE = 100;
const clock = { after: (ms: number, action: () => void) => systemClock.after(ms / HASTE, action) };
const GOOD = success(Uint8Array.of(7));

type Peers = Readonly<Record<string, 'good' | 'refuses' | 'throws' | number>>;

/** Asks peers that answer so: at once, or not before so many milliseconds. */
function field(peers: Peers) {
  const asked: string[] = [];
  let open = 0;
  let most = 0;
  const ask = async (peer: string): Promise<Result<Uint8Array>> => {
    asked.push(peer);
    most = Math.max(most, ++open);
    const kind = peers[peer];
    if (typeof kind === 'number') await systemClock.sleep(kind / HASTE);
    open--;
    if (kind === 'throws') throw new Error('the stream broke');
    return kind === 'good' ? GOOD : fault('request-timeout', 'no answer');
  };
  return { asked, most: () => most, answers: answersOf(Object.keys(peers), ask, clock) };
}

test('the first good answer ends the asking', async (t) => {
  const { asked, answers } = field({ a: 'refuses', b: 'throws', c: 'good', d: 'good' });
  const seen: string[] = [];
  for await (const { peer, answer } of answers) {
    seen.push(`${peer} ${answer.ok}`);
    if (answer.ok) break;
  }
  t.deepEqual(seen, ['a false', 'b false', 'c true']);
  t.deepEqual(asked, ['a', 'b', 'c']);
});

test('silent peers before the honest one cost their wait, not their time-outs; few are asked at a time', async (t) => {
  const silent = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`silent ${i}`, 30_000]));
  const { asked, most, answers } = field({ ...silent, honest: 'good' });
  const begun = systemClock.monotonic();
  for await (const { answer } of answers) if (answer.ok) break;
  const tookMs = (systemClock.monotonic() - begun) * HASTE;
  t.is(asked.at(-1), 'honest');
  t.true(most() <= ASKED_ABREAST, `${most()} at a time`);
  t.true(tookMs < 100_000, `${tookMs.toFixed(0)} ms; one after the other would be 180,000`);
  t.true(tookMs > 2 * ASK_NEXT_MS);
});

test('an answer of one that was waited for still comes, and all are read to the end', async (t) => {
  const { answers } = field({ slow: 2.5 * ASK_NEXT_MS, quick: 'good', bad: 'refuses' });
  const seen: string[] = [];
  for await (const { peer } of answers) seen.push(peer);
  t.deepEqual(seen.sort(), ['bad', 'quick', 'slow']);
  const { answers: none } = field({});
  t.true((await none.next()).done);
});
