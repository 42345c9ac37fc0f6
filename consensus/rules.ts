// Owns the rules of Tendermint (arXiv 1807.04938, algorithm 1): one height, one authority, one switch. It counts nothing
// and knows no sender; that a condition holds is found by driver.ts. Line numbers are the paper's.

import { never } from '../base/check.ts';
import type { RuleOutput } from './effect.ts';
import type { RuleInput } from './input.ts';
import type { ValueId, VoteType } from './message.ts';
import type { RoundState } from './round-state.ts';

export type RuleResult = Readonly<{ state: RoundState; output: RuleOutput }>;

const NONE: RuleOutput = { kind: 'none' };

function refused(state: RoundState, reason: string): RuleResult {
  return { state, output: { kind: 'refused', reason } };
}

function ballot(state: RoundState, type: VoteType, value: ValueId | null): RuleOutput {
  return { kind: 'ballot', ballot: { type, height: state.height, round: state.round, value } };
}

function prevote(state: RoundState, value: ValueId | null): RuleResult {
  return { state: { ...state, step: 'prevote' }, output: ballot(state, 'prevote', value) };
}

function precommitNil(state: RoundState): RuleResult {
  return { state: { ...state, step: 'precommit' }, output: ballot(state, 'precommit', null) };
}

function offer(state: RoundState, value: ValueId): RuleOutput {
  return { kind: 'offer', offer: { height: state.height, round: state.round, value, validRound: state.validRound } };
}

function newRound(state: RoundState, round: number, isProposer: boolean): RuleResult {
  if (state.step !== 'unstarted' && state.step !== 'new') return refused(state, 'a round is in progress');
  if (round <= state.round) return refused(state, 'the new round is not above the current one');
  const next: RoundState = { ...state, round, step: 'propose' };
  if (!isProposer) return { state: next, output: { kind: 'timer', timer: 'propose', round } }; // line 21
  if (next.validValue !== null) return { state: next, output: offer(next, next.validValue) }; // lines 15-16, 19
  return { state: next, output: { kind: 'get-value', height: next.height, round } }; // line 18
}

function polkaForValue(state: RoundState, value: ValueId): RuleResult {
  const valid = { ...state, validValue: value, validRound: state.round }; // lines 42-43
  if (state.step === 'precommit') return { state: valid, output: NONE };
  if (state.step !== 'prevote') return refused(state, 'a polka counts from the prevote step on');
  return {
    state: { ...valid, step: 'precommit', lockedValue: value, lockedRound: state.round }, // lines 38-39, 41
    output: ballot(state, 'precommit', value), // line 40
  };
}

/** One transition: the state after `input`, and what is to be done. Pure. */
export function applyRule(state: RoundState, input: RuleInput): RuleResult {
  switch (input.kind) {
    case 'new-round': // lines 11-13, 20-21
      return newRound(state, input.round, false);
    case 'new-round-proposer': // lines 11-19
      return newRound(state, input.round, true);
    case 'propose-value': // lines 18-19, once the value is there
      return { state, output: offer(state, input.value) };
    case 'proposal': // line 22: fresh and valid
      if (state.step !== 'propose') return refused(state, 'a proposal counts in the propose step only');
      return prevote(state, state.lockedRound === -1 || state.lockedValue === input.value ? input.value : null); // lines 23-26
    case 'proposal-invalid': // line 22, valid(v) does not hold
      if (state.step !== 'propose') return refused(state, 'a proposal counts in the propose step only');
      return prevote(state, null); // line 26
    case 'proposal-and-old-polka': // line 28: re-proposed and valid
      if (state.step !== 'propose' || input.validRound < 0 || input.validRound >= state.round) {
        return refused(state, 'a re-proposal counts in the propose step, with an earlier valid round');
      }
      return prevote(
        state,
        state.lockedRound <= input.validRound || state.lockedValue === input.value ? input.value : null,
      ); // lines 29-32
    case 'invalid-proposal-and-polka': // line 28, valid(v) does not hold
      return prevote(state, null); // line 32
    case 'polka-any': // lines 34-35
      if (state.step !== 'prevote') return refused(state, 'mixed prevotes count in the prevote step only');
      return { state, output: { kind: 'timer', timer: 'prevote', round: state.round } };
    case 'proposal-and-polka': // lines 36-43
      return polkaForValue(state, input.value);
    case 'polka-nil': // lines 44-46
      if (state.step !== 'prevote') return refused(state, 'nil prevotes count in the prevote step only');
      return precommitNil(state);
    case 'precommit-any': // lines 47-48
      return { state, output: { kind: 'timer', timer: 'precommit', round: state.round } };
    case 'proposal-and-commit': // lines 49-51, for any round
      if (state.step === 'commit') return refused(state, 'the height is decided');
      return {
        state: { ...state, step: 'commit' },
        output: { kind: 'decided', round: input.round, value: input.value },
      };
    case 'round-skip': // lines 55-56
      if (input.round <= state.round) return refused(state, 'the round to skip to is not above the current one');
      return { state: { ...state, step: 'unstarted' }, output: { kind: 'skip-round', round: input.round } };
    case 'timeout-propose': // lines 57-60
      if (input.height !== state.height || input.round !== state.round || state.step !== 'propose') {
        return refused(state, 'the propose timeout is out of date');
      }
      return prevote(state, null);
    case 'timeout-prevote': // lines 61-64
      if (input.height !== state.height || input.round !== state.round || state.step !== 'prevote') {
        return refused(state, 'the prevote timeout is out of date');
      }
      return precommitNil(state);
    case 'timeout-precommit': // lines 65-67
      if (input.height !== state.height || input.round !== state.round) {
        return refused(state, 'the precommit timeout is out of date');
      }
      return {
        state: { ...state, step: 'unstarted' },
        output: { kind: 'skip-round', round: state.round + 1 },
      };
    default:
      return never(input);
  }
}
