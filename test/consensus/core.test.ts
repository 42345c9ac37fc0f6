// Owns tests of single rules of the core that neither traces nor the simulator single out.

import test from 'ava';
import type { Effect } from '../../consensus/effect.ts';
import type { Event } from '../../consensus/input.ts';
import type { Vote, VoteType } from '../../consensus/message.ts';
import { futureBuffer } from '../../consensus/future-buffer.ts';
import { MAX_ROUND } from '../../consensus/limits.ts';
import { DEFAULT_TIME_WINDOW, isTimely, proposalTimestamp } from '../../consensus/proposal-time.ts';
import { rotation } from '../../consensus/proposer.ts';
import { isQuorum, isSkip, quorumOf, skipOf } from '../../consensus/quorum.ts';
import { resume } from '../../consensus/replay.ts';
import { type HeightState, heightState, missingDecision, step } from '../../consensus/step.ts';
import { DEFAULT_TIMEOUTS, timeoutMs } from '../../consensus/timeouts.ts';
import { weightedSet } from '../../consensus/validator-set.ts';

const set = weightedSet(['a', 'b', 'c', 'd'].map((name) => [name, 1] as const));
const NONE = new Uint8Array(0);

/** Height 4: a proposes in round 0, b in round 1. */
function fresh(self: string): HeightState {
  return heightState({ height: 4, self, validators: set, proposerOf: rotation(set), timeouts: DEFAULT_TIMEOUTS });
}
function proposal(round: number, value: string, validity: 'valid' | 'untimely' | 'invalid', validRound = -1): Event {
  const proposer = set.addresses[round % 4] as string;
  return { kind: 'proposal', proposal: { height: 4, round, value, validRound, proposer, signature: NONE }, validity };
}
function vote(type: VoteType, voter: string, value: string | null, round = 0): Event {
  const cast: Vote = { type, height: 4, round, value, voter, signature: NONE };
  return { kind: 'vote', vote: cast };
}
function play(core: HeightState, ...events: readonly Event[]): Effect[] {
  return events.flatMap((event) => [...step(core, event).effects]);
}
const ballots = (effects: readonly Effect[]): string[] =>
  effects.flatMap((e) => (e.kind === 'sign-ballot' ? [`${e.ballot.type} ${e.ballot.round} ${e.ballot.value}`] : []));

test('the quorum is 67 percent for every size from 4 to 100, and two quorums share a correct authority', (t) => {
  for (let n = 4; n <= 100; n++) {
    t.is(quorumOf(n), Math.ceil(0.67 * n - 1e-9));
    t.true(isQuorum(quorumOf(n), n) && !isQuorum(quorumOf(n) - 1, n));
    t.true(isSkip(skipOf(n), n) && !isSkip(skipOf(n) - 1, n));
    t.true(2 * quorumOf(n) - n > Math.floor((n - 1) / 3));
  }
});

test('timeouts grow by the same step each round and stop at the cap, also at the last round', (t) => {
  t.is(timeoutMs(DEFAULT_TIMEOUTS, 'propose', 0), 1_000);
  t.is(timeoutMs(DEFAULT_TIMEOUTS, 'propose', 2), 2_000);
  t.is(timeoutMs(DEFAULT_TIMEOUTS, 'precommit', 2), 1_000);
  t.is(timeoutMs(DEFAULT_TIMEOUTS, 'prevote', MAX_ROUND), 30_000);
});

test('a block from the future or from long ago is untimely, and later rounds wait longer', (t) => {
  const stamp = 1_000;
  t.true(isTimely(stamp, 999_500, 0, DEFAULT_TIME_WINDOW));
  t.false(isTimely(stamp, 999_499, 0, DEFAULT_TIME_WINDOW));
  t.true(isTimely(stamp, 1_003_500, 0, DEFAULT_TIME_WINDOW));
  t.false(isTimely(stamp, 1_003_501, 0, DEFAULT_TIME_WINDOW));
  t.true(isTimely(stamp, 1_005_000, 2, DEFAULT_TIME_WINDOW));
  t.is(proposalTimestamp(7, 6_000), 8);
  t.is(proposalTimestamp(7, 12_999), 12);
});

test('an untimely block gets a nil prevote but is decided when the others precommit it', (t) => {
  const core = fresh('d');
  const effects = play(core, { kind: 'start' }, proposal(0, 'x', 'untimely'));
  t.deepEqual(ballots(effects), ['prevote 0 null']);
  const decided = play(core, ...['a', 'b', 'c'].map((who) => vote('precommit', who, 'x')));
  t.is(decided.find((e) => e.kind === 'decide')?.kind, 'decide');
});

