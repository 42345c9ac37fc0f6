// Owns the int8 matrix product of packed panels and the three linear instructions. Sums are exact in i32 (mod 2^32), so
// their order is free; threads split output panels.

#if defined(VNNI512)
#include <immintrin.h>
#define VECTORS 2
typedef __m512i vec_i;
INLINE vec_i vzero(void) { return _mm512_setzero_si512(); }
INLINE vec_i vload(const packed_right *p) { return _mm512_loadu_si512(p); }
INLINE vec_i vpair(const packed *p) { return _mm512_set1_epi32(*(const i32_alias *)p); }
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) { return _mm512_dpbusd_epi32(acc, a, b); }
INLINE void vstore(int32_t *p, vec_i v) { _mm512_storeu_si512(p, v); }
#elif defined(__AVX2__)
#include <immintrin.h>
#define VECTORS 2
typedef __m256i vec_i;
INLINE vec_i vzero(void) { return _mm256_setzero_si256(); }
INLINE vec_i vpair(const packed *p) { return _mm256_set1_epi32(*(const i32_alias *)p); }
#if defined(VNNI256)
INLINE vec_i vload(const packed_right *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) { return _mm256_dpbusd_avx_epi32(acc, a, b); }
#else
INLINE vec_i vload(const packed_right *p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)); }
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }
#endif
INLINE void vstore(int32_t *p, vec_i v) { _mm256_storeu_si256((__m256i *)p, v); }
#elif defined(__SSE2__)
#include <immintrin.h>
#define VECTORS 2
typedef __m128i vec_i;
INLINE vec_i vzero(void) { return _mm_setzero_si128(); }
INLINE vec_i vload(const packed_right *p) {
  __m128i bytes = _mm_loadl_epi64((const __m128i *)p);
  return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
}
INLINE vec_i vpair(const packed *p) { return _mm_set1_epi32(*(const i32_alias *)p); }
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) { return _mm_add_epi32(acc, _mm_madd_epi16(a, b)); }
INLINE void vstore(int32_t *p, vec_i v) { _mm_storeu_si128((__m128i *)p, v); }
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define VECTORS 2
typedef v128_t vec_i;
INLINE vec_i vzero(void) { return wasm_i32x4_splat(0); }
INLINE vec_i vpair(const packed *p) { return wasm_v128_load32_splat(p); }
#if defined(RELAXED128)
INLINE vec_i vload(const packed_right *p) { return wasm_v128_load(p); }
#else
INLINE vec_i vload(const packed_right *p) { return wasm_i16x8_load8x8(p); }
#endif
#if defined(RELAXED_TWIN)
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) {
  vec_i low = wasm_i32x4_dot_i16x8(wasm_u16x8_extend_low_u8x16(a), wasm_i16x8_extend_low_i8x16(b));
  vec_i high = wasm_i32x4_dot_i16x8(wasm_u16x8_extend_high_u8x16(a), wasm_i16x8_extend_high_i8x16(b));
  vec_i pairs = wasm_i32x4_add(wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), wasm_i32x4_shuffle(low, high, 1, 3, 5, 7));
  return wasm_i32x4_add(acc, pairs);
}
#elif defined(RELAXED128)
// The signed operand comes first; the second is promised 7 bits only, so an unsigned byte there needs the probe.
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) { return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(b, a, acc); }
#else
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) { return wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(a, b)); }
#endif
INLINE void vstore(int32_t *p, vec_i v) { wasm_v128_store(p, v); }
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#define VECTORS 2
typedef int32x4_t vec_i;
INLINE vec_i vzero(void) { return vdupq_n_s32(0); }
INLINE vec_i vload(const packed_right *p) { return vreinterpretq_s32_s8(vld1q_s8(p)); }
INLINE vec_i vpair(const packed *p) { return vld1q_dup_s32((const int32_t *)p); }
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) { return vdotq_s32(acc, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)); }
INLINE void vstore(int32_t *p, vec_i v) { vst1q_s32(p, v); }
#else
// Any other processor: eight lines in plain vectors.
#define VECTORS 1
typedef int32_t vec_i __attribute__((vector_size(32)));
INLINE vec_i vzero(void) { return (vec_i){0}; }
typedef int8_t bytes_16 __attribute__((vector_size(16)));
typedef int16_t halves_16 __attribute__((vector_size(32)));
INLINE vec_i vload(const packed_right *p) { bytes_16 v; __builtin_memcpy(&v, p, 16); return (vec_i)__builtin_convertvector(v, halves_16); }
INLINE vec_i vpair(const packed *p) { int32_t x; __builtin_memcpy(&x, p, 4); return (vec_i){0} + x; }
INLINE vec_i vdot(vec_i acc, vec_i a, vec_i b) {
  return acc + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
}
INLINE void vstore(int32_t *p, vec_i v) { __builtin_memcpy(p, &v, 32); }
#endif

