// Owns causal grouped-query attention: whole sequences, their gradients, single positions against a cache. Scores are
// computed anew in each pass instead of kept. All products are of bf16 values and exact [A1].
#include "kernel.cuh"

// Keys or queries a block handles at once, a thread each; a multiple of 16, so that lanes stay lanes.
#define KEYS 128
#define MOST_WIDTH 256
// Elements of a head a thread sums: the widest head by the threads of a block.
#define OWN (MOST_WIDTH / KEYS)

DEVICE float scale_of_scores(int width) { return quotient(1.0f, root(__int2float_rn(width))); }

// Ascending sum of b(x_d) * b(y_d), x rounded already.
DEVICE float dot_rounded(int *status, int at, const float *x, const float *y, int width) {
  float sum = 0.0f;
  for (int d = 0; d < width; d++) sum = add(sum, mul(x[d], BF16(y[d])));
  return sum;
}

typedef struct {
  float query[MOST_WIDTH], weight[KEYS], lane[16], most[KEYS];
} Attend;

// [A2] [A3] One query over keys 0 .. n-1, rows `stride` apart. Every thread of the block calls it.
DEVICE void attend(int *status, int at, Attend *s, const float *q, const float *k, const float *v, int64_t stride, int n, int width, float *out, float *stats) {
  int own = threadIdx.x;
  float scale = scale_of_scores(width), sums[OWN], total = 0.0f;
  for (int i = 0; i < OWN; i++) sums[i] = 0.0f;
  for (int d = own; d < width; d += KEYS) s->query[d] = BF16(q[d]);
  __syncthreads();
  float most = float_of((int)0xff800000);
  for (int j = own; j < n; j += KEYS) {
    float score = mul(dot_rounded(status, at, s->query, k + j * stride, width), scale);
    most = score > most ? score : most;
  }
  s->most[own] = most;
  __syncthreads();
  if (own == 0) {
    for (int i = 1; i < KEYS; i++) most = s->most[i] > most ? s->most[i] : most;
    s->most[0] = add(most, 0.0f);
  }
  __syncthreads();
  most = s->most[0];
  for (int j0 = 0; j0 < n; j0 += KEYS) {
    int j = j0 + own, some = n - j0 < KEYS ? n - j0 : KEYS;
    if (j < n) s->weight[own] = exp_fixed(sub(mul(dot_rounded(status, at, s->query, k + j * stride, width), scale), most));
    __syncthreads();
    if (own < 16)
      for (int i = own; i < some; i += 16) total = add(total, s->weight[i]);
    for (int i = 0, d = own; i < OWN; i++, d += KEYS)
      if (d < width)
        for (int key = 0; key < some; key++) sums[i] = add(sums[i], mul(BF16(s->weight[key]), BF16(v[(j0 + key) * stride + d])));
    __syncthreads();
  }
  if (own < 16) s->lane[own] = total;
  __syncthreads();
  if (own == 0) {
    float reciprocal = quotient(1.0f, tree16(s->lane));
    s->most[1] = reciprocal;
    FINITE(most);
    FINITE(reciprocal);
    if (stats) {
      stats[0] = most;
      stats[1] = reciprocal;
    }
  }
  __syncthreads();
  for (int i = 0, d = own; i < OWN; i++, d += KEYS)
    if (d < width) {
      float y = mul(sums[i], s->most[1]);
      out[d] = y;
      FINITE(y);
    }
}

// Where a block's query stands: row of q, its head's columns, first row of its sequence, its key head's columns.
#define QUERY(batch_words) \
  int seq = w[batch_words + 1], heads = w[batch_words + 2], kv = w[batch_words + 3], width = w[batch_words + 4]; \
  int64_t qs = (int64_t)heads * width, cs = (int64_t)kv * width

// w: q, k, v, out, stats, batch, seq, heads, kvHeads, width. A block a query of a head.
BLOCK_KERNEL(k_attention) {
  BEGIN;
  __shared__ Attend s;
  QUERY(5);
  int64_t h = blockIdx.x % heads, t = blockIdx.x / heads, i = t % seq, t0 = t - i, g = h / (heads / kv);
  attend(status, at, &s, FLOATS(0) + t * qs + h * width, FLOATS(1) + t0 * cs + g * width, FLOATS(2) + t0 * cs + g * width, cs, (int)i + 1, width,
         FLOATS(3) + t * qs + h * width, FLOATS(4) + t * 2 * heads + 2 * h);
}

// w: q, kCache, vCache, slot, pos, out, R, heads, kvHeads, width, SLOTS, P [A5]. A block a row's head.
BLOCK_KERNEL(k_attention_decode) {
  BEGIN;
  __shared__ Attend s;
  int heads = w[7], kv = w[8], width = w[9];
  int64_t r = blockIdx.x / heads, h = blockIdx.x % heads, cs = (int64_t)kv * width;
  int slot = INTS(3)[r], pos = INTS(4)[r];
  if ((unsigned)slot >= (unsigned)w[10] || (unsigned)pos >= (unsigned)w[11]) {
    FAIL(BAD_INDEX);
    return;
  }
  int64_t base = (int64_t)slot * w[11] * cs + h / (heads / kv) * width;
  attend(status, at, &s, FLOATS(0) + (r * heads + h) * width, FLOATS(1) + base, FLOATS(2) + base, cs, pos + 1, width,
         FLOATS(5) + (r * heads + h) * width, 0);
}

