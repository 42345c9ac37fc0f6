// Owns reading the system contracts through view calls on one state, or through storage where no call is wanted.

import { type Hex, fromHex, toBigInt, toHex, u256be } from '../../base/bytes.ts';
import { check, present } from '../../base/check.ts';
import { keccak256 } from '../../base/hash.ts';
import {
  authoritiesAbi,
  bondsAbi,
  decodeReturn,
  encodeCall,
  learningRoundsAbi,
  rewardsAbi,
  trainersAbi,
} from './abi.ts';
import {
  AUTHORITIES_ADDRESS,
  type AuthoritySet,
  BONDS_ADDRESS,
  type Claim,
  type Dispute,
  LEARNING_ROUNDS_ADDRESS,
  type LearningParameters,
  type ModelRecord,
  type PendingReward,
  REWARDS_ADDRESS,
  type RoundRecord,
  type StorageRead,
  type Supply,
  TRAINERS_ADDRESS,
  type Trainer,
  type Trial,
  type ViewCall,
} from './api.ts';
import {
  accusationOf,
  claimStatusOf,
  disputeStateOf,
  outcomeOf,
  phaseOf,
  trainerStatusOf,
  trialStateOf,
} from './words.ts';

/** A contract's number as a JavaScript one; the contracts keep them far below 2^53. */
function whole(value: bigint): number {
  check(value <= BigInt(Number.MAX_SAFE_INTEGER), 'system contract: number above 2^53');
  return Number(value);
}

/** Lower case: addresses compare as text everywhere else. */
const address = (text: Hex): Hex => text.toLowerCase() as Hex;

/** The set that acts in the state's block, or the one of `version`. */
export async function readAuthoritySet(call: ViewCall, version?: number): Promise<AuthoritySet> {
  let wanted = version;
  if (wanted === undefined) {
    const returned = await call(AUTHORITIES_ADDRESS, encodeCall(authoritiesAbi, 'activeVersion', []));
    wanted = whole(decodeReturn(authoritiesAbi, 'activeVersion', returned));
  }
  const data = encodeCall(authoritiesAbi, 'setOf', [BigInt(wanted)]);
  const [activeFrom, members, quorum] = decodeReturn(authoritiesAbi, 'setOf', await call(AUTHORITIES_ADDRESS, data));
  return {
    version: wanted,
    activeFrom: whole(activeFrom),
    members: members.map(({ account, publicKey }) => ({ address: address(account), publicKey })),
    quorum: whole(quorum),
  };
}

/** Newest decided version; above the acting one while a change waits for its block. */
export async function readLatestSetVersion(call: ViewCall): Promise<number> {
  const returned = await call(AUTHORITIES_ADDRESS, encodeCall(authoritiesAbi, 'latestVersion', []));
  return whole(decodeReturn(authoritiesAbi, 'latestVersion', returned));
}

type TrainerTuple = ReturnType<typeof decodeReturn<typeof trainersAbi, 'trainerOf'>>;

function trainerFrom(tuple: TrainerTuple): Trainer {
  const { account, status, capacity, locked, stakeWei, unvestedGwei, creditWei, exitBlock, misses } = tuple;
  const { accepted, rejected, unresolved, missed, canaryLayer } = tuple;
  return {
    address: address(account),
    status: trainerStatusOf(status),
    capacity,
    locked,
    stakeWei,
    unvestedGwei,
    creditWei,
    exitBlock: whole(exitBlock),
    accepted,
    rejected,
    unresolved,
    missed,
    consecutiveMisses: misses,
    canaryLayer,
  };
}

/** An account's record as a trainer; status 'none' when it never registered. */
export async function readTrainer(call: ViewCall, account: Hex): Promise<Trainer> {
  const returned = await call(TRAINERS_ADDRESS, encodeCall(trainersAbi, 'trainerOf', [account]));
  return trainerFrom(decodeReturn(trainersAbi, 'trainerOf', returned));
}

