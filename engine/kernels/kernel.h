// Owns what every kernel shares: vector types, the thread context, the fixed exp and log, reductions, finite checks.
// Rules in brackets, e.g. [R2], are those of docs/protocol/kernel-spec.md. No libm, no fused multiply-add, no fast-math.
#ifndef KERNEL_H
#define KERNEL_H

#include <stdint.h>

typedef uint32_t u32_alias __attribute__((may_alias));
typedef uint16_t u16_alias __attribute__((may_alias));
typedef int32_t i32_alias __attribute__((may_alias));

// Asks for the cache line of `p` ahead of its use; where that is beyond a tensor nothing happens. Rows of a tensor are too
// short for a processor to see where the next one begins.
#define fetch(p) __builtin_prefetch((const char *)(p))

// Which kernels a compilation is for: 512-bit vectors with VNNI, the same with AMX tiles for int8 products, or 256-bit
// vectors with VNNI (VEX). A build with TWIN names one of them and gets its instructions from twin.h, so that it can be
// checked on processors without them.
#if defined(TWIN)
#include "twin.h"
#elif defined(__AMX_INT8__)
#define AMX_TILES 1
#define VNNI512 1
#elif defined(__AVXVNNI__)
#define VNNI256 1
#elif defined(__AVX512VNNI__)
#define VNNI512 1
#endif

// Relaxed-SIMD WebAssembly, whose dot product is exact on some hosts only (wasm.c probes it). RELAXED_TWIN builds the same
// kernels with an exact dot product of plain SIMD.
#if defined(__wasm_relaxed_simd__) || defined(RELAXED_TWIN)
#define RELAXED128 1
#endif

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))

// Lanes of the target's own vector registers; results do not depend on it. gcc keeps wider vectors in memory.
#if defined(VNNI512)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float vec_mem __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec_mem __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint32_t uvec __attribute__((vector_size(LANES * 4)));
typedef uint32_t uvec_mem __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

enum { REASON_NONE = 0, REASON_NON_FINITE = 1, REASON_BAD_INDEX = 2, REASON_BF16_RANGE = 3 };

// What all threads of one run share. `failed` holds the greatest reason seen in the running instruction.
typedef struct {
  volatile int32_t job, stopped, exit, arrived, phase, failed, failed_at, threads;
  const int32_t *commands;
  char *state, *work;
} Shared;

typedef struct {
  int index, count;
  char *state, *work;
  Shared *shared;
} Context;

// Waits for all threads and answers the reason of failure, the same to all of them: the last to arrive takes it before
// any thread may go on and fail at something later.
int32_t barrier(Context *ctx);

// A tensor reference: 64-byte units, the sign bit set for the state region.
INLINE void *at(const Context *ctx, int32_t ref) {
  return (ref < 0 ? ctx->state : ctx->work) + (uint64_t)(ref & 0x7fffffff) * 64;
}

