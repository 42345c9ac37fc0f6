// Owns the three linear instructions of profile bf16x: operands rounded by B1, every output one ascending sum. Products are
// exact, so fusing them into the sum changes nothing [M2]. Panels are those of linear.c, of f32; threads split panels.

// Depth of one pass: a panel of each side stays near. Sums are kept in `out` between passes.
#if defined(__AVX2__) && !defined(VNNI512)
#define BF16_DEPTH 512
#else
#define BF16_DEPTH 128
#endif
// Lines of a left panel: those of linear.c, except that tiles are larger than registers hold.
#if defined(AMX_TILES)
#define BF16_PANEL_A 8
#else
#define BF16_PANEL_A PANEL_A
#endif

#if defined(VNNI512)
// B1 on sixteen values.
INLINE __m512i bf16_vector(__m512i x, __m512i *most) {
  __m512i size = _mm512_and_si512(x, _mm512_set1_epi32(0x7fffffff));
  *most = _mm512_max_epi32(*most, size);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
  __m512i up = _mm512_and_si512(_mm512_add_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(0x7fff)), odd), _mm512_set1_epi32((int32_t)0xffff0000));
  return _mm512_mask_and_epi32(up, _mm512_cmplt_epi32_mask(size, _mm512_set1_epi32(0x21800000)), x, _mm512_set1_epi32((int32_t)0x80000000));
}

// Eight lines, `depth` apart, sixteen values of each: rounded, to sixteen rows of eight, `width` apart.
INLINE __m512i round_square(const float *src, int64_t depth, int64_t lines, int64_t n, const int width, float *put, __m512i most) {
  const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
  __m512i x[8], t[8], u[8];
  for (int l = 0; l < 8; l++) x[l] = l < lines ? bf16_vector(_mm512_maskz_loadu_epi32(first_lanes(n), src + l * depth), &most) : _mm512_setzero_si512();
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  }
  // u[4h + j]: lines 4h..4h+3 of value 4q + j in quarter q.
  for (int h = 0; h < 2; h++) {
    u[4 * h] = _mm512_unpacklo_epi64(t[4 * h], t[4 * h + 2]);
    u[4 * h + 1] = _mm512_unpackhi_epi64(t[4 * h], t[4 * h + 2]);
    u[4 * h + 2] = _mm512_unpacklo_epi64(t[4 * h + 1], t[4 * h + 3]);
    u[4 * h + 3] = _mm512_unpackhi_epi64(t[4 * h + 1], t[4 * h + 3]);
  }
  for (int j = 0; j < 4; j++) {
    __m512i first = _mm512_permutex2var_epi64(u[j], low, u[4 + j]), last = _mm512_permutex2var_epi64(u[j], high, u[4 + j]);
    if (j < n) _mm256_storeu_si256((__m256i_u *)(put + j * width), _mm512_castsi512_si256(first));
    if (4 + j < n) _mm256_storeu_si256((__m256i_u *)(put + (4 + j) * width), _mm512_extracti64x4_epi64(first, 1));
    if (8 + j < n) _mm256_storeu_si256((__m256i_u *)(put + (8 + j) * width), _mm512_castsi512_si256(last));
    if (12 + j < n) _mm256_storeu_si256((__m256i_u *)(put + (12 + j) * width), _mm512_extracti64x4_epi64(last, 1));
  }
  return most;
}
#elif defined(__AVX2__)
// B1 on eight values.
INLINE __m256i bf16_vector(__m256i x, __m256i *most) {
  __m256i size = _mm256_and_si256(x, _mm256_set1_epi32(0x7fffffff));
  *most = _mm256_max_epi32(*most, size);
  __m256i odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
  __m256i up = _mm256_add_epi32(_mm256_add_epi32(x, _mm256_set1_epi32(0x7fff)), odd);
  __m256i keep = _mm256_blendv_epi8(_mm256_set1_epi32((int32_t)0xffff0000), _mm256_set1_epi32((int32_t)0x80000000), _mm256_cmpgt_epi32(_mm256_set1_epi32(0x21800000), size));
  return _mm256_and_si256(_mm256_blendv_epi8(up, x, _mm256_cmpgt_epi32(_mm256_set1_epi32(0x21800000), size)), keep);
}

