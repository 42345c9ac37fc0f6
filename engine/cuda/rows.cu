// Owns gathering, RMS norm, rotary positions, elementwise instructions and the cache's writes.
#include "kernel.cuh"

// w: x, n
KERNEL(k_check) {
  BEGIN;
  if (INDEX < w[1]) FINITE(FLOATS(0)[INDEX]);
}

// w: table, ids, out, V, D, T [G1]
KERNEL(k_embed) {
  BEGIN;
  int64_t i = INDEX, t = i / w[4];
  if (t >= w[5]) return;
  int id = INTS(1)[t];
  if ((unsigned)id >= (unsigned)w[3]) {
    FAIL(BAD_INDEX);
    return;
  }
  float x = FLOATS(0)[(int64_t)id * w[4] + i % w[4]];
  FLOATS(2)[i] = x;
  FINITE(x);
}

// w: dOut, ids, dTable, V, D, T [G2]: a thread an element of the table, positions ascending.
KERNEL(k_embed_grad) {
  BEGIN;
  int64_t i = INDEX, v = i / w[4], d = i % w[4];
  if (v >= w[3]) return;
  float sum = 0.0f;
  for (int t = 0; t < w[5]; t++) {
    int id = INTS(1)[t];
    if ((unsigned)id >= (unsigned)w[3]) FAIL(BAD_INDEX);
    else if (id == v) sum = add(sum, FLOATS(0)[(int64_t)t * w[4] + d]);
  }
  FLOATS(2)[i] = sum;
  FINITE(sum);
}

// w: x, gain, out, rstd, T, D, eps [N1]
BLOCK_KERNEL(k_rms_norm) {
  BEGIN;
  __shared__ float lanes[ROWS_PER_BLOCK][16];
  __shared__ float scale[ROWS_PER_BLOCK];
  int64_t t = ROW_OF, D = w[5];
  int own = threadIdx.x / 16, lane = LANE;
  const float *x = FLOATS(0) + t * D;
  if (t < w[4]) {
    float sum = 0.0f;
    for (int64_t d = lane; d < D; d += 16) sum = add(sum, mul(x[d], x[d]));
    lanes[own][lane] = sum;
  }
  __syncthreads();
  if (t < w[4] && lane == 0) {
    float r = quotient(1.0f, root(add(quotient(tree16(lanes[own]), __int2float_rn((int)D)), float_of(w[6]))));
    FLOATS(3)[t] = scale[own] = r;
    FINITE(r);
  }
  __syncthreads();
  if (t >= w[4]) return;
  for (int64_t d = lane; d < D; d += 16) {
    float y = mul(mul(x[d], scale[own]), FLOATS(1)[d]);
    FLOATS(2)[t * D + d] = y;
    FINITE(y);
  }
}

// w: dOut, x, gain, rstd, dx, T, D [N2]
BLOCK_KERNEL(k_rms_norm_grad_x) {
  BEGIN;
  __shared__ float lanes[ROWS_PER_BLOCK][16];
  __shared__ float mean[ROWS_PER_BLOCK];
  int64_t t = ROW_OF, D = w[6];
  int own = threadIdx.x / 16, lane = LANE;
  const float *dy = FLOATS(0) + t * D, *x = FLOATS(1) + t * D, *gain = FLOATS(2);
  float r = t < w[5] ? FLOATS(3)[t] : 0.0f;
  if (t < w[5]) {
    float sum = 0.0f;
    for (int64_t d = lane; d < D; d += 16) sum = add(sum, mul(mul(dy[d], gain[d]), mul(x[d], r)));
    lanes[own][lane] = sum;
  }
  __syncthreads();
  if (t < w[5] && lane == 0) mean[own] = quotient(tree16(lanes[own]), __int2float_rn((int)D));
  __syncthreads();
  if (t >= w[5]) return;
  for (int64_t d = lane; d < D; d += 16) {
    float y = mul(sub(mul(dy[d], gain[d]), mul(mul(x[d], r), mean[own])), r);
    FLOATS(4)[t * D + d] = y;
    FINITE(y);
  }
}

