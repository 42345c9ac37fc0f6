// Owns the economy report: cheating trainers and authorities against honest ones over many seeds, detection against its
// formula, cost of verification. `npm run bench -- economy [SEEDS] [TASKS]`; the last line is JSON.

import { prng } from '../base/prng.ts';
import {
  AUDITOR_STRATEGIES,
  auditorLives,
  CHEATS,
  HONEST,
  POISONER,
  ROUNDS,
  trainerLife,
  UNDEFENDED,
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

export type Tally = Readonly<{ name: string; ahead: number; meanGain: number; meanFirstSlash: number | null }>;

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);

/** How often each strategy of a list ends above an honest trainer of the same seed. */
export function tallyTrainers(list: typeof CHEATS, seeds: number): Tally[] {
  return list.map((strategy) => {
    const lives = Array.from({ length: seeds }, (_, seed) => trainerLife(strategy, `economy ${seed}`));
    const fair = trainerLife(HONEST, 'economy').gain;
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
  measured: number;
  formula: number;
  inside: boolean;
}>;

/** Detection over `tasks` claims for each number of false steps, samples and authorities. */
export function measureDetection(tasks: number, seed: string): DetectionCell[] {
  const random = prng(`detection ${seed}`);
  return [1, 2, 4, 8].flatMap((samples) =>
    [1, 3, 4, 7].flatMap((authorities) =>
      [1, 3, 8, 16, 32].map((falseSteps): DetectionCell => {
        const kinds = Array.from({ length: authorities }, () => 'diligent' as const);
        let hits = 0;
        for (let i = 0; i < tasks; i++) {
          if (audit(claimWithFalse(falseSteps, random), kinds, samples, random).found.length > 0) hits += 1;
        }
        const formula = detectionFormula(falseSteps, samples, authorities);
        const inside = fitsChance(hits, tasks, formula);
        return { falseSteps, samples, authorities, measured: hits / tasks, formula, inside };
      }),
    ),
  );
}

/**
 * Steps executed for each step trained over a trainer's first `ROUNDS` rounds, from its first stake on: audits, deep replays,
 * and the digests that others make again.
 */
export function lifeShare(): number {
  const random = prng('life share');
  const kinds = Array.from({ length: RULES.authorities }, () => 'diligent' as const);
  let [executed, unvested] = [0, 0];
  for (let round = 0; round < ROUNDS; round++) {
    const rate = auditRate(RULES.stake + unvested);
    for (let i = 0; i < 100; i++)
      executed += audit(HONEST_CLAIM, kinds, RULES.samples, random, rate, RULES.deepShare).executedSteps;
    unvested += RULES.pay - (unvested + RULES.pay) / RULES.vestingRounds;
  }
  const again = 1 + (RULES.authorities - 1) * RULES.recheckShare;
  return (executed * again) / (100 * ROUNDS * RULES.steps);
}

/** Steps executed by all auditors for each step trained when every claim is drawn, counted over honest claims. */
export function verificationShare(samples: number, authorities: number): number {
  const random = prng('share');
  const kinds = Array.from({ length: authorities }, () => 'diligent' as const);
  let executed = 0;
  for (let i = 0; i < 100; i++) executed += audit(HONEST_CLAIM, kinds, samples, random).executedSteps;
  return executed / (100 * RULES.steps);
}

const percent = (x: number): string => `${(100 * x).toFixed(1)}%`;

function say(tallies: readonly Tally[], seeds: number): number {
  for (const { name, ahead, meanGain, meanFirstSlash } of tallies) {
    const slashed = meanFirstSlash === null ? 'never slashed' : `first slash in round ${meanFirstSlash.toFixed(1)}`;
    console.log(`  ${name}: ahead in ${ahead} of ${seeds}, mean gain ${meanGain.toFixed(2)} POL, ${slashed}`);
  }
  return tallies.reduce((sum, { ahead }) => sum + ahead, 0);
}

/** Runs everything and prints it. */
export async function main(args: readonly string[]): Promise<void> {
  const [seeds, tasks] = [Number(args[0] ?? 1_000), Number(args[1] ?? 2_000)];
  const { pay, roundCost, stake } = RULES;
  console.log(`${ROUNDS} rounds; a claim earns ${pay} POL, costs ${roundCost.toFixed(3)} (assumed), stake ${stake}`);
  console.log(`honest trainer: ${trainerLife(HONEST, 'economy').gain.toFixed(2)} POL`);
  const trainersAhead = say(tallyTrainers(CHEATS, seeds), seeds);
  console.log('not answered by the rules of today:');
  const undefendedAhead = say(tallyTrainers(UNDEFENDED, seeds), seeds);
  const auditors = tallyAuditors(seeds);
  const auditorsAhead = say(auditors, seeds);
  console.log(
    `  (an honest authority beside them: ${mean(auditors.map(({ meanHonest }) => meanHonest)).toFixed(2)} POL)`,
  );
  console.log('poisoner, not counted (it does not want pay):');
  say(tallyTrainers([POISONER], seeds), seeds);
  const cells = measureDetection(tasks, 'report');
  for (const samples of [1, 2, 4, 8]) {
    const row = cells.filter((cell) => cell.samples === samples && cell.authorities === RULES.authorities);
    const rates = row.map(
      ({ falseSteps, measured, formula }) => `${falseSteps}: ${percent(measured)} (${percent(formula)})`,
    );
    console.log(
      `samples ${samples}: share ${percent(verificationShare(samples, RULES.authorities))}; found ${rates.join(', ')}`,
    );
  }
  const outside = cells.filter(({ inside }) => !inside).length;
  console.log(`detection: ${tasks} tasks in each of ${cells.length} cells, ${outside} outside the 99.9% interval`);
  const share = lifeShare();
  console.log(`verification over the first ${ROUNDS} rounds: ${percent(share)} of training, rechecks included`);
  const summary = { seeds, cheatersAhead: trainersAhead + undefendedAhead + auditorsAhead, verificationShare: share };
  const parts = {
    trainersAhead,
    undefendedAhead,
    auditorsAhead,
    detectionCells: cells.length,
    detectionOutside: outside,
  };
  console.log(JSON.stringify({ ...summary, lossGapAt8Trainers: null, ...parts }));
}
