// Owns causal grouped-query attention: whole sequences, their gradients, and single positions against a cache.
// All products are of bf16 values and exact, so fusing them into the sum changes nothing [A1]. Threads split heads.

// Keys of a block, and queries that are taken at once: forward, and in the gradient. Scratch is planned in memory-plan.ts.
#define BLOCK_KEYS 64
#define ROWS 16
#define BLOCK_ROWS 32
// Depth of a pass of a product.
#define DEPTH_BLOCK 128

INLINE vec fused(vec a, float b, vec c) {
#if defined(VNNI512)
  return (vec)_mm512_fmadd_ps((__m512)a, _mm512_set1_ps(b), (__m512)c);
#elif defined(__FMA__)
  return (vec)_mm256_fmadd_ps((__m256)a, _mm256_set1_ps(b), (__m256)c);
#else
  return c + a * b;
#endif
}

typedef const float *restrict In;
typedef float *restrict Out;
typedef struct { In a; int64_t row_step, k_step; In b; int64_t ldb; Out c; int64_t ldc, rows, n, depth; } Product;

// Tile of `high` rows from m and `vecs` vectors of columns from j of c (+)= sum over k ascending of a[m][k] * b[k][n].
INLINE void sum_tile(const Product *p, int64_t m, int64_t j, int64_t from, int64_t to, const int high, const int vecs, int more) {
  const float *a = p->a + m * p->row_step + from * p->k_step, *b = p->b + from * p->ldb + j;
  float *c = p->c + m * p->ldc + j;
  int64_t row_step = p->row_step, k_step = p->k_step, ldb = p->ldb, ldc = p->ldc;
  vec acc[4][2];
  for (int i = 0; i < high; i++)
    for (int v = 0; v < vecs; v++) acc[i][v] = more ? lanes_at(c + i * ldc, v) : (vec){0};
  for (int64_t k = from; k < to; k++, a += k_step, b += ldb) {
    vec right[2];
    for (int v = 0; v < vecs; v++) right[v] = lanes_at(b, v);
    for (int i = 0; i < high; i++)
      for (int v = 0; v < vecs; v++) acc[i][v] = fused(right[v], a[i * row_step], acc[i][v]);
  }
  for (int i = 0; i < high; i++)
    for (int v = 0; v < vecs; v++) *(vec_mem *)(c + i * ldc + v * LANES) = acc[i][v];
}

INLINE void sum_one(const Product *p, int64_t m, int64_t j, int64_t from, int64_t to, int more) {
  float sum = more ? p->c[m * p->ldc + j] : 0.0f;
  for (int64_t k = from; k < to; k++) sum = sum + p->a[m * p->row_step + k * p->k_step] * p->b[k * p->ldb + j];
  p->c[m * p->ldc + j] = sum;
}

// What the causal mask leaves of a product. A query sees the keys up to its own; `ahead` is the first query's position less
// the first key's. Values of c that no query sees may stay as they are, and terms that are zero are left out.
enum { QUERIES_BY_KEYS, KEYS_SUMMED, QUERIES_SUMMED };

// Rows from..to-1 of depth, `high` rows from m: 0 when nothing is left.
INLINE int terms_left(const int kind, int64_t ahead, int64_t m, int64_t j, const int high, int64_t *from, int64_t *to) {
  if (kind == QUERIES_BY_KEYS && j >= ahead + m + high) return 0;
  if (kind == KEYS_SUMMED && *to > ahead + m + high) *to = ahead + m + high;
  if (kind == QUERIES_SUMMED && *from < m - ahead) *from = m - ahead;
  return *from < *to;
}

