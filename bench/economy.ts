// Owns the economy report: cheating trainers, authorities and challengers against honest ones over many seeds, detection against
// its formula, cost of verification. `npm run bench -- economy [SEEDS] [TASKS]`; the last line is JSON, two plots go to docs.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prng } from '../base/prng.ts';
import {
  AUDITOR_STRATEGIES,
  auditorLives,
  challengerLife,
  CHEATS,
  HONEST,
  outsiderFigures,
  POISONERS,
  RARE,
  ROUNDS,
  skipping,
  sometimes,
  type TrainerStrategy,
  trainerLife,
} from './economy-agents.ts';
import {
  audit,
  auditRate,
  claimWithFalse,
  detectionFormula,
  fitsChance,
  HONEST_CLAIM,
  RULES,
} from './economy-rules.ts';
import { type Line, linePlot } from './line-plot.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PLOTS = join(ROOT, 'docs', 'protocol');
/** Written by the convergence bench; this report repeats its gap. */
const CONVERGENCE = join(ROOT, 'docs', 'decisions', '007-convergence.json');

export type Tally = Readonly<{ name: string; ahead: number; meanGain: number; meanFirstSlash: number | null }>;

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);

/** How often each strategy of a list ends above an honest trainer of the same seed. */
export function tallyTrainers(
  list: readonly TrainerStrategy[],
  seeds: number,
  rounds = ROUNDS,
  exitRounds = 0,
): Tally[] {
  const fair = trainerLife(HONEST, 'economy', rounds).gain;
  return list.map((strategy) => {
    const lives = Array.from({ length: seeds }, (_, seed) =>
      trainerLife(strategy, `economy ${seed}`, rounds, exitRounds),
    );
    const slashed = lives.flatMap(({ firstSlash }) => (firstSlash === null ? [] : [firstSlash + 1]));
    return {
      name: strategy.name,
      ahead: lives.filter(({ gain }) => gain >= fair).length,
      meanGain: mean(lives.map(({ gain }) => gain)),
      meanFirstSlash: slashed.length === 0 ? null : mean(slashed),
    };
  });
}

export function tallyAuditors(seeds: number): (Tally & Readonly<{ meanHonest: number }>)[] {
  return AUDITOR_STRATEGIES.map((name) => {
    const lives = Array.from({ length: seeds }, (_, seed) => auditorLives(name, `economy ${seed}`));
    return {
      name: `${name} authority`,
      ahead: lives.filter(({ odd, honest }) => odd >= honest).length,
      meanGain: mean(lives.map(({ odd }) => odd)),
      meanHonest: mean(lives.map(({ honest }) => honest)),
      meanFirstSlash: null,
    };
  });
}

export type DetectionCell = Readonly<{
  falseSteps: number;
  samples: number;
  authorities: number;
  rate: number;
  measured: number;
  formula: number;
  inside: boolean;
}>;

/** Detection over `tasks` claims for each number of false steps, samples and authorities, and at the default rate of draws. */
export function measureDetection(tasks: number, seed: string): DetectionCell[] {
  const random = prng(`detection ${seed}`);
  const floor = auditRate(Number.MAX_SAFE_INTEGER);
  const settings = [1, 2, 4, 8].map((samples) => ({ samples, rate: 1, deepShare: 0 }));
  settings.push({ samples: RULES.samples, rate: floor, deepShare: RULES.deepShare });
  return settings.flatMap((setting) =>
    [1, 3, 4, 7].flatMap((authorities) =>
      [1, 3, 8, 16, 32].map((falseSteps): DetectionCell => {
        const kinds = Array.from({ length: authorities }, () => 'diligent' as const);
        const { samples, rate, deepShare } = setting;
        let hits = 0;
        for (let i = 0; i < tasks; i++) {
          const claim = claimWithFalse(falseSteps, random);
          if (audit(claim, kinds, { ...setting, checks: 0 }, random).found.length > 0) hits += 1;
        }
        const formula = detectionFormula(falseSteps, samples, authorities, rate, deepShare);
        const inside = fitsChance(hits, tasks, formula);
        return { falseSteps, samples, authorities, rate, measured: hits / tasks, formula, inside };
      }),
    ),
  );
}

/**
 * Steps executed for each step trained over a trainer's first `ROUNDS` rounds, from its first stake on: audits, deep replays,
 * whole claims executed after the round, and the digests that others make again.
 */
