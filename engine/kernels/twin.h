// Owns the twins: instructions this machine may lack, in terms of AVX2, so that the kernels written for them can be checked
// on it. Each does what Intel's manual says of it, no faster than need be. Only builds with TWIN (build-engine.mjs) use it.
#ifndef TWIN_H
#define TWIN_H

#include <immintrin.h>
#include <string.h>

#define TWIN_INLINE static inline __attribute__((always_inline))
#define LANES_OF(type) for (int i = 0; i < (int)(64 / sizeof(type)); i++)

typedef union {
  __m512i v;
  __m256i half[2];
  int32_t i[16];
  uint32_t u[16];
  int64_t q[8];
  int8_t b[64];
  uint8_t ub[64];
} Bits512;

typedef union {
  __m512 v;
  __m256 half[2];
  float f[16];
  int32_t i[16];
} Floats512;

TWIN_INLINE Bits512 bits512(__m512i v) { Bits512 x; x.v = v; return x; }
TWIN_INLINE Floats512 floats512(__m512 v) { Floats512 x; x.v = v; return x; }

// VPDPBUSD: four products of an unsigned and a signed byte to each 32-bit sum, without saturation.
TWIN_INLINE int32_t dot4(int32_t sum, const uint8_t *a, const int8_t *b) {
  for (int k = 0; k < 4; k++) sum = (int32_t)((uint32_t)sum + (uint32_t)(a[k] * b[k]));
  return sum;
}

TWIN_INLINE __m256i twin_dpbusd256(__m256i sum, __m256i a, __m256i b) {
  union { __m256i v; int32_t i[8]; uint8_t u[32]; int8_t s[32]; } x = {sum}, l = {a}, r = {b};
  for (int i = 0; i < 8; i++) x.i[i] = dot4(x.i[i], l.u + 4 * i, r.s + 4 * i);
  return x.v;
}

#define _mm256_dpbusd_avx_epi32 twin_dpbusd256

#define BY_LANE(name, result) \
  TWIN_INLINE __m512i twin_##name(__m512i a, __m512i b) { \
    Bits512 x = bits512(a), y = bits512(b), z; \
    LANES_OF(int32_t) z.u[i] = (uint32_t)(result); \
    return z.v; \
  }
BY_LANE(add, x.u[i] + y.u[i])
BY_LANE(sub, x.u[i] - y.u[i])
BY_LANE(mullo, x.u[i] * y.u[i])
BY_LANE(max, x.i[i] > y.i[i] ? x.i[i] : y.i[i])
BY_LANE(min, x.i[i] < y.i[i] ? x.i[i] : y.i[i])
BY_LANE(and, x.u[i] & y.u[i])
BY_LANE(xor, x.u[i] ^ y.u[i])
#undef BY_LANE
#define _mm512_add_epi32 twin_add
#define _mm512_sub_epi32 twin_sub
#define _mm512_mullo_epi32 twin_mullo
#define _mm512_max_epi32 twin_max
#define _mm512_min_epi32 twin_min
#define _mm512_and_si512 twin_and
#define _mm512_xor_si512 twin_xor

TWIN_INLINE __m512i twin_set1(int32_t value) { Bits512 z; LANES_OF(int32_t) z.i[i] = value; return z.v; }
TWIN_INLINE __m512i twin_set1_8(int8_t value) { Bits512 z; LANES_OF(int8_t) z.b[i] = value; return z.v; }
TWIN_INLINE __m512i twin_slli(__m512i a, int n) { Bits512 x = bits512(a); LANES_OF(int32_t) x.u[i] <<= n; return x.v; }
TWIN_INLINE __m512i twin_srli(__m512i a, int n) { Bits512 x = bits512(a); LANES_OF(int32_t) x.u[i] >>= n; return x.v; }
#define _mm512_set1_epi32 twin_set1
#define _mm512_set1_epi8 twin_set1_8
#define _mm512_setzero_si512() twin_set1(0)
#define _mm512_slli_epi32 twin_slli
#define _mm512_srli_epi32 twin_srli
// Lanes highest first.
TWIN_INLINE __m512i twin_from32(const int32_t *lanes) { Bits512 z; LANES_OF(int32_t) z.i[i] = lanes[15 - i]; return z.v; }
TWIN_INLINE __m512i twin_from64(const int64_t *lanes) { Bits512 z; LANES_OF(int64_t) z.q[i] = lanes[7 - i]; return z.v; }
#define _mm512_set_epi32(...) twin_from32((const int32_t[]){__VA_ARGS__})
#define _mm512_set_epi64(...) twin_from64((const int64_t[]){__VA_ARGS__})

