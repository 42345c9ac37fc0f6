// Owns turning f32 operands into packed int8 panels: scales, rounding to nearest, stochastic rounding.
// A panel holds `width` lines; along the contraction come groups of DEPTH values: [group][line][DEPTH], zero-padded.
// Packed order differs by target and is no part of the arithmetic.

#if defined(AMX_TILES)
// Left panels hold tiles: [64 values of depth][line][64], signed, since tiles multiply signed bytes.
#include <immintrin.h>
typedef int8_t packed;
#define UNSIGNED_A 0
#define DEPTH 4
#define PANEL_A 32
#define PANEL_B 32
#define TILE_DEPTH 64
#elif defined(VNNI512)
#include <immintrin.h>
typedef int8_t packed;
#define UNSIGNED_A 1
#define DEPTH 4
#define PANEL_A 8
#define PANEL_B 32
#elif defined(VNNI256)
typedef int8_t packed;
#define UNSIGNED_A 1
#define DEPTH 4
#define PANEL_A 4
#define PANEL_B 16
#elif defined(RELAXED128)
typedef int8_t packed;
#define UNSIGNED_A 1
#define DEPTH 4
#define PANEL_A 4
#define PANEL_B 8
#elif defined(__ARM_FEATURE_DOTPROD)
typedef int8_t packed;
#define UNSIGNED_A 0
#define DEPTH 4
#define PANEL_A 8
#define PANEL_B 8
#elif defined(__AVX2__)
typedef int16_t packed;
#define UNSIGNED_A 0
#define DEPTH 2
#define PANEL_A 4
#define PANEL_B 16
#else
typedef int16_t packed;
#define UNSIGNED_A 0
#define DEPTH 2
#define PANEL_A 4
#define PANEL_B 8
#endif

// Right operands are bytes on every target: what is read most is half as long where products take 16-bit values, which are
// then made as they are loaded. NARROW says that a left operand is not.
#define NARROW (DEPTH == 2)
typedef int8_t packed_right;

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

#if !defined(TILE_DEPTH)
#define TILE_DEPTH DEPTH
#endif
// Groups along the contraction; tiles need whole ones.
INLINE int64_t groups_of(int64_t depth) { return (depth + TILE_DEPTH - 1) / TILE_DEPTH * (TILE_DEPTH / DEPTH); }

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

#define NEAREST ((Noise){0, 0, 0})

// [Q1] Scale amax / 127 and its reciprocal; both 0 below 2^-100.
INLINE void scale_of(Context *ctx, int32_t most, float *scale, float *inverse) {
  if (most >= 0x7f800000) fail(ctx, REASON_NON_FINITE);
  int live = most >= 0x0d800000 && most < 0x7f800000;
  float amax = live ? float_of(most) : 1.0f;
  *scale = live ? amax / 127.0f : 0.0f;
  *inverse = live ? 127.0f / amax : 0.0f;
}

// [Q2] [Q3] 32 values of row `row` from column `column` (a multiple of 32), each with its own reciprocal scale.
INLINE void quantize32(const float *restrict x, const float *restrict inverse, const Noise *noise, int64_t row, int64_t column, int32_t *restrict q) {
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
    q[i] = v < -127 ? -127 : v;
  }
}

// One group of a line as a word, its first value lowest. The offset turns q into q + 128 in every byte.
#define OFFSET_WORD 0x80808080u
#if DEPTH == 4
INLINE uint32_t word_of(int32_t a, int32_t b, int32_t c, int32_t d) {
  return ((uint32_t)a & 255) | ((uint32_t)b & 255) << 8 | ((uint32_t)c & 255) << 16 | (uint32_t)d << 24;
}
#else
INLINE uint32_t word_of(int32_t a, int32_t b) { return ((uint32_t)a & 0xffff) | (uint32_t)b << 16; }
INLINE uint16_t narrow_of(int32_t a, int32_t b) { return (uint16_t)((a & 255) | b << 8); }
#endif

#define ROW_LINES 8
#define LINE_WORDS (32 / DEPTH)