export function lifeShare(lives = 200): Readonly<{ audits: number; rechecks: number; checks: number; all: number }> {
  let executed = 0;
  for (let i = 0; i < lives; i++) executed += trainerLife(HONEST, `share ${i}`).executedSteps;
  const trained = lives * ROUNDS * RULES.steps;
  const checks = RULES.authorities / RULES.checkRounds;
  const audits = executed / trained - checks;
  const rechecks = audits * (RULES.authorities - 1) * RULES.recheckShare;
  return { audits, rechecks, checks, all: audits + rechecks + checks };
}

/** Steps executed by all auditors for each step trained when every claim is drawn, counted over honest claims. */
export function verificationShare(samples: number, authorities: number): number {
  const random = prng('share');
  const kinds = Array.from({ length: authorities }, () => 'diligent' as const);
  const look = { samples, rate: 1, deepShare: 0, checks: 0 };
  let executed = 0;
  for (let i = 0; i < 100; i++) executed += audit(HONEST_CLAIM, kinds, look, random).executedSteps;
  return executed / (100 * RULES.steps);
}

/** What the cheat of one claim saves and what it stands to lose on average, in POL, by the formula. */
export function oneOff(falseSteps: number): Readonly<{ saves: number; detection: number; loses: number }> {
  const { roundCost, steps, samples, authorities, deepShare, checkRounds, stake, pay, vestingRounds } = RULES;
  const floor = auditRate(Number.MAX_SAFE_INTEGER);
  const draws = detectionFormula(falseSteps, samples, authorities, floor, deepShare);
  const detection = 1 - (1 - draws) * (1 - 1 / checkRounds) ** authorities;
  // Unvested pay of a trainer that has been there long: pay x (vestingRounds - 1), and the claim's own.
  const atStake = stake + pay * vestingRounds * (1 - (1 - 1 / vestingRounds) ** ROUNDS);
  return { saves: (roundCost * falseSteps) / steps, detection, loses: detection * atStake };
}

const SIDES = ['no accomplice', 'one of four', 'two', 'three'];

/** Share of trainers not slashed yet, by rounds, of those that skip one step in every round. */
function survival(seeds: number): Line[] {
  return SIDES.map((name, accomplices) => {
    const strategy = skipping(`curve ${name}`, 1, accomplices);
    const ends = Array.from({ length: seeds }, (_, seed) => trainerLife(strategy, `economy ${seed}`).firstSlash);
    const points = Array.from({ length: ROUNDS + 1 }, (_, round) => ({
      x: round,
      y: ends.filter((end) => end === null || end >= round).length / seeds,
    }));
    return { name, points };
  });
}

/** Share ahead of honesty by the number of rounds, spread over the run, in which one step is false. */
function byHabit(seeds: number): Line[] {
  return SIDES.map((name, accomplices) => ({
    name,
    points: [1, 2, 5, 10, 20, 50, 100].map((rounds) => {
      const every = ROUNDS / rounds;
      const strategy = sometimes(`${rounds} rounds ${name}`, 1, (round) => round % every === 0, accomplices);
      const [tally] = tallyTrainers([strategy], seeds);
      return { x: rounds, y: (tally?.ahead ?? 0) / seeds };
    }),
  }));
}

const percent = (x: number): string => `${(100 * x).toFixed(1)}%`;

function say(tallies: readonly Tally[], seeds: number): number {
  for (const { name, ahead, meanGain, meanFirstSlash } of tallies) {
    const slashed = meanFirstSlash === null ? 'never slashed' : `first slash in round ${meanFirstSlash.toFixed(1)}`;
    console.log(`  ${name}: ahead in ${ahead} of ${seeds}, mean gain ${meanGain.toFixed(2)} POL, ${slashed}`);
  }
  return tallies.reduce((sum, { ahead }) => sum + ahead, 0);
}

