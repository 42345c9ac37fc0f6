// Owns turning f32 operands into packed int8 panels: scales, rounding to nearest, stochastic rounding.
// A panel holds `width` lines; along the contraction come groups of DEPTH values: [group][line][DEPTH], zero-padded.
// Packed order differs by target and is no part of the arithmetic.

#if defined(__AVX512VNNI__)
typedef int8_t packed;
#define DEPTH 4
#define PANEL_A 8
#define PANEL_B 32
#elif defined(__AVX2__)
typedef int16_t packed;
#define DEPTH 2
#define PANEL_A 4
#define PANEL_B 16
#else
typedef int16_t packed;
#define DEPTH 2
#define PANEL_A 4
#define PANEL_B 8
#endif

#define COLUMN_BLOCK 64

typedef struct {
  packed *values;
  float *scales;
  int32_t *sums;
} Packed;

// Scratch layout of packedBytes in memory-plan.ts.
INLINE Packed packed_at(Context *ctx, int32_t ref, int64_t lines, int64_t depth) {
  int64_t padded = (lines + 63) / 64 * 64;
  char *base = at(ctx, ref);
  Packed p;
  p.scales = (float *)base;
  p.sums = (int32_t *)(base + 4 * padded);
  p.values = (packed *)(base + 8 * padded);
  (void)depth;
  return p;
}

INLINE int64_t groups_of(int64_t depth) { return (depth + DEPTH - 1) / DEPTH; }

// [Q4] Noise key of an operand: two finalised words of the seed and the tensor.
typedef struct {
  int on;
  uint32_t key;
  int64_t stride;
} Noise;

