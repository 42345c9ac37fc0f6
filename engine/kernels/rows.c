// Owns gathering, RMS norm, rotary positions and elementwise instructions. Threads split rows or columns.

static void k_check(Context *ctx, const int32_t *w) {
  const float *x = at(ctx, w[0]);
  int64_t lo, hi;
  share(ctx, w[1], 1024, &lo, &hi);
  check_finite(ctx, x + lo, hi - lo);
}

// [G1]
static void k_embed(Context *ctx, const int32_t *w) {
  const float *table = at(ctx, w[0]);
  const int32_t *ids = at(ctx, w[1]);
  float *out = at(ctx, w[2]);
  int64_t V = w[3], D = w[4], lo, hi;
  share(ctx, w[5], 1, &lo, &hi);
  for (int64_t t = lo; t < hi; t++) {
    if ((uint32_t)ids[t] >= (uint32_t)V) {
      fail(ctx, REASON_BAD_INDEX);
      continue;
    }
    __builtin_memcpy(out + t * D, table + ids[t] * D, D * 4);
    check_finite(ctx, out + t * D, D);
  }
}

// [G2] Each row of the table sums its tokens in ascending position, from +0.
static void k_embed_grad(Context *ctx, const int32_t *w) {
  const float *d_out = at(ctx, w[0]);
  const int32_t *ids = at(ctx, w[1]);
  float *d_table = at(ctx, w[2]);
  int64_t V = w[3], D = w[4], T = w[5], lo, hi;
  share(ctx, V, 1, &lo, &hi);
  __builtin_memset(d_table + lo * D, 0, (hi - lo) * D * 4);
  for (int64_t t = 0; t < T; t++) {
    int64_t id = ids[t];
    if (id < 0 || id >= V) fail(ctx, REASON_BAD_INDEX);
    if (id < lo || id >= hi) continue;
    float *row = d_table + id * D;
    const float *add = d_out + t * D;
    for (int64_t d = 0; d < D; d++) row[d] = row[d] + add[d];
  }
  check_finite(ctx, d_table + lo * D, (hi - lo) * D);
}

// [N1]
static void k_rms_norm(Context *ctx, const int32_t *w) {
  const float *x = at(ctx, w[0]), *gain = at(ctx, w[1]);
  float *out = at(ctx, w[2]), *rstd = at(ctx, w[3]);
  int64_t D = w[5], lo, hi;
  float eps = float_of(w[6]);
  share(ctx, w[4], 16, &lo, &hi);
  for (int64_t t = lo; t < hi; t++) {
    const float *row = x + t * D;
    float *to = out + t * D;
    float r = 1.0f / __builtin_sqrtf(dot16(row, row, D) / (float)D + eps);
    rstd[t] = r;
    for (int64_t d = 0; d < D; d++) to[d] = (row[d] * r) * gain[d];
    check_finite(ctx, to, D);
  }
  check_finite(ctx, rstd + lo, hi - lo);
}

// [N2]
static void k_rms_norm_grad_x(Context *ctx, const int32_t *w) {
  const float *dy = at(ctx, w[0]), *x = at(ctx, w[1]), *gain = at(ctx, w[2]), *rstd = at(ctx, w[3]);
  float *dx = at(ctx, w[4]);
  int64_t D = w[6], lo, hi;
  share(ctx, w[5], 16, &lo, &hi);
  for (int64_t t = lo; t < hi; t++) {
    const float *y = dy + t * D, *row = x + t * D;
    float *to = dx + t * D, r = rstd[t];
    Sums s = {0};
    float last[16];
    int64_t d = 0;
    for (; d + 16 <= D; d += 16)
      for (int p = 0; p < PARTS; p++)
        s.part[p] = s.part[p] + (lanes_at(y + d, p) * lanes_at(gain + d, p)) * (lanes_at(row + d, p) * r);
    for (int l = 0; d + l < D; l++) last[l] = (y[d + l] * gain[d + l]) * (row[d + l] * r);
    float c = tree16(s, last, D - d) / (float)D;
    for (d = 0; d < D; d++) to[d] = (y[d] * gain[d] - (row[d] * r) * c) * r;
    check_finite(ctx, to, D);
  }
}

#define GAIN_ROWS 64

// [N3] Per column: rows ascending inside chunks of 64, chunks ascending. Threads split chunks, then columns.
static void k_rms_norm_grad_gain(Context *ctx, const int32_t *w) {
  const float *dy = at(ctx, w[0]), *x = at(ctx, w[1]), *rstd = at(ctx, w[2]);
  float *d_gain = at(ctx, w[3]), *parts = at(ctx, w[6]);
  int64_t T = w[4], D = w[5], lo, hi;
  share(ctx, T, GAIN_ROWS, &lo, &hi);
  for (int64_t t0 = lo; t0 < hi; t0 += GAIN_ROWS) {
    float *part = parts + t0 / GAIN_ROWS * D;
    int64_t end = t0 + GAIN_ROWS < hi ? t0 + GAIN_ROWS : hi;
    __builtin_memset(part, 0, D * 4);
    for (int64_t t = t0; t < end; t++) {
      const float *restrict y = dy + t * D, *restrict row = x + t * D;
      float r = rstd[t], *restrict sum = part;
      for (int64_t d = 0; d < D; d++) sum[d] = sum[d] + y[d] * (row[d] * r);
    }
  }
  barrier(ctx);
  share(ctx, D, 16, &lo, &hi);
  for (int64_t d = lo; d < hi; d++) {
    float total = 0.0f;
    for (int64_t chunk = 0; chunk * GAIN_ROWS < T; chunk++) total = total + parts[chunk * D + d];
    d_gain[d] = total;
  }
  check_finite(ctx, d_gain + lo, hi - lo);
}

