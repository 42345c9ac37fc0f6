// Owns what every CUDA kernel shares: arithmetic with the rounding spelled out, references, failure, the fixed exp and log.
// Rules in brackets are those of docs/protocol/kernel-spec.md. Every float operation goes through add, sub, mul, div, root:
// operations with a named rounding mode are never fused. No atomics on floats, no approximations, no flushing to zero.
//
// All kernels take the same arguments: the two regions, the words of all launches, the status, the instruction's index and
// where this launch's words begin. A reference is a count of 64-byte units, the sign bit set for the state region.
#pragma once

#if defined(__CUDACC__)
#include <stdint.h>
#define KERNEL(name) extern "C" __global__ void name(char *state, char *work, const int *words, int *status, int at, int offset)
#define BLOCK_KERNEL(name) KERNEL(name)
#define DEVICE static __device__ __forceinline__
#else
#include "cuda-shim.h"
#endif

enum { NON_FINITE = 1, BAD_INDEX = 2, BF16_RANGE = 3 };
// Words of the status: first failed instruction (greatest int: none), greatest reason, counted targets.
enum { FAILED_AT = 0, REASON = 1, TARGETS = 2 };

#define BEGIN \
  if (status[FAILED_AT] < at) return; \
  const int *w = words + offset; \
  (void)w

#define REF(type, i) ((type *)((w[i] < 0 ? state : work) + (uint64_t)(w[i] & 0x7fffffff) * 64))
#define FLOATS(i) REF(float, i)
#define INTS(i) REF(const int, i)
#define INDEX ((int64_t)blockIdx.x * blockDim.x + threadIdx.x)
#define FAIL(reason) fail(status, at, reason)

DEVICE void fail(int *status, int at, int reason) {
  atomicMin(&status[FAILED_AT], at);
  atomicMax(&status[REASON], reason);
}

DEVICE float add(float a, float b) { return __fadd_rn(a, b); }
DEVICE float sub(float a, float b) { return __fsub_rn(a, b); }
DEVICE float mul(float a, float b) { return __fmul_rn(a, b); }
DEVICE float quotient(float a, float b) { return __fdiv_rn(a, b); }
DEVICE float root(float a) { return __fsqrt_rn(a); }

DEVICE int bits_of(float x) { return __float_as_int(x); }
DEVICE float float_of(int x) { return __int_as_float(x); }
DEVICE bool finite(float x) { return (bits_of(x) & 0x7fffffff) < 0x7f800000; }
DEVICE void check_finite(int *status, int at, float x) {
  if (!finite(x)) FAIL(NON_FINITE);
}
#define FINITE(x) check_finite(status, at, x)

#define MAGIC 12582912.0f
#define MAGIC_BITS 0x4b400000

// [E1]
DEVICE float exp_fixed(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  float shifted = add(mul(x, 1.44269504088896341f), MAGIC);
  float n = sub(shifted, MAGIC);
  float r = sub(sub(x, mul(n, 0.693359375f)), mul(n, -2.12194440e-4f));
  float p = 1.9875691500e-4f;
  p = add(mul(p, r), 1.3981999507e-3f);
  p = add(mul(p, r), 8.3334519073e-3f);
  p = add(mul(p, r), 4.1665795894e-2f);
  p = add(mul(p, r), 1.6666665459e-1f);
  p = add(mul(p, r), 5.0000001201e-1f);
  p = add(add(mul(p, mul(r, r)), r), 1.0f);
  return mul(p, float_of((int)((unsigned)(bits_of(shifted) - MAGIC_BITS + 127) << 23)));
}

// [E2]
DEVICE float log_fixed(float x) {
  int bits = bits_of(x), exponent = (bits >> 23) - 126;
  float m = float_of((bits & 0x007fffff) | 0x3f000000);
  if (m < 0.707106781186547524f) {
    exponent -= 1;
    m = add(m, m);
  }
  m = sub(m, 1.0f);
  float z = mul(m, m), p = 7.0376836292e-2f;
  p = add(mul(p, m), -1.1514610310e-1f);
  p = add(mul(p, m), 1.1676998740e-1f);
  p = add(mul(p, m), -1.2420140846e-1f);
  p = add(mul(p, m), 1.4249322787e-1f);
  p = add(mul(p, m), -1.6668057665e-1f);
  p = add(mul(p, m), 2.0000714765e-1f);
  p = add(mul(p, m), -2.4999993993e-1f);
  p = add(mul(p, m), 3.3333331174e-1f);
  float e = __int2float_rn(exponent);
  float y = mul(mul(m, z), p);
  y = add(y, mul(e, -2.12194440e-4f));
  y = sub(y, mul(0.5f, z));
  return add(add(m, y), mul(e, 0.693359375f));
}

DEVICE float sigmoid(float x) { return quotient(1.0f, add(1.0f, exp_fixed(-x))); }

// [R1] The sixteen lanes of `lane`, overwritten.
DEVICE float tree16(float *lane) {
  for (int width = 8; width >= 1; width >>= 1)
    for (int i = 0; i < width; i++) lane[i] = add(lane[i], lane[i + width]);
  return lane[0];
}

// [B1]
DEVICE float bf16(int *status, int at, float x) {
  int b = bits_of(x), a = b & 0x7fffffff;
  if (a >= 0x7f800000) FAIL(NON_FINITE);
  else if (a > 0x5d800000) FAIL(BF16_RANGE);
  int r = (int)(((unsigned)b + 0x7fffu + (((unsigned)b >> 16) & 1u)) & 0xffff0000u);
  return float_of(a < 0x21800000 ? b & (int)0x80000000 : r);
}
#define BF16(x) bf16(status, at, x)

// Sixteen threads a row, eight rows a block: lane l of a row is thread l of its sixteen.
#define ROWS_PER_BLOCK 8
#define ROW_OF ((int64_t)blockIdx.x * ROWS_PER_BLOCK + threadIdx.x / 16)
#define LANE (threadIdx.x % 16)