#if defined(AMX_TILES)
// Four tiles of sums, two of the left and two of the right operand, all of 16 rows of 64 bytes.
static void tiles_begin(void) {
  struct { uint8_t palette, row, reserved[14]; uint16_t row_bytes[16]; uint8_t rows[16]; } shape __attribute__((aligned(64))) = {1};
  for (int t = 0; t < 8; t++) {
    shape.row_bytes[t] = 64;
    shape.rows[t] = 16;
  }
  _tile_loadconfig(&shape);
}
static void tiles_end(void) { _tile_release(); }

// acc[PANEL_A][PANEL_B] of one panel pair. A word of a right panel holds four values of a line, as tiles want it.
static void product_tile(const packed *restrict a, const packed_right *restrict b, int64_t groups, int32_t *restrict acc) {
  const int64_t row = PANEL_B * DEPTH, half = 16 * TILE_DEPTH;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t g = 0; g < groups; g += TILE_DEPTH / DEPTH, a += PANEL_A * TILE_DEPTH, b += PANEL_B * TILE_DEPTH) {
    _tile_loadd(6, b, row);
    _tile_loadd(7, b + row / 2, row);
    _tile_loadd(4, a, TILE_DEPTH);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_loadd(5, a + half, TILE_DEPTH);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_stored(0, acc, PANEL_B * 4);
  _tile_stored(1, acc + 16, PANEL_B * 4);
  _tile_stored(2, acc + 16 * PANEL_B, PANEL_B * 4);
  _tile_stored(3, acc + 16 * PANEL_B + 16, PANEL_B * 4);
}

// Its first lines alone: what decoding one token needs.
static void thin_tile(const packed *restrict a, const packed_right *restrict b, int64_t groups, int32_t *restrict acc) {
  const int64_t row = PANEL_B * DEPTH;
  _tile_zero(0);
  _tile_zero(1);
  for (int64_t g = 0; g < groups; g += TILE_DEPTH / DEPTH, a += PANEL_A * TILE_DEPTH, b += PANEL_B * TILE_DEPTH) {
    _tile_loadd(6, b, row);
    _tile_loadd(7, b + row / 2, row);
    _tile_loadd(4, a, TILE_DEPTH);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
  }
  _tile_stored(0, acc, PANEL_B * 4);
  _tile_stored(1, acc + 16, PANEL_B * 4);
}
#else
static void tiles_begin(void) {}
static void tiles_end(void) {}

// acc[PANEL_A][PANEL_B] of one panel pair.
INLINE void product_tile(const packed *restrict a, const packed_right *restrict b, int64_t groups, int32_t *restrict acc) {
  vec_i c[PANEL_A][VECTORS];
  for (int i = 0; i < PANEL_A; i++)
    for (int v = 0; v < VECTORS; v++) c[i][v] = vzero();
  for (int64_t g = 0; g < groups; g++) {
    vec_i right[VECTORS];
    for (int v = 0; v < VECTORS; v++) right[v] = vload(b + v * (PANEL_B / VECTORS) * DEPTH);
#pragma GCC unroll 8
    for (int i = 0; i < PANEL_A; i++) {
      vec_i left = vpair(a + i * DEPTH);
      for (int v = 0; v < VECTORS; v++) c[i][v] = vdot(c[i][v], left, right[v]);
    }
    a += PANEL_A * DEPTH;
    b += PANEL_B * DEPTH;
  }
  for (int i = 0; i < PANEL_A; i++)
    for (int v = 0; v < VECTORS; v++) vstore(acc + i * PANEL_B + v * (PANEL_B / VECTORS), c[i][v]);
}

INLINE vec_i vsum(vec_i a, vec_i b) {
#if defined(VNNI512)
  return _mm512_add_epi32(a, b);
#elif defined(__AVX2__)
  return _mm256_add_epi32(a, b);
#elif defined(__SSE2__)
  return _mm_add_epi32(a, b);
#elif defined(__wasm_simd128__)
  return wasm_i32x4_add(a, b);
#else
  return a + b;
#endif
}

