// Owns tests of what must survive a crash: the sign state and the write-ahead log, on real files.

import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { fromHex } from '../../base/bytes.ts';
import { prng } from '../../base/prng.ts';
import { type LogEntry, openConsensusLog } from '../../node/consensus-log.ts';
import { type SignGuard, type SignPlace, comparePlaces, openSignGuard } from '../../node/sign-guard.ts';
import { hash } from './authorities.ts';

const ID = fromHex(hash('network and key'));
const place = (height: number, round: number, step: 1 | 2 | 3): SignPlace => ({ height, round, step });
const digest = (name: string): Uint8Array => fromHex(hash(name));

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sign-guard-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function opened(path: string, mayCreate = false): SignGuard {
  const guard = openSignGuard({ path, domainId: ID, mayCreate });
  if (!guard.ok) throw new Error(guard.message);
  return guard.value;
}

let counter = 0;
const signer = (): Uint8Array => new Uint8Array(65).fill(++counter % 256);

test('places only ever move forward, an equal statement gets its signature back, a contradiction is refused', (t) => {
  const path = join(folder(t), 'sign.bin');
  const guard = opened(path, true);
  const first = guard.sign(place(5, 0, 2), digest('a'), signer);
  t.true(first.ok);
  t.deepEqual(guard.sign(place(5, 0, 2), digest('a'), signer), first);
  for (const [where, what] of [
    [place(5, 0, 2), 'b'],
    [place(5, 0, 1), 'a'],
    [place(4, 9, 3), 'a'],
  ] as const) {
    const refused = guard.sign(where, digest(what), signer);
    t.true(!refused.ok && refused.code === 'sign-guard/refused');
  }
  t.true(guard.sign(place(5, 0, 3), digest('b'), signer).ok);
  t.true(guard.sign(place(5, 1, 1), digest('b'), signer).ok);
  guard.close();
  const again = opened(path);
  t.deepEqual(again.last(), place(5, 1, 1));
  t.false(again.sign(place(5, 1, 1), digest('c'), signer).ok, 'also after a restart');
  again.close();
});

test('a missing file on a running chain, a foreign file and a broken head are refused', (t) => {
  const path = join(folder(t), 'sign.bin');
  const missing = openSignGuard({ path, domainId: ID, mayCreate: false });
  t.true(!missing.ok && missing.code === 'sign-guard/missing');
  opened(path, true).close();
  const foreign = openSignGuard({ path, domainId: digest('other'), mayCreate: true });
  t.true(!foreign.ok && foreign.code === 'sign-guard/foreign');
  writeFileSync(path, new Uint8Array(256));
  const broken = openSignGuard({ path, domainId: ID, mayCreate: true });
  t.true(!broken.ok && broken.code === 'sign-guard/damaged');
});

test('whatever length a crash leaves the file at, no signed place is forgotten and a torn one may be signed again', (t) => {
  const path = join(folder(t), 'sign.bin');
  const guard = opened(path, true);
  for (let height = 1; height <= 3; height++) guard.sign(place(height, 0, 2), digest('a'), signer);
  guard.close();
  const whole = readFileSync(path);
  const complete = statSync(path).size - 256;
  for (let length = complete; length < whole.length; length += 37) {
    writeFileSync(path, whole);
    truncateSync(path, length);
    const torn = opened(path);
    t.deepEqual(torn.last(), place(2, 0, 2), `cut to ${length}`);
    t.true(torn.sign(place(3, 0, 2), digest('b'), signer).ok);
    torn.close();
  }
  writeFileSync(path, whole);
  appendFileSync(path, new Uint8Array(100));
  t.deepEqual(opened(path).last(), place(3, 0, 2));
});

test('one flipped bit anywhere never loses a place: the other copy of the record stands in', (t) => {
  const path = join(folder(t), 'sign.bin');
  const guard = opened(path, true);
  for (let height = 1; height <= 4; height++) guard.sign(place(height, 0, 3), digest('a'), signer);
  guard.close();
  const whole = readFileSync(path);
  const random = prng('bit rot');
  for (let run = 0; run < 300; run++) {
    const rotten = new Uint8Array(whole);
    const at = random.below(rotten.length);
    rotten[at] = (rotten[at] as number) ^ (1 << random.below(8));
    writeFileSync(path, rotten);
    const reopened = openSignGuard({ path, domainId: ID, mayCreate: false });
    t.true(reopened.ok && comparePlaces(reopened.value.last() ?? place(0, 0, 1), place(4, 0, 3)) === 0, `byte ${at}`);
    if (reopened.ok) reopened.value.close();
  }
  const ruined = new Uint8Array(whole);
  ruined.fill(0xff, 256, 512);
  writeFileSync(path, ruined);
  t.false(openSignGuard({ path, domainId: ID, mayCreate: true }).ok, 'a record lost in the middle is refused');
});

