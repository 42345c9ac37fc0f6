// Owns the numbers the contracts store for statuses, phases and verdicts, turned into the words of api.ts.

import { present } from '../../base/check.ts';
import type {
  ClaimStatus,
  DisputeState,
  MintReason,
  RoundOutcome,
  RoundPhase,
  TrainerStatus,
  VerdictKind,
} from './api.ts';

// Each list is in the order of the Solidity enumeration it mirrors.
const PHASES: readonly RoundPhase[] = ['idle', 'frozen', 'training', 'auditing', 'attesting', 'settling', 'done'];
const OUTCOMES: readonly RoundOutcome[] = ['pending', 'moved', 'reverted', 'void', 'expired'];
const CLAIMS: readonly ClaimStatus[] = [
  'awaited',
  'committed',
  'disputed',
  'accepted',
  'rejected',
  'unresolved',
  'missed',
];
const TRAINERS: readonly TrainerStatus[] = ['none', 'active', 'paused', 'exiting', 'slashed'];
const DISPUTES: readonly DisputeState[] = ['open', 'upheld', 'dismissed', 'undecided'];
const REASONS: readonly MintReason[] = ['training', 'auditing'];

export const phaseOf = (code: number): RoundPhase => present(PHASES[code], `round phase ${code}`);
export const outcomeOf = (code: number): RoundOutcome => present(OUTCOMES[code], `round outcome ${code}`);
export const claimStatusOf = (code: number): ClaimStatus => present(CLAIMS[code], `claim status ${code}`);
export const trainerStatusOf = (code: number): TrainerStatus => present(TRAINERS[code], `trainer status ${code}`);
export const disputeStateOf = (code: number): DisputeState => present(DISPUTES[code], `dispute state ${code}`);
export const mintReasonOf = (code: number): MintReason => present(REASONS[code], `mint reason ${code}`);

/** Codes of verdicts; 0 is none. */
export const VERDICT_CODES: Readonly<Record<VerdictKind, number>> = { valid: 1, invalid: 2, unavailable: 3 };
const VERDICTS: readonly (VerdictKind | undefined)[] = [undefined, 'valid', 'invalid', 'unavailable'];
export const verdictOf = (code: number): VerdictKind => present(VERDICTS[code], `verdict ${code}`);
