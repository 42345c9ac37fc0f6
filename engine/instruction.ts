// Owns the instruction set, kernelSpec version 1: names, codes, operand shapes and attributes of every instruction.
// What each computes, to the bit, is docs/protocol/kernel-spec.md. Memory and order are program.ts.
//
// Signatures read "dtype dims": capital letters are dimensions that must agree inside one instruction, '*' is any one
// shape shared by all operands marked so. All data is row-major; T stands for batch * sequence rows.
//
//   embed            table f32[V,D], ids i32[T]                         -> out f32[T,D]          (also gathers rows)
//   embedGrad        dOut f32[T,D], ids i32[T]                          -> dTable f32[V,D]
//   rmsNorm          x f32[T,D], gain f32[D]                            -> out f32[T,D], rstd f32[T]        eps
//   rmsNormGradX     dOut f32[T,D], x, gain, rstd                       -> dx f32[T,D]
//   rmsNormGradGain  dOut f32[T,D], x, rstd                             -> dGain f32[D]
//   linear           x f32[T,K], w f32[K,N]                             -> y f32[T,N]
//   linearGradX      dy f32[T,N], w f32[K,N], seed i32[2]               -> dx f32[T,K]           tensorId
//   linearGradW      x f32[T,K], dy f32[T,N], seed i32[2]               -> dw f32[K,N]           tensorId
//   linearBf16, linearBf16GradX, linearBf16GradW: the same of profile bf16x, without seed and tensorId
//   rope             x f32[T,C], table f32[P,Dh], pos i32[T]            -> out f32[T,C]          heads, inverse; C = heads*Dh
//                    table row: Dh/2 cosines, then Dh/2 sines (rope-table.ts); rotate-half pairs (i, i + Dh/2)
//   attention        q f32[T,H*Dh], k f32[T,KV*Dh], v f32[T,KV*Dh]      -> out f32[T,H*Dh], stats f32[T,2*H]
//                                                                          batch, seq, heads, kvHeads; T = batch*seq; causal
//   attentionGrad    dOut, q, k, v, out, stats                          -> dq, dk, dv            same attributes
//   swiglu           gate f32[*], up f32[*]                             -> out f32[*]
//   swigluGrad       dOut f32[*], gate, up                              -> dGate, dUp
//   crossEntropy     logits f32[T,V], targets i32[T] (negative: ignored)-> loss f32[1], tokenLoss f32[T], stats f32[T,2]
//   crossEntropyGrad logits f32[T,V], targets i32[T], stats f32[T,2]    -> dLogits f32[T,V] of the mean loss
//   add              a f32[*], b f32[*]                                 -> out f32[*]            out may be a or b
//   scale            a f32[*]                                           -> out f32[*]            factor; out may be a
//   copy             a f32[*]                                           -> out f32[*]
//   zero                                                                -> out f32[*]
//   gradNorm         g1 .. gn, any shapes                               -> norm f32[1]
//   adamW            p f32[*], m, v, g, norm f32[1], hyper f32[8]       -> p, m, v (the same tensors)       decay
//                    hyper = [lr, beta1, beta2, eps, weightDecay, 1 - beta1^t, 1 - beta2^t, clipNorm (0: no clipping)]
//   cacheWrite       rows f32[R,W], slot i32[R], pos i32[R], cache f32[SLOTS,P,W] -> cache (the same tensor)
//   attentionDecode  q f32[R,H*Dh], kCache f32[SLOTS,P,KV*Dh], vCache, slot i32[R], pos i32[R] -> out f32[R,H*Dh]
//                                                                          heads, kvHeads; bits of attention at that position

import { MAX_CONTRACTION, MAX_HEAD_WIDTH, MAX_SEQUENCE } from './limits.ts';

export type Op =
  | 'embed'
  | 'embedGrad'
  | 'rmsNorm'
  | 'rmsNormGradX'
  | 'rmsNormGradGain'
  | 'linear'
  | 'linearGradX'
  | 'linearGradW'
  | 'rope'
  | 'attention'
  | 'attentionGrad'
  | 'swiglu'
  | 'swigluGrad'
  | 'crossEntropy'
  | 'crossEntropyGrad'
  | 'add'
  | 'scale'
  | 'copy'
  | 'zero'
  | 'gradNorm'
  | 'adamW'
  | 'cacheWrite'
  | 'attentionDecode'
  | 'linearBf16'
  | 'linearBf16GradX'
  | 'linearBf16GradW';

/** One instruction: operands are tensor ids of the program, attributes exactly those of the table below. */
export type Instruction = Readonly<{
  op: Op;
  inputs: readonly number[];
  outputs: readonly number[];
  attrs: Readonly<Record<string, number>>;
}>;

/** Dimensions bound by a signature, by letter. */
export type Dims = Readonly<Record<string, number>>;

