// Owns packing int8 panels with AVX-512: the same values as the plain packing of quantize.c, sixteen at a time.

typedef struct {
  __m512i key, step;
  uint32_t stride;
  int on;
} Noise512;

INLINE __m512i mix512(__m512i x) {
  x = _mm512_xor_si512(x, _mm512_srli_epi32(x, 16));
  x = _mm512_mullo_epi32(x, _mm512_set1_epi32(0x7feb352d));
  x = _mm512_xor_si512(x, _mm512_srli_epi32(x, 15));
  x = _mm512_mullo_epi32(x, _mm512_set1_epi32((int32_t)0x846ca68bu));
  return _mm512_xor_si512(x, _mm512_srli_epi32(x, 16));
}

INLINE Noise512 noise512_of(Noise noise) {
  Noise512 wide = {_mm512_set1_epi32((int32_t)noise.key), _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), (uint32_t)noise.stride, noise.on};
  return wide;
}

// [Q2] [Q3] 32 values of a row from column `column` (a multiple of 32) to two vectors of whole numbers in -127..127.
INLINE void quantize512(const __m512 x[2], const __m512 inverse[2], const Noise512 *noise, int64_t row, int64_t column, __m512i q[2]) {
  __m512 y[2] = {_mm512_mul_ps(x[0], inverse[0]), _mm512_mul_ps(x[1], inverse[1])};
  if (noise->on) {
    uint32_t counter = (uint32_t)row * noise->stride + (uint32_t)(column / 2);
    __m512i h = mix512(_mm512_xor_si512(_mm512_add_epi32(_mm512_set1_epi32((int32_t)counter), noise->step), noise->key));
    __m512 unit = _mm512_set1_ps(0x1p-16f);
    __m512i low = _mm512_and_si512(h, _mm512_set1_epi32(0xffff)), high = _mm512_srli_epi32(h, 16);
    // The products with a power of two are exact, so a fused add would round the same; these are two operations.
    y[0] = _mm512_add_ps(y[0], _mm512_mul_ps(_mm512_cvtepi32_ps(low), unit));
    y[1] = _mm512_add_ps(y[1], _mm512_mul_ps(_mm512_cvtepi32_ps(high), unit));
  }
  for (int i = 0; i < 2; i++) {
    q[i] = noise->on ? _mm512_cvt_roundps_epi32(y[i], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC) : _mm512_cvt_roundps_epi32(y[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    q[i] = _mm512_max_epi32(_mm512_min_epi32(q[i], _mm512_set1_epi32(127)), _mm512_set1_epi32(-127));
  }
}

INLINE __mmask16 first_lanes(int64_t n) { return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1); }

INLINE int32_t amax512(const float *x, int64_t n) {
  __m512i most = _mm512_setzero_si512(), sign = _mm512_set1_epi32(0x7fffffff);
  for (int64_t i = 0; i < n; i += 16)
    most = _mm512_max_epi32(most, _mm512_and_si512(_mm512_maskz_loadu_epi32(first_lanes(n - i), x + i), sign));
  return _mm512_reduce_max_epi32(most);
}

// Eight lines, 32 values of each: eight runs of eight words, one run a group.
INLINE void put_rows512(const __m512i quad[4], int offset, int64_t groups, int width, u32_alias *put) {
  // quad[h * 2 + s]: lines 4h..4h+3, values 16s..16s+15, a word holding four values of a line.
  const __m512i first = _mm512_set_epi32(29, 25, 21, 17, 13, 9, 5, 1, 28, 24, 20, 16, 12, 8, 4, 0);
  const __m512i second = _mm512_set_epi32(31, 27, 23, 19, 15, 11, 7, 3, 30, 26, 22, 18, 14, 10, 6, 2);
  __m512i flip = _mm512_set1_epi32(offset ? (int32_t)OFFSET_WORD : 0);
  for (int s = 0; s < 2; s++) {
    __m512i a = _mm512_xor_si512(_mm512_permutex2var_epi32(quad[s], first, quad[2 + s]), flip);
    __m512i b = _mm512_xor_si512(_mm512_permutex2var_epi32(quad[s], second, quad[2 + s]), flip);
    if (groups > 4 * s) _mm256_storeu_si256((__m256i_u *)(put + (4 * s) * width), _mm512_castsi512_si256(a));
    if (groups > 4 * s + 1) _mm256_storeu_si256((__m256i_u *)(put + (4 * s + 1) * width), _mm512_extracti64x4_epi64(a, 1));
    if (groups > 4 * s + 2) _mm256_storeu_si256((__m256i_u *)(put + (4 * s + 2) * width), _mm512_castsi512_si256(b));
    if (groups > 4 * s + 3) _mm256_storeu_si256((__m256i_u *)(put + (4 * s + 3) * width), _mm512_extracti64x4_epi64(b, 1));
  }
}

INLINE void pack_rows512(Context *ctx, const float *src, int64_t rows, int64_t depth, const int right, const int width, const int offset, Noise plain, Packed to) {
  (void)right;
  Noise512 noise = noise512_of(plain);
  int64_t groups = groups_of(depth), lo, hi;
  share(ctx, (rows + width - 1) / width * width, width, &lo, &hi);
  for (int64_t line = lo; line < hi; line += 8) {
    u32_alias *panel = (u32_alias *)(to.values + line / width * (groups * width * DEPTH)) + line % width;
    __m512 inverse[8][2];
    __m512i sum[8];
    for (int l = 0; l < 8; l++) {
      float scale = 0.0f, reciprocal = 0.0f;
      if (line + l < rows) scale_of(ctx, amax512(src + (line + l) * depth, depth), &scale, &reciprocal);
      inverse[l][0] = inverse[l][1] = _mm512_set1_ps(reciprocal);
      to.scales[line + l] = scale;
      sum[l] = _mm512_setzero_si512();
    }
    for (int64_t c = 0; c < groups * DEPTH; c += 32) {
      __m512i quad[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
      __mmask16 mask[2] = {first_lanes(depth - c), first_lanes(depth - c - 16)};
#pragma GCC unroll 8
      for (int l = 0; l < 8; l++) {
        if (line + l >= rows) break;
        const float *from = src + (line + l) * depth + c;
        __m512 x[2] = {_mm512_maskz_loadu_ps(mask[0], from), _mm512_maskz_loadu_ps(mask[1], from + 16)};
        __m512i q[2];
        quantize512(x, inverse[l], &noise, line + l, c, q);
        for (int s = 0; s < 2; s++) {
          // Noise alone can lift a zero beyond the end no higher than zero, since it is below one.
          if (!offset) sum[l] = _mm512_add_epi32(sum[l], q[s]);
          __m512i bytes = _mm512_broadcast_i32x4(_mm512_cvtepi32_epi8(q[s]));
          quad[l / 4 * 2 + s] = _mm512_mask_mov_epi32(quad[l / 4 * 2 + s], (__mmask16)(0xf << (4 * (l % 4))), bytes);
        }
      }
      put_rows512(quad, offset, groups - c / DEPTH, width, panel + c / DEPTH * width);
    }
    for (int l = 0; l < 8; l++) to.sums[line + l] = offset ? 0 : _mm512_reduce_add_epi32(sum[l]);
  }
}

INLINE void amax_columns512(const Columns *c, int64_t c0, int32_t *most) {
  __m512i greatest[4];
  for (int v = 0; v < 4; v++) greatest[v] = _mm512_setzero_si512();
  for (int64_t r = c->from; r < c->to; r++)
    for (int v = 0; v < 4; v++)
      greatest[v] = _mm512_max_epi32(greatest[v], _mm512_and_si512(_mm512_maskz_loadu_epi32(first_lanes(c->columns - c0 - 16 * v), c->src + r * c->columns + c0 + 16 * v), _mm512_set1_epi32(0x7fffffff)));
  for (int v = 0; v < 4; v++) _mm512_storeu_si512(most + 16 * v, greatest[v]);
}

// What stays the same while COLUMN_BLOCK columns from c0 are quantized, four vectors of them.
typedef struct {
  Noise512 noise;
  __m512 inverse[4];
  __mmask16 mask[4];
} Block512;

INLINE Block512 block512_of(const Columns *c, int64_t c0, Noise noise, const float *reciprocal) {
  Block512 block;
  block.noise = noise512_of(noise);
  for (int v = 0; v < 4; v++) {
    block.mask[v] = first_lanes(c->columns - c0 - 16 * v);
    block.inverse[v] = _mm512_loadu_ps(reciprocal + 16 * v);
  }
  return block;
}

// Group g of columns c0 .. c0 + 63; a word holds four values of a column.
INLINE void group512(const Columns *c, int64_t c0, int64_t g, const Block512 *block, int offset, __m512i words[4]) {
  const __m512i byte = _mm512_set1_epi32(255);
  for (int v = 0; v < 4; v++) words[v] = _mm512_set1_epi32(offset ? (int32_t)OFFSET_WORD : 0);
#pragma GCC unroll 4
  for (int d = 0; d < DEPTH; d++) {
    int64_t r = g * DEPTH + d;
    if (r >= c->depth) break;
    const float *from = c->src + r * c->columns + c0;
    for (int half = 0; half < 2; half++) {
      __m512 x[2] = {_mm512_maskz_loadu_ps(block->mask[2 * half], from + 32 * half), _mm512_maskz_loadu_ps(block->mask[2 * half + 1], from + 32 * half + 16)};
      __m512i q[2];
      quantize512(x, block->inverse + 2 * half, &block->noise, r, c0 + 32 * half, q);
      for (int i = 0; i < 2; i++) words[2 * half + i] = _mm512_xor_si512(words[2 * half + i], _mm512_slli_epi32(_mm512_and_si512(q[i], byte), 8 * d));
    }
  }
}

INLINE void quantize_columns512(const Columns *c, int64_t c0, const int right, const int width, const int offset, Noise plain, const float *reciprocal, Packed to, int32_t *sums) {
  (void)right;
  Block512 block = block512_of(c, c0, plain, reciprocal);
  int64_t groups = groups_of(c->depth);
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum[4];
  for (int v = 0; v < 4; v++) sum[v] = _mm512_setzero_si512();
  u32_alias *put = (u32_alias *)(to.values + c0 / width * (groups * width * DEPTH)) + c->from / DEPTH * width;
  for (int64_t g = c->from / DEPTH; g < group_end(c); g++, put += width) {
    __m512i words[4];
    group512(c, c0, g, &block, offset, words);
    for (int v = 0; v < 4; v++) {
      if (!offset) sum[v] = _mm512_dpbusd_epi32(sum[v], ones, words[v]);
      if (width == 32) {
        _mm512_storeu_si512(put + v / 2 * groups * width + v % 2 * 16, words[v]);
      } else {
        _mm256_storeu_si256((__m256i_u *)(put + 2 * v * groups * width), _mm512_castsi512_si256(words[v]));
        _mm256_storeu_si256((__m256i_u *)(put + (2 * v + 1) * groups * width), _mm512_extracti64x4_epi64(words[v], 1));
      }
    }
  }
  for (int v = 0; v < 4; v++) _mm512_storeu_si512(sums + 16 * v, sum[v]);
}

#if defined(AMX_TILES)
// Left operand, rows: a line's values lie as they are, TILE_DEPTH at a time.
INLINE void pack_tiles512(Context *ctx, const float *src, int64_t rows, int64_t depth, Noise plain, Packed to) {
  Noise512 noise = noise512_of(plain);
  int64_t groups = groups_of(depth), lo, hi;
  share(ctx, (rows + PANEL_A - 1) / PANEL_A * PANEL_A, PANEL_A, &lo, &hi);
  for (int64_t line = lo; line < hi; line++) {
    packed *put = to.values + line / PANEL_A * (groups * PANEL_A * DEPTH) + line % PANEL_A * TILE_DEPTH;
    int64_t filled = line < rows ? depth : 0;
    const float *from = src + (line < rows ? line : 0) * depth;
    float scale = 0.0f, reciprocal = 0.0f;
    if (line < rows) scale_of(ctx, amax512(from, depth), &scale, &reciprocal);
    to.scales[line] = scale;
    __m512 inverse[2] = {_mm512_set1_ps(reciprocal), _mm512_set1_ps(reciprocal)};
    for (int64_t c = 0; c < groups * DEPTH; c += 32) {
      __m512 x[2] = {_mm512_maskz_loadu_ps(first_lanes(filled - c), from + c), _mm512_maskz_loadu_ps(first_lanes(filled - c - 16), from + c + 16)};
      __m512i q[2];
      quantize512(x, inverse, &noise, line, c, q);
      for (int i = 0; i < 2; i++) _mm_storeu_si128((__m128i *)(put + c / TILE_DEPTH * (PANEL_A * TILE_DEPTH) + c % TILE_DEPTH + 16 * i), _mm512_cvtepi32_epi8(q[i]));
    }
  }
}

// Left operand, columns: each word goes to its line.
INLINE void quantize_tiles512(const Columns *c, int64_t c0, const float *reciprocal, Packed to) {
  Block512 block = block512_of(c, c0, NEAREST, reciprocal);
  int64_t groups = groups_of(c->depth);
  for (int64_t g = c->from / DEPTH; g < group_end(c); g++) {
    __m512i words[4];
    uint32_t word[COLUMN_BLOCK];
    group512(c, c0, g, &block, 0, words);
    for (int v = 0; v < 4; v++) _mm512_storeu_si512(word + 16 * v, words[v]);
    packed *put = to.values + c0 / PANEL_A * (groups * PANEL_A * DEPTH) + g * DEPTH / TILE_DEPTH * (PANEL_A * TILE_DEPTH) + g * DEPTH % TILE_DEPTH;
    for (int p = 0; p < COLUMN_BLOCK / PANEL_A; p++, put += groups * PANEL_A * DEPTH)
      for (int l = 0; l < PANEL_A; l++) *(u32_alias *)(put + l * TILE_DEPTH) = word[p * PANEL_A + l];
  }
}
#endif
