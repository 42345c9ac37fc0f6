// Owns the encoding of every call to the system contracts, by trainers, authorities and the chain itself.

import type { Hex } from '../../base/bytes.ts';
import { toHex } from '../../base/bytes.ts';
import { authoritiesAbi, encodeCall, learningRoundsAbi, rewardsAbi, trainersAbi } from './abi.ts';
import {
  AUTHORITIES_ADDRESS,
  type Attestation,
  type Commitment,
  type ContractCall,
  type Judgement,
  LEAF_BYTES,
  LEARNING_ROUNDS_ADDRESS,
  REWARDS_ADDRESS,
  TRAINERS_ADDRESS,
  type Verdict,
} from './api.ts';
import { VERDICT_CODES } from './words.ts';

/**
 * Gas limits that suffice whichever turn a call takes: an estimate made before others' transactions can be too low, since the
 * last commit ends the phase and the last judgement slashes. Measured at 64 trainers and 100 authorities, with room.
 */
export const CALL_GAS = {
  register: 400_000n,
  verdict: 600_000n,
  judge: 600_000n,
  attest: 600_000n,
  claimCredit: 200_000n,
} as const;

/** Gas of a byte of leaves: calldata at its floor price (EIP-7623), the log, and copying. */
const GAS_PER_LEAF_BYTE = 60;

/** As {@link CALL_GAS} for a commit, which grows with the steps whose leaves it carries. */
export function commitGas(steps: number): bigint {
  return BigInt(400_000 + steps * LEAF_BYTES * GAS_PER_LEAF_BYTE);
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

/** An authority's finding; `step` counts only with 'invalid'. */
export function verdictCall({ round, trainer, verdict, step, digest }: Verdict): ContractCall {
  const named = verdict === 'invalid' ? step : 0;
  return roundsCall(
    encodeCall(learningRoundsAbi, 'verdict', [BigInt(round), trainer, VERDICT_CODES[verdict], named, digest]),
  );
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