test('a quorum of precommits for an unknown block is told, so that the block is fetched', (t) => {
  const core = fresh('d');
  play(core, { kind: 'start' }, ...['a', 'b', 'c'].map((who) => vote('precommit', who, 'x')));
  t.deepEqual(missingDecision(core), { round: 0, value: 'x' });
});

test('prevotes that were complete before the prevote step began still start its timer or its nil precommit', (t) => {
  const mixed = fresh('d');
  play(mixed, { kind: 'start' }, vote('prevote', 'a', 'x'), vote('prevote', 'b', null), vote('prevote', 'c', 'y'));
  const late = play(mixed, proposal(0, 'x', 'valid'));
  t.true(late.some((e) => e.kind === 'start-timer' && e.timer === 'prevote'));
  const nil = fresh('d');
  play(nil, { kind: 'start' }, ...['a', 'b', 'c'].map((who) => vote('prevote', who, null)));
  t.deepEqual(ballots(play(nil, proposal(0, 'x', 'valid'))), ['prevote 0 x', 'precommit 0 null']);
});

test('a proposer that names two blocks leaves evidence, and a third block is not looked at', (t) => {
  const core = fresh('d');
  const effects = play(core, { kind: 'start' }, ...['x', 'y', 'z'].map((value) => proposal(0, value, 'valid')));
  t.is(effects.filter((e) => e.kind === 'proposal-evidence').length, 1);
  t.is(core.driver.proposals.size, 2);
  t.deepEqual(ballots(effects), ['prevote 0 x']);
});

test('a voter that contradicts itself is counted once and leaves evidence once', (t) => {
  const core = fresh('d');
  const effects = play(
    core,
    { kind: 'start' },
    ...['x', 'y', 'z', null, 'x'].map((value) => vote('prevote', 'a', value)),
  );
  t.is(effects.filter((e) => e.kind === 'vote-evidence').length, 1);
  t.is(core.driver.keeper.rounds.get(0)?.prevotes.sum, 1);
});

test('strangers, other heights and rounds beyond the limit change nothing', (t) => {
  const core = fresh('d');
  const effects = play(
    core,
    { kind: 'start' },
    vote('prevote', 'stranger', 'x'),
    vote('prevote', 'a', 'x', MAX_ROUND + 1),
    { kind: 'vote', vote: { type: 'prevote', height: 5, round: 0, value: 'x', voter: 'a', signature: NONE } },
  );
  t.is(effects.length, 1);
  t.is(core.driver.keeper.rounds.size, 0);
});

test('replaying the events of a height gives its state back, and only what was not done yet is left to do', (t) => {
  const events: Event[] = [
    proposal(0, 'x', 'valid'),
    vote('prevote', 'd', 'x'),
    vote('prevote', 'a', 'x'),
    vote('prevote', 'b', 'x'),
    vote('precommit', 'd', 'x'),
    vote('precommit', 'a', null),
    vote('precommit', 'b', null),
    { kind: 'timeout', timer: 'precommit', round: 0 },
  ];
  const core = fresh('d');
  play(core, { kind: 'start' }, ...events);
  const replayed = fresh('d');
  const left = resume(replayed, events);
  t.deepEqual(replayed.driver.rules, core.driver.rules);
  t.is(replayed.driver.rules.lockedValue, 'x');
  t.deepEqual(
    left.map((e) => e.kind),
    ['start-timer'],
  );
  const cut = fresh('d');
  t.deepEqual(
    ballots(resume(cut, events.slice(0, 4))),
    ['precommit 0 x'],
    'a signature that had not left is made again',
  );
});

test('messages for the next height are held within a share for each sender', (t) => {
  const buffer = futureBuffer<string>(() => 4, 400);
  const held = (sender: string, key: string, height = 2): boolean =>
    buffer.add({ sender, key, height, bytes: 40, message: key });
  t.deepEqual(
    ['1', '2', '3'].map((key) => held('a', key)),
    [true, true, false],
  );
  t.true(held('b', '4'));
  t.false(held('b', '4'), 'known');
  t.true(held('b', '5', 3));
  t.deepEqual(buffer.take(2), ['1', '2', '4']);
  t.is(buffer.bytes(), 40);
  t.true(held('a', '3'));
});
