// Owns decoding the logs of the system contracts into tagged events. Numbers that fit are numbers, addresses lower case.

import type { Hex } from '../../base/bytes.ts';
import { authoritiesAbi, bondsAbi, decodeLog, learningRoundsAbi, rewardsAbi, trainersAbi } from './abi.ts';
import {
  AUTHORITIES_ADDRESS,
  type AccusationKind,
  type Attestation,
  BONDS_ADDRESS,
  type CheckpointRef,
  type ClaimStatus,
  type Commitment,
  type DisputeState,
  LEARNING_ROUNDS_ADDRESS,
  type MintReason,
  REWARDS_ADDRESS,
  type RoundOutcome,
  type RoundPhase,
  type SystemLog,
  TRAINERS_ADDRESS,
  type TrialState,
  type VerdictEntry,
} from './api.ts';
import { fromHex } from '../../base/bytes.ts';
import { CHALLENGES_ADDRESS, type ChallengeEvent, decodeChallengeLog } from './challenges.ts';
import { decodeEntries } from './verdicts.ts';
import {
  accusationOf,
  claimStatusOf,
  disputeStateOf,
  mintReasonOf,
  outcomeOf,
  phaseOf,
  trialStateOf,
} from './words.ts';

/** An event of LearningRounds. */
export type RoundEvent =
  | Readonly<{
      kind: 'rosterFrozen';
      round: number;
      trainers: readonly Hex[];
      capacities: readonly number[];
      auditRatesBps: readonly number[];
    }>
  | Readonly<{
      kind: 'roundOpened';
      round: number;
      seed: Hex;
      baseRoot: Hex;
      baseVersion: number;
      dataStart: number;
      deadline: number;
    }>
  | Readonly<{ kind: 'phaseChanged'; round: number; phase: RoundPhase; deadline: number }>
  | Readonly<{ kind: 'committed'; trainer: Hex; commitment: Commitment; round: number }>
  | Readonly<{ kind: 'verdictsSealed'; round: number; authority: Hex; hash: Hex }>
  /** `proof` is that of the authority's draw; the contract looks at its length only. */
  | Readonly<{
      kind: 'verdictsRevealed';
      round: number;
      authority: Hex;
      entries: readonly VerdictEntry[];
      proof: Uint8Array;
    }>
  | Readonly<{ kind: 'canaryOpened'; round: number; trainer: Hex; step: number; layer: Hex }>
  | Readonly<{ kind: 'claimRejectedByReferee'; round: number; trainer: Hex; attempt: number }>
  | Readonly<{ kind: 'disputeOpened'; round: number; trainer: Hex; accuser: Hex; step: number }>
  | Readonly<{ kind: 'judged'; round: number; trainer: Hex; authority: Hex; step: number; invalid: boolean }>
  | Readonly<{
      kind: 'disputeClosed';
      round: number;
      trainer: Hex;
      accuser: Hex;
      step: number;
      state: DisputeState;
    }>
  | Readonly<{ kind: 'claimDecided'; round: number; trainer: Hex; status: ClaimStatus }>
  | Readonly<{ kind: 'attested'; authority: Hex; round: number; attestation: Attestation }>
  | Readonly<{
      kind: 'finalised';
      round: number;
      outcome: RoundOutcome;
      /** The model attested; when the outcome is 'moved' it is the new base. */
      modelRoot: Hex;
      heldOutMicroNats: number;
      baseVersion: number;
      checkpoint: CheckpointRef;
    }>
  | Readonly<{ kind: 'roundSettled'; round: number; emissionGwei: bigint }>;

