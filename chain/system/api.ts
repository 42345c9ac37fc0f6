// Owns the words of the system contracts in TypeScript: addresses, records, phases, statuses. No encoding (abi.ts) and no
// rules: those are the Solidity in chain/contracts and docs/protocol/system-contracts.md.

import type { Hex } from '../../base/bytes.ts';

/** Caller of system calls, as in EIP-4788: no key signs for it, so only the chain itself can be it. */
export const SYSTEM_ADDRESS: Hex = '0xfffffffffffffffffffffffffffffffffffffffe';
export const AUTHORITIES_ADDRESS: Hex = '0x504f4c0000000000000000000000000000000001';
export const TRAINERS_ADDRESS: Hex = '0x504f4c0000000000000000000000000000000002';
export const LEARNING_ROUNDS_ADDRESS: Hex = '0x504f4c0000000000000000000000000000000003';
export const REWARDS_ADDRESS: Hex = '0x504f4c0000000000000000000000000000000004';
export const BONDS_ADDRESS: Hex = '0x504f4c0000000000000000000000000000000005';

/** Most withdrawals in one block (K of the Rewards queue). */
export const MAX_WITHDRAWALS_PER_BLOCK = 16;
/** Step of a verdict that accuses the claim's structure (counts, chain head, roots, update) and no single step. */
export const STRUCTURE_STEP = 0xffff_ffff;
/** Bytes of one leaf in commit calldata: state root 32, gradient root 32, loss bits 4. */
export const LEAF_BYTES = 68;

/** Call of a contract: a transaction's `to`, `data` and `value` (wei), or a system call's when value is 0. */
export type ContractCall = Readonly<{ to: Hex; data: Uint8Array; value: bigint }>;

/** eth_call on one state, without gas price: the returned bytes. It throws when the call reverts. */
export type ViewCall = (to: Hex, data: Uint8Array) => Promise<Uint8Array>;
/** Storage of an account at a 32-byte key on one state; missing slots are zero bytes or empty. */
export type StorageRead = (address: Hex, key: Uint8Array) => Promise<Uint8Array>;

/** One entry of the Rewards queue: block N's withdrawals are the first entries pending in block N-1's state. */
export type PendingReward = Readonly<{ recipient: Hex; gwei: bigint }>;

/** An authority: its address and its compressed secp256k1 key (33 bytes). */
export type Authority = Readonly<{ address: Hex; publicKey: Hex }>;
export type AuthoritySet = Readonly<{
  version: number;
  activeFrom: number;
  members: readonly Authority[];
  quorum: number;
}>;

export type TrainerStatus = 'none' | 'active' | 'paused' | 'exiting' | 'slashed';
export type Trainer = Readonly<{
  address: Hex;
  status: TrainerStatus;
  /** Share of the round's data this trainer takes, 1 to 64. */
  capacity: number;
  /** True while in the roster of a round that is not settled: the stake cannot leave. */
  locked: boolean;
  stakeWei: bigint;
  unvestedGwei: bigint;
  /** Wei that can be claimed with `claimCredit`. */
  creditWei: bigint;
  /** Block from which an exiting trainer may withdraw, 0 when not exiting. */
  exitBlock: number;
  accepted: number;
  rejected: number;
  unresolved: number;
  missed: number;
  consecutiveMisses: number;
  /** Hash of the secret layer that canaries are drawn by; zero when none was set. */
  canaryLayer: Hex;
}>;

/** Where a learning round stands; 'idle' only as the answer when no round was ever frozen. */
export type RoundPhase =
  | 'idle'
  | 'frozen'
  | 'training'
  | 'auditing'
  | 'revealing'
  | 'judging'
  | 'attesting'
  | 'settling'
  | 'done';
/** How a round ended: base moved, held-out gate kept the base, no claim accepted, no quorum attested. */
export type RoundOutcome = 'pending' | 'moved' | 'reverted' | 'void' | 'expired';
export type ClaimStatus =
  | 'awaited'
  | 'committed'
  | 'disputed'
  | 'accepted'
  | 'rejected'
  | 'unresolved'
  | 'missed'
  | 'canary';