// w: dOut, x, rstd, dGain, T, D [N3]: a thread a column, chunks of 64 rows.
KERNEL(k_rms_norm_grad_gain) {
  BEGIN;
  int64_t d = INDEX, T = w[4], D = w[5];
  if (d >= D) return;
  float total = 0.0f;
  for (int64_t t0 = 0; t0 < T; t0 += 64) {
    float part = 0.0f;
    for (int64_t t = t0; t < T && t < t0 + 64; t++)
      part = add(part, mul(FLOATS(0)[t * D + d], mul(FLOATS(1)[t * D + d], FLOATS(2)[t])));
    total = add(total, part);
  }
  FLOATS(3)[d] = total;
  FINITE(total);
}

// w: x, table, pos, out, T, P, heads, Dh, inverse [P1]: a thread a pair.
KERNEL(k_rope) {
  BEGIN;
  int64_t half = w[7] / 2, pairs = (int64_t)w[6] * half, i = INDEX, t = i / pairs;
  if (t >= w[4]) return;
  int pos = INTS(2)[t];
  if ((unsigned)pos >= (unsigned)w[5]) {
    FAIL(BAD_INDEX);
    return;
  }
  int64_t k = i % pairs % half, at_a = (t * w[6] + i % pairs / half) * w[7] + k;
  float c = FLOATS(1)[(int64_t)pos * w[7] + k], s = FLOATS(1)[(int64_t)pos * w[7] + half + k];
  if (w[8]) s = -s;
  float a = FLOATS(0)[at_a], b = FLOATS(0)[at_a + half];
  float y = sub(mul(a, c), mul(b, s)), z = add(mul(b, c), mul(a, s));
  FLOATS(3)[at_a] = y;
  FLOATS(3)[at_a + half] = z;
  FINITE(y);
  FINITE(z);
}

// w: gate, up, out, n [S1]
KERNEL(k_swiglu) {
  BEGIN;
  if (INDEX >= w[3]) return;
  float g = FLOATS(0)[INDEX], y = mul(mul(g, sigmoid(g)), FLOATS(1)[INDEX]);
  FLOATS(2)[INDEX] = y;
  FINITE(y);
}

// w: dOut, gate, up, dGate, dUp, n [S2]
KERNEL(k_swiglu_grad) {
  BEGIN;
  if (INDEX >= w[5]) return;
  float dy = FLOATS(0)[INDEX], g = FLOATS(1)[INDEX], s = sigmoid(g);
  float up = mul(dy, mul(g, s));
  float gate = mul(mul(dy, FLOATS(2)[INDEX]), mul(s, add(1.0f, mul(g, sub(1.0f, s)))));
  FLOATS(3)[INDEX] = gate;
  FLOATS(4)[INDEX] = up;
  FINITE(gate);
  FINITE(up);
}

// w: a, b, out, n
KERNEL(k_add) {
  BEGIN;
  if (INDEX >= w[3]) return;
  float y = add(FLOATS(0)[INDEX], FLOATS(1)[INDEX]);
  FLOATS(2)[INDEX] = y;
  FINITE(y);
}

// w: a, out, n, factor; a factor of 1 copies, for `copy`.
KERNEL(k_scale) {
  BEGIN;
  if (INDEX >= w[2]) return;
  float x = FLOATS(0)[INDEX], y = w[3] == 0x3f800000 ? x : mul(x, float_of(w[3]));
  FLOATS(1)[INDEX] = y;
  FINITE(y);
}

// w: out, n
KERNEL(k_zero) {
  BEGIN;
  if (INDEX < w[1]) FLOATS(0)[INDEX] = 0.0f;
}

// w: rows, slot, pos, cache, R, W, SLOTS, P [G3]: a thread a column, rows ascending.
KERNEL(k_cache_write) {
  BEGIN;
  int64_t i = INDEX;
  if (i >= w[5]) return;
  for (int r = 0; r < w[4]; r++) {
    int slot = INTS(1)[r], pos = INTS(2)[r];
    if ((unsigned)slot >= (unsigned)w[6] || (unsigned)pos >= (unsigned)w[7]) {
      FAIL(BAD_INDEX);
      continue;
    }
    float x = FLOATS(0)[(int64_t)r * w[5] + i];
    FLOATS(3)[((int64_t)slot * w[7] + pos) * w[5] + i] = x;
    FINITE(x);
  }
}
