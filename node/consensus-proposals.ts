// Owns the blocks of the height in progress: their bytes, within a budget, and what judging each of them has found.

import type { WireMessage } from '../consensus/codec.ts';
import type { Validity } from '../consensus/input.ts';
import { MAX_FUTURE_BYTES } from '../consensus/limits.ts';
import { DEFAULT_TIME_WINDOW, isTimely } from '../consensus/proposal-time.ts';
import type { ConsensusOptions } from './consensus-options.ts';

export type Proposals = Readonly<{
  /** Forgets everything: a new height begins. */
  clear(): void;
  /** Keeps a block; others but `valid` make room for it. */
  keep(value: string, wire: Uint8Array, valid: string | null): void;
  get(value: string): Uint8Array | undefined;
  /** True when the bytes hash to what the proposal names: a relay must not be able to swap the body. */
  isNamed(message: WireMessage & { kind: 'proposal' }): boolean;
  /** Executes the block, once each, and looks at its time if the proposal is fresh. */
  judge(message: WireMessage & { kind: 'proposal' }): Promise<Validity>;
}>;

export function createProposals(
  options: Pick<ConsensusOptions, 'blocks' | 'clock' | 'log' | 'timeWindow' | 'isClockOff'>,
): Proposals {
  const { blocks, clock, log } = options;
  const wires = new Map<string, Uint8Array>();
  const verdicts = new Map<string, Promise<Validity>>();
  let kept = 0;

  function execute(
    wire: Uint8Array,
    value: string,
    height: number,
    round: number,
    proposer: string,
  ): Promise<Validity> {
    const known = verdicts.get(value);
    if (known !== undefined) return known;
    const found = blocks.validate(wire, { height, round, proposer }).then((result): Validity => {
      if (result.ok) return 'valid';
      log.warn('proposal-invalid', { height, round, proposer, code: result.code, message: result.message });
      return 'invalid';
    });
    verdicts.set(value, found);
    return found;
  }

  return {
    clear() {
      wires.clear();
      verdicts.clear();
      kept = 0;
    },
    keep(value, wire, valid) {
      if (wires.has(value)) return;
      wires.set(value, wire);
      kept += wire.length;
      for (const [hash, bytes] of wires) {
        if (kept <= MAX_FUTURE_BYTES) return;
        if (hash === valid || hash === value) continue;
        wires.delete(hash);
        kept -= bytes.length;
      }
    },
    get: (value) => wires.get(value),
    isNamed(message) {
      const identity = blocks.identify(message.block);
      return identity.ok && identity.value.hash === message.proposal.value;
    },
    async judge({ proposal, block }) {
      const { height, round, value, validRound, proposer } = proposal;
      const identity = blocks.identify(block);
      if (!identity.ok) return 'invalid';
      const { timestamp, parentHash } = identity.value;
      // The time of arrival counts, not the time at which execution is done.
      const window = options.timeWindow ?? DEFAULT_TIME_WINDOW;
      const isInTime =
        validRound >= 0 || (options.isClockOff?.() !== true && isTimely(timestamp, clock.now(), round, window));
      if (identity.value.height !== height || parentHash !== blocks.head().hash) return 'invalid';
      const found = await execute(block, value, height, round, proposer);
      return found === 'valid' && !isInTime ? 'untimely' : found;
    },
  };
}