// The first line of a panel pair alone: what decoding one token needs. Two chains of sums hide the latency.
INLINE void thin_tile(const packed *restrict a, const packed_right *restrict b, int64_t groups, int32_t *restrict acc) {
  vec_i c[2][VECTORS];
  for (int v = 0; v < VECTORS; v++) c[0][v] = c[1][v] = vzero();
  int64_t g = 0;
  for (; g + 2 <= groups; g += 2)
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
      vec_i left = vpair(a);
      for (int v = 0; v < VECTORS; v++) c[i][v] = vdot(c[i][v], left, vload(b + v * (PANEL_B / VECTORS) * DEPTH));
      a += PANEL_A * DEPTH;
      b += PANEL_B * DEPTH;
    }
  if (g < groups)
    for (int v = 0; v < VECTORS; v++) c[0][v] = vdot(c[0][v], vpair(a), vload(b + v * (PANEL_B / VECTORS) * DEPTH));
  for (int v = 0; v < VECTORS; v++) vstore(acc + v * (PANEL_B / VECTORS), vsum(c[0][v], c[1][v]));
}

#endif

#if defined(VNNI512)
#define WHOLE_TILES
INLINE vec_i scaled(vec_i c, __m512 scale, float *to, vec_i worst) {
  __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(c), scale);
  _mm512_storeu_ps(to, y);
  return _mm512_max_epi32(worst, _mm512_and_si512(_mm512_castps_si512(y), _mm512_set1_epi32(0x7fffffff)));
}
INLINE int32_t greatest(vec_i v) { return _mm512_reduce_max_epi32(v); }
#endif

#if defined(AMX_TILES)
INLINE vec_i whole_tile(const packed *restrict a, const packed_right *restrict b, int64_t groups, const float *sa, const float *sb, const int32_t *sums, float *restrict out, int64_t columns, vec_i worst) {
  int32_t acc[PANEL_A * PANEL_B] __attribute__((aligned(64)));
  __m512 scale[2] = {_mm512_loadu_ps(sb), _mm512_loadu_ps(sb + 16)};
  (void)sums;
  product_tile(a, b, groups, acc);
  for (int i = 0; i < PANEL_A; i++)
    for (int v = 0; v < 2; v++) worst = scaled(_mm512_loadu_si512(acc + i * PANEL_B + 16 * v), _mm512_mul_ps(_mm512_set1_ps(sa[i]), scale[v]), out + i * columns + 16 * v, worst);
  return worst;
}
#elif defined(VNNI512)
// A whole tile straight from registers to `out`: sums begin at -128 times those of b, which takes the offset of a away.
INLINE vec_i whole_tile(const packed *restrict a, const packed_right *restrict b, int64_t groups, const float *sa, const float *sb, const int32_t *sums, float *restrict out, int64_t columns, vec_i worst) {
  __m512i c[PANEL_A][2];
  for (int v = 0; v < 2; v++) {
    __m512i start = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(sums + 16 * v), 7));
    for (int i = 0; i < PANEL_A; i++) c[i][v] = start;
  }
  for (int64_t g = 0; g < groups; g++, a += PANEL_A * DEPTH, b += PANEL_B * DEPTH) {
    __m512i right[2] = {vload(b), vload(b + PANEL_B / 2 * DEPTH)};
#pragma GCC unroll 8
    for (int i = 0; i < PANEL_A; i++) {
      __m512i left = vpair(a + i * DEPTH);
      c[i][0] = vdot(c[i][0], left, right[0]);
      c[i][1] = vdot(c[i][1], left, right[1]);
    }
  }
  __m512 scale[2] = {_mm512_loadu_ps(sb), _mm512_loadu_ps(sb + 16)};
#pragma GCC unroll 8
  for (int i = 0; i < PANEL_A; i++)
    for (int v = 0; v < 2; v++) worst = scaled(c[i][v], _mm512_mul_ps(_mm512_set1_ps(sa[i]), scale[v]), out + i * columns + 16 * v, worst);
  return worst;
}
#elif defined(__AVX2__)
#define WHOLE_TILES
INLINE vec_i scaled(vec_i c, __m256 scale, float *to, vec_i worst) {
  __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(c), scale);
  _mm256_storeu_ps(to, y);
  return _mm256_max_epi32(worst, _mm256_and_si256(_mm256_castps_si256(y), _mm256_set1_epi32(0x7fffffff)));
}

