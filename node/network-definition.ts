// Owns what a network is, read from its genesis: rules, dataset and model, each checked against the hash the chain's parameters
// carry, so that two nodes with the same genesis hash train the same model on the same data.

import { equal, fromHex, toHex, u64be } from '../base/bytes.ts';
import { type Json, canonicalJson } from '../base/canonical-json.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { taggedHash } from '../base/hash.ts';
import type { Genesis } from '../chain/api.ts';
import type { LearningParameters } from '../chain/system/api.ts';
import { parseLearningParameters } from '../chain/system/parameters.ts';
import { unknownKernelSpec } from '../engine/kernel-spec.ts';
import { type DatasetManifest, manifestHash, parseManifest } from '../trainer/dataset.ts';
import { type TrainingConfig, type TrainingRules, parseTrainingConfig, trainingConfigHash } from '../trainer/rules.ts';

/** Sequences of the fixed held-out evaluation (docs/protocol/learning-round.md, E-1). */
export const HELD_OUT_SEQUENCES = 32;

export type NetworkDefinition = Readonly<{
  genesis: Genesis;
  parameters: LearningParameters;
  manifest: DatasetManifest;
  training: TrainingConfig;
  rules: TrainingRules;
  /** 32 bytes the genesis model is derived from. */
  initialSeed: Uint8Array;
}>;

/** Seed of the genesis model: bound to the chain, the data and the model, so nobody picks it. */
export function initialModelSeed(chainId: number, datasetHash: Uint8Array, configHash: Uint8Array): Uint8Array {
  return taggedHash('genesis-model', u64be(chainId), datasetHash, configHash);
}

/** The rules of all rounds that parameters and training configuration make together. */
export function rulesOf(parameters: LearningParameters, training: TrainingConfig): TrainingRules {
  const { steps, batch, sequenceLength, learningRateNano, warmupSteps, decaySteps, floorBps } = parameters;
  const { outerEtaNumerator, outerEtaShift, weightCapBps, clipBps } = parameters;
  return {
    steps,
    batch,
    updates: training.updates ?? 1,
    sequenceLength,
    schedule: { learningRateNano, warmupSteps, decaySteps, floorBps },
    optimizer: training.optimizer,
    outer: { outerEtaNumerator, outerEtaShift, weightCapBps, clipBps },
    outerMomentum: parameters.outerMomentum,
    codec: training.updateCodec,
    carryMoments: training.carryMoments ?? false,
    kernelSpec: fromHex(parameters.kernelSpec),
    programHash: fromHex(parameters.programHash),
  };
}

/** The definition in a genesis. Faults name the part that is missing or does not match its hash. */
export function networkDefinition(genesis: Genesis): Result<NetworkDefinition> {
  const parameters = parseLearningParameters(genesis.learning);
  if (!parameters.ok) return parameters;
  const section = (name: string): string => canonicalJson((genesis.dataset[name] ?? null) as Json);
  const manifest = parseManifest(section('manifest'));
  if (!manifest.ok) return fault('genesis', `genesis dataset: ${manifest.message}`);
  const training = parseTrainingConfig(section('training'));
  if (!training.ok) return fault('genesis', `genesis dataset: ${training.message}`);
  const unknown = unknownKernelSpec(parameters.value.kernelSpec);
  if (unknown !== null) return fault('genesis', `genesis learning.kernelSpec: ${unknown.message}`);
  const { datasetHash, sequenceLength, batch } = parameters.value;
  const { updates = 1 } = training.value;
  if (batch % updates !== 0)
    return fault('genesis', `genesis dataset.training: updates ${updates} must divide learning.batch ${batch}`);
  const { microBatch = batch / updates } = training.value;
  if ((batch / updates) % microBatch !== 0) {
    const whole = updates === 1 ? 'learning.batch' : 'learning.batch / updates,';
    const why = `microBatch ${microBatch} must divide ${whole} ${batch / updates}`;
    return fault('genesis', `genesis dataset.training: ${why}`);
  }
  if (!equal(manifestHash(manifest.value), fromHex(datasetHash))) {
    return fault('genesis', `genesis dataset.manifest: its hash is not learning.datasetHash ${datasetHash}`);
  }
  const configHash = trainingConfigHash(training.value);
  if (toHex(configHash) !== parameters.value.trainingConfigHash) {
    return fault(
      'genesis',
      `genesis dataset.training: its hash ${toHex(configHash)} is not learning.trainingConfigHash`,
    );
  }
  const { microBatch: divided, profile } = training.value;
  if (genesis.challenges !== undefined && (divided !== undefined || profile !== undefined)) {
    const why = 'the referee knows no micro-batches and no profile but i8, so true steps could be proven false';
    return fault('genesis', `genesis challenges: ${why}`);
  }
  const carries = training.value.carryMoments ?? false;
  if (genesis.challenges !== undefined && genesis.challenges['carryMoments'] !== carries)
    return fault('genesis', `genesis challenges.carryMoments: dataset.training says ${carries}`);
  if (genesis.challenges !== undefined && genesis.challenges['updates'] !== updates)
    return fault('genesis', `genesis challenges.updates: dataset.training says ${updates}`);
  if (manifest.value.sequenceLength !== sequenceLength) {
    return fault(
      'genesis',
      `genesis: sequenceLength ${sequenceLength} is not the manifest's ${manifest.value.sequenceLength}`,
    );
  }
  const { context, vocab } = training.value.model;
  if (context < sequenceLength || vocab < manifest.value.tokenizer.vocab) {
    return fault('genesis', 'genesis: the model is too small for the sequences or the vocabulary');
  }
  return success({
    genesis,
    parameters: parameters.value,
    manifest: manifest.value,
    training: training.value,
    rules: rulesOf(parameters.value, training.value),
    initialSeed: initialModelSeed(genesis.chainId, fromHex(datasetHash), configHash),
  });
}
