// Owns the door of the consensus: bytes from peers are decoded, placed by height, deduplicated and checked for signatures, in
// that order, before the driver sees them. It holds back what is early and tells gossip what to forward.

import { type Certificate, verifyCertificate } from '../consensus/certificate.ts';
import { type WireMessage, decodeMessage } from '../consensus/codec.ts';
import { type FutureBuffer, futureBuffer } from '../consensus/future-buffer.ts';
import { MAX_FUTURE_ROUND, MAX_PROPOSALS_PER_ROUND, MAX_VOTES_PER_SLOT } from '../consensus/limits.ts';
import { type Proposal, proposalKey, voteKey } from '../consensus/message.ts';
import { type SigningDomain, isSignedProposal, isSignedVote } from '../consensus/sign-bytes.ts';
import type { HeightState } from '../consensus/step.ts';
import type { ValidatorSet } from '../consensus/validator-set.ts';
import { hasQuorumFor } from '../consensus/vote-keeper.ts';

export type Verdict = 'accept' | 'ignore' | 'reject' | 'ban';

/** Where the driver stands when a message comes. `core` is null until the height has started. */
type InboxView = Readonly<{ height: number; validators: ValidatorSet; core: HeightState | null }>;

/** `message` is set where the driver is to act on it now. */
type Admission = Readonly<{ verdict: Verdict; message: WireMessage | null }>;

export type Inbox = Readonly<{
  /** Judges bytes of a peer. `nowMs` is monotonic. */
  admit(bytes: Uint8Array, view: InboxView, nowMs: number): Admission;
  /** Messages held back for the height that has just started; their signatures have been checked. */
  release(height: number): WireMessage[];
  /** Highest height any authority has signed for. */
  highestSeen(): number;
}>;

/** Milliseconds between two copies of one message that are forwarded: repetition heals loss, floods do not pass. */
const RELAY_INTERVAL_MS = 900;
/** Messages remembered for that; beyond it the memory starts anew. */
const RELAY_MEMORY = 50_000;

const IGNORE: Admission = { verdict: 'ignore', message: null };
/** A fault only of who stands at the same height: it costs points. */
const REJECT: Admission = { verdict: 'reject', message: null };
/** A fault that no honest node passes on, wherever it stands. */
const BAN: Admission = { verdict: 'ban', message: null };

type Place = Readonly<{ height: number; round: number; sender: string; key: string }>;

function placeOf(message: WireMessage): Place {
  switch (message.kind) {
    case 'vote': {
      const { vote } = message;
      return { height: vote.height, round: vote.round, sender: vote.voter, key: `${vote.height}|${voteKey(vote)}` };
    }
    case 'proposal': {
      const { proposal } = message;
      const key = `${proposal.height}|${proposalKey(proposal)}`;
      return { height: proposal.height, round: proposal.round, sender: proposal.proposer, key };
    }
    case 'polka': {
      const { height, round, blockHash } = message.certificate;
      return { height, round, sender: '', key: `${height}|polka|${round}|${blockHash}` };
    }
  }
}

export type InboxOptions = Readonly<{
  domain: SigningDomain;
  /** True when the bytes of a proposal's block hash to what it names. */
  isNamed(message: WireMessage & { kind: 'proposal' }): boolean;
  /** An authority signed a proposal out of turn. */
  onWrongProposer(proposal: Proposal): void;
}>;

