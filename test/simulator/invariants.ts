// Owns what must hold in every simulated step: agreement, no double sign, locks kept, certificates that stand alone, evidence
// that frames nobody and has one name. A broken one throws a Violation naming it.

import type { Ballot, Offer, Vote } from '../../consensus/message.ts';
import { quorumOf } from '../../consensus/quorum.ts';
import type { ValidatorSet } from '../../consensus/validator-set.ts';
import { type Membership, SET_DELAY } from './membership.ts';

export class Violation extends Error {
  override readonly name = 'Violation';
}

export function hold(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Violation(what);
}

/** For what is checked at every message: the text is made only where it is needed. */
export function broken(what: string): never {
  throw new Violation(what);
}

type Lock = Readonly<{ round: number; value: string }>;

/** What is known of one height. */
type Height = {
  readonly set: ValidatorSet;
  readonly quorum: number;
  /** What an honest authority signed at each place: it may sign one thing only. */
  readonly signed: Map<string, string>;
  /** What faulty authorities signed. */
  readonly faulty: Set<string>;
  readonly prevoters: Map<string, Set<string>>;
  readonly locks: Map<string, Lock>;
  readonly proposed: Set<string>;
  decided: string | null;
};

/** Heights below the highest that are still looked at. */
const KEPT_HEIGHTS = 128;

/** The omniscient observer: sees every signature the moment it is made. */
export class Observer {
  readonly #membership: (value: string | undefined) => Membership;
  readonly #heights = new Map<number, Height>();
  readonly #decided: string[] = [];
  readonly #offences = new Map<string, string>();
  #height = 0;

  constructor(membership: (value: string | undefined) => Membership) {
    this.#membership = membership;
  }

  get height(): number {
    return this.#height;
  }

  /** Set of a height by the rule itself: what its block two heights before asked for. */
  #at(height: number): Height {
    let found = this.#heights.get(height);
    if (found === undefined) {
      const { set } = this.#membership(this.#decided[height - SET_DELAY]);
      found = {
        set,
        quorum: quorumOf(set.addresses.length),
        signed: new Map(),
        faulty: new Set(),
        prevoters: new Map(),
        locks: new Map(),
        proposed: new Set(),
        decided: null,
      };
      this.#heights.set(height, found);
      this.#heights.delete(height - KEPT_HEIGHTS);
    }
    return found;
  }

  signedOffer(offer: Offer, signer: string, isHonest: boolean): void {
    const at = this.#at(offer.height);
    at.proposed.add(offer.value);
    if (isHonest) once(at, `proposal|${offer.round}|${signer}`, `${offer.value}|${offer.validRound}`);
  }

  signedBallot(ballot: Ballot, signer: string, isHonest: boolean): void {
    const { type, height, round, value } = ballot;
    const at = this.#at(height);
    if (isHonest) {
      once(at, `${type}|${round}|${signer}`, String(value));
      if (!at.set.weights.has(signer)) broken(`I4: ${signer} votes at height ${height} and is not in its set`);
    } else at.faulty.add(`${type}|${round}|${signer}|${value}`);
    if (value === null) return;
    const key = `${round}|${value}`;
    if (type === 'prevote') {
      const voters = at.prevoters.get(key);
      if (voters === undefined) at.prevoters.set(key, new Set([signer]));
      else voters.add(signer);
      if (isHonest) keepsLock(at, round, value, signer);
    } else if (isHonest) {
      const voters = at.prevoters.get(key);
      if (voters === undefined || voters.size < at.quorum) broken(`I6: ${signer} precommits ${value} without a polka`);
      at.locks.set(signer, { round, value });
    }
  }

  /** Stands for the check of a signature: nobody can show a vote that was not signed. */
  hasSigned(vote: Vote): boolean {
    const { type, height, round, voter, value } = vote;
    const at = this.#at(height);
    const key = `${type}|${round}|${voter}`;
    return at.signed.get(key) === String(value) || at.faulty.has(`${key}|${value}`);
  }

  /** I1-I4. `block` is the hash the node keeps, `votes` the certificate as it holds it. */
  decided(node: string, height: number, previous: number, block: string, value: string, votes: readonly Vote[]): void {
    if (height !== previous + 1) broken(`I3: ${node} decides ${height} after ${previous}`);
    const at = this.#at(height);
    if (!at.proposed.has(value)) broken(`I2: ${value} was decided but never proposed`);
    if (at.decided !== null && at.decided !== block) broken(`I1: height ${height}: ${at.decided} and ${block}`);
    const voters = new Set<string>();
    for (const vote of votes) {
      voters.add(vote.voter);
      const isFor = vote.type === 'precommit' && vote.height === height && vote.value === value;
      hold(isFor && vote.round === votes[0]?.round, 'I4: certificate of unequal votes');
      if (!at.set.weights.has(vote.voter)) broken(`I4: ${vote.voter} is not in the set of height ${height}`);
      if (!this.hasSigned(vote)) broken(`I4: ${vote.voter} never signed that`);
    }
    if (voters.size !== votes.length || voters.size < at.quorum) broken(`I4: certificate of ${voters.size} voters`);
    if (at.decided !== null) return;
    at.decided = block;
    this.#decided[height] = value;
    this.#height = Math.max(this.#height, height);
  }

  /** I7: nobody honest is accused, and one offence has one name wherever it is seen. */
  accused(signer: string, isHonest: boolean, offence: string, id: string): void {
    if (isHonest) broken(`I7: evidence frames ${signer}`);
    const known = this.#offences.get(offence);
    if (known === undefined) this.#offences.set(offence, id);
    else if (known !== id) broken(`I7: one offence with two identities: ${known} and ${id}`);
  }
}

/** I5: across crashes too. */
function once(at: Height, key: string, value: string): void {
  const before = at.signed.get(key);
  if (before === undefined) at.signed.set(key, value);
  else if (before !== value) broken(`I5: double sign ${key}: ${before} and ${value}`);
}

/** I6: prevoting against a lock takes a polka at or after the locked round. */
function keepsLock(at: Height, round: number, value: string, signer: string): void {
  const lock = at.locks.get(signer);
  if (lock === undefined || lock.value === value || lock.round >= round) return;
  for (let r = lock.round; r < round; r++) {
    const voters = at.prevoters.get(`${r}|${value}`);
    if (voters !== undefined && voters.size >= at.quorum) return;
  }
  throw new Violation(`I6: ${signer} prevotes ${value} in round ${round} against its lock of round ${lock.round}`);
}