// Four lines, `depth` apart, eight values of each: rounded, to eight rows of four, `width` apart.
INLINE __m256i round_square(const float *src, int64_t depth, const int width, float *put, __m256i most) {
  __m256i x[4];
  for (int l = 0; l < 4; l++) x[l] = bf16_vector(_mm256_loadu_si256((const __m256i_u *)(src + l * depth)), &most);
  __m256i a = _mm256_unpacklo_epi32(x[0], x[1]), b = _mm256_unpackhi_epi32(x[0], x[1]);
  __m256i c = _mm256_unpacklo_epi32(x[2], x[3]), d = _mm256_unpackhi_epi32(x[2], x[3]);
  // Value j of the four lines in the low half, value 4 + j in the high one.
  __m256i u[4] = {_mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c), _mm256_unpacklo_epi64(b, d), _mm256_unpackhi_epi64(b, d)};
  for (int j = 0; j < 4; j++) {
    _mm_storeu_si128((__m128i_u *)(put + j * width), _mm256_castsi256_si128(u[j]));
    _mm_storeu_si128((__m128i_u *)(put + (4 + j) * width), _mm256_extracti128_si256(u[j], 1));
  }
  return most;
}

INLINE int32_t widest_of(__m256i most) {
  int32_t lane[8], widest = 0;
  _mm256_storeu_si256((__m256i_u *)lane, most);
  for (int i = 0; i < 8; i++) widest = lane[i] > widest ? lane[i] : widest;
  return widest;
}
#endif

// Values k to k + n of at most `width` lines, one by one: to[i][width], lines that are not there zero.
INLINE void round_edge(const float *src, int64_t depth, int64_t lines, int64_t n, const int width, float *put, int32_t *most) {
  for (int i = 0; i < n; i++)
    for (int l = 0; l < width; l++) put[i * width + l] = l < lines ? bf16_fixed(src[l * depth + i], most) : 0.0f;
}

// Lines are rows of src[rows][depth]: to[panel][k][width].
INLINE void round_rows_to_panels(Context *ctx, const float *src, int64_t rows, int64_t depth, const int width, float *to) {
  int64_t lo, hi;
  int32_t most = 0;
  share(ctx, (rows + width - 1) / width * width, width, &lo, &hi);
#if defined(VNNI512)
  __m512i widest = _mm512_setzero_si512();
  for (int64_t line = lo; line < hi; line += width)
    for (int64_t k = 0; k < depth; k += 16)
      for (int l = 0; l < width; l += 8) {
        int64_t n = depth - k < 16 ? depth - k : 16, lines = rows - line - l < 0 ? 0 : rows - line - l;
        const float *from = src + (line + l) * depth + k;
        float *put = to + line * depth + k * width + l;
        if (n == 16 && lines >= 8) widest = round_square(from, depth, 8, 16, width, put, widest);
        else widest = round_square(from, depth, lines, n, width, put, widest);
      }
  most = _mm512_reduce_max_epi32(widest);
#elif defined(__AVX2__)
  __m256i widest = _mm256_setzero_si256();
  for (int64_t line = lo; line < hi; line += width) {
    const float *from = src + line * depth;
    float *put = to + line * depth;
    int64_t k = 0;
    if (rows - line >= width)
      for (; k + 8 <= depth; k += 8) {
        if (k % 16 == 0)
          for (int l = 0; l < width; l++) fetch(from + (l + (width == 4 ? 8 : width)) * depth + k);
        for (int l = 0; l < width; l += 4) widest = round_square(from + l * depth + k, depth, width, put + k * width + l, widest);
      }
    round_edge(from + k, depth, rows - line, depth - k, width, put + k * width, &most);
  }
  int32_t whole = widest_of(widest);
  most = whole > most ? whole : most;
#else
  for (int64_t line = lo; line < hi; line += width)
    for (int64_t k = 0; k < depth; k += 16) {
      float part[PANEL_B][16] = {{0}}, *put = to + line * depth + k * width;
      int64_t n = depth - k < 16 ? depth - k : 16;
      for (int l = 0; l < width && line + l < rows; l++) {
        const float *from = src + (line + l) * depth + k;
        if (n == 16)
          for (int i = 0; i < 16; i++) part[l][i] = bf16_fixed(from[i], &most);
        else
          for (int i = 0; i < n; i++) part[l][i] = bf16_fixed(from[i], &most);
      }
      for (int i = 0; i < n; i++)
        for (int l = 0; l < width; l++) put[i * width + l] = part[l][i];
    }
#endif
  check_bf16(ctx, most);
}

#if defined(__AVX2__) && !defined(VNNI512)
// `n` columns of four rows, in panels of four lines, to[panel][4 rows][4], panels `depth` rows apart.
INLINE __m256i round_four_rows(const float *src, int64_t columns, const int64_t n, int64_t depth, float *to, __m256i most, int32_t *edge) {
  for (int i = 8; i < 12; i++)
    for (int64_t c = 0; c < n; c += 16) fetch(src + i * columns + c);
  int64_t c = 0;
  for (; c + 4 <= n; c += 4)
    for (int i = 0; i < 4; i += 2) {
      const float *from = src + i * columns + c;
      __m256i two = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i_u *)from)), _mm_loadu_si128((const __m128i_u *)(from + columns)), 1);
      _mm256_storeu_si256((__m256i_u *)(to + c * depth + i * 4), bf16_vector(two, &most));
    }
  for (int i = 0; i < 4 && c < n; i++) round_edge(src + i * columns + c, 1, n - c, 1, 4, to + c * depth + i * 4, edge);
  return most;
}
#endif

