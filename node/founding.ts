// Owns the making of a network: keys, tokenizer, dataset, genesis and one config file a node. Nothing existing is overwritten.

import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type Hex, toHex, utf8 } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { type Result, fault, success, unwrap } from '../base/fault.ts';
import { addressOf, compressPublicKey, secp256k1 } from '../base/keys.ts';
import { stateRoot } from '../base/merkle.ts';
import { ONE_POL } from '../base/units.ts';
import { blobIdBytes } from '../bridge/blob-id.ts';
import { openBlobStore } from '../bridge/blob-store.ts';
import type { Genesis } from '../chain/api.ts';
import { formatGenesis } from '../chain/genesis.ts';
import type { LearningParameters } from '../chain/system/api.ts';
import {
  type ChallengeParameters,
  DEFAULT_CHALLENGE_RULES,
  challengeParametersJson,
} from '../chain/system/challenge-parameters.ts';
import { defaultLearningParameters } from '../chain/system/parameters.ts';
import { kernelSpec } from '../engine/kernel-spec.ts';
import { programHash } from '../engine/program.ts';
import { type CorpusName, loadCorpus } from '../trainer/corpus.ts';
import { type DatasetManifest, buildDataset, manifestHash, manifestText, withBlobIds } from '../trainer/dataset.ts';
import { challengeParameters } from '../trainer/dispute-roots.ts';
import { MAX_UPDATES } from '../trainer/limits.ts';
import { initialWeights } from '../trainer/initial-weights.ts';
import { chooseMicroBatch } from '../trainer/execution-plan.ts';
import type { ModelConfig } from '../trainer/model.ts';
import { type PresetChoice, customModel, presetFor } from '../trainer/presets.ts';
import { type TrainingConfig, stepShape, trainingConfigHash } from '../trainer/rules.ts';
import type { Codec } from '../trainer/update.ts';
import { DEFAULT_OPTIMIZER } from '../trainer/schedule.ts';
import { trainTokenizer } from '../trainer/tokenizer-training.ts';
import { buildTrainProgram } from '../trainer/train-program.ts';
import type { Config } from './config.ts';
import { writeFileDurably } from './files.ts';
import { createKeystore } from './keystore.ts';
import { AUTHORITIES, AUTHORITY_CLAIM_CHECKS, REGULAR_NODES } from './limits.ts';
import { memoryLimit } from './memory-limit.ts';
import { initialModelSeed, rulesOf } from './network-definition.ts';

export type FoundingPlan = Readonly<{
  /** Folder for the config files; everything else goes into its data/ folder. */
  directory: string;
  authorities: number;
  regularNodes: number;
  chainId: number;
  corpus: CorpusName;
  /** Ids of the tokenizer. */
  vocab: number;
  /** Parameters wanted; the nearest preset is taken. */
  modelSize: number;
  /** Widths of a model of one's own (trainer/presets.ts), instead of a preset. */
  modelWidths?: string;
  /** Tokens of a training sequence; at most the preset's context. */
  sequenceLength: number;
  batchSize: number;
  /** Optimizer updates of a step, a divisor of `batchSize`: state and gradients are rooted once for all of them; left out, 1. */
  updates?: number;
  /** Sequences of a micro-batch, a divisor of an update's; left out, the greatest that fits into this machine's memory. */
  microBatch?: number;
  /** Arithmetic of the linear layers of training; left out, int8. */
  profile?: 'bf16x';
  stepsPerRound: number;
  /** Form of updates; left out, 1. */
  updateCodec?: Codec;
  /** Trainers go on with the moments of their last accepted round; left out, false. */
  carryMoments?: boolean;
  learningRate: number;
  /** First peer port and API port; node i takes the i-th after. Explicit lists win. */
  port: number;
  apiPort: number;
  ports?: readonly number[];
  apiPorts?: readonly number[];
  host: string;
  /** Unix seconds of genesis. */
  timestamp: number;
  /** POL each authority and each regular node starts with. */
  authorityFunds: bigint;
  nodeFunds: bigint;
  /** Further funded addresses. */
  funded: readonly Readonly<{ address: Hex; amount: bigint }>[];
  /** Rules that differ from the defaults. */
  parameters: Partial<LearningParameters>;
  /** Bond and timers of challenges that differ from the defaults. */
  challenges?: Partial<Pick<ChallengeParameters, 'answerBlocks' | 'proveBlocks' | 'windowBlocks'>>;
}>;