// Lines are rows of src[rows][depth]; the scale is per row. `offset` stores q + 128, for u8 x s8 products. ROW_LINES lines
// go together, 32 values of each, so that whole runs of a panel are written at once.
INLINE void pack_rows_of(Context *ctx, const float *src, int64_t rows, int64_t depth, const int right, const int width, const int offset, Noise noise, Packed to) {
  const int block = width < ROW_LINES ? width : ROW_LINES, cell = right && NARROW ? 2 : 4;
  int64_t groups = groups_of(depth), lo, hi;
  share(ctx, (rows + width - 1) / width * width, width, &lo, &hi);
  for (int64_t line = lo; line < hi; line += block) {
    char *panel = (char *)to.values + (line / width * groups * width + line % width) * cell;
    float inverse[ROW_LINES][32];
    int32_t sum[ROW_LINES] = {0};
    for (int l = 0; l < block; l++) {
      float scale = 0.0f, reciprocal = 0.0f;
      if (line + l < rows) scale_of(ctx, amax_bits(src + (line + l) * depth, depth), &scale, &reciprocal);
      for (int i = 0; i < 32; i++) inverse[l][i] = reciprocal;
      to.scales[line + l] = scale;
    }
    for (int64_t c = 0; c < groups * DEPTH; c += 32) {
      uint32_t words[ROW_LINES][LINE_WORDS];
      int64_t n = depth - c < 32 ? depth - c : 32;
      for (int l = 0; l < block; l++) {
        const float *next = src + (line + block + l) * depth + c;
        int32_t q[32];
        fetch(next);
        fetch(next + 16);
        if (line + l >= rows) {
          for (int i = 0; i < 32; i++) q[i] = 0;
        } else if (n == 32) {
          quantize32(src + (line + l) * depth + c, inverse[l], &noise, line + l, c, q);
        } else {
          float part[32] = {0};
          __builtin_memcpy(part, src + (line + l) * depth + c, n * 4);
          quantize32(part, inverse[l], &noise, line + l, c, q);
          for (int64_t i = n; i < 32; i++) q[i] = 0;
        }
#if UNSIGNED_A
        int32_t total = 0;
        for (int i = 0; i < 32; i++) total += q[i];
        sum[l] += total;
#endif
        for (int i = 0; i < LINE_WORDS; i++)
#if DEPTH == 4
          words[l][i] = word_of(q[4 * i], q[4 * i + 1], q[4 * i + 2], q[4 * i + 3]) ^ (offset ? OFFSET_WORD : 0);
#else
          words[l][i] = right ? narrow_of(q[2 * i], q[2 * i + 1]) : word_of(q[2 * i], q[2 * i + 1]);
#endif
      }
      int64_t end = groups - c / DEPTH < LINE_WORDS ? groups - c / DEPTH : LINE_WORDS;
      char *put = panel + c / DEPTH * width * cell;
      for (int64_t i = 0; i < end; i++, put += width * cell)
        for (int l = 0; l < block; l++)
          if (cell == 2) ((u16_alias *)put)[l] = (uint16_t)words[l][i];
          else ((u32_alias *)put)[l] = words[l][i];
    }
    for (int l = 0; l < block; l++) to.sums[line + l] = sum[l];
  }
}

// What a thread packs of lines that are columns of src[depth][columns]: rows from..to-1 (from a multiple of DEPTH) of every
// group of COLUMN_BLOCK lines in lo..hi-1.
typedef struct {
  const float *src;
  int64_t depth, columns, from, to, lo, hi;
} Columns;

// End of the groups these rows fill: the last rows fill the padding too.
INLINE int64_t group_end(const Columns *c) { return c->to == c->depth ? groups_of(c->depth) : c->to / DEPTH; }

