// Owns the agents of the economy simulation: trainers and authorities with one way each to get more for less, and what each
// is worth after a run of rounds. The rules they meet are economy-rules.ts.

import { type Prng, prng } from '../base/prng.ts';
import {
  type Auditing,
  audit,
  auditRate,
  claimWithFalse,
  HONEST_CLAIM,
  lot,
  RULES,
  STEP_COST,
  type WorkClaim,
} from './economy-rules.ts';

export const ROUNDS = 100;

type TrainerStrategy = Readonly<{
  name: string;
  /** What is claimed in a round and what the work behind it costs. */
  play(round: number, random: Prng): Readonly<{ claim: WorkClaim; cost: number }>;
  /** Authorities on its side, of the four. */
  accomplices?: number;
  /** Further addresses that send copies of the same work. */
  copies?: number;
  /** Comes back with a new address and a new stake after each slash. */
  returns?: boolean;
}>;

const honest = { claim: HONEST_CLAIM, cost: RULES.roundCost };
const COPY: WorkClaim = { ...HONEST_CLAIM, structure: true };

function skipping(name: string, steps: number, accomplices = 0): TrainerStrategy {
  const cost = RULES.roundCost - steps * STEP_COST;
  return { name, accomplices, play: (_, random) => ({ claim: claimWithFalse(steps, random), cost }) };
}

function lastRound(name: string, steps: number): TrainerStrategy {
  const cheat = skipping(name, steps);
  return { name, play: (round, random) => (round < ROUNDS - 1 ? honest : cheat.play(round, random)) };
}

/** Trainers that cheat for gain, all the time, within the assumption that fewer than a third of authorities are bad. */
export const CHEATS: readonly TrainerStrategy[] = [
  skipping('lazy: no step is trained', RULES.steps),
  skipping('skips half', RULES.steps / 2),
  skipping('skips a quarter', RULES.steps / 4),
  skipping('skips a tenth', 3),
  skipping('skips one step', 1),
  { name: 'copies another claim', play: () => ({ claim: COPY, cost: 0 }) },
  { name: 'four addresses, one computation', copies: 3, play: () => honest },
  { ...skipping('lazy, returns after each slash', RULES.steps), returns: true },
  {
    name: 'trains, serves nothing',
    play: () => ({ claim: { ...HONEST_CLAIM, served: false }, cost: RULES.roundCost }),
  },
  { name: 'serves nothing, trains nothing', play: () => ({ claim: { ...HONEST_CLAIM, served: false }, cost: 0 }) },
  skipping('lazy, one accomplice of four', RULES.steps, 1),
  skipping('skips one step, one accomplice', 1, 1),
];

/** Outside what the rules answer: a single cheat at the end, and authorities beyond the assumption. */
export const UNDEFENDED: readonly TrainerStrategy[] = [
  lastRound('one false step in the last round', 1),
  lastRound('all false in the last round', RULES.steps),
  skipping('lazy, two accomplices of four', RULES.steps, 2),
  skipping('lazy, three accomplices of four', RULES.steps, 3),
];

export const HONEST: TrainerStrategy = { name: 'honest', play: () => honest };
/** Pays the full cost and alters one step in each round, for a motive of its own. */
export const POISONER: TrainerStrategy = {
  name: 'poisons one step',
  play: (_, random) => ({ claim: claimWithFalse(1, random), cost: RULES.roundCost }),
};

export type Life = Readonly<{ gain: number; slashes: number; firstSlash: number | null; accepted: number }>;