/** Inbox of one node. What it forwards it has checked whole, since the next node bans for what is false. */
export function createInbox({ domain, isNamed, onWrongProposer }: InboxOptions): Inbox {
  let authorities = 1;
  let highest = 0;
  const held: FutureBuffer<WireMessage> = futureBuffer(() => authorities);
  const relayed = new Map<string, number>();

  function mayRelay(key: string, nowMs: number): Verdict {
    const last = relayed.get(key);
    if (last !== undefined && nowMs - last < RELAY_INTERVAL_MS) return 'ignore';
    if (relayed.size >= RELAY_MEMORY) relayed.clear();
    relayed.set(key, nowMs);
    return 'accept';
  }

  function isSigned(message: WireMessage): boolean {
    if (message.kind === 'vote') return isSignedVote(domain, message.vote);
    return message.kind === 'proposal' && isSignedProposal(domain, message.proposal);
  }

  function hold(message: WireMessage, place: Place, size: number, view: InboxView): Admission {
    if (message.kind === 'polka' || place.round > MAX_FUTURE_ROUND) return IGNORE;
    // A polka can only be checked against the authorities of its own height.
    if (message.kind === 'proposal' && message.polka !== null) return IGNORE;
    if (!view.validators.weights.has(place.sender)) return IGNORE;
    if (!isSigned(message)) return BAN;
    highest = Math.max(highest, place.height);
    const { sender, height, key } = place;
    held.add({ sender, height, key, bytes: size, message });
    // Not forwarded: turns and seats of a height to come are not known for sure, and every sender repeats itself.
    return IGNORE;
  }

  function vouched(polka: Certificate, view: InboxView): boolean {
    const { height, validators } = view;
    return verifyCertificate(polka, { domain, validators, type: 'prevote', height }).ok;
  }

  /** A message that says nothing new is forwarded at times, once all of it is true. */
  function again(message: WireMessage, place: Place, view: InboxView, nowMs: number): Admission {
    const verdict = mayRelay(place.key, nowMs);
    if (verdict !== 'accept') return IGNORE;
    return isTrue(message, view) ? { verdict, message: null } : BAN;
  }

  function isTrue(message: WireMessage, view: InboxView): boolean {
    if (message.kind === 'polka') return vouched(message.certificate, view);
    if (!isSigned(message)) return false;
    if (message.kind === 'vote') return true;
    return (message.polka === null || vouched(message.polka, view)) && isNamed(message);
  }

  function current(message: WireMessage, place: Place, view: InboxView, core: HeightState, nowMs: number): Admission {
    const { driver } = core;
    switch (message.kind) {
      case 'vote': {
        if (!driver.validators.weights.has(place.sender)) return REJECT;
        const votes = driver.keeper.rounds.get(place.round);
        const count = message.vote.type === 'prevote' ? votes?.prevotes : votes?.precommits;
        if (count?.received.has(voteKey(message.vote)) === true) return again(message, place, view, nowMs);
        // A vote and one that contradicts it are enough to prove the offence.
        const spoken = count?.voters.has(place.sender) === true ? [...count.received.values()] : [];
        if (spoken.filter(({ voter }) => voter === place.sender).length >= MAX_VOTES_PER_SLOT) return IGNORE;
        break;
      }
      case 'proposal': {
        const { round, value, validRound, height } = message.proposal;
        if (place.sender !== driver.proposerOf(height, round)) {
          if (isSigned(message)) onWrongProposer(message.proposal);
          return BAN;
        }
        const known = core.seen.get(round) ?? [];
        if (known.some((p) => p.value === value && p.validRound === validRound)) {
          return again(message, place, view, nowMs);
        }
        const isWanted = hasQuorumFor(driver.keeper, 'precommit', round, value);
        const isFar = round > driver.rules.round + MAX_FUTURE_ROUND;
        if (!isWanted && (isFar || known.length >= MAX_PROPOSALS_PER_ROUND)) return IGNORE;
        break;
      }
      case 'polka': {
        const { round, blockHash } = message.certificate;
        if (hasQuorumFor(driver.keeper, 'prevote', round, blockHash)) return again(message, place, view, nowMs);
        break;
      }
    }
    if (!isTrue(message, view)) return BAN;
    mayRelay(place.key, nowMs);
    return { verdict: 'accept', message };
  }

  return {
    admit(bytes, view, nowMs) {
      const decoded = decodeMessage(bytes);
      if (!decoded.ok) return BAN;
      const message = decoded.value;
      const place = placeOf(message);
      authorities = view.validators.addresses.length;
      if (place.height < view.height) return IGNORE;
      if (place.height > view.height + 1) {
        // Not held, but a sign that others are ahead; the signature is checked so that strangers cannot pretend it.
        if (place.height > highest && view.validators.weights.has(place.sender) && isSigned(message))
          highest = place.height;
        return IGNORE;
      }
      if (place.height > view.height || view.core === null) return hold(message, place, bytes.length, view);
      highest = Math.max(highest, place.height);
      return current(message, place, view, view.core, nowMs);
    },
    release: (height) => held.take(height),
    highestSeen: () => highest,
  };
}