INLINE uint32_t mix32(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

static Noise noise_of(const int32_t *seed, int32_t tensor, int32_t salt, int64_t columns) {
  uint32_t key = mix32((uint32_t)seed[0] + 0x9e3779b9u);
  key = mix32(key ^ (uint32_t)seed[1]);
  key = mix32(key ^ (uint32_t)tensor);
  key = mix32(key ^ (uint32_t)salt);
  Noise noise = {1, key, (columns + 31) / 32 * 16};
  return noise;
}

static const Noise NEAREST = {0, 0, 0};

// [Q1] Scale amax / 127 and its reciprocal; both 0 below 2^-100.
INLINE void scale_of(Context *ctx, int32_t most, float *scale, float *inverse) {
  if (most >= 0x7f800000) fail(ctx, REASON_NON_FINITE);
  int live = most >= 0x0d800000 && most < 0x7f800000;
  float amax = live ? float_of(most) : 1.0f;
  *scale = live ? amax / 127.0f : 0.0f;
  *inverse = live ? 127.0f / amax : 0.0f;
}

// [Q2] [Q3] 32 values of row `row` from column `column` (a multiple of 32), each with its own reciprocal scale.
INLINE void quantize32(const float *restrict x, const float *restrict inverse, const Noise *noise, int64_t row, int64_t column, int16_t *restrict out) {
  int32_t q[32];
  if (!noise->on) {
    for (int i = 0; i < 32; i++) q[i] = bits_of(x[i] * inverse[i] + ROUND_MAGIC) - ROUND_MAGIC_BITS;
  } else {
    uint32_t counter = (uint32_t)(row * noise->stride + column / 2);
    float u[32];
    for (int i = 0; i < 16; i++) {
      uint32_t h = mix32((counter + (uint32_t)i) ^ noise->key);
      u[i] = (float)(int32_t)(h & 0xffffu) * 0x1p-16f;
      u[i + 16] = (float)(int32_t)(h >> 16) * 0x1p-16f;
    }
    for (int i = 0; i < 32; i++) {
      float y = x[i] * inverse[i] + u[i];
      float shifted = y + ROUND_MAGIC;
      q[i] = bits_of(shifted) - ROUND_MAGIC_BITS - ((shifted - ROUND_MAGIC) > y ? 1 : 0);
    }
  }
  for (int i = 0; i < 32; i++) {
    int32_t v = q[i] > 127 ? 127 : q[i];
    out[i] = (int16_t)(v < -127 ? -127 : v);
  }
}

INLINE packed bias(int16_t q, int offset) { return (packed)(offset ? q + 128 : q); }

// Lines are rows of src[rows][depth]; the scale is per row. `offset` stores q + 128, for u8 x s8 products.
static void pack_rows(Context *ctx, const float *src, int64_t rows, int64_t depth, int width, int offset, Noise noise, Packed to) {
  int64_t groups = groups_of(depth), lo, hi;
  share(ctx, (rows + 63) / 64 * 64, width, &lo, &hi);
  for (int64_t line = lo; line < hi; line++) {
    packed *panel = to.values + line / width * (groups * width * DEPTH) + line % width * DEPTH;
    float inverse[32], scale = 0.0f, reciprocal = 0.0f;
    int32_t sum = 0;
    if (line < rows) scale_of(ctx, amax_bits(src + line * depth, depth), &scale, &reciprocal);
    for (int i = 0; i < 32; i++) inverse[i] = reciprocal;
    for (int64_t c = 0; c < groups * DEPTH; c += 32) {
      int64_t n = line >= rows ? 0 : depth - c < 32 ? depth - c : 32;
      int16_t q[32] = {0};
      if (n == 32) {
        quantize32(src + line * depth + c, inverse, &noise, line, c, q);
      } else if (n > 0) {
        float part[32] = {0};
        __builtin_memcpy(part, src + line * depth + c, n * 4);
        quantize32(part, inverse, &noise, line, c, q);
        for (int64_t i = n; i < 32; i++) q[i] = 0;
      }
      for (int i = 0; i < 32; i++) sum += q[i];
      int64_t end = groups * DEPTH - c < 32 ? groups * DEPTH - c : 32;
      packed *put = panel + c * width;
      for (int64_t i = 0; i < end; i += DEPTH, put += width * DEPTH)
        for (int d = 0; d < DEPTH; d++) put[d] = bias(q[i + d], offset);
    }
    to.scales[line] = scale;
    to.sums[line] = sum;
  }
}

// Lines are columns of src[depth][columns]; the scale is per column.
static void pack_columns(Context *ctx, const float *src, int64_t depth, int64_t columns, int width, int offset, Noise noise, Packed to) {
  int64_t groups = groups_of(depth), lo, hi;
  share(ctx, columns, COLUMN_BLOCK, &lo, &hi);
  for (int64_t c0 = lo; c0 < hi; c0 += COLUMN_BLOCK) {
    int64_t n = columns - c0 < COLUMN_BLOCK ? columns - c0 : COLUMN_BLOCK;
    int32_t most[COLUMN_BLOCK] = {0}, sum[COLUMN_BLOCK] = {0};
    float inverse[COLUMN_BLOCK];
    for (int64_t r = 0; r < depth; r++) {
      const i32_alias *b = (const i32_alias *)(src + r * columns + c0);
      if (n == COLUMN_BLOCK)
        for (int i = 0; i < COLUMN_BLOCK; i++) {
          int32_t a = b[i] & 0x7fffffff;
          most[i] = a > most[i] ? a : most[i];
        }
      else
        for (int i = 0; i < n; i++) {
          int32_t a = b[i] & 0x7fffffff;
          most[i] = a > most[i] ? a : most[i];
        }
    }
    for (int i = 0; i < COLUMN_BLOCK; i++) scale_of(ctx, most[i], &to.scales[c0 + i], &inverse[i]);
    for (int64_t g = 0; g < groups; g++) {
      int16_t q[DEPTH][COLUMN_BLOCK];
      for (int d = 0; d < DEPTH; d++) {
        int64_t r = g * DEPTH + d;
        const float *from = src + r * columns + c0;
        float part[COLUMN_BLOCK] = {0};
        if (r >= depth) {
          for (int i = 0; i < COLUMN_BLOCK; i++) q[d][i] = 0;
          continue;
        }
        if (n != COLUMN_BLOCK) {
          __builtin_memcpy(part, from, n * 4);
          from = part;
        }
        quantize32(from, inverse, &noise, r, c0, q[d]);
        quantize32(from + 32, inverse + 32, &noise, r, c0 + 32, q[d] + 32);
        for (int64_t i = n; i < COLUMN_BLOCK; i++) q[d][i] = 0;
      }
      for (int i = 0; i < COLUMN_BLOCK; i++)
        for (int d = 0; d < DEPTH; d++) sum[i] += q[d][i];
      for (int p = 0; p < COLUMN_BLOCK / width; p++) {
        packed *put = to.values + (c0 / width + p) * (groups * width * DEPTH) + g * width * DEPTH;
        for (int i = 0; i < width; i++)
          for (int d = 0; d < DEPTH; d++) put[i * DEPTH + d] = bias(q[d][p * width + i], offset);
      }
    }
    for (int i = 0; i < COLUMN_BLOCK; i++) to.sums[c0 + i] = sum[i];
  }
}