export type FoundedNode = Readonly<{
  name: string;
  configFile: string;
  port: number;
  apiPort: number;
  address: Hex;
  isAuthority: boolean;
}>;
export type FoundedNetwork = Readonly<{
  genesisFile: string;
  nodes: readonly FoundedNode[];
  modelNote: string;
  parameters: number;
}>;

/** 1,428 plain transfers a block: a tenth of a second to build, and as much to judge, on one core of 2020's machines. */
const GENESIS_GAS_LIMIT = 30_000_000n;
const GENESIS_BASE_FEE = 1_000_000_000n;
const NO_BLOB: Hex = `0x${'00'.repeat(32)}`;

function checkPlan(plan: FoundingPlan): Result<null> {
  const whole = (name: string, value: number, least: number, most: number): string | null =>
    Number.isInteger(value) && value >= least && value <= most
      ? null
      : `${name}: must be a whole number from ${least} to ${most}, not ${value}`;
  const count = plan.authorities + plan.regularNodes;
  const wrong =
    whole('authorities', plan.authorities, 1, AUTHORITIES) ??
    whole('nodes', plan.regularNodes, 0, REGULAR_NODES) ??
    whole('steps', plan.stepsPerRound, 1, 1_024) ??
    whole('batch_size', plan.batchSize, 1, 1_024) ??
    whole('updates', plan.updates ?? 1, 1, MAX_UPDATES) ??
    whole('chain_id', plan.chainId, 1, Number.MAX_SAFE_INTEGER) ??
    whole('port', plan.port, 1, 65_536 - count) ??
    whole('api_port', plan.apiPort, 1, 65_536 - count);
  if (wrong !== null) return fault('founding', wrong);
  if (plan.batchSize % (plan.updates ?? 1) !== 0)
    return fault('founding', `updates: must divide batch_size ${plan.batchSize}, not ${plan.updates}`);
  if (plan.chainId === 1337 || plan.chainId === 31_337)
    return fault('founding', `chain_id: ${plan.chainId} is every developer network's; choose another`);
  if (!(plan.learningRate > 0 && plan.learningRate <= 1))
    return fault('founding', `learning_rate: must be above 0 and at most 1, not ${plan.learningRate}`);
  return success(null);
}

type Member = FoundedNode & Readonly<{ publicKey: Hex; dataDir: string }>;

async function makeMembers(plan: FoundingPlan): Promise<Member[]> {
  const members: Member[] = [];
  for (let i = 0; i < plan.authorities + plan.regularNodes; i++) {
    const isAuthority = i < plan.authorities;
    const name = isAuthority ? `authority_${i}` : `node_${i}`;
    const dataDir = join(plan.directory, 'data', name);
    const { secretKey } = await createKeystore(join(dataDir, 'keystore.json'), join(dataDir, 'password'));
    const publicKey = secp256k1.publicKey(secretKey);
    members.push({
      name,
      isAuthority,
      dataDir,
      configFile: join(plan.directory, `${name}_config.json`),
      port: plan.ports?.[i] ?? plan.port + i,
      apiPort: plan.apiPorts?.[i] ?? plan.apiPort + i,
      address: addressOf(publicKey),
      publicKey: toHex(compressPublicKey(publicKey)),
    });
  }
  return members;
}

