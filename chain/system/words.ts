// Owns the numbers the contracts store for statuses, phases and verdicts, turned into the words of api.ts.

import { present } from '../../base/check.ts';
import type {
  ClaimStatus,
  DisputeState,
  MintReason,
  RoundOutcome,
  RoundPhase,
  TrainerStatus,
  TrialState,
  VerdictKind,
  AccusationKind,
} from './api.ts';

// Each list is in the order of the Solidity enumeration it mirrors.
const PHASES: readonly RoundPhase[] = [
  'idle',
  'frozen',
  'training',
  'auditing',
  'revealing',
  'judging',
  'attesting',
  'settling',
  'done',
];
const OUTCOMES: readonly RoundOutcome[] = ['pending', 'moved', 'reverted', 'void', 'expired'];
const CLAIMS: readonly ClaimStatus[] = [
  'awaited',
  'committed',
  'disputed',
  'accepted',
  'rejected',
  'unresolved',
  'missed',
  'canary',
];
const TRAINERS: readonly TrainerStatus[] = ['none', 'active', 'paused', 'exiting', 'slashed'];
const DISPUTES: readonly DisputeState[] = ['open', 'upheld', 'dismissed', 'undecided'];
const TRIALS: readonly TrialState[] = ['open', 'guilty', 'innocent', 'undecided'];
const REASONS: readonly MintReason[] = ['training', 'auditing'];

export const phaseOf = (code: number): RoundPhase => present(PHASES[code], `round phase ${code}`);
export const outcomeOf = (code: number): RoundOutcome => present(OUTCOMES[code], `round outcome ${code}`);
export const claimStatusOf = (code: number): ClaimStatus => present(CLAIMS[code], `claim status ${code}`);
export const trainerStatusOf = (code: number): TrainerStatus => present(TRAINERS[code], `trainer status ${code}`);
export const disputeStateOf = (code: number): DisputeState => present(DISPUTES[code], `dispute state ${code}`);
export const mintReasonOf = (code: number): MintReason => present(REASONS[code], `mint reason ${code}`);

export const trialStateOf = (code: number): TrialState => present(TRIALS[code], `trial state ${code}`);

/** Codes of verdicts; 0 is none. */
export const VERDICT_CODES: Readonly<Record<VerdictKind, number>> = { valid: 1, invalid: 2, unavailable: 3, passed: 4 };
const VERDICTS: readonly VerdictKind[] = ['valid', 'invalid', 'unavailable', 'passed'];
/** The verdict of a code; null for a code that names none. */
export const verdictOf = (code: number): VerdictKind | null => VERDICTS[code - 1] ?? null;

/** Codes of accusations against authorities. */
export const ACCUSATION_CODES: Readonly<Record<AccusationKind, number>> = { digest: 1, draw: 2, canary: 3 };
const ACCUSATIONS: readonly AccusationKind[] = ['digest', 'draw', 'canary'];
export const accusationOf = (code: number): AccusationKind => present(ACCUSATIONS[code - 1], `accusation ${code}`);