/** An event of Trainers. */
export type TrainerEvent =
  | Readonly<{ kind: 'registered'; trainer: Hex; capacity: number; stakeWei: bigint }>
  | Readonly<{ kind: 'stakeAdded'; trainer: Hex; amountWei: bigint; stakeWei: bigint }>
  | Readonly<{ kind: 'capacitySet'; trainer: Hex; capacity: number }>
  | Readonly<{ kind: 'paused'; trainer: Hex; round: number }>
  | Readonly<{ kind: 'resumed'; trainer: Hex }>
  | Readonly<{ kind: 'exitRequested'; trainer: Hex; exitBlock: number }>
  | Readonly<{ kind: 'withdrawn'; trainer: Hex; amountWei: bigint }>
  | Readonly<{
      kind: 'vested';
      trainer: Hex;
      round: number;
      paidGwei: bigint;
      releasedGwei: bigint;
      unvestedGwei: bigint;
    }>
  | Readonly<{
      kind: 'slashed';
      trainer: Hex;
      round: number;
      accuser: Hex;
      burnedWei: bigint;
      bountyWei: bigint;
      forfeitedGwei: bigint;
    }>
  | Readonly<{ kind: 'canaryLayerSet'; trainer: Hex; layerHash: Hex; fromRound: number }>
  | Readonly<{ kind: 'creditClaimed'; account: Hex; amountWei: bigint }>;

/** An event of Bonds. */
export type BondEvent =
  | Readonly<{ kind: 'bondDeposited'; account: Hex; amountWei: bigint; bondWei: bigint }>
  | Readonly<{ kind: 'bondWithdrawn'; account: Hex; amountWei: bigint }>
  | Readonly<{
      kind: 'accused';
      trial: number;
      accused: Hex;
      accuser: Hex;
      round: number;
      seat: number;
      accusation: AccusationKind;
      deadline: number;
    }>
  | Readonly<{ kind: 'authorityJudged'; trial: number; authority: Hex; guilty: boolean }>
  | Readonly<{ kind: 'trialClosed'; trial: number; accused: Hex; accuser: Hex; state: TrialState }>
  | Readonly<{ kind: 'bondSlashed'; account: Hex; beneficiary: Hex; burnedWei: bigint; bountyWei: bigint }>
  | Readonly<{ kind: 'bondCreditClaimed'; account: Hex; amountWei: bigint }>;

/** An event of Rewards or Authorities. */
export type LedgerEvent =
  | Readonly<{ kind: 'minted'; recipient: Hex; gwei: bigint; reason: MintReason; index: number }>
  | Readonly<{ kind: 'paid'; count: number; gwei: bigint }>
  | Readonly<{ kind: 'burned'; from: Hex; amountWei: bigint }>
  | Readonly<{ kind: 'setDecided'; version: number; activeFrom: number; accounts: readonly Hex[] }>
  | Readonly<{ kind: 'proposed'; proposal: number; by: Hex; add: boolean; account: Hex; publicKey: Hex }>
  | Readonly<{ kind: 'expelled'; account: Hex }>
  | Readonly<{ kind: 'voted'; proposal: number; by: Hex }>;

export type SystemEvent = RoundEvent | TrainerEvent | BondEvent | LedgerEvent | ChallengeEvent;

const low = (address: Hex): Hex => address.toLowerCase() as Hex;

/** The event a log of the system contracts carries; null for any other log. */
export function decodeSystemLog(log: SystemLog): SystemEvent | null {
  switch (low(log.address)) {
    case LEARNING_ROUNDS_ADDRESS:
      return decodeRoundLog(log);
    case TRAINERS_ADDRESS:
      return decodeTrainerLog(log);
    case REWARDS_ADDRESS:
      return decodeRewardLog(log);
    case AUTHORITIES_ADDRESS:
      return decodeAuthorityLog(log);
    case BONDS_ADDRESS:
      return decodeBondLog(log);
    case CHALLENGES_ADDRESS:
      return decodeChallengeLog(log);
    default:
      return null;
  }
}

function checkpointOf(tuple: Readonly<{ blobId: Hex; sha256Hash: Hex; size: bigint }>): CheckpointRef {
  return { blobId: tuple.blobId, sha256: tuple.sha256Hash, size: tuple.size };
}

