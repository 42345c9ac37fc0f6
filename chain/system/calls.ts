// Owns the encoding of every call to the system contracts, by trainers, authorities and the chain itself.

import type { Hex } from '../../base/bytes.ts';
import { toHex } from '../../base/bytes.ts';
import { authoritiesAbi, bondsAbi, encodeCall, learningRoundsAbi, rewardsAbi, trainersAbi } from './abi.ts';
import {
  AUTHORITIES_ADDRESS,
  type AccusationKind,
  type Attestation,
  BONDS_ADDRESS,
  type Commitment,
  type ContractCall,
  type Judgement,
  LEAF_BYTES,
  LEARNING_ROUNDS_ADDRESS,
  REWARDS_ADDRESS,
  TRAINERS_ADDRESS,
} from './api.ts';
import { ACCUSATION_CODES } from './words.ts';

/**
 * Gas limits that suffice whichever turn a call takes: an estimate made before others' transactions can be too low, since the
 * last commit ends the phase and the last judgement slashes. Measured at 64 trainers and 100 authorities, with room.
 */
export const CALL_GAS = {
  register: 400_000n,
  commitVerdicts: 300_000n,
  openCanary: 400_000n,
  judge: 600_000n,
  attest: 600_000n,
  claimCredit: 200_000n,
  accuse: 800_000n,
  judgeAuthority: 400_000n,
} as const;

/** Gas of a byte of leaves: calldata at its floor price (EIP-7623), the log, and copying. */
const GAS_PER_LEAF_BYTE = 60;

/** As {@link CALL_GAS} for a commit, which grows with the steps whose leaves it carries. */
export function commitGas(steps: number): bigint {
  return BigInt(400_000 + steps * LEAF_BYTES * GAS_PER_LEAF_BYTE);
}

/** As {@link CALL_GAS} for a reveal: most by far when every claim is accused at a step of its own. */
export function revealGas(claims: number): bigint {
  return BigInt(400_000 + claims * 160_000);
}

function trainersCall(data: Uint8Array, value: bigint = 0n): ContractCall {
  return { to: TRAINERS_ADDRESS, data, value };
}

function roundsCall(data: Uint8Array): ContractCall {
  return { to: LEARNING_ROUNDS_ADDRESS, data, value: 0n };
}

/** Joins as a trainer with `capacity` 1 to 64, staking `stakeWei`. */
export function registerCall(capacity: number, stakeWei: bigint): ContractCall {
  return trainersCall(encodeCall(trainersAbi, 'register', [capacity]), stakeWei);
}

export function addStakeCall(wei: bigint): ContractCall {
  return trainersCall(encodeCall(trainersAbi, 'addStake', []), wei);
}

/** Capacity from the next roster on. */
export function setCapacityCall(capacity: number): ContractCall {
  return trainersCall(encodeCall(trainersAbi, 'setCapacity', [capacity]));
}

/** Ends a pause that missed rounds brought. */
export function resumeCall(): ContractCall {
  return trainersCall(encodeCall(trainersAbi, 'resume', []));
}

export function requestExitCall(): ContractCall {
  return trainersCall(encodeCall(trainersAbi, 'requestExit', []));
}

export function withdrawCall(): ContractCall {
  return trainersCall(encodeCall(trainersAbi, 'withdraw', []));
}

/** Pays out bounties. */
export function claimCreditCall(): ContractCall {
  return trainersCall(encodeCall(trainersAbi, 'claimCredit', []));
}

/** Queues what has vested for a trainer that is in no roster any more; anyone may send it. */
export function releaseVestedCall(trainer: Hex): ContractCall {
  return roundsCall(encodeCall(learningRoundsAbi, 'releaseVested', [trainer]));
}

/** A trainer's claim; `leaves` must be steps x 68 bytes. */
export function commitCall(commitment: Commitment): ContractCall {
  const { round, leaves, ...rest } = commitment;
  return roundsCall(encodeCall(learningRoundsAbi, 'commit', [BigInt(round), { ...rest, leaves: toHex(leaves) }]));
}

/** An authority's verdicts on all claims of a round, hidden; `hash` is verdictsHash of verdicts.ts. */
export function commitVerdictsCall(round: number, hash: Hex): ContractCall {
  return roundsCall(encodeCall(learningRoundsAbi, 'commitVerdicts', [BigInt(round), hash]));
}

