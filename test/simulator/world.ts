// Owns a network of consensus cores in virtual time, all from one seed: lossy and phase-shaped links, crashes at every effect
// with loss of what was not synced, twins of one key. The shell here mirrors node/consensus-driver.ts without disks.

import { present } from '../../base/check.ts';
import type { Effect } from '../../consensus/effect.ts';
import type { Event } from '../../consensus/input.ts';
import type { Vote } from '../../consensus/message.ts';
import { rotation } from '../../consensus/proposer.ts';
import type { HeightSetup, HeightState, StepResult } from '../../consensus/step.ts';
import { DEFAULT_TIMEOUTS } from '../../consensus/timeouts.ts';
import { type ValidatorSet, weightedSet } from '../../consensus/validator-set.ts';
import { EventQueue, draw } from './event-queue.ts';
import type { Faults } from './faults.ts';
import { Observer, Violation } from './invariants.ts';

/** The core under test: the real one, or a mutant of it. */
export type Core = Readonly<{
  heightState(setup: HeightSetup): HeightState;
  step(state: HeightState, event: Event): StepResult;
  isKnown(state: HeightState, event: Event): boolean;
  resume(core: HeightState, events: readonly Event[]): Effect[];
}>;

/** Wrong ways to be a shell; all false is the right one. */
export type Habits = Readonly<{
  skipLogSync: boolean;
  sendBeforePersist: boolean;
  rebuildValue: boolean;
  noPolka: boolean;
}>;
export const GOOD_HABITS: Habits = {
  skipLogSync: false,
  sendBeforePersist: false,
  rebuildValue: false,
  noPolka: false,
};

type Message = Readonly<{
  height: number;
  round: number;
  phase: number;
  event: Event;
  polka: Event | null;
  id: number;
}>;
type Happening =
  | Readonly<{ kind: 'message'; to: number; message: Message }>
  | Readonly<{ kind: 'event'; to: number; epoch: number; event: Event }>
  | Readonly<{ kind: 'start'; to: number; epoch: number }>
  | Readonly<{ kind: 'tick' | 'restart'; to: number }>;

type Decision = Readonly<{ value: string; votes: readonly Vote[] }>;

type Node = {
  readonly index: number;
  readonly name: string;
  readonly isHonest: boolean;
  /** 0, or for the instances of a twin 1 and 2. */
  readonly twin: number;
  core: HeightState | null;
  isStarted: boolean;
  isUp: boolean;
  epoch: number;
  startedMs: number;
  chain: Decision[];
  log: Event[];
  synced: number;
  signed: Map<string, string>;
  lastPlace: readonly [number, number, number];
  future: Message[];
  queue: Event[];
  built: number;
};

export type Outcome = Readonly<{
  violation: string | null;
  heights: number;
  events: number;
  virtualMs: number;
  maxRound: number;
  /** Hash over every event in order: equal seeds give equal hashes. */
  trace: number;
}>;

const NO_SIGNATURE = new Uint8Array(0);
const PHASES = { proposal: 0, prevote: 1, precommit: 2, polka: 3 } as const;
const TICK_MS = 1_000;
const HEIGHT_MS = 1_000;
const PLACES = { proposal: 1, prevote: 2, precommit: 3 } as const;

export class World {
  readonly #seed: number;
  readonly #faults: Faults;
  readonly #coreOf: Core;
  readonly #habits: Habits;
  readonly #set: ValidatorSet;
  readonly #nodes: Node[] = [];
  readonly #queue = new EventQueue<Happening>();
  readonly #observer: Observer;
  /** Values built so far, by height: what a liar may name. */
  readonly #values = new Map<number, readonly string[]>();
  #now = 0;
  #events = 0;
  #messages = 0;
  #crashes = 0;
  #trace = 0;
  #maxRound = 0;

