// Owns what the API says about learning: the contracts' state at the head, joined with the history of events. Read only.

import type { Hex } from '../base/bytes.ts';
import { ONE_GWEI } from '../base/units.ts';
import type { Chain } from '../chain/api.ts';
import type { ClaimStatus, RoundPhase } from '../chain/system/api.ts';
import { readCurrentRound, readModel, readSupply, readTrainerCount, readTrainers } from '../chain/system/views.ts';
import type { Contribution, LearningPhase, LearningPort, LossPoint, RoundInfo, TrainerInfo } from '../rpc/ports.ts';
import { parameterCount } from '../trainer/model.ts';
import type { Learning } from './learning.ts';
import {
  type ClaimHistory,
  type LearningHistory,
  type RoundHistory,
  createLearningHistory,
} from './learning-history.ts';
import { LOSS_POINTS, TRAINERS_LISTED } from './limits.ts';
import type { NetworkDefinition } from './network-definition.ts';
import { systemView } from './system-view.ts';

const PHASES: Readonly<Record<RoundPhase, LearningPhase>> = {
  idle: 'idle',
  frozen: 'idle',
  training: 'training',
  auditing: 'auditing',
  revealing: 'auditing',
  judging: 'auditing',
  attesting: 'attesting',
  settling: 'finalised',
  done: 'finalised',
};

const STATES: Readonly<Record<ClaimStatus, Contribution['state']>> = {
  awaited: 'working',
  committed: 'committed',
  disputed: 'committed',
  accepted: 'accepted',
  rejected: 'rejected',
  unresolved: 'rejected',
  missed: 'absent',
  canary: 'canary',
};

const nats = (micro: number | null): number | null => (micro === null || micro === 0 ? null : micro / 1e6);

function meanLoss(claims: Iterable<ClaimHistory>): number | null {
  const losses = [...claims].flatMap(({ trainingLoss }) => (trainingLoss === null ? [] : [trainingLoss]));
  return losses.length === 0 ? null : losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}

function contributionOf(claim: ClaimHistory): Contribution {
  const { trainer, traceRoot, updateHash, verdicts } = claim;
  const settled = claim.status === 'accepted' || claim.status === 'rejected' || claim.status === 'canary';
  return {
    trainer,
    state: claim.slashedWei > 0n ? 'slashed' : STATES[claim.status],
    traceRoot,
    updateRoot: updateHash,
    verdicts,
    reward: settled ? claim.earnedGwei * ONE_GWEI : null,
    slashed: claim.slashedWei,
  };
}

function roundInfo(round: RoundHistory): RoundInfo {
  const { checkpoint } = round;
  return {
    round: round.round,
    phase: PHASES[round.phase],
    openedAt: round.openedAt,
    closedAt: round.closedAt,
    seed: round.seed,
    baseRoot: round.baseRoot,
    modelRoot: round.modelRoot,
    outcome: round.outcome,
    checkpoint:
      checkpoint === null
        ? null
        : { blobId: checkpoint.blobId, sha256: checkpoint.sha256, size: Number(checkpoint.size) },
    heldOutLoss: nats(round.heldOutMicroNats),
    trainingLoss: meanLoss(round.claims.values()),
    minted: round.emissionGwei * ONE_GWEI,
    contributions: [...round.claims.values()].map(contributionOf),
  };
}

export type LearningPortOptions = Readonly<{
  chain: Chain;
  definition: NetworkDefinition;
  /** Null until dataset and model are here: the answers are then those of a network that has not begun. */
  learning: () => Pick<Learning, 'history' | 'keeper' | 'trainer'> | null;
}>;

export function createLearningPort(options: LearningPortOptions): LearningPort {
  const { chain, definition, learning } = options;
  const { parameters, manifest, training } = definition;
  const nothingYet = createLearningHistory(parameters.steps);
  const history = (): LearningHistory => learning()?.history ?? nothingYet;
  const genesisSupply = genesisSupplyOf(definition);

  function lossCurve(): LossPoint[] {
    const done = history()
      .rounds()
      .filter(({ outcome }) => outcome === 'moved' || outcome === 'reverted');
    return done.slice(-LOSS_POINTS).map((round) => ({
      round: round.round,
      heldOutLoss: nats(round.heldOutMicroNats),
      trainingLoss: meanLoss(round.claims.values()),
    }));
  }

  return {
    async status() {
      const record = await readCurrentRound(systemView(chain));
      const model = await readModel(systemView(chain));
      const progress = learning()?.trainer?.progress() ?? null;
      const running = progress !== null && progress.round === record?.round && progress.step < progress.steps;
      const curve = lossCurve();
      return {
        round: record?.round ?? null,
        phase: record === null ? 'idle' : PHASES[record.phase],
        openedAt: record === null || record.openedBlock === 0 ? null : record.openedBlock,
        step: progress === null || progress.round !== record?.round ? null : progress.step,
        stepsPerRound: parameters.steps,
        acceptedRounds: model.version,
        epoch: manifest.train.sequences === 0 ? 0 : Math.floor((record?.dataStart ?? 0) / manifest.train.sequences),
        heldOutLoss: nats(model.heldOutMicroNats),
        trainingLoss: progress?.loss ?? curve.at(-1)?.trainingLoss ?? null,
        tokensPerSecond: running ? progress.tokensPerSecond : null,
        tokensTrained: (record?.dataStart ?? 0) * parameters.sequenceLength,
        modelRoot: model.root,
        parameters: parameterCount(training.model),
        training: running,
        lossCurve: curve,
      };
    },
    async rounds(before, limit) {
      const known = history()
        .rounds()
        .filter(({ round }) => before === null || round < before);
      return known.slice(-limit).reverse().map(roundInfo);
    },
    async round(round) {
      const found = history().round(round);
      return found === null ? null : roundInfo(found);
    },
    async trainers(): Promise<readonly TrainerInfo[]> {
      const view = systemView(chain);
      const count = Math.min(await readTrainerCount(view), TRAINERS_LISTED);
      const list = count === 0 ? [] : await readTrainers(view, 0, count);
      return list.map((entry) => ({
        address: entry.address,
        stake: entry.stakeWei,
        capacity: entry.capacity,
        active: entry.status === 'active',
        roundsAccepted: entry.accepted,
        roundsRejected: entry.rejected,
        earned: history().earned(entry.address) * ONE_GWEI,
        slashed: history().slashed(entry.address),
      }));
    },
    async supply() {
      const view = systemView(chain);
      const supply = await readSupply(view);
      const count = Math.min(await readTrainerCount(view), TRAINERS_LISTED);
      const list = count === 0 ? [] : await readTrainers(view, 0, count);
      const { burned } = chain.statistics();
      return {
        genesis: genesisSupply,
        minted: supply.paidGwei * ONE_GWEI,
        burned: supply.burnedWei + burned,
        vesting: list.reduce((sum, { unvestedGwei }) => sum + unvestedGwei, 0n) * ONE_GWEI,
        staked: list.reduce((sum, { stakeWei }) => sum + stakeWei, 0n),
      };
    },
  };
}

/** Balances of genesis, and the bonds that stand in for its authorities. */
function genesisSupplyOf({ genesis, parameters }: NetworkDefinition): bigint {
  const bonds = parameters.authorityBondGwei * ONE_GWEI * BigInt(genesis.authorities.length);
  return (Object.keys(genesis.alloc) as Hex[]).reduce(
    (sum, address) => sum + (genesis.alloc[address]?.balance ?? 0n),
    bonds,
  );
}