// The same with 256 bits. Every sum has a name, and a line without VNNI is one piece of assembly: left to itself, gcc reads
// the right operand once for every line and copies sums between registers, which made this slower than sums in memory.
static __attribute__((noinline)) vec_i whole_tile(const packed *restrict a, const packed_right *restrict b, int64_t groups, const float *sa, const float *sb, const int32_t *sums, float *restrict out, int64_t columns, vec_i worst) {
  vec_i start0 = vzero(), start1 = vzero();
#if UNSIGNED_A
  start0 = _mm256_sub_epi32(start0, _mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)sums), 7));
  start1 = _mm256_sub_epi32(start1, _mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(sums + 8)), 7));
#endif
  vec_i c00 = start0, c01 = start1, c10 = start0, c11 = start1, c20 = start0, c21 = start1, c30 = start0, c31 = start1;
#if defined(VNNI256)
#define LINE(i, c0, c1) { vec_i left = vpair(a + i * DEPTH); c0 = vdot(c0, left, right0); c1 = vdot(c1, left, right1); }
#else
#define LINE(i, c0, c1) { \
    vec_i left, product; \
    __asm__("vpbroadcastd %4, %2\n\tvpmaddwd %5, %2, %3\n\tvpmaddwd %6, %2, %2\n\tvpaddd %3, %0, %0\n\tvpaddd %2, %1, %1" \
            : "+x"(c0), "+x"(c1), "=&x"(left), "=&x"(product) : "m"(*(const i32_alias *)(a + i * DEPTH)), "x"(right0), "x"(right1)); \
  }
#endif
  for (int64_t g = 0; g < groups; g++, a += PANEL_A * DEPTH, b += PANEL_B * DEPTH) {
    vec_i right0 = vload(b), right1 = vload(b + PANEL_B / 2 * DEPTH);
    LINE(0, c00, c01) LINE(1, c10, c11) LINE(2, c20, c21) LINE(3, c30, c31)
  }
#undef LINE
  __m256 scale0 = _mm256_loadu_ps(sb), scale1 = _mm256_loadu_ps(sb + 8);
#define LINE(i, c0, c1) { \
    __m256 own = _mm256_set1_ps(sa[i]); \
    worst = scaled(c0, _mm256_mul_ps(own, scale0), out + i * columns, worst); \
    worst = scaled(c1, _mm256_mul_ps(own, scale1), out + i * columns + 8, worst); \
  }
  LINE(0, c00, c01) LINE(1, c10, c11) LINE(2, c20, c21) LINE(3, c30, c31)
#undef LINE
  return worst;
}
INLINE int32_t greatest(vec_i v) {
  int32_t lane[8], most = 0;
  vstore(lane, v);
  for (int i = 0; i < 8; i++) most = lane[i] > most ? lane[i] : most;
  return most;
}
#endif

typedef struct {
  int64_t a_lo, a_hi, b_lo, b_hi;
} Split;

// A thread's panels of a product: by rows where that is about as even as by columns, for the thread then reads these rows
// again in what follows.
INLINE Split split_panels(const Context *ctx, int64_t rows, int64_t columns, const int64_t panel_a) {
  int64_t a_panels = (rows + panel_a - 1) / panel_a, b_panels = (columns + PANEL_B - 1) / PANEL_B, count = ctx->count;
  Split s = {0, a_panels, 0, b_panels};
  int64_t by_rows = (a_panels + count - 1) / count * b_panels, by_columns = (b_panels + count - 1) / count * a_panels;
  if (by_rows <= by_columns + by_columns / 8) share(ctx, a_panels, 1, &s.a_lo, &s.a_hi);
  else share(ctx, b_panels, 1, &s.b_lo, &s.b_hi);
  return s;
}