/** Tokenizer and token file of the corpus, stored as blobs beside the genesis file. */
async function makeDataset(
  plan: FoundingPlan,
  sequenceLength: number,
  progress: (line: string) => void,
): Promise<DatasetManifest> {
  progress(`reading ${plan.corpus} and training a tokenizer of ${plan.vocab} ids`);
  const corpus = loadCorpus(plan.corpus);
  const tokenizer = unwrap(
    trainTokenizer(
      corpus.train.map(({ text }) => text),
      plan.vocab,
    ),
  );
  progress('encoding the corpus');
  const { manifest, bytes } = buildDataset(corpus, tokenizer, sequenceLength);
  const store = unwrap(await openBlobStore({ directory: join(plan.directory, 'data', 'blobs') }));
  progress('storing tokenizer and dataset under their Walrus blob ids');
  const file = unwrap(await store.put(bytes));
  const tokens = unwrap(await store.put(utf8(tokenizer.text)));
  await store.stop();
  return withBlobIds(manifest, toHex(blobIdBytes(file.blobId)), toHex(blobIdBytes(tokens.blobId)));
}

function learningParameters(
  plan: FoundingPlan,
  manifest: DatasetManifest,
  training: TrainingConfig,
): LearningParameters {
  const { model } = training;
  const program = buildTrainProgram(model, stepShape(training, plan.batchSize, manifest.sequenceLength));
  const datasetHash = manifestHash(manifest);
  const configHash = trainingConfigHash(training);
  const weights = initialWeights(model, initialModelSeed(plan.chainId, datasetHash, configHash));
  return {
    ...defaultLearningParameters,
    steps: plan.stepsPerRound,
    batch: plan.batchSize,
    sequenceLength: manifest.sequenceLength,
    learningRateNano: Math.round(plan.learningRate * 1e9),
    ...plan.parameters,
    kernelSpec: toHex(kernelSpec.hash),
    programHash: toHex(programHash(program)),
    datasetHash: toHex(datasetHash),
    trainingConfigHash: toHex(configHash),
    genesisModelRoot: toHex(stateRoot(weights)),
    genesisCheckpoint: { blobId: NO_BLOB, sha256: NO_BLOB, size: 0n },
  };
}

/** JSON values of parameters: bigints as decimal strings. */
function parametersJson(parameters: LearningParameters): Record<string, unknown> {
  return JSON.parse(JSON.stringify(parameters, (_, value) => (typeof value === 'bigint' ? value.toString() : value)));
}

function nodeConfig(
  plan: FoundingPlan,
  member: Member,
  members: readonly Member[],
): Partial<Record<keyof Config, unknown>> {
  const here = (path: string): string => relative(plan.directory, path);
  const boot = members.filter((other) => other.isAuthority && other.name !== member.name);
  return {
    node_id: member.name,
    port: member.port,
    api_port: member.apiPort,
    is_authority: member.isAuthority,
    boot_nodes: boot.map((other) => `${plan.host}:${other.port}`),
    data_dir: here(member.dataDir),
    training_enabled: false,
    ...(member.isAuthority ? { claim_checks: AUTHORITY_CLAIM_CHECKS } : {}),
    model_size: plan.modelSize,
    batch_size: plan.batchSize,
    learning_rate: plan.learningRate,
    genesis_file: here(join(plan.directory, 'data', 'genesis.json')),
    keystore_file: here(join(member.dataDir, 'keystore.json')),
    password_file: here(join(member.dataDir, 'password')),
    host: plan.host,
  };
}

function chooseModel(plan: FoundingPlan): Result<PresetChoice> {
  if (plan.modelWidths !== undefined) return customModel(plan.modelWidths, plan.vocab);
  return success(presetFor(plan.modelSize, plan.vocab));
}

/** The micro-batch asked for, or the greatest with which a step fits here; a Fault when not one sequence does. */
function microBatchOf(
  { batchSize, updates = 1, microBatch, carryMoments = false }: FoundingPlan,
  model: ModelConfig,
  seq: number,
): Result<Readonly<{ microBatch: number; note: string | null }>> {
  const batch = batchSize / updates;
  if (microBatch !== undefined) {
    if (Number.isInteger(microBatch) && microBatch >= 1 && batch % microBatch === 0)
      return success({ microBatch, note: null });
    const whole = updates === 1 ? `batch_size ${batch}` : `the ${batch} sequences of an update`;
    return fault('founding', `micro_batch: must divide ${whole}, not ${microBatch}`);
  }
  const host = { ...memoryLimit(0), threads: 1, wasm: false, carriesMoments: carryMoments };
  const chosen = chooseMicroBatch(model, { batch: batchSize, seq, updates }, host);
  if (!chosen.ok) return chosen;
  const note = `steps go over micro-batches of ${chosen.value} of ${batch} sequences, the most this machine's memory holds`;
  return success({ microBatch: chosen.value, note: chosen.value === batch ? null : note });
}

