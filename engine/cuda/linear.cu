// Owns quantization to int8 lines and the product of packed lines on tensor cores. A packed operand holds scales, then
// reciprocals, one a line, then int8 [line][depth], lines and depth padded with zeros to whole 64s.
#include "kernel.cuh"

#define PADDED(n) (((int64_t)(n) + 63) / 64 * 64)

DEVICE unsigned mix32(unsigned x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

// [Q1]
DEVICE void scale_of(int *status, int at, int most, float *scale, float *inverse) {
  if (most >= 0x7f800000) FAIL(NON_FINITE);
  bool live = most >= 0x0d800000 && most < 0x7f800000;
  float amax = live ? float_of(most) : 1.0f;
  *scale = live ? quotient(amax, 127.0f) : 0.0f;
  *inverse = live ? quotient(127.0f, amax) : 0.0f;
}

// [Q2] [Q3] [Q4]: salt 0 rounds to nearest.
DEVICE int quantize(float x, float inverse, unsigned key, int salt, int64_t columns, int64_t row, int64_t column) {
  float y = mul(x, inverse);
  int q;
  if (salt == 0) {
    q = __float2int_rn(y);
  } else {
    unsigned counter = (unsigned)(row * 16 * ((columns + 31) / 32) + 16 * (column / 32) + column % 16);
    unsigned h = mix32(counter ^ key);
    unsigned half = (column >> 4 & 1) == 0 ? h & 0xffffu : h >> 16;
    q = __float2int_rd(add(y, mul(__int2float_rn((int)half), 1.52587890625e-5f)));
  }
  return q > 127 ? 127 : q < -127 ? -127 : q;
}

DEVICE unsigned noise_key(const int *seed, int tensor, int salt) {
  unsigned key = mix32((unsigned)seed[0] + 0x9e3779b9u);
  key = mix32(key ^ (unsigned)seed[1]);
  key = mix32(key ^ (unsigned)tensor);
  return mix32(key ^ (unsigned)salt);
}

DEVICE unsigned word_of(const int *q) {
  return ((unsigned)q[0] & 255) | ((unsigned)q[1] & 255) << 8 | ((unsigned)q[2] & 255) << 16 | (unsigned)q[3] << 24;
}

// w: src, packed, rows, depth, seed, tensorId, salt. A block a line; lines beyond the rows become zeros.
BLOCK_KERNEL(k_pack_rows) {
  BEGIN;
  __shared__ int most;
  __shared__ float inverse;
  int64_t line = blockIdx.x, depth = w[3], lines = PADDED(w[2]);
  const float *src = FLOATS(0) + line * depth;
  float *scales = FLOATS(1);
  unsigned *to = (unsigned *)((char *)(scales + 2 * lines) + line * PADDED(depth));
  if (threadIdx.x == 0) most = 0;
  __syncthreads();
  if (line < w[2]) {
    int own = 0;
    for (int64_t k = threadIdx.x; k < depth; k += blockDim.x) own = max(own, bits_of(src[k]) & 0x7fffffff);
    atomicMax(&most, own);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    float scale;
    scale_of(status, at, most, &scale, &inverse);
    scales[line] = scale;
  }
  __syncthreads();
  unsigned key = w[6] ? noise_key(INTS(4), w[5], w[6]) : 0;
  for (int64_t k = 4 * threadIdx.x; k < PADDED(depth); k += 4 * blockDim.x) {
    int q[4];
    for (int i = 0; i < 4; i++)
      q[i] = line < w[2] && k + i < depth ? quantize(src[k + i], inverse, key, w[6], depth, line, k + i) : 0;
    to[k / 4] = word_of(q);
  }
}

// w: src, packed, depth, columns. A block 32 columns by 8 threads: scale and reciprocal of each line.
BLOCK_KERNEL(k_column_scales) {
  BEGIN;
  __shared__ int most[32];
  int64_t c = (int64_t)blockIdx.x * 32 + threadIdx.x % 32, depth = w[2], columns = w[3], lines = PADDED(columns);
  if (threadIdx.x < 32) most[threadIdx.x] = 0;
  __syncthreads();
  if (c < columns) {
    int own = 0;
    for (int64_t r = threadIdx.x / 32; r < depth; r += 8) own = max(own, bits_of(FLOATS(0)[r * columns + c]) & 0x7fffffff);
    atomicMax(&most[threadIdx.x % 32], own);
  }
  __syncthreads();
  if (threadIdx.x < 32 && c < lines) scale_of(status, at, most[threadIdx.x], FLOATS(1) + c, FLOATS(1) + lines + c);
}

// w: src, packed, depth, columns, seed, tensorId, salt. A thread four values of a line.
KERNEL(k_pack_columns) {
  BEGIN;
  int64_t depth = w[2], columns = w[3], lines = PADDED(columns), i = INDEX, c = i % lines, r = 4 * (i / lines);
  if (r >= PADDED(depth)) return;
  float *scales = FLOATS(1);
  unsigned key = w[6] ? noise_key(INTS(4), w[5], w[6]) : 0;
  int q[4];
  for (int k = 0; k < 4; k++)
    q[k] = c < columns && r + k < depth ? quantize(FLOATS(0)[(r + k) * columns + c], scales[lines + c], key, w[6], columns, r + k, c) : 0;
  *(unsigned *)((char *)(scales + 2 * lines) + c * PADDED(depth) + r) = word_of(q);
}

#define TILE 64
// Bytes of a row of a tile in shared memory: 16 more than it holds, so that the eight rows a warp reads lie in other banks.
#define PITCH 80

#if defined(__CUDACC__)
// c[16][8] += a[16][32] * b[8][32]: exact sums on tensor cores. Fragments as the PTX manual lays them out for m16n8k32.
DEVICE void mma_s8(int *c, const unsigned *a, const unsigned *b) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// w: packed left, packed right, out, rows, depth, columns [M1]. A block 64 x 64 outputs by 4 warps of 32 x 32.
BLOCK_KERNEL(k_product) {
  BEGIN;
  __shared__ unsigned left[TILE * PITCH / 4], right[TILE * PITCH / 4];
  int64_t rows = w[3], pitch = PADDED(w[4]), columns = w[5], across = (columns + TILE - 1) / TILE;
  int64_t row0 = blockIdx.x / across * TILE, column0 = blockIdx.x % across * TILE;
  const float *sa = FLOATS(0), *sb = FLOATS(1);
  const char *a = (const char *)(sa + 2 * PADDED(rows)) + row0 * pitch;
  const char *b = (const char *)(sb + 2 * PADDED(columns)) + column0 * pitch;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
  int m0 = warp / 2 * 32, n0 = warp % 2 * 32;
  int sums[2][4][4];
  for (int m = 0; m < 2; m++)
    for (int n = 0; n < 4; n++)
      for (int i = 0; i < 4; i++) sums[m][n][i] = 0;
  for (int64_t k0 = 0; k0 < pitch; k0 += TILE) {
    // 64 lines of 64 bytes each: 1024 words, eight a thread.
    for (int i = threadIdx.x; i < TILE * TILE / 4; i += 128) {
      int line = i / (TILE / 4), word = i % (TILE / 4);
      left[line * (PITCH / 4) + word] = ((const unsigned *)(a + line * pitch + k0))[word];
      right[line * (PITCH / 4) + word] = ((const unsigned *)(b + line * pitch + k0))[word];
    }
    __syncthreads();
    for (int k = 0; k < TILE / 4; k += 8) {
      unsigned fa[2][4], fb[4][2];
      for (int m = 0; m < 2; m++)
        for (int i = 0; i < 4; i++)
          fa[m][i] = left[(m0 + 16 * m + group + 8 * (i & 1)) * (PITCH / 4) + k + quad + 4 * (i >> 1)];
      for (int n = 0; n < 4; n++)
        for (int i = 0; i < 2; i++) fb[n][i] = right[(n0 + 8 * n + group) * (PITCH / 4) + k + quad + 4 * i];
      for (int m = 0; m < 2; m++)
        for (int n = 0; n < 4; n++) mma_s8(sums[m][n], fa[m], fb[n]);
    }
    __syncthreads();
  }
  for (int m = 0; m < 2; m++)
    for (int n = 0; n < 4; n++)
      for (int i = 0; i < 4; i++) {
        int64_t r = row0 + m0 + 16 * m + group + 8 * (i >> 1), c = column0 + n0 + 8 * n + 2 * quad + (i & 1);
        if (r >= rows || c >= columns) continue;
        float y = mul(__int2float_rn(sums[m][n][i]), mul(sa[r], sb[c]));
        FLOATS(2)[r * columns + c] = y;
        FINITE(y);
      }
}
