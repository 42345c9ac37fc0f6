// Owns the imperative shell of the consensus: performs the core's effects, feeds it one event at a time, logs before acting,
// signs through the guard, keeps the pace of heights. Rules are consensus/, what a block holds is the chain's.

import type { Hex } from '../base/bytes.ts';
import { check, never, present } from '../base/check.ts';
import { type Result, success } from '../base/fault.ts';
import { certificateOf, encodeCertificate, votesOf } from '../consensus/certificate.ts';
import { type WireMessage, encodeMessage } from '../consensus/codec.ts';
import type { Effect } from '../consensus/effect.ts';
import { type Evidence, evidenceId, proposalEvidence, voteEvidence } from '../consensus/evidence.ts';
import type { Event } from '../consensus/input.ts';
import type { Proposal, Vote } from '../consensus/message.ts';
import { proposalTimestamp } from '../consensus/proposal-time.ts';
import { rotation } from '../consensus/proposer.ts';
import { leadsTo, resume } from '../consensus/replay.ts';
import { type SigningDomain, ballotDigest, offerDigest } from '../consensus/sign-bytes.ts';
import { type HeightState, heightState, isKnown, missingDecision, step } from '../consensus/step.ts';
import { DEFAULT_TIMEOUTS } from '../consensus/timeouts.ts';
import { type ValidatorSet, validatorSet, weightedSet } from '../consensus/validator-set.ts';
import { type CatchUp, type CertifiedRun, createCatchUp, judgeCertified, takeRuns } from './consensus-catch-up.ts';
import { type Inbox, type Verdict, createInbox } from './consensus-inbox.ts';
import type { LogEntry } from './consensus-log.ts';
import { type ConsensusMemory, openConsensusMemory } from './consensus-memory.ts';
import type { CertifiedBlock, ConsensusBlocks, ConsensusOptions, ConsensusStatus } from './consensus-options.ts';
import { type Proposals, createProposals } from './consensus-proposals.ts';
import { type Replayed, replayEvents } from './consensus-replay.ts';
import { type ConsensusSigner, FOLLOWER } from './consensus-signer.ts';
import { OWED_VOTES } from './limits.ts';
import type { SignStep } from './sign-guard.ts';
import { type TimerSet, timerSet } from './timer-set.ts';

const RESEND_MS = 1_000;
const CATCH_UP_MS = 500;
/** A clock that is behind the chain waits this long at most before it takes part. */
const MAX_WAIT_MS = 2_000;
/** A key without sign state that joins a running chain holds back its votes for one height, but no longer than this. */
const UNKNOWN_PAST_MS = 30_000;

type Work =
  | Readonly<{ kind: 'event'; height: number; event: Event; entry: LogEntry | null }>
  | Readonly<{ kind: 'start'; height: number }>
  | Readonly<{ kind: 'resume'; height: number }>
  | (Readonly<{ kind: 'certified' }> & CertifiedRun);

/** A life cycle: start, run, stop. All state changes happen in `pump`, one piece of work at a time. */
export class ConsensusDriver {
  readonly #options: ConsensusOptions;
  readonly #domain: SigningDomain;
  readonly #inbox: Inbox;
  readonly #catchUp: CatchUp;
  /** Timers of the height in progress, and those of the whole run. */
  readonly #timers: TimerSet;
  readonly #ticks: TimerSet;
  readonly #proposals: Proposals;
  #signer: ConsensusSigner;
  #memory: ConsensusMemory | null = null;
  #replay: readonly LogEntry[] = [];
  #set: ValidatorSet = weightedSet([]);
  #core: HeightState | null = null;
  #height = 0;
  #takenTo = 0;
  /** Votes the rules cast while this key had to wait: without them there may never be a quorum. */
  #owed: Effect[] = [];
  #isStarted = false;
  #queue: Work[] = [];
  #effects: Effect[] = [];
  #pumping: Promise<void> | null = null;
  #isStopped = true;
  #copy = 0;
  #startedMs = 0;
  #finalMs = 0;
  #proposalMs: number | null = null;
  #reported = new Set<string>();
  #unsubscribe: (() => void) | null = null;