// w: dOut, out, dots, rows, width: lanes of dOut * out of each head of each row [A4], sixteen threads each.
BLOCK_KERNEL(k_head_dots) {
  BEGIN;
  __shared__ float lanes[ROWS_PER_BLOCK][16];
  int64_t row = ROW_OF;
  int own = threadIdx.x / 16, lane = LANE, width = w[4];
  if (row < w[3]) {
    float sum = 0.0f;
    for (int d = lane; d < width; d += 16) sum = add(sum, mul(FLOATS(0)[row * width + d], FLOATS(1)[row * width + d]));
    lanes[own][lane] = sum;
  }
  __syncthreads();
  if (row < w[3] && lane == 0) FLOATS(2)[row] = tree16(lanes[own]);
}

typedef struct {
  float weight[KEYS], score[KEYS];
} Backward;

// p and g of one query and key [A4], from rounded rows and the row's statistics.
DEVICE void pair(int *status, int at, const float *q, const float *k, const float *dy, const float *v, int width, float scale, const float *stats, float dot, float *p, float *g) {
  float s = 0.0f, dp = 0.0f;
  for (int d = 0; d < width; d++) {
    s = add(s, mul(BF16(q[d]), BF16(k[d])));
    dp = add(dp, mul(BF16(dy[d]), BF16(v[d])));
  }
  float weight = mul(exp_fixed(sub(mul(s, scale), stats[0])), stats[1]);
  *g = BF16(mul(mul(weight, sub(dp, dot)), scale));
  *p = BF16(weight);
}

// w: dOut, q, k, v, stats, dots, dq, batch, seq, heads, kvHeads, width. A block a query of a head.
BLOCK_KERNEL(k_attention_grad_q) {
  BEGIN;
  __shared__ Backward s;
  QUERY(7);
  int own = threadIdx.x;
  int64_t h = blockIdx.x % heads, t = blockIdx.x / heads, i = t % seq, t0 = t - i, g = h / (heads / kv);
  const float *q = FLOATS(1) + t * qs + h * width, *dy = FLOATS(0) + t * qs + h * width;
  const float *k = FLOATS(2) + t0 * cs + g * width, *v = FLOATS(3) + t0 * cs + g * width;
  float scale = scale_of_scores(width), sums[OWN];
  for (int e = 0; e < OWN; e++) sums[e] = 0.0f;
  for (int64_t j0 = 0; j0 <= i; j0 += KEYS) {
    int64_t j = j0 + own;
    int some = (int)(i + 1 - j0 < KEYS ? i + 1 - j0 : KEYS);
    if (j <= i) pair(status, at, q, k + j * cs, dy, v + j * cs, width, scale, FLOATS(4) + t * 2 * heads + 2 * h, FLOATS(5)[t * heads + h], &s.weight[own], &s.score[own]);
    __syncthreads();
    for (int e = 0, d = own; e < OWN; e++, d += KEYS)
      if (d < width)
        for (int key = 0; key < some; key++) sums[e] = add(sums[e], mul(s.score[key], BF16(k[(j0 + key) * cs + d])));
    __syncthreads();
  }
  for (int e = 0, d = own; e < OWN; e++, d += KEYS)
    if (d < width) {
      FLOATS(6)[t * qs + h * width + d] = sums[e];
      FINITE(sums[e]);
    }
}

// w: dOut, q, k, v, stats, dots, dk, dv, batch, seq, heads, kvHeads, width. A block a key of a key head: heads of the
// group ascending, within each queries ascending.
BLOCK_KERNEL(k_attention_grad_kv) {
  BEGIN;
  __shared__ Backward s;
  QUERY(8);
  int own = threadIdx.x;
  int64_t g = blockIdx.x % kv, t = blockIdx.x / kv, j = t % seq, t0 = t - j, group = heads / kv;
  const float *k = FLOATS(2) + t * cs + g * width, *v = FLOATS(3) + t * cs + g * width;
  float scale = scale_of_scores(width), dk[OWN], dv[OWN];
  for (int e = 0; e < OWN; e++) dk[e] = dv[e] = 0.0f;
  for (int64_t h = g * group; h < (g + 1) * group; h++)
    for (int64_t i0 = j; i0 < seq; i0 += KEYS) {
      int64_t i = i0 + own;
      int some = (int)(seq - i0 < KEYS ? seq - i0 : KEYS);
      const float *q = FLOATS(1) + t0 * qs + h * width, *dy = FLOATS(0) + t0 * qs + h * width;
      if (i < seq)
        pair(status, at, q + i * qs, k, dy + i * qs, v, width, scale, FLOATS(4) + (t0 + i) * 2 * heads + 2 * h, FLOATS(5)[(t0 + i) * heads + h], &s.weight[own], &s.score[own]);
      __syncthreads();
      for (int e = 0, d = own; e < OWN; e++, d += KEYS)
        if (d < width)
        for (int query = 0; query < some; query++) {
          dv[e] = add(dv[e], mul(s.weight[query], BF16(dy[(i0 + query) * qs + d])));
          dk[e] = add(dk[e], mul(s.score[query], BF16(q[(i0 + query) * qs + d])));
        }
      __syncthreads();
    }
  for (int e = 0, d = own; e < OWN; e++, d += KEYS)
    if (d < width) {
      FLOATS(6)[t * cs + g * width + d] = dk[e];
      FLOATS(7)[t * cs + g * width + d] = dv[e];
      FINITE(dk[e]);
      FINITE(dv[e]);
    }
}