/** What claims can be challenged by; null where the referee does not know the program: micro-batches, another arithmetic. */
function challengesOf(
  plan: FoundingPlan,
  parameters: LearningParameters,
  training: TrainingConfig,
  manifest: DatasetManifest,
): Result<ChallengeParameters | null> {
  if (training.microBatch !== undefined || training.profile !== undefined) return success(null);
  return challengeParameters(
    { model: training.model, rules: rulesOf(parameters, training), training: manifest.train },
    { ...DEFAULT_CHALLENGE_RULES, ...plan.challenges },
  );
}

/** Makes the network's files. Faults: a number out of range, or a file that is already there. */
export async function foundNetwork(
  plan: FoundingPlan,
  progress: (line: string) => void,
): Promise<Result<FoundedNetwork>> {
  const checked = checkPlan(plan);
  if (!checked.ok) return checked;
  const genesisFile = join(plan.directory, 'data', 'genesis.json');
  if (existsSync(genesisFile)) {
    return fault(
      'founding',
      `${genesisFile} exists: there is a network in this folder already; choose another with --output`,
    );
  }
  const chosen = chooseModel(plan);
  if (!chosen.ok) return chosen;
  const choice = chosen.value;
  progress(choice.note);
  const sequenceLength = Math.min(plan.sequenceLength, choice.config.context);
  const divided = microBatchOf(plan, choice.config, sequenceLength);
  if (!divided.ok) return divided;
  const { microBatch, note } = divided.value;
  const { updates = 1 } = plan;
  if (note !== null) progress(note);
  const members = await makeMembers(plan);
  const manifest = await makeDataset(plan, sequenceLength, progress);
  const training: TrainingConfig = {
    version: 1,
    model: choice.config,
    optimizer: DEFAULT_OPTIMIZER,
    updateCodec: plan.updateCodec ?? 1,
    ...(updates === 1 ? {} : { updates }),
    ...(microBatch === plan.batchSize / updates ? {} : { microBatch }),
    ...(plan.profile === undefined ? {} : { profile: plan.profile }),
    ...(plan.carryMoments === true ? { carryMoments: true } : {}),
  };
  progress('tracing the model into its training program');
  const parameters = learningParameters(plan, manifest, training);
  const challenges = challengesOf(plan, parameters, training, manifest);
  if (!challenges.ok) return challenges;
  if (challenges.value === null)
    progress('steps in micro-batches or another profile: claims cannot be challenged here');
  const funds = (member: Member): bigint => ONE_POL * (member.isAuthority ? plan.authorityFunds : plan.nodeFunds);
  const genesis: Genesis = {
    chainId: plan.chainId,
    timestamp: plan.timestamp,
    gasLimit: GENESIS_GAS_LIMIT,
    baseFeePerGas: GENESIS_BASE_FEE,
    authorities: members
      .filter(({ isAuthority }) => isAuthority)
      .map(({ address, publicKey }) => ({ address, publicKey })),
    alloc: Object.fromEntries([
      ...members.map((member) => [member.address, { balance: funds(member) }] as const),
      ...plan.funded.map(({ address, amount }) => [address, { balance: amount }] as const),
    ]),
    learning: parametersJson(parameters),
    dataset: { manifest: JSON.parse(manifestText(manifest)), training: training as unknown as Record<string, unknown> },
    ...(challenges.value === null ? {} : { challenges: challengeParametersJson(challenges.value) }),
  };
  writeFileDurably(genesisFile, formatGenesis(genesis));
  for (const member of members) {
    writeFileDurably(member.configFile, `${JSON.stringify(nodeConfig(plan, member, members), null, 2)}\n`);
  }
  const nodes = members.map(({ publicKey: _, dataDir: __, ...node }) => node);
  return success({ genesisFile, nodes, modelNote: choice.note, parameters: present(choice.parameters, 'parameters') });
}