/** Active trainers from `offset` on, at most `most`. */
export async function readTrainers(call: ViewCall, offset: number, most: number): Promise<readonly Trainer[]> {
  const data = encodeCall(trainersAbi, 'activeTrainers', [BigInt(offset), BigInt(most)]);
  const list = decodeReturn(trainersAbi, 'activeTrainers', await call(TRAINERS_ADDRESS, data));
  return list.map(trainerFrom);
}

export async function readTrainerCount(call: ViewCall): Promise<number> {
  const returned = await call(TRAINERS_ADDRESS, encodeCall(trainersAbi, 'activeCount', []));
  return whole(decodeReturn(trainersAbi, 'activeCount', returned));
}

async function readRoundCount(call: ViewCall): Promise<number> {
  const returned = await call(LEARNING_ROUNDS_ADDRESS, encodeCall(learningRoundsAbi, 'roundCount', []));
  return whole(decodeReturn(learningRoundsAbi, 'roundCount', returned));
}

/** The newest round, or null before the first roster. */
export async function readCurrentRound(call: ViewCall): Promise<RoundRecord | null> {
  const count = await readRoundCount(call);
  return count === 0 ? null : readRound(call, count - 1);
}

/** A round of the newest 64; the call reverts for others. */
export async function readRound(call: ViewCall, round: number): Promise<RoundRecord> {
  const data = encodeCall(learningRoundsAbi, 'roundAt', [BigInt(round)]);
  const [record, roster] = decodeReturn(learningRoundsAbi, 'roundAt', await call(LEARNING_ROUNDS_ADDRESS, data));
  return {
    round,
    phase: phaseOf(record.phase),
    outcome: outcomeOf(record.outcome),
    seed: record.seed,
    baseRoot: record.baseRoot,
    baseVersion: record.baseVersion,
    dataStart: whole(record.dataStart),
    frozenBlock: whole(record.frozenBlock),
    openedBlock: whole(record.openedBlock),
    deadline: whole(record.deadline),
    setVersion: whole(record.setVersion),
    roster: roster.map(({ trainer, capacity, status, auditRateBps }) => ({
      trainer: address(trainer),
      capacity,
      status: claimStatusOf(status),
      auditRateBps,
    })),
    committedCount: record.committed,
    acceptedCount: record.accepted,
    sealed: bitsOf(record.sealed_),
    revealed: bitsOf(record.revealed),
    attested: bitsOf(record.attested),
    revealedBlock: whole(record.revealedBlock),
    attempt: record.attempt,
    emissionGwei: record.emissionGwei,
  };
}

/** Set bits of a mask of authorities, as indexes. */
function bitsOf(mask: bigint): readonly number[] {
  const bits: number[] = [];
  for (let rest = mask, index = 0; rest !== 0n; rest >>= 1n, index++) if ((rest & 1n) === 1n) bits.push(index);
  return bits;
}

/** A trainer's claim in a round of the newest 64, masks resolved to addresses; the call reverts for non-members. */
export async function readClaim(call: ViewCall, round: number, trainer: Hex): Promise<Claim> {
  const { setVersion } = await readRound(call, round);
  const { members } = await readAuthoritySet(call, setVersion);
  const named = (mask: bigint): readonly Hex[] =>
    bitsOf(mask).map((index) => present(members[index], `authority ${index}`).address);
  const data = encodeCall(learningRoundsAbi, 'claimOf', [BigInt(round), trainer]);
  const returned = await call(LEARNING_ROUNDS_ADDRESS, data);
  const [seat, claim, list] = decodeReturn(learningRoundsAbi, 'claimOf', returned);
  const disputes = list.map(
    (dispute): Dispute => ({
      step: dispute.step,
      accuser: address(dispute.accuser),
      state: disputeStateOf(dispute.state),
      invalid: named(dispute.invalid),
      valid: named(dispute.valid),
    }),
  );
  return {
    round,
    trainer: address(claim.trainer),
    slot: whole(seat),
    capacity: claim.capacity,
    status: claimStatusOf(claim.status),
    committedBlock: whole(claim.committedBlock),
    carriedRounds: claim.carriedRounds,
    traceRoot: claim.traceRoot,
    gradChainHead: claim.gradChainHead,
    finalStateRoot: claim.finalStateRoot,
    updateHash: claim.updateHash,
    updateSize: claim.updateSize,
    residualRoot: claim.residualRoot,
    canaryHash: claim.canaryHash,
    auditRateBps: claim.auditRateBps,
    valid: named(claim.valid),
    passed: named(claim.passed),
    invalid: named(claim.invalid),
    unavailable: named(claim.unavailable),
    disputes,
  };
}

