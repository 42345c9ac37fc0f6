// Owns a network of consensus cores in virtual time, all from one seed: lossy and phase-shaped links, crashes at every effect
// with loss of what was not synced, twins of one key, clocks that are off, changing sets. Its shell mirrors node/'s driver.

import { present } from '../../base/check.ts';
import type { Effect } from '../../consensus/effect.ts';
import type { Event } from '../../consensus/input.ts';
import type { Proposal, Vote } from '../../consensus/message.ts';
import { proposalTimestamp } from '../../consensus/proposal-time.ts';
import type { HeightState } from '../../consensus/step.ts';
import { DEFAULT_TIMEOUTS } from '../../consensus/timeouts.ts';
import { EventQueue, draw } from './event-queue.ts';
import { type FaultGate, OPEN_GATE } from './fault-gate.ts';
import type { Faults } from './faults.ts';
import { Observer, Violation } from './invariants.ts';
import { falseDecision, flood, lie } from './liar.ts';
import { Links } from './links.ts';
import { type Membership, SET_DELAY, memberships } from './membership.ts';
import { type Offence, offences } from './offence.ts';
import { Healing, atRest, holdBack, isCertified, isFounded, isPast, judged, population } from './node-checks.ts';
import { type Place, memoryStore, reopened } from './store.ts';
import { Values } from './values.ts';
import {
  type Core,
  type Decision,
  EPOCH_MS,
  type Entry,
  FUTURE_BYTES,
  GOOD_HABITS,
  HEIGHT_MS,
  type Habits,
  type Happening,
  MAX_WAIT_MS,
  type Message,
  NO_SIGNATURE,
  type Node,
  type Outcome,
  PHASES,
  STEPS,
  TICK_MS,
  type WorldOptions,
} from './world-parts.ts';

export class World {
  readonly #seed: number;
  readonly #faults: Faults;
  readonly #coreOf: Core;
  readonly #habits: Habits;
  readonly #gate: FaultGate;
  readonly #links: Links;
  readonly #membership: (value: string | undefined) => Membership;
  readonly #nodes: Node[] = [];
  readonly #queue = new EventQueue<Happening>();
  readonly #observer: Observer;
  readonly #values = new Values();
  readonly #offenceOf = offences();
  readonly #journal: (entry: Entry) => void;
  readonly #count = { events: 0, restarts: 0, trace: 0, maxRound: 0, decisions: 0 };
  #healing: Healing | null = null;
  #now = 0;

  constructor(seed: number, faults: Faults, core: Core, options: WorldOptions = {}) {
    this.#seed = seed;
    this.#faults = faults;
    this.#coreOf = core;
    this.#habits = options.habits ?? GOOD_HABITS;
    this.#gate = options.gate ?? OPEN_GATE;
    this.#journal = options.journal ?? (() => {});
    this.#links = new Links(seed, faults, this.#gate);
    const names = Array.from({ length: faults.count }, (_, index) => `v${String(index).padStart(3, '0')}`);
    this.#membership = memberships(names, faults.churn);
    this.#observer = new Observer(this.#membership);
    const store = options.store ?? memoryStore;
    const founders = this.#membership(undefined);
    this.#nodes.push(...population(names, faults.twins, { store, founders, buffer: () => this.#newBuffer() }));
    for (const [at] of this.#nodes.entries()) {
      this.#begin(at);
      this.#queue.push(draw(seed, at, 7) % TICK_MS, { kind: 'tick', to: at });
    }
  }

