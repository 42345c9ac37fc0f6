// Owns the operations models are written with: traced, each is one instruction with an exact gradient; on any ordinary
// TensorFlow.js backend it is composed of plain ops (float-ops.ts), so the same model also runs in f32.

import { check } from '../../base/check.ts';
import { TRACE_BACKEND, activeRecorder, programValue } from './backend.ts';
import * as float from './float-ops.ts';
import { companion, dim, emit, runFused } from './fused-kernels.ts';
import { type TfScalar, type TfTensor, type TfTensor1D, type TfTensor2D, tfjs } from './tfjs.ts';

const tracing = (): boolean => tfjs().engine().backendName === TRACE_BACKEND;

/** Rows of `table` f32[V,D] at `ids` i32[T]: f32[T,D]. */
export function embed(table: TfTensor2D, ids: TfTensor1D): TfTensor2D {
  return tracing() ? (runFused('embed', { table, ids }) as TfTensor2D) : float.embed(table, ids);
}

/** x / sqrt(mean(x^2) + eps) * gain along the last axis of x f32[T,D] (Zhang and Sennrich 2019). */
export function rmsNorm(x: TfTensor2D, gain: TfTensor1D, eps: number): TfTensor2D {
  return tracing() ? (runFused('rmsNorm', { x, gain }, { eps }) as TfTensor2D) : float.rmsNorm(x, gain, eps);
}

/** x f32[T,K] times w f32[K,N]; traced, int8 by dynamic scales. Rounding noise is keyed by the order of calls. */
export function linear(x: TfTensor2D, w: TfTensor2D): TfTensor2D {
  if (!tracing()) return tfjs().matMul(x, w);
  return runFused('linear', { x, w }, { tensorId: activeRecorder().nextLinear() }) as TfTensor2D;
}

/** Rotary positions (Su et al. 2021) on x f32[T,heads*Dh] with table f32[P,Dh] and positions i32[T]. */
export function rope(x: TfTensor2D, table: TfTensor2D, positions: TfTensor1D, heads: number): TfTensor2D {
  if (!tracing()) return float.rope(x, table, positions, heads);
  return runFused('rope', { x, table, positions }, { heads, inverse: 0 }) as TfTensor2D;
}

/** Causal grouped-query attention over `batch` sequences of `seq` rows each. */
export function attention(q: TfTensor2D, k: TfTensor2D, v: TfTensor2D, shape: float.AttentionShape): TfTensor2D {
  if (!tracing()) return float.attention(q, k, v, shape);
  const { batch, seq, heads, kvHeads } = shape;
  return runFused('attention', { q, k, v }, { batch, seq, heads, kvHeads }) as TfTensor2D;
}

/** silu(gate) * up (Shazeer 2020). */
export function swiglu(gate: TfTensor2D, up: TfTensor2D): TfTensor2D {
  return tracing() ? (runFused('swiglu', { gate, up }) as TfTensor2D) : float.swiglu(gate, up);
}

/** Mean cross-entropy in nats of logits f32[T,V] against targets i32[T]; negative targets are not counted. */
export function crossEntropy(logits: TfTensor2D, targets: TfTensor1D): TfScalar {
  return tracing() ? (runFused('crossEntropy', { logits, targets }) as TfScalar) : float.crossEntropy(logits, targets);
}

/** The loss of every row behind a traced {@link crossEntropy}, f32[T]; 0 where the target is not counted. */
export function tokenLosses(loss: TfTensor): TfTensor {
  const value = companion(programValue(loss, 'tokenLosses loss'), 1);
  const [copy] = emit('copy', [value], [value.shape]);
  check(copy !== undefined, 'tokenLosses: copy has a result');
  return copy;
}

/** Global L2 norm of gradients, f32[1]. Tracing only. */
export function gradNorm(gradients: readonly TfTensor[]): TfTensor {
  const values = gradients.map((tensor, index) => programValue(tensor, `gradNorm ${index}`));
  return emit('gradNorm', values, [[1]])[0] as TfTensor;
}

export type AdamState = Readonly<{ p: TfTensor; m: TfTensor; v: TfTensor }>;

/** One AdamW update in place (Loshchilov and Hutter 2019); `hyper` is f32[8] of ../instruction.ts. Tracing only. */
export function adamW(state: AdamState, g: TfTensor, norm: TfTensor, hyper: TfTensor, decay: boolean): void {
  const [p, m, v] = [
    programValue(state.p, 'adamW p'),
    programValue(state.m, 'adamW m'),
    programValue(state.v, 'adamW v'),
  ];
  const rest = [programValue(g, 'adamW g'), programValue(norm, 'adamW norm'), programValue(hyper, 'adamW hyper')];
  emit('adamW', [p, m, v, ...rest], [p, m, v], { decay: decay ? 1 : 0 });
}

/** Where rows of several sequences lie in a key-value cache: slot i32[R] and position i32[R]. */
export type CachePlace = Readonly<{ slots: TfTensor1D; positions: TfTensor1D }>;

/** Writes rows f32[R,W] into cache f32[slots,P,W] in place. Tracing only. */
export function cacheWrite(rows: TfTensor, place: CachePlace, cache: TfTensor): void {
  const target = programValue(cache, 'cacheWrite cache');
  const values = [rows, place.slots, place.positions].map((tensor) => programValue(tensor, 'cacheWrite operand'));
  emit('cacheWrite', [...values, target], [target]);
}

/** Attention of rows q f32[R,heads*Dh] over what their slots hold up to their positions. Tracing only. */
export function attentionDecode(
  q: TfTensor2D,
  caches: Readonly<{ k: TfTensor; v: TfTensor }>,
  place: CachePlace,
  { heads, kvHeads }: Readonly<{ heads: number; kvHeads: number }>,
): TfTensor2D {
  const query = programValue(q, 'attentionDecode q');
  const rest = [caches.k, caches.v, place.slots, place.positions].map((tensor) =>
    programValue(tensor, 'decode operand'),
  );
  const shape = [dim(query, 0), dim(query, 1)];
  return emit('attentionDecode', [query, ...rest], [shape], { heads, kvHeads })[0] as TfTensor2D;
}