/** A row of the instruction table. `attrs` maps a name to its kind: whole number in i32, or a finite f32. */
export type OpRule = Readonly<{
  code: number;
  inputs: readonly string[];
  outputs: readonly string[];
  attrs: Readonly<Record<string, 'int' | 'f32'>>;
  /** Output index -> input indices it may share its tensor with; 'same' means it must. */
  inPlace?: Readonly<Record<number, Readonly<{ inputs: readonly number[]; must: boolean }>>>;
  /** True when every non-finite input element shows in an output or is found while reading, so no separate check is run. */
  seesNonFinite: boolean;
  /** What the signature cannot say; a message names the dimension and its limit. */
  extra?: (dims: Dims, attrs: Readonly<Record<string, number>>) => string | null;
}>;

const must = (input: number) => ({ inputs: [input], must: true });
const may = (...inputs: readonly number[]) => ({ inputs, must: false });

const attentionAttrs = { batch: 'int', seq: 'int', heads: 'int', kvHeads: 'int' } as const;

export const OPS: Readonly<Record<Op, OpRule>> = {
  embed: { code: 1, inputs: ['f32 V D', 'i32 T'], outputs: ['f32 T D'], attrs: {}, seesNonFinite: true },
  embedGrad: { code: 2, inputs: ['f32 T D', 'i32 T'], outputs: ['f32 V D'], attrs: {}, seesNonFinite: true },
  rmsNorm: {
    code: 3,
    inputs: ['f32 T D', 'f32 D'],
    outputs: ['f32 T D', 'f32 T'],
    attrs: { eps: 'f32' },
    seesNonFinite: true,
    extra: (_, attrs) => ((attrs.eps ?? 0) > 0 ? null : 'eps must be above 0'),
  },
  rmsNormGradX: {
    code: 4,
    inputs: ['f32 T D', 'f32 T D', 'f32 D', 'f32 T'],
    outputs: ['f32 T D'],
    attrs: {},
    seesNonFinite: true,
  },
  rmsNormGradGain: {
    code: 5,
    inputs: ['f32 T D', 'f32 T D', 'f32 T'],
    outputs: ['f32 D'],
    attrs: {},
    seesNonFinite: true,
  },
  linear: {
    code: 6,
    inputs: ['f32 T K', 'f32 K N'],
    outputs: ['f32 T N'],
    attrs: {},
    seesNonFinite: true,
    extra: ({ K }) => contraction('K', K),
  },
  linearGradX: {
    code: 7,
    inputs: ['f32 T N', 'f32 K N', 'i32 2'],
    outputs: ['f32 T K'],
    attrs: { tensorId: 'int' },
    seesNonFinite: true,
    extra: ({ N }) => contraction('N', N),
  },
  linearGradW: {
    code: 8,
    inputs: ['f32 T K', 'f32 T N', 'i32 2'],
    outputs: ['f32 K N'],
    attrs: { tensorId: 'int' },
    seesNonFinite: true,
    extra: ({ T }) => contraction('T', T),
  },
  rope: {
    code: 9,
    inputs: ['f32 T C', 'f32 P Dh', 'i32 T'],
    outputs: ['f32 T C'],
    attrs: { heads: 'int', inverse: 'int' },
    seesNonFinite: true,
    extra: ({ C = 0, Dh = 0 }, { heads = 0, inverse }) => {
      if (inverse !== 0 && inverse !== 1) return 'inverse must be 0 or 1';
      if (C !== heads * Dh) return `row width ${C} must be heads * head width = ${heads} * ${Dh}`;
      return headWidth(Dh);
    },
  },
  attention: {
    code: 10,
    inputs: ['f32 T Q', 'f32 T C', 'f32 T C'],
    outputs: ['f32 T Q', 'f32 T S2'],
    attrs: attentionAttrs,
    seesNonFinite: true,
    extra: attentionShape,
  },
  attentionGrad: {
    code: 11,
    inputs: ['f32 T Q', 'f32 T Q', 'f32 T C', 'f32 T C', 'f32 T Q', 'f32 T S2'],
    outputs: ['f32 T Q', 'f32 T C', 'f32 T C'],
    attrs: attentionAttrs,
    seesNonFinite: false,
    extra: attentionShape,
  },
  swiglu: { code: 12, inputs: ['f32 *', 'f32 *'], outputs: ['f32 *'], attrs: {}, seesNonFinite: false },
  swigluGrad: {
    code: 13,
    inputs: ['f32 *', 'f32 *', 'f32 *'],
    outputs: ['f32 *', 'f32 *'],
    attrs: {},
    seesNonFinite: false,
  },
  crossEntropy: {
    code: 14,
    inputs: ['f32 T V', 'i32 T'],
    outputs: ['f32 1', 'f32 T', 'f32 T 2'],
    attrs: {},
    seesNonFinite: false,
  },
  crossEntropyGrad: {
    code: 15,
    inputs: ['f32 T V', 'i32 T', 'f32 T 2'],
    outputs: ['f32 T V'],
    attrs: {},
    seesNonFinite: false,
  },
  add: {
    code: 16,
    inputs: ['f32 *', 'f32 *'],
    outputs: ['f32 *'],
    attrs: {},
    inPlace: { 0: may(0, 1) },
    seesNonFinite: true,
  },
  scale: {
    code: 17,
    inputs: ['f32 *'],
    outputs: ['f32 *'],
    attrs: { factor: 'f32' },
    inPlace: { 0: may(0) },
    seesNonFinite: true,
  },
  copy: { code: 18, inputs: ['f32 *'], outputs: ['f32 *'], attrs: {}, seesNonFinite: true },
  zero: { code: 19, inputs: [], outputs: ['f32 *'], attrs: {}, seesNonFinite: true },
  // Variadic: any number of f32 tensors of any shape (shapes.ts).
  gradNorm: { code: 20, inputs: ['f32 ...'], outputs: ['f32 1'], attrs: {}, seesNonFinite: true },
  adamW: {
    code: 21,
    inputs: ['f32 *', 'f32 *', 'f32 *', 'f32 *', 'f32 1', 'f32 8'],
    outputs: ['f32 *', 'f32 *', 'f32 *'],
    attrs: { decay: 'int' },
    inPlace: { 0: must(0), 1: must(1), 2: must(2) },
    seesNonFinite: true,
    extra: (_, { decay }) => (decay === 0 || decay === 1 ? null : 'decay must be 0 or 1'),
  },
  cacheWrite: {
    code: 22,
    inputs: ['f32 R W', 'i32 R', 'i32 R', 'f32 SLOTS P W'],
    outputs: ['f32 SLOTS P W'],
    attrs: {},
    inPlace: { 0: must(3) },
    seesNonFinite: true,
    extra: ({ P = 0 }) => (P <= MAX_SEQUENCE ? null : `positions ${P} above ${MAX_SEQUENCE}`),
  },
  attentionDecode: {
    code: 23,
    inputs: ['f32 R Q', 'f32 SLOTS P C', 'f32 SLOTS P C', 'i32 R', 'i32 R'],
    outputs: ['f32 R Q'],
    attrs: { heads: 'int', kvHeads: 'int' },
    seesNonFinite: true,
    extra: ({ Q = 0, C = 0, P = 0 }, { heads = 0, kvHeads = 0 }) =>
      headShape(Q, C, heads, kvHeads) ?? (P <= MAX_SEQUENCE ? null : `positions ${P} above ${MAX_SEQUENCE}`),
  },
  // Profile bf16x (profile.ts). Contractions end where sums of i8 do, so that a model fits both profiles.
  linearBf16: {
    code: 24,
    inputs: ['f32 T K', 'f32 K N'],
    outputs: ['f32 T N'],
    attrs: {},
    seesNonFinite: true,
    extra: ({ K }) => contraction('K', K),
  },
  linearBf16GradX: {
    code: 25,
    inputs: ['f32 T N', 'f32 K N'],
    outputs: ['f32 T K'],
    attrs: {},
    seesNonFinite: true,
    extra: ({ N }) => contraction('N', N),
  },
  linearBf16GradW: {
    code: 26,
    inputs: ['f32 T K', 'f32 T N'],
    outputs: ['f32 K N'],
    attrs: {},
    seesNonFinite: true,
    extra: ({ T }) => contraction('T', T),
  },
};