/** What a trainer gained or lost over the run: pay (vested and to come) less costs and lost stakes, in POL. */
export function trainerLife(strategy: TrainerStrategy, seed: string, samples: number = RULES.samples): Life {
  const random = prng(`${seed} ${strategy.name}`);
  const accomplices = strategy.accomplices ?? 0;
  const authorities = Array.from(
    { length: RULES.authorities },
    (_, i): Auditing => (i < accomplices ? 'liar' : 'diligent'),
  );
  let [gain, unvested, slashes, accepted, misses] = [0, 0, 0, 0, 0];
  let firstSlash: number | null = null;
  for (let round = 0; round < ROUNDS; round++) {
    if (slashes > 0 && strategy.returns !== true) break;
    if (misses === RULES.missLimit) {
      misses = 0; // Paused: out of one roster, then it resumes.
      continue;
    }
    if (round === 0) gain -= (strategy.copies ?? 0) * RULES.stake; // Copies are structure faults: found by anyone, at once.
    const { claim, cost } = strategy.play(round, random);
    gain -= cost;
    const rate = auditRate(RULES.stake + unvested);
    const { decision } = audit(claim, authorities, samples, random, rate, RULES.deepShare);
    if (decision === 'accepted') {
      unvested += RULES.pay;
      accepted += 1;
    }
    misses = decision === 'unresolved' ? misses + 1 : 0;
    if (decision === 'rejected') {
      gain -= RULES.stake;
      unvested = 0;
      slashes += 1;
      firstSlash ??= round;
    }
    const released = unvested / RULES.vestingRounds;
    unvested -= released;
    gain += released;
  }
  return { gain: gain + unvested, slashes, firstSlash, accepted };
}

/**
 * `lazy` executes nothing and makes its digests up; `echoing` copies the hash another one committed, and so can open nothing;
 * `passing` says PASSED of everything; `griefing` accuses one honest claim a round; `slandering` accuses another authority.
 */
export type AuditorStrategy = 'lazy' | 'echoing' | 'passing' | 'griefing' | 'slandering';
export const AUDITOR_STRATEGIES: readonly AuditorStrategy[] = ['lazy', 'echoing', 'passing', 'griefing', 'slandering'];

const CLAIMS_A_ROUND = 8;
const OTHERS = RULES.authorities - 1;

/** Whether one of the honest others notices a lie: a draw at once, a digest when it is drawn to be executed again. */
function exposed(strategy: AuditorStrategy, drawn: boolean, random: Prng): boolean {
  if (!drawn || (strategy !== 'lazy' && strategy !== 'passing')) return false;
  if (strategy === 'passing') return true;
  return Array.from({ length: OTHERS }, () => lot(RULES.recheckShare, random)).some(Boolean);
}

/**
 * Gains of an authority that plays a strategy and of an honest one beside it, over the same claims of trainers that have some
 * pay unvested. Bonds included: one that is lost is not paid in again.
 */
export function auditorLives(strategy: AuditorStrategy, seed: string): Readonly<{ odd: number; honest: number }> {
  const random = prng(`${seed} auditor ${strategy}`);
  let [odd, honestGain, unvested] = [0, 0, 0];
  let bonded = true;
  for (let round = 0; round < ROUNDS; round++) {
    const rate = auditRate(RULES.stake + unvested);
    let [oddWeight, othersWeight, oddSteps, othersSteps] = [0, 0, 0, 0];
    for (let i = 0; i < CLAIMS_A_ROUND; i++) {
      for (let by = 0; by < RULES.authorities; by++) {
        const deep = lot(RULES.deepShare, random);
        const drawn = deep || lot(rate, random);
        const steps = deep ? RULES.steps : drawn ? RULES.samples : 0;
        if (by < OTHERS) {
          othersWeight += drawn ? RULES.auditWeight : 1;
          // What it executes itself, and what it executes again of the others' verdicts.
          othersSteps += steps + (drawn ? (OTHERS - 1) * RULES.recheckShare * steps : 0);
          continue;
        }
        oddWeight += drawn && strategy !== 'passing' ? RULES.auditWeight : 1;
        if (strategy === 'griefing' || strategy === 'slandering') oddSteps += steps;
        if (bonded && exposed(strategy, drawn, random)) {
          bonded = false;
          odd -= RULES.bond;
        }
      }
    }
    // No reveal, no pay (echoing); on the losing side of a dispute, none in the round (griefing, rule 4.9).
    const paid = bonded && strategy !== 'echoing' && strategy !== 'griefing';
    const pot = CLAIMS_A_ROUND * RULES.auditPay;
    const total = othersWeight + oddWeight;
    odd += (paid ? (pot * oddWeight) / total : 0) - oddSteps * STEP_COST;
    if (strategy === 'slandering') odd -= RULES.accusation;
    if (strategy === 'griefing') othersSteps += OTHERS;
    honestGain += (pot * othersWeight) / total / OTHERS - (othersSteps / OTHERS) * STEP_COST;
    unvested += RULES.pay - (unvested + RULES.pay) / RULES.vestingRounds;
  }
  return { odd, honest: honestGain };
}
