// Owns asking peers for final blocks this node lacks, and judging them by their certificates. Claims of heights are hints.

import { present } from '../base/check.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { type Certificate, decodeCertificate, verifyCertificate } from '../consensus/certificate.ts';
import type { SigningDomain } from '../consensus/sign-bytes.ts';
import { validatorSet } from '../consensus/validator-set.ts';
import type { Clock } from './clock.ts';
import type { BlockIdentity, CertifiedBlock, ConsensusBlocks, ConsensusSync } from './consensus-options.ts';
import { RUNS_AHEAD, SYNC_BLOCKS } from './limits.ts';
import type { Logger } from './logger.ts';

/** Without progress for this long, a peer that claims our height is asked for it. */
const STALE_MS = 2_000;
/** Milliseconds a peer that had nothing is left alone: the first time, twice as long each time after, and at most; a liar. */
const EMPTY_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
const LIE_PAUSE_MS = 60_000;
const MAX_PAUSED = 1_000;

type CatchUpView = Readonly<{
  /** Height in progress, or the one behind what is being taken in. */
  height: number;
  /** Runs that were delivered and wait to be taken in. */
  waiting: number;
  /** Highest height an authority has signed for, as far as is known. */
  highestSeen: number;
  /** A quorum has decided a block that is not here. */
  isMissing: boolean;
  /** Monotonic time of the last final block. */
  finalMs: number;
}>;

export type CatchUp = Readonly<{
  /** Starts one request when there is reason to and room for its answer, which goes to `deliver` once it was examined. */
  poll(view: CatchUpView): void;
  isFetching(): boolean;
  punish(peer: string, reason: string): void;
}>;

export type CatchUpOptions = Readonly<{
  sync: ConsensusSync;
  clock: Clock;
  log: Logger;
  /** A run of blocks asked for from height `from` on. Runs come in the order in which they were asked for. */
  deliver(peer: string, from: number, blocks: readonly CertifiedBlock[]): void;
  /** A run has come and is being examined: the next may be polled for. */
  fetched(): void;
  fail(error: unknown): void;
}>;

export function createCatchUp(options: CatchUpOptions): CatchUp {
  const { sync, clock, log, deliver, fetched, fail } = options;
  const paused = new Map<string, Readonly<{ untilMs: number; ms: number }>>();
  let isAsking = false;
  /** Runs that have come and were not delivered yet, and the height behind the last of them. */
  let examining = 0;
  let next = 0;
  let delivered: Promise<void> = Promise.resolve();

  function pause(peer: string, ms: number): void {
    if (paused.size >= MAX_PAUSED) paused.clear();
    paused.set(peer, { untilMs: clock.monotonic() + ms, ms });
  }

  /** A claim of a great height that nothing follows must not keep the node from those that have less and give it. */
  function pauseLonger(peer: string): void {
    const before = paused.get(peer)?.ms ?? 0;
    pause(peer, Math.min(Math.max(EMPTY_PAUSE_MS, 2 * before), LONGEST_PAUSE_MS));
  }

  async function fetch(peer: string, from: number): Promise<void> {
    const answer = await sync.fetch(peer, from, SYNC_BLOCKS);
    if (!answer.ok) log.debug('sync-refused', { peer, code: answer.code });
    if (!answer.ok || answer.value.length === 0) return pauseLonger(peer);
    paused.delete(peer);
    next = from + answer.value.length;
    examining++;
    const examined = sync.examine(answer.value);
    examined.catch(() => undefined); // awaited when its turn comes
    delivered = delivered
      .then(async () => deliver(peer, from, await examined))
      .catch(fail)
      .finally(() => {
        examining--;
      });
  }

  return {
    poll({ height, waiting, highestSeen, isMissing, finalMs }) {
      if (isAsking || examining + waiting >= RUNS_AHEAD) return;
      const from = examining + waiting > 0 ? Math.max(height, next) : height;
      const nowMs = clock.monotonic();
      const ahead = sync.peers().filter((peer) => peer.height >= from && (paused.get(peer.id)?.untilMs ?? 0) <= nowMs);
      if (ahead.length === 0) return;
      const isBehind = highestSeen > from + 1 || ahead.some((peer) => peer.height > from);
      if (!isBehind && !isMissing && nowMs - finalMs <= STALE_MS) return;
      isAsking = true;
      fetch(present(ahead[from % ahead.length], 'peer').id, from)
        .catch(fail)
        .finally(() => {
          isAsking = false;
          if (examining > 0) fetched();
        });
    },
    isFetching: () => isAsking || examining > 0,
    punish(peer, reason) {
      log.warn('sync-block-refused', { peer, reason });
      pause(peer, LIE_PAUSE_MS);
      sync.punish(peer, reason);
    },
  };
}