/** Every instruction name, by code. */
export const OP_NAMES: readonly Op[] = Object.keys(OPS) as Op[];

function contraction(name: string, length = 0): string | null {
  return length <= MAX_CONTRACTION ? null : `contraction ${name} = ${length} above ${MAX_CONTRACTION}`;
}

function headWidth(width: number): string | null {
  if (width % 2 !== 0) return `head width ${width} must be even`;
  return width <= MAX_HEAD_WIDTH ? null : `head width ${width} above ${MAX_HEAD_WIDTH}`;
}

function headShape(q: number, c: number, heads: number, kvHeads: number): string | null {
  if (heads < 1 || kvHeads < 1 || heads % kvHeads !== 0)
    return `heads ${heads} must be a multiple of kvHeads ${kvHeads}`;
  if (q % heads !== 0 || c % kvHeads !== 0 || q / heads !== c / kvHeads) {
    return `widths ${q} / ${heads} heads and ${c} / ${kvHeads} kvHeads must give one head width`;
  }
  return headWidth(q / heads);
}

function attentionShape(dims: Dims, attrs: Readonly<Record<string, number>>): string | null {
  const { T = 0, Q = 0, C = 0, S2 = 0 } = dims;
  const { batch = 0, seq = 0, heads = 0, kvHeads = 0 } = attrs;
  if (batch < 1 || seq < 1 || batch * seq !== T) return `rows ${T} must be batch * seq = ${batch} * ${seq}`;
  if (seq > MAX_SEQUENCE) return `seq ${seq} above ${MAX_SEQUENCE}`;
  if (S2 !== 2 * heads) return `stats width ${S2} must be 2 * heads = ${2 * heads}`;
  return headShape(Q, C, heads, kvHeads);
}
