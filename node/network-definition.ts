// Owns what a network is, read from its genesis: rules, dataset, model and optimizer, each checked against the hash the chain's
// parameters carry, so that two nodes with the same genesis hash train the same model on the same data.

import { equal, fromHex, isHex, toHex, utf8 } from '../base/bytes.ts';
import { type Json, canonicalJson } from '../base/canonical-json.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { sha256 } from '../base/hash.ts';
import type { Genesis } from '../chain/api.ts';
import type { LearningParameters } from '../chain/system/api.ts';
import { parseLearningParameters } from '../chain/system/parameters.ts';
import { type DatasetManifest, manifestHash, parseManifest } from '../trainer/dataset.ts';
import { type ModelConfig, checkModelConfig } from '../trainer/model.ts';
import type { Optimizer } from '../trainer/schedule.ts';

/** How the model is made and trained; its canonical JSON is hashed into the parameters (trainingConfigHash). */
export type TrainingConfig = Readonly<{
  model: ModelConfig;
  optimizer: Optimizer;
  /** 32 bytes: the genesis model is derived from it. */
  initialSeed: string;
  /** Held-out sequences every evaluation runs over. */
  heldOutSequences: number;
}>;

export type NetworkDefinition = Readonly<{
  genesis: Genesis;
  parameters: LearningParameters;
  manifest: DatasetManifest;
  training: TrainingConfig;
}>;

/** The hash the parameters carry. */
export function trainingConfigHash(training: TrainingConfig): Uint8Array {
  return sha256(utf8(canonicalJson(training as unknown as Json)));
}

const OPTIMIZER_FIELDS: readonly (keyof Optimizer)[] = [
  'beta1Nano',
  'beta2Nano',
  'epsNano',
  'weightDecayNano',
  'clipNormNano',
];

function parseTraining(json: unknown): Result<TrainingConfig> {
  const refuse = (why: string) => fault('genesis', `genesis dataset.training: ${why}`);
  if (typeof json !== 'object' || json === null) return refuse('missing');
  const { model, optimizer, initialSeed, heldOutSequences } = json as Record<string, unknown>;
  if (typeof model !== 'object' || model === null) return refuse('model is missing');
  const checked = checkModelConfig(model as ModelConfig);
  if (!checked.ok) return refuse(checked.message);
  if (typeof optimizer !== 'object' || optimizer === null) return refuse('optimizer is missing');
  for (const field of OPTIMIZER_FIELDS) {
    const value = (optimizer as Record<string, unknown>)[field];
    if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > 1e15) return refuse(`optimizer.${field} is no whole number in range`);
  }
  if (!isHex(initialSeed, 32)) return refuse('initialSeed must be 32 bytes of hex');
  if (!Number.isInteger(heldOutSequences) || (heldOutSequences as number) < 1 || (heldOutSequences as number) > 4_096) {
    return refuse('heldOutSequences must be from 1 to 4096');
  }
  return success(json as TrainingConfig);
}

/** The definition in a genesis. Faults name the part that is missing or does not match its hash. */
export function networkDefinition(genesis: Genesis): Result<NetworkDefinition> {
  const parameters = parseLearningParameters(genesis.learning);
  if (!parameters.ok) return parameters;
  const manifest = parseManifest(JSON.stringify(genesis.dataset['manifest'] ?? null));
  if (!manifest.ok) return fault('genesis', `genesis dataset.${manifest.message}`);
  const training = parseTraining(genesis.dataset['training']);
  if (!training.ok) return training;
  const { datasetHash, trainingConfigHash: configHash, sequenceLength } = parameters.value;
  if (!equal(manifestHash(manifest.value), fromHex(datasetHash))) {
    return fault('genesis', `genesis dataset.manifest: hash is not learning.datasetHash ${datasetHash}`);
  }
  const hash = toHex(trainingConfigHash(training.value));
  if (hash !== configHash) return fault('genesis', `genesis dataset.training: hash ${hash} is not learning.trainingConfigHash`);
  if (manifest.value.sequenceLength !== sequenceLength) {
    return fault('genesis', `genesis: sequenceLength ${sequenceLength} is not the manifest's ${manifest.value.sequenceLength}`);
  }
  if (training.value.model.context < sequenceLength || training.value.model.vocab < manifest.value.tokenizer.vocab) {
    return fault('genesis', 'genesis: the model is too small for the sequences or the vocabulary');
  }
  return success({ genesis, parameters: parameters.value, manifest: manifest.value, training: training.value });
}
