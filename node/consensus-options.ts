// Owns what the consensus driver is given by the node and what it tells it: types only.

import type { Hex } from '../base/bytes.ts';
import type { Result } from '../base/fault.ts';
import type { Evidence } from '../consensus/evidence.ts';
import type { Findings } from '../consensus/findings.ts';
import type { TimeWindow } from '../consensus/proposal-time.ts';
import type { TimeoutParameters } from '../consensus/timeouts.ts';
import type { Clock } from './clock.ts';
import type { Logger } from './logger.ts';

/** Seconds since 1970. */
export type HeadView = Readonly<{ height: number; hash: Hex; timestamp: number }>;

/** What a block's bytes say of themselves, read without executing them. */
export type BlockIdentity = HeadView & Readonly<{ parentHash: Hex }>;

/** A block in wire form with the certificate that finalised it, and what this node has found out about both, if anything. */
export type CertifiedBlock = Readonly<{ wire: Uint8Array; certificate: Uint8Array; findings?: Findings }>;

export type ConsensusBlocks = Readonly<{
  head(): HeadView;
  /** Cheap: decodes the header and hashes it. A Fault for bytes that are no block. */
  identify(wire: Uint8Array): Result<BlockIdentity>;
  /** A block on the head. `timestamp` in seconds. A Fault lets the round pass. */
  build(
    context: Readonly<{ height: number; round: number; timestamp: number }>,
  ): Promise<Result<Readonly<{ wire: Uint8Array; hash: Hex }>>>;
  /** Executes a proposed block that stands on the head; a Fault makes it count as invalid. */
  validate(
    wire: Uint8Array,
    context: Readonly<{ height: number; round: number; proposer: string }>,
  ): Promise<Result<null>>;
  /**
   * Makes a block durable and the head, executing it first where that has not happened (synced, or after a restart). Its
   * certificate has been verified. A Fault means it does not execute here; storage errors throw. A held block is only
   * durable after `settle` or the next block that is not held.
   */
  commit(
    block: Readonly<{ wire: Uint8Array; hash: Hex; findings?: Findings | undefined }>,
    certificate: Uint8Array,
    isHeld?: boolean,
  ): Promise<Result<null>>;
  settle(): Promise<void>;
}>;

type ConsensusNetwork = Readonly<{
  broadcast(bytes: Uint8Array): void;
  /** Delivers gossip; the answer is the gossip verdict. Returns the function that ends it. */
  onMessage(receive: (bytes: Uint8Array, from: string) => 'accept' | 'ignore' | 'reject' | 'ban'): () => void;
}>;

/** How blocks are caught up with. Claims of heights are hints: every block is checked by its certificate. */
export type ConsensusSync = Readonly<{
  peers(): readonly Readonly<{ id: string; height: number }>[];
  fetch(peer: string, first: number, count: number): Promise<Result<readonly CertifiedBlock[]>>;
  /** The same blocks with what could be found out about them ahead of their turn. */
  examine(blocks: readonly CertifiedBlock[]): Promise<readonly CertifiedBlock[]>;
  /** A peer answered with something false. */
  punish(peer: string, reason: string): void;
}>;

export type HeightReport = Readonly<{
  height: number;
  round: number;
  /** Milliseconds since the last height was final. */
  intervalMs: number;
  /** Milliseconds from the proposal (own or first seen) to the decision, or null for a synced block. */
  finalityMs: number | null;
  synced: boolean;
}>;

export type ConsensusOptions = Readonly<{
  chainId: number | bigint;
  /** 32 bytes. */
  genesisHash: Uint8Array;
  /** Secret key of an authority, or null for a node that only follows. */
  key: Uint8Array | null;
  /** Lets a key without sign state join a chain that has blocks: only for an authority that has never signed on it. */
  mayCreateSignState?: boolean;
  /** Folder of the sign state and the write-ahead log. */
  directory: string;
  /** Addresses of the authorities that decide `height` = head + 1, in any order. */
  validators(height: number): readonly string[] | Promise<readonly string[]>;
  blocks: ConsensusBlocks;
  network: ConsensusNetwork;
  sync: ConsensusSync;
  clock: Clock;
  log: Logger;
  timeouts?: TimeoutParameters;
  timeWindow?: TimeWindow;
  /** Milliseconds between two heights at least; 1,000 unless a test says otherwise. */
  intervalMs?: number;
  /** False while this key must not sign, for a reason that passes by itself. */
  maySign?(): boolean;
  /** True while this node's clock is not to be trusted: it proposes nothing and finds no fresh block timely. */
  isClockOff?(): boolean;
  onHeight?(report: HeightReport): void;
  onEvidence?(evidence: Evidence): void;
  /** Storage failed or an invariant broke: the node has to stop. The driver has stopped acting already. */
  onFatal(error: Error): void;
}>;

export type ConsensusStatus = Readonly<{
  height: number;
  round: number;
  step: string;
  isAuthority: boolean;
  isSyncing: boolean;
  /** This key has signed since the node started. */
  hasSigned: boolean;
  /** Sorted authorities of the height in progress. */
  validators: readonly string[];
}>;