/** Opens the hidden verdicts: encoded entries, nonce and the proof of the draw (81 bytes). */
export function revealVerdictsCall(round: number, entries: Hex, nonce: Hex, proof: Hex): ContractCall {
  return roundsCall(encodeCall(learningRoundsAbi, 'revealVerdicts', [BigInt(round), entries, nonce, proof]));
}

/** Shows that a false step of the sender's own claim was a canary. */
export function openCanaryCall(round: number, step: number, layer: Hex, nextLayerHash: Hex): ContractCall {
  return roundsCall(encodeCall(learningRoundsAbi, 'openCanary', [BigInt(round), step, layer, nextLayerHash]));
}

/** Hash of the secret layer that the sender's canaries are drawn by, from the next roster on. */
export function setCanaryLayerCall(layerHash: Hex): ContractCall {
  return trainersCall(encodeCall(trainersAbi, 'setCanaryLayer', [layerHash]));
}

function bondsCall(data: Uint8Array, value: bigint = 0n): ContractCall {
  return { to: BONDS_ADDRESS, data, value };
}

/** Adds to the sender's bond as an authority. */
export function depositBondCall(wei: bigint): ContractCall {
  return bondsCall(encodeCall(bondsAbi, 'deposit', []), wei);
}

export function withdrawBondCall(): ContractCall {
  return bondsCall(encodeCall(bondsAbi, 'withdraw', []));
}

/** Accuses an authority of what it revealed about a seat; `bondWei` must be the accusation bond exactly. */
export function accuseCall(
  accusation: Readonly<{ round: number; authority: Hex; seat: number; kind: AccusationKind }>,
  bondWei: bigint,
): ContractCall {
  const { round, authority, seat, kind } = accusation;
  const args = [BigInt(round), authority, seat, ACCUSATION_CODES[kind]] as const;
  return bondsCall(encodeCall(bondsAbi, 'accuse', args), bondWei);
}

export function judgeAuthorityCall(trial: number, guilty: boolean): ContractCall {
  return bondsCall(encodeCall(bondsAbi, 'judgeAuthority', [BigInt(trial), guilty]));
}

/** Ends a trial whose time is over without a quorum. */
export function closeTrialCall(trial: number): ContractCall {
  return bondsCall(encodeCall(bondsAbi, 'closeTrial', [BigInt(trial)]));
}

/** Pays out bounties against authorities, and accusation bonds that came back. */
export function claimBondCreditCall(): ContractCall {
  return bondsCall(encodeCall(bondsAbi, 'claimCredit', []));
}

/** An authority's finding on one disputed step. */
export function judgeCall({ round, trainer, step, invalid }: Judgement): ContractCall {
  return roundsCall(encodeCall(learningRoundsAbi, 'judge', [BigInt(round), trainer, step, invalid]));
}

/** An authority's computation of the next model. */
export function attestCall({ round, modelRoot, heldOutMicroNats, checkpoint }: Attestation): ContractCall {
  const { blobId, sha256, size } = checkpoint;
  return roundsCall(
    encodeCall(learningRoundsAbi, 'attest', [
      BigInt(round),
      modelRoot,
      BigInt(heldOutMicroNats),
      { blobId, sha256Hash: sha256, size },
    ]),
  );
}

/** System call that moves the round on: the first of every block. */
export function onBlockCall(): ContractCall {
  return roundsCall(encodeCall(learningRoundsAbi, 'onBlock', []));
}

/** System call of a block with `count` withdrawals; sent only when there are any. */
export function markPaidCall(count: number): ContractCall {
  return { to: REWARDS_ADDRESS, data: encodeCall(rewardsAbi, 'markPaid', [BigInt(count)]), value: 0n };
}

/** Proposes a change of the authorities and votes for it. `publicKey` is empty ('0x') for a removal. */
export function proposeCall(add: boolean, account: Hex, publicKey: Hex): ContractCall {
  return {
    to: AUTHORITIES_ADDRESS,
    data: encodeCall(authoritiesAbi, 'propose', [add, account, publicKey]),
    value: 0n,
  };
}

export function voteCall(proposal: number): ContractCall {
  return { to: AUTHORITIES_ADDRESS, data: encodeCall(authoritiesAbi, 'vote', [BigInt(proposal)]), value: 0n };
}