export type JudgedBlock = Readonly<{ identity: BlockIdentity; certificate: Certificate }>;

/** A peer's block of the height that was `asked` for, which stands on the head and whose certificate its authorities signed.
 * Fault `sync/known` for one that has come meanwhile. */
export async function judgeCertified(
  block: CertifiedBlock,
  asked: number,
  blocks: ConsensusBlocks,
  domain: SigningDomain,
  authorities: (height: number) => readonly string[] | Promise<readonly string[]>,
): Promise<Result<JudgedBlock>> {
  const head = blocks.head();
  const identity = blocks.identify(block.wire);
  if (!identity.ok) return identity;
  const { height, hash, parentHash } = identity.value;
  if (height !== asked) return fault('sync/place', `the block is of height ${height}, ${asked} was asked for`);
  if (height <= head.height) return fault('sync/known', 'the block is known');
  if (height !== head.height + 1 || parentHash !== head.hash) {
    return fault('sync/place', 'the block does not stand on the head');
  }
  const decoded = decodeCertificate(block.certificate);
  if (!decoded.ok) return decoded;
  const validators = validatorSet(await authorities(height));
  const expected = { domain, validators, type: 'precommit', height, blockHash: hash } as const;
  const verified = verifyCertificate(decoded.value, expected, block.findings?.signers);
  return verified.ok ? success({ identity: identity.value, certificate: decoded.value }) : verified;
}

/** Blocks of a run between two turns for everything else. */
const RUN_TURN = 16;
/** Runs taken in one after the other before the height in progress is looked at again. */
const RUNS_TOGETHER = 16;

export type CertifiedRun = Readonly<{ peer: string; from: number; blocks: readonly CertifiedBlock[] }>;

export type RunsTaker = Readonly<{
  blocks: Pick<ConsensusBlocks, 'head' | 'settle'>;
  /** Hears of each run before its first block. */
  begin(run: CertifiedRun): void;
  take(block: CertifiedBlock, height: number): Promise<Result<null>>;
  /** A run that has come meanwhile, or null. */
  next(): CertifiedRun | null;
  punish(peer: string, reason: string): void;
  isStopped(): boolean;
}>;

/** Takes a run and those that follow it, until one is refused. Each is written as one, while the next is executed; all that
 * was taken is on the disk at the end. A run that does not follow what is here is passed over. */
export async function takeRuns(given: CertifiedRun, taker: RunsTaker): Promise<void> {
  const { blocks } = taker;
  let written: Promise<void> = Promise.resolve();
  let run: CertifiedRun | null = given;
  for (let runs = 0; run !== null && run.from <= blocks.head().height + 1; runs++) {
    taker.begin(run);
    const refused = await takeRun(run, taker);
    if (refused !== null) taker.punish(run.peer, refused);
    await written;
    if (taker.isStopped()) return;
    written = blocks.settle();
    // Awaited in the next turn or at the end; until then a failure is nobody's.
    written.catch(() => undefined);
    run = refused === null && runs < RUNS_TOGETHER ? taker.next() : null;
  }
  await written;
}

/** Takes blocks in order until one is refused; why it was, or null. Known ones are passed over. */
async function takeRun(
  { from, blocks }: CertifiedRun,
  { take, isStopped }: Pick<RunsTaker, 'take' | 'isStopped'>,
): Promise<string | null> {
  for (const [index, block] of blocks.entries()) {
    if (index % RUN_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    if (isStopped()) return null;
    const taken = await take(block, from + index);
    if (!taken.ok && taken.code !== 'sync/known') return taken.message;
  }
  return null;
}