/** The model every next round starts from. */
export const readModel = (call: ViewCall): Promise<ModelRecord> => readModelBy(call, 'model');

/** The model it followed; null while it is the genesis model. */
export async function readEarlierModel(call: ViewCall): Promise<ModelRecord | null> {
  const { version } = await readModel(call);
  return version === 0 ? null : readModelBy(call, 'earlierModel');
}

async function readModelBy(call: ViewCall, name: 'model' | 'earlierModel'): Promise<ModelRecord> {
  const returned = await call(LEARNING_ROUNDS_ADDRESS, encodeCall(learningRoundsAbi, name, []));
  const { root, version, roundPlusOne, heldOutMicroNats, checkpoint } = decodeReturn(learningRoundsAbi, name, returned);
  return {
    root,
    version,
    round: whole(roundPlusOne) - 1,
    heldOutMicroNats: whole(heldOutMicroNats),
    checkpoint: { blobId: checkpoint.blobId, sha256: checkpoint.sha256Hash, size: checkpoint.size },
  };
}

/** What is fixed in genesis, as the contracts hold it; the genesis model itself is `readModel` at block 0. */
export type StoredParameters = Omit<
  LearningParameters,
  'genesisModelRoot' | 'genesisHeldOutMicroNats' | 'genesisCheckpoint'
>;

export async function readParameters(call: ViewCall): Promise<StoredParameters> {
  const rounds = await call(LEARNING_ROUNDS_ADDRESS, encodeCall(learningRoundsAbi, 'parameters', []));
  const trainers = await call(TRAINERS_ADDRESS, encodeCall(trainersAbi, 'parameters', []));
  const held = decodeReturn(bondsAbi, 'parameters', await call(BONDS_ADDRESS, encodeCall(bondsAbi, 'parameters', [])));
  const { authorityBondGwei, accusationBondGwei, recheckWindowBlocks } = held;
  const { gateMicroNats, ...rules } = decodeReturn(learningRoundsAbi, 'parameters', rounds);
  const { unbondingBlocks, ...stake } = decodeReturn(trainersAbi, 'parameters', trainers);
  return {
    ...rules,
    ...stake,
    gateMicroNats: whole(gateMicroNats),
    unbondingBlocks: whole(unbondingBlocks),
    authorityBondGwei,
    accusationBondGwei,
    recheckWindowBlocks,
  };
}

/** An account's bond as an authority and what it may claim from Bonds, in wei. */
export async function readBond(
  call: ViewCall,
  account: Hex,
): Promise<Readonly<{ bondWei: bigint; creditWei: bigint }>> {
  const read = async (name: 'bondOf' | 'credit'): Promise<bigint> =>
    decodeReturn(bondsAbi, name, await call(BONDS_ADDRESS, encodeCall(bondsAbi, name, [account])));
  return { bondWei: await read('bondOf'), creditWei: await read('credit') };
}

/** What Bonds holds in all, in wei: bonds, credits, bonds of open accusations. */
export async function readBondTotals(
  call: ViewCall,
): Promise<Readonly<{ bondsWei: bigint; creditWei: bigint; accusationsWei: bigint }>> {
  const read = async (name: 'totalBonds' | 'totalCredit' | 'totalAccusations'): Promise<bigint> =>
    decodeReturn(bondsAbi, name, await call(BONDS_ADDRESS, encodeCall(bondsAbi, name, [])));
  return {
    bondsWei: await read('totalBonds'),
    creditWei: await read('totalCredit'),
    accusationsWei: await read('totalAccusations'),
  };
}