// [M1] out[rows][columns] = f32(sum) * (scaleA * scaleB).
static void product(Context *ctx, Packed a, Packed b, int64_t rows, int64_t depth, int64_t columns, float *out) {
  int64_t groups = groups_of(depth);
  Split s = split_panels(ctx, rows, columns, PANEL_A);
  int64_t block = (256 << 10) / (groups * PANEL_A * DEPTH * (int64_t)sizeof(packed));
  if (block < 4) block = 4;
  int32_t worst = 0;
#if defined(WHOLE_TILES)
  vec_i widest = vzero();
#endif
  tiles_begin();
  for (int64_t i0 = s.a_lo; i0 < s.a_hi; i0 += block)
    for (int64_t j = s.b_lo; j < s.b_hi; j++)
      for (int64_t i = i0; i < s.a_hi && i < i0 + block; i++) {
        const packed *left_panel = a.values + i * groups * PANEL_A * DEPTH;
        const packed_right *right_panel = (const packed_right *)b.values + j * groups * PANEL_B * DEPTH;
#if defined(WHOLE_TILES)
        if (columns >= (j + 1) * PANEL_B && rows >= (i + 1) * PANEL_A) {
          widest = whole_tile(left_panel, right_panel, groups, a.scales + i * PANEL_A, b.scales + j * PANEL_B, b.sums + j * PANEL_B, out + i * PANEL_A * columns + j * PANEL_B, columns, widest);
          continue;
        }
#endif
        int32_t acc[PANEL_A * PANEL_B] __attribute__((aligned(64)));
        int64_t left = columns - j * PANEL_B, height = rows - i * PANEL_A;
        if (height == 1) thin_tile(left_panel, right_panel, groups, acc);
        else product_tile(left_panel, right_panel, groups, acc);
        for (int r = 0; r < PANEL_A && r < height; r++) {
          float y[PANEL_B], sa = a.scales[i * PANEL_A + r];
          for (int c = 0; c < PANEL_B; c++) {
            int32_t sum = acc[r * PANEL_B + c];
#if UNSIGNED_A
            sum = (int32_t)((uint32_t)sum - 128u * (uint32_t)b.sums[j * PANEL_B + c]);
#endif
            y[c] = (float)sum * (sa * b.scales[j * PANEL_B + c]);
          }
          float *to = out + (i * PANEL_A + r) * columns + j * PANEL_B;
          if (left >= PANEL_B) {
            for (int c = 0; c < PANEL_B; c++) {
              int32_t size = bits_of(y[c]) & 0x7fffffff;
              worst = size > worst ? size : worst;
            }
            __builtin_memcpy(to, y, sizeof y);
          } else {
            for (int c = 0; c < left; c++) to[c] = y[c];
            check_finite(ctx, to, left);
          }
        }
      }
  tiles_end();
#if defined(WHOLE_TILES)
  worst = worst > greatest(widest) ? worst : greatest(widest);
#endif
  if (worst >= 0x7f800000) fail(ctx, REASON_NON_FINITE);
}

// w: x, w, y, T, K, N, A region, B region, A is packed already, B is packed already
static void k_linear(Context *ctx, const int32_t *w) {
  int64_t T = w[3], K = w[4], N = w[5];
  Packed a = packed_at(ctx, w[6], T, K), b = packed_at(ctx, w[7], N, K);
  if (!w[8]) pack_rows(ctx, at(ctx, w[0]), T, K, 0, NEAREST, a);
  if (!w[9]) pack_columns(ctx, at(ctx, w[1]), K, N, 1, NEAREST, b);
  barrier(ctx);
  product(ctx, a, b, T, K, N, at(ctx, w[2]));
}

// w: dy, w, seed, dx, T, K, N, tensorId, A region, B region
static void k_linear_grad_x(Context *ctx, const int32_t *w) {
  int64_t T = w[4], K = w[5], N = w[6];
  Packed a = packed_at(ctx, w[8], T, N), b = packed_at(ctx, w[9], K, N);
  pack_rows(ctx, at(ctx, w[0]), T, N, 0, noise_of(at(ctx, w[2]), w[7], 1, N), a);
  pack_rows(ctx, at(ctx, w[1]), K, N, 1, NEAREST, b);
  barrier(ctx);
  product(ctx, a, b, T, N, K, at(ctx, w[3]));
}

// w: x, dy, seed, dw, T, K, N, tensorId, A region, B region, A is packed already
static void k_linear_grad_w(Context *ctx, const int32_t *w) {
  int64_t T = w[4], K = w[5], N = w[6];
  Packed a = packed_at(ctx, w[8], K, T), b = packed_at(ctx, w[9], N, T);
  Noise noise = noise_of(at(ctx, w[2]), w[7], 2, N);
  if (ctx->count == 1) {
    if (!w[10]) pack_columns(ctx, at(ctx, w[0]), T, K, 0, NEAREST, a);
    pack_columns(ctx, at(ctx, w[1]), T, N, 1, noise, b);
  } else {
    ByRows left = by_rows(ctx, at(ctx, w[0]), T, K, a), right = by_rows(ctx, at(ctx, w[1]), T, N, b);
    if (!w[10]) clear_columns(ctx, left);
    clear_columns(ctx, right);
    barrier(ctx);
    if (!w[10]) amax_columns(left);
    amax_columns(right);
    barrier(ctx);
    if (!w[10]) pack_by_rows(ctx, left, 0, NEAREST);
    pack_by_rows(ctx, right, 1, noise);
  }
  barrier(ctx);
  product(ctx, a, b, K, T, N, at(ctx, w[3]));
}