// Greatest sizes of COLUMN_BLOCK columns from c0, as bits.
INLINE void amax_columns_of(const Columns *c, int64_t c0, int32_t *restrict most) {
  int64_t n = c->columns - c0 < COLUMN_BLOCK ? c->columns - c0 : COLUMN_BLOCK;
  for (int i = 0; i < COLUMN_BLOCK; i++) most[i] = 0;
  for (int64_t r = c->from; r < c->to; r++) {
    const i32_alias *b = (const i32_alias *)(c->src + r * c->columns + c0);
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
}

// Quantizes COLUMN_BLOCK columns from c0 with a reciprocal scale each; `sum` gets the sums of the values
// where left operands are unsigned, else zeros.
INLINE void quantize_columns_of(const Columns *c, int64_t c0, const int right, const int width, const int offset, Noise noise, const float *restrict inverse, Packed to, int32_t *restrict sum) {
  const int cell = right && NARROW ? 2 : 4;
  int64_t groups = groups_of(c->depth), n = c->columns - c0 < COLUMN_BLOCK ? c->columns - c0 : COLUMN_BLOCK;
  char *put = (char *)to.values + (c0 / width * groups * width + c->from / DEPTH * width) * cell;
  for (int i = 0; i < COLUMN_BLOCK; i++) sum[i] = 0;
  for (int64_t g = c->from / DEPTH; g < group_end(c); g++, put += width * cell) {
    int32_t q[DEPTH][COLUMN_BLOCK];
    uint32_t words[COLUMN_BLOCK];
    uint16_t narrow[COLUMN_BLOCK];
    for (int d = 0; d < DEPTH; d++) {
      int64_t r = g * DEPTH + d;
      const float *from = c->src + r * c->columns + c0;
      float part[COLUMN_BLOCK];
      if (r >= c->depth) {
        for (int i = 0; i < COLUMN_BLOCK; i++) q[d][i] = 0;
        continue;
      }
      if (n != COLUMN_BLOCK) {
        for (int64_t i = n; i < COLUMN_BLOCK; i++) part[i] = 0.0f;
        __builtin_memcpy(part, from, n * 4);
        from = part;
      }
      quantize32(from, inverse, &noise, r, c0, q[d]);
      quantize32(from + 32, inverse + 32, &noise, r, c0 + 32, q[d] + 32);
      for (int64_t i = n; i < COLUMN_BLOCK; i++) q[d][i] = 0;
#if UNSIGNED_A
      for (int i = 0; i < COLUMN_BLOCK; i++) sum[i] += q[d][i];
#endif
    }
    for (int i = 0; i < COLUMN_BLOCK; i++)
#if DEPTH == 4
      words[i] = word_of(q[0][i], q[1][i], q[2][i], q[3][i]) ^ (offset ? OFFSET_WORD : 0);
#else
      if (right) narrow[i] = narrow_of(q[0][i], q[1][i]);
      else words[i] = word_of(q[0][i], q[1][i]);
#endif
    const char *from = cell == 2 ? (const char *)narrow : (const char *)words;
    for (int p = 0; p < COLUMN_BLOCK / width; p++) __builtin_memcpy(put + p * groups * width * cell, from + p * width * cell, width * cell);
  }
}

#if defined(VNNI512)
#include "pack-avx512.c"
#define PACK_ROWS pack_rows512
#define AMAX_COLUMNS amax_columns512
#define QUANTIZE_COLUMNS quantize_columns512
#else
#define PACK_ROWS pack_rows_of
#define AMAX_COLUMNS amax_columns_of
#define QUANTIZE_COLUMNS quantize_columns_of
#endif

// Widths and rounding are constants inside each copy, so that its loops have fixed lengths.
static void pack_rows(Context *ctx, const float *src, int64_t rows, int64_t depth, int right, Noise noise, Packed to) {
#if defined(AMX_TILES)
  if (!right) {
    if (noise.on) pack_tiles512(ctx, src, rows, depth, noise, to);
    else pack_tiles512(ctx, src, rows, depth, NEAREST, to);
    return;
  }
#endif
  if (right) {
    if (noise.on) PACK_ROWS(ctx, src, rows, depth, 1, PANEL_B, 0, noise, to);
    else PACK_ROWS(ctx, src, rows, depth, 1, PANEL_B, 0, NEAREST, to);
  } else {
    if (noise.on) PACK_ROWS(ctx, src, rows, depth, 0, PANEL_A, UNSIGNED_A, noise, to);
    else PACK_ROWS(ctx, src, rows, depth, 0, PANEL_A, UNSIGNED_A, NEAREST, to);
  }
}

static void quantize_columns(const Columns *c, int64_t c0, int right, Noise noise, const float *inverse, Packed to, int32_t *sum) {
#if defined(AMX_TILES)
  if (!right) quantize_tiles512(c, c0, inverse, to);
#else
  if (!right) QUANTIZE_COLUMNS(c, c0, 0, PANEL_A, UNSIGNED_A, NEAREST, inverse, to, sum);
#endif
  else if (noise.on) QUANTIZE_COLUMNS(c, c0, 1, PANEL_B, 0, noise, inverse, to, sum);
  else QUANTIZE_COLUMNS(c, c0, 1, PANEL_B, 0, NEAREST, inverse, to, sum);
}

// Lines are columns; the scale is per column. Threads split columns, so each reads parts of every row: right for weights.
static void pack_columns(Context *ctx, const float *src, int64_t depth, int64_t columns, int right, Noise noise, Packed to) {
  Columns c = {src, depth, columns, 0, depth, 0, 0};
  share(ctx, columns, COLUMN_BLOCK, &c.lo, &c.hi);
  for (int64_t c0 = c.lo; c0 < c.hi; c0 += COLUMN_BLOCK) {
    int32_t most[COLUMN_BLOCK];
    float inverse[COLUMN_BLOCK];
    AMAX_COLUMNS(&c, c0, most);
    for (int i = 0; i < COLUMN_BLOCK; i++) scale_of(ctx, most[i], &to.scales[c0 + i], &inverse[i]);
    quantize_columns(&c, c0, right, noise, inverse, to, to.sums + c0);
  }
}

// The same with rows split among threads, in phases with a barrier between: clear, greatest sizes, values. A thread then
// reads only rows it wrote itself, and what cores exchange is a quarter or half as many bytes. Writing to a cache line that
// another core has read since is several times slower than to one it has not.
typedef struct {
  Columns part;
  Packed to;
  int32_t *most;
} ByRows;

// Where the greatest sizes stand while packing: the sums where nobody needs those, else behind the values, which fill half
// of their room.
INLINE ByRows by_rows(Context *ctx, const float *src, int64_t depth, int64_t columns, Packed to) {
  ByRows rows = {{src, depth, columns, 0, 0, 0, columns}, to, to.sums};
#if UNSIGNED_A
  rows.most = (int32_t *)(to.values + (columns + 63) / 64 * 64 * ((depth + 63) / 64 * 64));
#endif
  share(ctx, depth, 16, &rows.part.from, &rows.part.to);
  return rows;
}

static void clear_columns(Context *ctx, ByRows rows) {
  int64_t lo, hi;
  share(ctx, (rows.part.columns + 63) / 64 * 64, 64, &lo, &hi);
  for (int64_t i = lo; i < hi; i++) rows.most[i] = rows.to.sums[i] = 0;
}

static void amax_columns(ByRows rows) {
  if (rows.part.from == rows.part.to) return;
  for (int64_t c0 = 0; c0 < rows.part.columns; c0 += COLUMN_BLOCK) {
    int32_t most[COLUMN_BLOCK];
    AMAX_COLUMNS(&rows.part, c0, most);
    for (int i = 0; i < COLUMN_BLOCK; i++) {
      int32_t *place = rows.most + c0 + i, seen = __atomic_load_n(place, __ATOMIC_RELAXED);
      while (seen < most[i] && !__atomic_compare_exchange_n(place, &seen, most[i], 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      }
    }
  }
}

static void pack_by_rows(Context *ctx, ByRows rows, int right, Noise noise) {
  int64_t block = 0;
  for (int64_t c0 = 0; c0 < rows.part.columns; c0 += COLUMN_BLOCK, block++) {
    float inverse[COLUMN_BLOCK], scale[COLUMN_BLOCK];
    int32_t sum[COLUMN_BLOCK];
    for (int i = 0; i < COLUMN_BLOCK; i++) scale_of(ctx, rows.most[c0 + i], &scale[i], &inverse[i]);
    if (block % ctx->count == ctx->index) __builtin_memcpy(rows.to.scales + c0, scale, sizeof scale);
    if (rows.part.from == rows.part.to) continue;
    quantize_columns(&rows.part, c0, right, noise, inverse, rows.to, sum);
#if UNSIGNED_A
    if (right)
      for (int i = 0; i < COLUMN_BLOCK; i++) __atomic_fetch_add(rows.to.sums + c0 + i, sum[i], __ATOMIC_RELAXED);
#endif
  }
}
