// Owns causal grouped-query attention: whole sequences, their gradients, and single positions against a cache.
// All products are of bf16 values and exact, so fusing them into the sum changes nothing [A1]. Threads split heads.

#define ROWS 16

// Lanes of the target's own vector registers; results do not depend on it.
#if defined(VNNI512)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float vec_mem __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

INLINE vec fused(vec a, float b, vec c) {
#if defined(VNNI512)
  return (vec)_mm512_fmadd_ps((__m512)a, _mm512_set1_ps(b), (__m512)c);
#elif defined(__FMA__)
  return (vec)_mm256_fmadd_ps((__m256)a, _mm256_set1_ps(b), (__m256)c);
#else
  return c + a * b;
#endif
}

// rows x VECS tile of c[m][n] (+)= sum over k ascending of a[m][k] * b[k][n].
#define TILE_BODY(M, VECS) \
  vec acc[M][VECS]; \
  for (int m = 0; m < M; m++) \
    for (int v = 0; v < VECS; v++) acc[m][v] = more ? *(const vec_mem *)(c + m * ldc + v * LANES) : (vec_mem){0}; \
  for (int64_t k = 0; k < depth; k++) { \
    vec right[VECS]; \
    for (int v = 0; v < VECS; v++) right[v] = *(const vec_mem *)(b + k * ldb + v * LANES); \
    for (int m = 0; m < M; m++) { \
      float left = a[m * row_step + k * k_step]; \
      for (int v = 0; v < VECS; v++) acc[m][v] = fused(right[v], left, acc[m][v]); \
    } \
  } \
  for (int m = 0; m < M; m++) \
    for (int v = 0; v < VECS; v++) *(vec_mem *)(c + m * ldc + v * LANES) = acc[m][v];

typedef const float *restrict In;
typedef float *restrict Out;
#define TILE_ARGS In a, int64_t row_step, int64_t k_step, In b, int64_t ldb, Out c, int64_t ldc, int64_t depth, int more

static void tile_4x2(TILE_ARGS) { TILE_BODY(4, 2) }
static void tile_4x1(TILE_ARGS) { TILE_BODY(4, 1) }
static void tile_1x2(TILE_ARGS) { TILE_BODY(1, 2) }
static void tile_1x1(TILE_ARGS) { TILE_BODY(1, 1) }

// c[rows][n] (+)= a * b; n of any length, each output its own ascending sum from c or +0 [A2].
static void multiply(In a, int64_t row_step, int64_t k_step, In b, int64_t ldb, Out c, int64_t ldc, int64_t rows, int64_t n, int64_t depth, int more) {
  int64_t m = 0;
  for (; m < rows; m += rows - m >= 4 ? 4 : 1) {
    int four = rows - m >= 4;
    int64_t j = 0;
    const float *left = a + m * row_step;
    float *to = c + m * ldc;
    for (; j + 2 * LANES <= n; j += 2 * LANES)
      (four ? tile_4x2 : tile_1x2)(left, row_step, k_step, b + j, ldb, to + j, ldc, depth, more);
    for (; j + LANES <= n; j += LANES)
      (four ? tile_4x1 : tile_1x1)(left, row_step, k_step, b + j, ldb, to + j, ldc, depth, more);
    for (; j < n; j++)
      for (int r = 0; r < (four ? 4 : 1); r++) {
        float sum = more ? to[r * ldc + j] : 0.0f;
        for (int64_t k = 0; k < depth; k++) sum = sum + left[r * row_step + k * k_step] * b[k * ldb + j];
        to[r * ldc + j] = sum;
      }
  }
}

static int32_t round_row(In x, Out to, int64_t n) {
  int32_t most = 0;
  for (int64_t i = 0; i < n; i++) to[i] = bf16_fixed(x[i], &most);
  return most;
}