test('a long life does not grow the file without bound, and rewriting it forgets nothing', (t) => {
  const path = join(folder(t), 'sign.bin');
  const guard = openSignGuard({ path, domainId: ID, mayCreate: true, compactRecords: 10 });
  if (!guard.ok) return t.fail();
  for (let height = 1; height <= 95; height++) {
    t.true(guard.value.sign(place(height, 0, 2), digest('a'), signer).ok);
    t.true(statSync(path).size <= 11 * 256);
    t.false(guard.value.sign(place(height, 0, 2), digest('b'), signer).ok);
  }
  guard.value.close();
  const again = opened(path);
  t.deepEqual(again.last(), place(95, 0, 2));
  again.close();
});

const entries: readonly LogEntry[] = [
  { kind: 'message', bytes: Uint8Array.of(1, 2, 3), validity: 'untimely' },
  { kind: 'timeout', timer: 'prevote', round: 3 },
  { kind: 'built', round: 2, value: hash('v'), block: new Uint8Array(500).fill(3) },
];

test('the log gives back what was appended, whole entries only, wherever a crash cuts it', (t) => {
  const path = join(folder(t), 'wal');
  const fresh = openConsensusLog(path);
  if (!fresh.ok) return t.fail();
  fresh.value.log.reset(12);
  const ends: number[] = [];
  for (const entry of entries) {
    fresh.value.log.append(entry);
    ends.push(statSync(path).size);
  }
  fresh.value.log.sync();
  fresh.value.log.close();
  const whole = readFileSync(path);
  for (let length = 0; length <= whole.length; length += 11) {
    writeFileSync(path, whole.subarray(0, length));
    const reopened = openConsensusLog(path);
    if (!reopened.ok) return t.fail();
    t.deepEqual(reopened.value.entries, entries.slice(0, ends.filter((end) => end <= length).length));
    t.false(reopened.value.isDamaged);
    if (length >= 20) t.is(reopened.value.log.height(), 12);
    reopened.value.log.close();
  }
  const rotten = new Uint8Array(whole);
  rotten[30] = (rotten[30] as number) ^ 1;
  writeFileSync(path, rotten);
  const damaged = openConsensusLog(path);
  t.true(damaged.ok && damaged.value.isDamaged && damaged.value.entries.length === 0, 'damage before the end is told');
});

test('a height that fills the log is told to be incomplete at every opening, until the next height', (t) => {
  const path = join(folder(t), 'wal');
  const open = () => openConsensusLog(path, undefined, 700);
  const fresh = open();
  if (!fresh.ok) return t.fail();
  const { log } = fresh.value;
  log.reset(12);
  const kept = entries.filter((entry) => log.append(entry));
  t.deepEqual(kept, entries);
  t.false(log.append(entries[2] as LogEntry), 'no room');
  t.false(log.append(entries[0] as LogEntry), 'nor for a smaller one: the order would be lost');
  log.sync();
  log.close();
  for (let opening = 0; opening < 3; opening++) {
    const again = open();
    if (!again.ok) return t.fail();
    t.true(again.value.isDamaged, `opening ${opening}`);
    t.deepEqual(again.value.entries, entries);
    t.false(again.value.log.append(entries[0] as LogEntry));
    if (opening === 2) again.value.log.reset(13);
    again.value.log.close();
  }
  const next = open();
  if (!next.ok) return t.fail();
  t.false(next.value.isDamaged);
  for (const entry of entries) t.true(next.value.log.append(entry));
  const rotten = new Uint8Array(readFileSync(path));
  next.value.log.close();
  writeFileSync(path, rotten.fill(9, 24, 26));
  for (let opening = 0; opening < 3; opening++) {
    const again = open();
    if (!again.ok) return t.fail();
    t.true(again.value.isDamaged, `damage stays known at opening ${opening}`);
    again.value.log.close();
  }
});

test('damage is made good at each start, so that bits that rot one by one never lose a place', (t) => {
  const path = join(folder(t), 'sign.bin');
  const guard = opened(path, true);
  guard.sign(place(1, 0, 2), digest('a'), signer);
  guard.close();
  const random = prng('slow rot');
  for (let start = 0; start < 60; start++) {
    const bytes = readFileSync(path);
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    writeFileSync(path, bytes);
    const again = opened(path);
    t.deepEqual(again.last(), place(1, 0, 2), `start ${start}`);
    again.close();
  }
});