/** Trials of authorities since genesis. */
export async function readTrialCount(call: ViewCall): Promise<number> {
  const returned = await call(BONDS_ADDRESS, encodeCall(bondsAbi, 'trialCount', []));
  return whole(decodeReturn(bondsAbi, 'trialCount', returned));
}

/** Hash of the canary layer that counts for a trainer in its last round or a later one; zero for none. */
export async function readCanaryLayer(call: ViewCall, trainer: Hex, round: number): Promise<Hex> {
  const data = encodeCall(trainersAbi, 'canaryLayerOf', [trainer, BigInt(round)]);
  return decodeReturn(trainersAbi, 'canaryLayerOf', await call(TRAINERS_ADDRESS, data));
}

/** A trial of an authority by number; the call reverts when there is none. */
export async function readTrial(call: ViewCall, trial: number): Promise<Trial> {
  const data = encodeCall(bondsAbi, 'trialAt', [BigInt(trial)]);
  const tuple = decodeReturn(bondsAbi, 'trialAt', await call(BONDS_ADDRESS, data));
  return {
    trial,
    round: whole(tuple.round),
    seat: tuple.seat,
    kind: accusationOf(tuple.kind),
    accused: address(tuple.accused),
    accuser: address(tuple.accuser),
    setVersion: whole(tuple.setVersion),
    deadline: whole(tuple.deadline),
    state: trialStateOf(tuple.state),
    bondWei: tuple.bondWei,
    guilty: bitsOf(tuple.guilty),
    innocent: bitsOf(tuple.innocent),
  };
}

export async function readSupply(call: ViewCall): Promise<Supply> {
  const read = async (name: 'mintedGwei' | 'paidGwei' | 'pendingCount' | 'totalBurned'): Promise<bigint> =>
    decodeReturn(rewardsAbi, name, await call(REWARDS_ADDRESS, encodeCall(rewardsAbi, name, [])));
  const mintedGwei = await read('mintedGwei');
  const paidGwei = await read('paidGwei');
  return {
    mintedGwei,
    paidGwei,
    pendingGwei: mintedGwei - paidGwei,
    pendingCount: whole(await read('pendingCount')),
    burnedWei: await read('totalBurned'),
  };
}

/** The first entries of the queue, oldest first, at most `most`. */
export async function readPendingRewards(call: ViewCall, most: number): Promise<readonly PendingReward[]> {
  const data = encodeCall(rewardsAbi, 'pending', [BigInt(most)]);
  const list = decodeReturn(rewardsAbi, 'pending', await call(REWARDS_ADDRESS, data));
  return list.map(({ recipient, amountGwei }) => ({ recipient: address(recipient), gwei: amountGwei }));
}

/** Slot of the mapping `entries` of Rewards; slot 0 holds head (low 64 bits) and tail (next 64). */
const ENTRIES_SLOT = 3n;
const WORD_64 = (1n << 64n) - 1n;

/** As {@link readPendingRewards}, without running the EVM: the queue's layout is part of the protocol. */
export async function readPendingRewardsFromStorage(
  read: StorageRead,
  most: number,
): Promise<readonly PendingReward[]> {
  const ends = toBigInt(await read(REWARDS_ADDRESS, u256be(0n)));
  const head = ends & WORD_64;
  const tail = (ends >> 64n) & WORD_64;
  const list: PendingReward[] = [];
  for (let index = head; index < tail && list.length < most; index++) {
    const key = keccak256(fromHex(`${toHex(u256be(index))}${toHex(u256be(ENTRIES_SLOT)).slice(2)}`));
    const entry = u256be(toBigInt(await read(REWARDS_ADDRESS, key)));
    list.push({ recipient: toHex(entry.subarray(12)), gwei: toBigInt(entry.subarray(0, 12)) });
  }
  return list;
}