// Rounds rows of `width` values, `stride` apart, to rows `lead` apart.
static int32_t round_rows(In x, Out to, int64_t rows, int64_t width, int64_t stride, int64_t lead) {
  int32_t most = 0;
  for (int64_t r = 0; r < rows; r++) {
    int32_t seen = round_row(x + r * stride, to + r * lead, width);
    most = seen > most ? seen : most;
  }
  return most;
}

// to[width][padded] = transposed rounded rows, zero beyond `rows`.
static void transpose(In x, Out to, int64_t rows, int64_t width, int64_t stride, int64_t padded) {
  for (int64_t d = 0; d < width; d++) {
    for (int64_t r = 0; r < rows; r++) to[d * padded + r] = x[r * stride + d];
    for (int64_t r = rows; r < padded; r++) to[d * padded + r] = 0.0f;
  }
}

// [A3] Scores to unnormalised bf16 weights; returns the maximum and the reciprocal of the sum.
static void soften(float *s, int64_t n, float scale, float *max, float *reciprocal) {
  int32_t most = 0;
  for (int64_t j = 0; j < n; j++) s[j] = s[j] * scale;
  float m = row_max(s, n);
  for (int64_t j = 0; j < n; j++) s[j] = exp_fixed(s[j] - m);
  *max = m;
  *reciprocal = 1.0f / sum16(s, n);
  for (int64_t j = 0; j < n; j++) s[j] = bf16_fixed(s[j], &most);
}

INLINE float score_scale(int64_t width) { return 1.0f / __builtin_sqrtf((float)width); }

// Floats from row to row of an own copy of rows of n: an odd number of cache lines, for rows a power of two apart share few
// places of the near cache. Scratch is planned in memory-plan.ts.
INLINE int64_t odd_lines(int64_t n) { return ((n + 15) / 16 | 1) * 16; }

// A task is a key head of a sequence with its query heads. Its copies: `copy` floats each, rows `lead` apart; transposed,
// `turned` floats, rows `padded` apart.
typedef struct {
  int64_t batch, seq, heads, kv, width, group, padded, lead, copy, turned, q_stride, c_stride;
  float scale;
} Shape;

static Shape shape_of(const int32_t *w) {
  Shape s;
  s.batch = w[0];
  s.seq = w[1];
  s.heads = w[2];
  s.kv = w[3];
  s.width = w[4];
  s.group = s.heads / s.kv;
  s.padded = odd_lines(s.seq);
  s.lead = odd_lines(s.width);
  s.copy = s.seq * s.lead;
  s.turned = s.width * s.padded;
  s.q_stride = s.heads * s.width;
  s.c_stride = s.kv * s.width;
  s.scale = score_scale(s.width);
  return s;
}

// Which of the planned buffers a thread uses: there are min(threads, tasks) of them.
INLINE int64_t slot_of(const Context *ctx, int64_t tasks, int64_t first) { return tasks < ctx->count ? first : ctx->index; }

