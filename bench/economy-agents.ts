// Owns the agents of the economy simulation: trainers, authorities and challengers with one way each to get more for less, and
// what each is worth after a run of rounds. The rules they meet are economy-rules.ts.

import { type Prng, prng } from '../base/prng.ts';
import {
  ALL_FALSE,
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

export type TrainerStrategy = Readonly<{
  name: string;
  /** What is claimed in a round and what the work behind it costs. */
  play(round: number, random: Prng): Readonly<{ claim: WorkClaim; cost: number }>;
  /** Authorities on its side, of the four. */
  accomplices?: number;
  /** Nodes beside the authorities that execute one claim in `checkRounds`. */
  outsiders?: number;
  /** Further addresses that send copies of the same work. */
  copies?: number;
  /** Comes back with a new address and a new stake after each slash. */
  returns?: boolean;
}>;

const honest = { claim: HONEST_CLAIM, cost: RULES.roundCost };
/** Another's claim: its leaves are of other data, so that each is false in the copier's slot. */
const COPY: WorkClaim = { ...HONEST_CLAIM, structure: true, falseSteps: ALL_FALSE };
const SHORT = ['', ', one accomplice of four', ', two accomplices', ', three accomplices'];

export function skipping(name: string, steps: number, accomplices = 0, outsiders = 0): TrainerStrategy {
  const cost = RULES.roundCost - steps * STEP_COST;
  return { name, accomplices, outsiders, play: (_, random) => ({ claim: claimWithFalse(steps, random), cost }) };
}

/** Honest but in the rounds named, where so many steps are false. */
export function sometimes(
  name: string,
  steps: number,
  when: (round: number) => boolean,
  accomplices = 0,
): TrainerStrategy {
  const cheat = skipping(name, steps);
  return { name, accomplices, play: (round, random) => (when(round) ? cheat.play(round, random) : honest) };
}

const withAccomplices = (name: string, steps: number): TrainerStrategy[] =>
  SHORT.map((words, accomplices) => skipping(`${name}${words}`, steps, accomplices));

/** Trainers that cheat for gain in every round, with up to three of four authorities on their side; one with all four. */
export const CHEATS: readonly TrainerStrategy[] = [
  ...withAccomplices('lazy: no step is trained', RULES.steps),
  ...withAccomplices('skips half', RULES.steps / 2),
  skipping('skips a quarter', RULES.steps / 4),
  skipping('skips a tenth', 3),
  ...withAccomplices('skips one step', 1),
  skipping('skips one step, four accomplices, one outsider checks', 1, 4, 1),
  ...SHORT.map((words, accomplices) => ({
    ...{ name: `copies another claim${words}`, accomplices, play: () => ({ claim: COPY, cost: 0 }) },
  })),
  { name: 'four addresses, one computation', copies: 3, play: () => honest },
  { ...skipping('lazy, returns after each slash', RULES.steps), returns: true },
  {
    name: 'trains, serves nothing',
    play: () => ({ claim: { ...HONEST_CLAIM, served: false }, cost: RULES.roundCost }),
  },
  { name: 'serves nothing, trains nothing', play: () => ({ claim: { ...HONEST_CLAIM, served: false }, cost: 0 }) },
];

const last = (round: number): boolean => round === ROUNDS - 1;

/**
 * A single cheat, or a few: no share of verification below one finds each of these. And, with every authority on its side, one
 * against a few outsiders.
 */
export const RARE: readonly TrainerStrategy[] = [
  sometimes('one false step in the last round', 1, last),
  sometimes('all false in the last round', RULES.steps, last),
  sometimes('one false step in round 50', 1, (round) => round === 50),
  sometimes('all false in round 50', RULES.steps, (round) => round === 50),
  sometimes('all false in the last round, three accomplices', RULES.steps, last, 3),
  skipping('lazy in every round, four accomplices, one outsider checks', RULES.steps, 4, 1),
  skipping('lazy, four accomplices, eight outsiders check', RULES.steps, 4, 8),
  sometimes('one false step in every tenth round', 1, (round) => round % 10 === 5),
  sometimes('one false step in every second round', 1, (round) => round % 2 === 1),
];

export const HONEST: TrainerStrategy = { name: 'honest', play: () => honest };
/** Pays the full cost and alters one step in each round, for a motive of its own. */
export const POISONERS: readonly TrainerStrategy[] = SHORT.map((words, accomplices) => ({
  ...{ name: `poisons one step${words}`, accomplices },
  play: (_, random) => ({ claim: claimWithFalse(1, random), cost: RULES.roundCost }),
}));

export type Life = Readonly<{
  gain: number;
  slashes: number;
  firstSlash: number | null;
  accepted: number;
  /** Steps that others executed because of it. */
  executedSteps: number;
}>;

/** Where in each stretch of `checkRounds` rounds each checker looks at a whole claim: known to itself only. */
function checkPlan(checkers: number, random: Prng): (round: number) => number {
  const places = new Map<number, number[]>();
  return (round) => {
    const stretch = Math.floor(round / RULES.checkRounds);
    const known = places.get(stretch) ?? Array.from({ length: checkers }, () => random.below(RULES.checkRounds));
    places.set(stretch, known);
    return known.filter((place) => place === round % RULES.checkRounds).length;
  };
}

/**
 * What a trainer gained or lost over the run: pay (vested and to come) less costs and lost stakes, in POL. With an exit audit
 * every honest authority executes its claims of the last `exitRounds` rounds before its stake is free.
 */
export function trainerLife(strategy: TrainerStrategy, seed: string, rounds: number = ROUNDS, exitRounds = 0): Life {
  const random = prng(`${seed} ${strategy.name}`);
  const accomplices = strategy.accomplices ?? 0;
  const authorities = Array.from(
    { length: RULES.authorities },
    (_, i): Auditing => (i < accomplices ? 'liar' : 'diligent'),
  );
  const checksAt = checkPlan(RULES.authorities - accomplices + (strategy.outsiders ?? 0), random);
  let [gain, unvested, slashes, accepted, misses, executedSteps, lastFalse] = [0, 0, 0, 0, 0, 0, -1];
  let firstSlash: number | null = null;
  const lose = (round: number): void => {
    gain -= RULES.stake;
    unvested = 0;
    slashes += 1;
    firstSlash ??= round;
  };
  for (let round = 0; round < rounds; round++) {
    if (slashes > 0 && strategy.returns !== true) break;
    if (misses === RULES.missLimit) {
      misses = 0; // Paused: out of one roster, then it resumes.
      continue;
    }
    if (round === 0) gain -= (strategy.copies ?? 0) * RULES.stake; // Copies are structure faults: found by anyone, at once.
    const { claim, cost } = strategy.play(round, random);
    gain -= cost;
    const rate = auditRate(RULES.stake + unvested);
    const look = { samples: RULES.samples, rate, deepShare: RULES.deepShare, checks: checksAt(round) };
    const audited = audit(claim, authorities, look, random);
    executedSteps += audited.executedSteps;
    if (audited.decision === 'accepted') {
      unvested += RULES.pay;
      accepted += 1;
      if (claim.falseSteps.size > 0) lastFalse = round;
    }
    misses = audited.decision === 'unresolved' ? misses + 1 : 0;
    if (audited.decision === 'rejected' || audited.decision === 'challenged') lose(round);
    const released = unvested / RULES.vestingRounds;
    unvested -= released;
    gain += released;
  }
  if (slashes === 0 && lastFalse >= rounds - exitRounds) lose(rounds);
  return { gain: gain + unvested, slashes, firstSlash, accepted, executedSteps };
}

/**
 * `lazy` executes nothing and makes its digests up; `echoing` copies the hash another one committed, and so can open nothing;
 * `passing` says PASSED of everything; `griefing` accuses one honest claim a round; `slandering` accuses another authority;
 * `covering` judges true, for all that a lazy trainer saves, what another found false.
 */
export type AuditorStrategy = 'lazy' | 'echoing' | 'passing' | 'griefing' | 'slandering' | 'covering';
export const AUDITOR_STRATEGIES: readonly AuditorStrategy[] = [
  'lazy',
  'echoing',
  'passing',
  'griefing',
  'slandering',
  'covering',
];

const CLAIMS_A_ROUND = 8;
const OTHERS = RULES.authorities - 1;

/** Whether one of the honest others notices a lie: a draw at once, a digest when it is drawn to be executed again. */
function exposed(strategy: AuditorStrategy, drawn: boolean, random: Prng): boolean {
  if (strategy === 'covering') return lot(detectedByOne(), random);
  if (!drawn || (strategy !== 'lazy' && strategy !== 'passing')) return false;
  if (strategy === 'passing') return true;
  return Array.from({ length: OTHERS }, () => lot(RULES.recheckShare, random)).some(Boolean);
}

/** A lazy trainer's claim is all false: whoever draws it finds it. Two honest authorities are left. */
const detectedByOne = (): number => 1 - (1 - auditRate(RULES.stake)) ** (RULES.authorities - 2);

/**
 * Gains of an authority that plays a strategy and of an honest one beside it, over the same claims of trainers that have some
 * pay unvested. Bonds included: one that is lost is not paid in again.
 */
export function auditorLives(strategy: AuditorStrategy, seed: string): Readonly<{ odd: number; honest: number }> {
  const random = prng(`${seed} auditor ${strategy}`);
  let [odd, honestGain, unvested] = [0, 0, 0];
  let bonded = true;
  const works = strategy === 'griefing' || strategy === 'slandering' || strategy === 'covering';
  const checkSteps = (CLAIMS_A_ROUND * RULES.steps) / RULES.checkRounds;
  for (let round = 0; round < ROUNDS; round++) {
    const rate = auditRate(RULES.stake + unvested);
    let [oddWeight, othersWeight] = [0, 0];
    let [oddSteps, othersSteps] = [works ? checkSteps : 0, OTHERS * checkSteps];
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
        if (works) oddSteps += steps;
        if (bonded && (strategy !== 'covering' || i === 0) && exposed(strategy, drawn, random)) {
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
    if (strategy === 'covering' && bonded) odd += RULES.roundCost;
    if (strategy === 'slandering') odd -= RULES.accusation;
    if (strategy === 'griefing') othersSteps += OTHERS;
    honestGain += (pot * othersWeight) / total / OTHERS - (othersSteps / OTHERS) * STEP_COST;
    unvested += RULES.pay - (unvested + RULES.pay) / RULES.vestingRounds;
  }
  return { odd, honest: honestGain };
}

/**
 * Somebody that challenges an honest claim in every round, and the trainer it is aimed at: the bond goes, a fifth of it to the
 * trainer, whose answer costs at most a round's execution.
 */
export function challengerLife(): Readonly<{ griefer: number; trainer: number; trainerAlone: number }> {
  const trainerAlone = trainerLife(HONEST, 'economy').gain;
  const answers = ROUNDS * (RULES.challenge * (1 - RULES.burnShare) - RULES.roundCost);
  return { griefer: -ROUNDS * RULES.challenge, trainer: trainerAlone + answers, trainerAlone };
}

/** What an outsider pays for its checks of one trainer over the run, and what the first false claim it proves brings. */
export function outsiderFigures(): Readonly<{ cost: number; bounty: number }> {
  const cost = (ROUNDS / RULES.checkRounds) * RULES.roundCost;
  return { cost, bounty: RULES.stake * (1 - RULES.burnShare) };
}