// Lines are columns of src[depth][columns], the same panels. Threads split the depth.
INLINE void round_columns_to_panels(Context *ctx, const float *src, int64_t depth, int64_t columns, const int width, float *to) {
  int64_t lo, hi;
  int32_t most = 0;
  share(ctx, depth, 16, &lo, &hi);
  // 32 or 64 columns at a time: few streams of writes, for panels are often a power of two long and share places in the cache.
#if defined(VNNI512)
  __m512i widest = _mm512_setzero_si512();
  for (int64_t c = 0; c < columns; c += 32)
    for (int64_t k = lo; k < hi; k++)
      for (int64_t half = 0; half < 32 && c + half < (columns + width - 1) / width * width; half += 16) {
        const float *from = src + k * columns + c + half;
        __m512i x = bf16_vector(_mm512_maskz_loadu_epi32(first_lanes(columns - c - half), from), &widest);
        if (width == 32) {
          _mm512_storeu_si512(to + c * depth + k * 32 + half, x);
        } else {
          _mm256_storeu_si256((__m256i_u *)(to + (c + half) * depth + k * 8), _mm512_castsi512_si256(x));
          if (columns - c - half > 8) _mm256_storeu_si256((__m256i_u *)(to + (c + half + 8) * depth + k * 8), _mm512_extracti64x4_epi64(x, 1));
        }
      }
  most = _mm512_reduce_max_epi32(widest);
#elif defined(__AVX2__)
  __m256i widest = _mm256_setzero_si256();
  const int wide = width == 4 ? 32 : 64;
  for (int64_t c0 = 0; c0 < columns; c0 += wide) {
    int64_t end = smaller(columns, c0 + wide), k = lo;
    for (; width == 4 && k + 4 <= hi; k += 4) {
      const float *from = src + k * columns + c0;
      float *put = to + c0 * depth + k * 4;
      if (end - c0 == wide) widest = round_four_rows(from, columns, wide, depth, put, widest, &most);
      else widest = round_four_rows(from, columns, end - c0, depth, put, widest, &most);
    }
    for (; k < hi; k++) {
      const float *from = src + k * columns;
      for (int64_t c = c0; c < end; c += 16) fetch(from + 8 * columns + c);
      for (int64_t c = c0; c < end; c += width) {
        float *put = to + c * depth + k * width;
        if (width < 8 || end - c < width) round_edge(from + c, 1, smaller(width, end - c), 1, width, put, &most);
        else
          for (int i = 0; i < width; i += 8) _mm256_storeu_si256((__m256i_u *)(put + i), bf16_vector(_mm256_loadu_si256((const __m256i_u *)(from + c + i)), &widest));
      }
    }
  }
  int32_t whole = widest_of(widest);
  most = whole > most ? whole : most;
#else
  for (int64_t c0 = 0; c0 < columns; c0 += 32)
    for (int64_t k = lo; k < hi; k++)
      for (int64_t c = c0; c < columns && c < c0 + 32; c += width) {
        const float *from = src + k * columns + c;
        float *put = to + c * depth + k * width;
        if (columns - c >= width)
          for (int i = 0; i < width; i++) put[i] = bf16_fixed(from[i], &most);
        else
          for (int i = 0; i < width; i++) put[i] = i < columns - c ? bf16_fixed(from[i], &most) : 0.0f;
      }
#endif
  check_bf16(ctx, most);
}

// height x PANEL_B of c (+)= a[k][BF16_PANEL_A] * b[k][PANEL_B], k ascending. A sum that is not finite leaves NaN in `bad`.
INLINE void bf16_tile(In a, In b, int64_t depth, Out c, int64_t ldc, const int height, int more, vec *bad) {
  const int vecs = PANEL_B / LANES;
  vec acc[BF16_PANEL_A][PANEL_B / LANES];
  for (int m = 0; m < height; m++)
    for (int v = 0; v < vecs; v++) acc[m][v] = more ? *(const vec_mem *)(c + m * ldc + v * LANES) : (vec_mem){0};
  for (int64_t k = 0; k < depth; k++) {
    vec right[PANEL_B / LANES];
    for (int v = 0; v < vecs; v++) right[v] = *(const vec_mem *)(b + k * PANEL_B + v * LANES);
#pragma GCC unroll 8
    for (int m = 0; m < height; m++) {
      float left = a[k * BF16_PANEL_A + m];
      for (int v = 0; v < vecs; v++) acc[m][v] = fused(right[v], left, acc[m][v]);
    }
  }
  for (int m = 0; m < height; m++)
    for (int v = 0; v < vecs; v++) {
      *(vec_mem *)(c + m * ldc + v * LANES) = acc[m][v];
      *bad = *bad + acc[m][v] * 0.0f;
    }
}