// c[rows][n] (+)= a * b; n of any length, each output its own ascending sum from c or +0 [A2]. Columns outermost: their part
// of b stays near for all rows.
INLINE void multiply(const Product *p, const int kind, int64_t ahead, int more) {
  for (int64_t k0 = 0; k0 < p->depth; k0 += DEPTH_BLOCK, more = 1) {
    int64_t k1 = p->depth - k0 < DEPTH_BLOCK ? p->depth : k0 + DEPTH_BLOCK, j = 0;
#define ROWS_OF(high, sum, ...) \
  for (; m + high <= p->rows; m += high) { \
    int64_t from = k0, to = k1; \
    if (terms_left(kind, ahead, m, j, high, &from, &to)) sum(p, m, j, from, to, ##__VA_ARGS__, more); \
  }
    for (int64_t m = 0; j + 2 * LANES <= p->n; j += 2 * LANES, m = 0) {
      ROWS_OF(4, sum_tile, 4, 2)
      ROWS_OF(1, sum_tile, 1, 2)
    }
    for (int64_t m = 0; j + LANES <= p->n; j += LANES, m = 0) {
      ROWS_OF(4, sum_tile, 4, 1)
      ROWS_OF(1, sum_tile, 1, 1)
    }
    for (int64_t m = 0; j < p->n; j++, m = 0) ROWS_OF(1, sum_one)
#undef ROWS_OF
  }
}

// [A2] Scores of queries and keys, and what stands in their place for values.
NOINLINE void queries_by_keys(Product p, int64_t ahead) { multiply(&p, QUERIES_BY_KEYS, ahead, 0); }
NOINLINE void sum_keys(Product p, int64_t ahead, int more) { multiply(&p, KEYS_SUMMED, ahead, more); }
NOINLINE void sum_queries(Product p, int64_t ahead) { multiply(&p, QUERIES_SUMMED, ahead, 1); }

static int32_t round_row(In x, Out to, int64_t n) {
  int32_t most = 0;
  for (int64_t i = 0; i < n; i++) to[i] = bf16_fixed(x[i], &most);
  return most;
}

// Rounds rows of `width` values, `stride` apart, to rows `lead` apart.
static int32_t round_rows(In x, Out to, int64_t rows, int64_t width, int64_t stride, int64_t lead) {
  int32_t most = 0;
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < width; i += 16) fetch(x + (r + 8) * stride + i);
    int32_t seen = round_row(x + r * stride, to + r * lead, width);
    most = seen > most ? seen : most;
  }
  return most;
}

// Transposed blocks of BLOCK_KEYS rows: to[block][width][BLOCK_KEYS]. Rows are filled up to a whole group of 16 with zeros.
static void transpose(In x, Out to, int64_t rows, int64_t width, int64_t lead) {
  for (int64_t j0 = 0; j0 < rows; j0 += BLOCK_KEYS) {
    int64_t n = rows - j0 < BLOCK_KEYS ? rows - j0 : BLOCK_KEYS, wide = (n + 15) / 16 * 16;
    const float *from = x + j0 * lead;
    for (int64_t d = 0; d < width; d++) {
      float *line = to + j0 * width + d * BLOCK_KEYS;
      for (int64_t r = 0; r < n; r++) line[r] = from[r * lead + d];
      for (int64_t r = n; r < wide; r++) line[r] = 0.0f;
    }
  }
}

// [A3] Scores to unnormalised bf16 weights; returns the maximum and the reciprocal of the sum. Rows are of whole groups of
// 16: beyond n, scores of minus infinity and weights of zero change neither.
static void soften(float *s, int64_t n, float scale, float *max, float *reciprocal) {
  int64_t wide = (n + 15) / 16 * 16;
  int32_t most = 0;
  for (int64_t j = 0; j < wide; j++) s[j] = s[j] * scale;
  for (int64_t j = n; j < wide; j++) s[j] = -__builtin_inff();
  float m = row_max(s, wide);
  for (int64_t j = 0; j < wide; j++) s[j] = exp_fixed(s[j] - m);
  for (int64_t j = n; j < wide; j++) s[j] = 0.0f;
  *max = m;
  *reciprocal = 1.0f / sum16(s, wide);
  for (int64_t j = 0; j < wide; j++) s[j] = bf16_fixed(s[j], &most);
}

INLINE float score_scale(int64_t width) { return 1.0f / __builtin_sqrtf((float)width); }

// Floats from row to row of an own copy of rows of n: an odd number of cache lines, for rows a power of two apart share few
// places of the near cache.
INLINE int64_t odd_lines(int64_t n) { return ((n + 15) / 16 | 1) * 16; }

