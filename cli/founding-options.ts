// Owns the flags that say what network is made, shared by create-network, demo and dev.

import { DEFAULT_CHAIN_ID } from '../chain/genesis.ts';
import type { FoundingPlan } from '../node/founding.ts';
import { systemClock } from '../node/clock.ts';
import { CORPUS_NAMES, DEFAULT_CORPUS, type CorpusName } from '../trainer/corpus.ts';

export const foundingOptions = {
  'chain-id': { type: 'number', default: DEFAULT_CHAIN_ID, describe: 'chain id' },
  corpus: { choices: CORPUS_NAMES, default: DEFAULT_CORPUS, describe: 'text to train on' },
  vocab: { type: 'number', default: 1024, describe: 'ids of the tokenizer' },
  'model-size': { type: 'number', default: 1_000_000, describe: 'parameters wanted; the nearest preset is taken' },
  'batch-size': { type: 'number', default: 8, describe: 'sequences in one optimizer step' },
  steps: { type: 'number', default: 16, describe: 'optimizer steps in one learning round' },
  'learning-rate': { type: 'number', default: 0.003, describe: 'peak learning rate' },
} as const;

export type FoundingArguments = {
  'chain-id': number;
  corpus: CorpusName;
  vocab: number;
  'model-size': number;
  'batch-size': number;
  steps: number;
  'learning-rate': number;
};

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
    modelSize: args['model-size'],
    sequenceLength: 128,
    batchSize: args['batch-size'],
    stepsPerRound: args.steps,
    learningRate: args['learning-rate'],
    timestamp: Math.floor(systemClock.now() / 1_000),
    authorityFunds: AUTHORITY_FUNDS,
    nodeFunds: NODE_FUNDS,
    funded: [],
    // A quarter of the steps for each authority: four of them find one altered step in 16 with 68% in its first round.
    parameters: { samplesPerAudit: Math.max(2, Math.ceil(args.steps / 4)) },
    ...rest,
  };
}