// [P1] Rotate-half; the inverse turns the other way.
static void k_rope(Context *ctx, const int32_t *w) {
  const float *x = at(ctx, w[0]), *table = at(ctx, w[1]);
  const int32_t *pos = at(ctx, w[2]);
  float *out = at(ctx, w[3]);
  int64_t P = w[5], heads = w[6], Dh = w[7], half = Dh / 2, lo, hi;
  float sign = w[8] ? -1.0f : 1.0f;
  share(ctx, w[4], 1, &lo, &hi);
  for (int64_t t = lo; t < hi; t++) {
    if ((uint32_t)pos[t] >= (uint32_t)P) {
      fail(ctx, REASON_BAD_INDEX);
      continue;
    }
    const float *cosine = table + pos[t] * Dh, *sine = cosine + half;
    for (int64_t h = 0; h < heads; h++) {
      const float *a = x + (t * heads + h) * Dh, *b = a + half;
      float *to = out + (t * heads + h) * Dh, *to_b = to + half;
      for (int64_t i = 0; i < half; i++) {
        float s = sign * sine[i];
        to[i] = a[i] * cosine[i] - b[i] * s;
        to_b[i] = b[i] * cosine[i] + a[i] * s;
      }
    }
    check_finite(ctx, out + t * heads * Dh, heads * Dh);
  }
}

#define TILE 2048
#define TILES(n) \
  int64_t lo, hi; \
  share(ctx, n, 16, &lo, &hi); \
  for (int64_t t = lo, e = lo + TILE < hi ? lo + TILE : hi; t < hi; t = e, e = e + TILE < hi ? e + TILE : hi)

// [S1]
static void k_swiglu(Context *ctx, const int32_t *w) {
  const float *gate = at(ctx, w[0]), *up = at(ctx, w[1]);
  float *restrict out = at(ctx, w[2]);
  TILES(w[3]) {
    for (int64_t i = t; i < e; i++) out[i] = (gate[i] * sigmoid(gate[i])) * up[i];
    check_finite(ctx, out + t, e - t);
  }
}

// [S2]
static void k_swiglu_grad(Context *ctx, const int32_t *w) {
  const float *d_out = at(ctx, w[0]), *gate = at(ctx, w[1]), *up = at(ctx, w[2]);
  float *restrict d_gate = at(ctx, w[3]), *restrict d_up = at(ctx, w[4]);
  TILES(w[5]) {
    for (int64_t i = t; i < e; i++) {
      float g = gate[i], s = sigmoid(g);
      d_up[i] = d_out[i] * (g * s);
      d_gate[i] = (d_out[i] * up[i]) * (s * (1.0f + g * (1.0f - s)));
    }
    check_finite(ctx, d_up + t, e - t);
    check_finite(ctx, d_gate + t, e - t);
  }
}

static void k_add(Context *ctx, const int32_t *w) {
  const float *a = at(ctx, w[0]), *b = at(ctx, w[1]);
  float *out = at(ctx, w[2]);
  TILES(w[3]) {
    for (int64_t i = t; i < e; i++) out[i] = a[i] + b[i];
    check_finite(ctx, out + t, e - t);
  }
}

static void k_scale(Context *ctx, const int32_t *w) {
  const float *a = at(ctx, w[0]);
  float *out = at(ctx, w[1]), factor = float_of(w[3]);
  TILES(w[2]) {
    for (int64_t i = t; i < e; i++) out[i] = a[i] * factor;
    check_finite(ctx, out + t, e - t);
  }
}

static void k_copy(Context *ctx, const int32_t *w) {
  const float *a = at(ctx, w[0]);
  float *out = at(ctx, w[1]);
  TILES(w[2]) {
    __builtin_memcpy(out + t, a + t, (e - t) * 4);
    check_finite(ctx, out + t, e - t);
  }
}

static void k_zero(Context *ctx, const int32_t *w) {
  float *out = at(ctx, w[0]);
  TILES(w[1]) __builtin_memset(out + t, 0, (e - t) * 4);
}

// [G3] Rows are written in ascending order, so of two rows for one place the later stands.
static void k_cache_write(Context *ctx, const int32_t *w) {
  const float *rows = at(ctx, w[0]);
  const int32_t *slot = at(ctx, w[1]), *pos = at(ctx, w[2]);
  float *cache = at(ctx, w[3]);
  int64_t R = w[4], W = w[5], slots = w[6], P = w[7], lo, hi;
  share(ctx, W, 16, &lo, &hi);
  for (int64_t r = 0; r < R; r++) {
    if ((uint32_t)slot[r] >= (uint32_t)slots || (uint32_t)pos[r] >= (uint32_t)P) {
      fail(ctx, REASON_BAD_INDEX);
      continue;
    }
    float *to = cache + (slot[r] * P + pos[r]) * W;
    for (int64_t i = lo; i < hi; i++) to[i] = rows[r * W + i];
    check_finite(ctx, to + lo, hi - lo);
  }
}
