// Owns that a long campaign keeps what it has done over stops, and never adds up what different code found.

import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { codeHash, piecesOf, readDone, seedsOfKinds } from '../../bench/simulator-campaign.ts';
import { runPieces } from '../../bench/simulator-pool.ts';
import { CAMPAIGNS, type CampaignResult, runCampaign } from './campaigns.ts';

const plan = { code: 'a', seeds: 20_000, first: 7 };

test('the pieces of a campaign are all its seeds of every kind, each once', (t) => {
  const wanted = seedsOfKinds(plan.seeds);
  t.deepEqual([...wanted.keys()].sort(), [...CAMPAIGNS].sort());
  const seen = new Map([...wanted.keys()].map((kind) => [kind, new Set<number>()]));
  for (const { campaign, first, count } of piecesOf(plan)) {
    for (let seed = first; seed < first + count; seed++) {
      t.false(seen.get(campaign)?.has(seed));
      seen.get(campaign)?.add(seed);
    }
  }
  let seeds = 0;
  for (const [kind, of] of seen) {
    t.is(of.size, wanted.get(kind) ?? -1);
    t.true(of.size > 0 && Math.min(...of) === plan.first);
    seeds += of.size;
  }
  t.is(seeds, plan.seeds);
});

test('a campaign that was stopped, even in the middle of a line, goes on with the pieces it finished', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pol-campaign-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'deep', 'state.jsonl');
  t.is(readDone(file, plan).size, 0);
  const piece = { campaign: 'twins', first: 7, count: 2 } as const;
  const line = JSON.stringify({ piece, result: runCampaign(piece.campaign, piece.first, piece.count) });
  appendFileSync(file, `${line}\n`);
  appendFileSync(file, line.slice(0, 40));
  const kept = [...readDone(file, plan).values()];
  t.is(JSON.stringify(kept), `[${line}]`);
  appendFileSync(file, `${line.replace('"first":7', '"first":9')}\n`); // starts on a line of its own
  t.is(readDone(file, plan).size, 2);
});

test('results of other code, other seeds or another first seed are not added up', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pol-campaign-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'state.jsonl');
  readDone(file, plan);
  for (const other of [{ code: 'b' }, { seeds: 3 }, { first: 8 }]) {
    t.throws(() => readDone(file, { ...plan, ...other }), { message: /other code/ });
  }
  t.is(readFileSync(file, 'utf8'), `${JSON.stringify(plan)}\n`);
});

test('the hash of the code changes with any module that is imported, however deep, and with nothing else', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pol-campaign-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  write('a.js', "import {\n  b,\n} from './b.js';\n");
  write('b.js', "export * from './c.js';\n");
  write('c.js', 'export const b = 1;\n');
  write('d.js', 'unused');
  const hash = (): string => codeHash(join(folder, 'a.js'));
  const before = hash();
  write('d.js', 'changed');
  t.is(hash(), before);
  write('c.js', 'export const b = 2;\n');
  t.not(hash(), before);
});

test('pieces on threads find what one thread finds', async (t) => {
  const pieces = [0, 1, 2].map((first) => ({ campaign: 'twins', first, count: 1 }) as const);
  const found = new Map<number, CampaignResult>();
  await runPieces(pieces, 2, ({ first }, result) => found.set(first, result));
  for (const { first } of pieces) t.deepEqual(found.get(first), runCampaign('twins', first, 1));
});
