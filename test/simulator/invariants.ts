// Owns what must hold in every simulated step: agreement, no double sign, locks kept, certificates that stand alone, evidence
// that frames nobody. A broken one throws a Violation naming it.

import type { Ballot, Offer, Vote } from '../../consensus/message.ts';
import { quorumOf } from '../../consensus/quorum.ts';

export class Violation extends Error {
  override readonly name = 'Violation';
}

function hold(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Violation(what);
}

/** The omniscient observer: sees every signature the moment it is made. */
export class Observer {
  readonly #count: number;
  readonly #decided = new Map<number, string>();
  readonly #proposed = new Set<string>();
  readonly #signed = new Map<string, string>();
  readonly #prevoters = new Map<string, Set<string>>();
  readonly #locks = new Map<string, Readonly<{ round: number; value: string }>>();
  #height = 0;

  constructor(count: number) {
    this.#count = count;
  }

  get height(): number {
    return this.#height;
  }

  signedOffer(offer: Offer, signer: string, isHonest: boolean): void {
    this.#proposed.add(offer.value);
    if (isHonest) this.#once(`proposal|${offer.height}|${offer.round}|${signer}`, `${offer.value}|${offer.validRound}`);
  }

  signedBallot(ballot: Ballot, signer: string, isHonest: boolean): void {
    const { type, height, round, value } = ballot;
    if (isHonest) this.#once(`${type}|${height}|${round}|${signer}`, String(value));
    if (value === null) return;
    if (type === 'prevote') {
      const key = `${height}|${round}|${value}`;
      const voters = this.#prevoters.get(key) ?? new Set();
      this.#prevoters.set(key, voters.add(signer));
      if (isHonest) this.#keepsLock(height, round, value, signer);
    } else if (isHonest) {
      const voters = this.#prevoters.get(`${height}|${round}|${value}`);
      hold(
        voters !== undefined && voters.size >= quorumOf(this.#count),
        `I6: ${signer} precommits ${value} without a polka`,
      );
      this.#locks.set(`${height}|${signer}`, { round, value });
    }
  }

  /** I5: across crashes too. */
  #once(key: string, value: string): void {
    const before = this.#signed.get(key);
    hold(before === undefined || before === value, `I5: double sign ${key}: ${before} and ${value}`);
    this.#signed.set(key, value);
  }

  /** I6: prevoting against a lock takes a polka at or after the locked round. */
  #keepsLock(height: number, round: number, value: string, signer: string): void {
    const lock = this.#locks.get(`${height}|${signer}`);
    if (lock === undefined || lock.value === value || lock.round >= round) return;
    for (let r = lock.round; r < round; r++) {
      const voters = this.#prevoters.get(`${height}|${r}|${value}`);
      if (voters !== undefined && voters.size >= quorumOf(this.#count)) return;
    }
    throw new Violation(`I6: ${signer} prevotes ${value} in round ${round} against its lock of round ${lock.round}`);
  }

  /** I1-I4. `votes` is the certificate as the node holds it. */
  decided(node: string, height: number, previous: number, value: string, votes: readonly Vote[]): void {
    hold(height === previous + 1, `I3: ${node} decides ${height} after ${previous}`);
    hold(this.#proposed.has(value), `I2: ${value} was decided but never proposed`);
    const known = this.#decided.get(height);
    hold(known === undefined || known === value, `I1: height ${height}: ${known} and ${value}`);
    const voters = new Set(votes.map((vote) => vote.voter));
    hold(
      voters.size === votes.length && voters.size >= quorumOf(this.#count),
      `I4: certificate of ${voters.size} voters`,
    );
    for (const vote of votes) {
      const isFor = vote.type === 'precommit' && vote.height === height && vote.value === value;
      hold(isFor && vote.round === votes[0]?.round, 'I4: certificate of unequal votes');
    }
    if (known === undefined) {
      this.#decided.set(height, value);
      this.#height = Math.max(this.#height, height);
      this.#forget(height - 4);
    }
  }

  /** I7. */
  accused(signer: string, isHonest: boolean): void {
    hold(!isHonest, `I7: evidence frames ${signer}`);
  }

  /** Old heights can no longer change: keeps long runs in memory. */
  #forget(height: number): void {
    if (height % 64 !== 0) return;
    for (const map of [this.#signed, this.#prevoters, this.#locks]) {
      for (const key of map.keys()) {
        const part = key.split('|').find((text) => /^\d+$/.test(text));
        if (Number(part) < height) map.delete(key);
      }
    }
  }
}