function decodeRoundLog(log: SystemLog): RoundEvent | null {
  const decoded = decodeLog(learningRoundsAbi, log);
  if (decoded === null) return null;
  const { eventName, args } = decoded;
  const round = Number(args.round);
  switch (eventName) {
    case 'RosterFrozen':
      return {
        kind: 'rosterFrozen',
        round,
        trainers: args.trainers.map(low),
        capacities: args.capacities,
        auditRatesBps: args.auditRatesBps,
      };
    case 'RoundOpened': {
      const { seed, baseRoot, baseVersion, dataStart, deadline } = args;
      const ends = { dataStart: Number(dataStart), deadline: Number(deadline) };
      return { kind: 'roundOpened', round, seed, baseRoot, baseVersion, ...ends };
    }
    case 'PhaseChanged':
      return { kind: 'phaseChanged', round, phase: phaseOf(args.phase), deadline: Number(args.deadline) };
    case 'Committed': {
      const { round: _, trainer, leaves, ...hashes } = args;
      return {
        kind: 'committed',
        round,
        trainer: low(trainer),
        commitment: { round, ...hashes, leaves: fromHex(leaves) },
      };
    }
    case 'Attested': {
      const { authority, modelRoot, heldOutMicroNats, checkpoint } = args;
      const seen = {
        round,
        modelRoot,
        heldOutMicroNats: Number(heldOutMicroNats),
        checkpoint: checkpointOf(checkpoint),
      };
      return { kind: 'attested', round, authority: low(authority), attestation: seen };
    }
    case 'Finalised': {
      const { outcome, modelRoot, heldOutMicroNats, baseVersion, checkpoint } = args;
      const model = { modelRoot, heldOutMicroNats: Number(heldOutMicroNats), checkpoint: checkpointOf(checkpoint) };
      return { kind: 'finalised', round, outcome: outcomeOf(outcome), baseVersion, ...model };
    }
    case 'RoundSettled':
      return { kind: 'roundSettled', round, emissionGwei: args.emissionGwei };
    default:
      return auditEvent(decoded, round);
  }
}

type RoundLog = NonNullable<ReturnType<typeof decodeLog<typeof learningRoundsAbi>>>;
type AuditEventName =
  | 'VerdictsSealed'
  | 'VerdictsRevealed'
  | 'CanaryOpened'
  | 'ClaimRejectedByReferee'
  | 'DisputeOpened'
  | 'Judged'
  | 'DisputeClosed'
  | 'ClaimDecided';
type AuditLog = Extract<RoundLog, { eventName: AuditEventName }>;

function auditEvent({ eventName, args }: AuditLog, round: number): RoundEvent | null {
  if (eventName === 'VerdictsSealed')
    return { kind: 'verdictsSealed', round, authority: low(args.authority), hash: args.hash };
  if (eventName === 'VerdictsRevealed') {
    const entries = decodeEntries(fromHex(args.entries));
    // The contract lets no other records through.
    if (!entries.ok) return null;
    const proof = fromHex(args.vrfProof);
    return { kind: 'verdictsRevealed', round, authority: low(args.authority), entries: entries.value, proof };
  }
  const trainer = low(args.trainer);
  switch (eventName) {
    case 'CanaryOpened':
      return { kind: 'canaryOpened', round, trainer, step: args.step, layer: args.layer };
    case 'ClaimRejectedByReferee':
      return { kind: 'claimRejectedByReferee', round, trainer, attempt: args.attempt };
    case 'DisputeOpened':
      return { kind: 'disputeOpened', round, trainer, accuser: low(args.accuser), step: args.step };
    case 'Judged':
      return { kind: 'judged', round, trainer, authority: low(args.authority), step: args.step, invalid: args.invalid };
    case 'DisputeClosed': {
      const { accuser, step, state } = args;
      return { kind: 'disputeClosed', round, trainer, accuser: low(accuser), step, state: disputeStateOf(state) };
    }
    case 'ClaimDecided':
      return { kind: 'claimDecided', round, trainer, status: claimStatusOf(args.status) };
  }
}

