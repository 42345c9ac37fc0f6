// Owns cross-entropy, the global gradient norm and AdamW. Threads split rows or elements; scalar sums are thread 0's.

static int64_t count_targets(const int32_t *targets, int64_t T) {
  int64_t n = 0;
  for (int64_t t = 0; t < T; t++) n += targets[t] >= 0;
  return n;
}

#define SUM_CHUNK 4096

// [R2] Chunks of 4096, each by [R1], added ascending from +0.
static float sum_chunks(const float *x, int64_t n) {
  float total = 0.0f;
  for (int64_t i = 0; i < n; i += SUM_CHUNK) total = total + sum16(x + i, n - i < SUM_CHUNK ? n - i : SUM_CHUNK);
  return total;
}

static float row_max(const float *x, int64_t n) {
  vec most[PARTS];
  float lane[16];
  int64_t i = 0;
  for (int p = 0; p < PARTS; p++) most[p] = (vec){0} + x[0];
  for (; i + 16 <= n; i += 16)
    for (int p = 0; p < PARTS; p++) {
      ivec here = (ivec)lanes_at(x + i, p), more = (vec)here > most[p];
      most[p] = (vec)((here & more) | ((ivec)most[p] & ~more));
    }
  for (int p = 0; p < PARTS; p++) *(vec_mem *)(lane + p * LANES) = most[p];
  float m = lane[0];
  for (int l = 1; l < 16; l++) m = lane[l] > m ? lane[l] : m;
  for (; i < n; i++) m = x[i] > m ? x[i] : m;
  return m + 0.0f;
}

// [R3] Sum of exp(x - m) in the order of [R1].
static float sum_exp(const float *x, int64_t n, float m) {
  Sums s = {0};
  float e[16];
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int l = 0; l < 16; l++) e[l] = exp_fixed(x[i + l] - m);
    for (int p = 0; p < PARTS; p++) s.part[p] = s.part[p] + lanes_at(e, p);
  }
  for (int l = 0; i + l < n; l++) e[l] = exp_fixed(x[i + l] - m);
  return tree16(s, e, n - i);
}

// [L1]
static void k_cross_entropy(Context *ctx, const int32_t *w) {
  const float *logits = at(ctx, w[0]);
  const int32_t *targets = at(ctx, w[1]);
  float *loss = at(ctx, w[2]), *token_loss = at(ctx, w[3]), *stats = at(ctx, w[4]);
  int64_t T = w[5], V = w[6], lo, hi;
  share(ctx, T, 16, &lo, &hi);
  for (int64_t t = lo; t < hi; t++) {
    const float *row = logits + t * V;
    float m = row_max(row, V), l = sum_exp(row, V, m);
    stats[2 * t] = m;
    stats[2 * t + 1] = 1.0f / l;
    token_loss[t] = 0.0f;
    if (targets[t] >= V) fail(ctx, REASON_BAD_INDEX);
    else if (targets[t] >= 0) token_loss[t] = (m + log_fixed(l)) - row[targets[t]];
  }
  check_finite(ctx, token_loss + lo, hi - lo);
  check_finite(ctx, stats + 2 * lo, 2 * (hi - lo));
  barrier(ctx);
  if (ctx->index != 0) return;
  int64_t n = count_targets(targets, T);
  loss[0] = n == 0 ? 0.0f : sum_chunks(token_loss, T) / (float)n;
  check_finite(ctx, loss, 1);
}

// [L2]
static void k_cross_entropy_grad(Context *ctx, const int32_t *w) {
  const float *logits = at(ctx, w[0]), *stats = at(ctx, w[2]);
  const int32_t *targets = at(ctx, w[1]);
  float *d_logits = at(ctx, w[3]);
  int64_t T = w[4], V = w[5], lo, hi;
  int64_t n = count_targets(targets, T);
  float inverse = n == 0 ? 0.0f : 1.0f / (float)n;
  share(ctx, T, 16, &lo, &hi);
  for (int64_t t = lo; t < hi; t++) {
    const float *row = logits + t * V;
    float *to = d_logits + t * V, m = stats[2 * t], r = stats[2 * t + 1];
    if (targets[t] >= V) fail(ctx, REASON_BAD_INDEX);
    if (targets[t] < 0 || targets[t] >= V) {
      __builtin_memset(to, 0, V * 4);
      continue;
    }
    for (int64_t i = 0; i < V; i++) to[i] = (exp_fixed(row[i] - m) * r) * inverse;
    to[targets[t]] = (exp_fixed(row[targets[t]] - m) * r - 1.0f) * inverse;
    check_finite(ctx, to, V);
  }
}

// [O1] Square root of the sum of squares: chunks of 4096 by [R1], added ascending, tensors in operand order.
static void k_grad_norm(Context *ctx, const int32_t *w) {
  float *partial = at(ctx, w[0]), *norm = at(ctx, w[1]);
  int64_t tensors = w[2], chunk = 0;
  for (int64_t i = 0; i < tensors; i++) {
    const float *g = at(ctx, w[3 + 2 * i]);
    int64_t n = w[4 + 2 * i], lo, hi;
    share(ctx, n, SUM_CHUNK, &lo, &hi);
    for (int64_t j = lo; j < hi; j += SUM_CHUNK) partial[chunk + j / SUM_CHUNK] = dot16(g + j, g + j, hi - j < SUM_CHUNK ? hi - j : SUM_CHUNK);
    chunk += (n + SUM_CHUNK - 1) / SUM_CHUNK;
  }
  barrier(ctx);
  if (ctx->index != 0) return;
  float total = 0.0f;
  for (int64_t c = 0; c < chunk; c++) total = total + partial[c];
  norm[0] = __builtin_sqrtf(total);
  check_finite(ctx, norm, 1);
}

// [O2] hyper = lr, beta1, beta2, eps, weight decay, bias corrections 1 and 2, clip norm.
static void k_adamw(Context *ctx, const int32_t *w) {
  float *restrict p = at(ctx, w[0]), *restrict m = at(ctx, w[1]), *restrict v = at(ctx, w[2]);
  const float *restrict g = at(ctx, w[3]);
  const float *norm = at(ctx, w[4]), *hyper = at(ctx, w[5]);
  float lr = hyper[0], b1 = hyper[1], b2 = hyper[2], eps = hyper[3];
  float decay = w[7] ? hyper[4] : 0.0f;
  float c1 = 1.0f - b1, c2 = 1.0f - b2, r1 = 1.0f / hyper[5], r2 = 1.0f / hyper[6];
  float clip = hyper[7] > 0.0f && norm[0] > hyper[7] ? hyper[7] / norm[0] : 1.0f;
  check_finite(ctx, hyper, 8);
  check_finite(ctx, norm, 1);
  TILES(w[6]) {
    for (int64_t i = t; i < e; i++) {
      float grad = g[i] * clip;
      float first = b1 * m[i] + c1 * grad;
      float second = b2 * v[i] + c2 * (grad * grad);
      float step = (first * r1) / (__builtin_sqrtf(second * r2) + eps);
      m[i] = first;
      v[i] = second;
      p[i] = p[i] - lr * (step + decay * p[i]);
    }
    check_finite(ctx, m + t, e - t);
    check_finite(ctx, v + t, e - t);
    check_finite(ctx, p + t, e - t);
  }
}
