// Owns accepted models as files: parameter bytes to named safetensors tensors with provenance and back, root checked on load.
// Weights keep the shapes of model.ts ([in, out] for linear layers); exports for other tools transpose them.

import { type Hex, toHex } from '../base/bytes.ts';
import { canonicalJson } from '../base/canonical-json.ts';
import { type Result, fault, success } from '../base/fault.ts';
import { stateRoot } from '../base/merkle.ts';
import type { ModelConfig } from './model.ts';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';
import { parameterBytes, parameterPlaces } from './train-program.ts';

/** Where a model came from, as far as its maker knew; free of anything that differs between nodes. */
export type Provenance = Readonly<{
  chainId: bigint;
  /** Learning round that made it; -1 for the genesis model. */
  round: number;
  /** How often the base moved until this model. */
  version: number;
  baseRoot: Hex;
  datasetHash: Hex;
  tokenizerHash: Hex;
  kernelSpec: Hex;
  programHash: Hex;
}>;

const CHECKPOINT_FORMAT = 'learning-checkpoint/1';

/** A model's file. Equal model and provenance give equal bytes on every node, so its blob id can be attested. */
export function encodeCheckpoint(config: ModelConfig, params: Uint8Array, provenance: Provenance): Uint8Array {
  const tensors = parameterPlaces(config).map(({ name, shape, offset, elements }) => ({
    name,
    dtype: 'F32' as const,
    shape,
    bytes: params.subarray(offset, offset + 4 * elements),
  }));
  const { chainId, round, version, ...hashes } = provenance;
  return encodeSafetensors(tensors, {
    format: CHECKPOINT_FORMAT,
    model: canonicalJson({ ...config }),
    modelRoot: toHex(stateRoot(params)),
    chainId: chainId.toString(),
    round: String(round),
    version: String(version),
    ...hashes,
  });
}

export type Checkpoint = Readonly<{ params: Uint8Array; modelRoot: Uint8Array; metadata: ReadonlyMap<string, string> }>;

/**
 * Parameter bytes of a checkpoint from outside. Fault 'checkpoint' when a tensor is missing, has another shape or type,
 * there are others, or the model root is not `expectedRoot`.
 */
export function decodeCheckpoint(config: ModelConfig, bytes: Uint8Array, expectedRoot: Uint8Array): Result<Checkpoint> {
  const refuse = (why: string) => fault('checkpoint', `checkpoint: ${why}`);
  const file = decodeSafetensors(bytes);
  if (!file.ok) return file;
  const { tensors, metadata } = file.value;
  const places = parameterPlaces(config);
  if (tensors.size !== places.length) return refuse(`${tensors.size} tensors, the model has ${places.length}`);
  const params = new Uint8Array(parameterBytes(config));
  for (const { name, shape, offset } of places) {
    const tensor = tensors.get(name);
    if (tensor === undefined) return refuse(`tensor ${name} is missing`);
    if (tensor.dtype !== 'F32') return refuse(`tensor ${name} is ${tensor.dtype}, not F32`);
    if (tensor.shape.join() !== shape.join()) return refuse(`tensor ${name} has shape ${tensor.shape}, not ${shape}`);
    params.set(tensor.bytes, offset);
  }
  const root = stateRoot(params);
  if (toHex(root) !== toHex(expectedRoot)) return refuse(`model root is ${toHex(root)}, not ${toHex(expectedRoot)}`);
  return success({ params, modelRoot: root, metadata });
}