  constructor(options: ConsensusOptions) {
    check(options.genesisHash.length === 32, 'consensus: the genesis hash is 32 bytes');
    this.#options = options;
    this.#domain = { chainId: options.chainId, genesisHash: options.genesisHash };
    this.#signer = FOLLOWER;
    this.#timers = timerSet(options.clock);
    this.#ticks = timerSet(options.clock);
    this.#proposals = createProposals(options);
    this.#inbox = createInbox({
      domain: this.#domain,
      isNamed: this.#proposals.isNamed,
      onWrongProposer: ({ proposer, height, round }) => options.log.warn('wrong-proposer', { proposer, height, round }),
    });
    this.#catchUp = createCatchUp({
      sync: options.sync,
      clock: options.clock,
      log: options.log,
      deliver: (peer, from, blocks) => this.#enqueue({ kind: 'certified', peer, from, blocks }),
      fetched: () => this.#pollPeers(),
      fail: (error) => this.#fatal(error),
    });
  }

  /** Opens the sign state and the log, replays the height that was in progress, and takes part. */
  async start(): Promise<Result<null>> {
    const { clock, network } = this.#options;
    const opened = openConsensusMemory(this.#options, this.#domain);
    if (!opened.ok) return opened;
    this.#memory = opened.value;
    this.#signer = opened.value.signer;
    this.#replay = opened.value.replay;
    this.#isStopped = false;
    this.#finalMs = clock.monotonic();
    await this.#begin();
    this.#unsubscribe = network.onMessage((bytes) => this.#receive(bytes));
    this.#ticks.every(RESEND_MS, () => this.#resend());
    this.#ticks.every(CATCH_UP_MS, () => this.#pollPeers());
    return success(null);
  }

  /** Ends taking part; work in progress is finished first. */
  async stop(): Promise<void> {
    this.#halt();
    await this.#pumping;
    this.#memory?.close();
    this.#signer = FOLLOWER;
    this.#memory = null;
  }

  status(): ConsensusStatus {
    const rules = this.#core?.driver.rules;
    return {
      height: this.#height,
      round: Math.max(0, rules?.round ?? 0),
      step: this.#isStarted ? (rules?.step ?? 'new') : 'new',
      isAuthority: this.#signer.address !== null && this.#set.weights.has(this.#signer.address),
      isSyncing: this.#catchUp.isFetching(),
      hasSigned: this.#signer.hasSigned(),
      validators: this.#set.addresses,
    };
  }

  #halt(): void {
    this.#isStopped = true;
    this.#unsubscribe?.();
    this.#timers.cancelAll();
    this.#ticks.cancelAll();
    this.#queue = [];
  }

  #fatal(error: unknown): void {
    if (this.#isStopped) return;
    this.#halt();
    this.#options.onFatal(error instanceof Error ? error : new Error(String(error)));
  }

  /** Prepares the height after the head; it starts when its time has come. */
  async #begin(): Promise<void> {
    const { blocks, clock, intervalMs } = this.#options;
    const head = blocks.head();
    this.#timers.cancelAll();
    this.#queue = this.#queue.filter((work) => work.kind === 'certified');
    this.#isStarted = false; // until the new core stands, messages are held back
    this.#height = head.height + 1;
    this.#set = validatorSet(await this.#options.validators(this.#height));
    this.#core = this.#newCore();
    this.#proposals.clear();
    this.#owed = [];
    this.#reported.clear();
    this.#proposalMs = null;
    const memory = present(this.#memory, 'memory');
    const replay = memory.height() === this.#height ? this.#replay : [];
    if (memory.height() <= this.#height) this.#replay = [];
    if (memory.height() < this.#height) memory.begin(this.#height);
    const replayed = replayEvents(replay, this.#set);
    const events = replayed.map(({ event }) => event);
    const signed = this.#signer.lastSigned();
    if (signed?.height === this.#height && !leadsTo(this.#newCore(), events, signed.round, signed.step)) {
      memory.holdShort();
    }
    if (replay.length > 0) return this.#restore(replayed);
    const paceMs = this.#startedMs === 0 ? 0 : this.#startedMs + (intervalMs ?? 1_000) - clock.monotonic();
    const stampMs = (head.timestamp + 1) * 1_000 - clock.now();
    const waitMs = Math.ceil(Math.min(MAX_WAIT_MS, Math.max(0, paceMs, stampMs)));
    this.#timers.after(waitMs, () => this.#enqueue({ kind: 'start', height: this.#height }));
  }

  #newCore(): HeightState {
    return heightState({
      height: this.#height,
      self: this.#signer.address,
      validators: this.#set,
      proposerOf: rotation(this.#set),
      timeouts: this.#options.timeouts ?? DEFAULT_TIMEOUTS,
    });
  }

  #startHeight(): void {
    this.#isStarted = true;
    this.#startedMs = this.#options.clock.monotonic();
    this.#feed({ kind: 'start' }, null);
    for (const message of this.#inbox.release(this.#height)) this.#act(message);
  }

  /** Brings the core back to where the log ends, then does what had not been done yet. */
  #restore(replayed: readonly Replayed[]): void {
    const core = present(this.#core, 'core');
    this.#isStarted = true;
    this.#startedMs = this.#options.clock.monotonic();
    for (const { block } of replayed) if (block !== null) this.#proposals.keep(block.value, block.wire, null);
    this.#effects = resume(
      core,
      replayed.map(({ event }) => event),
    );
    this.#options.log.info('consensus-replayed', { height: this.#height, entries: replayed.length });
    this.#enqueue({ kind: 'resume', height: this.#height });
  }

  #event(event: Event, entry: LogEntry | null, isFirst = false): void {
    this.#enqueue({ kind: 'event', height: this.#height, event, entry }, isFirst);
  }

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
    if (work.kind === 'certified') return this.#takeCertified(work);
    if (work.height !== this.#height) return;
    if (work.kind === 'start') {
      if (!this.#isStarted) this.#startHeight();
    } else if (work.kind === 'event' && !isKnown(present(this.#core, 'core'), work.event)) {
      this.#feed(work.event, work.entry);
    }
    const owed = work.kind === 'event' && work.event.kind === 'resend' ? this.#owed.splice(0).slice(-OWED_VOTES) : [];
    await this.#performAll([...owed, ...this.#effects.splice(0)]);
  }

  #feed(event: Event, entry: LogEntry | null): void {
    const memory = present(this.#memory, 'memory');
    if (entry !== null && memory.height() === this.#height) memory.append(entry);
    this.#effects.push(...step(present(this.#core, 'core'), event).effects);
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
        const timeout = { kind: 'timeout', timer, round } as const;
        this.#timers.after(ms, () => this.#event(timeout, timeout));
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
        this.#report(voteEvidence(...effect.votes));
        return;
      case 'proposal-evidence':
        this.#report(proposalEvidence(...effect.proposals));
        return;
      default:
        never(effect);
    }
  }

  #sign(round: number, step: SignStep, digest: Uint8Array): Uint8Array | null {
    const { sync } = present(this.#memory, 'memory');
    return this.#signer.sign({ height: this.#height, round, step }, digest, sync);
  }

  #signBallot(effect: Effect & { kind: 'sign-ballot' }): void {
    const { ballot } = effect;
    const order = ballot.type === 'prevote' ? 2 : 3;
    const signature = this.#sign(ballot.round, order, ballotDigest(this.#domain, ballot));
    if (signature === null && this.#signer.isWaiting(ballot.height)) this.#owed.push(effect);
    if (signature === null || this.#signer.address === null) return;
    const vote: Vote = { ...ballot, voter: this.#signer.address, signature };
    const bytes = encodeMessage({ kind: 'vote', vote });
    this.#options.network.broadcast(bytes);
    const entry: LogEntry = { kind: 'message', bytes, validity: 'valid' };
    this.#event({ kind: 'vote', vote }, entry, true);
  }

  #signOffer(effect: Effect & { kind: 'sign-offer' }): void {
    const { offer, polka } = effect;
    const signature = this.#sign(offer.round, 1, offerDigest(this.#domain, offer));
    if (signature === null || this.#signer.address === null) return;
    const proposal: Proposal = { ...offer, proposer: this.#signer.address, signature };
    const bytes = this.#sendProposal(proposal, polka);
    if (bytes === null) return;
    this.#proposalMs ??= this.#options.clock.monotonic();
    const entry: LogEntry = { kind: 'message', bytes, validity: 'valid' };
    const event: Event = { kind: 'proposal', proposal, validity: 'valid' };
    this.#event(event, entry, true);
  }

  #sendProposal(proposal: Proposal, polka: readonly Vote[]): Uint8Array | null {
    const block = this.#proposals.get(proposal.value);
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
    this.#event({ kind: 'resend' }, null);
  }

  #build(round: number): void {
    const { blocks, clock, log } = this.#options;
    const height = this.#height;
    if (this.#options.isClockOff?.() === true) return;
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
      this.#proposals.keep(hash, wire, this.#core?.driver.rules.validValue ?? null);
      const entry: LogEntry = { kind: 'built', round, value: hash, block: wire };
      this.#event({ kind: 'built', round, value: hash }, entry);
    };
    build().catch((error: unknown) => this.#fatal(error));
  }

  async #decide(effect: Effect & { kind: 'decide' }): Promise<void> {
    const wire = this.#proposals.get(effect.value);
    if (wire === undefined) return; // dropped to make room: the block is fetched like any other that is missing
    const certificate = encodeCertificate(certificateOf(effect.votes, this.#set));
    const done = await this.#finalise({ wire, hash: effect.value as Hex }, certificate, effect.round, false);
    if (!done.ok) throw new Error(`the decided block does not execute: ${done.message}`);
    await this.#begin();
  }

  async #finalise(
    block: Parameters<ConsensusBlocks['commit']>[0],
    certificate: Uint8Array,
    round: number,
    synced: boolean,
  ): Promise<Result<null>> {
    const { blocks, clock, onHeight } = this.#options;
    const height = blocks.head().height + 1;
    const finalityMs = synced || this.#proposalMs === null ? null : clock.monotonic() - this.#proposalMs;
    const done = await blocks.commit(block, certificate, synced);
    if (!done.ok) return done;
    check(blocks.head().height === height, 'the committed block is the head');
    const nowMs = clock.monotonic();
    onHeight?.({ height, round, intervalMs: nowMs - this.#finalMs, finalityMs, synced });
    this.#finalMs = nowMs;
    return done;
  }

  #report(evidence: Evidence): void {
    const { signer, height, round } = evidence;
    const id = evidenceId(evidence);
    if (this.#reported.has(id)) return;
    this.#reported.add(id);
    this.#options.log.warn('equivocation', { signer, height, round });
    this.#options.onEvidence?.(evidence);
  }

  #receive(bytes: Uint8Array): Verdict {
    if (this.#isStopped) return 'ignore';
    const core = this.#isStarted ? this.#core : null;
    const view = { height: this.#height, validators: this.#set, core };
    const { verdict, message } = this.#inbox.admit(bytes, view, this.#options.clock.monotonic());
    if (message !== null) this.#act(message);
    return verdict;
  }

  #act(message: WireMessage): void {
    const height = this.#height;
    const entry: LogEntry = { kind: 'message', bytes: encodeMessage(message), validity: 'valid' };
    switch (message.kind) {
      case 'vote':
        if (message.vote.height === height) this.#event({ kind: 'vote', vote: message.vote }, entry);
        return;
      case 'polka':
        this.#event({ kind: 'certificate', votes: votesOf(message.certificate, 'prevote', this.#set) }, entry);
        return;
      case 'proposal':
        this.#judge(message).catch((error: unknown) => this.#fatal(error));
        return;
      default:
        never(message);
    }
  }

  /** Judges a proposal's block beside the queue, then feeds polka and proposal. */
  async #judge(message: WireMessage & { kind: 'proposal' }): Promise<void> {
    const { proposal, polka, block } = message;
    const { height, round, value } = proposal;
    if (height !== this.#height || proposal.proposer !== this.#core?.driver.proposerOf(height, round)) return;
    if (!this.#proposals.isNamed(message)) return;
    this.#proposalMs ??= this.#options.clock.monotonic();
    this.#proposals.keep(value, block, this.#core.driver.rules.validValue);
    const validity = await this.#proposals.judge(message);
    if (this.#height !== height || this.#isStopped) return;
    if (polka !== null) this.#act({ kind: 'polka', certificate: polka });
    const entry: LogEntry = { kind: 'message', bytes: encodeMessage(message), validity };
    this.#event({ kind: 'proposal', proposal, validity }, entry);
  }

  #pollPeers(): void {
    if (this.#isStopped) return;
    const height = Math.max(this.#height, this.#takenTo);
    const waiting = this.#queue.filter((work) => work.kind === 'certified').length;
    const isMissing = height === this.#height && this.#core !== null && missingDecision(this.#core) !== null;
    this.#catchUp.poll({ height, waiting, highestSeen: this.#inbox.highestSeen(), isMissing, finalMs: this.#finalMs });
  }

  async #takeCertified(given: Work & { kind: 'certified' }): Promise<void> {
    const { blocks, log } = this.#options;
    const first = blocks.head().height + 1;
    await takeRuns(given, {
      blocks,
      begin: ({ from, blocks: run }) => {
        this.#takenTo = from + run.length;
        this.#pollPeers();
      },
      take: (block, height) => this.#takeBlock(block, height),
      next: () => this.#nextRun(),
      punish: (peer, refused) => this.#catchUp.punish(peer, refused),
      isStopped: () => this.#isStopped,
    });
    this.#takenTo = 0;
    const { height } = blocks.head();
    if (this.#isStopped || height < first) return;
    if (this.#signer.isUnused()) {
      // Nothing is known of what this key signed before: the height that may have been in progress is left to the others.
      this.#signer.holdBack(height + 2, this.#options.clock.monotonic() + UNKNOWN_PAST_MS);
    }
    log.info('synced', { from: first, to: height, peer: given.peer });
    await this.#begin();
    this.#pollPeers();
  }

  #nextRun(): CertifiedRun | null {
    const at = this.#queue.findIndex((work) => work.kind === 'certified');
    return at === -1 ? null : (this.#queue.splice(at, 1)[0] as Work & { kind: 'certified' });
  }

  async #takeBlock(block: CertifiedBlock, height: number): Promise<Result<null>> {
    const { blocks, validators } = this.#options;
    const judged = await judgeCertified(block, height, blocks, this.#domain, validators);
    if (!judged.ok) return judged;
    const { identity, certificate } = judged.value;
    return this.#finalise({ ...block, hash: identity.hash }, block.certificate, certificate.round, true);
  }
}