// w: q, k, v, out, stats, batch, seq, heads, kvHeads, width, scratch
static void k_attention(Context *ctx, const int32_t *w) {
  const float *q = at(ctx, w[0]), *k = at(ctx, w[1]), *v = at(ctx, w[2]);
  float *out = at(ctx, w[3]), *stats = at(ctx, w[4]);
  Shape s = shape_of(w + 5);
  int64_t tasks = s.batch * s.kv, lo, hi;
  float *copies = at(ctx, w[10]), *kt = copies + 3 * tasks * s.copy, *buffers = kt + tasks * s.turned;
  share(ctx, tasks, 1, &lo, &hi);
  float *p = buffers + slot_of(ctx, tasks, lo) * 2 * ROWS * s.padded;
  for (int64_t task = lo; task < hi; task++) {
    int64_t t0 = task / s.kv * s.seq, g = task % s.kv, c0 = t0 * s.c_stride + g * s.width;
    float *qb = copies + 3 * task * s.copy, *kb = qb + s.copy, *vb = kb + s.copy, *kt_own = kt + task * s.turned;
    check_bf16(ctx, round_rows(k + c0, kb, s.seq, s.width, s.c_stride, s.lead));
    check_bf16(ctx, round_rows(v + c0, vb, s.seq, s.width, s.c_stride, s.lead));
    transpose(kb, kt_own, s.seq, s.width, s.lead, s.padded);
    for (int64_t h = g * s.group; h < (g + 1) * s.group; h++) {
      int64_t q0 = t0 * s.q_stride + h * s.width;
      check_bf16(ctx, round_rows(q + q0, qb, s.seq, s.width, s.q_stride, s.lead));
      for (int64_t i0 = 0; i0 < s.seq; i0 += ROWS) {
        int64_t rows = s.seq - i0 < ROWS ? s.seq - i0 : ROWS, keys = i0 + rows, wide = (keys + 15) / 16 * 16;
        multiply(qb + i0 * s.lead, s.lead, 1, kt_own, s.padded, p, s.padded, rows, wide, s.width, 0);
        for (int64_t r = 0; r < rows; r++) {
          float *row = p + r * s.padded, *stat = stats + (t0 + i0 + r) * 2 * s.heads + 2 * h;
          soften(row, i0 + r + 1, s.scale, stat, stat + 1);
          for (int64_t j = i0 + r + 1; j < keys; j++) row[j] = 0.0f;
        }
        float *to = out + q0 + i0 * s.q_stride;
        multiply(p, s.padded, 1, vb, s.lead, to, s.q_stride, rows, s.width, keys, 0);
        for (int64_t r = 0; r < rows; r++) {
          float reciprocal = stats[(t0 + i0 + r) * 2 * s.heads + 2 * h + 1];
          for (int64_t d = 0; d < s.width; d++) to[r * s.q_stride + d] = to[r * s.q_stride + d] * reciprocal;
          check_finite(ctx, to + r * s.q_stride, s.width);
          check_finite(ctx, stats + (t0 + i0 + r) * 2 * s.heads + 2 * h, 2);
        }
      }
    }
  }
}

// Weights p (f32) and score gradients ds (bf16) of `rows` queries from i0 on, from scores and dp [A4].
static int32_t score_gradients(Shape s, int64_t rows, int64_t i0, float *p, float *ds, const float *out, const float *d_out, const float *stat) {
  int32_t most = 0;
  for (int64_t r = 0; r < rows; r++) {
    int64_t n = i0 + r + 1, keys = i0 + rows;
    float *e = p + r * s.padded, *g = ds + r * s.padded;
    float m = stat[r * 2 * s.heads], reciprocal = stat[r * 2 * s.heads + 1];
    float dot = dot16(d_out + r * s.q_stride, out + r * s.q_stride, s.width);
    for (int64_t j = 0; j < n; j++) {
      float weight = exp_fixed(e[j] * s.scale - m) * reciprocal;
      e[j] = weight;
      g[j] = (weight * (g[j] - dot)) * s.scale;
    }
    for (int64_t j = 0; j < n; j++) e[j] = bf16_fixed(e[j], &most);
    for (int64_t j = 0; j < n; j++) g[j] = bf16_fixed(g[j], &most);
    for (int64_t j = n; j < keys; j++) e[j] = g[j] = 0.0f;
  }
  return most;
}