  #newBuffer(): Node['future'] {
    return this.#coreOf.futureBuffer<Message>(() => this.#faults.count, FUTURE_BYTES);
  }

  /** Runs chaos, heals, and wants progress. */
  run(): Outcome {
    let violation: string | null = null;
    try {
      this.#runUntil(this.#faults.chaosMs, Number.POSITIVE_INFINITY);
      if (this.#faults.twinsStop) for (const node of this.#nodes) if (!node.isHonest) node.isUp = false;
      const target = this.#observer.height + this.#faults.healHeights;
      const chaosRound = this.#count.maxRound;
      const round = Math.max(0, ...this.#nodes.map(({ core }) => core?.driver.rules.round ?? 0));
      this.#count.maxRound = round;
      this.#healing = new Healing(this.#nodes, this.#faults, round);
      this.#runUntil(this.#faults.chaosMs + this.#faults.healMs, target);
      this.#healing.isLive(target, this.#count.maxRound);
      this.#count.maxRound = Math.max(this.#count.maxRound, chaosRound);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      violation = error instanceof Violation ? error.message : `threw ${error.message}`;
    }
    const { trace, events, restarts, maxRound } = this.#count;
    const counts = { heights: this.#observer.height, events, restarts, maxRound, trace: trace >>> 0 };
    return { violation, ...counts, virtualMs: this.#now };
  }

  #runUntil(timeMs: number, height: number): void {
    for (;;) {
      const next = this.#queue.pop();
      if (next === undefined || next.time > timeMs) {
        if (next !== undefined) this.#queue.push(next.time, next.item);
        return;
      }
      this.#now = next.time;
      const decided = this.#count.decisions;
      this.#happen(next.item);
      if (this.#count.decisions !== decided && this.#nodes.every((node) => isPast(node, height))) return;
    }
  }

  get #isChaos(): boolean {
    return this.#now < this.#faults.chaosMs;
  }

  #node(at: number): Node {
    return this.#nodes[at] as Node;
  }

  /** What a node takes for the time, in milliseconds since 1970. */
  #clock(node: Node): number {
    return EPOCH_MS + this.#now + (this.#isChaos ? this.#links.skew(node) : 0);
  }

  #happen(item: Happening): void {
    const node = this.#node(item.to);
    this.#count.events++;
    this.#count.trace = draw(
      this.#count.trace,
      this.#now,
      item.to,
      node.chain.length,
      node.core?.driver.rules.round ?? -1,
    );
    if (!node.isUp && item.kind !== 'tick' && item.kind !== 'restart') return;
    switch (item.kind) {
      case 'message':
        this.#receive(item.to, item.message);
        return;
      case 'flood':
        for (const message of flood(item.sender, item.height, this.#observer)) this.#receive(item.to, message);
        return;
      case 'event':
        if (node.epoch === item.epoch) this.#feed(item.to, item.event);
        return;
      case 'start':
        if (node.epoch === item.epoch) this.#start(item.to);
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
    const delay = this.#habits.earlySet ? SET_DELAY - 1 : SET_DELAY;
    node.members = this.#membership(node.chain[node.chain.length - delay]?.value);
    return this.#coreOf.heightState({
      height: node.chain.length + 1,
      self: node.name,
      validators: node.members.set,
      proposerOf: node.members.proposerOf,
      timeouts: DEFAULT_TIMEOUTS,
    });
  }

  #begin(at: number): void {
    const node = this.#node(at);
    node.core = this.#fresh(node);
    node.isStarted = false;
    node.epoch++;
    node.queue = [];
    node.said = 0;
    if (!this.#stored(node, () => node.store.begin(node.chain.length + 1))) return;
    const pace = node.chain.length === 0 ? 0 : Math.max(1, node.startedMs + HEIGHT_MS - this.#now);
    const behind = Math.min(MAX_WAIT_MS, (node.stamp + 1) * 1_000 - this.#clock(node));
    this.#queue.push(this.#now + Math.max(pace, behind), { kind: 'start', to: at, epoch: node.epoch });
  }

  #start(at: number): void {
    const node = this.#node(at);
    node.isStarted = true;
    node.startedMs = this.#now;
    const height = node.chain.length + 1;
    if (!this.#perform(at, this.#coreOf.step(present(node.core, 'core'), { kind: 'start' }).effects)) return;
    const held = node.future.take(height);
    node.held -= held.length;
    for (const message of held) if (node.isUp && node.chain.length + 1 === height) this.#receive(at, message);
    this.#drain(at);
  }

  #receive(at: number, message: Message): void {
    const node = this.#node(at);
    const height = node.chain.length + 1;
    if (message.height < height || message.height > height + 1) return;
    if (message.height > height || !node.isStarted) {
      holdBack(node, message);
      return;
    }
    if (message.polka !== null) this.#feed(at, message.polka);
    if (node.isUp && node.chain.length + 1 === message.height)
      this.#feed(at, judged(message.event, this.#values.stamps, this.#clock(node)));
  }

  #feed(at: number, event: Event): void {
    this.#node(at).queue.push(event);
    this.#drain(at);
  }

  #drain(at: number): void {
    const node = this.#node(at);
    for (let event = node.queue.shift(); event !== undefined; event = node.queue.shift()) {
      const core = present(node.core, 'core');
      if (this.#coreOf.isKnown(core, event)) continue;
      const said = event;
      if (said.kind !== 'resend' && !this.#stored(node, () => node.store.append(said))) return;
      const { effects } = this.#coreOf.step(core, event);
      if (core.driver.rules.round > this.#count.maxRound) {
        this.#count.maxRound = core.driver.rules.round;
        this.#healing?.note(this.#count.maxRound);
      }
      if (!this.#perform(at, effects)) return;
    }
  }

  /** Runs a storage operation; where it fails the node stops at once, as the real one does, and is started again later. */
  #stored(node: Node, operation: () => void): boolean {
    try {
      operation();
      return true;
    } catch (error) {
      if (error instanceof Violation) throw error;
      this.#fall(this.#nodes.indexOf(node), ++node.effects);
      return false;
    }
  }

  /** False when the height ended or the node crashed on the way. */
  #perform(at: number, effects: readonly Effect[]): boolean {
    const node = this.#node(at);
    const { epoch } = node;
    for (const effect of effects) {
      if (this.#crashes(at)) return false;
      this.#effect(at, effect);
      if (!node.isUp || node.epoch !== epoch) return false;
    }
    return true;
  }

  /** Every effect is a place to crash at. */
  #crashes(at: number): boolean {
    const node = this.#node(at);
    if (!node.isHonest || !this.#isChaos || !this.#links.isCrashing(node, at)) return false;
    this.#fall(at, node.effects);
    return true;
  }

  /** A node goes down: its memory is gone, its disk keeps what was durable. */
  #fall(at: number, place: number): void {
    const node = this.#node(at);
    node.isUp = false;
    node.epoch++;
    node.core = null;
    node.queue = [];
    node.future = this.#newBuffer();
    node.held = 0;
    node.store.crash(draw(this.#seed, 12, at, place));
    this.#queue.push(this.#now + (draw(this.#seed, 13, at, place) % 3_000), { kind: 'restart', to: at });
  }

  #restart(at: number): void {
    const node = this.#node(at);
    this.#count.restarts++;
    node.isUp = true;
    node.epoch++;
    this.#journal({ kind: 'restarted', at });
    node.core = this.#fresh(node);
    node.isStarted = true;
    node.startedMs = this.#now;
    let events: readonly Event[] = [];
    const isOpen = this.#stored(node, () => {
      events = reopened(node, this.#fresh(node), this.#coreOf);
    });
    if (!isOpen) return;
    const known = this.#habits.rebuildValue ? events.filter((event) => event.kind !== 'built') : events;
    if (this.#perform(at, this.#coreOf.resume(node.core, known))) this.#drain(at);
  }

  #effect(at: number, effect: Effect): void {
    const node = this.#node(at);
    switch (effect.kind) {
      case 'build':
        this.#build(at, effect.round);
        return;
      case 'start-timer': {
        const { timer, round } = effect;
        const event: Event = { kind: 'timeout', timer, round };
        this.#queue.push(this.#now + effect.ms, { kind: 'event', to: at, epoch: node.epoch, event });
        return;
      }
      case 'sign-ballot':
        this.#signBallot(at, effect);
        return;
      case 'sign-offer':
        this.#signOffer(at, effect);
        return;
      case 'publish-polka':
        if (!this.#habits.noPolka) {
          const event: Event = { kind: 'certificate', votes: effect.votes };
          const round = effect.votes[0]?.round ?? 0;
          this.#broadcast(at, this.#message(at, { round, phase: PHASES.polka, sender: null, event, polka: null }));
        }
        return;
      case 'resend-vote': {
        const { vote } = effect;
        const event: Event = { kind: 'vote', vote };
        const { round, type, voter: sender } = vote;
        this.#broadcast(at, this.#message(at, { round, phase: PHASES[type], sender, event, polka: null }));
        return;
      }
      case 'resend-proposal':
        this.#broadcast(at, this.#offered(at, effect.proposal, effect.polka));
        return;
      case 'decide': {
        const block = this.#habits.roundInHash ? `${effect.value}@${effect.round}` : effect.value;
        this.#decide(at, { value: effect.value, block, votes: effect.votes });
        return;
      }
      case 'vote-evidence':
      case 'proposal-evidence':
        this.#accuse(node, this.#offenceOf(effect));
        return;
    }
  }

  #build(at: number, round: number): void {
    const node = this.#node(at);
    const height = node.chain.length + 1;
    const value = `${height}/${round}/${node.name}/${node.twin}/${node.built++}`;
    const stamp = proposalTimestamp(node.stamp, this.#clock(node));
    this.#values.add(height, value, stamp);
    this.#journal({ kind: 'built', at, value, stamp });
    const event: Event = { kind: 'built', round, value };
    this.#queue.push(this.#now + 5, { kind: 'event', to: at, epoch: node.epoch, event });
  }

  #signBallot(at: number, effect: Effect & { kind: 'sign-ballot' }): void {
    const node = this.#node(at);
    const { ballot } = effect;
    if (node.isHonest && ballot.type === 'prevote') isFounded(node, ballot);
    const { type, height, round, value } = ballot;
    if (type === 'prevote' && value !== null) this.#journal({ kind: 'prevoted', at, value });
    const vote: Vote = { type, height, round, value, voter: node.name, signature: NO_SIGNATURE };
    const event: Event = { kind: 'vote', vote };
    const message = this.#message(at, { round, phase: PHASES[type], sender: node.name, event, polka: null });
    if (this.#sign(at, [height, round, STEPS[type]], String(value), message)) node.queue.unshift(event);
  }

  #signOffer(at: number, effect: Effect & { kind: 'sign-offer' }): void {
    const node = this.#node(at);
    const { offer, polka } = effect;
    const { height, round, value, validRound } = offer;
    const signed = { height, round, value, validRound, proposer: node.name, signature: NO_SIGNATURE };
    const message = this.#offered(at, signed, polka);
    if (this.#sign(at, [height, round, STEPS.proposal], `${value}|${validRound}`, message))
      node.queue.unshift(message.event);
  }

  #offered(at: number, proposal: Proposal, polka: readonly Vote[]): Message {
    const event: Event = { kind: 'proposal', proposal, validity: 'valid' };
    const certificate: Event | null =
      polka.length === 0 || this.#habits.noPolka ? null : { kind: 'certificate', votes: polka };
    const { round, proposer } = proposal;
    return this.#message(at, { round, phase: PHASES.proposal, sender: proposer, event, polka: certificate });
  }

  #accuse(node: Node, { signer, words, id }: Offence): void {
    const accused = this.#nodes.find(({ name }) => name === signer);
    const named = this.#habits.evidenceClock ? `${id}@${this.#clock(node)}` : id;
    if (node.isHonest) this.#observer.accused(signer, accused?.isHonest ?? true, words, named);
  }

  /** Sync the log, check and persist the place, and only then let the signature out. False when it did not leave. */
  #sign(at: number, place: Place, what: string, message: Message): boolean {
    const node = this.#node(at);
    if (!node.isHonest) {
      this.#leave(at, message);
      return true;
    }
    if (!node.store.mayVote(place[0])) return false;
    if (!this.#habits.skipLogSync && !this.#stored(node, () => node.store.sync())) return false;
    if (this.#habits.sendBeforePersist) {
      this.#leave(at, message);
      if (this.#crashes(at)) return false;
      return node.store.record(place, what);
    }
    let isFree = false;
    const isStored = this.#stored(node, () => {
      isFree = node.store.record(place, what);
    });
    if (!isStored || !isFree || this.#crashes(at)) return false;
    this.#leave(at, message);
    return true;
  }

  #leave(at: number, message: Message): void {
    const { name, isHonest } = this.#node(at);
    const { event } = message;
    if (event.kind === 'vote') this.#observer.signedBallot(event.vote, name, isHonest);
    else if (event.kind === 'proposal') this.#observer.signedOffer(event.proposal, name, isHonest);
    this.#broadcast(at, message);
  }

  #message(at: number, said: Omit<Message, 'height' | 'id'>): Message {
    const node = this.#node(at);
    const height = node.chain.length + 1;
    const { round, phase, sender, event, polka } = said; // written out: spreading is slow and runs for every message
    return { height, round, phase, sender, event, polka, id: draw(at, height, round, phase, node.said++) };
  }

  #broadcast(from: number, message: Message): void {
    const source = this.#node(from);
    const isFaulty = this.#isChaos && !source.isHonest;
    for (let to = 0; to < this.#nodes.length; to++) {
      const delay = to === from ? null : this.#links.delay(source, this.#node(to), to, message, this.#isChaos);
      if (delay === null) continue;
      const said = isFaulty ? this.#lie(source, to, message) : message;
      this.#queue.push(this.#now + delay, { kind: 'message', to, message: said });
      if (isFaulty && this.#links.isFlooded(to, message)) {
        this.#queue.push(this.#now + delay, { kind: 'flood', to, sender: source.name, height: message.height });
      }
    }
  }

  /** A faulty authority now and then tells one peer something else. */
  #lie(source: Node, to: number, message: Message): Message {
    const chance = draw(this.#seed, 5, message.id, to);
    const values = this.#values.at(message.height);
    if (chance % 100 >= this.#faults.liePercent || values === undefined) return message;
    return this.#gate.admits('lie', message.id, to)
      ? lie(message, source.name, chance, values, this.#observer)
      : message;
  }

  #decide(at: number, decision: Decision): void {
    const node = this.#node(at);
    const previous = node.chain.length;
    const { value, block, votes } = decision;
    if (node.isHonest) this.#observer.decided(node.name, votes[0]?.height ?? 0, previous, block, value, votes);
    node.chain.push(decision);
    this.#journal({ kind: 'decided', at, value });
    this.#count.decisions++;
    node.stamp = this.#values.stamps.get(value) ?? node.stamp + 1;
    if (!this.#crashes(at)) this.#begin(at); // between the block's commit and the log of the next height
  }

  /** Once a second: say it again, and catch up from somebody. */
  #tick(at: number): void {
    const node = this.#node(at);
    this.#queue.push(this.#now + TICK_MS, { kind: 'tick', to: at });
    if (!node.isUp) return;
    if (node.isStarted && node.isHonest) atRest(node);
    const chance = draw(this.#seed, 4, at, this.#now);
    const peer = this.#node(chance % this.#nodes.length);
    if (peer.isUp && peer.name !== node.name && peer.chain.length > node.chain.length) {
      const { lossPercent, cutPercent } = this.#faults;
      const isMissed = this.#isChaos && (chance >>> 10) % 100 < Math.max(lossPercent, cutPercent);
      const isHeard = !isMissed || !this.#gate.admits('sync', at, this.#now);
      if (isHeard && this.#catchUp(at, peer, chance)) return;
    }
    if (node.isUp && node.isStarted && this.#now - node.startedMs >= TICK_MS * 0.8) this.#feed(at, { kind: 'resend' });
  }

  /** Takes the blocks of a peer as far as their certificates bear them. */
  #catchUp(at: number, peer: Node, chance: number): boolean {
    const node = this.#node(at);
    const before = node.chain.length;
    for (const decision of peer.chain.slice(before)) {
      const isLie = this.#isChaos && !peer.isHonest && (chance >>> 4) % 100 < this.#faults.liePercent;
      const told = isLie && this.#gate.admits('lie', at, this.#now) ? falseDecision(decision, chance) : decision;
      if (!this.#habits.trustSync && node.isHonest && !isCertified(node, told, this.#observer)) break;
      this.#decide(at, told);
      if (!node.isUp) break;
    }
    return node.chain.length > before;
  }
}