TWIN_INLINE __m512i twin_load(const void *p) { Bits512 z; memcpy(&z, p, 64); return z.v; }
TWIN_INLINE void twin_store(void *p, __m512i v) { memcpy(p, &v, 64); }
TWIN_INLINE __m512 twin_load_ps(const void *p) { Floats512 z; memcpy(&z, p, 64); return z.v; }
TWIN_INLINE void twin_store_ps(void *p, __m512 v) { memcpy(p, &v, 64); }
// Lanes outside the mask are not read.
TWIN_INLINE __m512i twin_masked_load(__mmask16 mask, const void *p) {
  Bits512 z;
  LANES_OF(int32_t) {
    z.i[i] = 0;
    if (mask >> i & 1) memcpy(&z.i[i], (const char *)p + 4 * i, 4);
  }
  return z.v;
}
TWIN_INLINE __m512 twin_as_floats(__m512i v) { Floats512 z; memcpy(&z, &v, 64); return z.v; }
TWIN_INLINE __m512i twin_as_bits(__m512 v) { Bits512 z; memcpy(&z, &v, 64); return z.v; }
#define _mm512_loadu_si512 twin_load
#define _mm512_storeu_si512 twin_store
#define _mm512_loadu_ps twin_load_ps
#define _mm512_storeu_ps twin_store_ps
#define _mm512_maskz_loadu_epi32 twin_masked_load
#define _mm512_maskz_loadu_ps(mask, p) twin_as_floats(twin_masked_load(mask, p))
#define _mm512_castps_si512 twin_as_bits

TWIN_INLINE __m512 twin_set1_ps(float value) { Floats512 z; LANES_OF(float) z.f[i] = value; return z.v; }
TWIN_INLINE __m512 twin_add_ps(__m512 a, __m512 b) { Floats512 x = floats512(a), y = floats512(b); LANES_OF(float) x.f[i] = x.f[i] + y.f[i]; return x.v; }
TWIN_INLINE __m512 twin_mul_ps(__m512 a, __m512 b) { Floats512 x = floats512(a), y = floats512(b); LANES_OF(float) x.f[i] = x.f[i] * y.f[i]; return x.v; }
TWIN_INLINE __m512 twin_fma_ps(__m512 a, __m512 b, __m512 c) {
  Floats512 x = floats512(a), y = floats512(b), z = floats512(c);
  for (int h = 0; h < 2; h++) z.half[h] = _mm256_fmadd_ps(x.half[h], y.half[h], z.half[h]);
  return z.v;
}
TWIN_INLINE __m512 twin_to_floats(__m512i a) { Bits512 x = bits512(a); Floats512 z; LANES_OF(float) z.f[i] = (float)x.i[i]; return z.v; }
// Only the two modes in use: to nearest, and to negative infinity.
TWIN_INLINE __m512i twin_to_ints(__m512 a, int mode) {
  Floats512 x = floats512(a);
  Bits512 z;
  for (int h = 0; h < 2; h++) z.half[h] = _mm256_cvtps_epi32((mode & 3) == _MM_FROUND_TO_NEG_INF ? _mm256_floor_ps(x.half[h]) : x.half[h]);
  return z.v;
}
#define _mm512_set1_ps twin_set1_ps
#define _mm512_add_ps twin_add_ps
#define _mm512_mul_ps twin_mul_ps
#define _mm512_fmadd_ps twin_fma_ps
#define _mm512_cvtepi32_ps twin_to_floats
#define _mm512_cvt_roundps_epi32 twin_to_ints