// w: dOut, q, k, v, out, stats, dq, dk, dv, batch, seq, heads, kvHeads, width, scratch
static void k_attention_grad(Context *ctx, const int32_t *w) {
  const float *d_out = at(ctx, w[0]), *q = at(ctx, w[1]), *k = at(ctx, w[2]), *v = at(ctx, w[3]);
  const float *out = at(ctx, w[4]), *stats = at(ctx, w[5]);
  float *dq = at(ctx, w[6]), *dk = at(ctx, w[7]), *dv = at(ctx, w[8]);
  Shape s = shape_of(w + 9);
  int64_t tasks = s.batch * s.kv, lo, hi;
  float *copies = at(ctx, w[14]), *turned = copies + 3 * tasks * s.copy, *buffers = turned + 2 * tasks * s.turned;
  share(ctx, tasks, 1, &lo, &hi);
  float *p = buffers + slot_of(ctx, tasks, lo) * 2 * ROWS * s.padded, *ds = p + ROWS * s.padded;
  for (int64_t task = lo; task < hi; task++) {
    int64_t t0 = task / s.kv * s.seq, g = task % s.kv, c0 = t0 * s.c_stride + g * s.width;
    float *qb = copies + 3 * task * s.copy, *db = qb + s.copy, *kb = db + s.copy;
    float *kt = turned + 2 * task * s.turned, *vt = kt + s.turned;
    check_bf16(ctx, round_rows(v + c0, kb, s.seq, s.width, s.c_stride, s.lead));
    transpose(kb, vt, s.seq, s.width, s.lead, s.padded);
    check_bf16(ctx, round_rows(k + c0, kb, s.seq, s.width, s.c_stride, s.lead));
    transpose(kb, kt, s.seq, s.width, s.lead, s.padded);
    for (int64_t t = 0; t < s.seq; t++) {
      __builtin_memset(dk + c0 + t * s.c_stride, 0, s.width * 4);
      __builtin_memset(dv + c0 + t * s.c_stride, 0, s.width * 4);
    }
    for (int64_t h = g * s.group; h < (g + 1) * s.group; h++) {
      int64_t q0 = t0 * s.q_stride + h * s.width;
      check_bf16(ctx, round_rows(q + q0, qb, s.seq, s.width, s.q_stride, s.lead));
      check_bf16(ctx, round_rows(d_out + q0, db, s.seq, s.width, s.q_stride, s.lead));
      for (int64_t i0 = 0; i0 < s.seq; i0 += ROWS) {
        int64_t rows = s.seq - i0 < ROWS ? s.seq - i0 : ROWS, keys = i0 + rows, wide = (keys + 15) / 16 * 16;
        int64_t qi = q0 + i0 * s.q_stride;
        const float *q_rows = qb + i0 * s.lead, *d_rows = db + i0 * s.lead;
        multiply(q_rows, s.lead, 1, kt, s.padded, p, s.padded, rows, wide, s.width, 0);
        multiply(d_rows, s.lead, 1, vt, s.padded, ds, s.padded, rows, wide, s.width, 0);
        check_bf16(ctx, score_gradients(s, rows, i0, p, ds, out + qi, d_out + qi, stats + (t0 + i0) * 2 * s.heads + 2 * h));
        multiply(ds, s.padded, 1, kb, s.lead, dq + qi, s.q_stride, rows, s.width, keys, 0);
        multiply(p, 1, s.padded, d_rows, s.lead, dv + c0, s.c_stride, keys, s.width, rows, 1);
        multiply(ds, 1, s.padded, q_rows, s.lead, dk + c0, s.c_stride, keys, s.width, rows, 1);
        for (int64_t r = 0; r < rows; r++) check_finite(ctx, dq + qi + r * s.q_stride, s.width);
      }
    }
    for (int64_t t = 0; t < s.seq; t++) {
      check_finite(ctx, dk + c0 + t * s.c_stride, s.width);
      check_finite(ctx, dv + c0 + t * s.c_stride, s.width);
    }
  }
}

#define DECODE_HEADS 8

// to[d][r] = rounded key r, for up to ROWS keys; zero beyond `count`.
static int32_t turn_keys(In keys, int64_t stride, int64_t count, int64_t width, Out to) {
  float row[256];
  int32_t most = 0;
  for (int64_t r = 0; r < ROWS; r++) {
    if (r < count) {
      int32_t seen = round_row(keys + r * stride, row, width);
      most = seen > most ? seen : most;
    }
    for (int64_t d = 0; d < width; d++) to[d * ROWS + r] = r < count ? row[d] : 0.0f;
  }
  return most;
}