INLINE void fail(Context *ctx, int32_t reason) {
  int32_t seen = __atomic_load_n(&ctx->shared->failed, __ATOMIC_RELAXED);
  while (seen < reason && !__atomic_compare_exchange_n(&ctx->shared->failed, &seen, reason, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

// The part of [0, total) this thread owns, in whole units of `unit`.
INLINE void share(const Context *ctx, int64_t total, int64_t unit, int64_t *lo, int64_t *hi) {
  int64_t units = (total + unit - 1) / unit;
  *lo = units * ctx->index / ctx->count * unit;
  *hi = units * (ctx->index + 1) / ctx->count * unit;
  if (*lo > total) *lo = total;
  if (*hi > total) *hi = total;
}

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE int32_t bits_of(float x) {
  union { float f; int32_t i; } u = {x};
  return u.i;
}

INLINE float float_of(int32_t i) {
  union { int32_t i; float f; } u = {i};
  return u.f;
}

#define ROUND_MAGIC 12582912.0f
#define ROUND_MAGIC_BITS 0x4b400000

// [E1] exp on [-87, 88], clamped: base-2 range reduction by two constants, degree-6 polynomial. NaN stays NaN.
INLINE float exp_fixed(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  float shifted = x * 1.44269504088896341f + ROUND_MAGIC;
  float n = shifted - ROUND_MAGIC;
  float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  return p * float_of((bits_of(shifted) - ROUND_MAGIC_BITS + 127) << 23);
}

// [E2] Natural logarithm of a positive normal number.
INLINE float log_fixed(float x) {
  int32_t bits = bits_of(x);
  int32_t exponent = (bits >> 23) - 126;
  float m = float_of((bits & 0x007fffff) | 0x3f000000);
  if (m < 0.707106781186547524f) {
    exponent -= 1;
    m = m + m;
  }
  m = m - 1.0f;
  float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m + -1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m + -1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m + -1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m + -2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float e = (float)exponent;
  float y = (m * z) * p;
  y = y + e * -2.12194440e-4f;
  y = y - 0.5f * z;
  return (m + y) + e * 0.693359375f;
}

INLINE float sigmoid(float x) { return 1.0f / (1.0f + exp_fixed(-x)); }

// The sixteen sums of [R1]: element i belongs to sum i mod 16.
#define PARTS (16 / LANES)
typedef struct { vec part[PARTS]; } Sums;

INLINE vec lanes_at(const float *x, int p) { return *(const vec_mem *)(x + p * LANES); }

// [R1] Halving tree over sixteen sums, after the last `n` terms (fewer than 16) were added to the first of them.
INLINE float tree16(Sums sums, const float *last, int64_t n) {
  float a[16];
  for (int p = 0; p < PARTS; p++) *(vec_mem *)(a + p * LANES) = sums.part[p];
  for (int l = 0; l < n; l++) a[l] = a[l] + last[l];
  for (int width = 8; width >= 1; width >>= 1)
    for (int i = 0; i < width; i++) a[i] = a[i] + a[i + width];
  return a[0];
}

// [R1] Sum in 16 strided lanes, each ascending from +0, then the tree.
INLINE float sum16(const float *x, int64_t n) {
  Sums s = {0};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int p = 0; p < PARTS; p++) s.part[p] = s.part[p] + lanes_at(x + i, p);
  return tree16(s, x + i, n - i);
}

INLINE float dot16(const float *x, const float *y, int64_t n) {
  Sums s = {0};
  float last[16];
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int p = 0; p < PARTS; p++) s.part[p] = s.part[p] + lanes_at(x + i, p) * lanes_at(y + i, p);
  for (int l = 0; i + l < n; l++) last[l] = x[i + l] * y[i + l];
  return tree16(s, last, n - i);
}

// Greatest absolute value as its bits; at least 0x7f800000 when any element is NaN or infinite. Order-free.
INLINE int32_t amax_bits(const float *x, int64_t n) {
  ivec wide[PARTS] = {0};
  int32_t most = 0, lane[16];
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int p = 0; p < PARTS; p++) {
      ivec a = *(const ivec_mem *)(x + i + p * LANES) & 0x7fffffff;
      ivec more = a > wide[p];
      wide[p] = (a & more) | (wide[p] & ~more);
    }
  for (int p = 0; p < PARTS; p++) *(ivec_mem *)(lane + p * LANES) = wide[p];
  for (int l = 0; l < 16; l++) most = lane[l] > most ? lane[l] : most;
  for (const i32_alias *b = (const i32_alias *)x; i < n; i++) {
    int32_t a = b[i] & 0x7fffffff;
    most = a > most ? a : most;
  }
  return most;
}

// [F1] Marks the instruction as failed when any element is NaN or infinite: adding one to an exponent of ones reaches the sign.
INLINE void check_finite(Context *ctx, const float *x, int64_t n) {
  uvec high[PARTS] = {0};
  uint32_t any = 0, lane[16];
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int p = 0; p < PARTS; p++) high[p] |= (*(const uvec_mem *)(x + i + p * LANES) & 0x7fffffffu) + 0x00800000u;
  for (int p = 0; p < PARTS; p++) *(uvec_mem *)(lane + p * LANES) = high[p];
  for (int l = 0; l < 16; l++) any |= lane[l];
  for (; i < n; i++) any |= ((uint32_t)bits_of(x[i]) & 0x7fffffffu) + 0x00800000u;
  if (any >> 31) fail(ctx, REASON_NON_FINITE);
}

// [B1] Nearest-even bf16, kept as f32; below 2^-60 becomes zero of the same sign, above 2^60 (or NaN) sets `*most` high.
INLINE float bf16_fixed(float x, int32_t *most) {
  int32_t b = bits_of(x);
  int32_t a = b & 0x7fffffff;
  *most = a > *most ? a : *most;
  int32_t r = (int32_t)((uint32_t)b + 0x7fffu + (((uint32_t)b >> 16) & 1u)) & (int32_t)0xffff0000;
  r = a < 0x21800000 ? b & (int32_t)0x80000000 : r;
  return float_of(r);
}

INLINE void check_bf16(Context *ctx, int32_t most) {
  if (most >= 0x7f800000) fail(ctx, REASON_NON_FINITE);
  else if (most > 0x5d800000) fail(ctx, REASON_BF16_RANGE);
}

#endif