export type CheckpointRef = Readonly<{ blobId: Hex; sha256: Hex; size: bigint }>;

/** The model every next round starts from. `version` counts how often the base moved; 0 is the genesis model. */
export type ModelRecord = Readonly<{
  root: Hex;
  version: number;
  /** Round that made it; -1 for the genesis model. */
  round: number;
  /** Mean held-out loss in micro-nats per token; 0 when not measured. */
  heldOutMicroNats: number;
  checkpoint: CheckpointRef;
}>;

export type RosterEntry = Readonly<{
  trainer: Hex;
  capacity: number;
  status: ClaimStatus;
  /** Basis points of claims like this one that each authority draws for execution; fixed when the roster froze. */
  auditRateBps: number;
}>;

export type RoundRecord = Readonly<{
  round: number;
  phase: RoundPhase;
  outcome: RoundOutcome;
  /** keccak256("round" ‖ prevrandao ‖ u64 round); zero until the round is opened. */
  seed: Hex;
  baseRoot: Hex;
  /** Version of the base model: the inner steps done before this round are version x steps (learning rate schedule). */
  baseVersion: number;
  /** Sequences used before this round since genesis: where this round's slots start in the data order. */
  dataStart: number;
  /** Blocks; 0 while unknown. `deadline` is that of the running phase: from that block on it is over. */
  frozenBlock: number;
  openedBlock: number;
  deadline: number;
  /** Slot order is list order: slot s starts at dataStart + (sum of earlier capacities) x steps x batch. */
  roster: readonly RosterEntry[];
  /** Version of the authority set that audits the round. */
  setVersion: number;
  committedCount: number;
  acceptedCount: number;
  /** Indexes of the authorities (in that set) that committed their verdicts, revealed them, and attested. */
  sealed: readonly number[];
  revealed: readonly number[];
  attested: readonly number[];
  /** Block in which the reveals ended, 0 before. */
  revealedBlock: number;
  /** Counts claims the referee rejected after acceptance: attestations belong to one attempt. */
  attempt: number;
  emissionGwei: bigint;
}>;

/** `passed`: not drawn, hence not executed. */
export type VerdictKind = 'valid' | 'invalid' | 'unavailable' | 'passed';
/** One authority's finding on the claim of a seat; `step` counts only with 'invalid', 'passed' has digest zero. */
export type VerdictEntry = Readonly<{ seat: number; verdict: VerdictKind; step: number; digest: Hex }>;
/** What an authority is accused of: a digest no execution gives, a draw its proof does not give, a canary approved. */
export type AccusationKind = 'digest' | 'draw' | 'canary';
export type TrialState = 'open' | 'guilty' | 'innocent' | 'undecided';
export type Trial = Readonly<{
  trial: number;
  round: number;
  seat: number;
  kind: AccusationKind;
  accused: Hex;
  accuser: Hex;
  setVersion: number;
  deadline: number;
  state: TrialState;
  bondWei: bigint;
  /** Indexes of the authorities that judged, by finding. */
  guilty: readonly number[];
  innocent: readonly number[];
}>;
export type Judgement = Readonly<{ round: number; trainer: Hex; step: number; invalid: boolean }>;
export type Attestation = Readonly<{
  round: number;
  modelRoot: Hex;
  heldOutMicroNats: number;
  checkpoint: CheckpointRef;
}>;

/** What a trainer sends once a round. `leaves` is steps x LEAF_BYTES bytes; it is only in the event, never in storage. */
export type Commitment = Readonly<{
  round: number;
  baseRoot: Hex;
  traceRoot: Hex;
  gradChainHead: Hex;
  finalStateRoot: Hex;
  updateHash: Hex;
  /** State root of the residual kept for the next round; zero when the codec keeps none. */
  residualRoot: Hex;
  /** keccak256(abi.encode(round, trainer, step, layer)) of a canary, or a hash that no step and layer open. */
  canaryHash: Hex;
  updateSize: bigint;
  kernelSpec: Hex;
  programHash: Hex;
  leaves: Uint8Array;
}>;

