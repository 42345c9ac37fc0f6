// Owns `npm run bench -- simulator campaign seeds=1000000 [first=0] [threads=2]`: a long run of simulated worlds in pieces. Each
// finished piece is a line of .cache/simulator-campaign.jsonl, so a run that was stopped goes on where it was. Results of other
// code are refused: the file opens with a hash of every compiled module that runs.

import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { check } from '../base/check.ts';
import type { Campaign, CampaignResult } from '../test/simulator/campaigns.ts';
import { type Piece, failureLine, runPieces } from './simulator-pool.ts';

const BUILT = fileURLToPath(new URL('..', import.meta.url));
const STATE = join(BUILT, '..', '.cache', 'simulator-campaign.jsonl');
const SAID_EVERY_MS = 60_000;

/** Of 10,000 seeds, how many are which kind of world; twins take what rounding leaves. */
const SHARES: readonly (readonly [Campaign, number])[] = [
  ['mixed', 1_200],
  ['aimed', 1_200],
  ['sweep', 5],
  ['crash', 5],
  ['full', 5],
  ['rot', 5],
  ['large', 5],
  ['twins', 7_575],
];
const SHARES_OF = 10_000;
/** Seeds of a piece: some seconds of work, which is what a stop loses. */
const PIECE_SEEDS = { mixed: 200, twins: 1_000, aimed: 500, sweep: 50, crash: 25, full: 25, rot: 25, large: 1 };

type Plan = Readonly<{ code: string; seeds: number; first: number }>;
type Line = Readonly<{ piece: Piece; result: CampaignResult }>;
type Share = Readonly<{ seeds: number; done: number }>;

/** Hash of the compiled modules that a campaign loads: `file` and all it imports from this tree. */
export function codeHash(file: string): string {
  const found = new Map<string, string>();
  const visit = (path: string): void => {
    if (found.has(path)) return;
    const text = readFileSync(path, 'utf8');
    found.set(path, text);
    for (const [, target = ''] of text.matchAll(/^(?:import|export)\b[^;]*?from '(\.[^']+)';$/gm)) {
      visit(resolve(dirname(path), target));
    }
  };
  visit(file);
  const hash = createHash('sha256');
  for (const path of [...found.keys()].sort()) hash.update(`${relative(BUILT, path)}\0${found.get(path)}\0`);
  return hash.digest('hex');
}

/** Seeds of each kind. */
export function seedsOfKinds(seeds: number): Map<Campaign, number> {
  const counts = new Map(SHARES.map(([kind, share]) => [kind, Math.floor((seeds * share) / SHARES_OF)]));
  const rest = seeds - [...counts.values()].reduce((sum, count) => sum + count, 0);
  return counts.set('twins', (counts.get('twins') ?? 0) + rest);
}

/** All pieces, kinds mixed evenly: a campaign that is stopped early has its share of each. */
export function piecesOf({ seeds, first }: Plan): Piece[] {
  const placed: (readonly [place: number, piece: Piece])[] = [];
  for (const [campaign, count] of seedsOfKinds(seeds)) {
    const size = PIECE_SEEDS[campaign];
    for (let from = 0; from < count; from += size) {
      const piece = { campaign, first: first + from, count: Math.min(size, count - from) };
      placed.push([(from + size / 2) / count, piece]);
    }
  }
  return placed.sort(([a], [b]) => a - b).map(([, piece]) => piece);
}

const nameOf = ({ campaign, first, count }: Piece): string => `${campaign}/${first}/${count}`;

/** Finished pieces of this plan. Throws where the file is of other code or another plan. */
export function readDone(path: string, plan: Plan): Map<string, Line> {
  const done = new Map<string, Line>();
  if (!existsSync(path)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${JSON.stringify(plan)}\n`);
    return done;
  }
  const [head = '', ...lines] = readFileSync(path, 'utf8').split('\n');
  check(
    head === JSON.stringify(plan),
    `${path} holds a campaign of other code, seeds or first: ${head}. Remove it to begin anew.`,
  );
  const torn = lines.pop(); // '' unless a stop fell into the writing of a line
  for (const text of lines) {
    const line = JSON.parse(text) as Line;
    done.set(nameOf(line.piece), line);
  }
  if (torn !== '') writeFileSync(path, `${[head, ...lines].join('\n')}\n`);
  return done;
}

function wholeNumber(words: readonly string[], name: string, otherwise: number): number {
  const given = words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const value = Number(given ?? otherwise);
  check(Number.isSafeInteger(value) && value >= 0, `${name}: a whole number`);
  return value;
}

function kindsDone(done: Iterable<Line>, wanted: ReadonlyMap<Campaign, number>): Record<string, Share> {
  const counts = new Map<Campaign, number>();
  for (const { piece, result } of done) counts.set(piece.campaign, (counts.get(piece.campaign) ?? 0) + result.worlds);
  return Object.fromEntries([...wanted].map(([kind, seeds]) => [kind, { seeds, done: counts.get(kind) ?? 0 }]));
}

/** Runs what is left, says where it stands once a minute; the last line is JSON. */
export async function simulatorCampaign(words: readonly string[]): Promise<void> {
  const plan: Plan = {
    code: codeHash(join(BUILT, 'test', 'simulator', 'campaigns.js')),
    seeds: wholeNumber(words, 'seeds', 1_000_000),
    first: wholeNumber(words, 'first', 0),
  };
  const wanted = seedsOfKinds(plan.seeds);
  const done = readDone(STATE, plan);
  const sum = (what: (line: Line) => number): number => [...done.values()].reduce((n, line) => n + what(line), 0);
  const seedsDone = (): number => sum(({ result }) => result.worlds);
  const begun = { seeds: seedsDone(), ms: performance.now() };
  console.log(`campaign of ${plan.seeds} seeds, ${begun.seeds} done before, code ${plan.code.slice(0, 16)}`);
  for (const { piece, result } of done.values()) {
    for (const { seed, violation } of result.failures) console.log(failureLine(piece.campaign, seed, violation));
  }
  let saidMs = begun.ms;
  const left = piecesOf(plan).filter((piece) => !done.has(nameOf(piece)));
  await runPieces(left, wholeNumber(words, 'threads', availableParallelism()), (piece, result) => {
    const line = { piece, result };
    appendFileSync(STATE, `${JSON.stringify(line)}\n`);
    done.set(nameOf(piece), line);
    for (const { seed, violation } of result.failures) console.log(failureLine(piece.campaign, seed, violation));
    const now = performance.now();
    if (now - saidMs < SAID_EVERY_MS) return;
    saidMs = now;
    const rate = Math.round((seedsDone() - begun.seeds) / ((now - begun.ms) / 1_000));
    const kinds = Object.entries(kindsDone(done.values(), wanted)).map(
      ([kind, { seeds, done: n }]) => `${kind} ${n}/${seeds}`,
    );
    console.log(`${seedsDone()} of ${plan.seeds} seeds, ${rate}/s: ${kinds.join(', ')}`);
  });
  const violations = sum(({ result }) => result.failures.length);
  const kinds = Object.fromEntries(
    Object.entries(kindsDone(done.values(), wanted)).map(([kind, share]) => [kind, share.done]),
  );
  const [seeds, heights, restarts] = [seedsDone(), sum((l) => l.result.heights), sum((l) => l.result.restarts)];
  const virtualDays = Math.round(sum(({ result }) => result.virtualMs) / 86_400_000);
  console.log(
    JSON.stringify({ seeds, violations, kinds, heights, restarts, virtualDays, first: plan.first, code: plan.code }),
  );
  process.exitCode = violations === 0 ? 0 : 1;
}
