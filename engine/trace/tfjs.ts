// Owns the one import of TensorFlow.js. It loads on first use, so that nodes which never trace a model never pay for it.
// What is done with it lies in the other files of this folder.

import { createRequire } from 'node:module';
import type * as TfjsCore from '@tensorflow/tfjs-core';

export type Tf = typeof TfjsCore;
export type TfTensor = TfjsCore.Tensor;
export type TfTensor1D = TfjsCore.Tensor1D;
export type TfTensor2D = TfjsCore.Tensor2D;
export type TfScalar = TfjsCore.Scalar;
export type TfTensorInfo = TfjsCore.TensorInfo;
export type TfDataId = TfjsCore.DataId;
export type TfKernelInputs = TfjsCore.NamedTensorInfoMap;
export type TfAttributes = TfjsCore.NamedAttrMap;

let loaded: Tf | null = null;

/** The TensorFlow.js core module, loaded once per thread (about 25 ms). */
export function tfjs(): Tf {
  loaded ??= createRequire(import.meta.url)('@tensorflow/tfjs-core') as Tf;
  return loaded;
}
