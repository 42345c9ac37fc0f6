// Owns the imperative shell of the consensus: performs the core's effects, feeds it one event at a time, logs before acting,
// signs through the guard, keeps the pace of heights. Rules are consensus/, what a block holds is the chain's.

import { join } from 'node:path';
import { type Hex, fromHex } from '../base/bytes.ts';
import { check, never, present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { addressOfSecret, signDigest } from '../base/keys.ts';
import {
  certificateOf,
  decodeCertificate,
  encodeCertificate,
  verifyCertificate,
  votesOf,
} from '../consensus/certificate.ts';
import { type WireMessage, encodeMessage } from '../consensus/codec.ts';
import type { Effect } from '../consensus/effect.ts';
import { evidenceId, proposalEvidence, voteEvidence } from '../consensus/evidence.ts';
import type { Event, Validity } from '../consensus/input.ts';
import { MAX_FUTURE_BYTES } from '../consensus/limits.ts';
import { type Proposal, type Vote, voteKey } from '../consensus/message.ts';
import { DEFAULT_TIME_WINDOW, isTimely, proposalTimestamp } from '../consensus/proposal-time.ts';
import { rotation } from '../consensus/proposer.ts';
import { type SigningDomain, ballotDigest, domainId, offerDigest } from '../consensus/sign-bytes.ts';
import { type HeightState, heightState, missingDecision, step } from '../consensus/step.ts';
import { DEFAULT_TIMEOUTS } from '../consensus/timeouts.ts';
import { type ValidatorSet, validatorSet, weightedSet } from '../consensus/validator-set.ts';
import { hasQuorumFor } from '../consensus/vote-keeper.ts';
import type { Timer } from './clock.ts';
import { type Inbox, type Verdict, createInbox } from './consensus-inbox.ts';
import { type ConsensusLog, type LogEntry, openConsensusLog } from './consensus-log.ts';
import type { CertifiedBlock, ConsensusOptions, ConsensusStatus } from './consensus-options.ts';
import { pendingAfterReplay, replayEvents } from './consensus-replay.ts';
import { type SignGuard, type SignStep, openSignGuard } from './sign-guard.ts';

const RESEND_MS = 1_000;
const CATCH_UP_MS = 500;
/** Without progress for this long, a peer that claims our height is asked for it. */
const STALE_MS = 2_000;
/** A clock that is behind the chain waits this long at most before it takes part. */
const MAX_WAIT_MS = 2_000;
const SYNC_BATCH = 64;
/** A key without sign state that joins a running chain holds back its votes for one height, but no longer than this. */
const UNKNOWN_PAST_MS = 30_000;
/** Milliseconds a peer that had nothing is left alone. */
const PEER_PAUSE_MS = 1_000;

type Work =
  | Readonly<{ kind: 'event'; height: number; event: Event; entry: LogEntry | null }>
  | Readonly<{ kind: 'start'; height: number }>
  | Readonly<{ kind: 'resume'; height: number }>
  | Readonly<{ kind: 'certified'; peer: string; blocks: readonly CertifiedBlock[] }>;

/** A life cycle: start, run, stop. All state changes happen in `pump`, one piece of work at a time. */
export class ConsensusDriver {
  readonly #options: ConsensusOptions;
  readonly #domain: SigningDomain;
  readonly #self: Hex | null;
  readonly #inbox: Inbox;
  #guard: SignGuard | null = null;
  #log: ConsensusLog | null = null;
  #replay: readonly LogEntry[] = [];
  #signFrom = 0;
  #signFromMs = Number.POSITIVE_INFINITY;
  #set: ValidatorSet = weightedSet([]);
  #core: HeightState | null = null;
  #height = 0;
  #isStarted = false;
  #blocks = new Map<string, Uint8Array>();
  #blockBytes = 0;
  #validations = new Map<string, Promise<Validity>>();
  #timers = new Set<Timer>();
  #ticks: Timer[] = [];
  #queue: Work[] = [];
  #effects: Effect[] = [];
  #pumping: Promise<void> | null = null;
  #isStopped = true;
  #copy = 0;
  #startedMs = 0;
  #finalMs = 0;
  #proposalMs: number | null = null;
  #isFetching = false;
  #pausedPeers = new Map<string, number>();
  #reported = new Set<string>();
  #unsubscribe: (() => void) | null = null;

  constructor(options: ConsensusOptions) {
    this.#options = options;
    this.#domain = { chainId: options.chainId, genesisHash: options.genesisHash };
    this.#self = options.key === null ? null : addressOfSecret(options.key);
    this.#inbox = createInbox(this.#domain);
  }

  /** Opens the sign state and the log, replays the height that was in progress, and takes part. */
  async start(): Promise<Result<null>> {
    const { directory, clock, network, blocks } = this.#options;
    const head = blocks.head();
    if (this.#self !== null) {
      const path = join(directory, 'sign-state.bin');
      const mayCreate = head.height === 0 || this.#options.mayCreateSignState === true;
      const guard = openSignGuard({ path, domainId: domainId(this.#domain, this.#self), mayCreate });
      if (!guard.ok) return guard;
      this.#guard = guard.value;
    }
    const opened = openConsensusLog(join(directory, 'consensus.wal'));
    if (!opened.ok) {
      this.#guard?.close();
      return opened;
    }
    this.#log = opened.value.log;
    this.#replay = opened.value.entries;
    if (opened.value.isDamaged) {
      // Locks of that height may be lost: it is followed, not voted in.
      this.#signFrom = Math.max(this.#log.height(), head.height + 1) + 1;
      this.#options.log.warn('consensus-log-damaged', { votesFrom: this.#signFrom });
    }
    this.#isStopped = false;
    this.#finalMs = clock.monotonic();
    await this.#begin();
    this.#unsubscribe = network.onMessage((bytes, from) => this.#receive(bytes, from));
    this.#ticks = [clock.every(RESEND_MS, () => this.#resend()), clock.every(CATCH_UP_MS, () => this.#catchUp())];
    return success(null);
  }

  /** Ends taking part; work in progress is finished first. */
  async stop(): Promise<void> {
    this.#halt();
    await this.#pumping;
    this.#guard?.close();
    this.#log?.close();
    this.#guard = null;
    this.#log = null;
  }

  status(): ConsensusStatus {
    const rules = this.#core?.driver.rules;
    return {
      height: this.#height,
      round: Math.max(0, rules?.round ?? 0),
      step: this.#isStarted ? (rules?.step ?? 'new') : 'new',
      isAuthority: this.#self !== null && this.#set.weights.has(this.#self),
      isSyncing: this.#isFetching,
      validators: this.#set.addresses,
    };
  }

  #halt(): void {
    this.#isStopped = true;
    this.#unsubscribe?.();
    for (const timer of [...this.#timers, ...this.#ticks]) timer.cancel();
    this.#timers.clear();
    this.#queue = [];
  }

  #fatal(error: unknown): void {
    if (this.#isStopped) return;
    this.#halt();
    this.#options.onFatal(error instanceof Error ? error : new Error(String(error)));
  }

  // ---- one height -------------------------------------------------------------------------------------------------------

  /** Prepares the height after the head; it starts when its time has come. */
  async #begin(): Promise<void> {
    const { blocks, clock, intervalMs } = this.#options;
    const head = blocks.head();
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    this.#queue = this.#queue.filter((work) => work.kind === 'certified');
    this.#height = head.height + 1;
    this.#set = validatorSet((await this.#options.validators(this.#height)).map((address) => address.toLowerCase()));
    this.#core = heightState({
      height: this.#height,
      self: this.#self,
      validators: this.#set,
      proposerOf: rotation(this.#set),
      timeouts: this.#options.timeouts ?? DEFAULT_TIMEOUTS,
    });
    this.#isStarted = false;
    this.#blocks.clear();
    this.#blockBytes = 0;
    this.#validations.clear();
    this.#reported.clear();
    this.#proposalMs = null;
    const log = present(this.#log, 'log');
    const replay = log.height() === this.#height ? this.#replay : [];
    if (log.height() <= this.#height) this.#replay = [];
    if (log.height() < this.#height) log.reset(this.#height);
    if (replay.length > 0) {
      this.#restore(replay);
      return;
    }
    const paceMs = this.#startedMs + (intervalMs ?? 1_000) - clock.monotonic();
    const stampMs = (head.timestamp + 1) * 1_000 - clock.now();
    const waitMs = Math.min(MAX_WAIT_MS, Math.max(0, this.#startedMs === 0 ? 0 : paceMs, stampMs));
    const height = this.#height;
    this.#timer(Math.ceil(waitMs), () => this.#enqueue({ kind: 'start', height }));
  }

  #startHeight(): void {
    this.#isStarted = true;
    this.#startedMs = this.#options.clock.monotonic();
    this.#feed({ kind: 'start' }, null);
    for (const message of this.#inbox.release(this.#height)) this.#act(message);
  }

  /** Brings the core back to where the log ends, then does what had not been done yet. */
  #restore(entries: readonly LogEntry[]): void {
    const core = present(this.#core, 'core');
    this.#isStarted = true;
    this.#startedMs = this.#options.clock.monotonic();
    const effects = [...step(core, { kind: 'start' }).effects];
    for (const { event, block } of replayEvents(entries, this.#set)) {
      if (block !== null) this.#keepBlock(block.value, block.wire);
      effects.push(...step(core, event).effects);
    }
    this.#options.log.info('consensus-replayed', {
      height: this.#height,
      entries: entries.length,
      round: core.driver.rules.round,
    });
    this.#effects = pendingAfterReplay(effects, entries, core);
    this.#enqueue({ kind: 'resume', height: this.#height });
  }

  #keepBlock(value: string, wire: Uint8Array): void {
    if (this.#blocks.has(value)) return;
    this.#blocks.set(value, wire);
    this.#blockBytes += wire.length;
    const keep = this.#core?.driver.rules.validValue;
    for (const [hash, bytes] of this.#blocks) {
      if (this.#blockBytes <= MAX_FUTURE_BYTES) return;
      if (hash === keep || hash === value) continue;
      this.#blocks.delete(hash);
      this.#blockBytes -= bytes.length;
    }
  }

  // ---- work, one piece at a time ----------------------------------------------------------------------------------------

  #enqueue(work: Work, isFirst = false): void {
    if (this.#isStopped) return;
    if (isFirst) this.#queue.unshift(work);
    else this.#queue.push(work);
    this.#pumping ??= this.#drain();
  }

  async #drain(): Promise<void> {
    try {
      await null;
      for (let work = this.#queue.shift(); work !== undefined && !this.#isStopped; work = this.#queue.shift()) {
        await this.#process(work);
      }
    } catch (error) {
      this.#fatal(error);
    } finally {
      this.#pumping = null;
    }
  }

  async #process(work: Work): Promise<void> {
    if (work.kind === 'certified') return this.#takeCertified(work.peer, work.blocks);
    if (work.height !== this.#height) return;
    if (work.kind === 'start') {
      if (!this.#isStarted) this.#startHeight();
    } else if (work.kind === 'event' && !this.#isRedundant(work.event)) {
      this.#feed(work.event, work.entry);
    }
    await this.#performAll(this.#effects.splice(0));
  }

  /** Logs an event, then steps the core. */
  #feed(event: Event, entry: LogEntry | null): void {
    const log = present(this.#log, 'log');
    if (entry !== null && log.height() === this.#height) log.append(entry);
    this.#effects.push(...step(present(this.#core, 'core'), event).effects);
  }

  #isRedundant(event: Event): boolean {
    const { driver, seen } = present(this.#core, 'core');
    const { keeper } = driver;
    if (event.kind === 'proposal') {
      const { round, value, validRound } = event.proposal;
      return seen.get(round)?.some((p) => p.value === value && p.validRound === validRound) ?? false;
    }
    if (event.kind === 'vote') {
      const votes = keeper.rounds.get(event.vote.round);
      const count = event.vote.type === 'prevote' ? votes?.prevotes : votes?.precommits;
      return count?.received.has(voteKey(event.vote)) ?? false;
    }
    if (event.kind !== 'certificate') return false;
    const [first] = event.votes;
    return first === undefined || hasQuorumFor(keeper, first.type, first.round, first.value);
  }

  async #performAll(effects: readonly Effect[]): Promise<void> {
    for (const effect of effects) {
      if (this.#isStopped) return;
      await this.#perform(effect);
    }
  }

  async #perform(effect: Effect): Promise<void> {
    switch (effect.kind) {
      case 'build':
        this.#build(effect.round);
        return;
      case 'sign-ballot':
        return this.#signBallot(effect);
      case 'sign-offer':
        return this.#signOffer(effect);
      case 'start-timer': {
        const { timer, round, ms } = effect;
        const entry: LogEntry = { kind: 'timeout', timer, round };
        const work: Work = { kind: 'event', height: this.#height, event: { kind: 'timeout', timer, round }, entry };
        this.#timer(ms, () => this.#enqueue(work));
        return;
      }
      case 'publish-polka':
        this.#broadcast({ kind: 'polka', certificate: certificateOf(effect.votes, this.#set) });
        return;
      case 'resend-vote':
        this.#broadcast({ kind: 'vote', vote: effect.vote });
        return;
      case 'resend-proposal':
        this.#sendProposal(effect.proposal, effect.polka);
        return;
      case 'decide':
        return this.#decide(effect);
      case 'vote-evidence':
      case 'proposal-evidence':
        this.#report(effect);
        return;
      default:
        never(effect);
    }
  }

  // ---- signing ----------------------------------------------------------------------------------------------------------

  #sign(round: number, order: SignStep, digest: Uint8Array): Uint8Array | null {
    const { key, log } = this.#options;
    if (key === null || this.#guard === null || this.#isHeldBack()) return null;
    // The inputs this signature rests on must outlive a crash, or a lock could be forgotten.
    present(this.#log, 'log').sync();
    const signed = this.#guard.sign({ height: this.#height, round, step: order }, digest, (bytes) =>
      signDigest(bytes, key),
    );
    if (signed.ok) return signed.value;
    if (signed.code === 'sign-guard/storage') throw new Error(signed.message);
    log.warn('signature-refused', { code: signed.code, height: this.#height, round, step: order });
    return null;
  }

  #isHeldBack(): boolean {
    return this.#height < this.#signFrom && this.#options.clock.monotonic() < this.#signFromMs;
  }

  #signBallot(effect: Effect & { kind: 'sign-ballot' }): void {
    const { ballot } = effect;
    const order = ballot.type === 'prevote' ? 2 : 3;
    const signature = this.#sign(ballot.round, order, ballotDigest(this.#domain, ballot));
    if (signature === null || this.#self === null) return;
    const vote: Vote = { ...ballot, voter: this.#self, signature };
    const bytes = encodeMessage({ kind: 'vote', vote });
    this.#options.network.broadcast(bytes);
    const entry: LogEntry = { kind: 'message', bytes, validity: 'valid' };
    this.#enqueue({ kind: 'event', height: this.#height, event: { kind: 'vote', vote }, entry }, true);
  }

  #signOffer(effect: Effect & { kind: 'sign-offer' }): void {
    const { offer, polka } = effect;
    const signature = this.#sign(offer.round, 1, offerDigest(this.#domain, offer));
    if (signature === null || this.#self === null) return;
    const proposal: Proposal = { ...offer, proposer: this.#self, signature };
    const bytes = this.#sendProposal(proposal, polka);
    if (bytes === null) return;
    this.#proposalMs ??= this.#options.clock.monotonic();
    const entry: LogEntry = { kind: 'message', bytes, validity: 'valid' };
    const event: Event = { kind: 'proposal', proposal, validity: 'valid' };
    this.#enqueue({ kind: 'event', height: this.#height, event, entry }, true);
  }

  #sendProposal(proposal: Proposal, polka: readonly Vote[]): Uint8Array | null {
    const block = this.#blocks.get(proposal.value);
    if (block === undefined) return null;
    const certificate = polka.length === 0 ? null : certificateOf(polka, this.#set);
    if (certificate === null && proposal.validRound >= 0) return null;
    const message: WireMessage = { kind: 'proposal', proposal, polka: certificate, block };
    this.#broadcast(message);
    return encodeMessage(message);
  }

  #broadcast(message: WireMessage): void {
    this.#options.network.broadcast(encodeMessage(message, this.#copy));
  }

  #resend(): void {
    const { clock } = this.#options;
    if (!this.#isStarted || clock.monotonic() - this.#startedMs < RESEND_MS * 0.8) return;
    this.#copy = (this.#copy + 1) & 0xffff;
    this.#enqueue({ kind: 'event', height: this.#height, event: { kind: 'resend' }, entry: null });
  }

  // ---- blocks -----------------------------------------------------------------------------------------------------------

  #build(round: number): void {
    const { blocks, clock, log } = this.#options;
    const height = this.#height;
    const timestamp = proposalTimestamp(blocks.head().timestamp, clock.now());
    this.#proposalMs ??= clock.monotonic();
    const build = async (): Promise<void> => {
      const built = await blocks.build({ height, round, timestamp });
      if (this.#height !== height || this.#isStopped) return;
      if (!built.ok) {
        log.warn('block-not-built', { height, round, code: built.code, message: built.message });
        return;
      }
      const { hash, wire } = built.value;
      this.#keepBlock(hash, wire);
      const entry: LogEntry = { kind: 'built', round, value: hash, block: wire };
      this.#enqueue({ kind: 'event', height, event: { kind: 'built', round, value: hash }, entry });
    };
    build().catch((error: unknown) => this.#fatal(error));
  }

  async #decide(effect: Effect & { kind: 'decide' }): Promise<void> {
    const wire = present(this.#blocks.get(effect.value), 'decided block');
    const certificate = encodeCertificate(certificateOf(effect.votes, this.#set));
    const done = await this.#finalise(wire, effect.value as Hex, certificate, effect.round, false);
    if (!done.ok) throw new Error(`the decided block does not execute: ${done.message}`);
    await this.#begin();
  }

  async #finalise(
    wire: Uint8Array,
    hash: Hex,
    certificate: Uint8Array,
    round: number,
    synced: boolean,
  ): Promise<Result<null>> {
    const { blocks, clock, onHeight } = this.#options;
    const height = blocks.head().height + 1;
    const finalityMs = synced || this.#proposalMs === null ? null : clock.monotonic() - this.#proposalMs;
    const done = await blocks.commit({ wire, hash }, certificate);
    if (!done.ok) return done;
    check(blocks.head().height === height, 'the committed block is the head');
    const nowMs = clock.monotonic();
    onHeight?.({ height, round, intervalMs: nowMs - this.#finalMs, finalityMs, synced });
    this.#finalMs = nowMs;
    return done;
  }

  #report(effect: Effect & { kind: 'vote-evidence' | 'proposal-evidence' }): void {
    const evidence =
      effect.kind === 'vote-evidence' ? voteEvidence(...effect.votes) : proposalEvidence(...effect.proposals);
    const id = evidenceId(evidence);
    if (this.#reported.has(id)) return;
    this.#reported.add(id);
    this.#options.log.warn('equivocation', { signer: evidence.signer, height: evidence.height, round: evidence.round });
    this.#options.onEvidence?.(evidence);
  }

  // ---- messages ---------------------------------------------------------------------------------------------------------

  #receive(bytes: Uint8Array, from: string): Verdict {
    if (this.#isStopped) return 'ignore';
    const core = this.#isStarted ? this.#core : null;
    const view = { height: this.#height, validators: this.#set, core };
    const { verdict, message } = this.#inbox.admit(bytes, view, this.#options.clock.monotonic());
    if (message?.kind === 'proposal' && !this.#isNamedBlock(message)) {
      this.#options.log.debug('proposal-block-mismatch', { from });
      return 'reject';
    }
    if (message !== null) this.#act(message);
    return verdict;
  }

  #isNamedBlock(message: WireMessage & { kind: 'proposal' }): boolean {
    const identity = this.#options.blocks.identify(message.block);
    return identity.ok && identity.value.hash === message.proposal.value;
  }

  /** Turns an authentic message of this height into an event. */
  #act(message: WireMessage): void {
    const height = this.#height;
    const entry: LogEntry = { kind: 'message', bytes: encodeMessage(message), validity: 'valid' };
    switch (message.kind) {
      case 'vote':
        if (message.vote.height === height) {
          this.#enqueue({ kind: 'event', height, event: { kind: 'vote', vote: message.vote }, entry });
        }
        return;
      case 'polka': {
        const votes = votesOf(message.certificate, 'prevote', this.#set);
        this.#enqueue({ kind: 'event', height, event: { kind: 'certificate', votes }, entry });
        return;
      }
      case 'proposal':
        this.#judge(message).catch((error: unknown) => this.#fatal(error));
        return;
      default:
        never(message);
    }
  }

  /** Validates a proposal's block beside the queue, then feeds polka and proposal. */
  async #judge(message: WireMessage & { kind: 'proposal' }): Promise<void> {
    const { proposal, polka, block } = message;
    const { clock, timeWindow } = this.#options;
    const { height, round, value, validRound } = proposal;
    const identity = this.#options.blocks.identify(block);
    if (height !== this.#height || !identity.ok || identity.value.hash !== value) return;
    if (proposal.proposer !== this.#core?.driver.proposerOf(height, round)) return;
    this.#proposalMs ??= clock.monotonic();
    this.#keepBlock(value, block);
    const isInTime =
      validRound >= 0 || isTimely(identity.value.timestamp, clock.now(), round, timeWindow ?? DEFAULT_TIME_WINDOW);
    const isPlaced = identity.value.height === height && identity.value.parentHash === this.#options.blocks.head().hash;
    const found = isPlaced ? await this.#validate(block, value, round, proposal.proposer) : 'invalid';
    if (this.#height !== height || this.#isStopped) return;
    const validity: Validity = found === 'valid' && !isInTime ? 'untimely' : found;
    if (polka !== null) {
      const votes = votesOf(polka, 'prevote', this.#set);
      const bytes = encodeMessage({ kind: 'polka', certificate: polka });
      this.#enqueue({
        kind: 'event',
        height,
        event: { kind: 'certificate', votes },
        entry: { kind: 'message', bytes, validity: 'valid' },
      });
    }
    const entry: LogEntry = { kind: 'message', bytes: encodeMessage(message), validity };
    this.#enqueue({ kind: 'event', height, event: { kind: 'proposal', proposal, validity }, entry });
  }

  #validate(wire: Uint8Array, value: string, round: number, proposer: string): Promise<Validity> {
    const known = this.#validations.get(value);
    if (known !== undefined) return known;
    const { blocks, log } = this.#options;
    const height = this.#height;
    const found = blocks.validate(wire, { height, round, proposer }).then((result): Validity => {
      if (!result.ok)
        log.warn('proposal-invalid', { height, round, proposer, code: result.code, message: result.message });
      return result.ok ? 'valid' : 'invalid';
    });
    this.#validations.set(value, found);
    return found;
  }

  #timer(ms: number, action: () => void): void {
    const timer = this.#options.clock.after(ms, () => {
      this.#timers.delete(timer);
      action();
    });
    this.#timers.add(timer);
  }

  // ---- catching up ------------------------------------------------------------------------------------------------------

  #catchUp(): void {
    const { sync, clock } = this.#options;
    if (this.#isFetching || this.#isStopped || this.#queue.some((work) => work.kind === 'certified')) return;
    const nowMs = clock.monotonic();
    const peers = sync.peers().filter((peer) => (this.#pausedPeers.get(peer.id) ?? 0) <= nowMs);
    const ahead = peers.filter((peer) => peer.height >= this.#height);
    const isBehind = ahead.some((peer) => peer.height > this.#height) || this.#inbox.highestSeen() > this.#height + 1;
    const isStale = nowMs - this.#finalMs > STALE_MS;
    const isMissing = this.#core !== null && missingDecision(this.#core) !== null;
    if (ahead.length === 0 || (!isBehind && !isStale && !isMissing)) return;
    const best = ahead.reduce((a, b) => (b.height > a.height ? b : a));
    const choices = ahead.filter((peer) => peer.height === best.height);
    const peer = present(choices[this.#height % choices.length], 'peer');
    this.#isFetching = true;
    this.#fetch(peer.id)
      .catch((error: unknown) => this.#fatal(error))
      .finally(() => {
        this.#isFetching = false;
      });
  }

  async #fetch(peer: string): Promise<void> {
    const { sync, clock, log } = this.#options;
    const answer = await sync.fetch(peer, this.#height, SYNC_BATCH);
    if (this.#isStopped) return;
    if (!answer.ok || answer.value.length === 0) {
      if (this.#pausedPeers.size > 1_000) this.#pausedPeers.clear();
      this.#pausedPeers.set(peer, clock.monotonic() + PEER_PAUSE_MS);
      if (!answer.ok) log.debug('sync-refused', { peer, code: answer.code });
      return;
    }
    this.#enqueue({ kind: 'certified', peer, blocks: answer.value });
  }

  async #takeCertified(peer: string, blocks: readonly CertifiedBlock[]): Promise<void> {
    const first = this.#height;
    for (const block of blocks) {
      const taken = await this.#takeBlock(block);
      if (taken.ok) continue;
      if (taken.code === 'sync/known') continue;
      this.#options.log.warn('sync-block-refused', { peer, code: taken.code, message: taken.message });
      this.#options.sync.punish(peer, taken.message);
      this.#pausedPeers.set(peer, this.#options.clock.monotonic() + 60 * PEER_PAUSE_MS);
      break;
    }
    const { height } = this.#options.blocks.head();
    if (height < first) return;
    if (this.#guard?.last() === null) {
      // Nothing is known of what this key signed before: the height that may have been in progress is left to the others.
      this.#signFrom = Math.max(this.#signFrom, height + 2);
      this.#signFromMs = this.#options.clock.monotonic() + UNKNOWN_PAST_MS;
    }
    this.#options.log.info('synced', { from: first, to: height, peer });
    await this.#begin();
    if (this.#inbox.highestSeen() > this.#height) this.#catchUp();
  }

  /** Commits one block of a peer once its certificate has been checked against the authorities of its height. */
  async #takeBlock({ wire, certificate: bytes }: CertifiedBlock): Promise<Result<null>> {
    const { blocks } = this.#options;
    const head = blocks.head();
    const identity = blocks.identify(wire);
    if (!identity.ok) return identity;
    const { height, hash, parentHash } = identity.value;
    if (height <= head.height) return fault('sync/known', 'the block is known');
    if (height !== head.height + 1 || parentHash !== head.hash)
      return fault('sync/place', 'the block does not stand on the head');
    const decoded = decodeCertificate(bytes);
    if (!decoded.ok) return decoded;
    const addresses = await this.#options.validators(height);
    const validators = validatorSet(addresses.map((address) => address.toLowerCase()));
    const verified = verifyCertificate(decoded.value, {
      domain: this.#domain,
      validators,
      type: 'precommit',
      height,
      blockHash: hash,
    });
    if (!verified.ok) return verified;
    return this.#finalise(wire, hash, bytes, decoded.value.round, true);
  }
}

/** Driver over the given parts; nothing happens before `start`. */
export function createConsensusDriver(options: ConsensusOptions): ConsensusDriver {
  check(options.genesisHash.length === 32, 'consensus: the genesis hash is 32 bytes');
  if (options.key !== null)
    check(fromHex(addressOfSecret(options.key)).length === 20, 'consensus: the key has an address');
  return new ConsensusDriver(options);
}