// A task is a key head of a sequence with its query heads. A thread's own copies of their rows: `copy` floats each, rows
// `lead` apart; transposed, `turned` floats; a row of scores, `padded` floats.
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
  s.turned = s.width * ((s.seq + BLOCK_KEYS - 1) / BLOCK_KEYS * BLOCK_KEYS);
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
  share(ctx, tasks, 1, &lo, &hi);
  float *qb = (float *)at(ctx, w[10]) + slot_of(ctx, tasks, lo) * (3 * s.copy + s.turned + ROWS * s.padded);
  float *kb = qb + s.copy, *vb = kb + s.copy, *kt = vb + s.copy, *p = kt + s.turned;
  for (int64_t task = lo; task < hi; task++) {
    int64_t t0 = task / s.kv * s.seq, g = task % s.kv, c0 = t0 * s.c_stride + g * s.width;
    check_bf16(ctx, round_rows(k + c0, kb, s.seq, s.width, s.c_stride, s.lead));
    check_bf16(ctx, round_rows(v + c0, vb, s.seq, s.width, s.c_stride, s.lead));
    transpose(kb, kt, s.seq, s.width, s.lead);
    for (int64_t h = g * s.group; h < (g + 1) * s.group; h++) {
      int64_t q0 = t0 * s.q_stride + h * s.width;
      check_bf16(ctx, round_rows(q + q0, qb, s.seq, s.width, s.q_stride, s.lead));
      for (int64_t i0 = 0; i0 < s.seq; i0 += ROWS) {
        int64_t rows = smaller(ROWS, s.seq - i0), keys = i0 + rows, wide = (keys + 15) / 16 * 16;
        float *to = out + q0 + i0 * s.q_stride, *stat = stats + (t0 + i0) * 2 * s.heads + 2 * h;
        for (int64_t j0 = 0; j0 < keys; j0 += BLOCK_KEYS)
          queries_by_keys((Product){qb + i0 * s.lead, s.lead, 1, kt + j0 * s.width, BLOCK_KEYS, p + j0, s.padded, rows, smaller(BLOCK_KEYS, wide - j0), s.width}, i0 - j0);
        for (int64_t r = 0; r < rows; r++) soften(p + r * s.padded, i0 + r + 1, s.scale, stat + r * 2 * s.heads, stat + r * 2 * s.heads + 1);
        sum_keys((Product){p, s.padded, 1, vb, s.lead, to, s.q_stride, rows, s.width, keys}, i0, 0);
        for (int64_t r = 0; r < rows; r++) {
          float reciprocal = stat[r * 2 * s.heads + 1];
          for (int64_t d = 0; d < s.width; d++) to[r * s.q_stride + d] = to[r * s.q_stride + d] * reciprocal;
          check_finite(ctx, to + r * s.q_stride, s.width);
          check_finite(ctx, stat + r * 2 * s.heads, 2);
        }
      }
    }
  }
}

// A block of the gradient: some queries of a head, some keys; weights and score gradients, [BLOCK_ROWS][BLOCK_KEYS].
typedef struct {
  int64_t rows, keys, ahead;
  float *p, *ds;
} Block;

// [A4] Scores and dp to bf16 weights and score gradients, zero where a query does not see a key or there is none.
static int32_t score_gradients(Block b, float scale, const float *stat, int64_t stat_stride, const float *dots) {
  int32_t most = 0;
  for (int64_t r = 0; r < b.rows; r++) {
    int64_t seen = b.ahead + r + 1, n = seen < 0 ? 0 : seen < b.keys ? seen : b.keys, wide = (n + 15) / 16 * 16;
    float *restrict e = b.p + r * BLOCK_KEYS, *restrict g = b.ds + r * BLOCK_KEYS;
    float m = stat[r * stat_stride], reciprocal = stat[r * stat_stride + 1], dot = dots[r];
    for (int64_t j = 0; j < wide; j++) {
      float weight = exp_fixed(e[j] * scale - m) * reciprocal;
      e[j] = weight;
      g[j] = (weight * (g[j] - dot)) * scale;
    }
    for (int64_t j = n; j < BLOCK_KEYS; j++) e[j] = g[j] = 0.0f;
  }
  for (int64_t j = 0; j < b.rows * BLOCK_KEYS; j++) b.p[j] = bf16_fixed(b.p[j], &most);
  for (int64_t j = 0; j < b.rows * BLOCK_KEYS; j++) b.ds[j] = bf16_fixed(b.ds[j], &most);
  return most;
}

// Sums of a block of keys: from `from`, or +0 for the first query head; to `to` after the last query.
INLINE void begin_sums(float *sums, const float *from, int64_t keys, const Shape *s, int first) {
  for (int64_t r = 0; r < keys; r++)
    if (first) __builtin_memset(sums + r * s->lead, 0, s->width * 4);
    else __builtin_memcpy(sums + r * s->lead, from + r * s->c_stride, s->width * 4);
}

INLINE void end_sums(Context *ctx, const float *sums, float *to, int64_t rows, int64_t stride, const Shape *s) {
  for (int64_t r = 0; r < rows; r++) {
    __builtin_memcpy(to + r * stride, sums + r * s->lead, s->width * 4);
    check_finite(ctx, sums + r * s->lead, s->width);
  }
}

