// Owns the flags that say what network is made, shared by create-network, demo and dev.

import { unwrap } from '../base/fault.ts';
import { DEFAULT_CHAIN_ID } from '../chain/genesis.ts';
import type { LearningParameters } from '../chain/system/api.ts';
import type { FoundingPlan } from '../node/founding.ts';
import { systemClock } from '../node/clock.ts';
import { CORPUS_NAMES, DEFAULT_CORPUS, type CorpusName } from '../trainer/corpus.ts';
import { outerEtaOf } from '../trainer/aggregate.ts';
import { parseModelSize } from '../trainer/presets.ts';

export const foundingOptions = {
  'chain-id': { type: 'number', default: DEFAULT_CHAIN_ID, describe: 'chain id' },
  corpus: { choices: CORPUS_NAMES, default: DEFAULT_CORPUS, describe: 'text to train on' },
  vocab: { type: 'number', default: 1024, describe: 'ids of the tokenizer' },
  'model-size': {
    type: 'string',
    default: '1m',
    describe: 'parameters wanted, such as 1000000, 30m or 1b; the nearest preset is taken',
  },
  'model-widths': {
    type: 'string',
    describe: 'a model of your own instead: dim=512,layers=8,heads=8,kvHeads=4,ffn=1408,context=512',
  },
  'batch-size': { type: 'number', default: 8, describe: 'sequences in one step' },
  updates: {
    type: 'number',
    default: 1,
    describe:
      'optimizer updates in one step, a divisor of batch-size: state and gradients are hashed, and a leaf is sent, once for all of them',
  },
  'micro-batch': {
    type: 'number',
    describe: 'sequences computed at once, a divisor of those of an update (default: the most that fits into memory)',
  },
  profile: {
    choices: ['i8', 'bf16x'] as const,
    default: 'i8',
    describe: 'arithmetic of the linear layers in training: int8 (fastest), or bf16 operands with f32 sums in order',
  },
  steps: { type: 'number', default: 16, describe: 'steps in one learning round' },
  'update-codec': {
    choices: [1, 2] as const,
    default: 1,
    describe: 'form of updates: 1 dense int8, 2 sparse with a residual, 51 times smaller than f32',
  },
  'carry-moments': {
    type: 'boolean',
    default: false,
    describe: 'trainers go on with the moments of their last accepted round instead of zeros',
  },
  'outer-step': {
    type: 'number',
    default: 1,
    describe:
      'times over that the mean of the updates is applied; with carried moments about the square root of the number of trainers',
  },
  'learning-rate': { type: 'number', default: 0.003, describe: 'peak learning rate' },
  schedule: {
    choices: ['cosine', 'constant'] as const,
    default: 'cosine',
    describe: 'learning rate after the warm-up: half a cosine down to a tenth, or constant',
  },
  'warmup-steps': {
    type: 'number',
    default: 64,
    describe: 'optimizer updates over which the learning rate rises to its peak',
  },
  'decay-steps': { type: 'number', default: 20_000, describe: 'optimizer updates over which the cosine falls' },
} as const;

export type FoundingArguments = {
  'chain-id': number;
  corpus: CorpusName;
  vocab: number;
  'model-size': string;
  'model-widths'?: string | undefined;
  'batch-size': number;
  updates: number;
  'micro-batch'?: number | undefined;
  profile: 'i8' | 'bf16x';
  steps: number;
  'update-codec': 1 | 2;
  'carry-moments': boolean;
  'outer-step': number;
  'learning-rate': number;
  schedule: 'cosine' | 'constant';
  'warmup-steps': number;
  'decay-steps': number;
};

/** Rules of the learning rate in genesis: 0 steps of decay keep the peak. */
function scheduleOf(args: FoundingArguments): Pick<LearningParameters, 'warmupSteps' | 'decaySteps'> {
  return { warmupSteps: args['warmup-steps'], decaySteps: args.schedule === 'constant' ? 0 : args['decay-steps'] };
}

/** POL of each authority (for the gas of verdicts) and of each regular node (to stake and spend). */
const AUTHORITY_FUNDS = 1_000n;
const NODE_FUNDS = 1_000n;

/** The plan those flags make; counts, folder and ports are the command's. */
export function planOf(
  args: FoundingArguments,
  rest: Pick<FoundingPlan, 'directory' | 'authorities' | 'regularNodes' | 'port' | 'apiPort' | 'host'> &
    Partial<FoundingPlan>,
): FoundingPlan {
  return {
    chainId: args['chain-id'],
    corpus: args.corpus,
    vocab: args.vocab,
    modelSize: unwrap(parseModelSize(args['model-size'])),
    ...(args['model-widths'] === undefined ? {} : { modelWidths: args['model-widths'] }),
    sequenceLength: 128,
    batchSize: args['batch-size'],
    ...(args.updates === 1 ? {} : { updates: args.updates }),
    ...(args['micro-batch'] === undefined ? {} : { microBatch: args['micro-batch'] }),
    ...(args.profile === 'i8' ? {} : { profile: args.profile }),
    stepsPerRound: args.steps,
    updateCodec: args['update-codec'],
    carryMoments: args['carry-moments'],
    learningRate: args['learning-rate'],
    timestamp: Math.floor(systemClock.now() / 1_000),
    authorityFunds: AUTHORITY_FUNDS,
    nodeFunds: NODE_FUNDS,
    funded: [],
    parameters: { ...scheduleOf(args), ...unwrap(outerEtaOf(args['outer-step'])) },
    ...rest,
  };
}