  constructor(seed: number, faults: Faults, core: Core, habits: Habits = GOOD_HABITS) {
    this.#seed = seed;
    this.#faults = faults;
    this.#coreOf = core;
    this.#habits = habits;
    const names = Array.from({ length: faults.count }, (_, index) => `v${String(index).padStart(3, '0')}`);
    this.#set = weightedSet(names.map((name) => [name, 1] as const));
    this.#observer = new Observer(faults.count);
    for (const [index, name] of names.entries()) {
      const isTwin = index < faults.twins;
      for (const twin of isTwin ? [1, 2] : [0]) this.#nodes.push(this.#newNode(name, index, twin));
    }
    for (const [at] of this.#nodes.entries()) {
      this.#begin(at);
      this.#queue.push(draw(seed, at, 7) % TICK_MS, { kind: 'tick', to: at });
    }
  }

  #newNode(name: string, index: number, twin: number): Node {
    return {
      index,
      name,
      twin,
      isHonest: twin === 0,
      core: null,
      isStarted: false,
      isUp: true,
      epoch: 0,
      startedMs: 0,
      chain: [],
      log: [],
      synced: 0,
      signed: new Map(),
      lastPlace: [0, 0, 0],
      future: [],
      queue: [],
      built: 0,
    };
  }

  /** Runs chaos, heals, and wants progress. */
  run(): Outcome {
    let violation: string | null = null;
    try {
      this.#runUntil(this.#faults.chaosMs, Number.POSITIVE_INFINITY);
      if (this.#faults.twinsStop) for (const node of this.#nodes) if (!node.isHonest) node.isUp = false;
      const target = this.#observer.height + this.#faults.healHeights;
      const limitMs = this.#faults.chaosMs + this.#faults.healMs;
      this.#runUntil(limitMs, target);
      const late = this.#nodes.filter((node) => node.isHonest && node.chain.length < target);
      if (late.length > 0) throw new Violation(`I8: ${late.length} nodes below height ${target} after healing`);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      violation = error.message;
    }
    const { height } = this.#observer;
    return {
      violation,
      heights: height,
      events: this.#events,
      virtualMs: this.#now,
      maxRound: this.#maxRound,
      trace: this.#trace >>> 0,
    };
  }

  #runUntil(timeMs: number, height: number): void {
    for (;;) {
      const next = this.#queue.pop();
      if (next === undefined || next.time > timeMs) {
        if (next !== undefined) this.#queue.push(next.time, next.item);
        return;
      }
      this.#now = next.time;
      this.#happen(next.item);
      if (
        height !== Number.POSITIVE_INFINITY &&
        this.#nodes.every((node) => !node.isHonest || node.chain.length >= height)
      )
        return;
    }
  }

  get #isChaos(): boolean {
    return this.#now < this.#faults.chaosMs;
  }

  #node(at: number): Node {
    return this.#nodes[at] as Node;
  }

  #happen(item: Happening): void {
    const node = this.#node(item.to);
    this.#events++;
    this.#trace = draw(this.#trace, this.#now, item.to, node.chain.length, node.core?.driver.rules.round ?? -1);
    switch (item.kind) {
      case 'message':
        if (node.isUp) this.#receive(item.to, item.message);
        return;
      case 'event':
        if (node.isUp && node.epoch === item.epoch) this.#feed(item.to, item.event);
        return;
      case 'start':
        if (node.isUp && node.epoch === item.epoch) this.#start(item.to);
        return;
      case 'tick':
        this.#tick(item.to);
        return;
      case 'restart':
        this.#restart(item.to);
        return;
    }
  }

  #fresh(node: Node): HeightState {
    return this.#coreOf.heightState({
      height: node.chain.length + 1,
      self: node.name,
      validators: this.#set,
      proposerOf: rotation(this.#set),
      timeouts: DEFAULT_TIMEOUTS,
    });
  }

  #begin(at: number): void {
    const node = this.#node(at);
    node.core = this.#fresh(node);
    node.isStarted = false;
    node.epoch++;
    node.log = [];
    node.synced = 0;
    node.queue = [];
    node.signed.clear();
    const delay = node.chain.length === 0 ? 0 : Math.max(1, node.startedMs + HEIGHT_MS - this.#now);
    this.#queue.push(this.#now + delay, { kind: 'start', to: at, epoch: node.epoch });
  }

  #start(at: number): void {
    const node = this.#node(at);
    node.isStarted = true;
    node.startedMs = this.#now;
    const height = node.chain.length + 1;
    if (!this.#perform(at, this.#coreOf.step(present(node.core, 'core'), { kind: 'start' }).effects)) return;
    const held = node.future.filter((message) => message.height === height);
    node.future = node.future.filter((message) => message.height > height);
    for (const message of held) if (node.isUp && node.chain.length + 1 === height) this.#receive(at, message);
    this.#drain(at);
  }

  #receive(at: number, message: Message): void {
    const node = this.#node(at);
    const height = node.chain.length + 1;
    if (message.height < height || message.height > height + 1) return;
    if (message.height > height || !node.isStarted) {
      if (node.future.length < 2_000) node.future.push(message);
      return;
    }
    if (message.polka !== null) this.#feed(at, message.polka);
    if (node.isUp && node.chain.length + 1 === message.height) this.#feed(at, message.event);
  }

  #feed(at: number, event: Event): void {
    const node = this.#node(at);
    node.queue.push(event);
    this.#drain(at);
  }

  #drain(at: number): void {
    const node = this.#node(at);
    for (let event = node.queue.shift(); event !== undefined; event = node.queue.shift()) {
      const core = present(node.core, 'core');
      if (this.#coreOf.isKnown(core, event)) continue;
      if (event.kind !== 'resend') node.log.push(event);
      const { effects } = this.#coreOf.step(core, event);
      this.#maxRound = Math.max(this.#maxRound, core.driver.rules.round);
      if (!this.#perform(at, effects)) return;
    }
  }

  /** False when the height ended or the node crashed on the way. */
  #perform(at: number, effects: readonly Effect[]): boolean {
    const node = this.#node(at);
    const { epoch } = node;
    for (const effect of effects) {
      if (this.#crashes_(at)) return false;
      this.#effect(at, effect);
      if (!node.isUp || node.epoch !== epoch) return false;
    }
    return true;
  }

  #crashes_(at: number): boolean {
    const node = this.#node(at);
    const { crashPerMillion } = this.#faults;
    if (!this.#isChaos || crashPerMillion === 0 || !node.isHonest) return false;
    if (draw(this.#seed, 11, ++this.#crashes) % 1_000_000 >= crashPerMillion) return false;
    this.#crash(at);
    return true;
  }

  #crash(at: number): void {
    const node = this.#node(at);
    node.isUp = false;
    node.epoch++;
    node.core = null;
    node.queue = [];
    node.future = [];
    // What was not synced is gone, wholly or in part.
    const lost = draw(this.#seed, 12, this.#crashes) % (node.log.length - node.synced + 1);
    node.log.length = node.log.length - lost;
    this.#queue.push(this.#now + (draw(this.#seed, 13, this.#crashes) % 3_000), { kind: 'restart', to: at });
  }

  #restart(at: number): void {
    const node = this.#node(at);
    node.isUp = true;
    node.epoch++;
    node.core = this.#fresh(node);
    node.isStarted = true;
    node.startedMs = this.#now;
    node.synced = node.log.length;
    const events = this.#habits.rebuildValue ? node.log.filter((event) => event.kind !== 'built') : node.log;
    if (this.#perform(at, this.#coreOf.resume(node.core, events))) this.#drain(at);
  }

  #effect(at: number, effect: Effect): void {
    const node = this.#node(at);
    const height = node.chain.length + 1;
    switch (effect.kind) {
      case 'build': {
        const value = `${height}/${effect.round}/${node.name}/${node.twin}/${node.built++}`;
        const event: Event = { kind: 'built', round: effect.round, value };
        this.#values.set(height, [...(this.#values.get(height) ?? []), value]);
        this.#values.delete(height - 4);
        this.#queue.push(this.#now + 5, { kind: 'event', to: at, epoch: node.epoch, event });
        return;
      }
      case 'start-timer': {
        const { timer, round } = effect;
        this.#queue.push(this.#now + effect.ms, {
          kind: 'event',
          to: at,
          epoch: node.epoch,
          event: { kind: 'timeout', timer, round },
        });
        return;
      }
      case 'sign-ballot': {
        const { ballot } = effect;
        const vote: Vote = { ...ballot, voter: node.name, signature: NO_SIGNATURE };
        const event: Event = { kind: 'vote', vote };
        const message = this.#message(height, ballot.round, PHASES[ballot.type], event, null);
        this.#sign(at, [height, ballot.round, PLACES[ballot.type]], String(ballot.value), message, () =>
          this.#observer.signedBallot(ballot, node.name, node.isHonest),
        );
        return;
      }
      case 'sign-offer': {
        const { offer, polka } = effect;
        const event: Event = {
          kind: 'proposal',
          proposal: { ...offer, proposer: node.name, signature: NO_SIGNATURE },
          validity: 'valid',
        };
        const certificate: Event | null =
          polka.length === 0 || this.#habits.noPolka ? null : { kind: 'certificate', votes: polka };
        const message = this.#message(height, offer.round, PHASES.proposal, event, certificate);
        this.#sign(at, [height, offer.round, PLACES.proposal], `${offer.value}|${offer.validRound}`, message, () =>
          this.#observer.signedOffer(offer, node.name, node.isHonest),
        );
        return;
      }
      case 'publish-polka':
        if (!this.#habits.noPolka) {
          const event: Event = { kind: 'certificate', votes: effect.votes };
          this.#broadcast(at, this.#message(height, effect.votes[0]?.round ?? 0, PHASES.polka, event, null));
        }
        return;
      case 'resend-vote': {
        const { vote } = effect;
        this.#broadcast(at, this.#message(height, vote.round, PHASES[vote.type], { kind: 'vote', vote }, null));
        return;
      }
      case 'resend-proposal': {
        const { proposal, polka } = effect;
        const certificate: Event | null =
          polka.length === 0 || this.#habits.noPolka ? null : { kind: 'certificate', votes: polka };
        const event: Event = { kind: 'proposal', proposal, validity: 'valid' };
        this.#broadcast(at, this.#message(height, proposal.round, PHASES.proposal, event, certificate));
        return;
      }
      case 'decide':
        this.#decide(at, { value: effect.value, votes: effect.votes });
        return;
      case 'vote-evidence':
        this.#accuse(effect.votes[0].voter);
        return;
      case 'proposal-evidence':
        this.#accuse(effect.proposals[0].proposer);
        return;
    }
  }

  #accuse(signer: string): void {
    const accused = this.#nodes.find((node) => node.name === signer);
    this.#observer.accused(signer, accused?.isHonest ?? true);
  }

  /** Sync the log, check and persist the place, and only then let the signature out. */
  #sign(
    at: number,
    place: readonly [number, number, number],
    what: string,
    message: Message,
    observe: () => void,
  ): void {
    const node = this.#node(at);
    if (node.isHonest) {
      if (!this.#habits.skipLogSync) node.synced = node.log.length;
      const key = place.join('|');
      const last = node.lastPlace;
      const order = place[0] - last[0] || place[1] - last[1] || place[2] - last[2];
      if (order < 0 || (order === 0 && node.signed.get(key) !== what)) return;
      if (this.#habits.sendBeforePersist) {
        observe();
        this.#broadcast(at, message);
        if (this.#crashes_(at)) return;
        node.lastPlace = place;
        node.signed.set(key, what);
        node.queue.unshift(message.event);
        return;
      }
      node.lastPlace = place;
      node.signed.set(key, what);
      if (this.#crashes_(at)) return;
    }
    observe();
    this.#broadcast(at, message);
    node.queue.unshift(message.event);
  }

  #message(height: number, round: number, phase: number, event: Event, polka: Event | null): Message {
    return { height, round, phase, event, polka, id: ++this.#messages };
  }

  #broadcast(from: number, message: Message): void {
    const { lossPercent, delayMs } = this.#faults;
    const isChaos = this.#isChaos;
    for (let to = 0; to < this.#nodes.length; to++) {
      if (to === from || !this.#isLinked(from, to, message)) continue;
      const chance = draw(this.#seed, 1, message.id, to);
      if (isChaos && chance % 100 < lossPercent) continue;
      const delay = 1 + ((chance >>> 8) % (isChaos ? delayMs : 20));
      const said = isChaos && this.#node(from).twin !== 0 ? this.#lie(from, to, message) : message;
      this.#queue.push(this.#now + delay, { kind: 'message', to, message: said });
    }
  }

  /** A faulty authority now and then tells one peer something else: another value, another valid round. */
  #lie(from: number, to: number, message: Message): Message {
    const { liePercent } = this.#faults;
    const chance = draw(this.#seed, 5, message.id, to);
    const values = this.#values.get(message.height);
    if (chance % 100 >= liePercent || values === undefined) return message;
    const value = values[(chance >>> 8) % values.length] as string;
    const { event } = message;
    const { name } = this.#node(from);
    if (event.kind === 'vote' && event.vote.voter === name) {
      const vote: Vote = { ...event.vote, value: (chance >>> 16) % 4 === 0 ? null : value };
      this.#observer.signedBallot(vote, vote.voter, false);
      return { ...message, event: { kind: 'vote', vote } };
    }
    if (event.kind !== 'proposal' || event.proposal.proposer !== name) return message;
    const proposal = { ...event.proposal, value, validRound: ((chance >>> 16) % (message.round + 1)) - 1 };
    this.#observer.signedOffer(proposal, proposal.proposer, false);
    return { ...message, event: { ...event, proposal } };
  }

  /** Twins see one side each; honest links are cut by (height, round, phase, source, destination). */
  #isLinked(from: number, to: number, message: Message): boolean {
    const source = this.#node(from);
    const target = this.#node(to);
    if (source.name === target.name) return false;
    const { height, round, phase } = message;
    for (const [twin, other] of [
      [source, target],
      [target, source],
    ] as const) {
      if (twin.twin !== 0 && 1 + (draw(this.#seed, 2, height, other.index) % 2) !== twin.twin) return false;
    }
    const { cutPercent, cutRounds } = this.#faults;
    if (!this.#isChaos || round >= cutRounds) return true;
    return draw(this.#seed, 3, height, round, phase, source.index, target.index) % 100 >= cutPercent;
  }

  #decide(at: number, decision: Decision): void {
    const node = this.#node(at);
    const previous = node.chain.length;
    const height = decision.votes[0]?.height ?? 0;
    if (node.isHonest) this.#observer.decided(node.name, height, previous, decision.value, decision.votes);
    node.chain.push(decision);
    this.#begin(at);
  }

  /** Once a second: say it again, and catch up from somebody. */
  #tick(at: number): void {
    const node = this.#node(at);
    this.#queue.push(this.#now + TICK_MS, { kind: 'tick', to: at });
    if (!node.isUp) return;
    const chance = draw(this.#seed, 4, at, this.#now);
    const peer = this.#node(chance % this.#nodes.length);
    const isReached =
      !this.#isChaos || (chance >>> 10) % 100 >= Math.max(this.#faults.lossPercent, this.#faults.cutPercent);
    if (isReached && peer.isUp && peer.name !== node.name && peer.chain.length > node.chain.length) {
      for (const decision of peer.chain.slice(node.chain.length)) this.#decide(at, decision);
      return;
    }
    if (node.isStarted && this.#now - node.startedMs >= TICK_MS * 0.8) this.#feed(at, { kind: 'resend' });
  }
}