// w: dOut, q, k, v, out, stats, dq, dk, dv, batch, seq, heads, kvHeads, width, scratch
// Keys outermost, so that theirs stay near while queries pass.
static void k_attention_grad(Context *ctx, const int32_t *w) {
  const float *d_out = at(ctx, w[0]), *q = at(ctx, w[1]), *k = at(ctx, w[2]), *v = at(ctx, w[3]);
  const float *out = at(ctx, w[4]), *stats = at(ctx, w[5]);
  float *dq = at(ctx, w[6]), *dk = at(ctx, w[7]), *dv = at(ctx, w[8]);
  Shape s = shape_of(w + 9);
  int64_t tasks = s.batch * s.kv, lo, hi, block = BLOCK_ROWS * BLOCK_KEYS, sums = BLOCK_KEYS * s.lead;
  share(ctx, tasks, 1, &lo, &hi);
  float *qb = (float *)at(ctx, w[14]) + slot_of(ctx, tasks, lo) * (4 * s.copy + 2 * s.turned + 2 * block + 2 * sums + s.padded);
  float *db = qb + s.copy, *kb = db + s.copy, *dq_sums = kb + s.copy, *kt = dq_sums + s.copy, *vt = kt + s.turned;
  float *p = vt + s.turned, *ds = p + block, *dk_sums = ds + block, *dv_sums = dk_sums + sums, *dots = dv_sums + sums;
  for (int64_t task = lo; task < hi; task++) {
    int64_t t0 = task / s.kv * s.seq, g = task % s.kv, c0 = t0 * s.c_stride + g * s.width;
    check_bf16(ctx, round_rows(v + c0, kb, s.seq, s.width, s.c_stride, s.lead));
    transpose(kb, vt, s.seq, s.width, s.lead);
    check_bf16(ctx, round_rows(k + c0, kb, s.seq, s.width, s.c_stride, s.lead));
    transpose(kb, kt, s.seq, s.width, s.lead);
    for (int64_t h = 0; h < s.group; h++) {
      int64_t q0 = t0 * s.q_stride + (g * s.group + h) * s.width, stat_stride = 2 * s.heads;
      const float *stat = stats + t0 * stat_stride + 2 * (g * s.group + h);
      check_bf16(ctx, round_rows(q + q0, qb, s.seq, s.width, s.q_stride, s.lead));
      check_bf16(ctx, round_rows(d_out + q0, db, s.seq, s.width, s.q_stride, s.lead));
      for (int64_t t = 0; t < s.seq; t++) {
        for (int64_t d = 0; d < s.width; d += 16) fetch(out + q0 + (t + 8) * s.q_stride + d);
        dots[t] = dot16(d_out + q0 + t * s.q_stride, out + q0 + t * s.q_stride, s.width);
      }
      for (int64_t j0 = 0; j0 < s.seq; j0 += BLOCK_KEYS) {
        int64_t keys = smaller(BLOCK_KEYS, s.seq - j0);
        begin_sums(dk_sums, dk + c0 + j0 * s.c_stride, keys, &s, h == 0);
        begin_sums(dv_sums, dv + c0 + j0 * s.c_stride, keys, &s, h == 0);
        for (int64_t i0 = j0; i0 < s.seq; i0 += BLOCK_ROWS) {
          int64_t rows = smaller(BLOCK_ROWS, s.seq - i0), ahead = i0 - j0, n = smaller(keys, ahead + rows), wide = (n + 15) / 16 * 16;
          const float *q_rows = qb + i0 * s.lead, *d_rows = db + i0 * s.lead;
          queries_by_keys((Product){q_rows, s.lead, 1, kt + j0 * s.width, BLOCK_KEYS, p, BLOCK_KEYS, rows, wide, s.width}, ahead);
          queries_by_keys((Product){d_rows, s.lead, 1, vt + j0 * s.width, BLOCK_KEYS, ds, BLOCK_KEYS, rows, wide, s.width}, ahead);
          check_bf16(ctx, score_gradients((Block){rows, n, ahead, p, ds}, s.scale, stat + i0 * stat_stride, stat_stride, dots + i0));
          sum_keys((Product){ds, BLOCK_KEYS, 1, kb + j0 * s.lead, s.lead, dq_sums + i0 * s.lead, s.lead, rows, s.width, n}, ahead, j0 > 0);
          sum_queries((Product){p, 1, BLOCK_KEYS, d_rows, s.lead, dv_sums, s.lead, n, s.width, rows}, ahead);
          sum_queries((Product){ds, 1, BLOCK_KEYS, q_rows, s.lead, dk_sums, s.lead, n, s.width, rows}, ahead);
        }
        end_sums(ctx, dk_sums, dk + c0 + j0 * s.c_stride, keys, s.c_stride, &s);
        end_sums(ctx, dv_sums, dv + c0 + j0 * s.c_stride, keys, s.c_stride, &s);
      }
      end_sums(ctx, dq_sums, dq + q0, s.seq, s.q_stride, &s);
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
