// Owns the parts a simulated world is made of: the core under test, the habits of its shell, nodes and what happens to them.

import type { Effect } from '../../consensus/effect.ts';
import type { FutureBuffer } from '../../consensus/future-buffer.ts';
import type { Event } from '../../consensus/input.ts';
import type { Vote } from '../../consensus/message.ts';
import type { HeightSetup, HeightState, StepResult } from '../../consensus/step.ts';
import type { FaultGate } from './fault-gate.ts';
import type { Membership } from './membership.ts';
import type { Store } from './store.ts';

/** The core under test: the real one, or a mutant of it. */
export type Core = Readonly<{
  heightState(setup: HeightSetup): HeightState;
  step(state: HeightState, event: Event): StepResult;
  isKnown(state: HeightState, event: Event): boolean;
  resume(core: HeightState, events: readonly Event[]): Effect[];
  leadsTo(core: HeightState, events: readonly Event[], round: number, signStep: number): boolean;
  futureBuffer<T>(senders: () => number, maxBytes?: number): FutureBuffer<T>;
}>;

/** Wrong ways to be a shell; all false is the right one. */
export type Habits = Readonly<{
  skipLogSync: boolean;
  sendBeforePersist: boolean;
  rebuildValue: boolean;
  noPolka: boolean;
  /** The hash a node keeps depends on the round its certificate is from. */
  roundInHash: boolean;
  /** A change of the set counts from the next height on. */
  earlySet: boolean;
  /** The name of evidence depends on the clock of who found it. */
  evidenceClock: boolean;
  /** Blocks of peers are taken without a look at their certificates. */
  trustSync: boolean;
}>;
export const GOOD_HABITS: Habits = {
  skipLogSync: false,
  sendBeforePersist: false,
  rebuildValue: false,
  noPolka: false,
  roundInHash: false,
  earlySet: false,
  evidenceClock: false,
  trustSync: false,
};

export type Message = Readonly<{
  height: number;
  round: number;
  phase: number;
  /** Who signed it, or nobody for a certificate. */
  sender: string | null;
  event: Event;
  polka: Event | null;
  id: number;
}>;

export type Happening =
  | Readonly<{ kind: 'message'; to: number; message: Message }>
  | Readonly<{ kind: 'flood'; to: number; sender: string; height: number }>
  | Readonly<{ kind: 'event'; to: number; epoch: number; event: Event }>
  | Readonly<{ kind: 'start'; to: number; epoch: number }>
  | Readonly<{ kind: 'tick' | 'restart'; to: number }>;

/** `block` is what the node keeps as the block's hash: the value, in a sound shell. */
export type Decision = Readonly<{ value: string; block: string; votes: readonly Vote[] }>;

export type Node = {
  readonly index: number;
  readonly name: string;
  readonly isHonest: boolean;
  /** 0, or for the instances of a twin 1 and 2. */
  readonly twin: number;
  readonly store: Store;
  core: HeightState | null;
  members: Membership;
  isStarted: boolean;
  isUp: boolean;
  epoch: number;
  startedMs: number;
  chain: Decision[];
  /** Timestamp of the last decided block, in seconds. */
  stamp: number;
  future: FutureBuffer<Message>;
  /** Messages held back, counted apart from the buffer itself. */
  held: number;
  queue: Event[];
  built: number;
  /** Messages said in this height, and effects of its whole life. */
  said: number;
  effects: number;
};

export type Outcome = Readonly<{
  violation: string | null;
  heights: number;
  events: number;
  restarts: number;
  virtualMs: number;
  maxRound: number;
  /** Hash over every event in order: equal seeds give equal hashes. */
  trace: number;
}>;

export const NO_SIGNATURE = new Uint8Array(65);
export const PHASES = { proposal: 0, prevote: 1, precommit: 2, polka: 3 } as const;
export const STEPS = { proposal: 1, prevote: 2, precommit: 3 } as const;
export const TICK_MS = 1_000;
export const HEIGHT_MS = 1_000;
/** A clock behind the chain waits this long at most before it takes part. */
export const MAX_WAIT_MS = 2_000;
/** Virtual time zero, in milliseconds since 1970. */
export const EPOCH_MS = 1_000_000_000;
/** What a message costs in the buffer of the next height, and the buffer's size: a hundredth of the real one. */
export const HELD_BYTES = 200;
export const FUTURE_BYTES = 80_000;

/** What happened to the chain of the node at `at`, in order: enough to do the same with real blocks (block-world.ts). */
export type Entry =
  | Readonly<{ kind: 'built'; at: number; value: string; stamp: number }>
  | Readonly<{ kind: 'prevoted' | 'decided'; at: number; value: string }>
  | Readonly<{ kind: 'restarted'; at: number }>;

export type WorldOptions = Readonly<{
  habits?: Habits;
  gate?: FaultGate;
  journal?: (entry: Entry) => void;
  /** What a node keeps; by name, so that one of them can be given a failing disk. */
  store?: (name: string) => Store;
}>;