// A tile at the edge: all of its depth at once, beside `out`.
static void bf16_edge(In a, In b, int64_t depth, Out out, int64_t columns, int64_t height, int64_t width, vec *bad) {
  float c[BF16_PANEL_A * PANEL_B];
  if (height == 1) bf16_tile(a, b, depth, c, PANEL_B, 1, 0, bad);
  else bf16_tile(a, b, depth, c, PANEL_B, BF16_PANEL_A, 0, bad);
  for (int64_t m = 0; m < height; m++) __builtin_memcpy(out + m * columns, c + m * PANEL_B, width * 4);
}

// [M2] out[rows][columns] of packed panels.
static void product_bf16(Context *ctx, const float *a, const float *b, int64_t rows, int64_t depth, int64_t columns, float *out) {
  Split s = split_panels(ctx, rows, columns, BF16_PANEL_A);
  int64_t block = (192 << 10) / (BF16_DEPTH * BF16_PANEL_A * 4);
  vec bad = (vec){0};
  for (int64_t k = 0; k < depth; k += BF16_DEPTH) {
    int64_t n = depth - k < BF16_DEPTH ? depth - k : BF16_DEPTH;
    for (int64_t i0 = s.a_lo; i0 < s.a_hi; i0 += block)
      for (int64_t j = s.b_lo; j < s.b_hi; j++)
        for (int64_t i = i0; i < s.a_hi && i < i0 + block; i++) {
          int64_t height = rows - i * BF16_PANEL_A, width = columns - j * PANEL_B;
          const float *left = a + i * BF16_PANEL_A * depth, *right = b + j * PANEL_B * depth;
          float *to = out + i * BF16_PANEL_A * columns + j * PANEL_B;
          if (height >= BF16_PANEL_A && width >= PANEL_B) bf16_tile(left + k * BF16_PANEL_A, right + k * PANEL_B, n, to, columns, BF16_PANEL_A, k > 0, &bad);
          else if (k == 0) bf16_edge(left, right, depth, to, columns, height < BF16_PANEL_A ? height : BF16_PANEL_A, width < PANEL_B ? width : PANEL_B, &bad);
        }
  }
  for (int i = 0; i < LANES; i++)
    if (bad[i] != 0.0f) fail(ctx, REASON_NON_FINITE);
}

// w: x, w, y, T, K, N, A region, B region, A is packed already
static void k_linear_bf16(Context *ctx, const int32_t *w) {
  int64_t T = w[3], K = w[4], N = w[5];
  float *a = at(ctx, w[6]), *b = at(ctx, w[7]);
  if (!w[8]) round_rows_to_panels(ctx, at(ctx, w[0]), T, K, BF16_PANEL_A, a);
  round_columns_to_panels(ctx, at(ctx, w[1]), K, N, PANEL_B, b);
  barrier(ctx);
  product_bf16(ctx, a, b, T, K, N, at(ctx, w[2]));
}

// w: dy, w, dx, T, K, N, A region, B region
static void k_linear_bf16_grad_x(Context *ctx, const int32_t *w) {
  int64_t T = w[3], K = w[4], N = w[5];
  float *a = at(ctx, w[6]), *b = at(ctx, w[7]);
  round_rows_to_panels(ctx, at(ctx, w[0]), T, N, BF16_PANEL_A, a);
  round_rows_to_panels(ctx, at(ctx, w[1]), K, N, PANEL_B, b);
  barrier(ctx);
  product_bf16(ctx, a, b, T, N, K, at(ctx, w[2]));
}

// w: x, dy, dw, T, K, N, A region, B region, A is packed already
static void k_linear_bf16_grad_w(Context *ctx, const int32_t *w) {
  int64_t T = w[3], K = w[4], N = w[5];
  float *a = at(ctx, w[6]), *b = at(ctx, w[7]);
  if (!w[8]) round_columns_to_panels(ctx, at(ctx, w[0]), T, K, BF16_PANEL_A, a);
  round_columns_to_panels(ctx, at(ctx, w[1]), T, N, PANEL_B, b);
  barrier(ctx);
  product_bf16(ctx, a, b, K, T, N, at(ctx, w[2]));
}