/** Why an amount was minted. */
export type MintReason = 'training' | 'auditing';

export type DisputeState = 'open' | 'upheld' | 'dismissed' | 'undecided';
export type Dispute = Readonly<{
  step: number;
  accuser: Hex;
  state: DisputeState;
  /** Authorities that found the step invalid, accusers included, and those that found it valid. */
  invalid: readonly Hex[];
  valid: readonly Hex[];
}>;

export type Claim = Readonly<{
  round: number;
  trainer: Hex;
  slot: number;
  capacity: number;
  status: ClaimStatus;
  committedBlock: number;
  /** Rounds in a row, up to the round before, in which this trainer's claims were accepted. */
  carriedRounds: number;
  traceRoot: Hex;
  gradChainHead: Hex;
  finalStateRoot: Hex;
  updateHash: Hex;
  updateSize: bigint;
  residualRoot: Hex;
  canaryHash: Hex;
  auditRateBps: number;
  valid: readonly Hex[];
  passed: readonly Hex[];
  invalid: readonly Hex[];
  unavailable: readonly Hex[];
  disputes: readonly Dispute[];
}>;

export type Supply = Readonly<{
  /** Appended to the queue since genesis, paid by withdrawals, waiting. */
  mintedGwei: bigint;
  paidGwei: bigint;
  pendingGwei: bigint;
  pendingCount: number;
  burnedWei: bigint;
}>;

/** The rules' numbers, set in genesis. Units, defaults and reasons: docs/protocol/system-contracts.md. */
export type LearningParameters = Readonly<{
  minTrainers: number;
  maxTrainers: number;
  minStakeGwei: bigint;
  unbondingBlocks: number;
  /** Consecutive missed rounds after which a trainer is paused. */
  missLimit: number;
  trainBlocks: number;
  auditBlocks: number;
  /** Blocks that the last authorities have once a quorum has committed its verdicts. */
  graceBlocks: number;
  revealBlocks: number;
  /** Whole blocks that reveals last at least, so that a canary can be opened. */
  canaryBlocks: number;
  disputeBlocks: number;
  attestBlocks: number;
  steps: number;
  batch: number;
  sequenceLength: number;
  samplesPerAudit: number;
  learningRateNano: number;
  warmupSteps: number;
  decaySteps: number;
  floorBps: number;
  /** Outer step eta = numerator / 2^shift. */
  outerEtaNumerator: number;
  outerEtaShift: number;
  /** Share of the last move of the model that is made again, in 1/256. */
  outerMomentum: number;
  weightCapBps: number;
  /** Norm clip as a multiple of the median norm, in basis points. */
  clipBps: number;
  codec: number;
  /** Bytes: a claim with a larger update is refused. */
  maxUpdateBytes: bigint;
  gateMicroNats: number;
  rewardPerTokenGwei: bigint;
  roundCapGwei: bigint;
  halvingRounds: number;
  trainerShareBps: number;
  auditorShareBps: number;
  canaryShareBps: number;
  canaryBps: number;
  auditFloorBps: number;
  auditCostBps: number;
  deepReplayBps: number;
  recheckBps: number;
  /** Weight of an executed verdict against one that was passed, in the auditors' share. */
  auditWeight: number;
  authorityBondGwei: bigint;
  accusationBondGwei: bigint;
  recheckWindowBlocks: number;
  vestingRounds: number;
  burnBps: number;
  kernelSpec: Hex;
  programHash: Hex;
  datasetHash: Hex;
  trainingConfigHash: Hex;
  genesisModelRoot: Hex;
  genesisHeldOutMicroNats: number;
  genesisCheckpoint: CheckpointRef;
}>;

/** Account to put in genesis: nonce 1; only Bonds has a balance. Storage keys and values are 32 bytes. */
export type SystemAccount = Readonly<{
  address: Hex;
  nonce: bigint;
  balance: bigint;
  code: Uint8Array;
  storage: readonly (readonly [key: Hex, value: Hex])[];
}>;

/** The part of a log the event decoder reads. */
export type SystemLog = Readonly<{ address: Hex; topics: readonly Hex[]; data: Hex }>;