function decodeTrainerLog(log: SystemLog): TrainerEvent | null {
  const decoded = decodeLog(trainersAbi, log);
  if (decoded === null) return null;
  const { eventName, args } = decoded;
  if (eventName === 'CreditClaimed')
    return { kind: 'creditClaimed', account: low(args.account), amountWei: args.amountWei };
  const trainer = low(args.trainer);
  switch (eventName) {
    case 'Registered':
      return { kind: 'registered', trainer, capacity: args.capacity, stakeWei: args.stakeWei };
    case 'StakeAdded':
      return { kind: 'stakeAdded', trainer, amountWei: args.amountWei, stakeWei: args.stakeWei };
    case 'CapacitySet':
      return { kind: 'capacitySet', trainer, capacity: args.capacity };
    case 'CanaryLayerSet':
      return { kind: 'canaryLayerSet', trainer, layerHash: args.layerHash, fromRound: Number(args.fromRound) };
    case 'Paused':
      return { kind: 'paused', trainer, round: Number(args.round) };
    case 'Resumed':
      return { kind: 'resumed', trainer };
    case 'ExitRequested':
      return { kind: 'exitRequested', trainer, exitBlock: Number(args.exitBlock) };
    case 'Withdrawn':
      return { kind: 'withdrawn', trainer, amountWei: args.amountWei };
    case 'Vested': {
      const { paidGwei, releasedGwei, unvestedGwei } = args;
      return { kind: 'vested', trainer, round: Number(args.round), paidGwei, releasedGwei, unvestedGwei };
    }
    case 'Slashed': {
      const { burnedWei, bountyWei, forfeitedGwei } = args;
      const accuser = low(args.accuser);
      return { kind: 'slashed', trainer, round: Number(args.round), accuser, burnedWei, bountyWei, forfeitedGwei };
    }
  }
}

function decodeRewardLog(log: SystemLog): LedgerEvent | null {
  const decoded = decodeLog(rewardsAbi, log);
  if (decoded === null) return null;
  const { eventName, args } = decoded;
  switch (eventName) {
    case 'Minted': {
      const { recipient, amountGwei, reason, index } = args;
      const named = { recipient: low(recipient), reason: mintReasonOf(reason) };
      return { kind: 'minted', ...named, gwei: amountGwei, index: Number(index) };
    }
    case 'Paid':
      return { kind: 'paid', count: Number(args.count), gwei: args.amountGwei };
    case 'Burned':
      return { kind: 'burned', from: low(args.from), amountWei: args.amountWei };
  }
}

function decodeAuthorityLog(log: SystemLog): LedgerEvent | null {
  const decoded = decodeLog(authoritiesAbi, log);
  if (decoded === null) return null;
  const { eventName, args } = decoded;
  switch (eventName) {
    case 'SetDecided': {
      const { version, activeFrom, accounts } = args;
      return {
        kind: 'setDecided',
        version: Number(version),
        activeFrom: Number(activeFrom),
        accounts: accounts.map(low),
      };
    }
    case 'Proposed': {
      const { proposal, by, add, account, publicKey } = args;
      return { kind: 'proposed', proposal: Number(proposal), by: low(by), add, account: low(account), publicKey };
    }
    case 'Expelled':
      return { kind: 'expelled', account: low(args.account) };
    case 'Voted':
      return { kind: 'voted', proposal: Number(args.proposal), by: low(args.by) };
  }
}

function decodeBondLog(log: SystemLog): BondEvent | null {
  const decoded = decodeLog(bondsAbi, log);
  if (decoded === null) return null;
  const { eventName, args } = decoded;
  switch (eventName) {
    case 'Deposited':
      return {
        kind: 'bondDeposited',
        account: low(args.account),
        amountWei: args.amountWei,
        bondWei: args.bondWei,
      };
    case 'Withdrawn':
      return { kind: 'bondWithdrawn', account: low(args.account), amountWei: args.amountWei };
    case 'BondSlashed': {
      const { burnedWei, bountyWei } = args;
      const named = { account: low(args.account), beneficiary: low(args.beneficiary) };
      return { kind: 'bondSlashed', ...named, burnedWei, bountyWei };
    }
    case 'CreditClaimed':
      return { kind: 'bondCreditClaimed', account: low(args.account), amountWei: args.amountWei };
    case 'AuthorityJudged':
      return {
        kind: 'authorityJudged',
        trial: Number(args.trial),
        authority: low(args.authority),
        guilty: args.guilty,
      };
    case 'TrialClosed': {
      const named = { accused: low(args.accused), accuser: low(args.accuser) };
      return { kind: 'trialClosed', trial: Number(args.trial), ...named, state: trialStateOf(args.state) };
    }
    case 'Accused': {
      const { trial, round, seat, kind, deadline } = args;
      const named = { accused: low(args.accused), accuser: low(args.accuser), round: Number(round), seat };
      return {
        kind: 'accused',
        trial: Number(trial),
        ...named,
        accusation: accusationOf(kind),
        deadline: Number(deadline),
      };
    }
  }
}
