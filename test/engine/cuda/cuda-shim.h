// Owns CUDA's words for an ordinary C++ compiler: the kernels of engine/cuda run on this processor, a block at a time, a
// thread of a block at a time. A thread that synchronizes yields to the next; a block's threads are small stacks.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct { unsigned x, y, z; } Dim3;
extern Dim3 blockIdx, threadIdx, blockDim;

void block_barrier(void);
void register_kernel(const char *name, void *code, int synchronizes);

#define __shared__ static
#define __syncthreads() block_barrier()
#define DEVICE static inline
#define ARGUMENTS char *state, char *work, const int *words, int *status, int at, int offset
#define DECLARE(name, synchronizes) \
  static void name(ARGUMENTS); \
  namespace { struct Register_##name { Register_##name() { register_kernel(#name, (void *)name, synchronizes); } } register_##name; } \
  static void name(ARGUMENTS)
#define KERNEL(name) DECLARE(name, 0)
#define BLOCK_KERNEL(name) DECLARE(name, 1)

// Compiled with contraction off: each is one rounded operation.
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline int __float_as_int(float x) { int i; memcpy(&i, &x, 4); return i; }
static inline float __int_as_float(int i) { float x; memcpy(&x, &i, 4); return x; }
static inline float __int2float_rn(int i) { return (float)i; }
// As the hardware does: to nearest even, or down; NaN is 0, beyond the range the nearest end.
static inline int whole(double x) { return x != x ? 0 : x >= 2147483647.0 ? 2147483647 : x <= -2147483648.0 ? (int)-2147483648LL : (int)x; }
static inline int __float2int_rn(float x) { return whole(nearbyint((double)x)); }
static inline int __float2int_rd(float x) { return whole(floor((double)x)); }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline void atomicMax(int *p, int x) { if (x > *p) *p = x; }
static inline void atomicMin(int *p, int x) { if (x < *p) *p = x; }
static inline void atomicAdd(int *p, int x) { *p += x; }

void mma_s8(int *c, const unsigned *a, const unsigned *b);