TWIN_INLINE __m512i twin_dpbusd512(__m512i sum, __m512i a, __m512i b) {
  Bits512 x = bits512(sum), l = bits512(a), r = bits512(b);
  LANES_OF(int32_t) x.i[i] = dot4(x.i[i], l.ub + 4 * i, r.b + 4 * i);
  return x.v;
}
TWIN_INLINE int32_t twin_reduce_max(__m512i a) { Bits512 x = bits512(a); int32_t most = x.i[0]; LANES_OF(int32_t) most = x.i[i] > most ? x.i[i] : most; return most; }
TWIN_INLINE int32_t twin_reduce_add(__m512i a) { Bits512 x = bits512(a); uint32_t sum = 0; LANES_OF(int32_t) sum += x.u[i]; return (int32_t)sum; }
TWIN_INLINE __m128i twin_low_bytes(__m512i a) { Bits512 x = bits512(a); union { int8_t b[16]; __m128i v; } z; LANES_OF(int32_t) z.b[i] = (int8_t)x.i[i]; return z.v; }
TWIN_INLINE __m512i twin_four_times(__m128i a) { Bits512 z; for (int i = 0; i < 4; i++) memcpy(z.b + 16 * i, &a, 16); return z.v; }
TWIN_INLINE __m256i twin_half(__m512i a, int which) { return bits512(a).half[which]; }
TWIN_INLINE __mmask16 twin_less(__m512i a, __m512i b) { Bits512 x = bits512(a), y = bits512(b); unsigned mask = 0; LANES_OF(int32_t) mask |= (unsigned)(x.i[i] < y.i[i]) << i; return (__mmask16)mask; }
TWIN_INLINE __m512i twin_choose(__m512i no, __mmask16 mask, __m512i yes) { Bits512 x = bits512(no), y = bits512(yes); LANES_OF(int32_t) if (mask >> i & 1) x.i[i] = y.i[i]; return x.v; }
#define _mm512_dpbusd_epi32 twin_dpbusd512
#define _mm512_reduce_max_epi32 twin_reduce_max
#define _mm512_reduce_add_epi32 twin_reduce_add
#define _mm512_cvtepi32_epi8 twin_low_bytes
#define _mm512_broadcast_i32x4 twin_four_times
#define _mm512_castsi512_si256(v) twin_half(v, 0)
#define _mm512_extracti64x4_epi64 twin_half
#define _mm512_cmplt_epi32_mask twin_less
#define _mm512_mask_mov_epi32 twin_choose
#define _mm512_mask_and_epi32(no, mask, a, b) twin_choose(no, mask, twin_and(a, b))

