// Owns cross-entropy, the global gradient norm and AdamW.
#include "kernel.cuh"

// w: logits, targets, tokenLoss, stats, T, V [L1]: sixteen threads a row.
BLOCK_KERNEL(k_cross_entropy) {
  BEGIN;
  __shared__ float lanes[ROWS_PER_BLOCK][16];
  __shared__ float greatest[ROWS_PER_BLOCK];
  int64_t t = ROW_OF, V = w[5];
  int own = threadIdx.x / 16, lane = LANE;
  bool live = t < w[4];
  const float *x = FLOATS(0) + t * V;
  if (live) {
    float most = x[0];
    for (int64_t v = lane; v < V; v += 16) most = x[v] > most ? x[v] : most;
    lanes[own][lane] = most;
  }
  __syncthreads();
  if (live && lane == 0) {
    float most = lanes[own][0];
    for (int l = 1; l < 16; l++) most = lanes[own][l] > most ? lanes[own][l] : most;
    greatest[own] = add(most, 0.0f);
  }
  __syncthreads();
  if (live) {
    float sum = 0.0f;
    for (int64_t v = lane; v < V; v += 16) sum = add(sum, exp_fixed(sub(x[v], greatest[own])));
    lanes[own][lane] = sum;
  }
  __syncthreads();
  if (!live || lane != 0) return;
  float m = greatest[own], l = tree16(lanes[own]), r = quotient(1.0f, l), loss = 0.0f;
  int target = INTS(1)[t];
  if (target >= V) FAIL(BAD_INDEX);
  else if (target >= 0) loss = sub(add(m, log_fixed(l)), x[target]);
  FLOATS(3)[2 * t] = m;
  FLOATS(3)[2 * t + 1] = r;
  FLOATS(2)[t] = loss;
  FINITE(m);
  FINITE(r);
  FINITE(loss);
}

// w: targets, T: one block counts those from 0 on.
BLOCK_KERNEL(k_count_targets) {
  BEGIN;
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  int own = 0;
  for (int t = threadIdx.x; t < w[1]; t += blockDim.x) own += INTS(0)[t] >= 0;
  atomicAdd(&count, own);
  __syncthreads();
  if (threadIdx.x == 0) status[TARGETS] = count;
}

// w: tokenLoss, loss, T [R2]: one block of sixteen threads; the count is in the status.
BLOCK_KERNEL(k_mean_loss) {
  BEGIN;
  __shared__ float lanes[16];
  int T = w[2], n = status[TARGETS];
  float total = 0.0f;
  for (int c = 0; c < T; c += 4096) {
    float sum = 0.0f;
    for (int t = c + threadIdx.x; t < T && t < c + 4096; t += 16) sum = add(sum, FLOATS(0)[t]);
    lanes[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) total = add(total, tree16(lanes));
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  float loss = n == 0 ? 0.0f : quotient(total, __int2float_rn(n));
  FLOATS(1)[0] = loss;
  FINITE(loss);
}

// w: logits, targets, stats, dLogits, T, V [L2]; the count is in the status.
KERNEL(k_cross_entropy_grad) {
  BEGIN;
  int64_t i = INDEX, t = i / w[5], v = i % w[5];
  if (t >= w[4]) return;
  int target = INTS(1)[t], n = status[TARGETS];
  if (target >= w[5]) {
    FAIL(BAD_INDEX);
    return;
  }
  float inverse = n == 0 ? 0.0f : quotient(1.0f, __int2float_rn(n)), y = 0.0f;
  if (target >= 0) {
    float p = mul(exp_fixed(sub(FLOATS(0)[i], FLOATS(2)[2 * t])), FLOATS(2)[2 * t + 1]);
    y = mul(v == target ? sub(p, 1.0f) : p, inverse);
  }
  FLOATS(3)[i] = y;
  FINITE(y);
}

// w: g, partial sums, n, first chunk [O1]: sixteen threads a chunk.
BLOCK_KERNEL(k_square_sums) {
  BEGIN;
  __shared__ float lanes[ROWS_PER_BLOCK][16];
  int64_t chunk = ROW_OF, from = chunk * 4096, n = w[2];
  int own = threadIdx.x / 16, lane = LANE;
  float sum = 0.0f;
  for (int64_t i = from + lane; i < n && i < from + 4096; i += 16) sum = add(sum, mul(FLOATS(0)[i], FLOATS(0)[i]));
  lanes[own][lane] = sum;
  __syncthreads();
  if (lane == 0 && from < n) FLOATS(1)[w[3] + chunk] = tree16(lanes[own]);
}

// w: partial sums, norm, chunks [O1]: one block brings them, its first thread adds them in order.
BLOCK_KERNEL(k_norm) {
  BEGIN;
  __shared__ float part[256];
  float total = 0.0f;
  for (int c = 0; c < w[2]; c += 256) {
    if (c + (int)threadIdx.x < w[2]) part[threadIdx.x] = FLOATS(0)[c + threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0)
      for (int i = 0; i < 256 && c + i < w[2]; i++) total = add(total, part[i]);
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  FLOATS(1)[0] = root(total);
  FINITE(FLOATS(1)[0]);
}

// w: p, m, v, g, norm, hyper, n, decay [O2]
KERNEL(k_adamw) {
  BEGIN;
  int64_t i = INDEX;
  if (i >= w[6]) return;
  const float *hyper = FLOATS(5);
  float norm = FLOATS(4)[0];
  for (int h = 0; h < 8; h++) FINITE(hyper[h]);
  FINITE(norm);
  float clip = hyper[7] > 0.0f && norm > hyper[7] ? quotient(hyper[7], norm) : 1.0f;
  float decay = w[7] ? hyper[4] : 0.0f, r1 = quotient(1.0f, hyper[5]), r2 = quotient(1.0f, hyper[6]);
  float g = mul(FLOATS(3)[i], clip), old = FLOATS(0)[i];
  float first = add(mul(hyper[1], FLOATS(1)[i]), mul(sub(1.0f, hyper[1]), g));
  float second = add(mul(hyper[2], FLOATS(2)[i]), mul(sub(1.0f, hyper[2]), mul(g, g)));
  float step = quotient(mul(first, r1), add(root(mul(second, r2)), hyper[3]));
  float y = sub(old, mul(hyper[0], add(step, mul(decay, old))));
  FLOATS(1)[i] = first;
  FLOATS(2)[i] = second;
  FLOATS(0)[i] = y;
  FINITE(first);
  FINITE(second);
  FINITE(y);
}