// Ascending sums over d, a lane for each key.
static void dot_keys(In query, In turned, int64_t width, Out dots) {
  float acc[ROWS] = {0};
  for (int64_t d = 0; d < width; d++)
    for (int r = 0; r < ROWS; r++) acc[r] = acc[r] + query[d] * turned[d * ROWS + r];
  __builtin_memcpy(dots, acc, sizeof acc);
}

// Up to DECODE_HEADS query heads of one key head at one position: keys and values are rounded once for all of them.
static int32_t decode_heads(In q, In keys, In values, int64_t stride, int64_t n, int64_t width, int64_t heads, float *s, int64_t padded, Out out) {
  float query[DECODE_HEADS][256], turned[256 * ROWS], row[256], max, reciprocal[DECODE_HEADS], scale = score_scale(width);
  int32_t most = 0, seen;
  for (int64_t h = 0; h < heads; h++) {
    seen = round_row(q + h * width, query[h], width);
    most = seen > most ? seen : most;
  }
  for (int64_t j = 0; j < n; j += ROWS) {
    seen = turn_keys(keys + j * stride, stride, n - j < ROWS ? n - j : ROWS, width, turned);
    most = seen > most ? seen : most;
    for (int64_t h = 0; h < heads; h++) dot_keys(query[h], turned, width, s + h * padded + j);
  }
  for (int64_t h = 0; h < heads; h++) soften(s + h * padded, n, scale, &max, &reciprocal[h]);
  __builtin_memset(out, 0, heads * width * 4);
  for (int64_t j = 0; j < n; j++) {
    seen = round_row(values + j * stride, row, width);
    most = seen > most ? seen : most;
    for (int64_t h = 0; h < heads; h++) {
      float weight = s[h * padded + j];
      for (int64_t d = 0; d < width; d++) out[h * width + d] = out[h * width + d] + weight * row[d];
    }
  }
  for (int64_t h = 0; h < heads; h++)
    for (int64_t d = 0; d < width; d++) out[h * width + d] = out[h * width + d] * reciprocal[h];
  return most;
}

// w: q, kCache, vCache, slot, pos, out, R, heads, kvHeads, width, SLOTS, P, scratch. Same sums as k_attention [A5].
static void k_attention_decode(Context *ctx, const int32_t *w) {
  const float *q = at(ctx, w[0]), *kc = at(ctx, w[1]), *vc = at(ctx, w[2]);
  const int32_t *slot = at(ctx, w[3]), *pos = at(ctx, w[4]);
  float *out = at(ctx, w[5]);
  int64_t R = w[6], heads = w[7], kv = w[8], width = w[9], slots = w[10], P = w[11], lo, hi;
  int64_t group = heads / kv, padded = (P + 15) / 16 * 16;
  share(ctx, R * kv, 1, &lo, &hi);
  float *s = (float *)at(ctx, w[12]) + slot_of(ctx, R * kv, lo) * DECODE_HEADS * padded;
  for (int64_t task = lo; task < hi; task++) {
    int64_t r = task / kv, g = task % kv;
    if ((uint32_t)slot[r] >= (uint32_t)slots || (uint32_t)pos[r] >= (uint32_t)P) {
      fail(ctx, REASON_BAD_INDEX);
      continue;
    }
    int64_t n = pos[r] + 1, stride = kv * width, base = slot[r] * P * stride + g * width;
    for (int64_t h = 0; h < group; h += DECODE_HEADS) {
      int64_t some = group - h < DECODE_HEADS ? group - h : DECODE_HEADS, first = (r * heads + g * group + h) * width;
      check_bf16(ctx, decode_heads(q + first, kc + base, vc + base, stride, n, width, some, s, padded, out + first));
      check_finite(ctx, out + first, some * width);
    }
  }
}