function sayDetection(tasks: number): Readonly<{ cells: number; outside: number }> {
  const cells = measureDetection(tasks, 'report');
  for (const [samples, rate] of [1, 2, 4, 8].map((k) => [k, 1]).concat([[RULES.samples, auditRate(1e9)]])) {
    const row = cells.filter(
      (cell) => cell.samples === samples && cell.rate === rate && cell.authorities === RULES.authorities,
    );
    const rates = row.map(
      ({ falseSteps, measured, formula }) => `${falseSteps}: ${percent(measured)} (${percent(formula)})`,
    );
    console.log(`samples ${samples}, ${percent(rate ?? 1)} of claims drawn: false steps found ${rates.join(', ')}`);
  }
  const outside = cells.filter(({ inside }) => !inside).length;
  console.log(`detection: ${tasks} tasks in each of ${cells.length} cells, ${outside} outside the 99.9% interval`);
  return { cells: cells.length, outside };
}

function sayExit(seeds: number): void {
  const window = 8;
  const early = ROUNDS - 1 - window;
  const list = [
    ...RARE.slice(0, 2),
    sometimes(`all false, ${window} rounds before leaving`, RULES.steps, (round) => round === early),
  ];
  console.log(`with an exit audit of the last ${window} rounds, which this network does not have:`);
  say(tallyTrainers(list, seeds, ROUNDS, window), seeds);
}

function lossGap(): number | null {
  if (!existsSync(CONVERGENCE)) return null;
  const gap: unknown = JSON.parse(readFileSync(CONVERGENCE, 'utf8')).lossGapAt8Trainers;
  return typeof gap === 'number' ? gap : null;
}

/** Runs everything and prints it. */
export async function main(args: readonly string[]): Promise<void> {
  const [seeds, tasks] = [Number(args[0] ?? 1_000), Number(args[1] ?? 2_000)];
  const { pay, roundCost, stake } = RULES;
  console.log(`${ROUNDS} rounds; a claim earns ${pay} POL, costs ${roundCost.toFixed(3)} (assumed), stake ${stake}`);
  console.log(`honest trainer: ${trainerLife(HONEST, 'economy').gain.toFixed(2)} POL`);
  const habitualAhead = say(tallyTrainers(CHEATS, seeds), seeds);
  console.log('rare cheats:');
  const rareAhead = say(tallyTrainers(RARE, seeds), seeds);
  for (const falseSteps of [1, RULES.steps]) {
    const { saves, detection, loses } = oneOff(falseSteps);
    console.log(
      `  formula, ${falseSteps} false in one claim: saves ${saves.toFixed(3)} POL, found ${percent(detection)}, loses ${loses.toFixed(2)} on average`,
    );
  }
  sayExit(seeds);
  const auditors = tallyAuditors(seeds);
  const auditorsAhead = say(auditors, seeds);
  const honestAuditor = mean(auditors.map(({ meanHonest }) => meanHonest));
  console.log(`  (an honest authority beside them: ${honestAuditor.toFixed(2)} POL)`);
  const { griefer, trainer, trainerAlone } = challengerLife();
  console.log(
    `a false challenge in every round: the challenger ${griefer.toFixed(0)} POL, its trainer ${trainer.toFixed(2)} at worst instead of ${trainerAlone.toFixed(2)}`,
  );
  const outsider = outsiderFigures();
  console.log(
    `an outsider's checks of one trainer cost ${outsider.cost.toFixed(2)} POL over the run; one proof brings ${outsider.bounty.toFixed(2)}`,
  );
  console.log('poisoners, not counted (they do not want pay):');
  say(tallyTrainers(POISONERS, seeds), seeds);
  const { cells, outside } = sayDetection(tasks);
  const share = lifeShare();
  console.log(
    `verification over the first ${ROUNDS} rounds: ${percent(share.all)} of training (audits ${percent(share.audits)}, rechecks ${percent(share.rechecks)}, whole claims ${percent(share.checks)})`,
  );
  writeFileSync(
    join(PLOTS, 'economy-found.svg'),
    linePlot('not found yet, one step skipped in every round', 'rounds', survival(seeds), 1),
  );
  writeFileSync(
    join(PLOTS, 'economy-ahead.svg'),
    linePlot('ahead of honesty', 'rounds of 100 with one false step', byHabit(seeds), 1),
  );
  const ahead = { habitualAhead, rareAhead, auditorsAhead };
  console.log(
    JSON.stringify({
      seeds,
      cheatersAhead: habitualAhead + rareAhead + auditorsAhead,
      verificationShare: Math.round(1e4 * share.all) / 1e4,
      lossGapAt8Trainers: lossGap(),
      ...ahead,
      detectionCells: cells,
      detectionOutside: outside,
    }),
  );
}