TWIN_INLINE __m512i twin_permute32(__m512i a, __m512i index, __m512i b) {
  Bits512 x = bits512(a), y = bits512(b), n = bits512(index), z;
  LANES_OF(int32_t) z.i[i] = n.i[i] & 16 ? y.i[n.i[i] & 15] : x.i[n.i[i] & 15];
  return z.v;
}
TWIN_INLINE __m512i twin_permute64(__m512i a, __m512i index, __m512i b) {
  Bits512 x = bits512(a), y = bits512(b), n = bits512(index), z;
  LANES_OF(int64_t) z.q[i] = n.q[i] & 8 ? y.q[n.q[i] & 7] : x.q[n.q[i] & 7];
  return z.v;
}
// Of every 16 bytes: the low or high half of `a` and `b`, element by element in turn.
TWIN_INLINE __m512i twin_unpack32(__m512i a, __m512i b, int high) {
  Bits512 x = bits512(a), y = bits512(b), z;
  LANES_OF(int32_t) z.i[i] = (i & 1 ? y : x).i[i / 4 * 4 + 2 * high + i % 4 / 2];
  return z.v;
}
TWIN_INLINE __m512i twin_unpack64(__m512i a, __m512i b, int high) {
  Bits512 x = bits512(a), y = bits512(b), z;
  LANES_OF(int64_t) z.q[i] = (i & 1 ? y : x).q[i / 2 * 2 + high];
  return z.v;
}
#define _mm512_permutex2var_epi32 twin_permute32
#define _mm512_permutex2var_epi64 twin_permute64
#define _mm512_unpacklo_epi32(a, b) twin_unpack32(a, b, 0)
#define _mm512_unpackhi_epi32(a, b) twin_unpack32(a, b, 1)
#define _mm512_unpacklo_epi64(a, b) twin_unpack64(a, b, 0)
#define _mm512_unpackhi_epi64(a, b) twin_unpack64(a, b, 1)

// Tiles: up to 16 rows of up to 64 bytes, as the configuration of the thread says; what lies beyond is zero.
static __thread struct {
  uint8_t rows[8], row_bytes[8], value[8][16][64];
} twin_tiles;

static void twin_configure(const void *config) {
  const uint8_t *from = config;
  if (from[0] != 1) __builtin_trap();
  memset(&twin_tiles, 0, sizeof twin_tiles);
  for (int t = 0; t < 8; t++) {
    twin_tiles.row_bytes[t] = from[16 + 2 * t];
    twin_tiles.rows[t] = from[48 + t];
    if (from[17 + 2 * t] != 0 || twin_tiles.row_bytes[t] > 64 || twin_tiles.rows[t] > 16) __builtin_trap();
  }
}
static void twin_clear(int t) {
  if (twin_tiles.rows[t] == 0) __builtin_trap();
  memset(twin_tiles.value[t], 0, sizeof twin_tiles.value[t]);
}
static void twin_load_tile(int t, const void *base, int64_t stride) {
  twin_clear(t);
  for (int r = 0; r < twin_tiles.rows[t]; r++) memcpy(twin_tiles.value[t][r], (const char *)base + r * stride, twin_tiles.row_bytes[t]);
}
static void twin_store_tile(int t, void *base, int64_t stride) {
  for (int r = 0; r < twin_tiles.rows[t]; r++) memcpy((char *)base + r * stride, twin_tiles.value[t][r], twin_tiles.row_bytes[t]);
}
// TDPBSSD: sum[m][n] += the four signed products of a[m][4k..] and b[k][4n..], for every k.
static void twin_dot_tiles(int sum, int a, int b) {
  if (twin_tiles.rows[sum] != twin_tiles.rows[a] || twin_tiles.row_bytes[sum] != twin_tiles.row_bytes[b] || twin_tiles.row_bytes[a] / 4 != twin_tiles.rows[b]) __builtin_trap();
  for (int m = 0; m < twin_tiles.rows[sum]; m++)
    for (int k = 0; k < twin_tiles.rows[b]; k++)
      for (int n = 0; n < twin_tiles.row_bytes[sum] / 4; n++) {
        uint32_t total;
        memcpy(&total, twin_tiles.value[sum][m] + 4 * n, 4);
        for (int i = 0; i < 4; i++) total += (uint32_t)((int8_t)twin_tiles.value[a][m][4 * k + i] * (int8_t)twin_tiles.value[b][k][4 * n + i]);
        memcpy(twin_tiles.value[sum][m] + 4 * n, &total, 4);
      }
}
#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbssd
#define _tile_loadconfig twin_configure
#define _tile_release() memset(&twin_tiles, 0, sizeof twin_tiles)
#define _tile_zero twin_clear
#define _tile_loadd twin_load_tile
#define _tile_stored twin_store_tile
#define _tile_dpbssd twin_dot_tiles

#endif
